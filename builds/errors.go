package builds

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/kainlite/gitops-operator/internal/text"
)

// What others decide on. Every [*Error] wraps one of these.
var (
	ErrRateLimited  = errors.New("rate limit exceeded")
	ErrUnauthorized = errors.New("token refused")
	ErrNotVisible   = errors.New("repository not visible with this token")
	ErrUnavailable  = errors.New("API not available")
	ErrUnexpected   = errors.New("unexpected answer")
)

// hints say what to do about each kind.
var hints = map[error]string{
	ErrUnauthorized: "the token must be valid and needs the permission actions: read",
	ErrNotVisible:   "check its name; a private repository needs a token with the permission actions: read",
}

// Error is why the state of a build is not known.
type Error struct {
	Host       string    // the API's
	Repository string    // owner/name
	Kind       error     // one of the above
	Detail     string    // what the API or the network said, one bounded printable line
	Until      time.Time // for ErrRateLimited: the token is not used before
	silent     bool      // no answer came in time
}

func (e *Error) Error() string {
	s := fmt.Sprintf("ask %s for the builds of %s: %s", e.Host, e.Repository, e.Kind)
	if !e.Until.IsZero() {
		s += " until " + e.Until.UTC().Format(time.RFC3339)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if hint := hints[e.Kind]; hint != "" {
		s += " (" + hint + ")"
	}
	return s
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

// IsSilent reports whether an error says that the API did not answer in time:
// whoever asks it next would wait as long.
func IsSilent(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.silent
}

// fail makes an error of what others said, which may be anything, the token
// included.
func (c *Client) fail(q question, kind error, detail string) *Error {
	return &Error{
		Host:       c.api.Host,
		Repository: q.owner + "/" + q.name,
		Kind:       kind,
		Detail:     text.Line(withoutToken(detail, q.token), 300),
	}
}

func (c *Client) limit(q question, until time.Time, detail string) *Error {
	e := c.fail(q, ErrRateLimited, detail)
	e.Until = until
	return e
}

// explain turns a fault of go-github into an error. The response is nil when
// none came.
func (c *Client) explain(q question, response *github.Response, err error) *Error {
	if response == nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		_, redirected := errors.AsType[redirectError](err)
		switch {
		case redirected, errors.Is(err, errTooLarge):
			return c.fail(q, ErrUnexpected, err.Error())
		case errors.Is(err, context.DeadlineExceeded):
			e := c.fail(q, ErrUnavailable, fmt.Sprintf("no answer within %s", c.timeout))
			e.silent = true
			return e
		}
		return c.fail(q, ErrUnavailable, err.Error())
	}
	message, status := said(err), response.StatusCode
	detail := strings.TrimSuffix(fmt.Sprintf("%d %s: %s", status, http.StatusText(status), message), ": ")
	switch {
	case status >= 500:
		return c.fail(q, ErrUnavailable, detail)
	case isLimit(status, response.Header, message):
		until := limitEnd(response.Header, time.Now())
		c.remember(q.token, until)
		return c.limit(q, until, message)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return c.fail(q, ErrUnauthorized, message)
	case status == http.StatusNotFound:
		return c.fail(q, ErrNotVisible, "")
	case status == http.StatusOK:
		return c.fail(q, ErrUnexpected, "not the JSON of workflow runs: "+err.Error())
	}
	return c.fail(q, ErrUnexpected, detail)
}

// said returns what the API has to say about an error.
func said(err error) string {
	switch e := err.(type) {
	case *github.ErrorResponse:
		return e.Message
	case *github.RateLimitError:
		return e.Message
	case *github.AbuseRateLimitError:
		return e.Message
	case *github.TwoFactorAuthError:
		return e.Message
	}
	return ""
}

// withoutToken takes the token out of what others wrote.
func withoutToken(s, token string) string {
	if token == "" {
		return s
	}
	return strings.ReplaceAll(s, token, "***")
}
