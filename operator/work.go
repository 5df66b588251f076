package operator

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/queue"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/telemetry"
)

// runGroup is what a worker of the queue does with all pending jobs of a group.
func (o *Operator) runGroup(ctx context.Context, name string, jobs []queue.Job[k8s.Target], done func(int, queue.Outcome[reconcile.Result])) {
	ctx, ended := o.beginGroup(ctx, jobs)
	defer ended()
	defer o.memory.due()
	end := func(ctx context.Context, i int, out reconcile.Outcome) {
		o.recorder.record(ctx, out, jobs[i].Submitted)
		o.schedule.set(out.Target.Ref, out.Due, func() { o.lookAgain(out.Target.Ref) })
		done(i, queue.Outcome[reconcile.Result]{Result: out.Result, Again: out.Again})
	}
	todo, index := make([]reconcile.Job, 0, len(jobs)), make([]int, 0, len(jobs))
	now := o.current(ctx)
	for i, j := range jobs {
		t, outcome := stillDue(j, name, now)
		if outcome != nil {
			end(ctx, i, *outcome)
			continue
		}
		index = append(index, i)
		todo = append(todo, reconcile.Job{Target: t, Since: j.Submitted, Requested: j.Requested, LogFields: telemetry.LogFields(j.Origins)})
	}
	o.work(ctx, todo, func(ctx context.Context, i int, out reconcile.Outcome) { end(ctx, index[i], out) })
}

// stillDue returns the Deployment of a job as it is now, or why there is nothing
// to do for it any more: a job may have waited for its image for minutes.
func stillDue(j queue.Job[k8s.Target], group string, now func(key string) (k8s.Target, bool)) (k8s.Target, *reconcile.Outcome) {
	t, tracked := now(j.Key)
	var r reconcile.Result
	switch {
	case !tracked:
		t, r = j.Value, reconcile.Failed(j.Value, errors.New("it is not tracked any more: see /status"))
	case t.Disabled():
		r = reconcile.Skipped(t)
	case t.Spec.Group() != group:
		r = reconcile.Failed(t, errors.New("its manifests repository, branch or key changed meanwhile; the next pass goes on with the new one"))
	default:
		return t, nil
	}
	return t, &reconcile.Outcome{Target: t, Result: r}
}

// current returns a lookup, by key, of the Deployments as they are now.
func (o *Operator) current(ctx context.Context) func(key string) (t k8s.Target, tracked bool) {
	snapshot, _ := o.source.Deployments(ctx) // List logs what is wrong with it
	return func(key string) (k8s.Target, bool) {
		namespace, name, _ := strings.Cut(key, "/")
		i, tracked := slices.BinarySearchFunc(snapshot.Targets, key, func(t k8s.Target, _ string) int {
			return cmp.Or(strings.Compare(t.Namespace, namespace), strings.Compare(t.Name, name))
		})
		if !tracked {
			return k8s.Target{}, false
		}
		return snapshot.Targets[i], true
	}
}

// beginGroup returns the context of a group's work, and how to end it.
func (o *Operator) beginGroup(ctx context.Context, jobs []queue.Job[k8s.Target]) (context.Context, func()) {
	origins := make([][]any, len(jobs))
	for i, j := range jobs {
		origins[i] = j.Origins
		o.metrics.Waited(time.Since(j.Pending))
	}
	spec := jobs[0].Value.Spec
	return o.metrics.Group(ctx, origins, spec.Manifests.String(), spec.ManifestBranch)
}

// abandoned is the result of a job that got none, because the work on its group
// panicked.
func (o *Operator) abandoned(j queue.Job[k8s.Target], err error) reconcile.Result {
	r := reconcile.Failed(j.Value, err)
	o.recorder.record(context.Background(), reconcile.Outcome{Target: j.Value, Result: r}, j.Submitted)
	return r
}

func (o *Operator) panicked(_ string, v any, stack []byte) {
	o.mainLog.Named("queue").Error("a pass panicked", zap.Any("panic", v), zap.ByteString("stack", stack))
}
