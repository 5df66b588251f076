package reconcile

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kainlite/gitops-operator/internal/repository"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/policy"
)

// Workloads lists the tracked Deployments, whoever asked for which.
type Workloads interface {
	// Deployments may return an error beside the last state that it could read.
	// Where nothing has changed, it returns the same list.
	Deployments(ctx context.Context) (k8s.Snapshot, error)
}

// view is the tracked Deployments at one moment.
type view struct {
	targets  []k8s.Target // sorted by namespace and name
	branches map[branch][]*k8s.Target
	cycles   map[policy.Workload]error // of promotions
	observed func(policy.Workload) *policy.Observed
}

// branch is one of a manifests repository, whatever its URL and Secret.
type branch struct {
	repository repository.Key
	name       string
}

func branchOf(s *k8s.Spec) branch { return branch{s.Manifests.Key(), s.ManifestBranch} }

func newView(s k8s.Snapshot) *view {
	v := &view{targets: s.Targets, branches: map[branch][]*k8s.Target{}, cycles: Cycles(s.Targets), observed: s.Observed}
	targets := s.Targets
	for i := range targets {
		t := &targets[i]
		b := branchOf(t.Spec)
		v.branches[b] = append(v.branches[b], t)
	}
	return v
}

func (v *view) find(ref k8s.Ref) (k8s.Target, bool) {
	i, found := slices.BinarySearchFunc(v.targets, ref, func(t k8s.Target, ref k8s.Ref) int {
		return cmp.Or(strings.Compare(t.Namespace, ref.Namespace), strings.Compare(t.Name, ref.Name))
	})
	if !found {
		return k8s.Target{}, false
	}
	return v.targets[i], true
}

// on returns the Deployments that name one of the files, in order.
func (v *view) on(b branch, files map[string]bool) []*k8s.Target {
	var on []*k8s.Target
	for _, t := range v.branches[b] {
		if slices.ContainsFunc(t.Spec.Files, func(path string) bool { return files[path] }) {
			on = append(on, t)
		}
	}
	return on
}

// views makes one view of each list, however many groups ask.
type views struct {
	mu   sync.Mutex
	last *view
}

func (vs *views) of(s k8s.Snapshot) *view {
	targets := s.Targets
	vs.mu.Lock()
	defer vs.mu.Unlock()
	v := vs.last
	if v == nil || len(v.targets) != len(targets) || len(targets) > 0 && &v.targets[0] != &targets[0] {
		v = newView(s)
		vs.last = v
	}
	return v
}

// look returns the Deployments as they are now.
func (g *group) look(ctx context.Context) *view {
	if g.Workloads == nil {
		if g.view != nil {
			return g.view
		}
		var own []k8s.Target
		for _, d := range g.deployments {
			own = append(own, d.target)
		}
		return newView(k8s.Snapshot{Targets: own})
	}
	s, err := g.Workloads.Deployments(ctx)
	if err != nil && len(s.Targets) == 0 && g.view != nil {
		return g.view
	}
	return g.views.of(s)
}

// reviewAgain is when a Deployment is looked at again that was changed while it
// was worked on: at once.
const reviewAgain = time.Millisecond

// review looks at the Deployments again, since what people changed meanwhile
// counts. Who was disabled, deleted or moved is left out, and who asks for
// something else begins anew. fresh says that nothing was looked up for them yet.
func (g *group) review(ctx context.Context, fresh bool) {
	v := g.look(ctx)
	if v == g.view {
		return
	}
	g.view = v
	for _, d := range g.open() {
		t, tracked := v.find(d.target.Ref)
		if !tracked {
			g.fail(d, errors.New("it is not tracked any more: see /status"))
			continue
		}
		same := t.Spec.Same(d.target.Spec)
		d.target = t
		switch {
		case t.Disabled():
			d.end(Skipped(t), 0)
		case same:
		case t.Spec.Group() != g.key:
			g.fail(d, errors.New("its manifests repository, branch or key changed meanwhile; the next pass goes on with the new one"))
		case !fresh:
			d.end(Pending(t), reviewAgain)
		}
	}
}

// reviewed says whether all who have a say in the files that are about to be
// pushed still say what they said when that was planned.
func (g *group) reviewed(ctx context.Context) bool {
	now := g.look(ctx)
	if now == g.view {
		return true
	}
	files := map[string]bool{}
	for _, d := range g.written {
		for _, path := range d.target.Spec.Files {
			files[path] = true
		}
	}
	b := branch{g.manifests.Key(), g.branch}
	same := func(a, b *k8s.Target) bool { return a.Ref == b.Ref && a.Spec.Same(b.Spec) }
	return slices.EqualFunc(now.on(b, files), g.view.on(b, files), same)
}

// Cycles says which Deployments are promoted from one another in a circle.
func Cycles(targets []k8s.Target) map[policy.Workload]error {
	from := map[policy.Workload]policy.Workload{}
	for _, t := range targets {
		if t.Spec.Tag != nil && t.Spec.Tag.Unpinned() == policy.Promotion {
			from[policy.Workload{Namespace: t.Namespace, Name: t.Name}] = t.Spec.Tag.From()
		}
	}
	if len(from) == 0 {
		return nil
	}
	return policy.Cycles(from)
}
