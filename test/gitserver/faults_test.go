package gitserver

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestStallHoldsACommandUntilItIsLifted(t *testing.T) {
	for _, which := range []string{repo, ""} {
		t.Run(which, func(t *testing.T) {
			f := start(t)
			f.create("other.git")
			f.server.Stall(which, true)
			f.server.Stall(which, true) // once is enough
			var refs string
			var listing sync.WaitGroup
			listing.Go(func() { refs = f.mustGit("ls-remote", f.server.URL(repo)) })
			f.waitForLog("stalled")
			equal(t, "upload-packs counted", f.server.Stats().UploadPacks, 1)
			if which != "" {
				f.mustGit("ls-remote", f.server.URL("other.git"))
			}
			f.server.Stall(which, false)
			f.server.Stall(which, false)
			listing.Wait()
			contains(t, "references", refs, "refs/heads/main")
		})
	}
}

func TestCloseEndsStalledCommands(t *testing.T) {
	f := start(t)
	work := f.clone()
	f.server.Stall(repo, true)
	var waiting sync.WaitGroup
	for _, args := range [][]string{{"ls-remote", f.server.URL(repo)}, {"-C", work, "push", "origin", "main"}} {
		waiting.Go(func() {
			_, stderr, code := f.git(args...)
			equal(t, "exit code", code, 128)
			contains(t, "stderr", stderr, "fatal: ")
		})
		f.waitForLog("stalled")
	}
	for range 2 {
		if err := f.server.Close(); err != nil {
			t.Error(err)
		}
	}
	waiting.Wait()
}

func TestAStalledCommandEndsWithItsChannel(t *testing.T) {
	f := start(t, func(opt *Options) { opt.MaxSessions = 1 })
	f.server.Stall(repo, true)
	conn := f.dial()
	sess := f.session(conn)
	if err := sess.Start("git-upload-pack '/owner/repo.git'"); err != nil {
		t.Fatal(err)
	}
	f.waitForLog("stalled")
	sess.Close()
	// Its place is free as soon as it has ended.
	for {
		_, err := conn.NewSession()
		var refusal *ssh.OpenChannelError
		if !errors.As(err, &refusal) {
			equal(t, "error", err, nil)
			return
		}
	}
}

func TestDelayKeepsEverythingInOrder(t *testing.T) {
	f := start(t)
	work := f.clone()
	content := randomBytes(3 << 20)
	f.commit(work, "big", content)

	f.server.Delay(20 * time.Millisecond)
	f.mustGit("-C", work, "push", "-q", "origin", "main")
	again := filepath.Join(t.TempDir(), "again")
	f.mustGit("clone", "-q", f.server.URL(repo), again)
	got, err := os.ReadFile(filepath.Join(again, "big"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "content", sha256.Sum256(got), sha256.Sum256(content))
	f.mustGit("-C", again, "fsck", "--strict")
}

func TestCloseDoesNotWaitForDelays(t *testing.T) {
	f := start(t)
	conn := f.dial()
	f.server.Delay(24 * time.Hour)
	answered := make(chan error)
	go func() {
		_, _, err := conn.SendRequest("keepalive@openssh.com", true, nil)
		answered <- err
	}()
	if err := f.server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-answered; err == nil {
		t.Error("an answer came through")
	}
}

func TestCutAfterSendsExactlySoMuch(t *testing.T) {
	f := start(t)
	const command = "git-upload-pack '/owner/repo.git'"
	read := func(cut int64, command string) (got string, conn *ssh.Client) {
		t.Helper()
		conn = f.dial()
		f.server.CutAfter(cut)
		defer f.server.CutAfter(0)
		sess := f.session(conn)
		stdout, _ := sess.StdoutPipe()
		stderr, _ := sess.StderrPipe()
		stdin, _ := sess.StdinPipe()
		if err := sess.Start(command); err != nil {
			t.Fatal(err)
		}
		io.WriteString(stdin, "0000")
		out, _ := io.ReadAll(stdout)
		errs, _ := io.ReadAll(stderr)
		return string(out) + string(errs), conn
	}
	all, _ := read(0, command)
	for _, cut := range []int{1, 4, 100, len(all)} {
		got, conn := read(int64(cut), command)
		equal(t, "what came", got, all[:cut])
		conn.Wait() // returns, as the whole connection is gone
	}
	got, conn := read(6, "ls")
	equal(t, "standard error that came", got, "ls: co")
	conn.Wait()

	got, conn = read(int64(len(all)+1), command)
	equal(t, "what came", got, all)
	if _, _, err := conn.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		t.Errorf("cut too early: %v", err)
	}
}

