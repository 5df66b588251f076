package gitcli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// A mirror is a bare copy of one branch, one commit deep but for what was pushed
// from it. It is disposable: whatever is wrong with it, it is deleted and made again, which is
// faster than repairing it and cannot corrupt anything.
const (
	maxPacks = 100
	// maxLooseInSample bounds the loose objects: of the 256 directories they are
	// spread over, one holds about 8 when there are 2,000.
	maxLooseInSample = 8
)

// Mirror is the local copy of one branch of one repository, for one key.
type Mirror struct {
	c      *Client
	remote Remote
	branch string
	id     *Identity
	cache  string // the slot
	dir    string
	// changed: what it holds is not what it held when it was last measured.
	changed bool
}

// firstProtocol is for what fetches objects. With git's second protocol, a
// session ends when git hangs up, and a shared connection then tells git now and
// then that it has failed, after all has arrived: servers built on Go's ssh
// package, as GitLab's and Gitea's, send no exit code any more. git ignores that
// after ls-remote only.
var firstProtocol = []string{"-c", "protocol.version=0"}

// unsafeInName is what a directory's name should not have.
var unsafeInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// Mirror returns the mirror of a branch for an identity. Nothing happens until
// Fetch. A mirror belongs to one caller at a time, who must Release it before the
// identity.
func (c *Client) Mirror(r Remote, branch string, id *Identity) (*Mirror, error) {
	slot, err := c.cache.dir()
	if err != nil {
		return nil, err
	}
	name := unsafeInName.ReplaceAllString(strings.TrimSuffix(filepath.Base(r.String()), ".git"), "_")
	dir := filepath.Join(slot, cut(name, 40)+"-"+shortHash(strings.Join([]string{r.String(), branch, id.name}, "\x00")))
	c.cache.use(dir)
	return &Mirror{c: c, remote: r, branch: branch, id: id, cache: slot, dir: dir}, nil
}

// Release ends the use of the mirror. It stays for the next, unless the cache is
// too large, or that does not come within a day.
func (m *Mirror) Release() { m.c.cache.release(m.dir, m.changed) }

func (m *Mirror) ref() string      { return "refs/heads/" + m.branch }
func (m *Mirror) tracking() string { return "refs/remotes/origin/" + m.branch }
func (m *Mirror) old() string      { return m.dir + ".old" }

// nextRef is where the commits go that are to be pushed.
const nextRef = "refs/gitops/next"

// local is a command on the mirror itself.
func (m *Mirror) local(op string, args ...string) command {
	args = append([]string{"--git-dir=" + m.dir, "-c", "gc.auto=0", "-c", "core.hooksPath=/dev/null"}, args...)
	return command{op: op, remote: m.remote, branch: m.branch, args: args, mirror: m.dir}
}

// Fetch brings the mirror to the remote branch's head and returns that commit.
// It always asks the remote, and fetches only where the mirror does not have
// the commit yet; the first time, and whenever the mirror is unusable, it clones.
func (m *Mirror) Fetch(ctx context.Context) (string, error) {
	if err := m.takeNext(); err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(m.dir, "HEAD")); err != nil {
		return m.clone(ctx)
	}
	m.removeLeftovers()
	head, err := m.c.Head(ctx, m.remote, m.branch, m.id)
	if err != nil || m.has(ctx, head) {
		return head, err
	}
	m.changed = true
	head, err = m.fetch(ctx)
	switch {
	case errors.Is(err, ErrBranchMissing):
		return "", m.explainMissing(ctx, err)
	case err != nil && m.replaceable(ctx, err):
		return m.clone(ctx)
	}
	return head, err
}

// has says whether the mirror is at a commit already: by a fetch, or because it
// was pushed from here. A branch that names it is proof that all of it is there;
// the object alone would not be.
func (m *Mirror) has(ctx context.Context, commit string) bool {
	for _, ref := range []string{m.tracking(), nextRef} {
		if at, err := m.resolve(ctx, ref); err == nil && at == commit {
			return true
		}
	}
	return false
}

// fetch brings the branch's head, and no other commit. Without a depth, a merge
// of a branch that began before the mirror's commit would bring all history.
func (m *Mirror) fetch(ctx context.Context) (string, error) {
	cmd := m.local("fetch", append(slices.Clone(firstProtocol), "fetch", "-q", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
		"--no-recurse-submodules", "--end-of-options", m.remote.String(), "+"+m.ref()+":"+m.tracking())...)
	if _, err := m.c.connections.run(ctx, cmd, m.id); err != nil {
		return "", err
	}
	return m.resolve(ctx, m.tracking())
}

