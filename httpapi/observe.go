package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/mux"
	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/reconcile"
)

// Telemetry counts requests, passes and results, and serves what was counted.
type Telemetry interface {
	// Serve wraps the handler of all requests. route returns the template of a
	// request's path, "" where it has none.
	Serve(next http.Handler, route func(*http.Request) string) http.Handler
	// Request returns a context for a pass, with the name of a request, and how
	// to end it.
	Request(ctx context.Context) (context.Context, func())
	// Origin is what a job carries of the request that ctx belongs to.
	Origin(ctx context.Context) any
	// LogFields are what ctx adds to a log line.
	LogFields(ctx context.Context) []zap.Field
	Reconciled(action string)
	// Passed tells of a pass: "success", "failure" or "pending".
	Passed(outcome string, took time.Duration)
	// Handler serves the metrics.
	Handler() http.Handler
}

// observed has telemetry see every request to next, whose routes are r's.
func (a *API) observed(r *mux.Router, next http.Handler) http.Handler {
	return a.telemetry.Serve(next, func(req *http.Request) string {
		var m mux.RouteMatch
		if !r.Match(req, &m) || m.MatchErr != nil || m.Route == nil {
			return ""
		}
		path, err := m.Route.GetPathTemplate()
		if err != nil {
			return ""
		}
		return path
	})
}

// outcome sums a pass up.
func outcome(results []reconcile.Result) string {
	sum := "success"
	for _, r := range results {
		switch r.Action {
		case reconcile.ActionFailed:
			return "failure"
		case reconcile.ActionPending:
			sum = "pending"
		}
	}
	return sum
}
