// Command gitops-operator keeps the image tags of a manifests repository at the
// head commits of the applications' repositories. main only reads flags and
// wires the rooms; see README.md.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/builds"
	"github.com/kainlite/gitops-operator/cli"
	"github.com/kainlite/gitops-operator/demo"
	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/history"
	"github.com/kainlite/gitops-operator/httpapi"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/notify"
	"github.com/kainlite/gitops-operator/queue"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/registry"
	"github.com/kainlite/gitops-operator/telemetry"
)

const usage = `usage:
  gitops-operator [serve] [flags]                  run the operator
  gitops-operator reconcile [flags] [NS/NAME ...]  one pass over all (or the named) Deployments, then exit
  gitops-operator patch --image NAME --tag TAG [--write] FILE ...
                                                   show (unified diff) or write what the operator would change in these files
  gitops-operator demo [--keep]                    a tour that needs no cluster
  gitops-operator version

'gitops-operator COMMAND --help' lists the flags of a command.
`

// version is set when a release is built.
var version = "dev"

// shutdownGrace is how long running groups may take to finish, in less than
// the 30 s that Kubernetes grants.
const shutdownGrace = 15 * time.Second

// clusterWait is how long reconcile waits for the first listing of Deployments.
const clusterWait = 30 * time.Second

// memoryLimit is how much memory, in bytes, Go may take before it collects
// garbage more eagerly. It is not a hard limit.
const memoryLimit = 192 << 20

// answerGrace is how long clients may then take to read their answers.
const answerGrace = 2 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command := "serve"
	switch {
	case len(args) > 0 && slices.Contains([]string{"--help", "-help", "-h"}, args[0]):
		command = "help"
	case len(args) > 0 && !strings.HasPrefix(args[0], "-"):
		command, args = args[0], args[1:]
	}
	switch command {
	case "serve":
		return runServe(ctx, args, stdout, stderr)
	case "reconcile":
		return runReconcile(ctx, args, stdout, stderr)
	case "patch":
		return cli.Patch(args, stdout, stderr)
	case "demo":
		return runDemo(ctx, args, stdout, stderr)
	case "version":
		fs := cli.New("version", "")
		if _, code, ok := fs.Parse(args, stdout, stderr, func(rest []string) { fs.NoArguments(rest) }); !ok {
			return code
		}
		fmt.Fprintln(stdout, versionLine())
		return cli.ExitOK
	case "help":
		fmt.Fprint(stdout, usage)
		return cli.ExitOK
	}
	fmt.Fprintf(stderr, "gitops-operator: unknown command %q: use serve, reconcile, patch, demo or version\n", command)
	return cli.ExitUsage
}

// versions returns the version, and the commit it was built from where that is
// known.
func versions() (v, revision string) {
	v = version
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return v, revision
}