// replaceable says whether a new clone may succeed where a fetch has failed. One
// that took too long may have had too much to negotiate. A damaged mirror makes
// git say that the other side hung up, so the remote itself is asked.
func (m *Mirror) replaceable(ctx context.Context, err error) bool {
	switch {
	case ctx.Err() != nil:
		return false
	case errors.Is(err, ErrTimeout):
		return true
	case errors.Is(err, ErrNetwork) || errors.Is(err, ErrRepositoryMissing):
		_, err := m.c.Head(ctx, m.remote, m.branch, m.id)
		return err == nil
	}
	return IsLocal(err)
}

// clone makes the mirror, or a new one in its place: the old one goes when the
// new one is there. Only where the disk has no space for both, it goes before.
func (m *Mirror) clone(ctx context.Context) (string, error) {
	m.changed = true
	// A clone that was cut short must never look like a mirror.
	tmp := m.dir + ".new"
	err := m.cloneInto(ctx, tmp)
	if _, old := os.Lstat(m.dir); old == nil && noSpace(err) && ctx.Err() == nil {
		if err := m.Delete(); err != nil {
			return "", fmt.Errorf("delete mirror: %w", err)
		}
		err = m.cloneInto(ctx, tmp)
	}
	if err != nil {
		return "", err
	}
	if err := m.replaceBy(tmp); err != nil {
		return "", fmt.Errorf("make mirror: %w", err)
	}
	if err := os.RemoveAll(m.old()); err != nil {
		return "", fmt.Errorf("delete mirror: %w", err)
	}
	m.c.cache.cloned(m.dir)
	return m.resolve(ctx, m.tracking())
}

// noSpace says whether the disk may be what a clone failed for.
func noSpace(err error) bool {
	var e *Error
	return IsLocal(err) || errors.As(err, &e) && strings.Contains(e.Detail, syscall.ENOSPC.Error())
}

// cloneInto makes a copy of the branch in a directory, or nothing.
func (m *Mirror) cloneInto(ctx context.Context, dir string) error {
	copied := &Mirror{c: m.c, remote: m.remote, branch: m.branch, id: m.id, cache: m.cache, dir: dir}
	err := copied.download(ctx, "--depth=1")
	if err == nil {
		// A branch in a file of its own is read without a process.
		_, err = m.c.runner.run(ctx, copied.local("clone", "update-ref", m.tracking(), m.ref()+"^{commit}"))
		if IsLocal(err) { // clone also takes a tag of that name
			err = missingBranch(copied.local("clone"), false, "")
		}
	}
	if err == nil {
		return nil
	}
	os.RemoveAll(dir)
	if errors.Is(err, ErrBranchMissing) {
		return m.explainMissing(ctx, err)
	}
	return err
}

// download clones the branch into the mirror's directory.
func (m *Mirror) download(ctx context.Context, options ...string) error {
	if err := os.MkdirAll(m.cache, 0o700); err != nil {
		return fmt.Errorf("make mirror: %w", err)
	}
	if err := os.RemoveAll(m.dir); err != nil {
		return fmt.Errorf("make mirror: %w", err)
	}
	args := append(slices.Clone(firstProtocol), "clone", "-q", "--bare", "--no-tags", "--single-branch", "--branch", m.branch,
		"--template=", "-c", "core.logAllRefUpdates=false", "-c", "gc.auto=0")
	args = append(append(args, options...), "--", m.remote.String(), m.dir)
	_, err := m.c.connections.run(ctx, command{op: "clone", remote: m.remote, branch: m.branch, args: args}, m.id)
	return err
}

// explainMissing finds out what to tell about a branch that is not there.
func (m *Mirror) explainMissing(ctx context.Context, missing error) error {
	if _, err := m.c.Head(ctx, m.remote, m.branch, m.id); err != nil {
		return err
	}
	return missing // it has just been created: the next pass will see it
}

func (m *Mirror) resolve(ctx context.Context, ref string) (string, error) {
	// A branch that stands in a file of its own, as after each fetch that moved
	// it, needs no process to read. What is anything else, git itself knows.
	if loose, err := os.ReadFile(filepath.Join(m.dir, filepath.FromSlash(ref))); err == nil {
		if id := strings.TrimSuffix(string(loose), "\n"); objectID.MatchString(id) {
			return id, nil
		}
	}
	out, err := m.c.runner.run(ctx, m.local("resolve", "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}"))
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(out))
	if !objectID.MatchString(id) {
		return "", &Error{Op: "resolve", Remote: m.remote.String(), Branch: m.branch, Detail: "git rev-parse did not answer with a commit"}
	}
	return id, nil
}

// Delete removes the mirror. The next Fetch clones.
func (m *Mirror) Delete() error { return os.RemoveAll(m.dir) }
