package gitcli_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/test/world"
)

// A node that crashes leaves empty object files. git then says that the remote
// hung up, which is not so.
func TestMirrorWithEmptyObjectsIsReplaced(t *testing.T) {
	w := world.New(t)
	base := w.Commit(manifests, map[string]string{"a": "1"})
	cache := t.TempDir()
	m := mirror(t, w, w.Client(func(o *gitcli.Options) { o.CacheDir = cache }))
	fetch(t, m)
	ids := commit(t, m, base, change("a", "2")) // loose objects
	if err := m.Push(t.Context(), base, ids[0]); err != nil {
		t.Fatal(err)
	}
	fetch(t, m)
	loose, _ := filepath.Glob(filepath.Join(cache, "0", "*", "objects", "??", "*"))
	if len(loose) == 0 {
		t.Fatal("no loose objects")
	}
	for _, f := range loose {
		if err := errors.Join(os.Chmod(f, 0o644), os.Truncate(f, 0)); err != nil {
			t.Fatal(err)
		}
	}
	head := w.Commit(manifests, map[string]string{"a": "3"})
	if got := fetch(t, m); got != head {
		t.Errorf("at %s, want %s", got, head)
	}
}

func TestRelativeCacheFolder(t *testing.T) {
	w := world.New(t)
	head := w.Commit(manifests, map[string]string{"a": "1"})
	t.Chdir(t.TempDir())
	m := mirror(t, w, w.Client(func(o *gitcli.Options) { o.CacheDir = "cache" }))
	if got := fetch(t, m); got != head {
		t.Errorf("at %s, want %s", got, head)
	}
	if mirrors, _ := filepath.Glob("cache/0/manifests-*"); len(mirrors) != 1 {
		t.Errorf("mirrors: %v", mirrors)
	}
}

// The cache may be deleted at any time; two operators then still keep apart.
func TestDeletedCacheIsTakenAnew(t *testing.T) {
	w := world.New(t)
	head := w.Commit(manifests, map[string]string{"a": "1"})
	cache := t.TempDir()
	same := func(o *gitcli.Options) { o.CacheDir = cache }
	first := w.Client(same)
	fetch(t, mirror(t, w, first))
	if err := os.RemoveAll(cache); err != nil {
		t.Fatal(err)
	}
	for _, client := range []*gitcli.Client{first, w.Client(same)} {
		if got := fetch(t, mirror(t, w, client)); got != head {
			t.Errorf("at %s, want %s", got, head)
		}
	}
	if mirrors, _ := filepath.Glob(filepath.Join(cache, "[01]", "manifests-*")); len(mirrors) != 2 {
		t.Errorf("mirrors: %v", mirrors)
	}
}

// A server that cuts every connection is not hammered: each command is tried
// twice at most.
func TestLostConnectionsAreNotHammered(t *testing.T) {
	w := world.New(t)
	client := w.Client()
	id := w.Identity(client)
	const repos = 20
	for i := range repos {
		w.App(fmt.Sprintf("kainlite/app%d", i))
	}
	w.Server.CutAfter(10)
	var wg sync.WaitGroup
	for i := range repos {
		wg.Go(func() {
			if _, err := client.Head(t.Context(), w.Remote(fmt.Sprintf("kainlite/app%d", i)), "master", id); !errors.Is(err, gitcli.ErrNetwork) {
				t.Errorf("app%d: %v", i, err)
			}
		})
	}
	wg.Wait()
	// A command that finds the connection gone makes one of its own, before it is tried again.
	if s := w.Server.Stats(); s.Sessions > 2*repos || s.Connections > 4*repos {
		t.Errorf("%d sessions on %d connections for %d commands", s.Sessions, s.Connections, repos)
	}
}

func TestTagIsNotTakenForABranch(t *testing.T) {
	w := world.New(t)
	w.Commit(manifests, map[string]string{"a": "1"})
	w.Git(manifests, "tag", "release", "master")
	client := w.Client()
	m := open(t, client, w.Remote(manifests), "release", w.Identity(client))
	for range 2 {
		if _, err := m.Fetch(t.Context()); !errors.Is(err, gitcli.ErrBranchMissing) || !strings.Contains(err.Error(), "default branch is master") {
			t.Errorf("got %v", err)
		}
	}
}

// ssh expands and splits the values of its options, so a folder with such a
// name is passed over.
func TestOddTemporaryFolderIsPassedOver(t *testing.T) {
	w := world.New(t)
	w.App("kainlite/blog")
	odd := filepath.Join(t.TempDir(), "a %h 'b' ${USER}")
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", odd)
	client := w.Client()
	if _, err := client.Head(t.Context(), w.Remote("kainlite/blog"), "master", w.Identity(client)); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(odd); len(left) != 0 {
		t.Errorf("it was used: %v", left)
	}
}

// What a killed git leaves behind is removed, at the first fetch of a process
// and at the first after the kill; a branch with such a name stays.
func TestLeftoversAreRemoved(t *testing.T) {
	const branch = "tmp_1/fast_import_crash_1.keep"
	w := world.New(t)
	w.Commit(manifests, map[string]string{"a": "1"})
	w.Git(manifests, "branch", branch)
	cache := t.TempDir()
	same := func(o *gitcli.Options) { o.CacheDir = cache }
	open := func(c *gitcli.Client) *gitcli.Mirror { return open(t, c, w.Remote(manifests), branch, w.Identity(c)) }
	first := w.Client(same)
	m := open(first)
	base := fetch(t, m)
	dirs, _ := filepath.Glob(filepath.Join(cache, "0", "manifests-*"))
	if len(dirs) != 1 {
		t.Fatal(dirs)
	}
	left := []string{"HEAD.lock", "shallow.lock", "packed-refs.lock", "refs/remotes/origin/tmp_1/x.lock",
		"fast_import_crash_17", "objects/17/tmp_obj_x", "objects/pack/tmp_pack_x", "objects/pack/pack-17.keep"}
	litter := func() {
		for _, l := range left {
			file := filepath.Join(dirs[0], l)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o444)); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(m *gitcli.Mirror) {
		t.Helper()
		fetch(t, m)
		for _, l := range left {
			if _, err := os.Stat(filepath.Join(dirs[0], l)); err == nil {
				t.Errorf("%s is left", l)
			}
		}
	}
	if _, err := m.Commit(t.Context(), strings.Repeat("1", 40), slices.Values([]gitcli.Change{change("a", "2")}), time.Now()); err == nil {
		t.Fatal("committed on top of nothing")
	}
	litter()
	check(m)
	if got := fetch(t, m); got != base {
		t.Errorf("at %s, want %s", got, base)
	}
	first.Close()
	litter()
	check(open(w.Client(same)))
}
