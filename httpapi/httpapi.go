// Package httpapi is the operator's HTTP face: it lists the Deployments, hands
// them to the queue, waits, and renders JSON and text. It decides nothing about
// a Deployment.
package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/history"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/queue"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/telemetry"
)

// Source lists the Deployments.
type Source interface {
	// Deployments may return an error beside the last state that it could read.
	Deployments(ctx context.Context) (k8s.Snapshot, error)
	// Ready says whether the first listing is complete.
	Ready() bool
}

// Queue runs the jobs.
type Queue interface {
	Submit(jobs []queue.Job[k8s.Target]) (*queue.Pass[reconcile.Result], error)
}

// API answers requests.
type API struct {
	source    Source
	queue     Queue
	telemetry Telemetry
	log       *zap.Logger
	notes     notes

	// History is what the page shows; who runs the jobs reports to it. Set it
	// before Handler to share one.
	History *history.History
	told    told

	// WebhookSecret is what senders of webhooks know; without it, none is taken.
	// Set it before Handler.
	WebhookSecret *SecretFile
	webhooks      chan struct{} // one each for those whose bodies are read
	background    background
}

// New returns an API.
func New(source Source, q Queue, telemetry Telemetry, log *zap.Logger) *API {
	return &API{source: source, queue: q, telemetry: telemetry, log: log, History: history.New(), webhooks: make(chan struct{}, webhooksAtOnce)}
}

// Handler routes the requests that the guards let through.
func (a *API) Handler(guards ...func(http.Handler) http.Handler) http.Handler {
	r := mux.NewRouter()
	// The path is compared as it came: no redirects to a cleaned one.
	r.SkipClean(true)
	r.HandleFunc("/", a.page).Methods(http.MethodGet)
	r.HandleFunc("/api/v1/deployments", a.apiDeployments).Methods(http.MethodGet)
	r.HandleFunc("/api/v1/passes", a.apiPasses).Methods(http.MethodGet)
	r.HandleFunc("/reconcile", a.reconcile).Methods(http.MethodGet, http.MethodPost)
	r.HandleFunc("/status", a.status).Methods(http.MethodGet)
	r.HandleFunc("/debug", a.debug).Methods(http.MethodGet)
	r.HandleFunc(webhookPath, a.webhook).Methods(http.MethodPost)
	r.HandleFunc("/health", a.health).Methods(http.MethodGet)
	r.Handle("/metrics", a.telemetry.Handler()).Methods(http.MethodGet)
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "no such path: try /reconcile, /status, /debug, /health or /metrics")
	})
	r.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		allow := "GET"
		switch req.URL.Path {
		case "/reconcile":
			allow = "GET, POST"
		case webhookPath:
			allow = "POST"
		}
		w.Header().Set("Allow", allow)
		fail(w, http.StatusMethodNotAllowed, "method not allowed: use "+allow)
	})
	guarded := sameSite(r)
	for _, guard := range guards {
		guarded = guard(guarded)
	}
	return a.observed(r, guarded) // outside: what is refused counts too
}

