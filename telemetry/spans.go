package telemetry

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// A trace is a request, below it the groups that it was worked on in, below
// these the Deployments, and as children of either the git commands and the HTTP
// calls. Of a URL, only what can hold no secret is shown.

// end ends a span, with an error where there was one.
func end(span trace.Span, failure string, at ...trace.SpanEndOption) {
	if failure != "" {
		span.SetStatus(codes.Error, failure)
	}
	span.End(at...)
}

func messageOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// incoming begins the span of a request, as a child of the caller's. Probes
// and scrapes have none.
func (t *Tracing) incoming(req *http.Request, path, id string) (context.Context, func(code int)) {
	if t == nil || path == "/health" || path == "/metrics" {
		return req.Context(), func(int) {}
	}
	ctx := w3c.Extract(req.Context(), propagation.HeaderCarrier(req.Header))
	ctx, span := t.tracer.Start(ctx, method(req)+" "+path, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", method(req)), attribute.String("http.route", path), attribute.String("request_id", id)))
	return ctx, func(code int) {
		span.SetAttributes(attribute.Int("http.response.status_code", code))
		failure := ""
		if code >= http.StatusInternalServerError {
			failure = http.StatusText(code)
		}
		end(span, failure)
	}
}

// root begins the span of a pass that no request asked for.
func (t *Tracing) root(ctx context.Context, id string) (context.Context, func()) {
	if t == nil {
		return ctx, func() {}
	}
	ctx, span := t.tracer.Start(ctx, "pass", trace.WithAttributes(attribute.String("request_id", id)))
	return ctx, func() { span.End() }
}

// group begins the span of a group: a child of what the first of the jobs came
// from, and linked to what the others did.
func (t *Tracing) group(ctx context.Context, origins []*Origin, repository, branch string, deployments int) (context.Context, func()) {
	if t == nil {
		return ctx, func() {}
	}
	var links []trace.Link
	for i, o := range origins {
		if i == 0 {
			ctx = trace.ContextWithSpanContext(ctx, o.span)
		} else if o.span.IsValid() {
			links = append(links, trace.Link{SpanContext: o.span, Attributes: []attribute.KeyValue{attribute.String("request_id", o.requestID)}})
		}
	}
	ctx, span := t.tracer.Start(ctx, "group", trace.WithLinks(links...), trace.WithAttributes(
		attribute.String("gitops.repository", repository), attribute.String("gitops.branch", branch), attribute.Int("gitops.deployments", deployments)))
	return ctx, func() { span.End() }
}

// GroupFailed marks the span of the group whose context it is.
func (m *Metrics) GroupFailed(ctx context.Context, err error) {
	if m.tracing != nil && err != nil {
		trace.SpanFromContext(ctx).SetStatus(codes.Error, err.Error())
	}
}

// DeploymentBegins begins the span of a Deployment, and returns what puts it
// into contexts.
func (m *Metrics) DeploymentBegins(ctx context.Context, k Key) func(context.Context) context.Context {
	if m.tracing == nil {
		return func(ctx context.Context) context.Context { return ctx }
	}
	span := m.tracing.deployment(ctx, k)
	return func(ctx context.Context) context.Context { return trace.ContextWithSpan(ctx, span) }
}

func (t *Tracing) deployment(ctx context.Context, k Key, options ...trace.SpanStartOption) trace.Span {
	_, span := t.tracer.Start(ctx, "deployment", append(options, trace.WithAttributes(
		attribute.String("k8s.namespace.name", k.Namespace), attribute.String("k8s.deployment.name", k.Name)))...)
	return span
}

// DeploymentEnds ends the span of a Deployment, which is in ctx if it has begun.
// If not, ctx is the group's: then there is a span from begin to now, but for a
// Deployment that is up to date: of these, there may be thousands.
func (m *Metrics) DeploymentEnds(ctx context.Context, begun bool, begin time.Time, e Ending, failure string) {
	if m.tracing == nil {
		return
	}
	span := trace.SpanFromContext(ctx)
	if !begun {
		if e.Action == stateUpToDate {
			return
		}
		span = m.tracing.deployment(ctx, e.Key, trace.WithTimestamp(begin))
	}
	span.SetAttributes(attribute.String("gitops.action", e.Action))
	if e.Head != "" {
		span.SetAttributes(attribute.String("gitops.commit", e.Head))
	}
	end(span, failure)
}

// GitSpan adds the span of a git command that has ended. Of commands that nobody
// asked for there is none.
func (m *Metrics) GitSpan(ctx context.Context, command, repository, branch string, begin time.Time, took time.Duration, err error) {
	if m.tracing == nil || !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	_, span := m.tracing.tracer.Start(ctx, "git "+command, trace.WithTimestamp(begin), trace.WithAttributes(
		attribute.String("gitops.repository", repository), attribute.String("gitops.branch", branch)))
	end(span, messageOf(err), trace.WithTimestamp(begin.Add(took)))
}

// Transport adds spans to the requests that go through next, as calls of the
// given service. It is next itself where there is no tracing.
func (m *Metrics) Transport(service string) func(next http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		if m.tracing == nil {
			return next
		}
		return &outgoing{m.tracing, service, next}
	}
}

// outgoing makes a span of each request. It shows the host and no more of the
// URL: that of a webhook is a secret. Nothing is added to the request: whom it
// goes to need not know about our traces.
type outgoing struct {
	tracing *Tracing
	service string
	next    http.RoundTripper
}

func (o *outgoing) RoundTrip(req *http.Request) (*http.Response, error) {
	if !trace.SpanContextFromContext(req.Context()).IsValid() {
		return o.next.RoundTrip(req)
	}
	_, span := o.tracing.tracer.Start(req.Context(), req.Method+" "+o.service, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("http.request.method", req.Method), attribute.String("server.address", req.URL.Hostname())))
	resp, err := o.next.RoundTrip(req)
	if err != nil {
		end(span, err.Error())
		return nil, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", resp.StatusCode))
	failure := ""
	// Lower ones may well be what was asked for: that an image is not there yet,
	// how to log in. What they come to is told by the Deployment's span.
	if resp.StatusCode >= http.StatusInternalServerError {
		failure = http.StatusText(resp.StatusCode)
	}
	end(span, failure)
	return resp, nil
}

// CloseIdleConnections is for http.Client.
func (o *outgoing) CloseIdleConnections() {
	if c, ok := o.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
