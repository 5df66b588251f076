package gitcli_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/test/world"
)

// branches makes a repository with so many branches, each with a file of so many
// bytes of its own.
func branches(t *testing.T, w *world.World, n, size int) {
	t.Helper()
	for i := range n {
		if _, err := w.Repo(manifests).Commit(fmt.Sprintf("b%02d", i), "Start", map[string]string{"data": noise(size + i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// useOf fetches a branch's mirror and releases it.
func useOf(t *testing.T, w *world.World, c *gitcli.Client, branch string) {
	t.Helper()
	m := open(t, c, w.Remote(manifests), branch, w.Identity(c))
	defer m.Release()
	if _, err := m.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// mirrorsOf are the branches that have a mirror, by their slots.
func mirrorsOf(t *testing.T, cache string) (branches []string) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(cache, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		head, err := os.ReadFile(filepath.Join(dir, "HEAD"))
		if err != nil {
			t.Errorf("%s is no mirror: %v", dir, err)
		}
		branches = append(branches, filepath.Base(filepath.Dir(dir))+"/"+strings.TrimSpace(filepath.Base(string(head))))
	}
	slices.Sort(branches)
	return branches
}

func wantMirrors(t *testing.T, cache string, want ...string) {
	t.Helper()
	if got := mirrorsOf(t, cache); !slices.Equal(got, want) {
		t.Errorf("mirrors: %v, want %v", got, want)
	}
}

// Beyond its size, the cache loses what was used least recently, and never what
// is in use.
func TestTheCacheStaysWithinItsSize(t *testing.T) {
	const each, three = 200_000, 400_000 // compressed, each takes a little more than half
	w := world.New(t)
	branches(t, w, 6, each)
	cache := t.TempDir()
	c := w.Client(func(o *gitcli.Options) { o.CacheDir, o.CacheSize = cache, three })
	inUse := open(t, c, w.Remote(manifests), "b00", w.Identity(c))
	fetch(t, inUse)
	for _, branch := range []string{"b01", "b02", "b01", "b03", "b04"} {
		useOf(t, w, c, branch)
	}
	c.Settle(t.Context())
	wantMirrors(t, cache, "0/b00", "0/b03", "0/b04")
	inUse.Release()
	useOf(t, w, c, "b05")
	c.Settle(t.Context())
	wantMirrors(t, cache, "0/b00", "0/b04", "0/b05")
}

// What was not used for a day goes with the next start, whoever made it, and so
// does what a clone that was killed has left; what others are using stays.
func TestMirrorsThatNobodyUsesGo(t *testing.T) {
	w := world.New(t)
	branches(t, w, 4, 1000)
	cache := t.TempDir()
	same := func(o *gitcli.Options) { o.CacheDir = cache }
	first, second, third := w.Client(same), w.Client(same), w.Client(same)
	useOf(t, w, first, "b00")
	useOf(t, w, first, "b01")
	useOf(t, w, second, "b02")
	useOf(t, w, third, "b03")
	wantMirrors(t, cache, "0/b00", "0/b01", "1/b02", "2/b03")
	first.Close()
	second.Close()
	old := time.Now().Add(-25 * time.Hour)
	dirs, _ := filepath.Glob(filepath.Join(cache, "*", "manifests-*"))
	var left []string
	for _, dir := range dirs {
		for _, suffix := range []string{".new", ".old", ".history", ".next.new", ".gone7"} {
			if err := os.MkdirAll(filepath.Join(dir+suffix, "objects"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if head, _ := os.ReadFile(filepath.Join(dir, "HEAD")); !strings.Contains(string(head), "b01") {
			if err := os.Chtimes(dir, old, old); err != nil {
				t.Fatal(err)
			}
		}
		if filepath.Base(filepath.Dir(dir)) == "2" {
			left = append(left, dir)
		}
	}
	fourth := w.Client(same)
	fourth.Settle(t.Context())
	for _, dir := range left { // not ours to touch
		for _, suffix := range []string{".new", ".old", ".history", ".next.new", ".gone7"} {
			if err := os.Remove(filepath.Join(dir+suffix, "objects")); err != nil {
				t.Error(err)
			}
			os.Remove(dir + suffix)
		}
	}
	wantMirrors(t, cache, "0/b01", "2/b03")
	useOf(t, w, fourth, "b00")
	wantMirrors(t, cache, "0/b00", "0/b01", "2/b03")
}

// A cache that is deleted, or full of other things, does no harm.
func TestOnlyMirrorsAreRemoved(t *testing.T) {
	w := world.New(t)
	branches(t, w, 1, 1000)
	cache := t.TempDir()
	old := time.Now().Add(-48 * time.Hour)
	mine := []string{"notes.txt", "0/notes.txt", "0/a directory", "7.lock/x", "photos/manifests-0123456789ab"}
	for _, name := range mine {
		path := filepath.Join(cache, name)
		if err := errors.Join(os.MkdirAll(path, 0o700), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	c := w.Client(func(o *gitcli.Options) { o.CacheDir, o.CacheSize = cache, 1 })
	c.Settle(t.Context())
	useOf(t, w, c, "b00")
	c.Settle(t.Context())
	for _, name := range mine {
		if _, err := os.Stat(filepath.Join(cache, name)); err != nil {
			t.Error(err)
		}
	}
}
