package patcher

import (
	"errors"
	"fmt"
	"strings"
)

// The reasons for which a manifest, a name or a tag is refused. Test for them
// with errors.Is; the message of the *Error says what to do.
var (
	ErrTooLarge     = errors.New("file too large")
	ErrNotUTF8      = errors.New("not UTF-8")
	ErrNotYAML      = errors.New("not YAML")
	ErrTooComplex   = errors.New("YAML too complex")
	ErrNoMatch      = errors.New("image not found")
	ErrAmbiguous    = errors.New("image in several registries")
	ErrDigest       = errors.New("image has a digest")
	ErrShared       = errors.New("image is shared by an anchor")
	ErrUnsupported  = errors.New("unsupported way of writing")
	ErrDuplicateKey = errors.New("duplicate key")
	ErrNotString    = errors.New("image is not a string")
	ErrBadReference = errors.New("image is not a valid reference")
	ErrName         = errors.New("bad image name")
	ErrTag          = errors.New("bad tag")
	ErrPath         = errors.New("bad path expression")
	ErrUnverified   = errors.New("edit could not be verified")
)

// Error says why nothing was changed, and what to do about it.
type Error struct {
	Line   int    // 1-based line of the manifest; 0 when no line is to blame
	Reason error  // one of the Err values of this package
	Text   string // the message without the line
}

// Error returns the message, which begins with the line where one is known.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Text)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Reason }

func refuse(line int, reason error, format string, args ...any) *Error {
	return &Error{Line: line, Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// quote makes text from a manifest fit for a message: one line, not too long.
func quote(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}