func versionLine() string {
	v, commit := versions()
	if commit != "" {
		commit = "commit " + commit + ", "
	}
	return fmt.Sprintf("gitops-operator %s (%s%s, %s/%s)", v, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// source is where Deployments and Secrets come from.
type source interface {
	httpapi.Source
	reconcile.Secrets
}

// operator is the wired rooms.
type operator struct {
	log        *zap.Logger
	git        *gitcli.Client
	source     source
	unwatch    func() // ends the source
	registry   *registry.Client
	notify     *notify.Notifier
	events     *k8s.Events // nil: none are written
	metrics    *telemetry.Metrics
	tracing    *telemetry.Tracing
	reconciler *reconcile.Reconciler
	queue      *queue.Queue[k8s.Target, reconcile.Result]
	api        *httpapi.API
	memory     trimmer
}

func start(ctx context.Context, s cli.Settings, stderr io.Writer) (*operator, error) {
	log, err := telemetry.NewLogger(stderr, s.LogLevel, s.LogFormat)
	if err != nil {
		return nil, err
	}
	if err := guardMemory(); err != nil {
		return nil, err
	}
	// A large manifest leaves garbage that would double the peak.
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	tracing := telemetry.OpenTracing(ctx, version, log.Named("telemetry"))
	metrics := newMetrics(s, tracing)
	o := &operator{log: log, metrics: metrics, tracing: tracing}
	if err := openSource(o, s); err != nil {
		o.closeTracing()
		return nil, err
	}
	github, err := builds.New(builds.Options{API: s.GitHubAPI, Log: log.Named("builds"), Observe: metrics.BuildsAsked, Wrap: metrics.Transport("github")})
	if err != nil {
		o.unwatch()
		o.closeTracing()
		return nil, err
	}
	s.Git.Workers, s.Git.Log = s.Workers, log.Named("gitcli")
	s.Git.LogFields, s.Git.Observer = metrics.LogFields, gitObserver{metrics}
	if o.git, err = gitcli.New(ctx, s.Git); err != nil {
		o.unwatch()
		o.closeTracing()
		return nil, err
	}
	o.registry = registry.New(registry.Options{Insecure: s.Insecure, Log: log.Named("registry"), Observe: metrics.RegistryAsked, Wrap: metrics.Transport("registry")})
	o.notify = notify.New(notify.Options{Log: log.Named("notify"), Observe: metrics.Notified, Wrap: metrics.Transport("webhook")})
	o.reconciler = reconcile.New(reconcile.Options{
		Git: o.git, Secrets: o.source, Policy: s.Policy, Registry: o.registry, Builds: github, Notify: o.notify,
		Wait: s.Wait, DryRun: s.DryRun, Log: log.Named("reconcile"), LogFields: metrics.LogFields, Observer: o.workObserver(),
	})
	seen := history.New()
	work := func(ctx context.Context, name string, jobs []queue.Job[k8s.Target], done func(int, queue.Outcome[reconcile.Result])) {
		end := func(i int, r reconcile.Result, again time.Duration) {
			if again == 0 {
				metrics.Reconciled(r.Action)
			}
			seen.Report(jobs[i].Value, r, jobs[i].Submitted)
			done(i, queue.Outcome[reconcile.Result]{Result: r, Again: again})
		}
		ctx, ended := o.beginGroup(ctx, jobs)
		defer ended()
		defer o.memory.due()
		// A job may have waited for its image for minutes: what counts is the
		// Deployment as it is now.
		now := current(ctx, o.source)
		var todo []reconcile.Job
		var index []int
		for i, j := range jobs {
			switch t, tracked := now(j.Key); {
			case !tracked:
				end(i, reconcile.Failed(j.Value, errors.New("it is not tracked any more: see /status")), 0)
			case t.Disabled():
				end(i, reconcile.Skipped(t), 0)
			case t.Spec.Group() != name:
				end(i, reconcile.Failed(t, errors.New("its manifests repository, branch or key changed meanwhile; the next pass goes on with the new one")), 0)
			default:
				todo, index = append(todo, reconcile.Job{Target: t, Since: j.Submitted, Requested: j.Requested, LogFields: telemetry.LogFields(j.Origins)}), append(index, i)
			}
		}
		o.reconciler.Group(ctx, todo, func(i int, r reconcile.Result, again time.Duration) { end(index[i], r, again) })
	}
	o.queue = queue.New(s.Workers, work, queue.Options[k8s.Target, reconcile.Result]{
		Failed: func(j queue.Job[k8s.Target], err error) reconcile.Result {
			metrics.Reconciled(reconcile.ActionFailed)
			res := reconcile.Failed(j.Value, err)
			seen.Report(j.Value, res, j.Submitted)
			return res
		},
		OnPanic: func(_ string, v any, stack []byte) {
			log.Named("queue").Error("a pass panicked", zap.Any("panic", v), zap.ByteString("stack", stack))
		},
	})
	o.watch()
	o.api = httpapi.New(o.source, o.queue, metrics, log.Named("httpapi"))
	o.api.History = seen
	return o, nil
}

// current returns a look-up, by key, of the Deployments as they are now.
func current(ctx context.Context, from source) func(key string) (t k8s.Target, tracked bool) {
	snapshot, _ := from.Deployments(ctx) // httpapi logs what is wrong with it
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

// openSource opens the files, or begins to watch the cluster.
func openSource(o *operator, s cli.Settings) error {
	o.unwatch = func() {}
	if s.From != "" {
		files, err := k8s.OpenFiles(s.From, k8s.FileOptions{Namespaces: s.Cluster.Namespaces, Selector: s.Cluster.Selector})
		if err != nil {
			return fmt.Errorf("read --from: %w", err)
		}
		o.source = files
		return nil
	}
	s.Cluster.UserAgent, s.Cluster.Log = "gitops-operator/"+version, o.log.Named("k8s")
	s.Cluster.Wrap = o.metrics.Transport("kubernetes")
	cluster, err := k8s.OpenCluster(s.Cluster)
	if err != nil {
		return fmt.Errorf("find cluster: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cluster.Run(ctx)
	}()
	o.source = cluster
	if s.Events && !s.DryRun {
		o.events = cluster.RecordEvents()
	}
	o.unwatch = func() {
		o.closeEvents()
		cancel()
		<-ended
	}
	return nil
}

// closeQueue lets running groups finish within the grace period.
func (o *operator) closeQueue() {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	if err := o.queue.Close(ctx); err != nil {
		o.log.Named("main").Warn("stopped before everything was finished", zap.Error(err))
	}
}

// closeTracing sends the last spans, if somebody takes them soon.
func (o *operator) closeTracing() {
	ctx, cancel := context.WithTimeout(context.Background(), answerGrace)
	defer cancel()
	o.tracing.Close(ctx)
}

// stop ends everything, the queue first.
func (o *operator) stop() {
	o.closeQueue()
	o.memory.stop()
	o.api.Close()
	o.reconciler.Close()
	ctx, cancel := context.WithTimeout(context.Background(), answerGrace)
	defer cancel()
	o.notify.Close(ctx)
	o.registry.Close()
	o.unwatch()
	o.git.Close()
	o.closeTracing()
	o.log.Sync() // fails on terminals, where nothing is buffered
}

func runServe(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var s cli.Settings
	var serve cli.Serve
	fs := cli.New("serve", "[flags]")
	serve.Define(fs)
	s.Define(fs)
	check := func(rest []string) {
		serve.Check(fs)
		s.Check(fs)
		fs.NoArguments(rest)
	}
	if _, code, ok := fs.Parse(args, stdout, stderr, check); !ok {
		return code
	}
	o, err := start(ctx, s, stderr)
	if err != nil {
		return cli.CannotRun(stderr, err)
	}
	defer o.stop()
	handler, err := o.handler(serve)
	if err != nil {
		return cli.CannotRun(stderr, err)
	}
	server, err := httpapi.Listen(ctx, httpapi.ServerOptions{
		Address: serve.Listen, CertFile: serve.TLSCert, KeyFile: serve.TLSKey, Log: o.log.Named("httpapi"),
	})
	if err != nil {
		return cli.CannotRun(stderr, err)
	}
	o.log.Named("main").Info("listening", zap.String("address", server.Addr().String()), zap.Bool("tls", server.Secure()), zap.String("version", versionLine()))
	if serve.Interval > 0 {
		every, cancel := context.WithCancel(ctx)
		var passes sync.WaitGroup
		passes.Go(func() { o.api.Every(every, serve.Interval) })
		defer passes.Wait()
		defer cancel()
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(handler) }()
	select {
	case err := <-served:
		return cli.CannotRun(stderr, err)
	case <-ctx.Done():
	}
	o.log.Named("main").Info("shutting down")
	// Requests that wait get their answers from the queue's end, and then some
	// time to take them.
	o.closeQueue()
	last, cancel := context.WithTimeout(context.Background(), answerGrace)
	defer cancel()
	server.Shutdown(last)
	<-served
	return cli.ExitOK
}

// handler is what serve answers with: to all, or to those who know the token.
func (o *operator) handler(serve cli.Serve) (http.Handler, error) {
	log := o.log.Named("httpapi")
	if serve.WebhookSecretFile != "" {
		secret, err := httpapi.OpenSecretFile(serve.WebhookSecretFile, log)
		if err != nil {
			return nil, fmt.Errorf("read --webhook-secret-file: %w", err)
		}
		o.api.WebhookSecret = secret
	}
	var guards []func(http.Handler) http.Handler
	if serve.TokenFile != "" {
		token, err := httpapi.OpenSecretFile(serve.TokenFile, log)
		if err != nil {
			return nil, fmt.Errorf("read --auth-token-file: %w", err)
		}
		guards = append(guards, httpapi.Guard{Token: token, ProtectMetrics: serve.ProtectMetrics}.Wrap)
	}
	return o.api.Handler(guards...), nil
}

func runReconcile(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var s cli.Settings
	fs := cli.New("reconcile", "[flags] [NS/NAME ...]")
	output := fs.String("o", "table", "output: json or table")
	s.Define(fs)
	check := func([]string) {
		s.Check(fs)
		if *output != "json" && *output != "table" {
			fs.Faultf("-o is %q: use json or table", *output)
		}
	}
	only, code, ok := fs.Parse(args, stdout, stderr, check)
	if !ok {
		return code
	}
	o, err := start(ctx, s, stderr)
	if err != nil {
		return cli.CannotRun(stderr, err)
	}
	defer o.stop()
	if cluster, ok := o.source.(*k8s.Cluster); ok {
		ready, cancel := context.WithTimeout(ctx, clusterWait)
		defer cancel()
		if err := cluster.WaitReady(ready); err != nil {
			return cli.CannotRun(stderr, err)
		}
	}
	snapshot := o.api.List(ctx)
	targets := snapshot.Targets
	if len(only) > 0 {
		if targets, err = httpapi.Select(snapshot, only); err != nil {
			return cli.CannotRun(stderr, err)
		}
	}
	// Told to end, it finishes what runs, and reports that.
	stop := context.AfterFunc(ctx, o.closeQueue)
	defer stop()
	results, err := o.api.Pass(context.WithoutCancel(ctx), targets)
	if err != nil {
		return cli.CannotRun(stderr, err)
	}
	write := httpapi.WriteTable
	if *output == "json" {
		write = httpapi.WriteResults
	}
	if err := write(stdout, results); err != nil {
		return cli.CannotRun(stderr, err)
	}
	o.git.Settle(ctx) // else mirrors would grow for ever where only this command runs
	if slices.ContainsFunc(results, func(r reconcile.Result) bool { return r.Status != "success" && r.Status != "skipped" }) {
		return cli.ExitFailed
	}
	return cli.ExitOK
}

func runDemo(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := cli.New("demo", "[--keep]")
	keep := fs.Bool("keep", false, "keep the folder and the servers running, to try things")
	if _, code, ok := fs.Parse(args, stdout, stderr, func(rest []string) { fs.NoArguments(rest) }); !ok {
		return code
	}
	operate := func(ctx context.Context, args []string, log io.Writer) error {
		if code := run(ctx, args, io.Discard, log); code != cli.ExitOK {
			return fmt.Errorf("exit code %d", code)
		}
		return nil
	}
	if err := demo.Run(ctx, stdout, *keep, operate); err != nil {
		return cli.CannotRun(stderr, err)
	}
	return cli.ExitOK
}
