package main

import (
	"context"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
)

// eventRecorder is told of Deployments. It must not block.
type eventRecorder interface {
	Record(t k8s.Target, ev k8s.Event)
}

// eventOf is what a cluster is told of how the work on a Deployment ended; false
// if that is no news there.
func eventOf(e reconcile.Ending) (k8s.Event, bool) {
	switch {
	case e.Action == reconcile.ActionPatched:
		return k8s.Event{Reason: "ImageUpdated", Message: e.Message}, true
	case e.Action != reconcile.ActionFailed || e.Reason == reconcile.ReasonShutdown:
		return k8s.Event{}, false
	case e.Reason == reconcile.ReasonImageMissing:
		return k8s.Event{Warning: true, Reason: "ImageMissing", Message: e.Message}, true
	}
	return k8s.Event{Warning: true, Reason: "ReconcileFailed", Message: e.Message}, true
}

// closeEvents lets what was recorded be written for a while.
func (o *operator) closeEvents() {
	if o.events == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerGrace)
	defer cancel()
	o.events.Close(ctx)
}
