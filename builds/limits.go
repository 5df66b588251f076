package builds

import (
	"crypto/sha256"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kainlite/gitops-operator/internal/retryafter"
)

const (
	// usualLimit is how long GitHub asks to wait when it does not say how long.
	usualLimit = time.Minute
	// longestLimit bounds what a server may ask for; GitHub's limits are by the
	// hour.
	longestLimit = 2 * time.Hour
)

// isLimit says whether an answer refuses for having been asked too much, of
// which GitHub has several ways.
func isLimit(status int, h http.Header, message string) bool {
	if status == http.StatusTooManyRequests {
		return true
	}
	return status == http.StatusForbidden && (h.Get("X-RateLimit-Remaining") == "0" ||
		h.Get("Retry-After") != "" || strings.Contains(strings.ToLower(message), "secondary rate limit"))
}

// limitEnd says when the API may be asked again: the later of the times that
// the answer gives.
func limitEnd(h http.Header, now time.Time) time.Time {
	until := now.Add(retryafter.Parse(h, now, longestLimit))
	if h.Get("X-RateLimit-Remaining") == "0" {
		if seconds, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil {
			if reset := time.Unix(seconds, 0); reset.After(until) {
				until = reset
			}
		}
	}
	if !until.After(now) {
		until = now.Add(usualLimit)
	}
	if latest := now.Add(longestLimit); until.After(latest) {
		until = latest
	}
	return until
}

// remember keeps a token from being used.
func (c *Client) remember(token string, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, end := range c.limits { // so that it holds only the tokens in use
		if !end.After(time.Now()) {
			delete(c.limits, key)
		}
	}
	key := sha256.Sum256([]byte(token))
	if until.After(c.limits[key]) {
		c.limits[key] = until
	}
}

// limited says until when a token is not to be used, if it is not.
func (c *Client) limited(token string) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.limits[sha256.Sum256([]byte(token))]
	return until, until.After(time.Now())
}
