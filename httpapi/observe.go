package httpapi

import (
	"net/http"

	"github.com/gorilla/mux"
)

// Telemetry counts requests and serves what was counted.
type Telemetry interface {
	// Serve wraps the handler of all requests. route returns the template of a
	// request's path, "" where it has none.
	Serve(next http.Handler, route func(*http.Request) string) http.Handler
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
