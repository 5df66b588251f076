package gitcli_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/internal/secret"
	"github.com/kainlite/gitops-operator/test/world"
)

const passphrase = "open, sesame 7Kq"

// keygen has ssh-keygen make a key, and returns both halves.
func keygen(t *testing.T, args ...string) (private []byte, public ssh.PublicKey) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	args = append([]string{"-q", "-N", passphrase, "-f", file}, args...)
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %s: %v: %s", args, err, out)
	}
	private, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if public, _, _, _, err = ssh.ParseAuthorizedKey(text); err != nil {
		t.Fatal(err)
	}
	return private, public
}

// Whatever ssh-keygen encrypts, ssh logs in with once it is decrypted.
func TestKeysWithAPassphrase(t *testing.T) {
	w := world.New(t)
	head := w.App("kainlite/blog")
	for name, args := range map[string][]string{
		"ed25519":     {"-t", "ed25519"},
		"RSA":         {"-t", "rsa", "-b", "2048"},
		"ECDSA":       {"-t", "ecdsa"},
		"RSA, as PEM": {"-t", "rsa", "-b", "2048", "-m", "PEM"},
		"more rounds": {"-t", "ed25519", "-a", "40"},
		"with CBC":    {"-t", "ed25519", "-Z", "aes256-cbc"},
	} {
		t.Run(name, func(t *testing.T) {
			private, public := keygen(t, args...)
			w.Server.Authorize(public)
			client := w.Client()
			key := gitcli.Key{Name: "a/b", Private: private, Passphrase: secret.New(passphrase), KnownHosts: w.Server.KnownHosts()}
			id, err := client.Acquire(key)
			if err != nil {
				t.Fatal(err)
			}
			defer id.Release()
			if got, err := client.Head(t.Context(), w.Remote("kainlite/blog"), "master", id); err != nil || got != head {
				t.Fatalf("%s, %v", got, err)
			}
			again, err := client.Acquire(key)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Release()
			if again != id {
				t.Error("the same key is there twice, and has two connections")
			}
			key.Passphrase = secret.New("another")
			if _, err := client.Acquire(key); !errors.Is(err, gitcli.ErrWrongPassphrase) || strings.Contains(err.Error(), "another") {
				t.Errorf("with a wrong passphrase, while the right one is in use: %v", err)
			}
		})
	}
}

func TestKeysThatCannotBeDecrypted(t *testing.T) {
	client := world.New(t).Client()
	slow, _ := keygen(t, "-t", "ed25519", "-a", "501")
	for name, c := range map[string]struct {
		key  []byte
		kind error
		text string
	}{
		"too much work": {slow, gitcli.ErrNoKey, "read SSH key: not a private SSH key: it takes 501 rounds to decrypt, more than 500: ssh-keygen -p -a 16 -f FILE makes it fewer"},
		"PKCS #8": {[]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), gitcli.ErrNoKey,
			"read SSH key: not a private SSH key: a key that is encrypted in the format PKCS #8 is not supported; ssh-keygen -p -f FILE writes it in OpenSSH's"},
	} {
		_, err := client.Acquire(gitcli.Key{Name: "a/b", Private: c.key, Passphrase: secret.New(passphrase)})
		if !errors.Is(err, c.kind) || err.Error() != c.text {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, c.text)
		}
	}
}
