// Package demo is a tour of the operator that needs no cluster: real git over
// real SSH, all on this machine, in a temporary folder. It may use the servers
// that the tests use; nothing imports it but main.
package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kainlite/gitops-operator/test/fakes"
	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/gitserver"
	"github.com/kainlite/gitops-operator/test/registryserver"
)

// Operate runs the operator with the given arguments, writing its log, until
// ctx is done.
type Operate func(ctx context.Context, args []string, log io.Writer) error

// passTimeout bounds one pass of the tour.
const passTimeout = time.Minute

// Run gives the tour. With keep, it then leaves everything running until ctx is
// done, and the folder where it is.
func Run(ctx context.Context, out io.Writer, keep bool, operate Operate) error {
	dir, err := os.MkdirTemp("", "gitops-operator-demo-")
	if err != nil {
		return fmt.Errorf("make demo folder: %w", err)
	}
	if !keep {
		defer os.RemoveAll(dir)
	}
	d := &demo{out: out, dir: dir}
	defer d.close()
	if err := d.setUp(); err != nil {
		return fmt.Errorf("set up demo: %w", err)
	}

	operator, err := start(ctx, operate, "serve", "--from", filepath.Join(dir, "cluster"), "--listen", "127.0.0.1:0",
		"--cache-dir", filepath.Join(dir, "cache"), "--github-api", d.github.URL(), "--image-wait", "10s")
	if err != nil {
		return err
	}
	d.url = "http://" + operator.address
	err = d.tour(ctx)
	if err == nil && keep {
		d.invite()
		<-ctx.Done()
	}
	return errors.Join(err, operator.stop())
}

// demo is the state of one tour.
type demo struct {
	out       io.Writer
	dir       string
	url       string // the operator's
	server    *gitserver.Server
	registry  *registryserver.Server
	github    *fakes.GitHub
	blog, api gitrepo.Repo
	manifests gitrepo.Repo
}

// close ends the servers.
func (d *demo) close() {
	if d.server != nil {
		d.server.Close()
	}
	if d.registry != nil {
		d.registry.Close()
	}
	if d.github != nil {
		d.github.Close()
	}
}

func (d *demo) tour(ctx context.Context) error {
	d.say("gitops-operator demo: real git over real SSH, on this machine only.")
	d.step("Three repositories in %s, served over SSH at %s:", d.dir, d.server.Addr())
	d.say("     kainlite/blog.git, kainlite/api.git   two applications")
	d.say("     kainlite/manifests.git                the manifests that a cluster obeys")
	d.step("The operator is at %s. Two Deployments, with gitops.operator.* annotations, are in %s.", d.url, filepath.Join(d.dir, "cluster"))

	d.step("First pass. Both applications have commits that the manifests do not name yet:")
	if err := d.reconcile(ctx, "/reconcile", "patched", "patched"); err != nil {
		return err
	}
	d.step("What it did: one commit per Deployment, and in each just the bytes of the tag.")
	if err := d.show("show", "--format=", "--unified=1", "master~1"); err != nil {
		return err
	}
	if err := d.show("log", "--format=%h %an  %s", "master"); err != nil {
		return err
	}
	d.step("Second pass. Nothing is left to do, and nothing is written:")
	if err := d.reconcile(ctx, "/reconcile", "up_to_date", "up_to_date"); err != nil {
		return err
	}
	head, err := d.blog.Commit("master", "Correct a typing error", map[string]string{"main.go": "package main // v3\n"})
	if err != nil {
		return err
	}
	d.step("Somebody pushes commit %.12s to kainlite/blog.git. Third pass: only that one moves.", head)
	if err := d.reconcile(ctx, "/reconcile", "up_to_date", "patched"); err != nil {
		return err
	}
	if err := d.show("log", "-1", "--format=%h %an  %s%n%n%(trailers)", "master"); err != nil {
		return err
	}
	return d.tourOfTheGate(ctx)
}

