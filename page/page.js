"use strict";
// Relative to the page, and without a name and a password that its URL may have.
const base = location.origin + location.pathname.replace(/[^/]*$/, "");
const one = (selector, from = document) => from.querySelector(selector);
const body = one("tbody"), live = one("#live"), search = one("#filter input");
const words = {};
for (const chip of document.querySelectorAll("#counts [data-word]")) words[chip.dataset.state] = chip.dataset.word;

const short = tag => /^[0-9a-f]{13,64}$/.test(tag) ? tag.slice(0, 12) : tag;

function took(s) {
  if (s < 1) return Math.round(s * 1000) + " ms";
  if (s < 60) return s.toFixed(1) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + Math.floor(s % 60) + " s";
  return Math.floor(s / 3600) + " h " + Math.floor(s / 60 % 60) + " min";
}

function ago(since) {
  const s = Math.max(0, (Date.now() - since) / 1000);
  if (s < 5) return "just now";
  if (s < 60) return Math.floor(s) + " s ago";
  if (s < 3600) return Math.floor(s / 60) + " min ago";
  if (s < 172800) return Math.floor(s / 3600) + " h ago";
  return Math.floor(s / 86400) + " d ago";
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setTime(element, stamp) {
  if (stamp) element.dateTime = stamp; else element.removeAttribute("datetime");
  setText(element, stamp ? ago(Date.parse(stamp)) : "");
  element.title = stamp ? new Date(stamp).toLocaleString() : "";
}

function ageTimes() {
  for (const element of document.querySelectorAll("time[datetime]")) setTime(element, element.dateTime);
}

// fill writes a Deployment into a row, as the template does.
function fill(row, d) {
  const part = name => one(`[data-f=${name}]`, row);
  const link = (name, label, commit, url) => {
    const a = part(name);
    a.hidden = !commit;
    a.title = commit || "";
    if (url && url.startsWith("https://")) a.href = url; else a.removeAttribute("href");
    setText(a, label + " " + (commit || "").slice(0, 7));
  };
  row.dataset.key = d.namespace + "/" + d.deployment;
  row.dataset.state = d.state;
  setText(part("word"), words[d.state] || d.state);
  setTime(part("at"), d.finished_at);
  setText(part("took"), d.duration_seconds >= 0.001 ? took(d.duration_seconds) : "");
  setText(part("name"), d.deployment);
  setText(part("namespace"), d.namespace);
  setText(part("image"), d.image);
  const wanted = d.wanted_tag || "", settled = !wanted || wanted === d.running_tag;
  setText(part("running"), short(d.running_tag));
  part("running").title = "running: " + d.running_tag;
  setText(part("wanted"), short(wanted));
  part("wanted").title = "wanted: " + wanted;
  part("arrow").hidden = part("wanted").hidden = settled;
  setText(part("message"), d.message || "");
  setText(part("warnings"), (d.warnings || []).join("; "));
  part("warnings").hidden = !d.warnings;
  const places = (d.places || []).map(p => `${p.kind} at ${p.path}:${p.line}`);
  if (places.length > 8) places.splice(8, places.length, `${places.length - 8} more`);
  setText(part("where"), places.join(", "));
  part("where").hidden = !places.length;
  link("app", "app", d.app_commit, d.app_commit_url);
  link("manifest", "pushed", d.manifest_commit, d.manifest_commit_url);
  part("changed").hidden = !d.changed_at;
  setTime(part("changed"), d.changed_at);
}

// rows are those of the table, with what they show and what the filter looks in.
const rows = new Map();
for (const row of body.rows) rows.set(row.dataset.key, {row, shows: ""});

const searched = row => [row.dataset.key, one("[data-f=word]", row).textContent, one("[data-f=image]", row).textContent,
  one("[data-f=running]", row).title, one("[data-f=wanted]", row).title,
  one("[data-f=message]", row).textContent, one("[data-f=warnings]", row).textContent].join("\n").toLowerCase();

function filter() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const known of rows.values()) {
    if (wanted.length) known.text ??= searched(known.row);
    const fits = wanted.every(word => known.text.includes(word));
    known.row.hidden = !fits;
    shown += fits;
  }
  setText(one("#shown"), wanted.length ? `${shown} of ${rows.size}` : "");
}

