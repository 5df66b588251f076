package gitcli_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/test/gitserver"
	"github.com/kainlite/gitops-operator/test/world"
)

// Each outcome that others decide on has its own error, whatever the command
// that met it, and its text says what to do.
func TestRemoteOutcomesAreTyped(t *testing.T) {
	w := world.New(t)
	w.App("kainlite/blog")
	w.Repo("kainlite/empty")
	_, stranger, err := gitserver.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	w.App("kainlite/headless")
	w.Git("kainlite/headless", "branch", "-m", "master", "other")
	w.Git("kainlite/headless", "symbolic-ref", "HEAD", "refs/heads/gone")
	strangerKey, _, err := gitserver.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	elsewhere := "ssh://git@" + closed.Addr().String() + "/kainlite/blog.git"
	url := w.Server.URL("kainlite/blog.git")
	otherHostKey := []byte(knownHost(t, w.Server.Addr(), stranger))

	for _, c := range []struct {
		name   string
		url    string
		branch string
		key    gitcli.Key
		kind   error
		text   string // after the operation and the repository
	}{
		{
			name: "branch missing", url: url, branch: "main", kind: gitcli.ErrBranchMissing,
			text: "branch main: branch not found: the repository's default branch is master: set gitops.operator.observe_branch, which names the branch in both repositories",
		},
		{
			name: "repository empty", url: w.Server.URL("kainlite/empty.git"), kind: gitcli.ErrEmptyRepository,
			text: "branch master: repository is empty: push a first commit",
		},
		{
			name: "default branch missing", url: w.Server.URL("kainlite/headless.git"), kind: gitcli.ErrBranchMissing,
			text: "branch master: branch not found: create it, or set gitops.operator.observe_branch",
		},
		{
			name: "repository missing", url: w.Server.URL("kainlite/nope.git"), kind: gitcli.ErrRepositoryMissing,
			text: "branch master: repository not found: Repository not found. (check its spelling, and that the key may read it)",
		},
		{
			name: "authentication refused", url: url, kind: gitcli.ErrAuth,
			key:  gitcli.Key{Name: "default/stranger", Private: strangerKey, KnownHosts: w.Server.KnownHosts()},
			text: "(let its public half read the repository, and write to the manifests; a deploy key serves one repository, a machine user's several)",
		},
		{
			name: "host key unknown", url: url, kind: gitcli.ErrHostKey,
			key:  gitcli.Key{Name: world.SSHSecret, Private: w.Private},
			text: "(check the server's host key, as ssh-keyscan shows it, and put it into a --known-hosts file or into known_hosts in the SSH key's Secret)",
		},
		{
			name: "host key changed", url: url, kind: gitcli.ErrHostKey,
			key:  gitcli.Key{Name: world.SSHSecret, Private: w.Private, KnownHosts: otherHostKey},
			text: "(check the server's host key, as ssh-keyscan shows it, and put it into a --known-hosts file or into known_hosts in the SSH key's Secret)",
		},
		{
			name: "nobody listens", url: elsewhere, kind: gitcli.ErrNetwork,
			text: "(check that the host can be reached)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := w.Client()
			if c.key.Name == "" {
				c.key = gitcli.Key{Name: world.SSHSecret, Private: w.Private, KnownHosts: w.Server.KnownHosts()}
			}
			if c.branch == "" {
				c.branch = "master"
			}
			id, err := client.Acquire(c.key)
			if err != nil {
				t.Fatal(err)
			}
			defer id.Release()
			remote, err := gitcli.ParseRemote(c.url)
			if err != nil {
				t.Fatal(err)
			}
			_, headErr := client.Head(t.Context(), remote, c.branch, id)
			_, fetchErr := open(t, client, remote, c.branch, id).Fetch(t.Context())
			for op, err := range map[string]error{"Head": headErr, "Fetch": fetchErr} {
				if !errors.Is(err, c.kind) {
					t.Errorf("%s: got %v, want kind %q", op, err, c.kind)
					continue
				}
				if !strings.Contains(err.Error(), c.url) || !strings.HasSuffix(err.Error(), c.text) {
					t.Errorf("%s: got %s\nwant ... %s ... %s", op, err, c.url, c.text)
				}
			}
		})
	}
}

func knownHost(t *testing.T, addr string, key ssh.PublicKey) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return "[" + host + "]:" + port + " " + string(ssh.MarshalAuthorizedKey(key))
}

func TestKnownHostsFilesReplaceTheDefault(t *testing.T) {
	w := world.New(t)
	w.App("kainlite/blog")
	file := filepath.Join(t.TempDir(), "known hosts")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	client := w.Client(func(o *gitcli.Options) { o.KnownHosts = []string{file} })
	head := func() error {
		id, err := client.Acquire(gitcli.Key{Name: world.SSHSecret, Private: w.Private})
		if err != nil {
			return err
		}
		defer id.Release()
		_, err = client.Head(t.Context(), w.Remote("kainlite/blog"), "master", id)
		return err
	}
	if err := head(); !errors.Is(err, gitcli.ErrHostKey) {
		t.Fatalf("with an empty file: %v", err)
	}
	if err := os.WriteFile(file, w.Server.KnownHosts(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := head(); err != nil {
		t.Fatalf("the file is not read again: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := head(); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("without the file: %v", err)
	}
}

func TestSilentServerTimesOutAndLeavesNoProcess(t *testing.T) {
	w := world.New(t)
	w.App("kainlite/blog")
	w.App("kainlite/api")
	client := w.Client(func(o *gitcli.Options) { o.Timeout = 700 * time.Millisecond })
	id := w.Identity(client)
	if _, err := client.Head(t.Context(), w.Remote("kainlite/api"), "master", id); err != nil {
		t.Fatal(err)
	}
	w.Server.Stall("kainlite/blog.git", true)
	_, err := client.Head(t.Context(), w.Remote("kainlite/blog"), "master", id)
	if !errors.Is(err, gitcli.ErrTimeout) || !strings.Contains(err.Error(), "branch master: timed out after 700ms") {
		t.Fatalf("got %v", err)
	}
	if left := childrenOf(t, "ls-remote"); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	w.Server.Stall("kainlite/blog.git", false)
	if _, err := client.Head(t.Context(), w.Remote("kainlite/blog"), "master", id); err != nil {
		t.Errorf("after the stall: %v", err)
	}
}

func TestCancelEndsACommand(t *testing.T) {
	w := world.New(t)
	w.App("kainlite/blog")
	client := w.Client()
	id := w.Identity(client)
	w.Server.Stall("", true)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := client.Head(ctx, w.Remote("kainlite/blog"), "master", id)
		failed <- err
	}()
	for w.Server.Stats().UploadPacks == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left := childrenOf(t, "ls-remote"); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
}

// childrenOf returns the command lines of this process's descendants that
// contain word.
func childrenOf(t *testing.T, word string) []string {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(lines) == 0 {
		t.Fatal("no /proc here")
	}
	var found []string
	for _, f := range lines {
		b, _ := os.ReadFile(f)
		line := strings.ReplaceAll(string(b), "\x00", " ")
		if strings.Contains(line, word) && descends(filepath.Base(filepath.Dir(f))) {
			found = append(found, line)
		}
	}
	return found
}

func descends(pid string) bool {
	for range 20 {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			return false
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if pid = fields[1]; pid == "1" || pid == "0" {
			return false
		}
		if pid == strconv.Itoa(os.Getpid()) {
			return true
		}
	}
	return false
}
