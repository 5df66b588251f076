package main

import (
	"context"
	"errors"
	"time"

	"github.com/kainlite/gitops-operator/cli"
	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/queue"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/telemetry"
)

// newMetrics returns the metrics; watch shows the operator's state in them.
func newMetrics(s cli.Settings, tracing *telemetry.Tracing) *telemetry.Metrics {
	v, revision := versions()
	return telemetry.NewMetrics(telemetry.MetricsOptions{
		Version: v, Revision: revision, Workers: s.Workers, PerDeployment: s.MetricsPerDeployment, Reasons: reconcile.Reasons, Tracing: tracing,
	})
}

// watch makes the metrics show what the operator has to do when somebody looks.
func (o *operator) watch() {
	o.metrics.Watch(func() telemetry.State {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		jobs := o.queue.Stats()
		s := telemetry.State{Pending: jobs.Pending, Delayed: jobs.Delayed, Busy: jobs.Running, OldestPending: jobs.OldestPending}
		if !o.source.Ready() {
			return s
		}
		snapshot, err := o.source.Deployments(ctx)
		s.Healthy, s.Untracked = err == nil, len(snapshot.Untracked)
		seen := map[telemetry.Repository]bool{}
		for _, t := range snapshot.Targets {
			key := telemetry.Key{Namespace: t.Namespace, Name: t.Name}
			if t.Disabled() {
				s.Disabled = append(s.Disabled, key)
				continue
			}
			s.Enabled = append(s.Enabled, key)
			r := telemetry.Repository{URL: t.Spec.Manifests.String(), Branch: t.Spec.ManifestBranch}
			if r.URL == "" || r.Branch == "" || seen[r] { // what cannot be parsed is never reached
				continue
			}
			seen[r] = true
			s.Repositories = append(s.Repositories, r)
		}
		return s
	})
}

// gitObserver tells the metrics what git does.
type gitObserver struct{ *telemetry.Metrics }

func (o gitObserver) Command(ctx context.Context, c gitcli.Command) {
	o.GitSpan(ctx, c.Name, c.Remote, c.Branch, c.Begin, c.Duration, c.Err)
	if c.Again {
		o.Retried("connection")
	}
	if c.Name == gitcli.LogIn {
		o.Connected(gitOutcome(c.Err), c.Duration)
		return
	}
	o.Git(c.Name, gitOutcome(c.Err), c.Duration)
}

func (o gitObserver) Transferred(how gitcli.Transfer, bytes int64) {
	if how == gitcli.Pushed {
		o.PushedBytes(bytes)
		return
	}
	o.Fetched(string(how), bytes)
}

// gitOutcome sorts how a git command ended.
func gitOutcome(err error) string {
	var e *gitcli.Error
	switch {
	case err == nil:
		return "success"
	case errors.Is(err, gitcli.ErrNetwork):
		return "network"
	case errors.Is(err, gitcli.ErrTimeout):
		return "timeout"
	case errors.As(err, &e) && e.Kind != nil:
		return "refused"
	case gitcli.IsLocal(err):
		return "error"
	}
	return "canceled"
}

// workObserver tells the metrics how the work on Deployments goes, and the
// cluster, where it is to know.
type workObserver struct {
	*telemetry.Metrics
	events eventRecorder // nil: nobody is told
}

func (o *operator) workObserver() workObserver {
	w := workObserver{Metrics: o.metrics}
	if o.events != nil { // else the interface would hold a nil
		w.events = o.events
	}
	return w
}

func (o workObserver) Began(ctx context.Context, t k8s.Target) func(context.Context) context.Context {
	return o.DeploymentBegins(ctx, keyOf(t))
}

func (o workObserver) Ended(ctx context.Context, e reconcile.Ending) {
	ending := telemetry.Ending{Key: keyOf(e.Target), Action: e.Action, Head: e.Head, Seen: e.Seen, Behind: e.Behind}
	o.Metrics.Ended(ending)
	failure := ""
	if e.Reason != "" {
		failure = e.Message
		o.Failed(e.Reason)
	}
	if ev, ok := eventOf(e); ok && o.events != nil {
		o.events.Record(e.Target, ev)
	}
	o.DeploymentEnds(ctx, e.Begun, e.Begin, ending, failure)
}

func (o workObserver) Pushed(commits int, err error) { o.Metrics.Pushed(pushOutcome(err), commits) }

func (o workObserver) Worked(ctx context.Context, w reconcile.Work) {
	o.Metrics.Worked(w.Repository, w.Branch, w.Err == nil, w.Deployments, w.Duration)
	o.GroupFailed(ctx, w.Err)
}

// beginGroup returns the context of a group's work, and how to end it.
func (o *operator) beginGroup(ctx context.Context, jobs []queue.Job[k8s.Target]) (context.Context, func()) {
	origins := make([][]any, len(jobs))
	for i, j := range jobs {
		origins[i] = j.Origins
		o.metrics.Waited(time.Since(j.Pending))
	}
	spec := jobs[0].Value.Spec
	return o.metrics.Group(ctx, origins, spec.Manifests.String(), spec.ManifestBranch)
}

func pushOutcome(err error) string {
	switch {
	case err == nil:
		return "accepted"
	case errors.Is(err, gitcli.ErrBranchMoved):
		return "moved"
	case errors.Is(err, gitcli.ErrDeclined), errors.Is(err, gitcli.ErrReadOnly):
		return "declined"
	case errors.Is(err, gitcli.ErrPushUnknown):
		return "unknown"
	}
	return "failed"
}

func keyOf(t k8s.Target) telemetry.Key { return telemetry.Key{Namespace: t.Namespace, Name: t.Name} }
