package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
)

func row(key string) string { return fmt.Sprintf(`document.querySelector('tr[data-key="%s"]')`, key) }

func state(key, state string) string { return row(key) + `?.dataset.state === "` + state + `"` }

// order is the names in the table that can be seen.
const order = `[...document.querySelectorAll("tbody tr:not([hidden])")].map(r => r.dataset.key).join(" ")`

// A day with three Deployments, behind a token.
func TestPageIsLiveAndQuiet(t *testing.T) {
	s := newStage(t)
	s.commit("kainlite/blog", map[string]string{"main.go": "1"})
	s.deployment("default", "blog", "kainlite/blog", "", enabled)
	s.deployment("default", "api", "kainlite/nowhere", "", enabled, `gitops.operator.image: "<img src=x onerror=alert(1)>"`)
	s.deployment("shop", "cart", "kainlite/blog", "", `gitops.operator.enabled: "false"`)
	s.deployment("shop", "till", "kainlite/blog", "")
	token := filepath.Join(t.TempDir(), "token")
	s.must(os.WriteFile(token, []byte("hunter2"), 0o600))
	url := s.serve("--auth-token-file", token)

	b := open(t)
	b.window(1280, 900)
	b.do(chromedp.Navigate(strings.Replace(url, "http://", "http://me:hunter2@", 1)))
	b.until(`document.querySelector("#live").textContent === "live"`)
	if got := js[string](b, order); got != "default/api default/blog shop/cart" {
		t.Errorf("at first: %s", got)
	}
	if !js[bool](b, state("default/blog", "new")+" && "+state("shop/cart", "disabled")) {
		t.Error("the states are not as they should be before the first pass")
	}
	if got := js[string](b, `document.querySelector("#untracked dl").innerText`); !strings.Contains(got, "shop/till") || !strings.Contains(got, "missing annotation gitops.operator.enabled") {
		t.Errorf("not tracked: %q", got)
	}
	if got := js[string](b, row("default/api")+".innerText"); !strings.Contains(got, "unknown annotation gitops.operator.image") {
		t.Errorf("api: %q", got)
	}

	// The button: a pass, and rows that change under one's eyes.
	js[string](b, row("default/blog")+`.dataset.mark = "same"`)
	b.do(chromedp.Click(chromedp.CSS("#reconcile button")))
	b.until(state("default/blog", "patched") + " && " + state("default/api", "failed") + ` && !document.querySelector("#reconcile button").disabled`)
	if got := js[string](b, order); got != "default/api default/blog shop/cart" {
		t.Errorf("after a pass: %s", got)
	}
	if js[string](b, row("default/blog")+`.dataset.mark`) != "same" {
		t.Error("the row was replaced and not updated")
	}
	b.until(`document.querySelector("#passes g title").textContent.includes("1 failed, 1 patched, 1 disabled")`)
	if got := js[string](b, row("default/api")+`.querySelector("[data-f=message]").innerText`); !strings.HasPrefix(got, "Deployment api failed: ") || !strings.Contains(got, "kainlite/nowhere.git") {
		t.Errorf("the message is %q", got)
	}

	// What others start is seen too, without a hand.
	head := s.commit("kainlite/blog", map[string]string{"main.go": "2"})
	s.post(url, "hunter2")
	b.until(row("default/blog") + `.querySelector("[data-f=wanted]").title === "wanted: ` + head + `"`)
	b.until(`document.querySelectorAll("#passes g").length === 2`)

	// The filter.
	b.do(chromedp.SendKeys(chromedp.CSS("#filter input"), "FAILED default"))
	if got, shown := js[string](b, order), js[string](b, `document.querySelector("#shown").textContent`); got != "default/api" || shown != "1 of 3" {
		t.Errorf("filtered: %s (%s)", got, shown)
	}
	s.post(url, "hunter2")
	b.until(state("default/blog", "up_to_date"))
	if got := js[string](b, order); got != "default/api" {
		t.Errorf("the filter is lost when rows change: %s", got)
	}
	js[string](b, `filter(search.value = ""), ""`)

	// Nothing new costs nothing to hear, and a hidden tab does not ask.
	b.wait("an answer 304", func() bool { _, unchanged := b.polls(); return unchanged > 0 })
	js[string](b, `Object.defineProperty(document, "hidden", {value: true, configurable: true}), document.dispatchEvent(new Event("visibilitychange")), ""`)
	b.until("!asking")
	before, _ := b.polls()
	js[*string](b, "poll()")
	if after, _ := b.polls(); after != before {
		t.Errorf("hidden, the page asked %d times", after-before)
	}
	js[string](b, `delete document.hidden, document.dispatchEvent(new Event("visibilitychange")), ""`)
	b.wait("a question once the tab is seen", func() bool { after, _ := b.polls(); return after > before })

	b.looks("3")
	b.onlyFrom(url)
	b.quiet()

	// That a breach of the policy would have been noticed.
	js[string](b, `document.body.append(Object.assign(new Image(), {src: "https://example.invalid/x.png"})), ""`)
	b.complained("img-src")
	js[string](b, `document.body.setAttribute("style", "color: red"), ""`)
	b.complained("style-src")
}