func TestCutAfterBreaksAClone(t *testing.T) {
	f := start(t)
	work := f.clone()
	f.commit(work, "big", randomBytes(1<<20))
	f.mustGit("-C", work, "push", "-q", "origin", "main")

	again := filepath.Join(t.TempDir(), "again")
	f.server.CutAfter(500_000)
	_, stderr, code := f.git("clone", "-q", f.server.URL(repo), again)
	equal(t, "exit code", code, 128)
	contains(t, "stderr", stderr, "early EOF")
	f.server.CutAfter(0)
	f.mustGit("clone", "-q", f.server.URL(repo), again)
}

func TestCutPushReplyAppliesThePush(t *testing.T) {
	f := start(t)
	work := f.clone()
	ran := filepath.Join(t.TempDir(), "ran")
	f.hook("post-receive", "touch "+ran+"\n")
	f.server.CutPushReply(true)
	f.mustGit("-C", work, "push", "-q", "origin", "HEAD~:main") // nothing to do, nothing to cut

	_, stderr, code := f.git("-C", work, "push", "origin", "main")
	equal(t, "exit code", code, 128)
	contains(t, "stderr", stderr, "fatal: the remote end hung up unexpectedly")
	equal(t, "head on the server", f.head("main"), f.mustGit("-C", work, "rev-parse", "HEAD"))
	if _, err := os.Stat(ran); err != nil {
		t.Errorf("receive-pack did not run to its end: %v", err)
	}
	equal(t, "pushes counted", f.server.Stats().Pushes, 1)

	var missing *ssh.ExitMissingError
	if err := f.pushByHand().Wait(); !errors.As(err, &missing) {
		t.Errorf("the connection stays: %v", err)
	}

	f.server.CutPushReply(false)
	f.commit(work, "file", []byte("more\n"))
	f.mustGit("-C", work, "push", "-q", "origin", "main")
}

func TestOnReceivePackCanLetAnotherPushWin(t *testing.T) {
	f := start(t)
	winner, loser := f.clone(), f.clone()
	f.mustGit("-C", winner, "commit", "-q", "--amend", "-m", "winner")
	once := sync.OnceFunc(func() { f.mustGit("-C", winner, "push", "-q", "origin", "main") })
	var calls []string
	var mu sync.Mutex
	f.server.OnReceivePack(func(repo string) {
		mu.Lock()
		calls = append(calls, repo)
		first := len(calls) == 1
		mu.Unlock()
		if first {
			once()
		}
	})
	lease := "--force-with-lease=refs/heads/main:" + f.head("main")
	stdout, _, code := f.git("-C", loser, "push", "--porcelain", lease, "origin", "main")
	equal(t, "exit code", code, 1)
	contains(t, "stdout", stdout, "!\trefs/heads/main:refs/heads/main\t[rejected] (stale info)")
	equal(t, "head on the server", f.head("main"), f.mustGit("-C", winner, "rev-parse", "HEAD"))
	equal(t, "calls", strings.Join(calls, " "), repo+" "+repo)
	equal(t, "pushes counted", f.server.Stats().Pushes, 1)

	f.server.OnReceivePack(nil)
	f.mustGit("-C", loser, "push", "-q", "--force", "origin", "main")
	equal(t, "calls in the end", len(calls), 2)
}

func TestRefuseAuthRefusesGoodKeys(t *testing.T) {
	f := start(t)
	f.server.RefuseAuth(true)
	_, stderr, code := f.git("ls-remote", f.server.URL(repo))
	equal(t, "exit code", code, 128)
	contains(t, "stderr", stderr, "git@127.0.0.1: Permission denied (publickey).")
	f.server.RefuseAuth(false)
	f.mustGit("ls-remote", f.server.URL(repo))
}

func TestBannerIsShownBeforeLogin(t *testing.T) {
	f := start(t)
	f.server.Banner("Maintenance at noon.\n")
	f.server.RefuseAuth(true)
	_, stderr, _ := f.git("ls-remote", f.server.URL(repo))
	if !strings.HasPrefix(stderr, "Maintenance at noon.") {
		t.Errorf("no banner in: %s", stderr)
	}
	f.server.RefuseAuth(false)
	f.server.Banner("")
	_, stderr, code := f.git("ls-remote", f.server.URL(repo))
	equal(t, "exit code", code, 0)
	equal(t, "stderr", stderr, "")
}

// randomBytes cannot be compressed, and are the same every time.
func randomBytes(n int) []byte {
	var buf bytes.Buffer
	io.CopyN(&buf, rand.NewChaCha8([32]byte{}), int64(n))
	return buf.Bytes()
}
