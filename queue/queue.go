// Package queue is an in-memory job queue. Jobs that share a group are worked
// on together, by one worker at a time: a worker takes all that is pending for
// a group at once, and whatever arrives meanwhile forms the group's next batch.
// Like group commit in a database, this needs no timer to tune.
//
// The package knows nothing of what the jobs are: it touches no file, no
// network, and nothing else of this project.
package queue

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrClosed says that the queue was closed: it takes no more jobs, and those
// that were not finished never will be.
var ErrClosed = errors.New("queue is closed")

// Job is one unit of work.
type Job[T any] struct {
	Key   string // what the job is about: a key is pending at most once, and runs at most once at a time
	Group string // which jobs are worked on together
	Value T
	// Submitted is set by the queue: when the newest request for the job came,
	// or when a job put off with [Outcome].Again became due.
	Submitted time.Time
	// Requested is set by the queue: when the newest request for the job came,
	// also of a job that was put off since.
	Requested time.Time
	// Pending is set by the queue: since when the job has waited for a worker.
	Pending time.Time
	// Origins are who asked for the job, in whatever terms the submitter has:
	// the queue hands them on. Of a job that several requests have joined, they
	// are those of all of them, up to maxOrigins, the first request's first. They
	// must be comparable.
	Origins []any
}

const maxOrigins = 16

// Outcome is how a job's run ended.
type Outcome[R any] struct {
	Result R
	// Again, if positive, says that the job is not finished and is to run again
	// after this delay. Result is then what it would report meanwhile.
	Again time.Duration
}

// Run works on jobs of one group, in the order in which they were submitted.
// It calls done once per job, by index, as soon as the outcome is known: from
// any goroutine, but before Run returns. Of several calls for a job the first
// counts. ctx is done, with the cause [ErrClosed], when [Queue.Close] waits no
// longer: then Run should return soon, and the jobs it leaves without an outcome
// are dropped.
type Run[T, R any] func(ctx context.Context, group string, jobs []Job[T], done func(i int, o Outcome[R]))

// Options are what a queue needs beside its work.
type Options[T, R any] struct {
	// Failed makes the result of a job that got no outcome, because Run
	// panicked or did not call done for it. Required.
	Failed func(job Job[T], err error) R
	// OnPanic, if set, is told of a panic in Run: the value and the stack.
	OnPanic func(group string, v any, stack []byte)
}

// Queue runs jobs. Its methods may be called from any goroutine.
type Queue[T, R any] struct {
	run     Run[T, R]
	options Options[T, R]
	ctx     context.Context // given to run
	cancel  context.CancelCauseFunc
	wg      sync.WaitGroup // workers and timers

	mu      sync.Mutex
	wake    sync.Cond              // a group joined the line, or the queue was closed
	pending map[string]*task[T, R] // by key; a task is in one of these three
	running map[string]*task[T, R]
	delayed map[string]*task[T, R]
	groups  map[string]*group // those with pending tasks or a worker
	line    list.List         // of *group: those that have pending tasks and no worker
	busy    int               // groups being worked on
	closed  bool
}

// A task is a job on its way through the queue.
type task[T, R any] struct {
	job    Job[T]
	ticket *ticket[R]
	since  time.Time     // when it became pending
	place  *list.Element // in its group's tasks, if it is there
	timer  *time.Timer   // ends its delay
}

type group struct {
	name  string
	tasks list.List     // of *task: pending, in order of submission
	place *list.Element // in the queue's line, if it is there
	busy  bool          // a worker is on it
}

// New starts a queue that works on at most the given number of groups at once.
// It panics if workers is less than 1 or options.Failed is missing. [Queue.Close]
// ends what New starts.
func New[T, R any](workers int, run Run[T, R], options Options[T, R]) *Queue[T, R] {
	if workers < 1 {
		panic("queue: New needs at least one worker")
	}
	if options.Failed == nil {
		panic("queue: New needs Options.Failed")
	}
	q := &Queue[T, R]{
		run:     run,
		options: options,
		pending: make(map[string]*task[T, R]),
		running: make(map[string]*task[T, R]),
		delayed: make(map[string]*task[T, R]),
		groups:  make(map[string]*group),
	}
	q.ctx, q.cancel = context.WithCancelCause(context.Background())
	q.wake.L = &q.mu
	for range workers {
		q.wg.Go(q.work)
	}
	return q
}