func TestPageWithoutDeploymentsSaysWhatToDo(t *testing.T) {
	s := newStage(t)
	url := s.serve()
	b := open(t)
	b.do(chromedp.Navigate(url))
	b.until(`document.querySelector("#live").textContent === "live"`)
	if got := js[string](b, `document.querySelector("#empty").innerText`); !strings.Contains(got, "No Deployment carries the annotations yet") {
		t.Errorf("the page says %q", got)
	}
	b.looks("0")
	s.deployment("default", "blog", "kainlite/blog", "", enabled)
	b.until(state("default/blog", "new") + ` && document.querySelector("#empty").hidden`)
	b.quiet()
}

// Without JavaScript, it is a table, and a button.
func TestPageWithoutScripts(t *testing.T) {
	s := newStage(t)
	s.commit("kainlite/blog", map[string]string{"main.go": "1"})
	s.deployment("default", "blog", "kainlite/blog", "", enabled)
	url := s.serve()
	b := open(t)
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.do(chromedp.Navigate(url + "/status"))
	if got := js[string](b, order); got != "default/blog" {
		t.Errorf("the table has %q", got)
	}
	b.do(chromedp.Submit(chromedp.CSS("#reconcile")))
	b.until(`document.body.innerText.includes('"action":"patched"')`)
	b.do(chromedp.Navigate(url))
	if got := js[string](b, row("default/blog")+".innerText"); !strings.Contains(got, "patched successfully") {
		t.Errorf("the row says %q", got)
	}
	b.quiet()
}

func TestPageWithAThousand(t *testing.T) {
	s := newStage(t)
	for i := range 20 {
		s.commit(fmt.Sprintf("kainlite/app-%d", i), map[string]string{"main.go": "1"})
	}
	for i := range 1000 {
		name, app, path := fmt.Sprintf("service-%03d", i), fmt.Sprintf("kainlite/app-%d", i%20), ""
		switch {
		case i%250 == 7:
			path = "nowhere/" + name + ".yaml"
		case i%400 == 9:
			app = "kainlite/nowhere"
		}
		switches := enabled
		if i%100 == 50 {
			switches = `gitops.operator.enabled: "false"`
		}
		s.deployment(fmt.Sprintf("team-%d", i%7), name, app, path, switches)
	}
	url := s.serve()
	s.post(url, "")
	for i := range 10 {
		s.commit("kainlite/app-3", map[string]string{"main.go": fmt.Sprint(i)})
		s.post(url, "")
	}
	b := open(t)
	b.window(1280, 900)
	call(b, performance.Enable, performance.EnableParams{})
	b.do(chromedp.Navigate(url))
	b.until(`document.querySelector("#live").textContent === "live"`)
	t.Logf("1,000 Deployments, first render: %s", b.times())
	if n := js[int](b, `document.querySelectorAll("tbody tr").length`); n != 1000 {
		t.Errorf("%d rows", n)
	}
	if got := js[string](b, `document.querySelector("#counts").innerText`); !strings.Contains(got, "7 failed") {
		t.Errorf("counts: %q", got)
	}
	b.looks("1000")
	b.do(chromedp.SendKeys(chromedp.CSS("#filter input"), "team-3 patched"))
	want := js[int](b, `[...document.querySelectorAll('tbody tr[data-state=patched]')].filter(r => r.dataset.key.startsWith("team-3/")).length`)
	if got := js[int](b, `document.querySelectorAll("tbody tr:not([hidden])").length`); got != want || got == 0 {
		t.Errorf("the filter shows %d rows, not %d", got, want)
	}
	b.picture("1000-filtered")
	s.post(url, "")
	b.until(`document.querySelectorAll("tbody tr[data-state=patched]").length === 0`)
	t.Logf("with all rows updated once: %s", b.times())
	b.quiet()
}
