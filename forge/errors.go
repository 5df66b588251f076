package forge

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/kainlite/gitops-operator/internal/text"
)

// What others decide on. Every [*Error] wraps one of these.
var (
	ErrUnknownHost  = errors.New("host not known")
	ErrUnauthorized = errors.New("token refused")
	ErrForbidden    = errors.New("not allowed with this token")
	ErrNotFound     = errors.New("repository not visible with this token")
	ErrRateLimited  = errors.New("rate limit exceeded")
	ErrUnavailable  = errors.New("API not available")
	ErrUnexpected   = errors.New("unexpected answer")
	ErrInvalid      = errors.New("refused by the host")
	ErrExists       = errors.New("there is an open pull request for this branch")
	ErrAutoMerge    = errors.New("merging by itself is not allowed")
	ErrNotMergeable = errors.New("it cannot be merged yet")
	ErrUnsupported  = errors.New("the host does not offer it")
)

// outcomes name the kinds of failure for whoever counts.
var outcomes = map[error]string{
	ErrUnknownHost:  "unknown_host",
	ErrUnauthorized: "unauthorized",
	ErrForbidden:    "forbidden",
	ErrNotFound:     "not_visible",
	ErrRateLimited:  "rate_limited",
	ErrUnavailable:  "unavailable",
	ErrUnexpected:   "unexpected",
	ErrInvalid:      "invalid",
	ErrExists:       "exists",
	ErrAutoMerge:    "auto_merge",
	ErrNotMergeable: "not_mergeable",
	ErrUnsupported:  "unsupported",
}

// outcome names how a question ended: "ok", a kind of failure, "canceled", or
// "invalid" for what could not be asked.
func outcome(ctx context.Context, err error) string {
	switch e, ok := errors.AsType[*Error](err); {
	case err == nil:
		return "ok"
	case ok:
		return outcomes[e.Kind]
	case ctx.Err() != nil:
		return "canceled"
	}
	return "invalid"
}

// Error is why a host did not do what was asked.
type Error struct {
	Host       string    // the API's
	Repository string    // its path
	Doing      string    // what was asked, with %[1]s for Host and %[2]s for Repository
	Kind       error     // one of the above
	Detail     string    // what the host or the network said, one bounded printable line
	Until      time.Time // for ErrRateLimited: the credential is not used before
	hint       string    // what to do
}

func (e *Error) Error() string {
	s := fmt.Sprintf(e.Doing, e.Host, e.Repository) + ": " + e.Kind.Error()
	if !e.Until.IsZero() {
		s += " until " + e.Until.UTC().Format(time.RFC3339)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.hint != "" {
		s += " (" + e.hint + ")"
	}
	return s
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

// refined is a failure whose kind a driver knows better than its status says.
type refined struct {
	kind   error
	detail string
	hint   string
}

func (e *refined) Error() string { return e.kind.Error() + ": " + e.detail }

// refuse gives a failure another kind, with what the host said about it.
func refuse(kind, err error) error {
	s, ok := errors.AsType[*statusError](err)
	if !ok {
		return err
	}
	return &refined{kind: kind, detail: s.message}
}

// said returns the status of an answer that was no success, and its message in
// lower case; 0 for anything else.
func said(err error) (status int, message string) {
	if s, ok := errors.AsType[*statusError](err); ok {
		return s.status, strings.ToLower(s.message)
	}
	return 0, ""
}

// explain turns what a library returned into an error for people. What others
// wrote may be anything, the token included; the guard has masked it there.
func (c *Client) explain(ctx context.Context, path string, q question, err error) error {
	e := &Error{Host: c.site.api.Host, Repository: path, Doing: q.doing}
	if ctx.Err() != nil {
		return fmt.Errorf(q.doing+": %[3]w", e.Host, e.Repository, context.Cause(ctx))
	}
	if p, ok := errors.AsType[*pauseError](err); ok {
		e.Kind, e.Detail, e.Until = p.kind, p.detail, p.until
		return e
	}
	if r, ok := errors.AsType[*refined](err); ok {
		e.Kind, e.Detail, e.hint = r.kind, r.detail, r.hint
		return e
	}
	if s, ok := errors.AsType[*statusError](err); ok {
		e.Kind, e.Detail, e.Until = s.kind(), s.detail(), s.until
		e.hint = c.hint(e.Kind, q.need)
		return e
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	n, ok := errors.AsType[*networkError](err)
	switch {
	case ok:
		e.Kind, e.Detail = n.kind, n.detail
	default:
		e.Kind, e.Detail = ErrUnexpected, clean("not the JSON that was expected: "+err.Error(), "", 300)
	}
	return e
}

// clean makes one bounded, printable line without the secret of what others
// wrote.
func clean(s, secret string, size int) string {
	if secret != "" {
		s = strings.ReplaceAll(s, secret, "***")
	}
	return text.Line(s, size)
}
