package reconcile_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/world"
)

// BenchmarkPass times whole passes over Deployments that share one manifests
// repository and 20 app repositories, with a warm mirror and connection.
func BenchmarkPass(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("noop/%d", n), func(b *testing.B) {
			s, targets, _ := benchStage(b, n)
			s.pass(targets, "up_to_date")
			for b.Loop() {
				s.pass(targets, "up_to_date")
			}
		})
		b.Run(fmt.Sprintf("changed/%d", n), func(b *testing.B) {
			s, targets, advance := benchStage(b, n)
			for b.Loop() {
				b.StopTimer()
				advance()
				b.StartTimer()
				s.pass(targets, "patched")
			}
		})
	}
}

func benchStage(b *testing.B, n int) (s *stage, targets []k8s.Target, advance func()) {
	s = newStage(b)
	apps := min(n, 20)
	files := map[string]string{}
	for i := range n {
		name := fmt.Sprintf("app%04d", i)
		files["apps/"+name+".yaml"] = world.Manifest(name, "kainlite/"+name+":"+old)
		targets = append(targets, s.Target(name, map[string]string{
			"deployment_path": "apps/" + name + ".yaml",
			"app_repository":  s.Server.URL(fmt.Sprintf("kainlite/app%d.git", i%apps)),
		}))
	}
	s.Commit(manifests, files)
	s.track(targets...)
	advance = func() {
		for i := range apps {
			s.App(fmt.Sprintf("kainlite/app%d", i))
		}
	}
	advance()
	s.pass(targets, "patched")
	return s, targets, advance
}

func (s *stage) pass(targets []k8s.Target, want string) {
	jobs := make([]reconcile.Job, len(targets))
	now := time.Now()
	for i, t := range targets {
		jobs[i] = reconcile.Job{Target: t, Since: now}
	}
	s.reconciler.Group(s.T.Context(), jobs, func(_ context.Context, _ int, o reconcile.Outcome) {
		r := o.Result
		if r.Action != want {
			s.T.Errorf("%s: %s", r.Deployment, strings.TrimSpace(r.Message))
		}
	})
}
