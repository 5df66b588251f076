package queue

import (
	"context"
	"fmt"
	"sync"
)

// Pass is one request: the jobs of one Submit. A pass that nobody waits for is
// simply forgotten; its jobs run all the same.
type Pass[R any] struct {
	mu      *sync.Mutex // the queue's
	tickets map[string]*ticket[R]
}

// Wait waits until every job of the pass is finished or dropped, or ctx is done.
// It returns, by key, the results of the finished jobs, and of the others what
// they reported when they were last put off, or a zero R.
//
// The error is nil if every job is finished. It wraps [ErrClosed] if some were
// dropped because the queue was closed, and otherwise ctx's error. Then nothing
// is cancelled, and Wait may be called again.
func (p *Pass[R]) Wait(ctx context.Context) (results, unfinished map[string]R, err error) {
	for _, t := range p.tickets {
		t.wait(ctx)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	results = make(map[string]R, len(p.tickets))
	unfinished = make(map[string]R)
	err = ctx.Err()
	for key, t := range p.tickets {
		t = t.last()
		if t.state == finished {
			results[key] = t.result
			continue
		}
		unfinished[key] = t.result
		if t.state == dropped {
			err = ErrClosed
		}
	}
	if len(unfinished) == 0 {
		return results, unfinished, nil
	}
	return results, unfinished, fmt.Errorf("wait for jobs: %d of %d not finished: %w", len(unfinished), len(p.tickets), err)
}

// A ticket is what requests hold of a job while it is pending, runs, is delayed
// and runs again. The queue knows tickets and not who holds them, so a request
// that goes away leaves nothing behind.
type ticket[R any] struct {
	ended  chan struct{} // closed when state is no longer open
	state  state         // this and the rest: under the queue's lock until ended
	result R             // what the last run reported
	next   *ticket[R]    // if state is followed
}

type state int

const (
	open     state = iota
	finished       // result is the job's
	dropped        // the queue was closed
	followed       // next stands for this one
)

func newTicket[R any]() *ticket[R] {
	return &ticket[R]{ended: make(chan struct{})}
}

func (t *ticket[R]) end(s state) {
	t.state = s
	close(t.ended)
}

// follow makes who holds t wait for next instead.
func (t *ticket[R]) follow(next *ticket[R]) {
	next.result = t.result
	t.next = next
	t.end(followed)
}

// last returns the ticket that stands for t.
func (t *ticket[R]) last() *ticket[R] {
	for t.state == followed {
		t = t.next
	}
	return t
}

// wait waits until t is finished or dropped, or ctx is done.
func (t *ticket[R]) wait(ctx context.Context) {
	for {
		select {
		case <-t.ended:
		case <-ctx.Done():
			return
		}
		if t.state != followed {
			return
		}
		t = t.next
	}
}
