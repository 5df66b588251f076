package forge

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
)

// TokenSource gives tokens that end, such as those of a GitHub App. Both
// methods may be called from any goroutine.
type TokenSource interface {
	// ID is the same for sources that give the same tokens. It is no secret.
	ID() string
	// Host is the API's host that the tokens may be sent to.
	Host() string
	// Token returns a token for a repository. refused is a token that the host
	// did not accept, or ""; it is not returned again.
	Token(ctx context.Context, owner, name, refused string) (string, error)
}

// Credential is what a host is asked with. The zero Credential asks as anybody.
// It prints as *** in every form.
type Credential struct {
	user, secret string
	source       TokenSource
}

// Token returns the credential of a token.
func Token(token string) Credential { return Credential{secret: strings.TrimSpace(token)} }

// Password returns the credential of a user with a password. GitHub and GitLab
// take no passwords: there it is the token that git takes as one.
func Password(user, password string) Credential {
	return Credential{user: strings.TrimSpace(user), secret: strings.TrimSpace(password)}
}

// Source returns the credential of a source of tokens.
func Source(s TokenSource) Credential { return Credential{source: s} }

// Format prints three stars, whatever the verb.
func (Credential) Format(f fmt.State, _ rune) { f.Write([]byte("***")) }

// MarshalText returns three stars.
func (Credential) MarshalText() ([]byte, error) { return []byte("***"), nil }

func (c Credential) empty() bool { return c.secret == "" && c.source == nil }

// key tells credentials apart without holding them.
func (c Credential) key() [sha256.Size]byte {
	if c.source != nil {
		return sha256.Sum256([]byte("source\x00" + c.source.ID()))
	}
	return sha256.Sum256([]byte("secret\x00" + c.user + "\x00" + c.secret))
}

// sendable says whether the secret can be put into a header.
func sendable(secret string) bool {
	return !strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' })
}
