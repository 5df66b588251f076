package gitserver

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// share starts a master connection and returns the options that use it. The
// path of its socket is short, as it has to be.
func (f *fixture) share() []string {
	f.t.Helper()
	dir, err := os.MkdirTemp("", "gs")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { os.RemoveAll(dir) })
	socket := "ControlPath=" + filepath.Join(dir, "s")
	// ssh -f returns once the master is ready. It keeps its standard error, so
	// that must not be a pipe.
	cmd := f.command(f.t.Context(), "ssh", append([]string{"-M", "-N", "-f", "-o", socket}, f.sshOptions()...)...)
	if err := cmd.Run(); err != nil {
		f.t.Fatal(err)
	}
	return append(f.options[:len(f.options):len(f.options)], "-o", socket, "-o", "ControlMaster=no")
}

func TestManySessionsShareOneConnection(t *testing.T) {
	f := start(t, func(opt *Options) { opt.MaxSessions = 20 })
	f.options = f.share()
	f.lsRemotes(20)
	stats := f.server.Stats()
	equal(t, "connections", stats.Connections, 1)
	equal(t, "sessions", stats.Sessions, 20)
	equal(t, "upload-packs", stats.UploadPacks, 20)
}

func TestSshFallsBackWhenSessionsRunOut(t *testing.T) {
	f := start(t) // 10 sessions a connection
	f.options = f.share()
	f.lsRemotes(20)
	equal(t, "upload-packs", f.server.Stats().UploadPacks, 20)
}

func (f *fixture) lsRemotes(n int) {
	var listing sync.WaitGroup
	for range n {
		listing.Go(func() {
			refs, stderr, code := f.git("ls-remote", f.server.URL(repo))
			equal(f.t, "exit code ("+stderr+")", code, 0)
			contains(f.t, "references", refs, "refs/heads/main")
		})
	}
	listing.Wait()
}

func TestSessionsOverTheLimitAreRefused(t *testing.T) {
	f := start(t) // the default is 10
	conn := f.dial()
	sessions := make([]*ssh.Session, 10)
	for i := range sessions {
		sessions[i] = f.session(conn)
	}
	_, err := conn.NewSession()
	var refusal *ssh.OpenChannelError
	if !errors.As(err, &refusal) || refusal.Reason != ssh.ResourceShortage || refusal.Message != "open failed" {
		t.Errorf("session 11: %v", err)
	}
	other := f.dial()
	f.session(other) // the limit is per connection
	equal(t, "sessions counted", f.server.Stats().Sessions, 11)

	// A command that has ended frees its place before its client knows.
	for range 20 {
		sessions[0].Run("ls")
		sessions[0] = f.session(conn)
	}
}

func TestSshSeesTheRefusalOfASession(t *testing.T) {
	f := start(t, func(opt *Options) { opt.MaxSessions = 1 })
	// Without a way to connect anew, ssh cannot fall back.
	f.options = append(f.share(), "-o", "ProxyCommand=false")
	command := "git-upload-pack '/owner/repo.git'"
	first := f.command(t.Context(), "ssh", append(f.sshOptions(), command)...)
	stdin, _ := first.StdinPipe()
	stdout, _ := first.StdoutPipe()
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	refs := bufio.NewReader(stdout)
	if _, err := refs.ReadString('\n'); err != nil {
		t.Fatal(err)
	}

	_, stderr, code := f.ssh(command)
	equal(t, "exit code", code, 255)
	contains(t, "stderr", stderr, "Session open refused by peer")

	io.WriteString(stdin, "0000")
	io.Copy(io.Discard, refs)
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
	_, _, code = f.ssh("ls")
	equal(t, "exit code with a free place", code, 127)
	equal(t, "connections", f.server.Stats().Connections, 1)
}

func TestASessionRunsOneCommand(t *testing.T) {
	f := start(t)
	channel, requests, err := f.dial().OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	payload := ssh.Marshal(struct{ Command string }{"git-upload-pack '/owner/repo.git'"})
	for _, want := range []bool{true, false} {
		got, err := channel.SendRequest("exec", true, payload)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "command accepted", got, want)
	}
	ok, _ := channel.SendRequest("env", true, ssh.Marshal(struct{ Name, Value string }{"GIT_PROTOCOL", "version=2"}))
	equal(t, "variable accepted after the command", ok, false)
	ok, _ = channel.SendRequest("pty-req", true, nil)
	equal(t, "terminal accepted", ok, false)
	io.WriteString(channel, "0000")
	out, _ := io.ReadAll(channel)
	equal(t, "answers", strings.Count(string(out), " HEAD\x00"), 1)
}

