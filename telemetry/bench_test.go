package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/zap"
)

// BenchmarkNoopPass is what telemetry adds to a pass over 1,000 Deployments of
// one group in which nothing changes.
func BenchmarkNoopPass(b *testing.B) {
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer collector.Close()
	keys := make([]Key, 1000)
	for i := range keys {
		keys[i] = Key{"default", fmt.Sprintf("app%04d", i)}
	}
	for _, traced := range []bool{false, true} {
		b.Run(fmt.Sprintf("traced=%v", traced), func(b *testing.B) {
			var tracing *Tracing
			if traced {
				b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
				tracing = OpenTracing(b.Context(), "v1", zap.NewNop())
				defer tracing.Close(context.Background())
			}
			m := NewMetrics(MetricsOptions{Tracing: tracing})
			for b.Loop() {
				ctx, ended := m.Request(b.Context())
				origins := make([][]any, len(keys))
				one := []any{m.Origin(ctx)}
				for i := range keys {
					origins[i] = one
					m.Waited(time.Millisecond)
				}
				group, done := m.Group(ctx, origins, "git@host:o/r.git", "master")
				begin := time.Now()
				for range 24 { // 20 heads, a fetch, and three local commands
					m.Git("ls-remote", "success", time.Millisecond)
					m.GitSpan(group, "ls-remote", "git@host:o/r.git", "master", begin, time.Millisecond, nil)
				}
				for _, k := range keys {
					e := Ending{Key: k, Action: "up_to_date", Head: "e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5", Seen: begin}
					m.Ended(e)
					m.DeploymentEnds(group, false, begin, e, "")
					m.Reconciled("up_to_date")
				}
				m.Worked("git@host:o/r.git", "master", true, len(keys), time.Since(begin))
				done()
				m.Passed("success", time.Since(begin))
				ended()
			}
		})
	}
	b.Run("scrape", func(b *testing.B) {
		m := NewMetrics(MetricsOptions{PerDeployment: true})
		m.Watch(func() State { return State{Healthy: true, Enabled: keys} })
		for b.Loop() {
			scrape(m)
		}
	})
}
