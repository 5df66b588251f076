package githubapp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/kainlite/gitops-operator/internal/text"
)

const (
	maxAnswer = 1 << 20 // bytes
	firstWait = time.Second
)

// Error is why there is no token.
type Error struct {
	App    string
	Host   string // the API's
	Owner  string // whose installation was asked for
	Status int    // of the answer; 0 if none came
	Detail string // what GitHub or the network said, one bounded printable line
	hint   string
}

func (e *Error) Error() string {
	s := fmt.Sprintf("get a token of GitHub App %s for %s from %s: %s", e.App, e.Owner, e.Host, e.Detail)
	if e.hint != "" {
		s += " (" + e.hint + ")"
	}
	return s
}

// find looks the installation up: of the repository, or else of its owner.
func (s *Source) find(ctx context.Context, owner, name string) (int64, error) {
	var installation struct{ ID int64 }
	paths := []string{"repos/" + url.PathEscape(owner) + "/" + url.PathEscape(name) + "/installation"}
	if name == "" {
		paths = []string{"orgs/" + url.PathEscape(owner) + "/installation", "users/" + url.PathEscape(owner) + "/installation"}
	}
	var err error
	for _, path := range paths {
		err = s.ask(ctx, http.MethodGet, path, owner, &installation)
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusNotFound {
			break
		}
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound {
		e.hint = "is the App installed there, for this repository?"
	}
	if err == nil && installation.ID == 0 {
		return 0, s.fail(owner, http.StatusOK, "the answer has no installation")
	}
	return installation.ID, err
}

// create gets a token.
func (s *Source) create(ctx context.Context, installation int64, owner string) (token, error) {
	var answer struct {
		Token     string
		ExpiresAt time.Time `json:"expires_at"`
	}
	err := s.ask(ctx, http.MethodPost, fmt.Sprintf("app/installations/%d/access_tokens", installation), owner, &answer)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound {
		e.hint = fmt.Sprintf("App %s has no installation %d: see githubAppInstallationID", s.app, installation)
	}
	if err != nil {
		return token{}, err
	}
	if answer.Token == "" || !answer.ExpiresAt.After(time.Now()) {
		return token{}, s.fail(owner, http.StatusCreated, "the answer has no token that holds; is this machine's clock right?")
	}
	return token{answer.Token, answer.ExpiresAt}, nil
}

// ask asks as the App, and again where that may help: a token that was made and
// lost ends by itself.
func (s *Source) ask(ctx context.Context, method, path, owner string, out any) error {
	waits := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstWait), backoff.WithMultiplier(2), backoff.WithMaxElapsedTime(0))
	err := backoff.Retry(func() error {
		err := s.once(ctx, method, path, owner, out)
		if e, ok := errors.AsType[*Error](err); ok && e.Status != 0 && e.Status < 500 {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(backoff.WithMaxRetries(waits, maxTries-1), ctx))
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("get a token of GitHub App %s: %w", s.app, context.Cause(ctx))
	}
	return err
}

// noRedirects keeps the JWT at its host.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (s *Source) once(ctx context.Context, method, path, owner string, out any) error {
	signed, err := s.sign()
	if err != nil {
		return backoff.Permanent(err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.api.String()+path, nil)
	if err != nil {
		return backoff.Permanent(err)
	}
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("Authorization", "Bearer "+signed)
	r.Header.Set("User-Agent", "gitops-operator")
	client := http.Client{Transport: s.transport, CheckRedirect: noRedirects}
	response, err := client.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return s.fail(owner, 0, fmt.Sprintf("no answer within %s", s.timeout))
		}
		return s.fail(owner, 0, err.Error())
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return s.fail(owner, 0, "read answer: "+err.Error())
	}
	if response.StatusCode/100 != 2 {
		return s.refused(owner, response.StatusCode, body)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return s.fail(owner, response.StatusCode, "unexpected answer: not JSON")
	}
	return nil
}

// refused explains an answer that is no success.
func (s *Source) refused(owner string, status int, body []byte) error {
	var said struct{ Message string }
	_ = json.Unmarshal(body, &said) // a message is welcome, and not needed
	e := s.fail(owner, status, strings.TrimSuffix(fmt.Sprintf("%d %s: %s", status, http.StatusText(status), said.Message), ": "))
	switch {
	case status == http.StatusUnauthorized:
		e.hint = "githubAppID and githubAppPrivateKey must belong together, and this machine's clock must be right"
	case status == http.StatusForbidden:
		e.hint = "the installation may be suspended"
	case status/100 == 3:
		e.hint = "redirects are not followed: see githubAppBaseURL"
	}
	return e
}

func (s *Source) fail(owner string, status int, detail string) *Error {
	return &Error{App: s.app, Host: s.api.Host, Owner: owner, Status: status, Detail: text.Line(detail, 300)}
}
