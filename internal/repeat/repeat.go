// Package repeat keeps a message that stays the same from being said over and
// over: in the log, in a chat, as an Event. It says what is new, says it again
// after a while, and tells when it is over. It keeps that in memory, bounded,
// and touches nothing else.
package repeat

import (
	"container/list"
	"sync"
	"time"
)

// most is how many subjects are remembered where Filter.Most does not say.
const most = 20_000

// Filter remembers what was last said about each subject. The zero value says
// the same thing once and never again. Its methods may be called from any
// goroutine; its fields are set before the first call.
type Filter struct {
	// Every is after how long the same thing is said again. Zero: never.
	Every time.Duration
	// Forget is after how long a subject is forgotten that nobody has mentioned
	// again. Zero: not by time.
	Forget time.Duration
	// Most bounds the subjects that are remembered: of more, the one that came up
	// longest ago is forgotten. Zero: 20,000.
	Most int
	// Same reduces a text to what makes it the same as another. Nil: only equal
	// texts are.
	Same func(text string) string

	mu    sync.Mutex
	known map[string]*list.Element
	order list.List // of *entry, the one that came up last at the back
}

type entry struct {
	about string
	text  string
	since time.Time // the first of an unbroken row of texts
	said  time.Time
	last  time.Time
	quiet int
}

// Say reports whether a text about a subject is to be said: it is new, or it has
// not been said for long. quiet is how often it was not, since it last was.
func (f *Filter) Say(about, text string) (say bool, quiet int) {
	if f.Same != nil {
		text = f.Same(text)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.sweep(now)
	e := f.find(about)
	if e == nil || e.text != text {
		if e == nil {
			e = f.add(about, now)
		}
		e.text, e.said, e.last, e.quiet = text, now, now, 0
		return true, 0
	}
	e.last = now
	if f.Every == 0 || now.Sub(e.said) < f.Every {
		e.quiet++
		return false, 0
	}
	quiet, e.quiet, e.said = e.quiet, 0, now
	return true, quiet
}

// Over forgets a subject, so that whatever is said of it next is new. It tells
// since when there was something to say, if there was.
func (f *Filter) Over(about string) (since time.Time, was bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.find(about)
	if e == nil {
		return time.Time{}, false
	}
	f.remove(about)
	return e.since, true
}

// Undo forgets a text that could not be said after all, unless another one about
// the same subject came after it.
func (f *Filter) Undo(about, text string) {
	if f.Same != nil {
		text = f.Same(text)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.find(about); e != nil && e.text == text {
		f.remove(about)
	}
}

// find returns what is known of a subject, and makes it the one that came up
// last; f.mu is held.
func (f *Filter) find(about string) *entry {
	at := f.known[about]
	if at == nil {
		return nil
	}
	f.order.MoveToBack(at)
	return at.Value.(*entry)
}

// add makes room for a subject; f.mu is held.
func (f *Filter) add(about string, now time.Time) *entry {
	if f.known == nil {
		f.known = map[string]*list.Element{}
	}
	limit := f.Most
	if limit <= 0 {
		limit = most
	}
	for len(f.known) >= limit {
		f.remove(f.order.Front().Value.(*entry).about)
	}
	e := &entry{about: about, since: now}
	f.known[about] = f.order.PushBack(e)
	return e
}

// remove forgets a subject; f.mu is held.
func (f *Filter) remove(about string) {
	f.order.Remove(f.known[about])
	delete(f.known, about)
}

// sweep forgets what nobody has mentioned for long; f.mu is held.
func (f *Filter) sweep(now time.Time) {
	if f.Forget == 0 {
		return
	}
	for at := f.order.Front(); at != nil; at = f.order.Front() {
		e := at.Value.(*entry)
		if now.Sub(e.last) <= f.Forget {
			return
		}
		f.remove(e.about)
	}
}
