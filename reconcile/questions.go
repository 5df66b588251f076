package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// perServer is how many questions one server is asked at once.
	perServer = 8
	// After a question that was not answered in time, a server is left alone for
	// a while, which doubles for as long as it stays silent: all who wait for it
	// would wait as long, in every pass.
	firstSilence, lastSilence = 30 * time.Second, 5 * time.Minute
	// keepServers is how long a server is remembered that nobody asks.
	keepServers = time.Hour
)

// questions asks servers that may be slow or dead: registries, and what knows of
// builds. A question goes on when the group that asked it does not, and a server
// that does not answer is remembered from pass to pass. The zero value is ready;
// Reconciler.Close waits for what is running.
type questions struct {
	mu      sync.Mutex
	servers map[string]*server
	swept   time.Time
	running sync.WaitGroup
}

// server is what is known of one.
type server struct {
	places chan struct{} // one for each question that it is asked at once
	until  time.Time     // it is not asked before: it was silent
	since  time.Time     // when it was first found silent; zero: it answers
	pause  time.Duration
	used   time.Time
}

// question is one that was asked, by all who want to know the same.
type question[V any] struct {
	started time.Time
	done    chan struct{}
	value   V // once done
	err     error
}

// notAskedError is why a question has no answer: its server answered none of the
// questions before.
type notAskedError struct {
	server       string
	since, until time.Time
}

func (e *notAskedError) Error() string {
	return fmt.Sprintf("%s has not answered since %s and is asked again after %s",
		e.server, e.since.UTC().Format(time.TimeOnly), e.until.UTC().Format(time.TimeOnly)+" UTC")
}

// pose asks a question in the background. silent says of an error whether it
// means that the server did not answer. ctx ends the question. then is called when
// it is over.
func pose[V any](ctx context.Context, qs *questions, name string, silent func(error) bool, look func(context.Context) (V, error), then ...func()) *question[V] {
	q := &question[V]{started: time.Now(), done: make(chan struct{})}
	s := qs.server(name)
	qs.running.Go(func() {
		defer close(q.done)
		for _, f := range then {
			defer f()
		}
		defer func() {
			if v := recover(); v != nil {
				q.err = fmt.Errorf("internal error, please report it: %v", v)
			}
		}()
		select {
		case s.places <- struct{}{}:
			defer func() { <-s.places }()
		case <-ctx.Done():
			q.err = context.Cause(ctx)
			return
		}
		if q.err = qs.mayAsk(name, s); q.err != nil {
			return
		}
		q.value, q.err = look(ctx)
		if ctx.Err() == nil {
			qs.heard(s, q.err != nil && silent(q.err))
		}
	})
	return q
}

// server returns what is known of a server.
func (qs *questions) server(name string) *server {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	now := time.Now()
	if now.Sub(qs.swept) > keepServers {
		qs.swept = now
		for name, s := range qs.servers {
			if now.Sub(s.used) > keepServers && len(s.places) == 0 {
				delete(qs.servers, name)
			}
		}
	}
	s := qs.servers[name]
	if s == nil {
		if qs.servers == nil {
			qs.servers = map[string]*server{}
		}
		s = &server{places: make(chan struct{}, perServer)}
		qs.servers[name] = s
	}
	s.used = now
	return s
}

// mayAsk says why a server is not to be asked now, nil if it may be.
func (qs *questions) mayAsk(name string, s *server) error {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if time.Until(s.until) > 0 {
		return &notAskedError{name, s.since, s.until}
	}
	return nil
}

// heard takes note of whether a server has answered.
func (qs *questions) heard(s *server, silent bool) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	now := time.Now()
	switch {
	case !silent:
		s.since, s.until, s.pause = time.Time{}, time.Time{}, 0
	case s.until.After(now): // the others that were asked at the same time
	default:
		if s.since.IsZero() {
			s.since = now
		}
		s.pause = min(max(2*s.pause, firstSilence), lastSilence)
		s.until = now.Add(s.pause)
	}
}

// answered says whether a question has its answer.
func (q *question[V]) answered() bool {
	select {
	case <-q.done:
		return true
	default:
		return false
	}
}

func isNotAsked(err error) bool {
	_, is := errors.AsType[*notAskedError](err)
	return is
}

// asked are the questions of one group, each of which is posed once.
type asked[K comparable, V any] struct {
	mu    sync.Mutex
	known map[K]*question[V]
}

// answer returns the answer to a question, or errUnanswered once the patience is
// over. Then it is kept in awaited, for when the group asks again: to ask anew
// each time would never end where an answer takes longer than that. since is
// when somebody wanted to know: an answer to an earlier question may be out of
// date.
func answer[K comparable, V any](ctx context.Context, p *patience, all *asked[K, V], awaited map[K]*question[V], key K, since time.Time, ask func() *question[V]) (V, error) {
	all.mu.Lock()
	q := all.known[key]
	if q == nil {
		if q = awaited[key]; q == nil || q.outdated(since) {
			q = ask()
		}
		delete(awaited, key)
		if all.known == nil {
			all.known = map[K]*question[V]{}
		}
		all.known[key] = q
	}
	all.mu.Unlock()
	select {
	case <-q.done:
		p.heard()
		return q.value, q.err
	default:
	}
	var none V
	select {
	case <-q.done:
		p.heard()
		return q.value, q.err
	case <-p.over:
		all.mu.Lock()
		defer all.mu.Unlock()
		awaited[key] = q
		return none, errUnanswered
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// outdated says whether the answer does not serve who wants to know since a
// time. A failure does, however old: the question took long because of it.
func (q *question[V]) outdated(since time.Time) bool {
	return q.answered() && (q.err == nil && q.started.Before(since) || isNotAsked(q.err))
}

// patience ends when nothing has been heard for a while.
type patience struct {
	over  chan struct{} // closed at its end
	while time.Duration
	timer *time.Timer
}

func newPatience(while time.Duration) *patience {
	p := &patience{over: make(chan struct{}), while: while}
	p.timer = time.AfterFunc(while, func() { close(p.over) })
	return p
}

// heard begins the while anew, unless it is over.
func (p *patience) heard() {
	if p.timer.Stop() {
		p.timer.Reset(p.while)
	}
}

func (p *patience) stop() { p.timer.Stop() }

// forgetQuestions forgets those that nobody came back for.
func forgetQuestions[K comparable, V any](qs map[K]*question[V], now time.Time) {
	for key, q := range qs {
		if now.Sub(q.started) > keepUnused {
			delete(qs, key)
		}
	}
}
