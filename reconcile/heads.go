package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/k8s"
)

// heads lets the groups of a pass share look-ups of app heads. A look-up serves
// whoever asked before it started: then it saw what was pushed until they asked.
// It goes on when those who wait for it do not, and there is one at a time for
// each head: a repository that hangs takes one place on its host, however often
// it is asked for.
type heads struct {
	mu      sync.Mutex
	lookups map[headKey]*lookup
	last    map[app]seenHead // what was found last, by whomever
	swept   time.Time
	running sync.WaitGroup
}

type headKey struct{ url, branch, identity string }

// seenHead is a head that was looked up.
type seenHead struct {
	head  string
	asked time.Time // when the look-up began
}

type lookup struct {
	started time.Time // zero: it has not
	done    chan struct{}
	head    string // once done
	seen    time.Time
	err     error
}

// keepHeads is how long a look-up is kept: longer than the groups of one pass
// wait for a worker.
const keepHeads = 10 * time.Minute

// keepLast is how long the last head of an application is remembered.
const keepLast = 24 * time.Hour

// found takes down what a look-up found.
func (h *heads) found(a app, l *lookup) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last == nil {
		h.last = map[app]seenHead{}
	}
	if l.started.After(h.last[a].asked) {
		h.last[a] = seenHead{l.head, l.started}
	}
}

// latest returns the newest head of an application that any group has seen.
func (h *heads) latest(a app) (seenHead, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k, known := h.last[a]
	return k, known
}

// hangs says whether a look-up that began before a time has not ended, or has
// failed since: who is in a hurry does not wait for it.
func (h *heads) hangs(key headKey, before time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lookups[key]
	if l == nil || l.started.IsZero() {
		return false
	}
	select {
	case <-l.done:
		return l.err != nil && l.seen.After(before)
	default:
		return l.started.Before(before)
	}
}

// get returns a look-up that starts at since or later; where there is none, it
// makes one, which holds the identity that look uses.
func (h *heads) get(key headKey, of app, since time.Time, id *gitcli.Identity, look func() (string, error)) *lookup {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.lookups[key]
	if last != nil && (last.started.IsZero() || !last.started.Before(since)) {
		return last
	}
	if h.lookups == nil {
		h.lookups = map[headKey]*lookup{}
	}
	h.sweep(time.Now())
	l := &lookup{done: make(chan struct{})}
	h.lookups[key] = l
	id.Hold()
	h.running.Go(func() {
		defer close(l.done)
		defer id.Release()
		defer func() {
			if v := recover(); v != nil {
				l.err = fmt.Errorf("internal error, please report it: %v", v)
			}
		}()
		if last != nil {
			<-last.done
		}
		h.mu.Lock()
		l.started = time.Now()
		h.mu.Unlock()
		l.head, l.err = look()
		l.seen = time.Now()
		if l.err == nil {
			h.found(of, l)
		}
	})
	return l
}

// failedLookup is one that could not be made.
func failedLookup(err error) *lookup {
	l := &lookup{started: time.Now(), done: make(chan struct{}), err: err}
	close(l.done)
	return l
}

// failed says whether a look-up has ended with an error.
func (l *lookup) failed() bool {
	select {
	case <-l.done:
		return l.err != nil
	default:
		return false
	}
}

func (h *heads) sweep(now time.Time) {
	if now.Sub(h.swept) < keepHeads {
		return
	}
	h.swept = now
	for key, l := range h.lookups {
		if !l.started.IsZero() && now.Sub(l.started) > keepHeads {
			delete(h.lookups, key)
		}
	}
	for a, k := range h.last {
		if now.Sub(k.asked) > keepLast {
			delete(h.last, a)
		}
	}
}

// headOf names what a Deployment wants the head of, and the Secret that it is
// read with.
func headOf(s *k8s.Spec) string {
	return strings.Join([]string{s.App.String(), s.AppBranch, s.AppSecret().String()}, "\x00")
}

// headAgain is when a group asks again for the heads that it went on without.
const headAgain = 5 * time.Second

