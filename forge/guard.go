package forge

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"go.uber.org/zap"
)

// maxAnswer bounds an answer, in bytes; 100 pull requests of GitHub take about
// two million.
const maxAnswer = 16 << 20

var errTooLarge = fmt.Errorf("answer is larger than %d MiB", maxAnswer>>20)

// guard stands between a library and the network, for one call. It sends
// requests, and the token, to the API's host only, wherever redirects lead. It
// reads answers whole and bounded, asks again where that may help, makes
// requests conditional, and turns whatever is no success into an error of this
// package: libraries never see the token or an answer that is none.
type guard struct {
	client      *Client
	owner, name string
	write       bool // the call changes something
	refused     string
}

// networkError is what came instead of an answer.
type networkError struct {
	kind   error // ErrUnavailable or ErrUnexpected
	detail string
	host   bool // the host itself was not reached
}

func (e *networkError) Error() string { return e.detail }

// checkRedirect follows what reads. Go would turn what writes into a GET.
func checkRedirect(r *http.Request, via []*http.Request) error {
	switch {
	case len(via) >= 5:
		return &networkError{kind: ErrUnexpected, detail: "too many redirects"}
	case via[0].Method != r.Method:
		return &networkError{kind: ErrUnexpected, detail: "redirect to " + clean(r.URL.Path, "", 200) + ", not followed; if the repository was renamed, use its new name"}
	}
	return nil
}

func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	api := g.client.site.api
	if r.URL.Scheme != api.Scheme || !strings.EqualFold(r.URL.Host, api.Host) {
		to := r.URL.Scheme + "://" + r.URL.Host
		return nil, &networkError{kind: ErrUnexpected, detail: clean("redirect to another host, "+to+", not followed", g.client.credential.secret, 300)}
	}
	if r.Method != http.MethodGet {
		return g.authorized(r)
	}
	key := answerKey{g.client.key, r.URL.String()}
	known, ok := g.client.forges.answers.get(key)
	if ok {
		r = r.Clone(r.Context())
		r.Header.Set("If-None-Match", known.etag)
	}
	response, err := g.retried(r)
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode == http.StatusNotModified:
		return known.response(r)
	}
	g.client.forges.keep(key, response)
	return response, nil
}

// retried asks, and again where that may help.
func (g *guard) retried(r *http.Request) (*http.Response, error) {
	waits := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstWait), backoff.WithMultiplier(2), backoff.WithMaxElapsedTime(0))
	policy := backoff.WithContext(backoff.WithMaxRetries(waits, maxTries-1), r.Context())
	return backoff.RetryNotifyWithData(func() (*http.Response, error) {
		response, err := g.authorized(r)
		n, isNetwork := errors.AsType[*networkError](err)
		s, isStatus := errors.AsType[*statusError](err)
		if isNetwork && n.kind == ErrUnavailable || isStatus && s.kind() == ErrUnavailable {
			return nil, err
		} else if err != nil {
			return nil, backoff.Permanent(err)
		}
		return response, nil
	}, policy, func(err error, wait time.Duration) {
		g.client.forges.log.Debug("asking again", zap.String("host", r.URL.Host), zap.Error(err), zap.Duration("wait", wait))
	})
}

// authorized asks with the token, and once more with a new one if there may be
// one.
func (g *guard) authorized(r *http.Request) (*http.Response, error) {
	for {
		secret, err := g.secret(r.Context())
		if err != nil {
			return nil, err
		}
		response, err := g.once(r, secret)
		status, _ := said(err)
		if status != http.StatusUnauthorized || g.client.credential.source == nil || g.refused != "" {
			return response, err
		}
		g.refused = secret
		if r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			r = r.Clone(r.Context())
			r.Body = body
		}
	}
}

// secret returns what to send.
func (g *guard) secret(ctx context.Context) (string, error) {
	c := g.client.credential
	secret := c.secret
	if c.source != nil {
		token, err := c.source.Token(ctx, g.owner, g.name, g.refused)
		if err != nil {
			return "", &refined{kind: sourceKind(err), detail: clean(err.Error(), token, 600)}
		}
		secret = token
	}
	if !sendable(secret) {
		return "", &refined{kind: ErrUnauthorized, detail: "it holds characters that no token has", hint: "look at the Secret: there may be a line break or a quotation mark in it"}
	}
	return secret, nil
}

// sourceKind is the kind of a failure to get a token: a source may use this
// package's kinds.
func sourceKind(err error) error {
	for kind := range outcomes {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return ErrUnauthorized
}

// authorize adds the credential, in the form that the host takes.
func (g *guard) authorize(r *http.Request, secret string) {
	user := g.client.credential.user
	kind := g.client.site.Kind
	switch {
	case secret == "":
	case user != "" && (kind == Gitea || kind == Bitbucket && user != "x-token-auth"):
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+secret)))
	default:
		r.Header.Set("Authorization", "Bearer "+secret)
	}
}

// once asks once. The answer is a success, or not modified.
func (g *guard) once(r *http.Request, secret string) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), g.client.forges.timeout)
	defer cancel()
	r = r.Clone(ctx)
	r.Header.Set("User-Agent", "gitops-operator")
	r.Header.Del("Private-Token")
	r.Header.Del("Authorization")
	g.authorize(r, secret)
	response, err := g.client.forges.transport.RoundTrip(r)
	if err != nil {
		return nil, g.network(ctx, err, secret)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, g.network(ctx, fmt.Errorf("read answer: %w", err), secret)
	}
	if len(body) > maxAnswer {
		return nil, &networkError{kind: ErrUnexpected, detail: errTooLarge.Error()}
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	response.ContentLength = int64(len(body))
	conditional := r.Header.Get("If-None-Match") != ""
	switch status := response.StatusCode; {
	case status >= 400, status < 200, status == http.StatusAccepted,
		status == http.StatusNotModified && !conditional:
		return nil, newStatusError(response, body, secret)
	}
	for name := range response.Header { // go-github would count along, and refuse by itself
		if strings.HasPrefix(strings.ToLower(name), "x-ratelimit-") || strings.HasPrefix(strings.ToLower(name), "ratelimit-") {
			response.Header.Del(name)
		}
	}
	return response, nil
}

// network explains why there was no answer.
func (g *guard) network(ctx context.Context, err error, secret string) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return &networkError{kind: ErrUnavailable, detail: fmt.Sprintf("no answer within %s", g.client.forges.timeout)}
	}
	_, dns := errors.AsType[*net.DNSError](err)
	op, ok := errors.AsType[*net.OpError](err)
	return &networkError{kind: ErrUnavailable, detail: clean(err.Error(), secret, 300), host: dns || ok && op.Op == "dial"}
}
