package gitcli_test

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/world"
)

// child runs the test again as a process of its own, which finds the world's
// remote in its environment, and returns what it printed. In the child itself,
// inChild has that.
func child(t *testing.T, w *world.World) string {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := errors.Join(os.WriteFile(key, w.Private, 0o600), os.WriteFile(key+".hosts", w.Server.KnownHosts(), 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "TEST_CHILD_REPO="+w.Repo(manifests).Dir, "TEST_CHILD_URL="+w.Server.URL(manifests+".git"), "TEST_CHILD_KEY="+key)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the process ended with %v:\n%s", err, out)
	}
	return string(out)
}

func inChild(t *testing.T) (*gitcli.Client, *gitcli.Mirror, bool) {
	t.Helper()
	url, key := os.Getenv("TEST_CHILD_URL"), os.Getenv("TEST_CHILD_KEY")
	if url == "" {
		return nil, nil, false
	}
	w := &world.World{T: t}
	private, err := os.ReadFile(key)
	hosts, herr := os.ReadFile(key + ".hosts")
	r, rerr := gitcli.ParseRemote(url)
	if err := errors.Join(err, herr, rerr); err != nil {
		t.Fatal(err)
	}
	client := w.Client()
	id, err := client.Acquire(gitcli.Key{Name: "a/b", Private: private, KnownHosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(id.Release)
	return client, open(t, client, r, "master", id), true
}

// Where no process can be started, the command fails, and nothing else does.
func TestNothingMoreCanBeOpened(t *testing.T) {
	if _, m, ok := inChild(t); ok {
		head := fetch(t, m)
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		var all syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &all); err != nil {
			t.Fatal(err)
		}
		failed := 0
		for more := range 20 {
			few := syscall.Rlimit{Cur: uint64(len(fds) + more), Max: all.Max}
			if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
				t.Fatal(err)
			}
			_, err := m.Fetch(t.Context())
			_, cerr := m.Commit(t.Context(), head, slices.Values([]gitcli.Change{change("a", "2")}), time.Now())
			if serr := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &all); serr != nil {
				t.Fatal(serr)
			}
			if errors.Is(err, gitcli.ErrNotStarted) && errors.Is(cerr, gitcli.ErrNotStarted) {
				failed++
				if gitcli.IsLocal(err) || !strings.Contains(err.Error(), "raise its limits") {
					t.Errorf("got %v", err)
				}
			}
		}
		if got := fetch(t, m); got != head {
			t.Errorf("at %s, want %s", got, head)
		}
		fmt.Println("failed starts:", failed)
		return
	}
	w := world.New(t)
	w.Commit(manifests, map[string]string{"a": "1"})
	if out := child(t, w); strings.Contains(out, "failed starts: 0\n") || !strings.Contains(out, "failed starts: ") {
		t.Errorf("every process could be started:\n%s", out)
	}
}

// A program that has gone since the start is one that cannot be started.
func TestAProgramThatHasGone(t *testing.T) {
	for _, program := range []string{"git", "ssh"} {
		t.Run(program, func(t *testing.T) {
			w := world.New(t)
			w.Commit(manifests, map[string]string{"a": "1"})
			real, err := exec.LookPath(program)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.Symlink(real, filepath.Join(dir, program)); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			client := w.Client()
			id := w.Identity(client)
			if err := os.Remove(filepath.Join(dir, program)); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Head(t.Context(), w.Remote(manifests), "master", id); !errors.Is(err, gitcli.ErrNotStarted) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What panics in a caller's function is the caller's failure, not the end.
func TestPanicsOfCallersAreErrors(t *testing.T) {
	w := world.New(t)
	base := w.Commit(manifests, map[string]string{"a": "1"})
	m := mirror(t, w, w.Client())
	fetch(t, m)
	changes := iter.Seq[gitcli.Change](func(yield func(gitcli.Change) bool) {
		yield(change("a", "2"))
		panic("the caller's")
	})
	const want = "internal error, please report it: the caller's"
	if _, err := m.Commit(t.Context(), base, changes, time.Now()); err == nil || err.Error() != want {
		t.Errorf("commit: %v", err)
	}
	entries, err := m.List(t.Context(), base, []string{"a"}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Load(t.Context(), []string{entries["a"].ID}, func(int, []byte) { panic("the caller's") }); err == nil || err.Error() != want {
		t.Errorf("load: %v", err)
	}
}

// zeros adds a branch with a file that is small where git keeps it and large where it is read.
func zeros(t *testing.T, w *world.World, bytes int64) {
	t.Helper()
	cmd := exec.Command("git", "--git-dir="+w.Repo(manifests).Dir, "-c", "core.bigFileThreshold=1m", "fast-import", "--quiet", "--done")
	head := fmt.Sprintf("commit refs/heads/zeros\ncommitter A <a@b> 0 +0000\ndata 1\nx\nfrom refs/heads/master^0\nM 100644 inline zeros\ndata %d\n", bytes)
	cmd.Stdin = io.MultiReader(strings.NewReader(head), io.LimitReader(blank{}, bytes), strings.NewReader("\ndone\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

type blank struct{}

func (blank) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A file that compresses to nothing must not be held in memory, in a clone nor
// in a fetch.
func TestALargeFileTakesNoMemory(t *testing.T) {
	const large, limit = 200 << 20, 64 << 10 // bytes, KiB
	if _, m, ok := inChild(t); ok {
		fetch(t, m)
		if _, err := (gitrepo.Repo{Dir: os.Getenv("TEST_CHILD_REPO")}).Git("update-ref", "refs/heads/master", "refs/heads/zeros"); err != nil {
			t.Fatal(err)
		}
		fetch(t, m)
		if err := m.Delete(); err != nil {
			t.Fatal(err)
		}
		fetch(t, m)
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("the largest git: %d MiB\n", usage.Maxrss>>10)
		if usage.Maxrss > limit {
			t.Errorf("git took %d KiB", usage.Maxrss)
		}
		return
	}
	w := world.New(t)
	w.Commit(manifests, map[string]string{"a": "1"})
	zeros(t, w, large)
	for line := range strings.Lines(child(t, w)) {
		if strings.HasPrefix(line, "the largest") {
			t.Log(line)
		}
	}
}
