package telemetry

import (
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var goVersion = runtime.Version()

// Key names a Deployment.
type Key struct{ Namespace, Name string }

// Repository is a branch of a manifests repository.
type Repository struct{ URL, Branch string }

// State is what there is to work on at one moment, and what waits.
type State struct {
	Healthy   bool // the newest state of the Deployments could be read
	Enabled   []Key
	Disabled  []Key
	Untracked int
	// Repositories are those of the enabled Deployments.
	Repositories  []Repository
	Pending       int // jobs that wait for a worker
	Delayed       int // jobs that wait for an image
	Busy          int // groups being worked on
	OldestPending time.Duration
}

// Ending is how the work on a Deployment ended, or was put off.
type Ending struct {
	Key    Key
	Action string // "pending": it was put off
	// Head is the application's commit, and Seen when it was looked up; empty if
	// that was not reached.
	Head string
	Seen time.Time
	// Behind says that the manifest does not have Head's tag; false if that is
	// not known.
	Behind bool
}

// progress remembers how far each Deployment and repository has come, and shows
// it when somebody looks at the metrics, together with the state of that moment.
// What is not tracked any more is forgotten then.
type progress struct {
	perDeployment bool
	lag           func(seconds float64)

	mu           sync.Mutex
	state        func() State // nil until somebody has told
	deployments  map[Key]*record
	repositories map[Repository]time.Time // of the last success
}

// maxRecords bounds the Deployments in mind where nobody looks at the metrics,
// and so nothing is ever forgotten.
const maxRecords = 100_000

// record is what is known of a Deployment.
type record struct {
	action      string
	head        string    // the newest commit seen
	seen        time.Time // when it was first seen
	behindSince time.Time // zero: not behind
	changed     time.Time
	succeeded   time.Time
}

// Watch makes the metrics show what state returns, at the moment when they are
// asked for.
func (m *Metrics) Watch(state func() State) {
	m.progress.mu.Lock()
	defer m.progress.mu.Unlock()
	m.progress.state = state
}

// Ended tells how the work on a Deployment ended.
func (m *Metrics) Ended(e Ending) { m.progress.ended(e, time.Now()) }

func (p *progress) ended(e Ending, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.deployments[e.Key]
	if r == nil {
		if p.deployments == nil || len(p.deployments) >= maxRecords {
			p.deployments = map[Key]*record{}
		}
		r = &record{}
		p.deployments[e.Key] = r
	}
	r.action = e.Action
	if e.Head != "" && e.Head != r.head {
		r.head, r.seen = e.Head, e.Seen
	}
	switch {
	case e.Action == "patched":
		p.lag(now.Sub(r.seen).Seconds())
		r.changed, r.succeeded, r.behindSince = now, now, time.Time{}
	case e.Action == "up_to_date":
		r.succeeded, r.behindSince = now, time.Time{}
	case e.Behind && r.behindSince.IsZero():
		r.behindSince = r.seen
	}
}

func (p *progress) succeeded(r Repository, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.repositories == nil {
		p.repositories = map[Repository]time.Time{}
	}
	p.repositories[r] = now
}

// forget drops what is tracked no more; p.mu is held.
func (p *progress) forget(s State) {
	keys := make(map[Key]bool, len(s.Enabled)+len(s.Disabled))
	for _, list := range [][]Key{s.Enabled, s.Disabled} {
		for _, k := range list {
			keys[k] = true
		}
	}
	for k := range p.deployments {
		if !keys[k] {
			delete(p.deployments, k)
		}
	}
	repositories := make(map[Repository]bool, len(s.Repositories))
	for _, r := range s.Repositories {
		repositories[r] = true
	}
	for r := range p.repositories {
		if !repositories[r] {
			delete(p.repositories, r)
		}
	}
}

// The states of a Deployment.
const (
	stateUpToDate  = "up_to_date"
	statePending   = "pending"
	stateFailed    = "failed"
	stateDisabled  = "disabled"
	stateUnknown   = "unknown"
	stateUntracked = "untracked"
)

func (r *record) state() string {
	switch {
	case r == nil || r.action == "skipped":
		return stateUnknown
	case r.action == "patched":
		return stateUpToDate
	}
	return r.action
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prefix+name, help, labels, nil)
}

