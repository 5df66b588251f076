package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/kainlite/gitops-operator/builds"
	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/registry"
)

// Observer is told how the work goes, beside the results. Its methods may be
// called from any goroutine, and must not block.
type Observer interface {
	// Began returns what makes a context one for what is done for one Deployment
	// alone. ctx is the group's. It is not called for all: where there are many,
	// only for those that it is needed for.
	Began(ctx context.Context, t k8s.Target) func(context.Context) context.Context
	// Pushed tells of a push of so many commits, and how it went.
	Pushed(commits int, err error)
	// Retried tells that work is done again, for one of the reasons below.
	Retried(reason string)
	// Worked tells of a group whose results are out. ctx is the group's.
	Worked(ctx context.Context, w Work)
}

// Why work is done again.
const (
	RetryBranchMoved = "branch_moved"
	RetryMirror      = "mirror"
)

// Work is what was done for one group.
type Work struct {
	// Repository and Branch are those of the manifests; empty where nothing in
	// the group could be worked on.
	Repository, Branch string
	Deployments        int
	Duration           time.Duration
	// Err is why the repository was not read or, where something was to be
	// changed, not pushed to. Single Deployments may have failed all the same.
	Err error
}

type nobody struct{}

func (nobody) Began(context.Context, k8s.Target) func(context.Context) context.Context {
	return func(ctx context.Context) context.Context { return ctx }
}
func (nobody) Pushed(int, error)            {}
func (nobody) Retried(string)               {}
func (nobody) Worked(context.Context, Work) {}

// Reasons are what failures are counted by.
var Reasons = []string{reasonAnnotations, reasonSecret, "auth", "host_key", "repository_missing", "branch_missing", "empty_repository",
	"network", "timeout", "read_only", "declined", "branch_moved", "push_unknown", reasonManifest, reasonNoTag, ReasonImageMissing,
	"registry", "builds", ReasonShutdown, reasonOther}

const (
	reasonAnnotations  = "annotations"
	reasonSecret       = "secret"
	reasonManifest     = "manifest"
	reasonNoTag        = "no_tag"
	ReasonImageMissing = "image_missing"
	ReasonShutdown     = "shutdown"
	reasonOther        = "other"
)

// kinds are the reasons that the rooms' errors tell; the first that matches
// counts.
var kinds = []struct {
	kind   error
	reason string
}{
	{gitcli.ErrPushUnknown, "push_unknown"},
	{gitcli.ErrAuth, "auth"},
	{gitcli.ErrHostKey, "host_key"},
	{gitcli.ErrRepositoryMissing, "repository_missing"},
	{gitcli.ErrBranchMissing, "branch_missing"},
	{gitcli.ErrEmptyRepository, "empty_repository"},
	{gitcli.ErrReadOnly, "read_only"},
	{gitcli.ErrDeclined, "declined"},
	{gitcli.ErrBranchMoved, "branch_moved"},
	{gitcli.ErrNetwork, "network"},
	{gitcli.ErrTimeout, "timeout"},
	{gitcli.ErrNoKey, reasonSecret},
	{gitcli.ErrPassphrase, reasonSecret},
	{k8s.ErrSecretNotFound, reasonSecret},
	{k8s.ErrSecretForbidden, reasonSecret},
	{registry.ErrInvalid, reasonManifest},
	{registry.ErrUnauthorized, "registry"},
	{registry.ErrRateLimited, "registry"},
	{registry.ErrUnavailable, "registry"},
	{registry.ErrUnexpected, "registry"},
	{builds.ErrRateLimited, "builds"},
	{builds.ErrUnauthorized, "builds"},
	{builds.ErrNotVisible, "builds"},
	{builds.ErrUnavailable, "builds"},
	{builds.ErrUnexpected, "builds"},
}

// reasonOf sorts a failure. Where the rooms tell no kind, what it was wrapped in
// by because counts.
func reasonOf(err error) string {
	for _, k := range kinds {
		if errors.Is(err, k.kind) {
			return k.reason
		}
	}
	if r, ok := errors.AsType[*reasoned](err); ok {
		return r.reason
	}
	return reasonOther
}

// reasoned is an error with a reason; its text is the error's.
type reasoned struct {
	error
	reason string
}

func (r *reasoned) Unwrap() error { return r.error }

func because(reason string, err error) error { return &reasoned{err, reason} }

// fewDeployments each have a context of their own from the start.
const fewDeployments = 100

// begin makes contexts for the deployment alone; from then on, in does.
func (d *deployment) begin() {
	switch {
	case d.own != nil:
	case d.guest:
		d.own = func(ctx context.Context) context.Context { return ctx }
	default:
		d.own = d.group.Observer.Began(d.group.ctx, d.target)
	}
}

// in returns ctx for what is done for the deployment alone.
func (d *deployment) in(ctx context.Context) context.Context {
	d.begin()
	return d.own(ctx)
}

// outcome is the deployment's, whose result is known, or which was put off; with
// the context that tells of it.
func (d *deployment) outcome(res Result, again time.Duration) (context.Context, Outcome) {
	ctx := d.group.ctx
	if d.own != nil {
		ctx = d.own(ctx)
	}
	return ctx, Outcome{Target: d.target, Result: res, Again: again, Begin: d.group.began, Begun: d.own != nil,
		Reason: d.reason, Due: d.due, Seen: d.seen, Behind: d.behind != nil, Places: d.places()}
}

// worked tells of the group, whose repository failed with err, or did not.
func (g *group) worked(err error) {
	w := Work{Deployments: len(g.deployments), Duration: time.Since(g.began), Err: err}
	if g.mirror != nil || err != nil {
		w.Repository, w.Branch = g.manifests.String(), g.branch
	}
	g.Observer.Worked(g.ctx, w)
	if err == nil && g.mirror != nil {
		g.worksAgain(g.deployments, g.failing(), remote{w.Repository, g.branch})
	}
}
