// Package telemetry makes the operator's logger and its Prometheus metrics. It
// decides names and formats; the other rooms only say what happened.
package telemetry

import (
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLogger returns a logger that writes to w, as JSON lines or,
// with format "console", for a terminal.
func NewLogger(w io.Writer, level, format string) (*zap.Logger, error) {
	at, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("unknown log level %q: use debug, info, warn or error", level)
	}
	c := zap.NewProductionEncoderConfig()
	c.TimeKey, c.NameKey = "time", "target"
	c.EncodeTime = zapcore.RFC3339TimeEncoder
	c.EncodeDuration = zapcore.SecondsDurationEncoder
	encoder := zapcore.NewJSONEncoder(c)
	switch format {
	case "json":
	case "console":
		c.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(c)
	default:
		return nil, fmt.Errorf("unknown log format %q: use json or console", format)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), at)), nil
}

// Metrics are the operator's Prometheus metrics.
type Metrics struct {
	registry   *prometheus.Registry
	reconciles *prometheus.CounterVec
}

// NewMetrics returns metrics in a registry of their own, with those of the Go
// runtime and of the process.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		reconciles: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gitops_operator_reconciles_total",
			Help: "Reconciled Deployments, by what was done with them.",
		}, []string{"action"}),
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), m.reconciles)
	for _, action := range []string{"patched", "up_to_date", "skipped", "failed"} {
		m.reconciles.WithLabelValues(action) // present from the start, so that rates have a beginning
	}
	return m
}

// Reconciled counts a Deployment by the action of its result.
func (m *Metrics) Reconciled(action string) { m.reconciles.WithLabelValues(action).Inc() }

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
