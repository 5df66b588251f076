package gitserver

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// NewKey makes an ed25519 key pair for a client. The private half is PEM in
// OpenSSH's own format, as ssh-keygen writes it.
func NewKey() (privatePEM []byte, public ssh.PublicKey, err error) {
	return newKey(func(key ed25519.PrivateKey) (*pem.Block, error) {
		return ssh.MarshalPrivateKey(key, "")
	})
}

// NewKeyWithPassphrase is NewKey with the private half encrypted.
func NewKeyWithPassphrase(passphrase string) (privatePEM []byte, public ssh.PublicKey, err error) {
	return newKey(func(key ed25519.PrivateKey) (*pem.Block, error) {
		return ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	})
}

func newKey(marshal func(ed25519.PrivateKey) (*pem.Block, error)) ([]byte, ssh.PublicKey, error) {
	publicKey, privateKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	block, err := marshal(privateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("encode private key: %w", err)
	}
	public, err := ssh.NewPublicKey(publicKey)
	if err != nil {
		return nil, nil, fmt.Errorf("encode public key: %w", err)
	}
	return pem.EncodeToMemory(block), public, nil
}
