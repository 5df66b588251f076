package gitserver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a server with the repository owner/repo.git, and a client that may
// reach everything.
type fixture struct {
	t      *testing.T
	server *Server
	root   string
	logs   chan string
	client
}

// client is somebody with a key, who uses the real git and ssh.
type client struct {
	t       *testing.T
	dir     string
	options []string // of ssh
	signer  ssh.Signer
	public  ssh.PublicKey
}

const repo = "owner/repo.git"

func start(t *testing.T, change ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, root: t.TempDir(), logs: make(chan string, 1000)}
	opt := Options{Root: f.root, Logf: func(format string, args ...any) {
		f.logs <- fmt.Sprintf(format, args...)
	}}
	for _, c := range change {
		c(&opt)
	}
	server, err := Start(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		goleak.VerifyNone(t)
	})
	f.server = server
	f.client = f.newClient()
	server.Authorize(f.client.public)
	f.create(repo)
	return f
}

// newClient returns a client whose key the server does not know yet.
func (f *fixture) newClient() client {
	f.t.Helper()
	private, public, err := NewKey()
	if err != nil {
		f.t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		f.t.Fatal(err)
	}
	dir := f.t.TempDir()
	key, known := filepath.Join(dir, "key"), filepath.Join(dir, "known_hosts")
	writeFile(f.t, key, private, 0o600)
	writeFile(f.t, known, f.server.KnownHosts(), 0o644)
	return client{
		t: f.t, dir: dir, signer: signer, public: public,
		options: []string{
			"-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
			"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + known, "-o", "GlobalKnownHostsFile=/dev/null",
		},
	}
}

// create makes a bare repository with one commit on main.
func (f *fixture) create(name string) {
	f.t.Helper()
	f.createAt(filepath.Join(f.root, name))
}

func (f *fixture) createAt(bare string) {
	f.t.Helper()
	f.mustGit("init", "-q", "--bare", "-b", "main", "--", bare)
	tree := f.mustGit("-C", bare, "hash-object", "-w", "-t", "tree", "/dev/null")
	commit := f.mustGit("-C", bare, "commit-tree", "-m", "first", tree)
	f.mustGit("-C", bare, "update-ref", "refs/heads/main", commit)
}

// clone makes a work tree of owner/repo.git, with a new commit to push.
func (f *fixture) clone() string {
	f.t.Helper()
	work := filepath.Join(f.t.TempDir(), "work")
	f.mustGit("clone", "-q", f.server.URL(repo), work)
	f.commit(work, "file", []byte("content\n"))
	return work
}

func (f *fixture) commit(work, file string, content []byte) {
	f.t.Helper()
	writeFile(f.t, filepath.Join(work, file), content, 0o644)
	f.mustGit("-C", work, "add", file)
	f.mustGit("-C", work, "commit", "-q", "-m", "change "+file)
}

// head returns a commit of the server's repository.
func (f *fixture) head(rev string) string {
	f.t.Helper()
	return f.mustGit("-C", filepath.Join(f.root, repo), "rev-parse", rev)
}

func (f *fixture) hook(name, script string) {
	f.t.Helper()
	writeFile(f.t, filepath.Join(f.root, repo, "hooks", name), []byte("#!/bin/sh\n"+script), 0o755)
}

// waitForLog returns when the server has logged a line with this text.
func (f *fixture) waitForLog(text string) {
	for line := range f.logs {
		if strings.Contains(line, text) {
			return
		}
	}
}

// command prepares a program with nothing inherited, in a process group of its
// own.
func (c client) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_SSH_COMMAND=ssh '" + strings.Join(c.options, "' '") + "'", "GIT_SSH_VARIANT=ssh",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@localhost", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@localhost",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// run returns what a program wrote, without the final newlines, and its exit
// code.
func (c client) run(name string, args ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	var out, errs bytes.Buffer
	cmd := c.command(c.t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	return strings.TrimRight(out.String(), "\n"), strings.TrimRight(errs.String(), "\n"), cmd.ProcessState.ExitCode()
}

func (c client) git(args ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	return c.run("git", args...)
}

func (c client) mustGit(args ...string) (stdout string) {
	c.t.Helper()
	return c.mustRun("git", args...)
}

func (c client) mustRun(name string, args ...string) (stdout string) {
	c.t.Helper()
	stdout, stderr, code := c.run(name, args...)
	if code != 0 {
		c.t.Errorf("%s %q: exit %d: %s", name, args, code, stderr)
	}
	return stdout
}

// ssh runs the ssh program against the server.
func (f *fixture) ssh(args ...string) (stdout, stderr string, code int) {
	f.t.Helper()
	return f.run("ssh", append(f.sshOptions(), args...)...)
}

func (f *fixture) sshOptions() []string {
	_, port, _ := strings.Cut(f.server.Addr(), ":")
	return append(f.options[:len(f.options):len(f.options)], "-p", port, "-l", "git", "127.0.0.1")
}

// dial connects with a client made of the ssh package, for what the ssh program
// cannot be made to do.
func (f *fixture) dial() *ssh.Client {
	f.t.Helper()
	conn, err := ssh.Dial("tcp", f.server.Addr(), &ssh.ClientConfig{
		User:            "git",
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(f.signer)},
		HostKeyCallback: ssh.FixedHostKey(f.server.hostKey),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	return conn
}

func (f *fixture) session(conn *ssh.Client) *ssh.Session {
	f.t.Helper()
	sess, err := conn.NewSession()
	if err != nil {
		f.t.Fatal(err)
	}
	return sess
}

func writeFile(t *testing.T, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
}

// fifo lets tests and hooks wait for each other.
type fifo struct {
	t    *testing.T
	path string
	file *os.File
}

func newFIFO(t *testing.T) fifo {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// For both, so that opening it waits for nobody.
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return fifo{t, path, file}
}

func (f fifo) read(n int) string {
	f.t.Helper()
	buf := make([]byte, n)
	if _, err := io.ReadFull(f.file, buf); err != nil {
		f.t.Fatal(err)
	}
	return string(buf)
}

func (f fifo) write(text string) {
	f.t.Helper()
	if _, err := io.WriteString(f.file, text); err != nil {
		f.t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func contains(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s: no %q in:\n%s", what, want, got)
	}
}
