package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/history"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/queue"
	"github.com/kainlite/gitops-operator/reconcile"
)

// ErrStopping says that the operator is shutting down and takes no more passes.
var ErrStopping = errors.New("the operator is shutting down")

// Pass brings the targets up to date and returns their results, sorted by
// namespace and name. When ctx ends first, what is not finished is reported as
// pending and goes on. The error is ErrStopping or nil.
func (o *Operator) Pass(ctx context.Context, targets []k8s.Target) ([]reconcile.Result, error) {
	begin := time.Now()
	ctx, ended := o.metrics.Request(ctx)
	defer ended()
	origins := []any{o.metrics.Origin(ctx)}
	results := make([]reconcile.Result, 0, len(targets))
	var jobs []queue.Job[k8s.Target]
	for _, t := range targets {
		if t.Disabled() {
			skipped := reconcile.Skipped(t)
			o.recorder.record(ctx, reconcile.Outcome{Target: t, Result: skipped}, begin)
			results = append(results, skipped)
			continue
		}
		jobs = append(jobs, queue.Job[k8s.Target]{Key: t.Key(), Group: t.Spec.Group(), Value: t, Origins: origins})
	}
	pass, err := o.queue.Submit(jobs)
	if err != nil {
		return nil, ErrStopping
	}
	finished, unfinished, err := pass.Wait(ctx)
	for _, r := range finished {
		results = append(results, r)
	}
	results = append(results, meanwhile(targets, unfinished, errors.Is(err, queue.ErrClosed))...)
	o.passed(ctx, results, begin)
	slices.SortFunc(results, func(x, y reconcile.Result) int {
		return cmp.Or(strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Deployment, y.Deployment))
	})
	return results, nil
}

// meanwhile is what there is to say of the targets that are not finished: with
// what each reported when it was put off, if it was.
func meanwhile(targets []k8s.Target, unfinished map[string]reconcile.Result, stopping bool) []reconcile.Result {
	if len(unfinished) == 0 {
		return nil
	}
	var results []reconcile.Result
	for _, t := range targets {
		reported, ok := unfinished[t.Key()]
		switch {
		case !ok:
		case stopping:
			results = append(results, reconcile.Failed(t, errors.New("the operator is shutting down; the next pass goes on from here")))
		case reported.Message != "": // it waits for its image, and says so
			results = append(results, reported)
		default:
			results = append(results, reconcile.Pending(t))
		}
	}
	return results
}

// passed tells of a pass: the log in one line.
func (o *Operator) passed(ctx context.Context, results []reconcile.Result, began time.Time) {
	took := time.Since(began)
	o.metrics.Passed(verdict(results), took)
	counts := map[string]int{}
	for _, r := range results {
		counts[r.Action]++
	}
	o.History().Passed(history.Pass{Began: began, Took: took, Count: counts})
	var parts []string
	for _, action := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[action], action))
	}
	if len(parts) == 0 {
		parts = []string{"no Deployment to reconcile"}
	}
	o.log.Info("pass: "+strings.Join(parts, ", "), append(o.metrics.LogFields(ctx), zap.Duration("duration", took))...)
}

// verdict sums a pass up: "success", "failure" or "pending".
func verdict(results []reconcile.Result) string {
	sum := "success"
	for _, r := range results {
		switch r.Action {
		case reconcile.ActionFailed:
			return "failure"
		case reconcile.ActionPending:
			sum = "pending"
		}
	}
	return sum
}

// PassInBackground begins a pass that nobody waits for. It goes on when ctx ends;
// Stop waits for it. The error is ErrStopping or nil; one of the pass itself is
// logged, as that of the given sender.
func (o *Operator) PassInBackground(ctx context.Context, sender string, targets []k8s.Target) error {
	ctx = context.WithoutCancel(ctx)
	return o.background.start(func() {
		if _, err := o.Pass(ctx, targets); err != nil {
			o.log.Warn(sender+": no pass", zap.Error(err))
		}
	})
}

// WaitForBackground takes no more passes that nobody waits for, and waits for
// those that run. They end when the queue is closed.
func (o *Operator) WaitForBackground() { o.background.close() }

// background is the passes that nobody waits for.
type background struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

// start runs f in the background, unless the end has begun.
func (b *background) start(f func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrStopping
	}
	b.wg.Go(f)
	return nil
}

func (b *background) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.wg.Wait()
}
