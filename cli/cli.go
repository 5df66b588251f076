// Package cli is the command line: the commands, their flags, and one validated
// [Config] of what the flags say. Flags come from the arguments and from
// environment variables, may stand anywhere, and every fault is reported, not
// only the first. What the commands do is package operator's; only patch, which
// needs no operator, reads and writes the files that it is given.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/kainlite/gitops-operator/demo"
)

const usage = `usage:
  gitops-operator [serve] [flags]                  run the operator
  gitops-operator reconcile [flags] [NS/NAME ...]  one pass over all (or the named) Deployments, then exit
  gitops-operator patch --image NAME --tag TAG [--digest DIGEST] [--path EXPR] [--write] FILE ...
                                                   show (unified diff) or write what the operator would change in these files
  gitops-operator demo [--keep]                    a tour that needs no cluster
  gitops-operator version

'gitops-operator COMMAND --help' lists the flags of a command.
`

// Main runs the command that the process's arguments name, until it is done or
// the process is told to end, and returns its exit code. version is that of the
// build, "dev" if it was not given any.
func Main(version string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	return program{version, os.Stdout, os.Stderr}.run(ctx, os.Args[1:])
}

// program is what all commands need.
type program struct {
	version        string
	stdout, stderr io.Writer
}

func (p program) run(ctx context.Context, args []string) int {
	command := "serve"
	switch {
	case len(args) > 0 && slices.Contains([]string{"--help", "-help", "-h"}, args[0]):
		command = "help"
	case len(args) > 0 && !strings.HasPrefix(args[0], "-"):
		command, args = args[0], args[1:]
	}
	switch command {
	case "serve":
		return p.serve(ctx, args)
	case "reconcile":
		return p.reconcile(ctx, args)
	case "patch":
		return Patch(args, p.stdout, p.stderr)
	case "demo":
		return p.demo(ctx, args)
	case "version":
		fs := New("version", "")
		if _, code, ok := fs.Parse(args, p.stdout, p.stderr, func(rest []string) { fs.NoArguments(rest) }); !ok {
			return code
		}
		fmt.Fprintln(p.stdout, versionLine(p.version))
		return ExitOK
	case "help":
		fmt.Fprint(p.stdout, usage)
		return ExitOK
	}
	fmt.Fprintf(p.stderr, "gitops-operator: unknown command %q: use serve, reconcile, patch, demo or version\n", command)
	return ExitUsage
}

// demo gives the tour.
func (p program) demo(ctx context.Context, args []string) int {
	fs := New("demo", "[--keep]")
	keep := fs.Bool("keep", false, "keep the folder and the servers running, to try things")
	if _, code, ok := fs.Parse(args, p.stdout, p.stderr, func(rest []string) { fs.NoArguments(rest) }); !ok {
		return code
	}
	operate := func(ctx context.Context, args []string, log io.Writer) error {
		if code := (program{p.version, io.Discard, log}).run(ctx, args); code != ExitOK {
			return fmt.Errorf("exit code %d", code)
		}
		return nil
	}
	if err := demo.Run(ctx, p.stdout, *keep, operate); err != nil {
		return CannotRun(p.stderr, err)
	}
	return ExitOK
}

// versions returns the version, and the commit it was built from where that is
// known.
func versions(built string) (version, revision string) {
	version = built
	if info, ok := debug.ReadBuildInfo(); ok {
		if version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return version, revision
}

func versionLine(built string) string {
	v, commit := versions(built)
	if commit != "" {
		commit = "commit " + commit + ", "
	}
	return fmt.Sprintf("gitops-operator %s (%s%s, %s/%s)", v, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
