package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

// access says who may ask for a path where there is a token.
type access int

const (
	needsToken   access = iota // who knows the token
	mayNeedToken               // everybody, unless metrics are protected too
	open                       // everybody: it tells nothing, or has a secret of its own
)

// route is a path, and all that is particular to it.
type route struct {
	path    string
	methods []string
	access  access
	// body is how many bytes of a request's body are read, and ignored, before
	// serve is called; 0: serve reads it.
	body   int64
	starts bool // it starts a pass: other sites' pages must not
	serve  func(*API, http.ResponseWriter, *http.Request)
}

var (
	get       = []string{http.MethodGet}
	post      = []string{http.MethodPost}
	getOrPost = []string{http.MethodGet, http.MethodPost}
)

// routes are all the paths that there are.
var routes = []route{
	{path: "/", methods: get, body: maxBody, serve: (*API).page},
	{path: "/api/v1/deployments", methods: get, body: maxBody, serve: (*API).apiDeployments},
	{path: "/api/v1/passes", methods: get, body: maxBody, serve: (*API).apiPasses},
	{path: "/reconcile", methods: getOrPost, body: maxBody, starts: true, serve: (*API).reconcile},
	{path: "/status", methods: get, body: maxBody, serve: (*API).status},
	{path: "/debug", methods: get, body: maxBody, serve: (*API).debug},
	{path: "/webhook", methods: post, access: open, serve: (*API).webhook},
	{path: "/health", methods: get, access: open, body: maxBody, serve: (*API).health},
	{path: "/metrics", methods: get, access: mayNeedToken, body: maxBody, serve: (*API).metrics},
}

// routeOf returns the route of a path, which is compared as it came. What has
// none is guarded all the same.
func routeOf(path string) route {
	if i := slices.IndexFunc(routes, func(r route) bool { return r.path == path }); i >= 0 {
		return routes[i]
	}
	return route{path: path, methods: get, body: maxBody}
}

// Handler routes the requests that the guards let through.
func (a *API) Handler(guards ...func(http.Handler) http.Handler) http.Handler {
	router := mux.NewRouter()
	router.SkipClean(true) // no redirects to a cleaned path
	for _, r := range routes {
		router.HandleFunc(r.path, func(w http.ResponseWriter, req *http.Request) { r.serve(a, w, req) }).Methods(r.methods...)
	}
	router.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "no such path: try /reconcile, /status, /debug, /health or /metrics")
	})
	router.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		allow := strings.Join(routeOf(req.URL.Path).methods, ", ")
		w.Header().Set("Allow", allow)
		fail(w, http.StatusMethodNotAllowed, "method not allowed: use "+allow)
	})
	guarded := sameSite(router)
	for _, guard := range guards {
		guarded = guard(guarded)
	}
	return a.observed(router, guarded) // outside: what is refused counts too
}
