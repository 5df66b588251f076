package operator

import (
	"context"
	"errors"
	"time"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/telemetry"
)

// state is what the operator has to do, for the metrics when somebody looks.
func (o *Operator) state() telemetry.State {
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
	case errors.Is(err, gitcli.ErrNotStarted):
		return "error"
	case errors.As(err, &e) && e.Kind != nil:
		return "refused"
	case gitcli.IsLocal(err):
		return "error"
	}
	return "canceled"
}

// workObserver tells the metrics how the work on groups goes.
type workObserver struct{ *telemetry.Metrics }

func (o workObserver) Began(ctx context.Context, t k8s.Target) func(context.Context) context.Context {
	return o.DeploymentBegins(ctx, keyOf(t))
}

func (o workObserver) Pushed(commits int, err error) { o.Metrics.Pushed(pushOutcome(err), commits) }

func (o workObserver) Worked(ctx context.Context, w reconcile.Work) {
	o.Metrics.Worked(w.Repository, w.Branch, w.Err == nil, w.Deployments, w.Duration)
	o.GroupFailed(ctx, w.Err)
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
