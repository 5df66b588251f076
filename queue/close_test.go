package queue

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"
)

// expectDropped tells that the pass is over, with these results, and these jobs
// that the closed queue dropped.
func (b *bench) expectDropped(p *Pass[string], done, unfinished results) {
	b.t.Helper()
	got, gotUnfinished, err := p.Wait(b.t.Context())
	if !errors.Is(err, ErrClosed) {
		b.t.Errorf("error is %v, want %v", err, ErrClosed)
	}
	if !maps.Equal(got, done) || !maps.Equal(gotUnfinished, unfinished) {
		b.t.Errorf("results are %v and unfinished %v, want %v and %v", got, gotUnfinished, done, unfinished)
	}
}

func TestCloseDropsPendingAndDelayedJobsAndTellsTheirWaiters(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		late := b.submit("g", "late", "1")
		b.expect("g: late=1").again(time.Hour, "being built")
		b.expectNone()
		running := b.submit("g", "a", "1", "g", "b", "1")
		one := b.expect("g: a=1 b=1")
		second := b.submit("g", "a", "2", "h", "c", "1")
		moved := b.submit("h", "b", "2")

		closed := make(chan error)
		go func() { closed <- b.Close(t.Context()) }()
		synctest.Wait()
		b.expectDropped(late, results{}, results{"late": "being built"})
		b.expectDropped(second, results{}, results{"a": "", "c": ""})
		b.expectDropped(moved, results{}, results{"b": ""})
		if _, err := b.Submit(nil); err != ErrClosed {
			t.Errorf("error of Submit is %v, want %v", err, ErrClosed)
		}
		b.expectStats(Stats{Running: 1})

		one.done(0, Outcome[string]{Result: "1"})
		one.done(1, Outcome[string]{Result: "being built", Again: time.Second})
		b.expectDropped(running, results{"a": "1"}, results{"b": "being built"})
		one.end()
		if err := <-closed; err != nil {
			t.Error(err)
		}
		b.expectEmpty()
	})
}

func TestCloseLetsRunningGroupsFinish(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, b *bench) {
		p := b.submit("g", "a", "1")
		one := b.expect("g: a=1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		closed := make(chan error)
		go func() { closed <- b.Close(ctx) }()
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if err := one.ctx.Err(); err != nil {
			t.Errorf("cancelled within the grace period: %v", err)
		}
		select {
		case err := <-closed:
			t.Fatalf("Close returned %v before its group ended", err)
		default:
		}
		one.finish()
		if err := <-closed; err != nil {
			t.Error(err)
		}
		b.expectResults(p, results{"a": "1"})
	})
}

func TestCloseCutsGroupsShortWhenItsContextEnds(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, b *bench) {
		p := b.submit("g", "a", "1", "g", "b", "1")
		one := b.expect("g: a=1 b=1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		closed := make(chan error)
		go func() { closed <- b.Close(ctx) }()

		<-one.ctx.Done()
		if waited := time.Since(start); waited != time.Minute {
			t.Errorf("cancelled after %v, want 1m", waited)
		}
		if cause := context.Cause(one.ctx); cause != ErrClosed {
			t.Errorf("cause is %v, want %v", cause, ErrClosed)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case err := <-closed:
			t.Fatalf("Close returned %v before its group ended", err)
		default:
		}
		one.done(1, Outcome[string]{Result: "1"})
		one.end()
		err := <-closed
		if want := "close queue: groups cut short: 1: context deadline exceeded"; err == nil || err.Error() != want {
			t.Errorf("error is %v, want %s", err, want)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error does not wrap %v", context.DeadlineExceeded)
		}
		b.expectDropped(p, results{"b": "1"}, results{"a": ""})
		b.expectEmpty()
	})
}

func TestPanicOfAGroupCutShortStillFailsItsJobs(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		p := b.submit("g", "a", "1")
		one := b.expect("g: a=1")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		closed := make(chan error)
		go func() { closed <- b.Close(ctx) }()
		<-one.ctx.Done()
		one.panic("cut")
		if err := <-closed; !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want %v", err, context.Canceled)
		}
		b.expectResults(p, results{"a": "a failed: run group: panic: cut"})
	})
}

func TestCloseOfAnIdleQueueSucceedsEvenWithoutGracePeriod(t *testing.T) {
	for range 20 {
		inBubble(t, 2, func(t *testing.T, b *bench) {
			p := b.submit("g", "a", "1")
			b.expect("g: a=1").again(time.Hour, "")
			b.expectNone()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := b.Close(ctx); err != nil {
				t.Error(err)
			}
			b.expectDropped(p, results{}, results{"a": ""})
		})
	}
}

func TestCloseWaitsForNoDelay(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		b.submit("g", "a", "1", "g", "b", "1")
		b.expect("g: a=1 b=1").again(time.Hour, "")
		b.expectNone()
		b.submit("g", "a", "2") // before its delay is over
		b.expect("g: a=2").finish()
		start := time.Now()
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("Close took %v", waited)
		}
	})
}

func TestCloseMayBeCalledTwiceAndAtOnce(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		b.submit("g", "a", "1")
		one := b.expect("g: a=1")
		closed := make(chan error)
		for range 2 {
			go func() { closed <- b.Close(t.Context()) }()
		}
		synctest.Wait()
		one.finish()
		for range 2 {
			if err := <-closed; err != nil {
				t.Error(err)
			}
		}
	})
}
