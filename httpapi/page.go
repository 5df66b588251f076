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
	"time"

	"github.com/kainlite/gitops-operator/history"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/mask"
	"github.com/kainlite/gitops-operator/page"
	"github.com/kainlite/gitops-operator/reconcile"
)

// page answers with the page for people.
func (a *API) page(w http.ResponseWriter, req *http.Request) {
	data := page.Data{Deployments: a.deployments(req.Context()), Passes: a.passes()}
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

func (a *API) apiDeployments(w http.ResponseWriter, req *http.Request) {
	serveJSON(w, req, a.deployments(req.Context()))
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
func (a *API) deployments(ctx context.Context) page.Deployments {
	d := page.Deployments{Deployments: []page.Deployment{}, Untracked: []page.Untracked{}}
	if !a.source.Ready() {
		d.Starting = shown(a.starting())
		return d
	}
	snapshot := a.List(ctx)
	d.Stale = shown(a.notes.stale())
	for _, t := range snapshot.Targets {
		d.Deployments = append(d.Deployments, deployment(t, a.History.Of(t.Key())))
	}
	rank := map[string]int{}
	for i, s := range page.States {
		rank[s.Name] = i
	}
	slices.SortStableFunc(d.Deployments, func(x, y page.Deployment) int { return rank[x.State] - rank[y.State] })
	for _, u := range snapshot.Untracked {
		d.Untracked = append(d.Untracked, page.Untracked{Namespace: shown(u.Namespace), Name: shown(u.Name), Reason: shown(u.Reason)})
	}
	return d
}

// shown is a text as people may see it.
func shown(s string) string { return printable(mask.Text(s)) }

func deployment(t k8s.Target, e history.Entry) page.Deployment {
	d := page.Deployment{
		Namespace: t.Namespace, Name: t.Name, Image: printable(t.Container), RunningTag: printable(t.Version),
		ManifestCommit: e.Change.Commit, ManifestCommitURL: page.CommitURL(e.Change.Repository, e.Change.Commit),
		ChangedAt: e.Change.At.UTC().Round(0),
	}
	if image := t.Container + ":" + t.Version; mask.Value(image) != image { // wherever its colons are
		d.Image, d.RunningTag = printable(mask.Value(image)), ""
	}
	for _, name := range t.Unknown() {
		d.Warnings = append(d.Warnings, "unknown annotation "+shown(name))
	}
	r := e.Result
	if r.Action == reconcile.ActionSkipped && !t.Disabled() {
		r = reconcile.Result{} // it was switched on since
	}
	if r.Action != "" {
		d.Action, d.Message, d.FinishedAt, d.Seconds = r.Action, shown(r.Message), e.At.UTC().Round(0), e.At.Sub(e.Since).Seconds()
		d.WantedTag = r.Want
		d.AppCommit, d.AppCommitURL = r.Head, page.CommitURL(e.AppRepository, r.Head)
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
	for _, q := range a.History.Passes() {
		p.Passes = append(p.Passes, page.Pass{
			StartedAt: q.Began.UTC().Round(0), Seconds: q.Took.Seconds(),
			Patched: q.Count[reconcile.ActionPatched], UpToDate: q.Count[reconcile.ActionUpToDate], Skipped: q.Count[reconcile.ActionSkipped],
			Failed: q.Count[reconcile.ActionFailed], Pending: q.Count[reconcile.ActionPending],
		})
	}
	return p
}
