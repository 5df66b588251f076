package gitserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestServesCloneFetchAndPush(t *testing.T) {
	f := start(t)
	work := f.clone()
	f.mustGit("-C", work, "push", "-q", "origin", "main")

	equal(t, "head on the server", f.head("main"), f.mustGit("-C", work, "rev-parse", "HEAD"))
	again := filepath.Join(t.TempDir(), "again")
	f.mustGit("clone", "-q", f.server.URL(repo), again)
	got, err := os.ReadFile(filepath.Join(again, "file"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "content", string(got), "content\n")
}

func TestServesRepositoriesWithAwkwardNames(t *testing.T) {
	f := start(t)
	for _, name := range []string{
		"plain.git", "-x.git", "with space.git", "it's.git", "wow!.git", "a\\b.git", "$HOME.git", "semi;colon.git",
		"per%20cent.git", "grün.git", "new\nline.git", "deep/er/still.git", "no-suffix", "..dots.git",
	} {
		t.Run(name, func(t *testing.T) {
			f.create(name)
			refs, stderr, code := f.git("ls-remote", f.server.URL(name))
			equal(t, "exit code", code, 0)
			equal(t, "stderr", stderr, "")
			contains(t, "references", refs, "refs/heads/main")
		})
	}
}

func TestServesPathsRelativeToTheRoot(t *testing.T) {
	f := start(t)
	_, port, _ := strings.Cut(f.server.Addr(), ":")
	f.options = append(f.options, "-p", port)
	contains(t, "references", f.mustGit("ls-remote", "git@127.0.0.1:"+repo), "refs/heads/main")
}

func TestServesRepositoriesOfAnotherUser(t *testing.T) {
	f := start(t)
	if os.Getuid() == 0 {
		if err := os.Chown(filepath.Join(f.root, repo), 12345, 12345); err != nil {
			t.Fatal(err)
		}
	}
	work := f.clone()
	f.mustGit("-C", work, "push", "-q", "origin", "main")
	equal(t, "pushes", f.server.Stats().Pushes, 1)
}

func TestPassesTheProtocolVersionAndNoOtherVariable(t *testing.T) {
	t.Setenv("GITSERVER_SECRET", "inherited")
	f := start(t)
	f.hook("pre-receive", "env >&2\n")
	work := f.clone()
	_, stderr, code := f.git("-C", work, "-c", "protocol.version=1", "push", "origin", "main")
	equal(t, "exit code", code, 0)
	for _, variable := range []string{"GIT_PROTOCOL=version=1", "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"} {
		contains(t, "environment of a hook", stderr, "remote: "+variable)
	}
	for _, variable := range []string{"GITSERVER_SECRET", "USER=", "SSH_"} {
		if strings.Contains(stderr, variable) {
			t.Errorf("%s reached a hook:\n%s", variable, stderr)
		}
	}

	sess := f.session(f.dial())
	for name, accepted := range map[string]bool{"GIT_PROTOCOL": true, "GIT_DIR": false, "PATH": false, "LANG": false} {
		equal(t, name+" accepted", sess.Setenv(name, "x") == nil, accepted)
	}
}

func TestRefusesUnknownKeys(t *testing.T) {
	f := start(t)
	stranger := f.newClient()
	_, stderr, code := stranger.git("ls-remote", f.server.URL(repo))
	equal(t, "exit code", code, 128)
	equal(t, "stderr", stderr, "git@127.0.0.1: Permission denied (publickey).\r\n"+
		"fatal: Could not read from remote repository.\n\n"+
		"Please make sure you have the correct access rights\nand the repository exists.")

	f.server.Authorize(stranger.public)
	stranger.mustGit("ls-remote", f.server.URL(repo))
}

func TestKnownHostsIsOneLineForThisServer(t *testing.T) {
	f := start(t)
	got := string(f.server.KnownHosts())
	_, port, _ := strings.Cut(f.server.Addr(), ":")
	equal(t, "known_hosts", got, "[127.0.0.1]:"+port+" "+string(ssh.MarshalAuthorizedKey(f.server.hostKey)))
	contains(t, "known_hosts", got, " ssh-ed25519 ")
	equal(t, "URL", f.server.URL("/owner/a b.git"), "ssh://git@127.0.0.1:"+port+"/owner/a%20b.git")
}

const notFound = "ERROR: Repository not found.\nfatal: Could not read from remote repository.\n\n" +
	"Please make sure you have the correct access rights\nand the repository exists."

func TestDeployKeysReachOnlyTheirRepositories(t *testing.T) {
	f := start(t)
	f.create("owner/other.git")
	f.create("owner/third.git")
	deploy := f.newClient()
	f.server.Authorize(deploy.public, repo)
	f.server.Authorize(deploy.public, "/owner/third.git")

	deploy.mustGit("ls-remote", f.server.URL(repo))
	deploy.mustGit("ls-remote", f.server.URL("owner/third.git"))
	_, stderr, code := deploy.git("ls-remote", f.server.URL("owner/other.git"))
	equal(t, "exit code of git", code, 128)
	equal(t, "stderr", stderr, notFound)

	f.options = deploy.options
	_, stderr, code = f.ssh("git-receive-pack 'owner/other.git'")
	equal(t, "exit code of the server", code, 1)
	equal(t, "stderr of the server", stderr, "ERROR: Repository not found.")
}

func TestNothingOutsideTheRootIsReachable(t *testing.T) {
	f := start(t)
	secret := filepath.Join(t.TempDir(), repo)
	f.createAt(secret) // reachable, if only the server let it be
	up, err := filepath.Rel(f.root, secret)
	if err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"out.git": secret, "up.git": up, "owners": filepath.Dir(secret)} {
		if err := os.Symlink(target, filepath.Join(f.root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("owner/repo.git", filepath.Join(f.root, "inside.git")); err != nil {
		t.Fatal(err)
	}
	contains(t, "a link that stays inside", f.mustGit("ls-remote", f.server.URL("inside.git")), "refs/heads/main")

	for _, path := range []string{
		up, "/" + up, secret, "/" + secret, "out.git", "up.git", "owners/repo.git", "owner/../owner/repo.git", "./owner/repo.git",
		"owner//repo.git", "", "/", ".", "..", "owner", "owner/repo", "owner/repo.git/objects", "owner/repo.git/HEAD", "missing.git",
		"~/owner/repo.git",
	} {
		t.Run(path, func(t *testing.T) {
			stdout, stderr, code := f.ssh("git-upload-pack '" + path + "'")
			equal(t, "exit code", code, 128)
			equal(t, "stdout", stdout, "")
			equal(t, "stderr", stderr, "ERROR: Repository not found.")
		})
	}
	_, stderr, code := f.git("ls-remote", f.server.URL("missing.git"))
	equal(t, "exit code of git", code, 128)
	equal(t, "stderr of git", stderr, notFound)
}

func TestRunsNothingButTheTwoGitServices(t *testing.T) {
	f := start(t)
	for command, want := range map[string]struct {
		code   int
		stderr string
	}{
		"ls":                               {127, "ls: command not found"},
		"git":                              {127, "git: command not found"},
		"git gc":                           {127, "git: command not found"},
		"git-upload-archive 'owner/r.git'": {127, "git-upload-archive: command not found"},
		"/bin/sh -c 'id'":                  {127, "/bin/sh: command not found"},
		"git-upload-pack":                  {1, "usage: git-upload-pack '<repository>'"},
		"git-upload-pack --strict '/r'":    {1, "usage: git-upload-pack '<repository>'"},
		"git receive-pack a b":             {1, "usage: git-receive-pack '<repository>'"},
		"git-upload-pack 'r'; id":          {1, "ERROR: unquoted special character in command."},
		"git-upload-pack \"r\"":            {1, "ERROR: unquoted special character in command."},
		"git-upload-pack 'r":               {1, "ERROR: unclosed quote in command."},
		"git-upload-pack r\\":              {1, "ERROR: stray backslash in command."},
		" ":                                {1, "ERROR: empty command."},
	} {
		t.Run(command, func(t *testing.T) {
			stdout, stderr, code := f.ssh(command)
			equal(t, "exit code", code, want.code)
			equal(t, "stdout", stdout, "")
			equal(t, "stderr", stderr, want.stderr)
		})
	}
	for _, command := range []string{"git-upload-pack '/owner/repo.git'", "git upload-pack 'owner/repo.git'", "git-upload-pack owner/repo.git/"} {
		t.Run(command, func(t *testing.T) {
			cmd := f.command(t.Context(), "ssh", append(f.sshOptions(), command)...)
			cmd.Stdin = strings.NewReader("0000")
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			contains(t, "references", string(out), "refs/heads/main")
		})
	}
}

func TestGreetsWhoWantsAShell(t *testing.T) {
	f := start(t)
	_, stderr, code := f.ssh("-T")
	equal(t, "exit code", code, 1)
	equal(t, "stderr", stderr, "Hi! You've successfully authenticated, but this server does not provide shell access.")
}

func TestAnswersKeepalivesAndRefusesForwarding(t *testing.T) {
	f := start(t)
	conn := f.dial()
	if _, _, err := conn.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		t.Errorf("global keepalive: %v", err)
	}
	sess := f.session(conn)
	if _, err := sess.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		t.Errorf("keepalive of a session: %v", err)
	}
	_, err := conn.Dial("tcp", f.server.Addr())
	var open *ssh.OpenChannelError
	if !errors.As(err, &open) || open.Reason != ssh.UnknownChannelType {
		t.Errorf("forwarding: got %v, want a refusal", err)
	}
}

func TestCountsWhatItServes(t *testing.T) {
	f := start(t)
	equal(t, "at first", len(f.server.Stats().ByRepo), 0)
	f.create("other.git")
	work := f.clone()
	f.mustGit("-C", work, "push", "-q", "origin", "main")
	f.mustGit("-C", work, "push", "-q", "origin", "main") // nothing to do
	f.mustGit("-C", work, "push", "-q", "origin", "main:a", "main:b")
	f.hook("update", "exit 1\n")
	f.git("-C", work, "push", "-q", "origin", "main:c")
	f.mustGit("ls-remote", f.server.URL("other.git"))
	f.git("ls-remote", f.server.URL("missing.git"))
	stranger := f.newClient()
	stranger.git("ls-remote", f.server.URL(repo))

	want := Stats{
		Connections: 8, Sessions: 7, UploadPacks: 2, Version2: 2, ReceivePacks: 4, Pushes: 2,
		ByRepo: map[string]RepoStats{
			repo:        {UploadPacks: 1, ReceivePacks: 4, Pushes: 2},
			"other.git": {UploadPacks: 1},
		},
	}
	if got := f.server.Stats(); !reflect.DeepEqual(got, want) {
		t.Errorf("counts:\n got %+v\nwant %+v", got, want)
	}
	f.server.Stats().ByRepo["of the caller"] = RepoStats{}
	equal(t, "repositories after a change to the copy", len(f.server.Stats().ByRepo), 2)
	f.server.ResetStats()
	if got := f.server.Stats(); !reflect.DeepEqual(got, Stats{}) {
		t.Errorf("counts after a reset: %+v", got)
	}
}

func TestCountsOnlyTheWinnerOfPushesAtOnce(t *testing.T) {
	f := start(t)
	arrived, leave := newFIFO(t), newFIFO(t)
	// Every push has read the same head before any of them updates it.
	f.hook("pre-receive", "echo >"+arrived.path+"\nread go <"+leave.path+"\n")
	const n = 4
	works := make([]string, n)
	for i := range works {
		works[i] = f.clone()
		f.mustGit("-C", works[i], "commit", "-q", "--amend", "-m", works[i])
	}
	codes := make([]int, n)
	var pushing sync.WaitGroup
	for i := range works {
		pushing.Go(func() { _, _, codes[i] = f.git("-C", works[i], "push", "-q", "origin", "main") })
	}
	arrived.read(n)
	leave.write(strings.Repeat("\n", n))
	pushing.Wait()

	slices.Sort(codes)
	equal(t, "exit codes", fmt.Sprint(codes), "[0 1 1 1]")
	equal(t, "pushes counted", f.server.Stats().Pushes, 1)
	equal(t, "receive-packs counted", f.server.Stats().ReceivePacks, n)
}

func TestHooksDeclineAndTheirWordsReachTheClient(t *testing.T) {
	for _, hook := range []string{"pre-receive", "update"} {
		t.Run(hook, func(t *testing.T) {
			f := start(t)
			work := f.clone()
			before := f.head("main")
			f.hook(hook, "echo 'not on my watch' >&2\nexit 1\n")
			stdout, stderr, code := f.git("-C", work, "push", "--porcelain", "origin", "main")
			equal(t, "exit code", code, 1)
			contains(t, "stderr", stderr, "remote: not on my watch")
			contains(t, "stdout", stdout, "!\trefs/heads/main:refs/heads/main\t[remote rejected] (")
			contains(t, "stdout", stdout, "hook declined)")
			equal(t, "head on the server", f.head("main"), before)
			equal(t, "pushes counted", f.server.Stats().Pushes, 0)
		})
	}
}

func TestKeysAreReadableByOpenSSH(t *testing.T) {
	private, public, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	writeFile(t, path, private, 0o600)
	want := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
	c := client{t: t}
	stdout, stderr, _ := c.run("ssh-keygen", "-y", "-P", "", "-f", path)
	equal(t, "public key ("+stderr+")", strings.TrimSpace(stdout), want)

	private, public, err = NewKeyWithPassphrase("open sesame")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, private, 0o600)
	_, _, code := c.run("ssh-keygen", "-y", "-P", "", "-f", path)
	equal(t, "exit code without the passphrase", code, 255)
	stdout, stderr, _ = c.run("ssh-keygen", "-y", "-P", "open sesame", "-f", path)
	want = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
	equal(t, "public key ("+stderr+")", strings.TrimSpace(stdout), want)
	if bytes.Contains(private, []byte("sesame")) {
		t.Error("the passphrase is in the key")
	}
}

func TestStartNeedsAFolder(t *testing.T) {
	_, err := Start(Options{Root: filepath.Join(t.TempDir(), "missing")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
