package history_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kainlite/gitops-operator/history"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
)

func target(name string) k8s.Target {
	return k8s.Target{Ref: k8s.Ref{Namespace: "default", Name: name}, Spec: &k8s.Spec{Config: k8s.Config{AppRepository: "app", ManifestRepository: "manifests"}}}
}

func TestTheLastChangeOutlivesLaterResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, blog := history.New(), target("blog")
		asked := time.Now()
		time.Sleep(3 * time.Second)
		h.Report(blog, reconcile.Result{Action: reconcile.ActionPatched, Head: "abc", Commit: "def"}, asked)
		changed := time.Now()
		time.Sleep(time.Minute)
		h.Report(blog, reconcile.Result{Action: reconcile.ActionUpToDate, Head: "abc"}, time.Now())
		e := h.Of("default/blog")
		if e.Change != (history.Change{Commit: "def", Repository: "manifests", At: changed}) {
			t.Errorf("the change is %+v", e.Change)
		}
		if e.Result.Action != reconcile.ActionUpToDate || e.AppRepository != "app" || !e.At.Equal(time.Now()) || !e.Since.Equal(e.At) {
			t.Errorf("got %+v", e)
		}
		if e := h.Of("default/other"); e != (history.Entry{}) {
			t.Errorf("of another: %+v", e)
		}
	})
}

// Each look at the registry is a run of its own, but people ask how long their
// Deployment has waited.
func TestAWaitForAnImageCountsFromItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, blog, asked := history.New(), target("blog"), time.Now()
		for _, action := range []string{reconcile.ActionPending, reconcile.ActionPending, reconcile.ActionPatched} {
			h.Report(blog, reconcile.Result{Action: action}, time.Now())
			if e := h.Of("default/blog"); !e.Since.Equal(asked) {
				t.Errorf("%s: since %s, want %s", action, e.Since, asked)
			}
			time.Sleep(10 * time.Second)
		}
		h.Report(blog, reconcile.Result{Action: reconcile.ActionUpToDate}, time.Now())
		if e := h.Of("default/blog"); !e.Since.Equal(time.Now()) {
			t.Errorf("the next counts since %s", e.Since)
		}
	})
}

func TestWhatIsGoneIsForgotten(t *testing.T) {
	h := history.New()
	for _, name := range []string{"a", "b", "c"} {
		h.Report(target(name), reconcile.Result{Message: name}, time.Now())
	}
	h.Keep([]k8s.Target{target("a"), target("c"), target("d")}) // as many as are known
	if h.Of("default/b").Result.Message != "b" {
		t.Error("b was forgotten though nothing had to go")
	}
	h.Keep([]k8s.Target{target("a"), target("d")})
	if h.Of("default/a").Result.Message != "a" || h.Of("default/b").Result.Message != "" || h.Of("default/c").Result.Message != "" {
		t.Error("a should be known, b and c not")
	}
}

func TestTheLastFiftyPassesAreKept(t *testing.T) {
	h := history.New()
	for i := range 70 {
		h.Passed(history.Pass{Took: time.Duration(i)})
	}
	passes := h.Passes()
	if len(passes) != 50 || passes[0].Took != 20 || passes[49].Took != 69 {
		t.Errorf("%d passes, from %d to %d", len(passes), passes[0].Took, passes[len(passes)-1].Took)
	}
}

func TestTenThousandDeploymentsTakeAFewMegabytes(t *testing.T) {
	targets := make([]k8s.Target, 10_000)
	for i := range targets {
		targets[i] = target(fmt.Sprintf("deployment-%d", i))
	}
	h := history.New()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, target := range targets {
		head := strings.Repeat("c", 40)
		h.Report(target, reconcile.Result{Action: reconcile.ActionUpToDate, ToSHA: head, Head: head, Want: head,
			Message: "Deployment " + target.Name + " is up to date at " + head}, time.Now())
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d KiB", grown>>10)
	if grown > 10<<20 {
		t.Errorf("the history takes %d bytes", grown)
	}
	runtime.KeepAlive(h)
	runtime.KeepAlive(targets)
}
