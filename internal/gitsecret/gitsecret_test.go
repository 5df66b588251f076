package gitsecret

import (
	"errors"
	"strings"
	"testing"
)

func data(pairs ...string) map[string][]byte {
	m := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = []byte(pairs[i+1])
	}
	return m
}

func TestKeysAsPeopleHaveThem(t *testing.T) {
	for name, c := range map[string]struct {
		data       map[string][]byte
		passphrase string
	}{
		"kubectl":                        {data("ssh-privatekey", "KEY", "known_hosts", "HOSTS"), ""},
		"kubectl, with a public half":    {data("ssh-privatekey", "KEY", "ssh-publickey", "x", "known_hosts", "HOSTS"), ""},
		"Flux":                           {data("identity", "KEY", "identity.pub", "x", "known_hosts", "HOSTS"), ""},
		"Flux, encrypted":                {data("identity", "KEY", "password", "PASS", "known_hosts", "HOSTS"), "PASS"},
		"Argo CD":                        {data("type", "git", "url", "git@x:y", "sshPrivateKey", "KEY", "known_hosts", "HOSTS"), ""},
		"a passphrase from echo":         {data("ssh-privatekey", "KEY", "passphrase", "PASS\n", "known_hosts", "HOSTS"), "PASS"},
		"both names with the same value": {data("ssh-privatekey", "KEY", "identity", "KEY", "known_hosts", "HOSTS"), ""},
	} {
		got, err := Parse(c.data)
		if err != nil || got.Kind != SSHKey || string(got.Private) != "KEY" || got.Passphrase.Reveal() != c.passphrase || string(got.KnownHosts) != "HOSTS" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestWhatIsNotCertainIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		data map[string][]byte
		want string
	}{
		"two keys":           {data("ssh-privatekey", "HUSH", "identity", "OTHER"), "keys ssh-privatekey and identity, which mean the same, with different values: keep one of them"},
		"two passphrases":    {data("ssh-privatekey", "HUSH", "passphrase", "HUSH", "password", "OTHER"), "keys passphrase and password, which mean the same, with different values: keep one of them"},
		"two tokens":         {data("token", "HUSH", "bearerToken", "OTHER"), "keys token and bearerToken, which mean the same, with different values: keep one of them"},
		"a key and a user":   {data("ssh-privatekey", "HUSH", "username", "me", "password", "HUSH"), "two kinds of credentials, an SSH key (ssh-privatekey) and a username and password (username): keep one of them in it, and make another Secret of the other"},
		"a key and a token":  {data("identity", "HUSH", "bearerToken", "HUSH"), "two kinds of credentials, an SSH key (identity) and a token (bearerToken): keep one of them in it, and make another Secret of the other"},
		"a token and an App": {data("token", "HUSH", "githubAppID", "1"), "two kinds of credentials, a token (token) and a GitHub App (githubAppID): keep one of them in it, and make another Secret of the other"},
	} {
		_, err := Parse(c.data)
		if err == nil || err.Error() != c.want || strings.Contains(err.Error(), "HUSH") {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, c.want)
		}
	}
	for name, d := range map[string]map[string][]byte{
		"nothing":           nil,
		"another key":       data("id_rsa", "x"),
		"a webhook":         data("webhook-url", "x"),
		"a password alone":  data("password", "x"),
		"a user alone":      data("username", "x"),
		"known hosts alone": data("known_hosts", "x"),
	} {
		if _, err := Parse(d); !errors.Is(err, ErrNothing) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOtherKindsAreRecognised(t *testing.T) {
	for want, d := range map[Kind]map[string][]byte{
		Password: data("username", "me", "password", "x"),
		Token:    data("bearerToken", "x", "password", "x"),
		App:      data("githubAppID", "1", "githubAppPrivateKey", "x"),
	} {
		if got, err := Parse(d); err != nil || got.Kind != want {
			t.Errorf("%s: %+v, %v", want, got, err)
		}
	}
}
