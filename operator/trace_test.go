package operator_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kainlite/gitops-operator/test/fakes"
	"github.com/kainlite/gitops-operator/test/registryserver"
	"github.com/kainlite/gitops-operator/test/world"
)

// receiver takes traces as an OTLP collector does, over gRPC and HTTP.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []*tracepb.Span
	about map[string]string // the resource
	raw   bytes.Buffer      // what came in
}

func (r *receiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintln(&r.raw, req)
	for _, resource := range req.ResourceSpans {
		r.about = map[string]string{}
		for _, a := range resource.Resource.Attributes {
			r.about[a.Key] = a.Value.GetStringValue()
		}
		for _, scope := range resource.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err == nil && req.Header.Get("Content-Encoding") == "gzip" {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(z)
		}
	}
	var message collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &message)
	}
	if err != nil || req.URL.Path != "/v1/traces" {
		http.Error(w, fmt.Sprint(req.URL.Path, err), http.StatusBadRequest)
		return
	}
	r.Export(req.Context(), &message)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// receive starts a receiver, and points the OTEL_* variables at it.
func receive(t *testing.T, protocol string) *receiver {
	t.Helper()
	r := &receiver{}
	var endpoint string
	if protocol == "grpc" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		collector.RegisterTraceServiceServer(server, r)
		go server.Serve(l)
		t.Cleanup(server.Stop)
		endpoint = "http://" + l.Addr().String()
	} else {
		server := httptest.NewServer(r)
		t.Cleanup(server.Close)
		endpoint = server.URL
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
	return r
}

// tree draws the spans of a trace, children below their parents, in the order
// of their names, several alike as one. What hangs on nothing that came in is a root.
func (r *receiver) tree(trace string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := map[string]bool{}
	for _, s := range r.spans {
		ids[string(s.SpanId)] = true
	}
	children := map[string][]*tracepb.Span{}
	for _, s := range r.spans {
		if fmt.Sprintf("%x", s.TraceId) != trace {
			continue
		}
		parent := string(s.ParentSpanId)
		if !ids[parent] {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	var b strings.Builder
	var draw func(parent, indent string)
	draw = func(parent, indent string) {
		list := children[parent]
		slices.SortStableFunc(list, func(x, y *tracepb.Span) int { return strings.Compare(line(x), line(y)) })
		last := ""
		for _, s := range list {
			if text := line(s); text != last || len(children[string(s.SpanId)]) > 0 {
				b.WriteString(indent + text + "\n")
				last = text
			}
			draw(string(s.SpanId), indent+"  ")
		}
	}
	draw("", "")
	return b.String()
}

func line(s *tracepb.Span) string {
	text := s.Name
	for _, a := range s.Attributes {
		switch a.Key {
		case "k8s.deployment.name", "gitops.action", "request_id":
			text += " " + a.Value.GetStringValue()
		}
	}
	if s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		text += " ERROR"
	}
	return text
}

// A caller's trace goes on in the request, its group, the Deployments, and what
// is run and asked for them. What was planted in Secrets is in none of it.
func TestATraceTellsTheWholePass(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			r := receive(t, protocol)
			w := world.New(t)
			registry, err := registryserver.Start(registryserver.Options{Username: "robot", Password: "hunter2-planted"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(registry.Close)
			slack, err := fakes.NewSlack()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(slack.Close)
			w.Secrets["gitops-operator/slack"] = map[string][]byte{"webhook-url": []byte(slack.Webhook())}
			w.Secrets["gitops-operator/regcred"] = map[string][]byte{".dockerconfigjson": fmt.Appendf(nil, `{"auths":{"%s":{"username":"robot","password":"hunter2-planted"}}}`, registry.Addr())}
			head := w.App("kainlite/blog")
			image := registry.Addr() + "/kainlite/blog"
			if err := registry.Push("kainlite/blog", head); err != nil {
				t.Fatal(err)
			}
			w.Commit("kainlite/manifests", map[string]string{"blog.yaml": world.Manifest("blog", image+":old")})
			s := stageOf(t, w, map[string]map[string]string{
				"blog": {"image_name": image, "notifications_secret_name": "slack", "registry_secret_name": "regcred"},
				"lost": {"app_repository": w.Server.URL("kainlite/blog.git"), "image_name": image},
			})
			var log bytes.Buffer
			s.Log = logTo(t, &log, "info", "json")
			o := start(t, s)
			const trace = "0af7651916cd43dd8448eb211c80319c"
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/reconcile", nil)
			req.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
			req.Header.Set("X-Request-Id", "deploy-1")
			answer := httptest.NewRecorder()
			o.handler.ServeHTTP(answer, req)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if _, err := slack.WaitFor(ctx, 1); err != nil {
				t.Error(err)
			}
			ask(t, o, "/health", "probe")
			ask(t, o, "/metrics", "scrape")
			o.Stop()

			want := `GET /reconcile deploy-1
  group
    deployment blog patched
      GET registry
      GET registry ERROR
      HEAD registry
      POST webhook
    deployment lost failed ERROR
    git cat-file
    git clone
    git fast-import
    git ls-remote
    git ls-tree
    git push
    git ssh
    git update-ref
`
			if got := r.tree(trace); got != want {
				t.Errorf("got:\n%s\nwant:\n%s\nanswer: %s\nlog: %s", got, want, answer.Body, &log)
			}
			if r.about["service.name"] != "gitops-operator" || r.about["service.version"] != "v1.2.3" {
				t.Errorf("resource %v", r.about)
			}
			secrets := []string{"hunter2", "robot", "c2VjcmV0LXdlYmhvb2s", "/services/", "PRIVATE KEY"}
			for _, secret := range secrets {
				if strings.Contains(r.raw.String(), secret) {
					t.Errorf("%s is in a trace", secret)
				}
			}
			for _, s := range r.spans {
				if fmt.Sprintf("%x", s.TraceId) != trace {
					t.Errorf("a span of no request: %s", s.Name)
				}
			}
		})
	}
}