// reconcile runs a pass and answers with what became of each Deployment.
func (a *API) reconcile(w http.ResponseWriter, req *http.Request) {
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		fail(w, http.StatusBadRequest, "the query cannot be read: "+err.Error())
		return
	}
	for name := range query {
		if name != "deployment" && name != "wait" { // a mistyped one must not mean all Deployments
			fail(w, http.StatusBadRequest, fmt.Sprintf("unknown parameter %q: use deployment or wait", name))
			return
		}
	}
	ctx := req.Context()
	if s := query.Get("wait"); s != "" {
		wait, err := time.ParseDuration(s)
		if err != nil || wait < 0 {
			fail(w, http.StatusBadRequest, fmt.Sprintf("wait is %q: give a duration such as 30s", s))
			return
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	if !a.source.Ready() {
		fail(w, http.StatusServiceUnavailable, a.starting())
		return
	}
	snapshot := a.List(req.Context())
	targets := snapshot.Targets
	if only := query["deployment"]; len(only) > 0 {
		if targets, err = Select(snapshot, only); err != nil {
			fail(w, http.StatusNotFound, err.Error())
			return
		}
	}
	results, err := a.Pass(ctx, targets)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	writeResults(w, results)
}

// Select returns the targets of the given keys. The error names the keys that
// have none, and why.
func Select(snapshot k8s.Snapshot, keys []string) ([]k8s.Target, error) {
	var found []k8s.Target
	var missing []string
	for _, key := range keys {
		is := func(t k8s.Target) bool { return t.Key() == key }
		if i := slices.IndexFunc(snapshot.Targets, is); i >= 0 {
			if !slices.ContainsFunc(found, is) {
				found = append(found, snapshot.Targets[i])
			}
			continue
		}
		why := " (no such Deployment)"
		if i := slices.IndexFunc(snapshot.Untracked, func(u k8s.Untracked) bool { return u.Key() == key }); i >= 0 {
			why = " (" + snapshot.Untracked[i].Reason + ")"
		} else if !strings.Contains(key, "/") {
			why = " (write NAMESPACE/NAME)"
		}
		missing = append(missing, key+why)
	}
	if len(missing) > 0 {
		return nil, errors.New("not tracked: " + strings.Join(missing, ", "))
	}
	return found, nil
}

// Pass brings the targets up to date and returns their results, sorted by
// namespace and name. When ctx ends first, what is not finished is reported as
// pending and goes on.
func (a *API) Pass(ctx context.Context, targets []k8s.Target) ([]reconcile.Result, error) {
	begin := time.Now()
	ctx, ended := a.telemetry.Request(ctx)
	defer ended()
	origins := []any{a.telemetry.Origin(ctx)}
	results := make([]reconcile.Result, 0, len(targets))
	var jobs []queue.Job[k8s.Target]
	for _, t := range targets {
		if t.Disabled() {
			results = append(results, reconcile.Skipped(t))
			a.telemetry.Reconciled(reconcile.ActionSkipped)
			a.History.Report(t, reconcile.Skipped(t), begin)
			continue
		}
		jobs = append(jobs, queue.Job[k8s.Target]{Key: t.Key(), Group: t.Spec.Group(), Value: t, Origins: origins})
	}
	pass, err := a.queue.Submit(jobs)
	if err != nil {
		return nil, errors.New("the operator is shutting down")
	}
	finished, unfinished, err := pass.Wait(ctx)
	for _, r := range finished {
		results = append(results, r)
	}
	byKey := map[string]k8s.Target{}
	if len(unfinished) > 0 {
		for _, t := range targets {
			byKey[t.Key()] = t
		}
	}
	for key, meanwhile := range unfinished {
		switch {
		case errors.Is(err, queue.ErrClosed):
			results = append(results, reconcile.Failed(byKey[key], errors.New("the operator is shutting down; the next pass goes on from here")))
		case meanwhile.Message != "": // it waits for its image, and says so
			results = append(results, meanwhile)
		default:
			results = append(results, reconcile.Pending(byKey[key]))
		}
	}
	a.passed(ctx, results, begin)
	slices.SortFunc(results, func(x, y reconcile.Result) int {
		return cmp.Or(strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Deployment, y.Deployment))
	})
	return results, nil
}

// List returns the Deployments as far as they can be read, and logs what is new
// about them.
func (a *API) List(ctx context.Context) k8s.Snapshot {
	s, err := a.source.Deployments(ctx)
	a.notes.update(a.log, s, err)
	a.History.Keep(s.Targets)
	return s
}

// passed tells what a pass did, the log in one line.
func (a *API) passed(ctx context.Context, results []reconcile.Result, began time.Time) {
	took := time.Since(began)
	a.telemetry.Passed(outcome(results), took)
	counts := map[string]int{}
	for _, r := range results {
		counts[r.Action]++
	}
	a.History.Passed(history.Pass{Began: began, Took: took, Count: counts})
	var parts []string
	for _, action := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[action], action))
	}
	if len(parts) == 0 {
		parts = []string{"no Deployment to reconcile"}
	}
	a.log.Info("pass: "+strings.Join(parts, ", "), append(a.telemetry.LogFields(ctx), zap.Duration("duration", took))...)
}

// starting says what /health means by it, and what is in the way.
func (a *API) starting() string {
	text := "starting: the first listing of Deployments is not complete yet"
	if s, ok := a.source.(interface{ Problem() string }); ok && s.Problem() != "" {
		text += ": " + s.Problem()
	}
	return text
}

func (a *API) health(w http.ResponseWriter, req *http.Request) {
	health := struct {
		Status  string `json:"status"`
		Tracked int    `json:"tracked_deployments"`
	}{Status: "ok"}
	code := http.StatusOK
	if a.source.Ready() {
		health.Tracked = len(a.List(req.Context()).Targets)
	} else {
		health.Status, code = "starting", http.StatusServiceUnavailable
	}
	writeJSON(w, code, health)
}

// writeResults writes a JSON array with one result a line, for people who curl.
func writeResults(w http.ResponseWriter, results []reconcile.Result) {
	w.Header().Set("Content-Type", "application/json")
	WriteResults(w, results)
}

func fail(w http.ResponseWriter, code int, text string) {
	writeJSON(w, code, map[string]string{"error": text})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(telemetry.Plain(w))
	enc.SetEscapeHTML(false)
	enc.Encode(v)
}
