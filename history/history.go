// Package history remembers, for people who look, what became of each
// Deployment and how the last passes went. It lives in memory, bounded, and
// nothing is decided by it: after a restart it begins anew.
package history

import (
	"slices"
	"sync"
	"time"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
)

// maxPasses is how many passes are remembered.
const maxPasses = 50

// Entry is what is known of one Deployment.
type Entry struct {
	Result reconcile.Result // the last
	// AppRepository is the one that Result.Head is in.
	AppRepository string
	// Since is when the work that Result is of was asked for; what waited for
	// its image was asked for before the wait.
	Since time.Time
	At    time.Time // when Result came
	// Change is the last commit that was pushed; zero if none was.
	Change Change
}

// Change is a commit in a manifests repository.
type Change struct {
	Commit, Repository string
	At                 time.Time
}

// Pass is one request for Deployments to be brought up to date.
type Pass struct {
	Began time.Time
	Took  time.Duration  // until the last result was there, or nobody waited for it any more
	Count map[string]int // Deployments by action; not to be modified
}

// History may be used from any goroutine.
type History struct {
	mu      sync.Mutex
	entries map[string]Entry // by namespace/name
	places  map[string][]reconcile.Place
	passes  []Pass // oldest first
	version uint64
}

// New returns an empty History.
func New() *History {
	return &History{entries: map[string]Entry{}, places: map[string][]reconcile.Place{}}
}

// Report takes down a result, of work that was asked for at since, and where the
// tag was found.
func (h *History) Report(t k8s.Target, r reconcile.Result, since time.Time, places ...reconcile.Place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.entries[t.Key()]
	if before.Result.Action == reconcile.ActionPending {
		since = before.Since
	}
	e := Entry{Result: r, AppRepository: t.Spec.AppRepository, Since: since, At: time.Now(), Change: before.Change}
	if places != nil || r.Action != reconcile.ActionPending { // else it was not looked for
		h.places[t.Key()] = places
	}
	if r.Commit != "" {
		e.Change = Change{Commit: r.Commit, Repository: t.Spec.ManifestRepository, At: e.At}
	}
	h.entries[t.Key()] = e
	h.version++
}

// Passed takes down a pass.
func (h *History) Passed(p Pass) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.passes) == maxPasses {
		h.passes = slices.Delete(h.passes, 0, 1)
	}
	h.passes = append(h.passes, p)
	h.version++
}

// Keep forgets Deployments when there are more than the given ones, which are
// all that there are.
func (h *History) Keep(all []k8s.Target) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.entries) <= len(all) {
		return
	}
	kept := make(map[string]Entry, len(all))
	for _, t := range all {
		if e, ok := h.entries[t.Key()]; ok {
			kept[t.Key()] = e
		}
	}
	h.entries = kept
	for key := range h.places {
		if _, ok := kept[key]; !ok {
			delete(h.places, key)
		}
	}
	h.version++
}

// Of returns what is known of a Deployment, the zero Entry if nothing is.
func (h *History) Of(key string) Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entries[key]
}

// Places returns where the tag of a Deployment was found; empty while that is not
// known.
func (h *History) Places(key string) []reconcile.Place {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.places[key]
}

// Passes returns the last passes, oldest first.
func (h *History) Passes() []Pass {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.passes)
}

// Version is another after each change.
func (h *History) Version() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.version
}
