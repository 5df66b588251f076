package gitcli_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/test/gitserver"
	"github.com/kainlite/gitops-operator/test/world"
)

func TestManyHeadsShareOneConnection(t *testing.T) {
	w := world.New(t)
	client := w.Client()
	id := w.Identity(client)
	var wg sync.WaitGroup
	for i := range 30 {
		repo := fmt.Sprintf("kainlite/app%d", i)
		want := w.App(repo)
		wg.Go(func() {
			got, err := client.Head(t.Context(), w.Remote(repo), "master", id)
			if err != nil || got != want {
				t.Errorf("%s: %s, %v; want %s", repo, got, err, want)
			}
		})
	}
	wg.Wait()
	if s := w.Server.Stats(); s.Connections != 1 || s.Sessions != 30 {
		t.Errorf("%d connections, %d sessions for 30 repositories", s.Connections, s.Sessions)
	}
}

// A shared socket for two keys would let one tenant act as another.
func TestTwoKeysNeverShareAConnection(t *testing.T) {
	w := world.New(t)
	w.App("kainlite/blog")
	w.App("kainlite/api")
	client := w.Client()
	all := w.Identity(client)
	private, public, err := gitserver.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	w.Server.Authorize(public, "kainlite/api.git")
	one, err := client.Acquire(gitcli.Key{Name: "tenant/key", Private: private, KnownHosts: w.Server.KnownHosts()})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Release()
	if _, err := client.Head(t.Context(), w.Remote("kainlite/blog"), "master", all); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Head(t.Context(), w.Remote("kainlite/blog"), "master", one); !errors.Is(err, gitcli.ErrRepositoryMissing) {
		t.Errorf("the key for api reads blog: %v", err)
	}
	if _, err := client.Head(t.Context(), w.Remote("kainlite/api"), "master", one); err != nil {
		t.Error(err)
	}
	if n := w.Server.Stats().Connections; n != 2 {
		t.Errorf("%d connections for two keys", n)
	}
}

func TestConnectionThatDiedIsReplaced(t *testing.T) {
	w := world.New(t)
	w.App("kainlite/blog")
	client := w.Client()
	id := w.Identity(client)
	head := func() error {
		_, err := client.Head(t.Context(), w.Remote("kainlite/blog"), "master", id)
		return err
	}
	if err := head(); err != nil {
		t.Fatal(err)
	}
	w.Server.CutAfter(1) // the connection goes down with this session, and so does the one tried next
	if err := head(); !errors.Is(err, gitcli.ErrNetwork) {
		t.Fatalf("got %v", err)
	}
	w.Server.CutAfter(0)
	if err := head(); err != nil {
		t.Errorf("after the cut: %v", err)
	}
	masters := childrenOf(t, "-M -N")
	if len(masters) != 1 {
		t.Fatalf("connections: %v", masters)
	}
	if out, err := exec.Command("pkill", "-KILL", "-f", "--", "-M -N.*"+port(t, w)).CombinedOutput(); err != nil {
		t.Fatalf("kill the connection: %v %s", err, out)
	}
	if err := head(); err != nil {
		t.Errorf("after the kill: %v", err)
	}
}

func port(t *testing.T, w *world.World) string {
	u, err := url.Parse(w.Server.URL("x"))
	if err != nil {
		t.Fatal(err)
	}
	return "-p " + u.Port()
}

