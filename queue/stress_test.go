package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	stressWorkers    = 3
	stressGroups     = 5
	stressKeys       = 40
	stressSubmitters = 40
	stressRequests   = 15 // per submitter
)

// stressed is what a run tells of itself.
type stressed struct {
	key       string
	value     int       // of the job it ran
	started   int       // when, on stress.clock
	submitted time.Time // of the job it ran
}

// stress watches a queue that many submitters use at random.
type stress struct {
	t *testing.T
	q *Queue[int, stressed]

	submitting sync.Mutex // so that values grow in the order of submission

	mu     sync.Mutex
	clock  int             // counts submissions and runs
	groups map[string]bool // being worked on
	keys   map[string]bool // being run
	latest map[string]int  // when a key's latest run started
}

func TestStressEveryRequestGetsARunThatStartedAfterIt(t *testing.T) {
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			s := newStress(t)
			s.submitAll()
			for s.q.Stats() != (Stats{}) { // jobs of requests that went away
				time.Sleep(time.Minute)
				synctest.Wait()
			}
			if n := len(s.q.running) + len(s.q.groups) + s.q.line.Len(); n != 0 {
				t.Errorf("%d entries left behind", n)
			}
			if err := s.q.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStressEveryWaitReturnsWhenTheQueueIsClosedMidway(t *testing.T) {
	for i := range 10 {
		synctest.Test(t, func(t *testing.T) {
			s := newStress(t)
			closed := make(chan error)
			go func() {
				time.Sleep(time.Duration(i+1) * 5 * time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				closed <- s.q.Close(ctx)
			}()
			s.submitAll()
			if err := <-closed; err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.groups) != 0 || s.q.Stats() != (Stats{}) {
				t.Errorf("after Close: groups %v, stats %+v", s.groups, s.q.Stats())
			}
		})
	}
}

func newStress(t *testing.T) *stress {
	s := &stress{t: t, groups: make(map[string]bool), keys: make(map[string]bool), latest: make(map[string]int)}
	s.q = New(stressWorkers, s.run, Options[int, stressed]{Failed: s.failed})
	return s
}

// submitAll returns when every submitter has got what it waits for.
func (s *stress) submitAll() {
	var wg sync.WaitGroup
	for range stressSubmitters {
		wg.Go(func() {
			for range stressRequests {
				s.request()
				time.Sleep(upTo(5 * time.Second))
			}
		})
	}
	wg.Wait()
}

// request submits some jobs and waits for them: at first perhaps not long
// enough, and then perhaps not again.
func (s *stress) request() {
	s.submitting.Lock()
	value, before := s.tick(), time.Now()
	var jobs []Job[int]
	for range 1 + rand.IntN(stressKeys/4) {
		key := rand.IntN(stressKeys)
		group := key % stressGroups
		if rand.IntN(10) == 0 {
			group = rand.IntN(stressGroups)
		}
		jobs = append(jobs, Job[int]{Key: strconv.Itoa(key), Group: strconv.Itoa(group), Value: value})
	}
	p, err := s.q.Submit(jobs)
	s.submitting.Unlock()
	if err != nil {
		if err != ErrClosed {
			s.t.Errorf("submit: %v", err)
		}
		return
	}

	if rand.IntN(3) == 0 {
		ctx, cancel := context.WithTimeout(s.t.Context(), upTo(3*time.Second))
		defer cancel()
		s.check(ctx, p, jobs, value, before)
		if rand.IntN(2) == 0 {
			return
		}
	}
	if err := s.check(s.t.Context(), p, jobs, value, before); err != nil && !errors.Is(err, ErrClosed) {
		s.t.Errorf("wait: %v", err)
	}
}

// check waits and compares each result with the request.
func (s *stress) check(ctx context.Context, p *Pass[stressed], jobs []Job[int], value int, before time.Time) error {
	got, unfinished, err := p.Wait(ctx)
	if (len(unfinished) == 0) != (err == nil) {
		s.t.Errorf("unfinished %v, error %v", unfinished, err)
	}
	for _, job := range jobs {
		r, ok := got[job.Key]
		if _, not := unfinished[job.Key]; ok == not {
			s.t.Errorf("job %s: finished %t, unfinished %t", job.Key, ok, not)
		}
		if ok && (r.key != job.Key || r.value < value || r.started <= value || r.submitted.Before(before)) {
			s.t.Errorf("job %s of request %d, %v: stale result %+v", job.Key, value, before, r)
		}
	}
	return err
}

// run ends each job in one of the ways there are.
func (s *stress) run(ctx context.Context, group string, jobs []Job[int], done func(int, Outcome[stressed])) {
	started := s.enter(group, jobs)
	left := make(map[string]bool) // keys without an outcome
	for _, job := range jobs {
		left[job.Key] = true
	}
	var wg sync.WaitGroup
	defer s.leave(group, left)
	defer wg.Wait()
	for _, i := range rand.Perm(len(jobs)) {
		if ctx.Err() != nil || rand.IntN(50) == 0 {
			return // without an outcome for the rest
		}
		if rand.IntN(100) == 0 {
			panic("stress")
		}
		job := jobs[i]
		o := Outcome[stressed]{Result: stressed{job.Key, job.Value, started, job.Submitted}}
		if rand.IntN(4) == 0 {
			o.Again = upTo(10 * time.Second)
		}
		delete(left, job.Key)
		end := func() {
			time.Sleep(upTo(200 * time.Millisecond))
			s.leaveKey(job.Key)
			done(i, o)
		}
		if rand.IntN(2) == 0 {
			wg.Go(end)
		} else {
			end()
		}
	}
}

func (s *stress) failed(job Job[int], _ error) stressed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return stressed{job.Key, job.Value, s.latest[job.Key], job.Submitted}
}

func (s *stress) tick() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	return s.clock
}

func (s *stress) enter(group string, jobs []Job[int]) (started int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[group] {
		s.t.Errorf("group %s runs twice at once", group)
	}
	s.groups[group] = true
	if len(s.groups) > stressWorkers {
		s.t.Errorf("%d groups run at once", len(s.groups))
	}
	s.clock++
	for _, job := range jobs {
		if s.keys[job.Key] {
			s.t.Errorf("key %s runs twice at once", job.Key)
		}
		if job.Group != group {
			s.t.Errorf("job of group %s runs in group %s", job.Group, group)
		}
		s.keys[job.Key] = true
		s.latest[job.Key] = s.clock
	}
	return s.clock
}

func (s *stress) leaveKey(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, key)
}

func (s *stress) leave(group string, left map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, group)
	for key := range left {
		delete(s.keys, key)
	}
}

// upTo is a random duration, at least one nanosecond.
func upTo(d time.Duration) time.Duration {
	return 1 + rand.N(d)
}