function showDeployments(all) {
  const gone = new Set(rows.keys()), counts = {untracked: all.untracked.length};
  let at = body.firstElementChild;
  for (const d of all.deployments) {
    const key = d.namespace + "/" + d.deployment, shows = JSON.stringify(d);
    let known = rows.get(key);
    if (!known) rows.set(key, known = {row: one("#row").content.firstElementChild.cloneNode(true)});
    if (known.shows !== shows) {
      fill(known.row, d);
      known.shows = shows;
      known.text = undefined;
    }
    gone.delete(key);
    counts[d.state] = (counts[d.state] || 0) + 1;
    if (known.row === at) at = at.nextElementSibling; else body.insertBefore(known.row, at);
  }
  for (const key of gone) {
    rows.get(key).row.remove();
    rows.delete(key);
  }
  for (const chip of document.querySelectorAll("#counts li")) {
    const n = counts[chip.dataset.state] || 0;
    setText(one("b", chip), String(n));
    chip.hidden = !n;
  }
  setText(one("#starting"), all.starting || "");
  one("#starting").hidden = !all.starting;
  setText(one("#stale"), "The newest state could not be read: " + all.stale);
  one("#stale").hidden = !all.stale;
  one("#deployments").hidden = one("#filter").hidden = !rows.size;
  one("#empty").hidden = rows.size > 0 || !!all.starting;
  one("#untracked").hidden = !all.untracked.length;
  one("#untracked dl").replaceChildren(...all.untracked.map(u => {
    const div = document.createElement("div");
    div.append(Object.assign(document.createElement("dt"), {textContent: u.namespace + "/" + u.deployment}),
      Object.assign(document.createElement("dd"), {textContent: u.reason}));
    return div;
  }));
  filter();
}

function inWords(p) {
  const parts = Object.entries({failed: p.failed, pending: p.pending, patched: p.patched, "up to date": p.up_to_date, disabled: p.skipped});
  return took(p.duration_seconds) + ": " + (parts.filter(([, n]) => n).map(([word, n]) => n + " " + word).join(", ") || "no Deployment");
}

function showPasses({passes}) {
  const longest = Math.max(...passes.map(p => p.duration_seconds));
  one("#passes svg").replaceChildren(...passes.map((p, i) => {
    const drawn = (name, attributes, ...children) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      element.append(...children);
      return element;
    };
    const height = 4 + (longest > 0 ? Math.floor(36 * Math.log1p(p.duration_seconds * 1000) / Math.log1p(longest * 1000)) : 0);
    const all = p.failed + p.pending + p.patched + p.up_to_date + p.skipped;
    const bar = {x: 8 * i + 1, y: 41 - height, width: 6, height, class: p.pending ? "pending" : p.patched ? "patched" : "up_to_date"};
    const failed = p.failed ? Math.max(4, Math.floor(height * p.failed / all)) : 0;
    return drawn("g", {}, drawn("title", {}, new Date(p.started_at).toLocaleString() + " · " + inWords(p)),
      drawn("rect", bar), drawn("rect", {...bar, height: failed, class: "failed"}));
  }));
  one("#passes").hidden = !passes.length;
  if (!passes.length) return;
  setTime(one("#last"), passes.at(-1).started_at);
  setText(one("#lasted"), inWords(passes.at(-1)));
}

// ask gets one of the JSON answers, if it is another than the last.
const tags = {deployments: document.body.dataset.deployments, passes: document.body.dataset.passes};
async function ask(name, show) {
  const answer = await fetch(base + "api/v1/" + name, {cache: "no-store", headers: {"If-None-Match": tags[name]}, signal: AbortSignal.timeout(30000)});
  if (answer.status === 304) return;
  if (!answer.ok) throw new Error(answer.status === 401 ? "the token is needed again: reload the page" : "the operator answers " + answer.status);
  show(await answer.json());
  tags[name] = answer.headers.get("ETag");
}

let timer, asking = false, again = false, passes = 0;
async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    await Promise.all([ask("deployments", showDeployments), ask("passes", showPasses)]);
    live.className = "on";
    setText(live, "live");
  } catch (error) {
    live.className = "off";
    setText(live, "not live: " + (error.name === "TypeError" ? "the operator cannot be reached" : error.message));
  }
  ageTimes();
  asking = false;
  timer = setTimeout(poll, again ? 0 : passes ? 500 : 5000);
  again = false;
}

one("#reconcile").addEventListener("submit", async event => {
  event.preventDefault();
  const button = one("#reconcile button");
  button.disabled = true;
  setText(button, "Reconciling …");
  passes++;
  poll();
  let trouble = "";
  try {
    const answer = await fetch(base + "reconcile?wait=1m", {method: "POST"});
    if (!answer.ok) trouble = (await answer.json()).error;
  } catch {
    trouble = "the operator cannot be reached";
  }
  passes--;
  button.disabled = false;
  setText(button, "Reconcile now");
  setText(one("#trouble"), "No pass: " + trouble);
  one("#trouble").hidden = !trouble;
  poll();
});

one("#filter").addEventListener("submit", event => event.preventDefault());
search.addEventListener("input", filter);
document.addEventListener("visibilitychange", poll);
one("#filter").hidden = !rows.size;
filter();
poll();
