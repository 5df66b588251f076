package operator_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/operator"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/telemetry"
)

// late is a source that takes its time for the first listing.
type late struct {
	ready   atomic.Bool
	targets []k8s.Target
}

func (l *late) Ready() bool { return l.ready.Load() }
func (l *late) Deployments(context.Context) (k8s.Snapshot, error) {
	return k8s.Snapshot{Targets: l.targets}, nil
}

func parts(source operator.Source, work operator.Work) operator.Parts {
	return operator.Parts{Source: source, Work: work, Workers: 1, Metrics: telemetry.NewMetrics(telemetry.MetricsOptions{}), Log: zap.NewNop()}
}

func TestPassesByThemselves(t *testing.T) {
	const interval, passes = 5 * time.Minute, 200
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []time.Time
		work := func(ctx context.Context, jobs []reconcile.Job, done reconcile.Done) {
			mu.Lock()
			at = append(at, time.Now())
			mu.Unlock()
			time.Sleep(time.Minute) // a pass takes its time, and puts off none
			done(ctx, 0, reconcile.Outcome{Target: jobs[0].Target})
		}
		blog := k8s.Target{Ref: k8s.Ref{Namespace: "default", Name: "blog"}, Spec: &k8s.Spec{Config: k8s.Config{Enabled: true, ManifestRepository: "blog"}}}
		source := &late{targets: []k8s.Target{blog}}
		o := operator.New(parts(source, work))
		ctx, cancel := context.WithCancel(t.Context())
		begin := time.Now()
		var every sync.WaitGroup
		every.Go(func() { o.Every(ctx, interval) })
		time.Sleep(10*time.Second - time.Millisecond)
		source.ready.Store(true)
		time.Sleep(passes * interval)
		cancel()
		every.Wait()
		o.Stop()
		if first := at[0].Sub(begin); first != 10*time.Second {
			t.Errorf("the first pass came after %s", first)
		}
		shortest, longest := time.Hour, time.Duration(0)
		for i := range at[1:] {
			d := at[i+1].Sub(at[i])
			shortest, longest = min(shortest, d), max(longest, d)
		}
		// 200 draws leave out the first or the last tenth of the range with a
		// chance of 10^-9.
		if shortest < interval*90/100 || shortest > interval*92/100 || longest > interval*110/100 || longest < interval*108/100 {
			t.Errorf("%d passes, %s to %s apart", len(at), shortest, longest)
		}
	})
}

// The end does not wait for the next pass, or for the first listing.
func TestNoMorePassesAtTheEnd(t *testing.T) {
	for _, ready := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			source := &late{}
			source.ready.Store(ready)
			o := operator.New(parts(source, nil))
			defer o.Stop()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			begin := time.Now()
			o.Every(ctx, time.Hour)
			if took := time.Since(begin); took != 10*time.Second {
				t.Errorf("ended after %s", took)
			}
		})
	}
}
