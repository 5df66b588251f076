// Package secret has the type of values that must not be shown: passwords,
// tokens, keys, webhook URLs. However such a value is printed, logged or encoded,
// it reads "***"; only Reveal gives it away, so a search for that finds every
// place where one is used. The package touches nothing.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
)

// mask is what is shown instead.
const mask = "***"

// Value is a secret. The zero value is an empty one.
type Value struct{ hidden string }

// New returns a secret value.
func New[T string | []byte](v T) Value { return Value{string(v)} }

// Reveal returns the secret itself, for whoever must use it.
func (v Value) Reveal() string { return v.hidden }

// Empty reports whether there is nothing to keep secret.
func (v Value) Empty() bool { return v.hidden == "" }

// Equal compares two secrets in a time that tells nothing of where they differ.
func (v Value) Equal(other Value) bool {
	a, b := sha256.Sum256([]byte(v.hidden)), sha256.Sum256([]byte(other.hidden))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// ID names the secret without giving it away: the same for the same secret, and
// usable as a key of a map. It is the hexadecimal SHA-256 digest.
func (v Value) ID() string {
	sum := sha256.Sum256([]byte(v.hidden))
	return hex.EncodeToString(sum[:])
}

// String returns "***".
func (v Value) String() string { return mask }

// GoString returns "***".
func (v Value) GoString() string { return mask }

// Format writes "***", whatever the verb.
func (v Value) Format(s fmt.State, _ rune) { io.WriteString(s, mask) }

// MarshalText returns "***".
func (v Value) MarshalText() ([]byte, error) { return []byte(mask), nil }

// MarshalJSON returns "***" as a JSON string.
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + mask + `"`), nil }
