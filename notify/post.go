package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/kainlite/gitops-operator/internal/retryafter"
	"github.com/kainlite/gitops-operator/internal/text"
)

const (
	maxTries   = 3
	firstWait  = time.Second // between tries; doubles
	longestAsk = time.Minute // the longest Retry-After that is honoured
	maxAnswer  = 4 << 10     // bytes read
	maxExcerpt = 200         // bytes logged
	userAgent  = "gitops-operator"
)

// Header marks the requests. What receives one must not start work that may fail
// and be told of: a webhook may point anywhere, even at an operator.
const Header = "Gitops-Operator-Notification"

// post sends a text, in up to three tries. The error holds nothing of the URL.
func (n *Notifier) post(ctx context.Context, u *url.URL, text string) error {
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return err
	}
	waits := &patience{BackOff: backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstWait), backoff.WithMultiplier(2), backoff.WithMaxElapsedTime(0))}
	return backoff.Retry(func() error {
		again, wait, err := n.try(ctx, u, body)
		if !again {
			return backoff.Permanent(err)
		}
		waits.asked = wait
		return err
	}, backoff.WithContext(backoff.WithMaxRetries(waits, maxTries-1), ctx))
}

// patience waits for as long as the webhook asked for, if that is longer.
type patience struct {
	backoff.BackOff
	asked time.Duration
}

func (p *patience) NextBackOff() time.Duration { return max(p.BackOff.NextBackOff(), p.asked) }

// try sends a body once. If it fails, again says whether another try may help,
// and wait for how long the webhook asked to be left alone.
func (n *Notifier) try(ctx context.Context, u *url.URL, body []byte) (again bool, wait time.Duration, err error) {
	select {
	case n.slots <- struct{}{}:
		defer func() { <-n.slots }()
	case <-ctx.Done():
		return false, 0, ctx.Err()
	}
	limited, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return false, 0, errors.New("webhook URL is not usable")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", userAgent)
	request.Header.Set(Header, "true")
	response, err := n.client.Do(request)
	if errors.Is(err, context.DeadlineExceeded) {
		return true, 0, fmt.Errorf("no answer within %s", n.timeout)
	}
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL
		}
		return true, 0, errors.New(excerpt(err.Error(), u))
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode/100 == 2 {
		return false, 0, nil
	}
	err = fmt.Errorf("webhook answered %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	if s := excerpt(string(said), u); s != "" {
		err = fmt.Errorf("%w: %s", err, s)
	}
	again = response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests
	return again, retryafter.Parse(response.Header, time.Now(), longestAsk), err
}

// excerpt makes a short line of what a server said, without what is secret in
// the URL, which it may repeat.
func excerpt(s string, u *url.URL) string {
	s = text.Line(s, maxAnswer)
	password, _ := u.User.Password()
	secrets := []string{u.Path, u.EscapedPath(), u.RawQuery, u.User.Username(), password}
	secrets = append(secrets, strings.Split(u.Path, "/")...)
	secrets = append(secrets, strings.Split(u.EscapedPath(), "/")...)
	for _, values := range u.Query() {
		secrets = append(secrets, values...)
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range secrets {
		if secret = text.Line(secret, maxAnswer); len(secret) >= 6 { // shorter ones are words
			s = strings.ReplaceAll(s, secret, "***")
		}
	}
	return text.Line(s, maxExcerpt)
}
