package telemetry

import (
	"context"
	"crypto/rand"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// RequestIDHeader carries a request's name: the caller's, or one made here.
const RequestIDHeader = "X-Request-Id"

// saneID is what a caller may name a request: it goes into logs and headers.
var saneID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}$`)

type requestKey struct{}

// Origin is what a job carries of the request that asked for it.
type Origin struct {
	requestID string
	span      trace.SpanContext
}

// Request returns a context for a pass, and how to end it. A request's own is
// named already; any other gets a name, and a span.
func (m *Metrics) Request(ctx context.Context) (context.Context, func()) {
	if _, named := ctx.Value(requestKey{}).(string); named {
		return ctx, func() {}
	}
	id := rand.Text()
	return m.tracing.root(withRequestID(ctx, id), id)
}

func withRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// Origin returns what jobs carry of the request that ctx belongs to.
func (m *Metrics) Origin(ctx context.Context) any {
	id, _ := ctx.Value(requestKey{}).(string)
	return &Origin{id, trace.SpanContextFromContext(ctx)}
}

// Group returns a context for the work on a group whose jobs have these
// origins, and how to end it. It is named after the first job's first.
func (m *Metrics) Group(ctx context.Context, origins [][]any, repository, branch string) (context.Context, func()) {
	var distinct []*Origin
	for _, job := range origins {
		for _, o := range job {
			if o := o.(*Origin); !slices.Contains(distinct, o) && len(distinct) < maxLinks {
				distinct = append(distinct, o)
			}
		}
	}
	if len(distinct) > 0 {
		ctx = withRequestID(ctx, distinct[0].requestID)
	}
	return m.tracing.group(ctx, distinct, repository, branch, len(origins))
}

// maxLinks bounds the requests that a group's span names.
const maxLinks = 32

// LogFields are what ctx adds to a log line.
func (m *Metrics) LogFields(ctx context.Context) []zap.Field {
	id, _ := ctx.Value(requestKey{}).(string)
	return idField(id)
}

// LogFields are what the first of a job's origins adds to a log line.
func LogFields(origins []any) []zap.Field {
	if len(origins) == 0 {
		return nil
	}
	return idField(origins[0].(*Origin).requestID)
}

func idField(id string) []zap.Field {
	if id == "" {
		return nil
	}
	return []zap.Field{zap.String("request_id", id)}
}

// Serve names, counts and times the requests that next answers. route returns
// the template of a request's path, or "" for one that has no route.
func (m *Metrics) Serve(next http.Handler, route func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		begin := time.Now()
		m.inFlight.Inc()
		path := route(req)
		if path == "" {
			path = "other"
		}
		id := req.Header.Get(RequestIDHeader)
		if !saneID.MatchString(id) {
			id = rand.Text()
		}
		w.Header().Set(RequestIDHeader, id)
		ctx, ended := m.tracing.incoming(req, path, id)
		answer := &answer{ResponseWriter: w, code: http.StatusInternalServerError} // what a panic comes to
		defer func() {
			m.inFlight.Dec()
			ended(answer.code)
			observe(m.requests, time.Since(begin), path, method(req), strconv.Itoa(answer.code))
		}()
		next.ServeHTTP(answer, req.WithContext(withRequestID(ctx, id)))
		if !answer.begun {
			answer.code = http.StatusOK
		}
	})
}

// method bounds what a label may say.
func method(req *http.Request) string {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
		return req.Method
	}
	return "other"
}

// answer remembers the status.
type answer struct {
	http.ResponseWriter
	begun bool
	code  int
}

func (a *answer) WriteHeader(code int) {
	if !a.begun && code >= http.StatusOK {
		a.begun, a.code = true, code
	}
	a.ResponseWriter.WriteHeader(code)
}

func (a *answer) Write(b []byte) (int, error) {
	if !a.begun {
		a.begun, a.code = true, http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
