// Package httpapi is the operator's HTTP API: who may ask for what, within which
// limits, and how the answers are written. Every path is one line of the table in
// routes.go. What is done is the operator's; nothing is decided here about a
// Deployment.
package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/internal/output"
	"github.com/kainlite/gitops-operator/notify"
	"github.com/kainlite/gitops-operator/operator"
	"github.com/kainlite/gitops-operator/telemetry"
)

// API answers requests.
type API struct {
	operator  *operator.Operator
	telemetry Telemetry
	log       *zap.Logger
	told      told

	// WebhookSecret is what senders of webhooks know; without it, no webhook is
	// accepted. Set it before Handler.
	WebhookSecret *SecretFile
	webhooks      chan struct{} // one each for those whose bodies are read
}

// New returns an API of the operator.
func New(o *operator.Operator, t Telemetry, log *zap.Logger) *API {
	return &API{operator: o, telemetry: t, log: log, webhooks: make(chan struct{}, webhooksAtOnce)}
}

// reconcile runs a pass and answers with what became of each Deployment.
func (a *API) reconcile(w http.ResponseWriter, req *http.Request) {
	if req.Header.Get(notify.Header) != "" { // its failures would be told of, and so on without end
		fail(w, http.StatusLoopDetected, "this is an operator's notification, and starts no pass: let the webhook's URL point elsewhere")
		return
	}
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
	if !a.operator.Ready() {
		fail(w, http.StatusServiceUnavailable, a.operator.Starting())
		return
	}
	snapshot := a.operator.List(req.Context())
	targets := snapshot.Targets
	if only := query["deployment"]; len(only) > 0 {
		if targets, err = operator.Select(snapshot, only); err != nil {
			fail(w, http.StatusNotFound, err.Error())
			return
		}
	}
	results, err := a.operator.Pass(ctx, targets)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	output.Results(w, results) // a client that has gone cannot be told
}

func (a *API) health(w http.ResponseWriter, req *http.Request) {
	health := struct {
		Status  string `json:"status"`
		Tracked int    `json:"tracked_deployments"`
	}{Status: "ok"}
	code := http.StatusOK
	if a.operator.Ready() {
		health.Tracked = len(a.operator.List(req.Context()).Targets)
	} else {
		health.Status, code = "starting", http.StatusServiceUnavailable
	}
	writeJSON(w, code, health)
}

func (a *API) metrics(w http.ResponseWriter, req *http.Request) {
	a.telemetry.Handler().ServeHTTP(w, req)
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
