package observability

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// collect starts the Collector's OTLP receiver, and returns what it takes in and
// where it listens, by protocol.
func collect(t *testing.T) (*consumertest.TracesSink, map[string]string) {
	t.Helper()
	// The receiver does not tell which ports it got. Both are held at once, so that they differ.
	var listeners [2]net.Listener
	var free [2]string
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[i], free[i] = l, l.Addr().String()
	}
	for _, l := range listeners {
		l.Close()
	}
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	config.GRPC.GetOrInsertDefault().NetAddr.Endpoint = free[0]
	config.HTTP.GetOrInsertDefault().ServerConfig.NetAddr.Endpoint = free[1]
	sink := new(consumertest.TracesSink)
	receiver, err := factory.CreateTraces(t.Context(), receivertest.NewNopSettings(factory.Type()), config, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := receiver.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return sink, map[string]string{"grpc": "http://" + free[0], "http/protobuf": "http://" + free[1]}
}

// spansOf are a trace's, each as "service: parent > name", with what became of a
// Deployment; what hangs on a span that did not come in has no parent.
func spansOf(sink *consumertest.TracesSink, trace string) (spans []string) {
	type span struct{ parent, service, name, text string }
	all := map[string]span{}
	for _, batch := range sink.AllTraces() {
		for _, resource := range batch.ResourceSpans().All() {
			service := ""
			if v, ok := resource.Resource().Attributes().Get("service.name"); ok {
				service = v.Str()
			}
			for _, scope := range resource.ScopeSpans().All() {
				for _, s := range scope.Spans().All() {
					if s.TraceID().String() != trace {
						continue
					}
					text := s.Name()
					for _, key := range []string{"k8s.deployment.name", "gitops.action"} {
						if v, ok := s.Attributes().Get(key); ok {
							text += " " + v.Str()
						}
					}
					all[s.SpanID().String()] = span{s.ParentSpanID().String(), service, s.Name(), text}
				}
			}
		}
	}
	for _, s := range all {
		spans = append(spans, fmt.Sprintf("%s: %s > %s", s.service, all[s.parent].name, s.text))
	}
	slices.Sort(spans)
	return spans
}

// The Collector's own receiver takes the traces of a real operator, over both
// protocols: of one request, in which a Deployment is patched and another fails.
func TestTheCollectorTakesTheTraces(t *testing.T) {
	for protocol, trace := range map[string]string{
		"grpc": "0af7651916cd43dd8448eb211c80319c", "http/protobuf": "4bf92f3577b34da6a3ce929d0e0e4736",
	} {
		t.Run(protocol, func(t *testing.T) {
			sink, endpoints := collect(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoints[protocol])
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
			s := newStage(t)
			s.like("lost", "apps/blog.yaml", "apps/lost.yaml")
			s.commit("blog", "main.go", "package main // traced\n")
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.operator+"/reconcile", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()

			want := []string{
				"gitops-operator:  > GET /reconcile", "gitops-operator: GET /reconcile > group",
				"gitops-operator: group > deployment blog patched", "gitops-operator: group > deployment lost failed",
				"gitops-operator: group > git ls-remote", "gitops-operator: group > git push",
			}
			for late := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
				got := spansOf(sink, trace)
				missing := slices.DeleteFunc(slices.Clone(want), func(w string) bool { return slices.Contains(got, w) })
				if len(missing) == 0 {
					break
				}
				if time.Now().After(late) {
					t.Fatalf("of %d spans, the trace lacks\n%s\ngot\n%s", sink.SpanCount(), strings.Join(missing, "\n"), strings.Join(got, "\n"))
				}
			}
		})
	}
}
