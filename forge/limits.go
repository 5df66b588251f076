package forge

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// usualLimit is how long GitHub asks to wait when it does not say how long.
	usualLimit = time.Minute
	// longestLimit bounds what a server may ask for; the hosts' limits are by
	// the minute and by the hour.
	longestLimit = 2 * time.Hour
	// outage is how long a host that does not answer is left alone: a pass may
	// have a thousand questions for it, and each would wait in vain.
	outage = 10 * time.Second
)

// isLimit says whether an answer refuses for having been asked too much, of
// which GitHub has several ways.
func isLimit(status int, h http.Header, message string) bool {
	if status == http.StatusTooManyRequests {
		return true
	}
	return status == http.StatusForbidden && (h.Get("X-RateLimit-Remaining") == "0" ||
		h.Get("Retry-After") != "" || strings.Contains(strings.ToLower(message), "rate limit"))
}

// limitEnd says when the API may be asked again: the later of the times that
// the answer gives.
func limitEnd(h http.Header, now time.Time) time.Time {
	var until time.Time
	if s := h.Get("Retry-After"); s != "" {
		if seconds, err := strconv.Atoi(s); err == nil {
			until = now.Add(time.Duration(max(0, min(seconds, int(longestLimit/time.Second)))) * time.Second)
		} else if at, err := http.ParseTime(s); err == nil {
			until = at
		}
	}
	for _, prefix := range []string{"X-RateLimit-", "RateLimit-"} { // GitHub's, GitLab's
		if h.Get(prefix+"Remaining") != "0" {
			continue
		}
		if seconds, err := strconv.ParseInt(h.Get(prefix+"Reset"), 10, 64); err == nil {
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

// pauses say whom not to ask for a while: the host when it limits or is not
// there, a repository when the host does not answer about it.
type pauses struct {
	mu  sync.Mutex
	all pauseError
	one map[string]pauseError // by repository
}

// pauseError is a failure that holds on.
type pauseError struct {
	kind   error
	detail string
	until  time.Time // of a limit; else when to ask again
	end    time.Time
}

func (e *pauseError) Error() string { return e.detail }

// check returns an error while a repository is not to be asked about.
func (p *pauses) check(repository string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range []pauseError{p.all, p.one[repository]} {
		if e.end.After(time.Now()) {
			return &e
		}
	}
	return nil
}

// remember takes down a failure that others would run into as well.
func (p *pauses) remember(repository string, explained, cause error) {
	e, ok := errors.AsType[*Error](explained)
	if !ok {
		return
	}
	now := time.Now()
	pause := pauseError{kind: e.Kind, until: e.Until, end: e.Until}
	n, network := errors.AsType[*networkError](cause)
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, old := range p.one { // so that it holds only those that count
		if !old.end.After(now) {
			delete(p.one, name)
		}
	}
	switch {
	case e.Kind == ErrRateLimited:
		if pause.end.After(p.all.end) {
			p.all = pause
		}
	case e.Kind == ErrUnavailable:
		pause.detail, pause.end = e.Detail, now.Add(outage)
		if network && n.host {
			if pause.end.After(p.all.end) {
				p.all = pause
			}
			return
		}
		if p.one == nil {
			p.one = make(map[string]pauseError)
		}
		p.one[repository] = pause
	}
}
