package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// What the labels may say, where the rooms do not: docs/metrics.md lists all.
var (
	actions       = []string{"patched", "up_to_date", "skipped", "failed"}
	pushOutcomes  = []string{"accepted", "moved", "declined", "unknown", "failed"}
	retryReasons  = []string{"branch_moved", "connection", "mirror"}
	transfers     = []string{"clone", "fetch"}
	notifications = []string{"delivered", "failed", "dropped"}
)

// Histograms' upper bounds.
var (
	workSeconds   = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}
	lookupSeconds = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	waitSeconds   = []float64{.001, .01, .1, .5, 1, 5, 10, 30, 60, 300, 900}
	lagSeconds    = []float64{1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 2 * 3600, 6 * 3600, 24 * 3600}
	counts        = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000}
)

// MetricsOptions are what metrics begin with.
type MetricsOptions struct {
	Version, Revision string
	Workers           int
	// PerDeployment adds series for each Deployment.
	PerDeployment bool
	// Reasons are what Failed may be given, so that rates have a beginning.
	Reasons []string
	// Tracing makes spans of what is told. Nil: none.
	Tracing *Tracing
}

// Metrics are the operator's Prometheus metrics, in a registry of their own,
// with those of the Go runtime and of the process. docs/metrics.md says what
// each means. Where there is tracing, what has a context becomes a span too. The
// methods may be called from any goroutine.
type Metrics struct {
	registry *prometheus.Registry
	tracing  *Tracing
	progress progress

	reconciles, failures, retries, pushes, fetched, notified *prometheus.CounterVec
	pushed                                                   prometheus.Counter
	passes, groups, git, ssh, lookups, builds, requests      *prometheus.HistogramVec
	batches, commits, lag, waits                             prometheus.Histogram
	inFlight                                                 prometheus.Gauge
}

// NewMetrics returns metrics at their beginning.
func NewMetrics(opt MetricsOptions) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), tracing: opt.Tracing}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	m.gauge("build_info", "Always 1; the labels say what runs.", prometheus.Labels{
		"version": opt.Version, "revision": opt.Revision, "goversion": goVersion}).Set(1)
	m.gauge("workers", "Groups that may be worked on at once.", nil).Set(float64(opt.Workers))
	m.inFlight = m.gauge("http_requests_in_flight", "HTTP requests being answered.", nil)

	m.reconciles = m.counter("reconciles_total", "Reconciled Deployments, by what was done with them.", "action", actions)
	m.failures = m.counter("failures_total", "Deployments that failed, by the reason.", "reason", opt.Reasons)
	m.retries = m.counter("retries_total", "Work done again, by the reason.", "reason", retryReasons)
	m.pushes = m.counter("pushes_total", "Pushes to manifests repositories, by outcome.", "outcome", pushOutcomes)
	m.fetched = m.counter("fetched_bytes_total", "Size of the objects that clones and fetches brought, as they lie in the mirror.", "kind", transfers)
	m.notified = m.counter("notifications_total", "Messages to webhooks, by outcome.", "outcome", notifications)
	m.pushed = prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "pushed_bytes_total",
		Help: "Size of the new objects in accepted pushes, as they lie in the mirror."})
	m.registry.MustRegister(m.pushed)

	m.passes = m.histograms("pass_duration_seconds", "One pass, from a request for it until its answer is known.", workSeconds, "outcome")
	m.groups = m.histograms("group_duration_seconds", "The work on one manifests repository and branch, until its last result.", workSeconds, "outcome")
	m.git = m.histograms("git_command_duration_seconds", "Git processes.", workSeconds, "command", "outcome")
	m.ssh = m.histograms("ssh_connect_duration_seconds", "Log-ins: shared SSH connections, until they are up.", lookupSeconds, "outcome")
	m.lookups = m.histograms("registry_lookup_duration_seconds", "Looks for an image, with their retries.", lookupSeconds, "outcome")
	m.builds = m.histograms("build_lookup_duration_seconds", "Look-ups of a commit's build, with their retries.", lookupSeconds, "outcome")
	m.requests = m.histograms("http_request_duration_seconds", "HTTP requests.", workSeconds, "path", "method", "code")

	m.batches = m.histogram("batch_deployments", "Deployments that were worked on together.", counts)
	m.commits = m.histogram("push_commits", "Commits in one accepted push.", counts)
	m.lag = m.histogram("commit_lag_seconds", "From when the operator first saw an application commit to the push that brought it into the manifests.", lagSeconds)
	m.waits = m.histogram("queue_wait_seconds", "From when a job became pending until a worker took it.", waitSeconds)

	m.progress.lag = m.lag.Observe
	m.progress.perDeployment = opt.PerDeployment
	m.registry.MustRegister(&m.progress)
	return m
}

