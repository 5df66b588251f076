package gitcli_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/test/world"
)

// Whatever is wrong with a mirror, the next fetch has a good one.
func TestBrokenMirrorIsReplaced(t *testing.T) {
	remove := func(t *testing.T, pattern string, dir string) {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		if len(files) == 0 {
			t.Fatalf("nothing matches %s", pattern)
		}
		for _, f := range files {
			if err := os.RemoveAll(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, harm := range map[string]func(*testing.T, string){
		"deleted":           func(t *testing.T, dir string) { remove(t, "", dir) },
		"no HEAD":           func(t *testing.T, dir string) { remove(t, "HEAD", dir) },
		"no objects":        func(t *testing.T, dir string) { remove(t, "objects/*", dir) },
		"no refs":           func(t *testing.T, dir string) { remove(t, "refs", dir) },
		"garbage HEAD":      write("HEAD", "\x00garbage"),
		"garbage config":    write("config", "[core\n\tgarbage"),
		"garbage packed":    write("packed-refs", "garbage\n"),
		"stale shallow":     write("shallow.lock", ""),
		"half-written HEAD": write("HEAD", ""),
		"stale ref lock": func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "refs/remotes/origin"), 0o755); err != nil {
				t.Fatal(err)
			}
			write("refs/remotes/origin/master.lock", "")(t, dir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := world.New(t)
			w.Commit(manifests, map[string]string{"a": "1"})
			cache := t.TempDir()
			client := w.Client(func(o *gitcli.Options) { o.CacheDir = cache })
			m := mirror(t, w, client)
			fetch(t, m)
			dirs, _ := filepath.Glob(filepath.Join(cache, "0", "manifests-*"))
			if len(dirs) != 1 {
				t.Fatalf("mirrors: %v", dirs)
			}
			harm(t, dirs[0])
			head := w.Commit(manifests, map[string]string{"a": "2"})
			if got := fetch(t, m); got != head {
				t.Fatalf("at %s, want %s", got, head)
			}
			blobs, err := read(t, m, head, []string{"a"}, 10)
			if err != nil || string(blobs["a"].Content) != "2" {
				t.Fatalf("read %+v, %v", blobs, err)
			}
			ids := commit(t, m, head, change("a", "3"))
			if err := m.Push(t.Context(), head, ids[0]); err != nil {
				t.Fatal(err)
			}
			if left, _ := filepath.Glob(filepath.Join(cache, "0", "*")); !slices.Equal(left, dirs) {
				t.Errorf("the cache holds %v", left)
			}
		})
	}
}

func TestReadOfADamagedMirrorIsALocalError(t *testing.T) {
	w := world.New(t)
	head := w.Commit(manifests, map[string]string{"a": "1"})
	cache := t.TempDir()
	client := w.Client(func(o *gitcli.Options) { o.CacheDir = cache })
	m := mirror(t, w, client)
	fetch(t, m)
	packs, _ := filepath.Glob(filepath.Join(cache, "0", "*", "objects", "pack", "*.pack"))
	for _, p := range packs {
		if err := os.Chmod(p, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("garbage"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := read(t, m, head, []string{"a"}, 10); !gitcli.IsLocal(err) {
		t.Errorf("got %v", err)
	}
	if err := m.Delete(); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, m); got != head {
		t.Errorf("at %s", got)
	}
}
