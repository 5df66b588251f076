package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kainlite/gitops-operator/history"
	"github.com/kainlite/gitops-operator/internal/text"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/mask"
	"github.com/kainlite/gitops-operator/page"
	"github.com/kainlite/gitops-operator/reconcile"
)

// page answers with the page for people.
func (a *API) page(w http.ResponseWriter, req *http.Request) {
	data := page.Data{Deployments: a.deployments(a.look(req.Context())), Passes: a.passes()}
	_, data.DeploymentsTag = encode(data.Deployments)
	_, data.PassesTag = encode(data.Passes)
	var b bytes.Buffer
	if err := page.Render(&b, data); err != nil {
		a.log.Error(err.Error())
		fail(w, http.StatusInternalServerError, "the page cannot be rendered: see the log")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", page.Policy)
	serve(w, req, b.Bytes(), etag(b.Bytes()))
}

// apiDeployments answers 304 without putting an answer together when nothing has
// happened since the last: pages ask every few seconds.
func (a *API) apiDeployments(w http.ResponseWriter, req *http.Request) {
	now := a.look(req.Context())
	if tag := a.told.of(now); tag != "" && strings.Contains(req.Header.Get("If-None-Match"), tag) {
		w.Header().Set("ETag", tag)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body, tag := encode(a.deployments(now))
	a.told.keep(now, tag)
	w.Header().Set("Content-Type", "application/json")
	serve(w, req, body, tag)
}

// state is all that an answer about Deployments is made of.
type state struct {
	starting, stale string
	snapshot        k8s.Snapshot
	history         uint64 // its version
}

// look returns the state. The version is read first: the answer may know more
// than it says, never less.
func (a *API) look(ctx context.Context) state {
	s := state{history: a.operator.History().Version()}
	if !a.operator.Ready() {
		s.starting = a.operator.Starting()
		return s
	}
	s.snapshot = a.operator.List(ctx)
	s.stale = a.operator.Stale()
	return s
}

// same compares the lists by identity: sources share them while nothing changes.
func (s state) same(other state) bool {
	return s.starting == other.starting && s.stale == other.stale && s.history == other.history &&
		identical(s.snapshot.Targets, other.snapshot.Targets) && identical(s.snapshot.Untracked, other.snapshot.Untracked)
}

func identical[T any](x, y []T) bool { return len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0]) }

// told is the ETag of the last answer about Deployments.
type told struct {
	mu    sync.Mutex
	state state
	tag   string
}

// of returns the tag of an answer about the state, "" if that is not known.
func (t *told) of(s state) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.state.same(s) {
		return ""
	}
	return t.tag
}

func (t *told) keep(s state, tag string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state, t.tag = s, tag
}

func (a *API) apiPasses(w http.ResponseWriter, req *http.Request) { serveJSON(w, req, a.passes()) }

func serveJSON(w http.ResponseWriter, req *http.Request, v any) {
	w.Header().Set("Content-Type", "application/json")
	body, tag := encode(v)
	serve(w, req, body, tag)
}

// serve answers 304 to who has the body already.
func serve(w http.ResponseWriter, req *http.Request, body []byte, tag string) {
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: with it, browsers send forms from an unknown origin.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(body))
}

func encode(v any) (body []byte, tag string) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(v) // strings, numbers and times: cannot fail
	return b.Bytes(), etag(b.Bytes())
}

func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`
}

// wantsHTML says whether a request asks for HTML by name, as browsers do: not
// with */*, as curl does.
func wantsHTML(req *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(req.Header.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		q, given := params["q"]
		if err == nil && kind == "text/html" && !(given && strings.Trim(q, "0.") == "") {
			return true
		}
	}
	return false
}

// deployments is what is known of the Deployments, failing ones first.
func (a *API) deployments(s state) page.Deployments {
	d := page.Deployments{Starting: shown(s.starting), Stale: shown(s.stale), Deployments: []page.Deployment{}, Untracked: []page.Untracked{}}
	links := page.Links{}
	for _, t := range s.snapshot.Targets {
		d.Deployments = append(d.Deployments, deployment(t, a.operator.History(), links))
	}
	rank := map[string]int{}
	for i, known := range page.States {
		rank[known.Name] = i
	}
	slices.SortStableFunc(d.Deployments, func(x, y page.Deployment) int { return rank[x.State] - rank[y.State] })
	for _, u := range s.snapshot.Untracked {
		d.Untracked = append(d.Untracked, page.Untracked{Namespace: shown(u.Namespace), Name: shown(u.Name), Reason: shown(u.Reason)})
	}
	return d
}

// shown is a text as people may see it.
func shown(s string) string { return text.Printable(mask.Text(s)) }

func deployment(t k8s.Target, h *history.History, links page.Links) page.Deployment {
	e := h.Of(t.Key())
	d := page.Deployment{
		Namespace: t.Namespace, Name: t.Name, Image: text.Printable(t.Container), RunningTag: text.Printable(t.Version),
		ManifestCommit: e.Change.Commit, ManifestCommitURL: links.To(e.Change.Repository, e.Change.Commit),
		ChangedAt: e.Change.At.UTC().Round(0),
	}
	if image := t.Container + ":" + t.Version; mask.Value(image) != image { // wherever its colons are
		d.Image, d.RunningTag = text.Printable(mask.Value(image)), ""
	}
	for _, name := range t.Unknown() {
		d.Warnings = append(d.Warnings, "unknown annotation "+shown(name))
	}
	for _, p := range h.Places(t.Key()) {
		d.Places = append(d.Places, page.Place{Path: shown(p.Path), Line: p.Line, Kind: string(p.Kind)})
	}
	r := e.Result
	if r.Action == reconcile.ActionSkipped && !t.Disabled() {
		r = reconcile.Result{} // it was switched on since
	}
	if r.Action != "" {
		d.Action, d.Message, d.FinishedAt, d.Seconds = r.Action, shown(r.Message), e.At.UTC().Round(0), e.At.Sub(e.Since).Seconds()
		d.WantedTag = r.Want
		d.AppCommit, d.AppCommitURL = r.Head, links.To(e.AppRepository, r.Head)
	}
	switch fault := t.Invalid(); {
	case t.Disabled():
		d.State = "disabled"
	case fault != nil:
		if d.State = "failed"; d.Message == "" {
			d.Message = shown(reconcile.Failed(t, fault).Message)
		}
	case d.Action == "":
		d.State = "new"
	default:
		d.State = d.Action
	}
	return d
}

// passes is how the last passes went.
func (a *API) passes() page.Passes {
	p := page.Passes{Passes: []page.Pass{}}
	for _, q := range a.operator.History().Passes() {
		p.Passes = append(p.Passes, page.Pass{
			StartedAt: q.Began.UTC().Round(0), Seconds: q.Took.Seconds(),
			Patched: q.Count[reconcile.ActionPatched], UpToDate: q.Count[reconcile.ActionUpToDate], Skipped: q.Count[reconcile.ActionSkipped],
			Failed: q.Count[reconcile.ActionFailed], Pending: q.Count[reconcile.ActionPending],
		})
	}
	return p
}