func TestKeysArePastedInManyWays(t *testing.T) {
	w := world.New(t)
	w.App("kainlite/blog")
	pem := string(w.Private)
	for name, key := range map[string]string{
		"as it is":         pem,
		"CRLF":             strings.ReplaceAll(pem, "\n", "\r\n"),
		"no final newline": strings.TrimRight(pem, "\n"),
		"blank around":     "\n\n " + pem + "\n\n",
		"BOM":              "\ufeff" + pem,
	} {
		t.Run(name, func(t *testing.T) {
			client := w.Client()
			id, err := client.Acquire(gitcli.Key{Name: "a/b", Private: []byte(key), KnownHosts: []byte(strings.ReplaceAll(string(w.Server.KnownHosts()), "\n", "\r\n"))})
			if err != nil {
				t.Fatal(err)
			}
			defer id.Release()
			if _, err := client.Head(t.Context(), w.Remote("kainlite/blog"), "master", id); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestKeysThatCannotWorkAreRefused(t *testing.T) {
	client := world.New(t).Client()
	locked, public, err := gitserver.NewKeyWithPassphrase("secret")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key  string
		kind error
		text string
	}{
		"passphrase": {string(locked), gitcli.ErrPassphrase, "read SSH key: key has a passphrase: nobody can type it here, use a key without one, or put it into the Secret as passphrase"},
		"public":     {public.Type() + " AAAA me@host", gitcli.ErrNoKey, "read SSH key: not a private SSH key: it is the public half: give the private file, without .pub"},
		"folded":     {strings.ReplaceAll(string(locked), "\n", " "), gitcli.ErrNoKey, "read SSH key: not a private SSH key: its line breaks are gone: in YAML write it below a '|', or use kubectl create secret generic with --from-file=ssh-privatekey=FILE"},
		"cut off":    {string(locked)[:200], gitcli.ErrNoKey, "read SSH key: not a private SSH key: it begins as one, but is cut off or damaged"},
		"empty":      {"", gitcli.ErrNoKey, "read SSH key: not a private SSH key: it must begin with -----BEGIN ... PRIVATE KEY-----"},
	} {
		_, err := client.Acquire(gitcli.Key{Name: "a/b", Private: []byte(c.key)})
		if !errors.Is(err, c.kind) || err.Error() != c.text {
			t.Errorf("%s: got %v, want %s", name, err, c.text)
		}
	}
}

func TestKeyFilesArePrivateAndGo(t *testing.T) {
	w := world.New(t)
	w.App("kainlite/blog")
	client := w.Client()
	key := gitcli.Key{Name: "a/b", Private: w.Private, KnownHosts: w.Server.KnownHosts()}
	first, err := client.Acquire(key)
	if err != nil {
		t.Fatal(err)
	}
	second, err := client.Acquire(key)
	if err != nil {
		t.Fatal(err)
	}
	files := keyFiles(t)
	if len(files) != 1 {
		t.Fatalf("key files: %v", files)
	}
	for path, want := range map[string]os.FileMode{files[0]: 0o600, filepath.Dir(files[0]): 0o700, filepath.Dir(filepath.Dir(files[0])): 0o700} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want %o", path, st.Mode(), err, want)
		}
	}
	overwritten := watchKey(t, files[0])
	first.Release()
	if len(keyFiles(t)) != 1 {
		t.Error("the key file went while it was in use")
	}
	second.Release()
	if left := keyFiles(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	overwritten()
}

// watchKey returns a check that what the key file held was overwritten, and not
// only unlinked.
func watchKey(t *testing.T, file string) func() {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		defer f.Close()
		if b, err := io.ReadAll(f); err != nil || len(b) == 0 || len(bytes.Trim(b, "\x00")) > 0 {
			t.Errorf("the key's blocks hold %d bytes of it, %v", len(bytes.Trim(b, "\x00")), err)
		}
	}
}

// keyFiles are those of this process's clients, which hold locks beside them.
func keyFiles(t *testing.T) []string {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, fd := range fds {
		if lock, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.Contains(lock, "gitops-operator-run-") {
			found, _ := filepath.Glob(filepath.Join(filepath.Dir(lock), "k-*", "key"))
			files = append(files, found...)
		}
	}
	return files
}

// A child that crashes leaves a key behind; the next start removes it, but not
// what a living operator uses.
func TestNextStartRemovesWhatACrashLeft(t *testing.T) {
	if dir := os.Getenv("TEST_CRASH"); dir != "" {
		c, err := gitcli.New(t.Context(), gitcli.Options{CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		private, _, err := gitserver.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Acquire(gitcli.Key{Name: "a/b", Private: private}); err != nil {
			t.Fatal(err)
		}
		fmt.Println(keyFiles(t)[0])
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	w := world.New(t)
	living := w.Client()
	w.Identity(living)
	inUse := keyFiles(t)

	child := exec.Command(os.Args[0], "-test.run=^TestNextStartRemovesWhatACrashLeft$")
	child.Env = append(os.Environ(), "TEST_CRASH="+t.TempDir())
	out, err := child.Output()
	left := strings.TrimSpace(string(out))
	if err == nil || !strings.HasSuffix(left, "/key") {
		t.Fatalf("the child was to leave a key and be killed: %v %s", err, out)
	}
	overwritten := watchKey(t, left)
	w.Client()
	overwritten()
	if _, err := os.Stat(filepath.Dir(filepath.Dir(left))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
	if now := keyFiles(t); !slices.Equal(now, inUse) {
		t.Errorf("keys in use: %v, before %v", now, inUse)
	}
}

func TestTwoOperatorsOnOneCacheFolderKeepApart(t *testing.T) {
	w := world.New(t)
	w.Commit(manifests, map[string]string{"a": "1"})
	cache := t.TempDir()
	same := func(o *gitcli.Options) { o.CacheDir = cache }
	first, second := w.Client(same), w.Client(same)
	fetch(t, mirror(t, w, first))
	fetch(t, mirror(t, w, second))
	if dirs, _ := filepath.Glob(filepath.Join(cache, "[0-9]", "manifests-*")); len(dirs) != 2 {
		t.Errorf("mirrors: %v", dirs)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	w := world.New(t)
	w.App("kainlite/blog")
	client, err := gitcli.New(t.Context(), gitcli.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	id, err := client.Acquire(gitcli.Key{Name: "a/b", Private: w.Private, KnownHosts: w.Server.KnownHosts()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Head(t.Context(), w.Remote("kainlite/blog"), "master", id); err != nil {
		t.Fatal(err)
	}
	overwritten := watchKey(t, keyFiles(t)[0])
	client.Close()
	overwritten()
	if left := append(keyFiles(t), childrenOf(t, "ssh ")...); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := client.Head(t.Context(), w.Remote("kainlite/blog"), "master", id); err == nil {
		t.Error("a closed client works on")
	}
}