// Submit asks for a run of every job that starts after Submit was called. It
// does not block. A job whose key is pending or delayed is joined, with the new value,
// and a delayed one becomes due now; one whose key is running runs again
// afterwards. Workers see all jobs of one Submit at once. The error is
// [ErrClosed] or nil.
func (q *Queue[T, R]) Submit(jobs []Job[T]) (*Pass[R], error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, ErrClosed
	}
	now := time.Now()
	p := &Pass[R]{mu: &q.mu, tickets: make(map[string]*ticket[R], len(jobs))}
	for _, job := range jobs {
		job.Submitted, job.Requested = now, now
		p.tickets[job.Key] = q.submit(job)
	}
	return p, nil
}

// submit makes a job pending; q.mu is held.
func (q *Queue[T, R]) submit(job Job[T]) *ticket[R] {
	t := q.pending[job.Key]
	if t == nil {
		t = q.delayed[job.Key]
		if t == nil {
			t = &task[T, R]{ticket: newTicket[R]()}
		} else {
			q.stopDelay(t)
		}
		t.since = job.Submitted
		q.pending[job.Key] = t
	} else if t.job.Group != job.Group {
		q.leaveGroup(t)
	}
	job.Origins = join(t.job.Origins, job.Origins)
	job.Pending = t.since
	t.job = job
	q.joinGroup(t)
	return t.ticket
}

// join adds origins to those that a job has.
func join(has, more []any) []any {
	if len(has) == 0 {
		return more
	}
	for _, o := range more {
		if len(has) < maxOrigins && !slices.Contains(has, o) {
			has = append(has[:len(has):len(has)], o)
		}
	}
	return has
}

// joinGroup puts a pending task at the end of its group, if it is not there. A
// task whose key runs in another group is put there when that run is over. q.mu
// is held.
func (q *Queue[T, R]) joinGroup(t *task[T, R]) {
	if t.place != nil {
		return
	}
	if r := q.running[t.job.Key]; r != nil && r.job.Group != t.job.Group {
		return
	}
	g := q.groups[t.job.Group]
	if g == nil {
		g = &group{name: t.job.Group}
		q.groups[g.name] = g
	}
	t.place = g.tasks.PushBack(t)
	q.updateLine(g)
}

// leaveGroup takes a pending task out of its group; q.mu is held.
func (q *Queue[T, R]) leaveGroup(t *task[T, R]) {
	if t.place == nil {
		return
	}
	g := q.groups[t.job.Group]
	g.tasks.Remove(t.place)
	t.place = nil
	q.updateLine(g)
}

// updateLine makes a group stand in line exactly while it has pending tasks and
// no worker, and forgets it when it has neither; q.mu is held.
func (q *Queue[T, R]) updateLine(g *group) {
	waits := g.tasks.Len() > 0 && !g.busy
	switch {
	case waits && g.place == nil:
		g.place = q.line.PushBack(g)
		q.wake.Signal()
	case !waits && g.place != nil:
		q.line.Remove(g.place)
		g.place = nil
	}
	if g.tasks.Len() == 0 && !g.busy {
		delete(q.groups, g.name)
	}
}

// Stats is what the queue holds at one moment.
type Stats struct {
	Pending       int           // jobs that wait for a worker
	Delayed       int           // jobs that wait to be run again
	Running       int           // groups being worked on
	OldestPending time.Duration // how long the oldest pending job has waited; 0 if there is none
}

// Stats counts what the queue holds. Its cost grows with the number of pending
// jobs.
func (q *Queue[T, R]) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Stats{Pending: len(q.pending), Delayed: len(q.delayed), Running: q.busy}
	now := time.Now()
	for _, t := range q.pending {
		s.OldestPending = max(s.OldestPending, now.Sub(t.since))
	}
	return s
}

// Close ends the queue: it drops pending and delayed jobs, so that who waits
// for them is told at once, lets the groups being worked on finish, and returns
// when the workers have ended. If ctx is done first, Close cancels the context
// of these groups' Run, waits for them nevertheless, and returns an error that
// wraps ctx's. Further calls wait as well.
func (q *Queue[T, R]) Close(ctx context.Context) error {
	defer q.cancel(ErrClosed)
	q.drop()

	ended := make(chan struct{})
	go func() {
		q.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	cut := q.Stats().Running
	q.cancel(ErrClosed)
	<-ended
	if cut == 0 {
		return nil
	}
	return fmt.Errorf("close queue: groups cut short: %d: %w", cut, ctx.Err())
}

// drop stops taking jobs and gives up those that do not run.
func (q *Queue[T, R]) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, t := range q.pending {
		q.leaveGroup(t)
		t.ticket.end(dropped)
	}
	clear(q.pending)
	for _, t := range q.delayed {
		q.stopDelay(t)
		t.ticket.end(dropped)
	}
	q.wake.Broadcast()
}
