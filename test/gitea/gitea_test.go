package gitea

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(M{m}) }

// git runs git in a folder, with nothing of the caller's configuration.
func git(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com"}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustGit(t *testing.T, dir string, env []string, args ...string) {
	t.Helper()
	if out, err := git(t, dir, env, args...); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAProtectedBranchRefusesAPushAndAcceptsItElsewhere(t *testing.T) {
	s := Start(t)
	alice := s.User(t, "alice")
	repo := s.Repository(t, alice, "manifests")
	dir := t.TempDir()
	mustGit(t, dir, nil, "init", "-q", "-b", "main")
	mustGit(t, dir, nil, "commit", "-q", "--allow-empty", "-m", "first")
	mustGit(t, dir, nil, "push", "-q", repo.As(alice), "main")
	repo.Protect(t, "main", "ci")
	mustGit(t, dir, nil, "commit", "-q", "--allow-empty", "-m", "second")
	out, err := git(t, dir, nil, "push", repo.As(alice), "main")
	if err == nil || !strings.Contains(out, "Not allowed to push to protected branch main") {
		t.Errorf("push to the protected branch: %v\n%s", err, out)
	}
	mustGit(t, dir, nil, "push", "-q", repo.As(alice), "main:gitops-operator/main/web")
}

func TestADeployKeyReadsAndWritesOverSSH(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("no ssh-keygen")
	}
	s := Start(t)
	alice := s.User(t, "alice")
	repo := s.Repository(t, alice, "manifests")
	dir := t.TempDir()
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "key")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	key, err := os.ReadFile(filepath.Join(dir, "key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	repo.DeployKey(t, string(key), false)
	env := []string{"GIT_SSH_COMMAND=ssh -F none -i " + filepath.Join(dir, "key") + " -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=no -o UserKnownHostsFile=" + filepath.Join(dir, "known")}
	mustGit(t, dir, nil, "init", "-q", "-b", "main")
	mustGit(t, dir, nil, "commit", "-q", "--allow-empty", "-m", "first")
	mustGit(t, dir, env, "push", "-q", repo.SSH(), "main")
	out, err := git(t, dir, env, "ls-remote", repo.SSH())
	if err != nil || !strings.Contains(out, "refs/heads/main") {
		t.Errorf("ls-remote: %v\n%s", err, out)
	}
}

func TestTokensHaveScopes(t *testing.T) {
	s := Start(t)
	alice := s.User(t, "alice")
	repo := s.Repository(t, alice, "manifests")
	reader := User{Name: alice.Name, Token: s.Token(t, alice, "read:repository")}
	if status, answer := s.Try(t, reader, "GET", repo.API(""), nil); status != 200 {
		t.Errorf("read: %d %s", status, answer)
	}
	if status, _ := s.Try(t, reader, "DELETE", repo.API(""), nil); status != 403 {
		t.Errorf("delete with a token that reads: %d", status)
	}
}
