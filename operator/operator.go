// Package operator is the operator itself. It lists the tracked Deployments,
// hands those that somebody asks for to the queue, has package reconcile work on
// them, and records what became of each. The HTTP API and the command line call
// it; it calls neither.
//
// A pass goes this way: [Operator.Pass] submits a job for each Deployment; the
// queue gives a worker all pending jobs of one manifests repository and branch;
// work.go drops what has changed meanwhile and gives the rest to reconcile;
// every outcome goes through the recorder (outcome.go) to history, metrics,
// traces and Events, and back to each request that waits for it.
//
// [Start] puts the real parts together and [Operator.Stop] ends them in order.
// [New] takes parts from elsewhere, for tests.
package operator

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/history"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/queue"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/telemetry"
)

const (
	// shutdownGrace is how long running groups may take to finish, in less than
	// the 30 s that Kubernetes grants.
	shutdownGrace = 15 * time.Second
	// lastWords is how long messages, Events and spans may then take to get out.
	lastWords = 2 * time.Second
)

// Source lists the Deployments.
type Source interface {
	// Deployments may return an error beside the last state that it could read.
	Deployments(ctx context.Context) (k8s.Snapshot, error)
	// Ready says whether the first listing is complete.
	Ready() bool
}

// Work brings the Deployments of one group up to date, and calls done once for
// each, by its index: [reconcile.Reconciler.Group] does.
type Work func(ctx context.Context, jobs []reconcile.Job, done reconcile.Done)

// Events are told of Deployments, for kubectl describe. They must not block.
type Events interface {
	Record(t k8s.Target, ev k8s.Event)
}

// Parts are what an operator is made of.
type Parts struct {
	Source  Source
	Work    Work
	Workers int // groups at once
	Metrics *telemetry.Metrics
	Events  Events // nil: none are written
	Log     *zap.Logger
}

// Operator runs passes. Its methods may be called from any goroutine.
type Operator struct {
	source     Source
	work       Work
	metrics    *telemetry.Metrics
	recorder   recorder
	listing    listing
	queue      jobQueue
	background background
	schedule   schedule
	memory     trimmer
	log        *zap.Logger // of listings and passes
	mainLog    *zap.Logger // of all else

	git     *gitcli.Client // nil without Start
	closers []func()       // what Start has started, in order
}

// jobQueue runs the jobs.
type jobQueue interface {
	Submit(jobs []queue.Job[k8s.Target]) (*queue.Pass[reconcile.Result], error)
	Stats() queue.Stats
	Close(ctx context.Context) error
}

// New returns an operator of these parts, which Stop must end.
func New(p Parts) *Operator {
	o := &Operator{
		source: p.Source, work: p.Work, metrics: p.Metrics,
		recorder: recorder{history: history.New(), metrics: p.Metrics, events: p.Events},
		// People filter by these names, which are older than this package.
		log: p.Log.Named("httpapi"), mainLog: p.Log,
	}
	o.queue = queue.New(p.Workers, o.runGroup, queue.Options[k8s.Target, reconcile.Result]{Failed: o.abandoned, OnPanic: o.panicked})
	return o
}

// History is what became of each Deployment, and how the last passes went.
func (o *Operator) History() *history.History { return o.recorder.history }

// Metrics are what the operator counts.
func (o *Operator) Metrics() *telemetry.Metrics { return o.metrics }

// Stats counts what waits in the queue and what is being worked on.
func (o *Operator) Stats() queue.Stats { return o.queue.Stats() }

// CloseQueue takes no more passes and lets running groups finish until ctx is
// done; then it cuts them short, and returns an error. Who waits for what has not
// begun is told at once. It may be called more than once.
func (o *Operator) CloseQueue(ctx context.Context) error { return o.queue.Close(ctx) }

// Finish closes the queue, with the time that running groups have at shutdown.
func (o *Operator) Finish() {
	within(shutdownGrace, func(ctx context.Context) {
		if err := o.CloseQueue(ctx); err != nil {
			o.mainLog.Named("main").Warn("stopped before everything was finished", zap.Error(err))
		}
	})
}

// Stop ends everything that New or Start began, the queue first.
func (o *Operator) Stop() {
	o.schedule.close()
	o.Finish()
	o.memory.stop()
	o.background.close()
	o.closeParts()
}

// closeParts ends what Start has started, the last first.
func (o *Operator) closeParts() {
	for len(o.closers) > 0 {
		last := len(o.closers) - 1
		o.closers[last]()
		o.closers = o.closers[:last]
	}
}