// What a hook starts holds a pipe open: its end is the end of all of it.
func TestProcessesEndWithTheirSession(t *testing.T) {
	const wait = "echo started >&3\nsleep 1000\n"
	for name, test := range map[string]struct {
		hook, script string
		end          func(f *fixture, kill func())
	}{
		"the client goes":     {"pre-receive", wait, func(_ *fixture, kill func()) { kill() }},
		"the server closes":   {"pre-receive", wait, func(f *fixture, _ func()) { f.server.Close() }},
		"they ignore SIGTERM": {"pre-receive", "trap '' TERM\n" + wait, func(_ *fixture, kill func()) { kill() }},
		"git ends":            {"post-receive", "echo started >&3\nsleep 1000 >/dev/null 2>&1 &\n", func(*fixture, func()) {}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			work := f.clone()
			alive := newFIFO(t)
			f.hook(test.hook, "exec 3>"+alive.path+"\n"+test.script)
			push := f.command(t.Context(), "git", "-C", work, "push", "-q", "origin", "main")
			if err := push.Start(); err != nil {
				t.Fatal(err)
			}
			equal(t, "word of the hook", alive.read(len("started\n")), "started\n")
			// Now that the hook holds it, only its processes shall.
			reader, err := os.Open(alive.path)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			alive.file.Close()

			test.end(f, func() { push.Cancel() })
			if _, err := io.ReadAll(reader); err != nil {
				t.Error(err)
			}
			err = push.Wait()
			if test.hook == "post-receive" && err != nil {
				t.Errorf("push: %v", err)
			}
		})
	}
}

// pushByHand deletes a branch as a client without bands does: hooks then write
// to the session itself, and git does not wait for the end of their output.
func (f *fixture) pushByHand() *ssh.Session {
	f.t.Helper()
	main := f.head("main")
	f.mustGit("-C", filepath.Join(f.root, repo), "update-ref", "refs/heads/x", main)
	sess := f.session(f.dial())
	sess.Stdin = strings.NewReader(pkt(main+" "+strings.Repeat("0", 40)+" refs/heads/x\x00report-status\n") + "0000")
	if err := sess.Start("git-receive-pack '/owner/repo.git'"); err != nil {
		f.t.Fatal(err)
	}
	return sess
}

func TestASessionDoesNotWaitForBackgroundProcesses(t *testing.T) {
	f := start(t)
	alive := newFIFO(t)
	f.hook("post-receive", "echo started >"+alive.path+"\nsleep 1000 &\n")
	sess := f.pushByHand()
	alive.read(len("started\n"))
	if err := sess.Wait(); err != nil {
		t.Error(err)
	}
	equal(t, "pushes counted", f.server.Stats().Pushes, 1)
}

// A process in a session of its own is out of reach. It must not keep Close
// from returning.
func TestCloseDoesNotWaitForRunawayProcesses(t *testing.T) {
	f := start(t)
	started, leave := newFIFO(t), newFIFO(t)
	f.hook("post-receive", "setsid sh -c 'echo $$ >"+started.path+"; exec sleep 1000' &\nread go <"+leave.path+"\n")
	sess := f.pushByHand()
	pid, err := bufio.NewReader(started.file).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	leave.write("\n")
	if err := f.server.Close(); err != nil {
		t.Error(err)
	}
	f.mustRun("kill", strings.TrimSpace(pid))
	if err := sess.Wait(); err == nil {
		t.Error("the session ended well")
	}
}

// A killed push leaves no lock that would block the next one.
func TestAKilledPushDoesNotBlockTheNext(t *testing.T) {
	f := start(t)
	work := f.clone()
	started := newFIFO(t)
	f.hook("reference-transaction", "test \"$1\" = prepared || exit 0\necho >"+started.path+"\nsleep 1000\n")
	push := f.command(t.Context(), "git", "-C", work, "push", "-q", "origin", "main")
	if err := push.Start(); err != nil {
		t.Fatal(err)
	}
	started.read(1)
	push.Cancel()
	push.Wait()
	f.server.Close()

	bare := filepath.Join(f.root, repo)
	if err := os.Remove(filepath.Join(bare, "hooks", "reference-transaction")); err != nil {
		t.Fatal(err)
	}
	f.mustGit("-C", work, "push", "-q", bare, "main")
}
