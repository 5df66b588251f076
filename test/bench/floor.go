package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// sessions is how many git commands of the floor use the connection at once.
const sessions = 8

// floor does a pass with the git commands that a careful person would type.
type floor struct {
	*scene
	name     string // of its manifests repository
	dir      string // its copy
	blobless bool   // the copy is made without files' contents, which are fetched where they are needed
	socket   string
	master   *exec.Cmd
	used     atomic.Int64 // processor time of the commands, ns
}

func (s *scene) newFloor(name string, blobless bool) *floor {
	return &floor{scene: s, name: name, blobless: blobless, dir: filepath.Join(s.dir, "floor-"+name), socket: filepath.Join(s.dir, "m-"+name)}
}

func (f *floor) sshOptions() []string {
	return []string{
		"-F", "none", "-i", f.keyFile, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "PreferredAuthentications=publickey", "-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + f.hostsFile,
		"-o", "GlobalKnownHostsFile=/dev/null", "-o", "UpdateHostKeys=no", "-o", "ConnectTimeout=10",
		"-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-o", "ControlPath=" + f.socket,
	}
}

// connect starts the shared connection.
func (f *floor) connect(ctx context.Context) error {
	host, port, err := net.SplitHostPort(f.server.Addr)
	if err != nil {
		return err
	}
	args := append(f.sshOptions(), "-M", "-N", "-p", port)
	if f.blobless {
		// Only a connection that passes GIT_PROTOCOL on lets git speak version 2
		// of its protocol, which files' contents on their own need. Version 0
		// has a round trip less.
		args = append(args, "-o", "SendEnv=GIT_PROTOCOL")
	}
	f.master = exec.Command("ssh", append(args, "git@"+host)...)
	f.master.Stderr = os.Stderr
	if err := f.master.Start(); err != nil {
		return err
	}
	for range 5000 {
		if c, err := net.Dial("unix", f.socket); err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(3 * time.Millisecond):
		}
	}
	return errors.New("ssh does not connect")
}

func (f *floor) disconnect() {
	if f.master != nil {
		f.master.Process.Signal(syscall.SIGTERM)
		f.master.Wait()
		f.used.Add(int64(f.master.ProcessState.UserTime() + f.master.ProcessState.SystemTime()))
		f.master = nil
	}
}

// git runs one command, in an environment like the operator's.
func (f *floor) git(ctx context.Context, stdin *bytes.Buffer, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0", "GIT_SSH_VARIANT=ssh", "GIT_SSH_COMMAND=ssh -o ControlMaster=no " + strings.Join(f.sshOptions(), " "),
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if stdin != nil {
		cmd.Stdin = stdin
	}
	out, err := cmd.Output()
	if cmd.ProcessState != nil {
		f.used.Add(int64(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()))
	}
	if err != nil {
		return nil, fmt.Errorf("floor: git %s: %w: %s", args, err, strings.TrimSpace(stderr.String()+string(out)))
	}
	return out, nil
}

// here is a command on the copy.
func (f *floor) here(ctx context.Context, stdin *bytes.Buffer, args ...string) ([]byte, error) {
	return f.git(ctx, stdin, append([]string{"--git-dir=" + f.dir, "-c", "gc.auto=0"}, args...)...)
}

// drop forgets copy and connection: the next pass is cold.
func (f *floor) drop() error {
	f.disconnect()
	return os.RemoveAll(f.dir)
}

// clone makes the copy, which can read, commit and push.
func (f *floor) clone(ctx context.Context) error {
	args := []string{"clone", "-q", "--bare", "--depth", "1", "--no-tags", "--single-branch", "--branch", branch, "--template="}
	if f.blobless {
		args = append(args, "--filter=blob:none")
	}
	_, err := f.git(ctx, nil, append(args, "--", f.server.url(f.name), f.dir)...)
	return err
}