// A group that serves two requests is a child of the first, and linked to the
// other.
func TestAGroupIsLinkedToAllItsRequests(t *testing.T) {
	r := receive(t, "http/protobuf")
	w := world.New(t)
	w.App("kainlite/blog")
	w.Commit("kainlite/manifests", map[string]string{"blog.yaml": world.Manifest("blog", "kainlite/blog:old")})
	o := start(t, stageOf(t, w, map[string]map[string]string{"blog": nil}))
	// The first holds the group; the others share the next round.
	w.Server.Stall("", true)
	var asked sync.WaitGroup
	asked.Go(func() { ask(t, o, "/reconcile", "one") })
	until(t, "the first is under way", func() bool { return w.Server.Stats().UploadPacks > 0 })
	asked.Go(func() { ask(t, o, "/reconcile", "two") })
	until(t, "the second waits", func() bool { return o.Stats().Pending == 1 })
	asked.Go(func() { ask(t, o, "/reconcile", "three") })
	// Nothing shows that the third has joined but its place in the queue's job.
	until(t, "the third waits", func() bool {
		return strings.Contains(ask(t, o, "/metrics", ""), "gitops_operator_http_requests_in_flight 4\n")
	})
	w.Server.Stall("", false)
	asked.Wait()
	o.Stop()

	names := map[string]string{} // of requests, by span
	for _, s := range r.spans {
		if strings.HasPrefix(s.Name, "GET ") {
			names[string(s.SpanId)] = line(s)
		}
	}
	var groups []string
	for _, s := range r.spans {
		if s.Name == "group" {
			text := names[string(s.ParentSpanId)]
			for _, l := range s.Links {
				text += ", also " + names[string(l.SpanId)]
			}
			groups = append(groups, text)
		}
	}
	if want := []string{"GET /reconcile one", "GET /reconcile two, also GET /reconcile three"}; !slices.Equal(groups, want) {
		t.Errorf("groups %q, want %q", groups, want)
	}
}

// An endpoint that is down, or hangs, delays no pass, and is one line in the log.
func TestADeadEndpointCostsNothing(t *testing.T) {
	hanging, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for _, endpoint := range []string{"http://" + hanging.Addr().String(), "http://" + gone.Addr().String()} {
		for _, protocol := range []string{"grpc", "http/protobuf"} {
			t.Run(protocol, func(t *testing.T) {
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
				t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
				t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
				t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
				w := world.New(t)
				w.App("kainlite/blog")
				w.Commit("kainlite/manifests", map[string]string{"blog.yaml": world.Manifest("blog", "kainlite/blog:old")})
				var log bytes.Buffer
				s := stageOf(t, w, map[string]map[string]string{"blog": nil})
				s.Log = logTo(t, &log, "info", "json")
				o := start(t, s)
				for range 3 {
					if body := ask(t, o, "/reconcile", "x"); strings.Contains(body, "failed") {
						t.Error(body)
					}
				}
				o.Stop()
				if n := strings.Count(log.String(), "traces are not delivered"); n != 1 {
					t.Errorf("%d lines about traces, want 1:\n%s", n, &log)
				}
			})
		}
	}
}

func TestTracesAreOffUnlessAskedFor(t *testing.T) {
	for name, set := range map[string][2]string{
		"no endpoint":      {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"},
		"disabled":         {"OTEL_SDK_DISABLED", "true"},
		"exporter none":    {"OTEL_TRACES_EXPORTER", "none"},
		"unknown protocol": {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"},
		"unknown exporter": {"OTEL_TRACES_EXPORTER", "zipkin"},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "no endpoint" {
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			}
			t.Setenv(set[0], set[1])
			w := world.New(t)
			var log bytes.Buffer
			s := stageOf(t, w, map[string]map[string]string{"blog": nil})
			s.Log = logTo(t, &log, "info", "json")
			o := start(t, s)
			defer o.Stop()
			if o.Metrics().Transport("x")(http.DefaultTransport) != http.DefaultTransport {
				t.Error("there are traces")
			}
			if wants := strings.HasPrefix(name, "unknown"); wants != strings.Contains(log.String(), "no traces: OTEL_") {
				t.Errorf("log: %s", &log)
			}
		})
	}
}
