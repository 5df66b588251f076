package gitcli

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/kainlite/gitops-operator/internal/secret"
)

// Why a key cannot be used.
var (
	ErrNoKey           = errors.New("not a private SSH key")
	ErrPassphrase      = errors.New("key has a passphrase")
	ErrWrongPassphrase = errors.New("passphrase is wrong")
)

const (
	// maxKey bounds a private key, in bytes: a tenant must not fill the memory
	// that all keys lie in.
	maxKey = 64 << 10
	// maxRounds bounds the work that a key asks for to be decrypted, about 5 ms a
	// round: nothing can interrupt it. ssh-keygen writes 16 or 24 without -a.
	maxRounds = 500
)

// plainKey returns a private key without passphrase, and refuses what ssh could
// only answer with a riddle. Its lines end as on Unix.
func plainKey(b []byte, passphrase secret.Value) ([]byte, error) {
	block, _ := pem.Decode(b)
	if block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, fmt.Errorf("read SSH key: %w: %s", ErrNoKey, whyNoKey(b))
	}
	_, err := ssh.ParseRawPrivateKey(b)
	_, encrypted := errors.AsType[*ssh.PassphraseMissingError](err)
	switch pkcs8 := block.Type == "ENCRYPTED PRIVATE KEY"; {
	case (encrypted || pkcs8) && passphrase.Empty():
		return nil, fmt.Errorf("read SSH key: %w: nobody can type it here, use a key without one, or put it into the Secret as passphrase", ErrPassphrase)
	case pkcs8:
		return nil, fmt.Errorf("read SSH key: %w: a key that is encrypted in the format PKCS #8 is not supported; ssh-keygen -p -f FILE writes it in OpenSSH's", ErrNoKey)
	case encrypted:
		return decrypted(b, block, passphrase)
	case err != nil:
		return nil, fmt.Errorf("read SSH key: %w: it begins as one, but is cut off, damaged, or of a kind that is not supported", ErrNoKey)
	}
	return b, nil
}

// decrypted is an encrypted key without its passphrase, in OpenSSH's format.
func decrypted(b []byte, block *pem.Block, passphrase secret.Value) ([]byte, error) {
	if n := rounds(block); n > maxRounds {
		return nil, fmt.Errorf("read SSH key: %w: it takes %d rounds to decrypt, more than %d: ssh-keygen -p -a 16 -f FILE makes it fewer", ErrNoKey, n, maxRounds)
	}
	key, err := ssh.ParseRawPrivateKeyWithPassphrase(b, []byte(passphrase.Reveal()))
	if err != nil { // an old format shows a wrong passphrase as nonsense only
		return nil, fmt.Errorf("read SSH key: %w: correct it in the Secret's passphrase or password; ssh-keygen -y -f FILE asks for it and tells whether it is right", ErrWrongPassphrase)
	}
	plain, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, fmt.Errorf("read SSH key: %w: it is of a kind that is not supported", ErrNoKey)
	}
	return pem.EncodeToMemory(plain), nil
}

// rounds is how often a key's passphrase is hashed, by OpenSSH's PROTOCOL.key. It
// is 0 for other formats, which hash it once.
func rounds(block *pem.Block) uint32 {
	body, openSSH := bytes.CutPrefix(block.Bytes, []byte("openssh-key-v1\x00"))
	var head struct {
		Cipher, KDF, Options string
		Rest                 []byte `ssh:"rest"`
	}
	var bcrypt struct {
		Salt   string
		Rounds uint32
	}
	if !openSSH || ssh.Unmarshal(body, &head) != nil || ssh.Unmarshal([]byte(head.Options), &bcrypt) != nil {
		return 0
	}
	return bcrypt.Rounds
}

// whyNoKey tells what people put into the Secret instead.
func whyNoKey(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("ssh-")) || bytes.HasPrefix(b, []byte("ecdsa-")):
		return "it is the public half: give the private file, without .pub"
	case bytes.HasPrefix(b, []byte("-----BEGIN ")) && bytes.Count(b, []byte("\n")) < 3:
		return "its line breaks are gone: in YAML write it below a '|', or use kubectl create secret generic with --from-file=ssh-privatekey=FILE"
	case bytes.HasPrefix(b, []byte("-----BEGIN ")) && bytes.Contains(b, []byte("PRIVATE KEY-----")):
		return "it begins as one, but is cut off or damaged"
	}
	return "it must begin with -----BEGIN ... PRIVATE KEY-----"
}
