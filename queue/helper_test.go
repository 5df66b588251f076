package queue

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// batch is one call of Run, which the test ends with end.
type batch struct {
	ctx    context.Context
	group  string
	jobs   []Job[string]
	done   func(int, Outcome[string])
	ended  chan struct{}
	panics any // what to panic with, if anything
}

func (b *batch) end() { close(b.ended) }

// panic makes Run panic with v.
func (b *batch) panic(v any) {
	b.panics = v
	b.end()
}

// finish gives every job its value as its result, and ends.
func (b *batch) finish() {
	for i, job := range b.jobs {
		b.done(i, Outcome[string]{Result: job.Value})
	}
	b.end()
}

// again puts every job off, and ends.
func (b *batch) again(delay time.Duration, meanwhile string) {
	for i := range b.jobs {
		b.done(i, Outcome[string]{Result: meanwhile, Again: delay})
	}
	b.end()
}

// String shows the group and the jobs as key=value.
func (b *batch) String() string {
	s := b.group + ":"
	for _, job := range b.jobs {
		s += " " + job.Key + "=" + job.Value
	}
	return s
}

// bench is a queue whose Run hands each batch to the test.
type bench struct {
	*Queue[string, string]
	t       *testing.T
	batches chan *batch

	mu     sync.Mutex
	failed []string // keys of jobs that Failed was asked for
	panics []string
}

// inBubble runs a test on a queue of that many workers, in a bubble of fake
// time: it moves only when everything waits.
func inBubble(t *testing.T, workers int, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, batches: make(chan *batch)}
		run := func(ctx context.Context, group string, jobs []Job[string], done func(int, Outcome[string])) {
			one := &batch{ctx: ctx, group: group, jobs: jobs, done: done, ended: make(chan struct{})}
			b.batches <- one
			<-one.ended
			if one.panics != nil {
				panic(one.panics)
			}
		}
		b.Queue = New(workers, run, Options[string, string]{Failed: b.onFailed, OnPanic: b.onPanic})
		defer func() {
			if err := b.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		test(t, b)
	})
}

func (b *bench) onFailed(job Job[string], err error) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = append(b.failed, job.Key)
	return job.Key + " failed: " + err.Error()
}

func (b *bench) onPanic(group string, v any, stack []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.panics = append(b.panics, fmt.Sprintf("%s: %v, stack: %t", group, v, strings.Contains(string(stack), "queue.inBubble")))
}

// submit submits jobs written as group, key, value, group, key, value, ...
func (b *bench) submit(words ...string) *Pass[string] {
	b.t.Helper()
	var jobs []Job[string]
	for ; len(words) > 0; words = words[3:] {
		jobs = append(jobs, Job[string]{Group: words[0], Key: words[1], Value: words[2]})
	}
	p, err := b.Submit(jobs)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// expect waits for the next batch and compares it.
func (b *bench) expect(want string) *batch {
	b.t.Helper()
	one := <-b.batches
	if got := one.String(); got != want {
		b.t.Errorf("batch is %q, want %q", got, want)
	}
	return one
}

// expectNone tells that no worker has a batch.
func (b *bench) expectNone() {
	b.t.Helper()
	synctest.Wait()
	select {
	case one := <-b.batches:
		b.t.Fatalf("unexpected batch %q", one)
	default:
	}
}

func (b *bench) expectStats(want Stats) {
	b.t.Helper()
	synctest.Wait()
	if got := b.Stats(); got != want {
		b.t.Errorf("stats are %+v, want %+v", got, want)
	}
}

type results = map[string]string

// expectResults waits for the pass to finish with these results.
func (b *bench) expectResults(p *Pass[string], want results) {
	b.t.Helper()
	got, unfinished, err := p.Wait(b.t.Context())
	if err != nil || len(unfinished) != 0 {
		b.t.Fatalf("unfinished %v, error %v", unfinished, err)
	}
	if !maps.Equal(got, want) {
		b.t.Errorf("results are %v, want %v", got, want)
	}
}

// expectUnfinished tells that the pass has these results, and these jobs that
// are not finished, when everything waits.
func (b *bench) expectUnfinished(p *Pass[string], done, unfinished results) {
	b.t.Helper()
	synctest.Wait()
	ctx, cancel := context.WithCancel(b.t.Context())
	cancel()
	gotDone, gotUnfinished, err := p.Wait(ctx)
	if !maps.Equal(gotDone, done) || !maps.Equal(gotUnfinished, unfinished) {
		b.t.Errorf("results are %v and unfinished %v, want %v and %v", gotDone, gotUnfinished, done, unfinished)
	}
	want := fmt.Sprintf("wait for jobs: %d of %d not finished: context canceled", len(unfinished), len(done)+len(unfinished))
	if err == nil || err.Error() != want {
		b.t.Errorf("error is %v, want %s", err, want)
	}
}

// expectEmpty tells that the queue holds nothing at all.
func (b *bench) expectEmpty() {
	b.t.Helper()
	synctest.Wait()
	b.Queue.mu.Lock()
	defer b.Queue.mu.Unlock()
	if n := []int{len(b.pending), len(b.running), len(b.delayed), len(b.groups), b.line.Len(), b.busy}; !allZero(n) {
		b.t.Errorf("pending, running, delayed, groups, line, busy are %v", n)
	}
}

func allZero(n []int) bool {
	for _, x := range n {
		if x != 0 {
			return false
		}
	}
	return true
}
