package gitcli_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/test/gitserver"
	"github.com/kainlite/gitops-operator/test/world"
)

// strangers are so many bytes of known hosts that have nothing to do with ours.
func strangers(t *testing.T, size int) []byte {
	t.Helper()
	_, public, err := gitserver.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		b.WriteString(knownHost(t, fmt.Sprintf("host%d.example.com:22", i), public) + "\n")
	}
	return b.Bytes()
}

// A tenant's Secrets must not fill the directory that all keys lie in.
func TestLargeSecretsTakeLittleSpace(t *testing.T) {
	w := world.New(t)
	head := w.App("kainlite/blog")
	client := w.Client()
	many := append(strangers(t, 950_000), w.Server.KnownHosts()...)
	for i := range 17 {
		id, err := client.Acquire(gitcli.Key{Name: fmt.Sprintf("tenant/key%d", i), Private: w.Private, KnownHosts: many})
		if err != nil {
			t.Fatal(err)
		}
		defer id.Release()
		if got, err := client.Head(t.Context(), w.Remote("kainlite/blog"), "master", id); err != nil || got != head {
			t.Fatalf("at %s, %v", got, err)
		}
	}
	files := keyFiles(t)
	if len(files) != 17 {
		t.Fatalf("key files: %v", files)
	}
	if total := size(t, filepath.Dir(filepath.Dir(files[0]))); total > 100_000 {
		t.Errorf("17 Secrets take %d bytes", total)
	}
	large := append(bytes.Clone(w.Private), bytes.Repeat([]byte("x"), 64<<10)...)
	if _, err := client.Acquire(gitcli.Key{Name: "a/b", Private: large}); !errors.Is(err, gitcli.ErrNoKey) {
		t.Errorf("a key of %d bytes: %v", len(large), err)
	}
}

// Of one host's own lines, there are never so many.
func TestTooManyLinesForOneHostAreRefused(t *testing.T) {
	w := world.New(t)
	w.App("kainlite/blog")
	client := w.Client()
	id, err := client.Acquire(gitcli.Key{Name: "tenant/key", Private: w.Private, KnownHosts: bytes.Repeat(append(w.Server.KnownHosts(), '\n'), 1000)})
	if err != nil {
		t.Fatal(err)
	}
	defer id.Release()
	_, err = client.Head(t.Context(), w.Remote("kainlite/blog"), "master", id)
	if !errors.Is(err, gitcli.ErrHostKey) || !strings.Contains(err.Error(), "secret tenant/key has") || !strings.Contains(err.Error(), "at most 65536 are used") {
		t.Errorf("got %v", err)
	}
}

// Whatever form a known_hosts file has, ssh finds the host in what is copied.
func TestHostsAreFoundInEveryForm(t *testing.T) {
	w := world.New(t)
	head := w.App("kainlite/blog")
	plain := strings.TrimSpace(string(w.Server.KnownHosts()))
	_, key, _ := strings.Cut(plain, " ")
	host, port, _ := strings.Cut(w.Server.Addr(), ":")
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(plain+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ssh-keygen", "-H", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	hashed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		line string
		ok   bool
	}{
		"as ssh-keyscan writes it": {plain, true},
		"hashed by ssh-keygen":     {string(hashed), true},
		"without the port":         {host + " " + key, true},
		"a pattern":                {"[127.*]:" + port + " " + key, true},
		"among others":             {"a,[" + host + "]:" + port + ",b " + key, true},
		"any host":                 {"* " + key, true},
		"any but this":             {"*,![" + host + "]:" + port + ",!" + host + " " + key, false},
		"revoked":                  {plain + "\n@revoked * " + key, false},
		"another port":             {"[" + host + "]:1 " + key, false},
	} {
		t.Run(name, func(t *testing.T) {
			client := w.Client()
			id, err := client.Acquire(gitcli.Key{Name: "a/b", Private: w.Private, KnownHosts: []byte(c.line)})
			if err != nil {
				t.Fatal(err)
			}
			defer id.Release()
			got, err := client.Head(t.Context(), w.Remote("kainlite/blog"), "master", id)
			if c.ok && (err != nil || got != head) || !c.ok && !errors.Is(err, gitcli.ErrHostKey) {
				t.Errorf("%s: %v", got, err)
			}
		})
	}
}
