package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr/funcr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// Tracing sends traces to an OTLP endpoint. Nil is no tracing, and costs
// nothing.
type Tracing struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	errors   *quietly
}

// w3c reads and writes the header traceparent.
var w3c = propagation.TraceContext{}

// OpenTracing returns what the standard OTEL_* variables ask for: nil without
// an endpoint (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT),
// or with OTEL_SDK_DISABLED=true or OTEL_TRACES_EXPORTER=none. What is wrong with
// them is logged, and turns traces off: the operator's work goes before.
//
// Nobody ever waits for the endpoint. Spans go through a bounded buffer, which
// drops them when it is full; what goes wrong is logged once an hour at most.
func OpenTracing(ctx context.Context, version string, log *zap.Logger) *Tracing {
	if !tracingWanted() {
		return nil
	}
	exporter, err := newExporter(ctx)
	if err != nil {
		log.Error("no traces: "+err.Error(), zap.Error(err))
		return nil
	}
	errors := &quietly{log: log}
	otel.SetErrorHandler(errors)
	otel.SetLogger(funcr.New(func(_, text string) { log.Debug("opentelemetry: " + text) }, funcr.Options{}))
	// What OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME say goes before.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "gitops-operator"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		log.Warn("traces: part of the resource is left out: "+err.Error(), zap.Error(err))
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return &Tracing{provider: provider, tracer: provider.Tracer("github.com/kainlite/gitops-operator"), errors: errors}
}

func tracingWanted() bool {
	endpoint := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	return endpoint != "" && !strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") && os.Getenv("OTEL_TRACES_EXPORTER") != "none"
}

func newExporter(ctx context.Context) (*otlptrace.Exporter, error) {
	if kind := os.Getenv("OTEL_TRACES_EXPORTER"); kind != "" && kind != "otlp" {
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: use otlp or none", kind)
	}
	switch protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf"); protocol {
	case "grpc":
		return otlptracegrpc.New(ctx)
	case "http/protobuf":
		return otlptracehttp.New(ctx)
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: use grpc or http/protobuf", protocol)
	}
}

// Close sends what is left for as long as ctx lasts, and ends the sending.
func (t *Tracing) Close(ctx context.Context) {
	if t == nil {
		return
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		t.errors.Handle(err)
	}
}

// quietly logs what goes wrong with the sending, once an hour at most.
type quietly struct {
	log    *zap.Logger
	mu     sync.Mutex
	logged time.Time
}

const tracingSilence = time.Hour

// Handle implements otel.ErrorHandler.
func (q *quietly) Handle(err error) {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // its URL may hold a token
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := time.Now(); now.Sub(q.logged) > tracingSilence {
		q.logged = now
		q.log.Warn("traces are not delivered: "+err.Error(), zap.Error(err))
	}
}
