package telemetry

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// busy returns metrics of which each family has a series.
func busy(perDeployment bool) *Metrics {
	m := NewMetrics(MetricsOptions{Version: "v1", Revision: "abc", Workers: 8, PerDeployment: perDeployment, Reasons: []string{"auth"}})
	blog, api := Key{"default", "blog"}, Key{"default", "api"}
	m.Watch(func() State {
		return State{Healthy: true, Enabled: []Key{blog, api}, Disabled: []Key{{"default", "off"}}, Untracked: 2,
			Repositories: []Repository{{"git@host:o/r.git", "main"}, {"git@host:o/new.git", "main"}}, Pending: 3, Delayed: 1, Busy: 2, OldestPending: time.Second}
	})
	m.Reconciled("patched")
	m.Failed("auth")
	m.Passed("success", time.Second)
	m.Waited(time.Second)
	m.Ended(Ending{Key: blog, Action: "patched", Head: "e4f5", Seen: time.Now().Add(-time.Minute)})
	m.Ended(Ending{Key: api, Action: "failed", Head: "e4f5", Seen: time.Now().Add(-time.Minute), Behind: true})
	m.Worked("git@host:o/r.git", "main", true, 2, time.Second)
	m.Pushed("accepted", 2)
	m.Retried("branch_moved")
	m.Git("fetch", "success", time.Second)
	m.Connected("success", time.Second)
	m.Fetched("clone", 100)
	m.PushedBytes(100)
	m.RegistryAsked("present", time.Second)
	m.BuildsAsked("running", time.Second)
	m.Notified("delivered")
	h := m.Serve(http.NotFoundHandler(), func(*http.Request) string { return "" })
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("PROPFIND", "/", nil))
	return m
}

