package reconcile

import (
	"context"
	"errors"
	"sync"
	"time"
)

// heads lets the groups of a pass share look-ups of app heads. A look-up serves
// whoever asked before it started: then it saw what was pushed until they asked.
type heads struct {
	mu      sync.Mutex
	lookups map[headKey]*lookup
	swept   time.Time
}

type headKey struct{ url, branch, identity string }

type lookup struct {
	started time.Time
	done    chan struct{}
	head    string
	err     error
}

// keepHeads is how long a look-up is kept: longer than the groups of one pass
// wait for a worker.
const keepHeads = 10 * time.Minute

// get returns the outcome of a look-up that started at since or later.
func (h *heads) get(ctx context.Context, key headKey, since time.Time, look func() (string, error)) (string, error) {
	h.mu.Lock()
	l := h.lookups[key]
	if l != nil && !l.started.Before(since) {
		h.mu.Unlock()
		select {
		case <-l.done:
			return l.head, l.err
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	now := time.Now()
	l = &lookup{started: now, done: make(chan struct{}), err: errors.New("look-up did not end")}
	if h.lookups == nil {
		h.lookups = map[headKey]*lookup{}
	}
	h.sweep(now)
	h.lookups[key] = l
	h.mu.Unlock()

	defer close(l.done)
	l.head, l.err = look()
	return l.head, l.err
}

func (h *heads) sweep(now time.Time) {
	if now.Sub(h.swept) < keepHeads {
		return
	}
	h.swept = now
	for key, l := range h.lookups {
		if now.Sub(l.started) > keepHeads {
			delete(h.lookups, key)
		}
	}
}
