package gitcli_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/test/world"
)

// noise is text that does not compress well.
func noise(bytes int) string {
	var b strings.Builder
	random := rand.New(rand.NewPCG(1, uint64(bytes)))
	for b.Len() < bytes {
		fmt.Fprintf(&b, "%016x", random.Uint64())
	}
	return b.String()
}

// history adds commits to a branch, each with a new file of so many bytes that
// the one after it removes: only the last is in the branch's head.
func history(t *testing.T, w *world.World, branch, from string, commits, size int) {
	t.Helper()
	if from != "" {
		w.Git(manifests, "update-ref", "refs/heads/"+branch, from)
	}
	for i := range commits {
		if _, err := w.Repo(manifests).Commit(branch, "Change", map[string]string{"data": noise(size + i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// size is what a directory's files have, in bytes.
func size(t *testing.T, dir string) (total int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

// A mirror gets the new head of its branch and nothing of what led there,
// whatever happens on the server.
func TestMirrorsStayOneCommitDeep(t *testing.T) {
	const commits, each = 40, 50_000
	for name, happens := range map[string]func(t *testing.T, w *world.World, root string){
		"a merge of a branch that began before the mirror's commit": func(t *testing.T, w *world.World, root string) {
			history(t, w, "feature", root, commits, each)
			w.Git(manifests, "update-ref", "refs/heads/master",
				w.Git(manifests, "commit-tree", "-m", "Merge", "-p", "master", "-p", "feature", "feature^{tree}"))
			w.Git(manifests, "branch", "-D", "feature")
		},
		"a force-push of another history": func(t *testing.T, w *world.World, root string) {
			history(t, w, "other", root, commits, each)
			w.Git(manifests, "update-ref", "refs/heads/master", "refs/heads/other")
			w.Git(manifests, "branch", "-D", "other")
		},
		"many commits": func(t *testing.T, w *world.World, _ string) { history(t, w, "master", "", commits, each) },
	} {
		t.Run(name, func(t *testing.T) {
			w := world.New(t)
			root := w.Commit(manifests, map[string]string{"a": "1"})
			w.Commit(manifests, map[string]string{"a": "2"})
			cache := t.TempDir()
			m := mirror(t, w, w.Client(func(o *gitcli.Options) { o.CacheDir = cache }))
			fetch(t, m)
			before := size(t, cache)
			happens(t, w, root)
			want := w.Git(manifests, "rev-parse", "master")
			for range 2 {
				if got := fetch(t, m); got != want {
					t.Fatalf("at %s, want %s", got, want)
				}
			}
			if grown := size(t, cache) - before; grown > 3*each {
				t.Errorf("the mirror has grown by %d bytes, for one file of %d", grown, each)
			} else {
				t.Logf("%d bytes, then %d more", before, grown)
			}
			// It is still good for a push.
			if err := m.Push(t.Context(), want, commit(t, m, want, change("a", "3"))[0]); err != nil {
				t.Fatal(err)
			}
			w.Git(manifests, "fsck", "--strict")
		})
	}
}

// Nothing is fetched for a commit that was pushed from here, or that is there.
func TestOnlyWhatHasMovedIsFetched(t *testing.T) {
	w := world.New(t)
	base := w.Commit(manifests, map[string]string{"a": "1"})
	m := mirror(t, w, w.Client())
	fetch(t, m)
	mine := commit(t, m, base, change("a", "2"), change("a", "3"))
	if err := m.Push(t.Context(), base, mine[1]); err != nil {
		t.Fatal(err)
	}
	w.Server.ResetStats()
	for range 2 {
		if got := fetch(t, m); got != mine[1] {
			t.Fatalf("at %s, want %s", got, mine[1])
		}
	}
	if s := w.Server.Stats(); s.Sessions != 2 || s.Version2 != 2 {
		t.Errorf("%d sessions, %d of them in the second protocol, want two lookups", s.Sessions, s.Version2)
	}
}

// slowGit puts a git before the real one that never ends a command.
func slowGit(t *testing.T, command string) (begin, end func()) {
	t.Helper()
	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	flag := filepath.Join(dir, "slow")
	script := fmt.Sprintf("#!/bin/sh\nif [ -e '%s' ]; then for a; do case $a in -*) ;; %s) exec sleep 600;; esac; done; fi\nexec '%s' \"$@\"\n", flag, command, real)
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() {
			if err := os.WriteFile(flag, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, func() {
			if err := os.Remove(flag); err != nil {
				t.Fatal(err)
			}
		}
}

// What cannot be fetched in time is cloned: else no pass would ever succeed.
func TestAFetchThatTimesOutIsAnsweredByAClone(t *testing.T) {
	w := world.New(t)
	w.Commit(manifests, map[string]string{"a": "1"})
	begin, _ := slowGit(t, "fetch")
	cache := t.TempDir()
	m := mirror(t, w, w.Client(func(o *gitcli.Options) { o.CacheDir, o.Timeout = cache, 3*time.Second }))
	fetch(t, m)
	head := w.Commit(manifests, map[string]string{"a": "2"})
	begin()
	if got := fetch(t, m); got != head {
		t.Errorf("at %s, want %s", got, head)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "0", "*")); len(left) != 1 {
		t.Errorf("the cache holds %v", left)
	}
}

// A server that cannot pack does not cost the mirror, which goes on from where
// it was when the server can.
func TestAServerThatCannotPackDoesNotCostTheMirror(t *testing.T) {
	w := world.New(t)
	base := w.Commit(manifests, map[string]string{"a": "1"})
	cache := t.TempDir()
	client := w.Client(func(o *gitcli.Options) { o.CacheDir = cache })
	m := mirror(t, w, client)
	fetch(t, m)
	dirs, _ := filepath.Glob(filepath.Join(cache, "0", "manifests-*"))
	if len(dirs) != 1 {
		t.Fatal(dirs)
	}
	mark := filepath.Join(dirs[0], "the same as before")
	if err := os.WriteFile(mark, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	head := w.Commit(manifests, map[string]string{"a": "2"})
	hidden := filepath.Join(w.Repo(manifests).Dir, "objects")
	blob := w.Git(manifests, "rev-parse", head+":a")
	object := filepath.Join(hidden, blob[:2], blob[2:])
	if err := os.Rename(object, object+".hidden"); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Fetch(t.Context()); !errors.Is(err, gitcli.ErrNetwork) {
		t.Fatalf("a server without its objects: at %s, %v", got, err)
	}
	if blobs, err := read(t, m, base, []string{"a"}, 10); err != nil || string(blobs["a"].Content) != "1" {
		t.Errorf("the mirror of before is gone: %+v, %v", blobs, err)
	}
	if err := os.Rename(object+".hidden", object); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, m); got != head {
		t.Errorf("at %s, want %s", got, head)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Errorf("the mirror was made anew: %v", err)
	}
}