const prefix = "gitops_operator_"

func (m *Metrics) gauge(name, help string, labels prometheus.Labels) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + name, Help: help, ConstLabels: labels})
	m.registry.MustRegister(g)
	return g
}

// counter has its series from the start, so that rates have a beginning.
func (m *Metrics) counter(name, help, label string, values []string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, []string{label})
	for _, v := range values {
		c.WithLabelValues(v)
	}
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) histograms(name, help string, bounds []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: bounds}, labels)
	m.registry.MustRegister(h)
	return h
}

func (m *Metrics) histogram(name, help string, bounds []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: bounds})
	m.registry.MustRegister(h)
	return h
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Reconciled counts a Deployment by the action of its result.
func (m *Metrics) Reconciled(action string) { m.reconciles.WithLabelValues(action).Inc() }

// Failed counts the reason for a Deployment's failure.
func (m *Metrics) Failed(reason string) { m.failures.WithLabelValues(reason).Inc() }

// Passed counts a pass.
func (m *Metrics) Passed(outcome string, took time.Duration) { observe(m.passes, took, outcome) }

// Waited tells how long a job was pending.
func (m *Metrics) Waited(d time.Duration) { m.waits.Observe(d.Seconds()) }

// Worked tells of the work on one group. A repository that was not reached, for
// nothing in the group could be worked on, is empty.
func (m *Metrics) Worked(repository, branch string, ok bool, deployments int, took time.Duration) {
	m.batches.Observe(float64(deployments))
	outcome := "failure"
	if ok {
		outcome = "success"
		m.progress.succeeded(Repository{repository, branch}, time.Now())
	}
	observe(m.groups, took, outcome)
}

// Pushed counts a push and its commits.
func (m *Metrics) Pushed(outcome string, commits int) {
	m.pushes.WithLabelValues(outcome).Inc()
	if outcome == "accepted" {
		m.commits.Observe(float64(commits))
	}
}

// Retried counts work that is done again.
func (m *Metrics) Retried(reason string) { m.retries.WithLabelValues(reason).Inc() }

// Git counts a git process.
func (m *Metrics) Git(command, outcome string, took time.Duration) {
	observe(m.git, took, command, outcome)
}

// Connected counts a log-in.
func (m *Metrics) Connected(outcome string, took time.Duration) { observe(m.ssh, took, outcome) }

// Fetched adds the bytes of a clone or fetch.
func (m *Metrics) Fetched(kind string, bytes int64) {
	m.fetched.WithLabelValues(kind).Add(float64(bytes))
}

// PushedBytes adds the bytes of an accepted push.
func (m *Metrics) PushedBytes(bytes int64) { m.pushed.Add(float64(bytes)) }

// RegistryAsked counts a look for an image.
func (m *Metrics) RegistryAsked(outcome string, took time.Duration) {
	observe(m.lookups, took, outcome)
}

// BuildsAsked counts a look-up of a build.
func (m *Metrics) BuildsAsked(outcome string, took time.Duration) { observe(m.builds, took, outcome) }

// Notified counts a message.
func (m *Metrics) Notified(outcome string) { m.notified.WithLabelValues(outcome).Inc() }

func observe(h *prometheus.HistogramVec, took time.Duration, labels ...string) {
	h.WithLabelValues(labels...).Observe(took.Seconds())
}
