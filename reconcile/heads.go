package reconcile

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/kainlite/gitops-operator/gitcli"
)

// heads lets the groups of a pass share look-ups of app heads. A look-up serves
// whoever asked before it started: then it saw what was pushed until they asked.
// It goes on when those who wait for it do not, and there is one at a time for
// each head: a repository that hangs takes one place on its host, however often
// it is asked for.
type heads struct {
	mu      sync.Mutex
	lookups map[headKey]*lookup
	swept   time.Time
	running sync.WaitGroup
}

type headKey struct{ url, branch, identity string }

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

// get returns a look-up that starts at since or later; where there is none, it
// makes one, which holds the identity that look uses.
func (h *heads) get(key headKey, since time.Time, id *gitcli.Identity, look func() (string, error)) *lookup {
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
	})
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
		base, failed = g.mirror.Fetch(ctx)
	})
	apps := map[string][]*deployment{}
	for _, d := range g.open() {
		apps[d.target.Spec.App.String()] = append(apps[d.target.Spec.App.String()], d)
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
	patience := time.NewTimer(g.Patience)
	defer patience.Stop()
	for waiting := fetched; len(apps) > 0 || waiting != nil; {
		select {
		case <-waiting:
			if waiting = nil; failed != nil {
				return "", failed
			}
		case app := <-answered:
			g.learn(apps[app], asked[app])
			delete(apps, app)
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-patience.C:
			if waiting == nil {
				for app := range apps {
					g.memory.awaited[app] = asked[app]
				}
				g.goOnWithout(apps)
				return base, nil
			}
		}
		patience.Reset(g.Patience)
	}
	return base, nil
}

// head looks up the head of the app repository that the deployments have in
// common. Those that were put off for it take the outcome that they wait for: to
// ask anew each time would never end where an answer takes longer than headAgain.
func (g *group) head(ctx context.Context, ds []*deployment) *lookup {
	key := ds[0].target.Spec.App.String()
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
	app, branch, identity := ds[0].target.Spec.App, g.branch, g.identity
	return g.heads.get(headKey{app.String(), branch, identity.ID()}, since, identity, func() (string, error) {
		// It outlives who asked first, but is still theirs in logs and traces.
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(g.life, cancel)()
		return g.Git.Head(ctx, app, branch, identity)
	})
}

// goOnWithout has the deployments run again whose app repository has not answered.
func (g *group) goOnWithout(apps map[string][]*deployment) {
	for app, ds := range apps {
		for _, d := range ds {
			res := Pending(d.target)
			res.Message = fmt.Sprintf("Deployment %s waits for an answer from %s", d.target.Name, app)
			d.end(res, headAgain)
		}
	}
}

// learn takes over the outcome of a look-up.
func (g *group) learn(ds []*deployment, l *lookup) {
	defer g.recovered(ds...)
	if l.err != nil {
		g.failTogether(ds, g.appFailing(ds), ds[0].target.Spec.App.String(), l.err)
		return
	}
	g.worksAgain(ds, g.appFailing(ds), ds[0].target.Spec.App.String())
	for _, d := range ds {
		d.head, d.seen, d.want = l.head, l.seen, tag(l.head, d.target.Spec.TagType)
	}
}