// readHeads asks all remotes at once: the head of each app repository, and the
// manifests branch, whose head it returns. Deployments whose app repository is
// slower than all others are put off, so that nobody waits for it but them.
func (g *group) readHeads(ctx context.Context) (string, error) {
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()

	var base string
	var failed error
	fetched := make(chan struct{})
	running.Go(func() {
		defer close(fetched)
		defer func() {
			if v := recover(); v != nil {
				g.Log.Error("panic", zap.Any("value", v), zap.Stack("stack"))
				failed = fmt.Errorf("internal error, please report it: %v", v)
			}
		}()
		base, failed = g.mirror.Fetch(ctx)
	})
	apps := map[string][]*deployment{}
	for _, d := range g.open() {
		if !d.byHead() {
			continue
		}
		head := headOf(d.target.Spec)
		apps[head] = append(apps[head], d)
	}
	answered := make(chan string)
	asked := map[string]*lookup{}
	for app, ds := range apps {
		l := g.head(ctx, ds)
		asked[app] = l
		running.Go(func() {
			select {
			case <-l.done:
			case <-ctx.Done():
				return
			}
			select {
			case answered <- app:
			case <-ctx.Done():
			}
		})
	}
	// Outcomes are told in order, and the manifests repository's first: which of
	// two faults is told must not depend on who was faster.
	var heard []string
	tell := func() {
		slices.Sort(heard)
		for _, app := range heard {
			g.learn(apps[app], asked[app])
			delete(apps, app)
		}
	}
	patience := time.NewTimer(g.Patience)
	defer patience.Stop()
	for waiting := fetched; len(heard) < len(apps) || waiting != nil; {
		select {
		case <-waiting:
			if waiting = nil; failed != nil {
				return "", failed
			}
		case app := <-answered:
			heard = append(heard, app)
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-patience.C:
			if waiting == nil {
				tell()
				for app := range apps {
					g.memory.awaited[app] = asked[app]
				}
				g.goOnWithout(apps)
				return base, nil
			}
		}
		patience.Reset(g.Patience)
	}
	tell()
	return base, nil
}

// head looks up the head of the app repository that the deployments have in
// common. Those that were put off for it take the outcome that they wait for: to
// ask anew each time would never end where an answer takes longer than headAgain.
func (g *group) head(ctx context.Context, ds []*deployment) *lookup {
	key := headOf(ds[0].target.Spec)
	id, err := g.appIdentity(ctx, ds[0].target)
	if err != nil {
		return failedLookup(err)
	}
	awaited := g.memory.awaited[key]
	delete(g.memory.awaited, key)
	if awaited != nil && awaited.failed() {
		return awaited // however often it was asked for meanwhile
	}
	var since time.Time
	for _, d := range ds {
		from := d.job.Since
		if awaited != nil && !d.job.Requested.IsZero() {
			from = d.job.Requested
		}
		if from.After(since) {
			since = from
		}
	}
	spec := ds[0].target.Spec
	return g.lookUp(ctx, headKey{spec.App.String(), spec.AppBranch, id.ID()}, spec, id, since)
}

// lookUp looks up the head of a Deployment's application, unless that was done
// since a time.
func (g *group) lookUp(ctx context.Context, key headKey, spec *k8s.Spec, id *gitcli.Identity, since time.Time) *lookup {
	return g.heads.get(key, appOf(spec), since, id, func() (string, error) {
		// It outlives who asked first, but is still theirs in logs and traces.
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(g.life, cancel)()
		return g.Git.Head(ctx, spec.App, spec.AppBranch, id)
	})
}

// goOnWithout has the deployments run again whose app repository has not answered.
func (g *group) goOnWithout(apps map[string][]*deployment) {
	for _, app := range slices.Sorted(maps.Keys(apps)) {
		for _, d := range apps[app] {
			res := Pending(d.target)
			res.Message = fmt.Sprintf("Deployment %s waits for an answer from %s", d.target.Name, d.target.Spec.App)
			d.end(res, headAgain)
		}
	}
}

// learn takes over the outcome of a look-up.
func (g *group) learn(ds []*deployment, l *lookup) {
	defer g.recovered(ds...)
	of := remote{ds[0].target.Spec.App.String(), ds[0].target.Spec.AppBranch}
	if l.err != nil {
		g.failTogether(ds, g.appFailing(ds), of, l.err)
		return
	}
	g.worksAgain(ds, g.appFailing(ds), of)
	for _, d := range ds {
		d.seen, d.asked = l.seen, l.started
		if err := d.at(l.head); err != nil {
			g.fail(d, because(reasonTag(err), err))
		}
	}
}
