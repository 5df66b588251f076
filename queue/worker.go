package queue

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// work is one worker: it serves groups, first come, first served, until the
// queue is closed.
func (q *Queue[T, R]) work() {
	for {
		g, tasks := q.take()
		if g == nil {
			return
		}
		q.workOn(g.name, tasks)
		q.release(g)
	}
}

// take waits for a group and returns it with all its pending tasks; nil when
// the queue is closed.
func (q *Queue[T, R]) take() (*group, []*task[T, R]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.line.Len() == 0 {
		if q.closed {
			return nil, nil
		}
		q.wake.Wait()
	}
	g := q.line.Front().Value.(*group)
	g.busy = true
	q.busy++
	tasks := make([]*task[T, R], 0, g.tasks.Len())
	for e := g.tasks.Front(); e != nil; e = e.Next() {
		t := e.Value.(*task[T, R])
		t.place = nil
		delete(q.pending, t.job.Key)
		q.running[t.job.Key] = t
		tasks = append(tasks, t)
	}
	g.tasks.Init()
	q.updateLine(g)
	return g, tasks
}

// release ends the work on a group: it may stand in line again.
func (q *Queue[T, R]) release(g *group) {
	q.mu.Lock()
	defer q.mu.Unlock()
	g.busy = false
	q.busy--
	q.updateLine(g)
}

// workOn runs tasks of one group and sees to it that each gets an outcome.
func (q *Queue[T, R]) workOn(group string, tasks []*task[T, R]) {
	why := q.call(group, tasks)
	if why == ErrClosed {
		q.abandon(tasks)
		return
	}
	for _, t := range q.withoutOutcome(tasks) {
		q.settle(t, Outcome[R]{Result: q.options.Failed(t.job, why)})
	}
}

// call calls Run. It returns why tasks may be left without an outcome. A panic
// is one reason: one job that nobody foresaw must not end the process.
func (q *Queue[T, R]) call(group string, tasks []*task[T, R]) (why error) {
	defer func() {
		if v := recover(); v != nil {
			why = fmt.Errorf("run group: panic: %v", v)
			if q.options.OnPanic != nil {
				q.options.OnPanic(group, v, debug.Stack())
			}
		}
	}()
	jobs := make([]Job[T], len(tasks))
	for i, t := range tasks {
		jobs[i] = t.job
	}
	q.run(q.ctx, group, jobs, func(i int, o Outcome[R]) { q.settle(tasks[i], o) })
	if q.ctx.Err() != nil {
		return ErrClosed
	}
	return errors.New("run group: ended without an outcome for this job")
}

func (q *Queue[T, R]) withoutOutcome(tasks []*task[T, R]) []*task[T, R] {
	q.mu.Lock()
	defer q.mu.Unlock()
	var left []*task[T, R]
	for _, t := range tasks {
		if q.running[t.job.Key] == t {
			left = append(left, t)
		}
	}
	return left
}

// abandon drops those of the tasks that Run left without an outcome.
func (q *Queue[T, R]) abandon(tasks []*task[T, R]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range tasks {
		if q.running[t.job.Key] == t {
			delete(q.running, t.job.Key)
			t.ticket.end(dropped)
		}
	}
}

// settle takes the outcome of a running task; one that came before counts.
func (q *Queue[T, R]) settle(t *task[T, R], o Outcome[R]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running[t.job.Key] != t {
		return
	}
	delete(q.running, t.job.Key)
	next := q.pending[t.job.Key]
	t.ticket.result = o.Result
	switch {
	case o.Again <= 0:
		t.ticket.end(finished)
	case next != nil:
		t.ticket.follow(next.ticket)
	case q.closed:
		t.ticket.end(dropped)
	default:
		q.delay(t, o.Again)
	}
	if next != nil {
		q.joinGroup(next)
	}
}

// delay puts a task off; q.mu is held. It makes a new one, so that a timer that fires late
// finds its own task gone and not one delayed anew.
func (q *Queue[T, R]) delay(ran *task[T, R], d time.Duration) {
	t := &task[T, R]{job: ran.job, ticket: ran.ticket}
	q.delayed[t.job.Key] = t
	q.wg.Add(1)
	t.timer = time.AfterFunc(d, func() {
		defer q.wg.Done()
		q.due(t)
	})
}

// stopDelay takes a task out of the delayed ones; q.mu is held.
func (q *Queue[T, R]) stopDelay(t *task[T, R]) {
	delete(q.delayed, t.job.Key)
	if t.timer.Stop() {
		q.wg.Done()
	}
}

// due makes a delayed task pending, as if it were submitted now: what was looked
// up for an earlier request is too old for it.
func (q *Queue[T, R]) due(t *task[T, R]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.delayed[t.job.Key] != t {
		return
	}
	job := t.job
	job.Submitted = time.Now()
	q.submit(job)
}
