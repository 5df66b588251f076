// Command stages runs the test suites, one stage after the other, and prints at
// the end what was left out and why: a skipped test must not go unnoticed.
//
//	stages test [FLAGS]   what `make test` runs
//	stages full [FLAGS]   what `make test-full` runs beyond that
//
// FLAGS, such as -race, are for go test.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kainlite/gitops-operator/test/newest"
)

// stage is one or more suites in one environment.
type stage struct {
	name     string
	dir      string   // of their module
	packages []string // for go test; empty: command is run
	command  []string
	vet      bool
	env      []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var stages []stage
	var left omissions
	switch {
	case len(args) > 0 && args[0] == "test":
		stages = testStages
	case len(args) > 0 && args[0] == "full":
		var err error
		if stages, err = fullStages(ctx, &left); err != nil {
			return err
		}
	default:
		return errors.New("usage: stages test|full [FLAGS]")
	}
	return runStages(ctx, stages, args[1:], &left, out)
}

// runStages runs every stage, whatever the others did, and returns an error if
// one has failed.
func runStages(ctx context.Context, stages []stage, flags []string, left *omissions, out io.Writer) error {
	var failed []string
	var times strings.Builder
	for _, s := range stages {
		fmt.Fprintf(out, "--- %s\n", s.name)
		start := time.Now()
		err := s.run(ctx, flags, left, out)
		fmt.Fprintf(&times, "%8s  %s\n", time.Since(start).Round(time.Second), s.name)
		if err != nil {
			fmt.Fprintf(out, "%s: %v\n", s.name, err)
			failed = append(failed, s.name)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	fmt.Fprintf(out, "--- times\n%s%s", &times, left)
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

func (s stage) run(ctx context.Context, flags []string, left *omissions, out io.Writer) error {
	if len(s.packages) == 0 {
		cmd := s.cmd(ctx, s.command...)
		cmd.Stdout, cmd.Stderr = out, out
		return cmd.Run()
	}
	if s.vet {
		cmd := s.cmd(ctx, "go", "vet", "./...")
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("vet: %w", err)
		}
	}
	argv := slices.Concat([]string{"go", "test", "-json"}, flags, s.packages)
	cmd := s.cmd(ctx, argv...)
	cmd.Stderr = out
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	rerr := relay(s.name, pipe, left, out)
	return errors.Join(cmd.Wait(), rerr)
}

func (s stage) cmd(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd
}

// testStages are those of `make test`. The modules below test/ are what need
// other libraries than the operator's.
var testStages = []stage{
	{name: "all packages", packages: []string{"-timeout=30m", "./..."}},
	{name: "deploycheck", dir: "test/deploycheck", packages: []string{"-count=1", "./..."}, vet: true},
	{name: "targetscheck", dir: "test/targets", packages: []string{"-count=1", "./..."}, vet: true},
	{name: "observabilitycheck", dir: "test/observability", packages: []string{"-count=1", "./..."}, vet: true},
}

// gitPackages are where git and ssh have a part in what is tested.
var gitPackages = []string{
	"-count=1", "-timeout=30m", "./demo", "./gitcli", "./operator", "./reconcile", "./test/container", "./test/e2e", "./test/faults", "./test/gitserver", "./test/hostile", "./test/scripts",
}

// fullStages are those of `make test-full`.
func fullStages(ctx context.Context, left *omissions) ([]stage, error) {
	var stages []stage
	builds, err := newest.Install(ctx, os.Stderr)
	switch {
	case errors.Is(err, newest.ErrNoApt) && os.Getenv("TEST_REQUIRE_NEWEST") == "":
		left.add("newest git and OpenSSH", "every suite", err.Error())
	case err != nil:
		return nil, err
	default:
		git, ssh := builds[0], builds[1]
		path := filepath.Join(git.Dir, "bin") + string(os.PathListSeparator) + os.Getenv("PATH")
		stages = append(stages,
			stage{name: "with " + git.String(), packages: gitPackages, env: []string{"PATH=" + path}},
			stage{name: "with " + git.String() + " and " + ssh.String(), packages: gitPackages, env: []string{
				"PATH=" + filepath.Join(ssh.Dir, "bin") + string(os.PathListSeparator) + path,
				"TEST_SSHD=" + filepath.Join(ssh.Dir, "sbin", "sshd"),
			}},
		)
	}
	return append(stages,
		stage{name: "Gitea", packages: []string{"-count=1", "-timeout=20m", "./test/gitea", "./forge"}},
		stage{name: "browsertest", dir: "test/browser", packages: []string{"-count=1", "./..."}, vet: true},
		stage{name: "fuzz", command: []string{"make", "--no-print-directory", "fuzz"}},
	), nil
}
