package httpapi_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kainlite/gitops-operator/httpapi"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/notify"
	"github.com/kainlite/gitops-operator/operator"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a fixed list of Deployments.
type source struct {
	snapshot k8s.Snapshot
	err      error
	starting bool
	problem  string
}

func (s *source) Deployments(context.Context) (k8s.Snapshot, error) { return s.snapshot, s.err }
func (s *source) Ready() bool                                       { return !s.starting }
func (s *source) Problem() string                                   { return s.problem }

// api is a server in front of a real queue, whose jobs wait for release.
type api struct {
	t        *testing.T
	url      string
	source   *source
	operator *operator.Operator
	release  chan struct{}
	log      *observer.ObservedLogs
	api      *httpapi.API
	secret   string // the file with the webhook secret, which is "planted-s3cret"
}

func start(t *testing.T, targets ...k8s.Target) *api {
	slices.SortStableFunc(targets, func(x, y k8s.Target) int {
		return cmp.Or(strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Name, y.Name))
	})
	a := &api{t: t, source: &source{snapshot: k8s.Snapshot{Targets: targets}}, release: make(chan struct{})}
	work := func(ctx context.Context, jobs []reconcile.Job, done reconcile.Done) {
		for i, j := range jobs {
			if strings.HasPrefix(j.Target.Name, "slow") {
				select {
				case <-a.release:
				case <-ctx.Done():
					return
				}
			}
			r := reconcile.Result{Deployment: j.Target.Name, Namespace: j.Target.Namespace, Action: "patched"}
			done(ctx, i, reconcile.Outcome{Target: j.Target, Result: r})
		}
	}
	core, logs := observer.New(zap.InfoLevel)
	a.log = logs
	metrics := telemetry.NewMetrics(telemetry.MetricsOptions{})
	a.operator = operator.New(operator.Parts{Source: a.source, Work: work, Workers: 2, Metrics: metrics, Log: zap.New(core)})
	a.api = httpapi.New(a.operator, metrics, zap.New(core))
	a.secret = write(t, filepath.Join(t.TempDir(), "secret"), "planted-s3cret\n")
	var err error
	if a.api.WebhookSecret, err = httpapi.OpenSecretFile(a.secret, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(a.api.Handler())
	a.url = server.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		a.operator.CloseQueue(ctx)
		a.operator.Stop()
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return a
}

func target(namespace, name string) k8s.Target {
	return k8s.Target{Ref: k8s.Ref{Namespace: namespace, Name: name}, Spec: &k8s.Spec{Config: k8s.Config{Enabled: true, ManifestRepository: name}}}
}

func (a *api) get(path string) (int, string) {
	a.t.Helper()
	resp, err := http.Get(a.url + path)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if !json.Valid(body) {
		a.t.Errorf("%s: not JSON: %s", path, body)
	}
	return resp.StatusCode, string(body)
}

func (a *api) status() string {
	a.t.Helper()
	resp, err := http.Get(a.url + "/status")
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(body)
}

func TestResultsAreSortedByNamespaceThenName(t *testing.T) {
	a := start(t, target("a-b", "x"), target("a", "z"), target("a", "y"))
	code, body := a.get("/reconcile")
	var results []struct{ Namespace, Deployment string }
	if err := json.Unmarshal([]byte(body), &results); err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, r := range results {
		got += r.Namespace + "/" + r.Deployment + " "
	}
	if code != 200 || got != "a/y a/z a-b/x " {
		t.Errorf("%d %s", code, got)
	}
}