// pass asks for all app heads and fetches, side by side; reads, commits and
// pushes where something changed. Without a copy it connects and clones first.
func (f *floor) pass(ctx context.Context, changed []int) error {
	cold := f.master == nil
	if cold {
		if err := f.connect(ctx); err != nil {
			return err
		}
	}
	var (
		mu    sync.Mutex
		heads = map[int]string{}
		all   errgroup.Group
	)
	all.SetLimit(sessions)
	all.Go(func() error {
		if cold {
			return f.clone(ctx)
		}
		_, err := f.here(ctx, nil, "fetch", "-q", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", f.server.url(f.name), "+refs/heads/"+branch+":refs/heads/"+branch)
		return err
	})
	for _, app := range f.apps {
		all.Go(func() error {
			out, err := f.git(ctx, nil, "ls-remote", f.server.url(fmt.Sprintf(appRepo, app)), "refs/heads/"+branch)
			mu.Lock()
			defer mu.Unlock()
			heads[app], _, _ = strings.Cut(string(out), "\t")
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	for app, head := range heads {
		if head != f.heads[app] {
			return fmt.Errorf("floor: app %d is at %q, not %q", app, head, f.heads[app])
		}
	}
	// Warm, what did not change since the last pass need not be read again.
	read := changed
	if cold {
		read = f.deployments
	}
	if len(read) == 0 {
		return nil
	}
	files, err := f.read(ctx, read)
	if err != nil || len(changed) == 0 {
		return err
	}
	return f.write(ctx, changed, files, heads)
}

// read returns the manifests of Deployments.
func (f *floor) read(ctx context.Context, deployments []int) (map[int]string, error) {
	paths := make([]string, len(deployments))
	for i, d := range deployments {
		paths[i] = manifestPath(d)
	}
	args := []string{"ls-tree", "-z", "--full-tree", branch, "--"}
	if len(paths) > 2000 { // more than a command line takes
		args, paths = []string{"ls-tree", "-r", "-z", "--full-tree", branch}, nil
	}
	out, err := f.here(ctx, nil, append(args, paths...)...)
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for entry := range strings.SplitSeq(string(out), "\x00") {
		if head, path, ok := strings.Cut(entry, "\t"); ok {
			ids[path] = head[strings.LastIndexByte(head, ' ')+1:]
		}
	}
	var want bytes.Buffer
	for _, d := range deployments {
		fmt.Fprintln(&want, ids[manifestPath(d)])
	}
	if f.blobless {
		// What git itself does for a checkout: one request for all of them.
		if _, err := f.here(ctx, bytes.NewBuffer(bytes.Clone(want.Bytes())), "-c", "fetch.negotiationAlgorithm=noop", "fetch", "-q", "origin",
			"--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--recurse-submodules=no", "--filter=blob:none", "--stdin"); err != nil {
			return nil, err
		}
	}
	if out, err = f.here(ctx, &want, "cat-file", "--batch=%(objectsize)"); err != nil {
		return nil, err
	}
	files := make(map[int]string, len(deployments))
	rest := string(out)
	for _, d := range deployments {
		var size int
		head, after, _ := strings.Cut(rest, "\n")
		if _, err := fmt.Sscan(head, &size); err != nil || size >= len(after) {
			return nil, fmt.Errorf("floor: git cat-file answered %.80q", head)
		}
		files[d], rest = after[:size], after[size+1:]
	}
	return files, nil
}

// write makes one commit for each change, as the operator words them, in one
// git fast-import, and pushes them.
func (f *floor) write(ctx context.Context, changed []int, files map[int]string, heads map[int]string) error {
	var b bytes.Buffer
	for i, d := range changed {
		image, tag := imageName(d), heads[appOf(d)]
		start := strings.Index(files[d], image+":") + len(image) + 1
		old := files[d][start : start+40]
		message := fmt.Sprintf("chore(refs): update default/%s to %.12s\n\nImage: %s\nFrom: %s\nTo: %s\nApp-Repository: %s\n", appName(d), tag, image, old, tag, appURL(f.stage, d))
		fmt.Fprintf(&b, "commit refs/gitops/next\ncommitter GitOps Operator <gitops-operator@localhost> %d +0000\ndata %d\n%s\n", time.Now().Unix(), len(message), message)
		if i == 0 {
			fmt.Fprintf(&b, "from refs/heads/%s^0\n", branch)
		}
		content := files[d][:start] + tag + files[d][start+40:]
		fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", manifestPath(d), len(content), content)
	}
	b.WriteString("done\n")
	if _, err := f.here(ctx, &b, "fast-import", "--quiet", "--done", "--force", "--date-format=raw"); err != nil {
		return err
	}
	base, err := f.here(ctx, nil, "rev-parse", "refs/heads/"+branch)
	if err != nil {
		return err
	}
	_, err = f.here(ctx, nil, "push", "--porcelain", "--no-verify", "--force-with-lease=refs/heads/"+branch+":"+strings.TrimSpace(string(base)),
		f.server.url(f.name), "refs/gitops/next:refs/heads/"+branch)
	return err
}