func scrape(m *Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func TestNamesAreAsPrometheusWantsThem(t *testing.T) {
	problems, err := testutil.GatherAndLint(busy(true).registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestPromtoolFindsNothing(t *testing.T) {
	check := exec.Command(promtool(t), "check", "metrics")
	check.Stdin = strings.NewReader(scrape(busy(true)))
	if out, err := check.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// documented is a row of docs/metrics.md: name, type, labels. The labels are
// in backticks, their values are not.
var documented = regexp.MustCompile("(?m)^\\| `(gitops_operator_[a-z_]+)` \\| (counter|gauge|histogram) \\| ([^|]*)\\|")

// docs/metrics.md says what there is, and nothing else.
func TestEveryMetricIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, row := range documented.FindAllStringSubmatch(string(page), -1) {
		var labels []string
		if strings.HasPrefix(row[1], prefix+"deployment_") {
			labels = append(labels, "deployment", "namespace")
		}
		for _, label := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(row[3], -1) {
			labels = append(labels, label[1])
		}
		slices.Sort(labels)
		rows = append(rows, fmt.Sprint(row[1], " ", row[2], " ", labels))
	}
	families, err := busy(true).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), prefix) {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		there = append(there, fmt.Sprint(f.GetName(), " ", strings.ToLower(f.GetType().String()), " ", labels))
	}
	slices.Sort(rows)
	slices.Sort(there)
	if got, want := strings.Join(there, "\n"), strings.Join(rows, "\n"); got != want {
		t.Errorf("there are:\n%s\n\ndocs/metrics.md has:\n%s", got, want)
	}
}

func expect(t *testing.T, m *Metrics, lines ...string) {
	t.Helper()
	got := scrape(m)
	for _, line := range lines {
		if !strings.Contains(got, "\n"+prefix+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			name, _, _ = strings.Cut(name, " ")
			t.Errorf("want %s, got:\n%s", line, strings.Join(regexp.MustCompile("(?m)^"+prefix+name+".*").FindAllString(got, -1), "\n"))
		}
	}
}

func TestDeploymentsAreCountedByState(t *testing.T) {
	m := busy(false)
	m.Ended(Ending{Key: Key{"default", "gone"}, Action: "failed", Behind: true, Head: "1", Seen: time.Now()})
	expect(t, m,
		`deployments{state="up_to_date"} 1`, `deployments{state="failed"} 1`, `deployments{state="pending"} 0`,
		`deployments{state="disabled"} 1`, `deployments{state="unknown"} 0`, `deployments{state="untracked"} 2`,
		`deployments_behind 1`, `source_healthy 1`, `queue_jobs{state="pending"} 3`, `workers_busy 2`,
		`repository_last_success_timestamp_seconds{branch="main",repository="git@host:o/new.git"} 0`)
	if strings.Contains(scrape(m), prefix+"deployment_state") {
		t.Error("series for each Deployment that nobody asked for")
	}
	if n := len(m.progress.deployments); n != 2 {
		t.Errorf("%d Deployments in mind, want the 2 that are tracked", n)
	}
	// One that is tracked no more takes its series along.
	m.Watch(func() State { return State{Healthy: true} })
	if got := scrape(m); strings.Contains(got, "o/r.git") || len(m.progress.repositories) > 0 {
		t.Error("a repository that is tracked no more is still shown")
	}
	expect(t, m, `deployments{state="up_to_date"} 0`, `deployments_behind 0`, `oldest_commit_behind_seconds 0`)
}

func TestLagIsFromTheFirstSight(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	var lags []float64
	m.progress.lag = func(s float64) { lags = append(lags, s) }
	now := time.Now()
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	blog := Key{"default", "blog"}
	end := func(seconds int, action, head string, behind bool) {
		m.progress.ended(Ending{Key: blog, Action: action, Head: head, Seen: at(seconds), Behind: behind}, at(seconds))
	}
	end(0, "failed", "a", true)  // its image is missing
	end(10, "failed", "b", true) // somebody pushes a mend
	end(20, "failed", "", false) // the remote is away: nothing is known
	if since := m.progress.deployments[blog].behindSince; !since.Equal(at(0)) {
		t.Errorf("behind since %s, want the first commit that did not arrive", since)
	}
	end(30, "pending", "b", true)
	end(40, "patched", "b", true)
	end(50, "up_to_date", "b", false)
	end(60, "patched", "c", true)
	if !slices.Equal(lags, []float64{30, 0}) {
		t.Errorf("lags %v, want 30 from the first sight of b, and 0", lags)
	}
	if r := m.progress.deployments[blog]; !r.behindSince.IsZero() || !r.changed.Equal(at(60)) {
		t.Errorf("in the end: %+v", r)
	}
}

func TestRequestsAreNamedAndCounted(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	var seen []string
	h := m.Serve(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		f := m.LogFields(req.Context())
		seen = append(seen, f[0].Key+"="+f[0].String)
		if req.URL.Path == "/panic" {
			panic(http.ErrAbortHandler)
		}
		if req.URL.Path == "/none" {
			w.WriteHeader(http.StatusNotFound)
		}
	}), func(req *http.Request) string {
		if req.URL.Path == "/none" {
			return ""
		}
		return req.URL.Path
	})
	ask := func(method, path, id string) string {
		req := httptest.NewRequest(method, path, nil)
		req.Header.Set(RequestIDHeader, id)
		w := httptest.NewRecorder()
		defer func() { recover() }()
		h.ServeHTTP(w, req)
		return w.Header().Get(RequestIDHeader)
	}
	if got := ask("GET", "/reconcile", "deploy-42/a"); got != "deploy-42/a" || seen[0] != "request_id=deploy-42/a" {
		t.Errorf("header %q, log %q", got, seen)
	}
	for _, insane := range []string{"", "a b", "x\x1b[2J", strings.Repeat("x", 129), "-v"} {
		if got := ask("BREW", "/none", insane); got == insane || !saneID.MatchString(got) {
			t.Errorf("%q became %q", insane, got)
		}
	}
	ask("POST", "/panic", "")
	expect(t, m, `http_request_duration_seconds_count{code="200",method="GET",path="/reconcile"} 1`,
		`http_request_duration_seconds_count{code="404",method="other",path="other"} 5`,
		`http_request_duration_seconds_count{code="500",method="POST",path="/panic"} 1`, `http_requests_in_flight 0`)
}