func TestNothingTrackedIsAnEmptyArray(t *testing.T) {
	a := start(t)
	for _, path := range []string{"/reconcile", "/debug"} {
		if code, body := a.get(path); code != 200 || strings.Join(strings.Fields(body), "") != "[]" {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
}

// What takes longer than wait is reported as pending, goes on, and is joined by
// the next request.
func TestWaitReportsPendingAndThePassGoesOn(t *testing.T) {
	a := start(t, target("default", "fast"), target("default", "slow"))
	code, body := a.get("/reconcile?wait=50ms")
	want := `{"deployment":"slow","namespace":"default","action":"pending","status":"pending","message":"Deployment slow is still being worked on; the pass goes on in the background"}`
	if code != 200 || !strings.Contains(body, want) || !strings.Contains(body, `"deployment":"fast","namespace":"default","action":"patched"`) {
		t.Errorf("%d %s", code, body)
	}
	close(a.release)
	if code, body := a.get("/reconcile?wait=1m"); code != 200 || strings.Contains(body, "pending") {
		t.Errorf("%d %s", code, body)
	}
}

func TestClientThatGoesAwayCancelsNothing(t *testing.T) {
	a := start(t, target("default", "slow"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/reconcile", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Fatal("the client was to give up")
	}
	if running := a.operator.Stats().Running; running != 1 {
		t.Errorf("%d groups run after the client went away", running)
	}
	close(a.release)
	if _, body := a.get("/reconcile"); !strings.Contains(body, `"action":"patched"`) {
		t.Error(body)
	}
}

func TestStartingIsSaid(t *testing.T) {
	a := start(t, target("default", "fast"))
	a.source.starting = true
	for path, want := range map[string]string{
		"/health":    `{"status":"starting","tracked_deployments":0}`,
		"/reconcile": `{"error":"starting: the first listing of Deployments is not complete yet"}`,
	} {
		if code, body := a.get(path); code != http.StatusServiceUnavailable || strings.TrimSpace(body) != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestStartingSaysWhatIsInTheWay(t *testing.T) {
	a := start(t)
	a.source.starting, a.source.problem = true, "cannot reach the API server"
	want := "starting: the first listing of Deployments is not complete yet: cannot reach the API server"
	if _, body := a.get("/reconcile"); strings.TrimSpace(body) != `{"error":"`+want+`"}` {
		t.Errorf("got %s", body)
	}
	if got := a.status(); got != "gitops-operator status\n"+want+"\n" {
		t.Errorf("got %s", got)
	}
}

func TestShutdownAnswersWhoWaits(t *testing.T) {
	a := start(t, target("default", "slow"), target("default", "slow-too"), target("default", "slow-three"))
	answered := make(chan string)
	go func() {
		resp, err := http.Get(a.url + "/reconcile")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answered <- string(body)
	}()
	for a.operator.Stats().Running < 2 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.operator.CloseQueue(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
	body := <-answered
	if strings.Count(body, `"action":"failed","status":"failure","message":"Deployment slow`) != 3 ||
		strings.Count(body, "the operator is shutting down; the next pass goes on from here") != 3 {
		t.Errorf("got %s", body)
	}
	if code, body := a.get("/reconcile"); code != http.StatusServiceUnavailable || !strings.Contains(body, `{"error":"the operator is shutting down"}`) {
		t.Errorf("after the end: %d %s", code, body)
	}
}

func TestSourceThatFailsServesTheLastStateAndLogs(t *testing.T) {
	a := start(t, target("default", "fast"))
	a.source.err = errors.New("parse cluster.yaml: line 3")
	if code, body := a.get("/reconcile"); code != 200 || !strings.Contains(body, "patched") {
		t.Errorf("%d %s", code, body)
	}
	a.get("/health")
	if n := a.log.FilterMessage("Deployments not read; going on with the last that were").Len(); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if got := a.status(); !strings.Contains(got, "\nstale: the newest state could not be read: parse cluster.yaml: line 3\n") {
		t.Errorf("status does not say so:\n%s", got)
	}
	a.source.err = nil
	a.get("/health")
	if n := a.log.FilterMessage("Deployments are read again").Len(); n != 1 {
		t.Errorf("recovery was logged %d times", n)
	}
	if got := a.status(); strings.Contains(got, "stale") {
		t.Errorf("status still says so:\n%s", got)
	}
}

// A Deployment that cannot be tracked must not vanish without a word.
func TestWhatIsWrongWithDeploymentsIsLoggedOncePerChange(t *testing.T) {
	a := start(t, target("default", "fast"))
	a.source.snapshot.Untracked = []k8s.Untracked{{Namespace: "default", Name: "y", Reason: "missing annotation x"}}
	for range 3 {
		a.get("/reconcile")
	}
	if n := a.log.FilterMessage("not tracked: default/y: missing annotation x").Len(); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if n := a.log.FilterMessage("Deployments: 1 tracked, 1 not tracked").Len(); n != 1 {
		t.Errorf("the count was logged %d times", n)
	}
	if n := a.log.FilterMessage("pass: 1 patched").Len(); n != 3 {
		t.Errorf("%d passes were logged", n)
	}
	a.source.snapshot.Untracked[0].Reason = "missing annotation z"
	a.get("/health")
	if n := a.log.FilterMessage("not tracked: default/y: missing annotation z").Len(); n != 1 {
		t.Errorf("the change was logged %d times", n)
	}
	if code, body := a.get("/reconcile?deployment=default/y&deployment=nope&deployment=default/fast"); code != http.StatusNotFound ||
		strings.TrimSpace(body) != `{"error":"not tracked: default/y (missing annotation z), nope (write NAMESPACE/NAME)"}` {
		t.Errorf("%d %s", code, body)
	}
}

// Annotations come from whoever may write Deployments: they must not reach a
// terminal as they are.
func TestStatusShowsNoTerminalEscapes(t *testing.T) {
	evil := target("default", "x")
	evil.Container, evil.Version = "\x1b]0;owned\a", "\u202e1"
	evil.Spec.ObserveBranch = "a\nb"
	a := start(t, evil)
	a.source.snapshot.Untracked = []k8s.Untracked{{Namespace: "default", Name: "y", Reason: "missing\r\x1b[2J"}}
	body := a.status()
	if strings.ContainsAny(body, "\x1b\a\r\u202e") || strings.Count(body, "\n") != 7 {
		t.Errorf("%q", body)
	}
}

// A webhook's URL may point anywhere, even at an operator: the pass would fail,
// be told of, and so start the next one.
func TestANotificationStartsNoPass(t *testing.T) {
	a := start(t, target("default", "blog"))
	n := notify.New(notify.Options{})
	for _, path := range []string{"/reconcile", "/reconcile?deployment=default/blog"} {
		n.Send(a.url+path, notify.Failure("it failed"))
	}
	n.Close(t.Context())
	if passes := a.log.FilterMessageSnippet("pass: ").Len(); passes != 0 {
		t.Errorf("notifications started %d passes", passes)
	}
	if code, body := a.get("/reconcile"); code != 200 || !strings.Contains(body, "patched") {
		t.Errorf("%d %s", code, body)
	}
}