// tourOfTheGate shows an image that is still being built.
func (d *demo) tourOfTheGate(ctx context.Context) error {
	head, err := d.api.Commit("master", "Add a feature", map[string]string{"main.go": "package main // api, v3\n"})
	if err != nil {
		return err
	}
	d.github.SetRuns("kainlite", "api", head, fakes.Run{Status: "in_progress"})
	d.step("Somebody pushes commit %.12s to kainlite/api.git, whose images are in a registry at %s,", head, d.registry.Addr())
	d.say("   and GitHub Actions still builds this one. A manifest must not name an image that is not there:")
	if err := d.reconcile(ctx, "/reconcile?wait=1s", "pending", "up_to_date"); err != nil {
		return err
	}
	if err := d.registry.Push("kainlite/api", head); err != nil {
		return err
	}
	d.github.SetRuns("kainlite", "api", head, fakes.Run{Status: "completed", Conclusion: "success"})
	d.step("The build has pushed its image. The operator looks again, and goes on:")
	if err := d.reconcile(ctx, "/reconcile", "patched", "up_to_date"); err != nil {
		return err
	}
	d.step("Done. Argo CD or Flux would now roll it out; the operator never writes to a cluster.")
	return nil
}

// invite tells what to try.
func (d *demo) invite() {
	d.say("\nEverything keeps running. Try, in another terminal:")
	d.say("   curl %s/reconcile", d.url)
	d.say("   curl '%s/reconcile?deployment=default/blog&wait=10s'", d.url)
	d.say("   curl %s/status", d.url)
	d.say("   curl %s/debug", d.url)
	d.say("   curl %s/health", d.url)
	d.say("   curl %s/metrics", d.url)
	d.say("   git --git-dir=%s log master", d.manifests.Dir)
	d.say("Ctrl-C ends it. The folder stays: rm -r %s", d.dir)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

var stepMark = "\n== "

func (d *demo) step(format string, args ...any) { d.say(stepMark+format, args...) }

// show prints a git command on the manifests repository, and what it says.
func (d *demo) show(args ...string) error {
	out, err := d.manifests.Git(args...)
	if err != nil {
		return err
	}
	shown := make([]string, len(args))
	for i, a := range args {
		if shown[i] = a; strings.ContainsAny(a, " ()%") {
			shown[i] = "'" + a + "'"
		}
	}
	d.say("   $ git --git-dir=%s %s", d.manifests.Dir, strings.Join(shown, " "))
	d.say("   %s", strings.ReplaceAll(strings.TrimRight(out, "\n"), "\n", "\n   "))
	return nil
}

// reconcile runs a pass, prints it, and checks that it did what the tour says.
func (d *demo) reconcile(ctx context.Context, path string, want ...string) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	d.say("   $ curl '%s%s'", d.url, path)
	d.say("   %s", strings.ReplaceAll(strings.TrimSpace(string(body)), "\n", "\n   "))
	var results []struct{ Action string }
	if err := json.Unmarshal(body, &results); err != nil {
		return fmt.Errorf("read answer of /reconcile: %w", err)
	}
	got := make([]string, len(results))
	for i, r := range results {
		got[i] = r.Action
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		return fmt.Errorf("the pass reported %v where the demo expects %v", got, want)
	}
	return nil
}

// running is an operator that start started.
type running struct {
	address string
	cancel  context.CancelFunc
	ended   chan error
	reader  sync.WaitGroup
}

// start starts the operator and waits until it listens, which its log tells.
func start(ctx context.Context, operate Operate, args ...string) (*running, error) {
	ctx, cancel := context.WithCancel(ctx)
	r := &running{cancel: cancel, ended: make(chan error, 1)}
	logs, w := io.Pipe()
	listening := make(chan string, 1)
	var last string
	r.reader.Go(func() {
		for lines := bufio.NewScanner(logs); lines.Scan(); {
			last = lines.Text()
			var entry struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "listening" {
				listening <- entry.Address
			}
		}
		io.Copy(io.Discard, logs)
	})
	go func() {
		err := operate(ctx, args, w)
		w.Close()
		r.ended <- err
	}()
	select {
	case r.address = <-listening:
		return r, nil
	case err := <-r.ended:
		cancel()
		r.reader.Wait()
		return nil, fmt.Errorf("start operator: %w: %s", err, last)
	}
}

func (r *running) stop() error {
	r.cancel()
	err := <-r.ended
	r.reader.Wait()
	if err != nil {
		return fmt.Errorf("stop operator: %w", err)
	}
	return nil
}
