package operator

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/builds"
	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/notify"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/registry"
	"github.com/kainlite/gitops-operator/registry/identity"
	"github.com/kainlite/gitops-operator/telemetry"
)

// Options are what an operator is started with. The command line has a flag for
// most of them.
type Options struct {
	// From is a file or directory with Deployments and Secrets, instead of a
	// cluster; empty: Cluster counts.
	From      string
	Cluster   k8s.ClusterOptions
	Policy    k8s.SecretPolicy
	Git       gitcli.Options
	Workers   int // groups, and git processes, at once
	Wait      reconcile.Wait
	GitHubAPI string
	Insecure  []string // registries that may be asked over plain HTTP
	// RegistryTags bounds the tags of one repository in a registry. Zero: 20,000.
	RegistryTags int
	// RegistryIdentity are the clouds whose registries are asked with the pod's own
	// identity: identity.Names.
	RegistryIdentity []string
	DryRun           bool
	Events           bool // write Kubernetes Events
	// MetricsPerDeployment adds series for each Deployment.
	MetricsPerDeployment bool
	// Version and Revision say what runs, in metrics, traces and the User-Agent.
	Version, Revision string
	Log               *zap.Logger
}

// source is where Deployments and Secrets come from.
type source interface {
	Source
	reconcile.Secrets
}

// Start puts an operator together and begins to watch the Deployments. Stop must
// end it.
func Start(ctx context.Context, opt Options) (o *Operator, err error) {
	limitMemory()
	var closers []func()
	started := func(end func()) { closers = append(closers, end) }
	defer func() {
		if err != nil {
			(&Operator{closers: closers}).closeParts()
		}
	}()
	started(func() { opt.Log.Sync() }) // fails on terminals, where nothing is buffered
	tracing := telemetry.OpenTracing(ctx, opt.Version, opt.Log.Named("telemetry"))
	started(func() { within(lastWords, tracing.Close) })
	metrics := telemetry.NewMetrics(telemetry.MetricsOptions{
		Version: opt.Version, Revision: opt.Revision, Workers: opt.Workers, PerDeployment: opt.MetricsPerDeployment, Reasons: reconcile.Reasons, Tracing: tracing,
	})
	from, events, unwatch, err := openSource(opt, metrics)
	if err != nil {
		return nil, err
	}
	started(unwatch)
	git := opt.Git
	git.Workers, git.Log = opt.Workers, opt.Log.Named("gitcli")
	git.LogFields, git.Observer = metrics.LogFields, gitObserver{metrics}
	client, err := gitcli.New(ctx, git)
	if err != nil {
		return nil, err
	}
	started(client.Close)
	reconciler, err := newReconciler(opt, reconcile.Options{Git: client, Secrets: from, Workloads: from}, metrics, started)
	if err != nil {
		return nil, err
	}
	o = New(Parts{Source: from, Work: reconciler.Group, Workers: opt.Workers, Metrics: metrics, Events: events, Log: opt.Log})
	o.git, o.closers = client, closers
	metrics.Watch(o.state)
	return o, nil
}

// newReconciler completes the options with the clients that it needs, and tells
// started how to end them.
func newReconciler(opt Options, r reconcile.Options, metrics *telemetry.Metrics, started func(end func())) (*reconcile.Reconciler, error) {
	var err error
	r.Builds, err = builds.New(builds.Options{API: opt.GitHubAPI, Log: opt.Log.Named("builds"), Observe: metrics.BuildsAsked, Wrap: metrics.Transport("github")})
	if err != nil {
		return nil, err
	}
	own, err := identity.New(opt.RegistryIdentity...)
	if err != nil {
		return nil, fmt.Errorf("read --registry-identity: %w", err)
	}
	asked := registry.Options{Insecure: opt.Insecure, Log: opt.Log.Named("registry"), Observe: metrics.RegistryAsked, Wrap: metrics.Transport("registry")}
	if len(opt.RegistryIdentity) > 0 {
		asked.Identity = own
	}
	r.Registry, r.RegistryTags = registry.New(asked), opt.RegistryTags
	started(r.Registry.Close)
	r.Notify = notify.New(notify.Options{Log: opt.Log.Named("notify"), Observe: metrics.Notified, Wrap: metrics.Transport("webhook")})
	started(func() { within(lastWords, r.Notify.Close) })
	r.Policy, r.Wait, r.DryRun = opt.Policy, opt.Wait, opt.DryRun
	r.Log, r.LogFields, r.Observer = opt.Log.Named("reconcile"), metrics.LogFields, workObserver{metrics}
	reconciler := reconcile.New(r)
	started(reconciler.Close)
	return reconciler, nil
}

// openSource opens the files, or begins to watch the cluster, until unwatch is
// called.
func openSource(opt Options, metrics *telemetry.Metrics) (from source, events Events, unwatch func(), err error) {
	if opt.From != "" {
		files, err := k8s.OpenFiles(opt.From, k8s.FileOptions{Namespaces: opt.Cluster.Namespaces, Selector: opt.Cluster.Selector})
		if err != nil {
			return nil, nil, nil, fmt.Errorf("read --from: %w", err)
		}
		return files, nil, func() {}, nil
	}
	where := opt.Cluster
	where.UserAgent, where.Log = "gitops-operator/"+opt.Version, opt.Log.Named("k8s")
	where.Wrap = metrics.Transport("kubernetes")
	cluster, err := k8s.OpenCluster(where)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("find cluster: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cluster.Run(ctx)
	}()
	stopRunning := func() {
		cancel()
		<-ended
	}
	if !opt.Events || opt.DryRun {
		return cluster, nil, stopRunning, nil
	}
	recorded := cluster.RecordEvents()
	return cluster, recorded, func() {
		within(lastWords, recorded.Close)
		stopRunning()
	}, nil
}

// within calls f with a context that lasts that long.
func within(d time.Duration, f func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	f(ctx)
}

// WaitReady waits for the first listing of Deployments. The error says what is
// in the way.
func (o *Operator) WaitReady(ctx context.Context) error {
	if s, ok := o.source.(interface{ WaitReady(context.Context) error }); ok {
		return s.WaitReady(ctx)
	}
	return nil
}

// SettleGit ends work on mirrors that goes on in the background, before a
// process that runs one pass exits: else mirrors would grow for ever where only
// such processes run.
func (o *Operator) SettleGit(ctx context.Context) { o.git.Settle(ctx) }
