// Package gitrepo makes and looks at bare git repositories on this machine, for
// the demo and for tests. It runs the system's git, and touches nothing but the
// repository's folder.
package gitrepo

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Repo is a bare repository.
type Repo struct{ Dir string }

// Init makes an empty bare repository whose default branch is branch.
func Init(dir, branch string) (Repo, error) {
	r := Repo{Dir: dir}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return r, err
	}
	_, err := r.Git("init", "-q", "--bare", "--initial-branch="+branch)
	return r, err
}

// Git runs git on the repository and returns its standard output without the
// last newline.
func (r Repo) Git(args ...string) (string, error) { return r.run(nil, args...) }

func (r Repo) run(stdin []byte, args ...string) (string, error) {
	// Newer git refuses names that are trouble on other systems; tests want them.
	options := []string{"--git-dir=" + r.Dir, "-c", "core.protectNTFS=false", "-c", "core.protectHFS=false"}
	cmd := exec.Command("git", append(options, args...)...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=A Developer", "GIT_AUTHOR_EMAIL=dev@localhost", "GIT_COMMITTER_NAME=A Developer", "GIT_COMMITTER_EMAIL=dev@localhost",
	}
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(exit.Stderr))
	}
	return strings.TrimSuffix(string(out), "\n"), err
}

// Commit adds a commit with new contents of files to a branch, which it makes
// if need be, and returns the commit's name.
func (r Repo) Commit(branch, message string, files map[string]string) (string, error) {
	changes := make([]Change, 0, len(files))
	for _, path := range slices.Sorted(maps.Keys(files)) {
		changes = append(changes, Change{Path: path, Content: files[path]})
	}
	return r.CommitChanges(branch, message, changes...)
}

// Change is a file of a commit. Mode is 100644 if empty; 120000 makes a
// symbolic link to Content, and 160000 a submodule at the commit Content.
type Change struct{ Path, Mode, Content string }

// CommitChanges is Commit for files of any mode.
func (r Repo) CommitChanges(branch, message string, changes ...Change) (string, error) {
	ref := "refs/heads/" + branch
	var b bytes.Buffer
	fmt.Fprintf(&b, "commit %s\ncommitter A Developer <dev@localhost> now\ndata %d\n%s\n", ref, len(message), message)
	if head, err := r.Git("rev-parse", "--verify", "--quiet", ref); err == nil {
		fmt.Fprintf(&b, "from %s\n", head)
	}
	for _, c := range changes {
		mode := c.Mode
		if mode == "" {
			mode = "100644"
		}
		if mode == "160000" {
			fmt.Fprintf(&b, "M %s %s %s\n", mode, c.Content, quote(c.Path))
			continue
		}
		fmt.Fprintf(&b, "M %s inline %s\ndata %d\n%s\n", mode, quote(c.Path), len(c.Content), c.Content)
	}
	b.WriteString("done\n")
	if _, err := r.run(b.Bytes(), "fast-import", "--quiet", "--done", "--date-format=now"); err != nil {
		return "", err
	}
	return r.Head(branch)
}

// Head returns the commit that a branch points to.
func (r Repo) Head(branch string) (string, error) {
	return r.Git("rev-parse", "--verify", "refs/heads/"+branch)
}

// Show returns a file at the head of a branch, byte for byte.
func (r Repo) Show(branch, path string) (string, error) {
	cmd := exec.Command("git", "--git-dir="+r.Dir, "cat-file", "blob", "refs/heads/"+branch+":"+path)
	out, err := cmd.Output()
	return string(out), err
}

// quote quotes a path as fast-import reads it.
func quote(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(path) + `"`
}
