package operator

import (
	"context"
	"time"

	"github.com/kainlite/gitops-operator/history"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/telemetry"
)

// recorder is told of every outcome, and tells everybody who is to know beside
// the requests that wait for it: history, metrics, traces, and the cluster.
type recorder struct {
	history *history.History
	metrics *telemetry.Metrics
	events  Events // nil: nobody is told
}

// record records an outcome of work that was asked for at the given time. ctx is
// the Deployment's own, where work on it had begun.
func (r recorder) record(ctx context.Context, o reconcile.Outcome, asked time.Time) {
	if o.Again == 0 {
		r.metrics.Reconciled(o.Result.Action)
	}
	r.history.Report(o.Target, o.Result, asked, o.Places...)
	if o.Begin.IsZero() { // nothing was done: it was disabled, or has changed
		return
	}
	ending := telemetry.Ending{Key: keyOf(o.Target), Action: o.Result.Action, Head: o.Result.Head, Seen: o.Seen, Behind: o.Behind}
	r.metrics.Ended(ending)
	failure := ""
	if o.Reason != "" {
		failure = o.Result.Message
		r.metrics.Failed(o.Reason)
	}
	if ev, ok := eventOf(o); ok && r.events != nil {
		r.events.Record(o.Target, ev)
	}
	r.metrics.DeploymentEnds(ctx, o.Begun, o.Begin, ending, failure)
}

// eventOf is what a cluster is told of an outcome; false if that is no news
// there.
func eventOf(o reconcile.Outcome) (k8s.Event, bool) {
	message := o.Result.Message
	switch {
	case o.Result.Action == reconcile.ActionPatched:
		return k8s.Event{Reason: "ImageUpdated", Message: message}, true
	case o.Result.Action != reconcile.ActionFailed || o.Reason == reconcile.ReasonShutdown:
		return k8s.Event{}, false
	case o.Reason == reconcile.ReasonImageMissing:
		return k8s.Event{Warning: true, Reason: "ImageMissing", Message: message}, true
	}
	return k8s.Event{Warning: true, Reason: "ReconcileFailed", Message: message}, true
}

func keyOf(t k8s.Target) telemetry.Key { return telemetry.Key{Namespace: t.Namespace, Name: t.Name} }