var (
	healthyDesc     = describe("source_healthy", "1 if the newest state of the Deployments could be read.")
	deploymentsDesc = describe("deployments", "Deployments by state.", "state")
	behindDesc      = describe("deployments_behind", "Deployments for which a newer application commit was seen that is not pushed to the manifests yet.")
	oldestDesc      = describe("oldest_commit_behind_seconds", "For how long the Deployment that is behind the longest has been so; 0 if none is.")
	repositoryDesc  = describe("repository_last_success_timestamp_seconds", "When a manifests repository was last read and, where something was to be changed, pushed; 0: not since the start.", "repository", "branch")
	jobsDesc        = describe("queue_jobs", "Jobs that wait: pending for a worker, delayed for an image.", "state")
	oldestJobDesc   = describe("queue_oldest_pending_seconds", "How long the oldest pending job has waited; 0 if there is none.")
	busyDesc        = describe("workers_busy", "Groups being worked on.")

	oneStateDesc   = describe("deployment_state", "1 for the state that a Deployment is in.", "namespace", "deployment", "state")
	oneBehindDesc  = describe("deployment_behind_seconds", "For how long a Deployment has been behind its application; 0 if it is not.", "namespace", "deployment")
	oneChangeDesc  = describe("deployment_last_change_timestamp_seconds", "When a Deployment was last patched; 0: not since the start.", "namespace", "deployment")
	oneSuccessDesc = describe("deployment_last_success_timestamp_seconds", "When a Deployment was last patched or found up to date; 0: not since the start.", "namespace", "deployment")
)

// Describe implements prometheus.Collector.
func (p *progress) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{healthyDesc, deploymentsDesc, behindDesc, oldestDesc, repositoryDesc, jobsDesc, oldestJobDesc, busyDesc,
		oneStateDesc, oneBehindDesc, oneChangeDesc, oneSuccessDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (p *progress) Collect(ch chan<- prometheus.Metric) {
	p.mu.Lock()
	look := p.state
	p.mu.Unlock()
	if look == nil {
		return
	}
	s := look()
	now := time.Now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Healthy { // else what is tracked may not be known yet
		p.forget(s)
	}
	states := map[string]int{stateUpToDate: 0, statePending: 0, stateFailed: 0, stateUnknown: 0,
		stateDisabled: len(s.Disabled), stateUntracked: s.Untracked}
	behind, oldest := 0, 0.0
	for _, k := range s.Enabled {
		r := p.deployments[k]
		states[r.state()]++
		if r != nil && !r.behindSince.IsZero() {
			behind++
			oldest = max(oldest, now.Sub(r.behindSince).Seconds())
		}
		if p.perDeployment {
			p.collect(gauge, k, r, r.state(), now)
		}
	}
	if p.perDeployment {
		for _, k := range s.Disabled {
			p.collect(gauge, k, p.deployments[k], stateDisabled, now)
		}
	}
	for state, n := range states {
		gauge(deploymentsDesc, float64(n), state)
	}
	gauge(behindDesc, float64(behind))
	gauge(oldestDesc, oldest)
	for _, r := range s.Repositories {
		gauge(repositoryDesc, timestamp(p.repositories[r]), r.URL, r.Branch)
	}
	healthy := 0.0
	if s.Healthy {
		healthy = 1
	}
	gauge(healthyDesc, healthy)
	gauge(jobsDesc, float64(s.Pending), "pending")
	gauge(jobsDesc, float64(s.Delayed), "delayed")
	gauge(oldestJobDesc, s.OldestPending.Seconds())
	gauge(busyDesc, float64(s.Busy))
}

// collect shows one Deployment.
func (p *progress) collect(gauge func(*prometheus.Desc, float64, ...string), k Key, r *record, state string, now time.Time) {
	if r == nil {
		r = &record{}
	}
	behind := 0.0
	if !r.behindSince.IsZero() && state != stateDisabled {
		behind = now.Sub(r.behindSince).Seconds()
	}
	gauge(oneStateDesc, 1, k.Namespace, k.Name, state)
	gauge(oneBehindDesc, behind, k.Namespace, k.Name)
	gauge(oneChangeDesc, timestamp(r.changed), k.Namespace, k.Name)
	gauge(oneSuccessDesc, timestamp(r.succeeded), k.Namespace, k.Name)
}

// timestamp is seconds since 1970; 0 for never.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
