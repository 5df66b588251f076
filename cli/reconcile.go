package cli

import (
	"context"
	"slices"
	"time"

	"github.com/kainlite/gitops-operator/internal/output"
	"github.com/kainlite/gitops-operator/operator"
	"github.com/kainlite/gitops-operator/reconcile"
)

// clusterWait is how long reconcile waits for the first listing of Deployments.
const clusterWait = 30 * time.Second

// reconcile runs one pass and prints its results.
func (p program) reconcile(ctx context.Context, args []string) int {
	var c Config
	fs := New("reconcile", "[flags] [NS/NAME ...]")
	format := fs.String("o", "table", "output: json or table")
	c.Define(fs)
	check := func([]string) {
		c.Check(fs)
		if *format != "json" && *format != "table" {
			fs.Faultf("-o is %q: use json or table", *format)
		}
	}
	only, code, ok := fs.Parse(args, p.stdout, p.stderr, check)
	if !ok {
		return code
	}
	o, _, err := c.start(ctx, p.version, p.stderr)
	if err != nil {
		return CannotRun(p.stderr, err)
	}
	defer o.Stop()
	results, err := pass(ctx, o, only)
	if err != nil {
		return CannotRun(p.stderr, err)
	}
	write := output.ResultTable
	if *format == "json" {
		write = output.Results
	}
	if err := write(p.stdout, results); err != nil {
		return CannotRun(p.stderr, err)
	}
	o.SettleGit(ctx)
	if slices.ContainsFunc(results, func(r reconcile.Result) bool { return r.Status != "success" && r.Status != "skipped" }) {
		return ExitFailed
	}
	return ExitOK
}

// pass runs one over all Deployments, or only those of the given keys. When ctx
// ends, it finishes what runs, and returns that.
func pass(ctx context.Context, o *operator.Operator, only []string) ([]reconcile.Result, error) {
	ready, cancel := context.WithTimeout(ctx, clusterWait)
	defer cancel()
	if err := o.WaitReady(ready); err != nil {
		return nil, err
	}
	snapshot := o.List(ctx)
	targets := snapshot.Targets
	if len(only) > 0 {
		var err error
		if targets, err = operator.Select(snapshot, only); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, o.Finish)
	defer stop()
	return o.Pass(context.WithoutCancel(ctx), targets)
}
