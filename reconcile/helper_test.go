package reconcile_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/builds"
	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/notify"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/registry"
	"github.com/kainlite/gitops-operator/test/world"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const manifests = "kainlite/manifests"

// stage is a world with a reconciler in it.
type stage struct {
	*world.World
	edit       []func(*gitcli.Options) // of every git client
	reconciler *reconcile.Reconciler

	mu      sync.Mutex
	tracked []k8s.Target // sorted; replaced, not modified
	listing func()       // called when the Deployments are listed, if set
}

// onListing calls f once, when the Deployments are listed for the nth time from
// now.
func (s *stage) onListing(n int, f func()) {
	s.listing = func() {
		if n--; n == 0 {
			f()
		}
	}
}

// track adds Deployments to those that there are, or replaces them.
func (s *stage) track(targets ...k8s.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[k8s.Ref]k8s.Target{}
	for _, t := range slices.Concat(s.tracked, targets) {
		all[t.Ref] = t
	}
	s.tracked = slices.SortedFunc(maps.Values(all), func(a, b k8s.Target) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
}

// untrack removes a Deployment.
func (s *stage) untrack(gone k8s.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tracked = slices.DeleteFunc(slices.Clone(s.tracked), func(t k8s.Target) bool { return t.Ref == gone.Ref })
}

// Deployments returns those that there are.
func (s *stage) Deployments(context.Context) (k8s.Snapshot, error) {
	if s.listing != nil {
		s.listing()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return k8s.Snapshot{Targets: s.tracked}, nil
}

func newStage(t testing.TB, edit ...func(*gitcli.Options)) *stage {
	t.Helper()
	s := &stage{World: world.New(t), edit: edit}
	s.reconciler = s.another(reconcile.Options{})
	return s
}

// another returns one more reconciler, with a git client of its own.
func (s *stage) another(opt reconcile.Options) *reconcile.Reconciler {
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	if opt.Builds == nil {
		var err error
		if opt.Builds, err = builds.New(builds.Options{}); err != nil {
			s.T.Fatal(err)
		}
	}
	opt.Patience = cmp.Or(opt.Patience, time.Minute) // however slow the machine is
	if opt.Workloads == nil {
		opt.Workloads = s
	}
	opt.Git, opt.Secrets = s.Client(s.edit...), s
	if opt.Registry == nil {
		opt.Registry = registry.New(registry.Options{})
	}
	opt.Notify = notify.New(notify.Options{Log: opt.Log})
	s.T.Cleanup(func() {
		opt.Registry.Close()
		opt.Notify.Close(context.Background())
	})
	r := reconcile.New(opt)
	s.T.Cleanup(r.Close)
	return r
}

// run brings the targets up to date and returns the results in their order.
func (s *stage) run(targets ...k8s.Target) []reconcile.Result {
	s.T.Helper()
	return s.runWith(s.reconciler, targets...)
}

func (s *stage) runWith(r *reconcile.Reconciler, targets ...k8s.Target) []reconcile.Result {
	s.T.Helper()
	s.track(targets...)
	jobs := make([]reconcile.Job, len(targets))
	for i, t := range targets {
		jobs[i] = reconcile.Job{Target: t, Since: time.Now()}
		if t.Spec.Group() != targets[0].Spec.Group() {
			s.T.Fatalf("%s is of another group than %s", t.Key(), targets[0].Key())
		}
	}
	results := make([]reconcile.Result, len(targets))
	times := make([]int, len(targets))
	var mu sync.Mutex
	r.Group(s.T.Context(), jobs, func(_ context.Context, i int, o reconcile.Outcome) {
		res := o.Result
		mu.Lock()
		defer mu.Unlock()
		results[i] = res
		times[i]++
	})
	for i, n := range times {
		if n != 1 {
			s.T.Errorf("%s was reported %d times", targets[i].Key(), n)
		}
	}
	return results
}

// actions are what was done, in short.
func actions(results []reconcile.Result) string {
	var list []string
	for _, r := range results {
		list = append(list, r.Action)
	}
	return strings.Join(list, " ")
}

func (s *stage) wantActions(results []reconcile.Result, want string) {
	s.T.Helper()
	if got := actions(results); got != want {
		s.T.Fatalf("got %s, want %s:\n%s", got, want, describe(results))
	}
}

func describe(results []reconcile.Result) string {
	var b strings.Builder
	for _, r := range results {
		fmt.Fprintf(&b, "%s/%s: %s: %s\n", r.Namespace, r.Deployment, r.Action, r.Message)
	}
	return b.String()
}

const old = "3c0a88249fb61a0a4f4a65295f42b2dee3963c28"

// apps makes applications with a manifest each that is behind, and returns
// their targets and heads.
func (s *stage) apps(names ...string) (targets []k8s.Target, heads map[string]string) {
	s.T.Helper()
	files := map[string]string{}
	heads = map[string]string{}
	for _, name := range names {
		heads[name] = s.App("kainlite/" + name)
		files[name+".yaml"] = world.Manifest(name, "kainlite/"+name+":"+old)
		targets = append(targets, s.Target(name, nil))
	}
	s.Commit(manifests, files)
	s.track(targets...)
	return targets, heads
}
