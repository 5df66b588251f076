package queue

import (
	"testing"
	"time"
)

func TestJobPutOffRunsAgainAfterItsDelay(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		start := time.Now()
		p := b.submit("g", "a", "1")
		b.expect("g: a=1").again(10*time.Second, "being built")
		b.expectStats(Stats{Delayed: 1})
		b.expectUnfinished(p, results{}, results{"a": "being built"})

		again := b.expect("g: a=1")
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("ran again after %v, want 10s", waited)
		}
		if got := again.jobs[0].Submitted; !got.Equal(time.Now()) {
			t.Errorf("submitted %v, want the time it became due, %v", got, time.Now())
		}
		b.expectUnfinished(p, results{}, results{"a": "being built"})
		again.finish()
		b.expectResults(p, results{"a": "1"})
		b.expectEmpty()
	})
}

func TestJobPutOffHoldsNoWorker(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		p := b.submit("g", "a", "1")
		b.expect("g: a=1").again(time.Minute, "")
		b.expectNone()
		other := b.submit("g", "b", "1", "h", "c", "1")
		start := time.Now()
		b.expect("g: b=1").finish()
		b.expect("h: c=1").finish()
		b.expectResults(other, results{"b": "1", "c": "1"})
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %v for a job that was put off", waited)
		}
		b.expect("g: a=1").finish()
		b.expectResults(p, results{"a": "1"})
	})
}

func TestJobPutOffThatIsDueWhileItsGroupIsBusyRunsInTheNextBatch(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, b *bench) {
		p := b.submit("g", "a", "1", "g", "b", "1")
		one := b.expect("g: a=1 b=1")
		one.done(0, Outcome[string]{Again: time.Second})
		time.Sleep(time.Minute)
		b.expectNone()
		b.expectStats(Stats{Pending: 1, Running: 1, OldestPending: 59 * time.Second})
		one.done(1, Outcome[string]{Result: "1"})
		one.end()
		b.expect("g: a=1").finish()
		b.expectResults(p, results{"a": "1", "b": "1"})
	})
}

func TestJobMayBePutOffManyTimes(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		start := time.Now()
		p := b.submit("g", "a", "1")
		for _, delay := range []time.Duration{10, 20, 40, 60} {
			b.expect("g: a=1").again(delay*time.Second, "")
		}
		b.expect("g: a=1").finish()
		b.expectResults(p, results{"a": "1"})
		if waited := time.Since(start); waited != 130*time.Second {
			t.Errorf("took %v, want 130s", waited)
		}
	})
}

func TestSubmitMakesAJobThatWasPutOffDueNow(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		old := b.submit("g", "a", "1")
		b.expect("g: a=1").again(time.Hour, "")
		b.expectStats(Stats{Delayed: 1})
		time.Sleep(time.Minute)

		start := time.Now()
		p := b.submit("h", "a", "2")
		b.expectStats(Stats{Running: 1})
		again := b.expect("h: a=2")
		if got := again.jobs[0].Submitted; !got.Equal(start) {
			t.Errorf("submitted %v, want %v", got, start)
		}
		again.finish()
		b.expectResults(old, results{"a": "2"})
		b.expectResults(p, results{"a": "2"})

		time.Sleep(2 * time.Hour) // the old delay is void
		b.expectNone()
		b.expectEmpty()
	})
}

func TestOldDelayDoesNotShortenANewOne(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		b.submit("g", "a", "1")
		b.expect("g: a=1").again(time.Minute, "")
		b.expectNone()
		b.submit("g", "a", "2")
		start := time.Now()
		b.expect("g: a=2").again(time.Hour, "")
		b.expect("g: a=2").finish()
		if waited := time.Since(start); waited != time.Hour {
			t.Errorf("ran again after %v, want 1h", waited)
		}
	})
}

func TestDelayThatEndsJustAfterASubmitIsVoid(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		b.submit("g", "a", "1")
		b.expect("g: a=1").again(time.Minute, "")
		b.expectNone()
		late := b.delayed["a"]
		b.submit("g", "a", "2")
		two := b.expect("g: a=2")
		b.due(late) // what a timer does that could not be stopped any more
		two.again(time.Hour, "")
		b.expectNone()
		b.due(late)
		b.expectStats(Stats{Delayed: 1})
	})
}

func TestJobPutOffThatIsPendingAgainJoinsThatRun(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		first := b.submit("g", "a", "1")
		one := b.expect("g: a=1")
		second := b.submit("g", "a", "2")
		one.again(time.Hour, "being built")
		b.expectUnfinished(first, results{}, results{"a": "being built"})
		b.expectUnfinished(second, results{}, results{"a": "being built"})
		b.expectStats(Stats{Running: 1})

		two := b.expect("g: a=2")
		third := b.submit("g", "a", "3")
		two.again(time.Hour, "still being built")
		start := time.Now()
		b.expect("g: a=3").finish()
		for _, p := range []*Pass[string]{first, second, third} {
			b.expectResults(p, results{"a": "3"})
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %v for a job that was pending", waited)
		}
		b.expectNone()
		b.expectEmpty()
	})
}

func TestWaiterSeesTheRunThatItsJobJoined(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		p := b.submit("g", "a", "1")
		waited := make(chan results)
		go func() {
			got, _, _ := p.Wait(t.Context())
			waited <- got
		}()
		one := b.expect("g: a=1")
		b.submit("g", "a", "2")
		one.again(time.Hour, "")
		b.expect("g: a=2").again(time.Minute, "")
		b.expect("g: a=2").finish()
		if got := <-waited; got["a"] != "2" {
			t.Errorf("results are %v, want a=2", got)
		}
	})
}
