package gitcli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/test/world"
)

// fill makes a mirror look as it does after hundreds of passes.
func fill(t *testing.T, cache string) {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(cache, "0", "manifests-*", "objects", "pack"))
	if err != nil || len(packs) != 1 {
		t.Fatalf("mirrors: %v, %v", packs, err)
	}
	for i := range 101 {
		if err := os.WriteFile(filepath.Join(packs[0], fmt.Sprintf("pack-%040d.pack", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func countPacks(t *testing.T, cache string) int {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(cache, "0", "*", "objects", "pack", "*.pack"))
	if err != nil {
		t.Fatal(err)
	}
	return len(packs)
}

func TestAMirrorThatHasGrownIsReplacedByTheNextUse(t *testing.T) {
	w := world.New(t)
	w.Commit(manifests, map[string]string{"a": "1"})
	cache := t.TempDir()
	client := w.Client(func(o *gitcli.Options) { o.CacheDir = cache })
	m := mirror(t, w, client)
	fetch(t, m)
	m.Renew()
	client.Settle(t.Context())
	if n := countPacks(t, cache); n != 1 {
		t.Fatalf("a small mirror was renewed: %d packs", n)
	}

	fill(t, cache)
	m.Renew()
	m.Renew() // while the first is under way, or is done
	client.Settle(t.Context())
	if n := countPacks(t, cache); n != 102+1 {
		t.Errorf("%d packs: the mirror in use must stay as it is until its next use", n)
	}
	head := w.Commit(manifests, map[string]string{"a": "2"})
	if got := fetch(t, m); got != head {
		t.Fatalf("at %s, want %s", got, head)
	}
	blobs, err := read(t, m, head, []string{"a"}, 10)
	if err != nil || string(blobs["a"].Content) != "2" {
		t.Fatalf("read %+v, %v", blobs, err)
	}
	if err := m.Push(t.Context(), head, commit(t, m, head, change("a", "3"))[0]); err != nil {
		t.Fatal(err)
	}
	client.Close()
	if n := countPacks(t, cache); n > 2 {
		t.Errorf("the mirror still has %d packs", n)
	}
	left, _ := filepath.Glob(filepath.Join(cache, "0", "*"))
	if len(left) != 1 {
		t.Errorf("the cache holds %v", left)
	}
}

func TestARenewalThatFailsLeavesTheMirrorInUse(t *testing.T) {
	w := world.New(t)
	head := w.Commit(manifests, map[string]string{"a": "1"})
	cache := t.TempDir()
	client := w.Client(func(o *gitcli.Options) { o.CacheDir = cache })
	m := mirror(t, w, client)
	fetch(t, m)
	fill(t, cache)
	dirs, _ := filepath.Glob(filepath.Join(cache, "0", "manifests-*"))
	w.Git(manifests, "branch", "-m", "master", "away")
	before := w.Server.Stats().Sessions
	m.Renew()
	client.Settle(t.Context())
	after := w.Server.Stats().Sessions
	if after == before {
		t.Error("nothing was tried")
	}
	m.Renew()
	client.Settle(t.Context())
	if w.Server.Stats().Sessions != after {
		t.Error("it is tried again at once")
	}
	w.Git(manifests, "branch", "-m", "away", "master")
	if got := fetch(t, m); got != head {
		t.Errorf("at %s, want %s", got, head)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "0", "*")); !slices.Equal(left, dirs) {
		t.Errorf("the cache holds %v, want %v", left, dirs)
	}
}
