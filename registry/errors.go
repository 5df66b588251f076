package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/kainlite/gitops-operator/internal/text"
)

// What others decide on. Every *Error wraps one of these, except where the
// caller's context was cancelled.
var (
	ErrInvalid      = errors.New("invalid image reference")
	ErrUnauthorized = errors.New("access denied")
	ErrRateLimited  = errors.New("rate limit reached")
	ErrUnavailable  = errors.New("registry not available")
	ErrUnexpected   = errors.New("unexpected answer")
)

// Error is why it is not known whether a registry has an image, or which tags
// there are. Its text is one line, without credentials, and the same for the
// same failure.
type Error struct {
	Op         string        // what was tried: "check image", "list tags of"
	Image      string        // as given
	Registry   string        // its host; empty with ErrInvalid
	Kind       error         // one of the above, or nil when cancelled
	Detail     string        // what happened, one bounded printable line
	Hint       string        // what to do
	RetryAfter time.Duration // how long the registry asks to be left alone, or 0
	silent     bool          // no answer came in time
	final      bool          // another try is of no use
	cause      error         // the context's
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op + " " + e.Image)
	if e.Registry != "" {
		b.WriteString(" in registry " + e.Registry)
	}
	if e.Kind != nil {
		b.WriteString(": " + e.Kind.Error())
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, err := range []error{e.Kind, e.cause} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// IsSilent reports whether an error says that a registry did not answer in time,
// rather than that it is away or refuses: whoever asks it next would wait as
// long.
func IsSilent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.silent
}

// What an image must be.
const (
	wantTag  = "it must be NAME:TAG or HOST/NAME:TAG"
	wantName = "it must be NAME or HOST/NAME, without a tag"
)

func invalid(op, image, detail, want string) *Error {
	return &Error{Op: op, Image: line(fmt.Sprintf("%q", image)), Kind: ErrInvalid, Detail: line(detail), Hint: want}
}

// ended is the error when the caller's context is over; last is the failure of
// the last whole try, if there was one.
func (q *question) ended(cause error, last *Error) *Error {
	e := &Error{Op: q.op, Image: q.image, Registry: q.host, Detail: cause.Error(), cause: cause}
	switch {
	case errors.Is(cause, context.Canceled):
	case last != nil:
		e.Kind, e.Detail, e.Hint, e.RetryAfter, e.silent = last.Kind, last.Detail, last.Hint, last.RetryAfter, last.silent
	default:
		e.Kind, e.Detail, e.silent = ErrUnavailable, "no answer in time", true
		e.Hint = q.hint(e.Kind)
	}
	return e
}

// failure says what went wrong in a try.
func (q *question) failure(w *wire, err error) *Error {
	e := &Error{Op: q.op, Image: q.image, Registry: q.host, Kind: ErrUnavailable}
	var (
		certificate *tls.CertificateVerificationError
		status      *transport.Error
		plain       *plainError
		network     *url.Error
		refused     refusal
		tooBig      *http.MaxBytesError
		netError    net.Error
	)
	switch {
	case errors.As(err, &certificate):
		e.Detail, e.final = certificate.Error(), true
		e.Hint = "if its certificate is signed by a private CA, name the CA's file in SSL_CERT_FILE"
	case errors.As(err, &status):
		e.Detail, e.Kind = q.status(status)
		e.RetryAfter = w.wanted()
		if e.Kind == ErrUnexpected && len(status.Errors) > 0 {
			e.Hint = "see the registry's reason"
		}
	case errors.Is(err, context.DeadlineExceeded):
		e.Detail, e.silent = fmt.Sprintf("no answer within %s", q.client.timeout), true
	case errors.As(err, &tooBig):
		e.Kind, e.Detail = ErrUnexpected, fmt.Sprintf("more than %d MiB", tooBig.Limit>>20)
	case errors.As(err, &plain):
		e.Detail = withoutAddress(plain.err)
	case errors.As(err, &network):
		e.Detail = withoutAddress(network.Err)
		switch {
		case errors.As(network.Err, &refused):
			e.Kind = ErrUnexpected
		case errors.Is(network.Err, http.ErrSchemeMismatch):
			e.Detail, e.final = "it does not speak https", true
			e.Hint = "if plain http is good enough here, allow it with --insecure-registry " + q.host
		}
	case errors.As(err, &netError), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		e.Detail = withoutAddress(err)
	default:
		// The library's own words. After the first line, they may be the whole
		// of a token server's answer.
		e.Kind = ErrUnexpected
		e.Detail, _, _ = strings.Cut(err.Error(), "\n")
	}
	if errors.As(err, &network) && !errors.As(err, &status) {
		if u, err := url.Parse(network.URL); err == nil && u.Host != q.repository.RegistryStr() {
			e.Detail = u.Host + ": " + e.Detail
		}
	}
	e.Detail = line(w.scrub(e.Detail))
	if e.Kind == ErrUnexpected {
		e.final = true
	}
	if e.Hint == "" {
		e.Hint = q.hint(e.Kind)
	}
	return e
}

// status says what a refusal means, and what the server says about it.
func (q *question) status(s *transport.Error) (detail string, kind error) {
	switch {
	case s.StatusCode == http.StatusUnauthorized || s.StatusCode == http.StatusForbidden:
		kind = ErrUnauthorized
	case s.StatusCode == http.StatusTooManyRequests:
		kind = ErrRateLimited
	case s.StatusCode >= 500 || s.StatusCode == http.StatusRequestTimeout:
		kind = ErrUnavailable
	default:
		kind = ErrUnexpected
	}
	detail = strings.TrimSpace(fmt.Sprintf("%d %s", s.StatusCode, http.StatusText(s.StatusCode)))
	if host := s.Request.URL.Host; host != q.repository.RegistryStr() {
		detail += " from " + host
	}
	for _, d := range s.Errors {
		detail += fmt.Sprintf(", %s: %s", d.Code, d.Message)
	}
	return detail, kind
}

// hint says what to do about a kind of failure.
func (q *question) hint(kind error) string {
	switch kind {
	case ErrUnauthorized:
		switch {
		case q.own:
			return "it was asked with the pod's own identity: check that this may read the repository, and that it exists"
		case !q.given:
			return "it was asked without credentials: give some, or check that the repository exists"
		case q.auth == authn.Anonymous:
			return "the credentials given have none for this registry: add them, or check that the repository exists"
		}
		return "check that the credentials are right and may read this repository, and that it exists"
	case ErrRateLimited:
		return "wait, or use credentials with a higher limit"
	case ErrUnavailable:
		return "check that it runs and can be reached from here"
	}
	return "check that " + q.host + " is a container registry"
}

// withoutAddress leaves out the addresses of a connection, which differ each
// time: the same failure is to read the same.
func withoutAddress(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

const maxLine = 300 // bytes

// line makes one bounded, printable line of what others wrote.
func line(s string) string { return text.Line(strings.Join(strings.Fields(s), " "), maxLine) }
