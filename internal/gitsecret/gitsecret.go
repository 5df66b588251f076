// Package gitsecret reads the Secrets that people have for git, as kubectl, Flux
// and Argo CD make them. It touches nothing, and no error of it repeats a value.
package gitsecret

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/kainlite/gitops-operator/internal/secret"
)

// Kind is what a Secret gives access by.
type Kind string

// The kinds, as messages call them.
const (
	SSHKey   Kind = "an SSH key"
	Password Kind = "a username and password"
	Token    Kind = "a token"
	App      Kind = "a GitHub App"
)

// ErrNothing means that a Secret has no key that is of use with git.
var ErrNothing = errors.New("no credentials for git")

// Credentials are those of one Secret.
type Credentials struct {
	Kind Kind
	// Private is the private SSH key, and Passphrase what it is encrypted with;
	// empty: it is not.
	Private    []byte
	Passphrase secret.Value
	KnownHosts []byte
}

// The names of a Secret's keys that mean the same. The first is kubectl's.
var (
	privateKeys = []string{"ssh-privatekey", "identity", "sshPrivateKey"}
	passphrases = []string{"passphrase", "password"}
	tokens      = []string{"token", "bearerToken"}
)

// Parse reads a Secret. It fails with ErrNothing where no key is of use, and where
// it is not certain what was meant: with two kinds of credentials, or two values
// for one thing.
func Parse(data map[string][]byte) (Credentials, error) {
	var c Credentials
	private, key, err := one(data, privateKeys)
	if err != nil {
		return c, err
	}
	var kinds []Kind
	var found []string
	add := func(kind Kind, key string) {
		kinds, found = append(kinds, kind), append(found, fmt.Sprintf("%s (%s)", kind, key))
	}
	if key != "" {
		add(SSHKey, key)
	}
	_, hasPassword := data["password"]
	if _, is := data["username"]; is && (hasPassword || key != "") {
		add(Password, "username")
	}
	if _, key, err := one(data, tokens); err != nil {
		return c, err
	} else if key != "" {
		add(Token, key)
	}
	if _, is := data["githubAppID"]; is {
		add(App, "githubAppID")
	}
	switch len(kinds) {
	case 0:
		return c, ErrNothing
	case 1:
	default:
		return c, fmt.Errorf("two kinds of credentials, %s: keep one of them in it, and make another Secret of the other", strings.Join(found, " and "))
	}
	c.Kind = kinds[0]
	if c.Kind == SSHKey {
		passphrase, _, err := one(data, passphrases)
		if err != nil {
			return c, err
		}
		c.Private, c.KnownHosts = private, data["known_hosts"]
		c.Passphrase = secret.New(bytes.TrimRight(passphrase, "\r\n")) // as echo writes it to a file
	}
	return c, nil
}

// one returns the value of the keys that mean the same, and which of them has it.
func one(data map[string][]byte, names []string) (value []byte, key string, err error) {
	for _, name := range names {
		v, is := data[name]
		switch {
		case !is:
		case key == "":
			value, key = v, name
		case !bytes.Equal(v, value):
			return nil, "", fmt.Errorf("keys %s and %s, which mean the same, with different values: keep one of them", key, name)
		}
	}
	return value, key, nil
}
