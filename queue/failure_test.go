package queue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPanicFailsTheJobsWithoutOutcomeAndNothingElse(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		p := b.submit("bad", "a", "1", "bad", "b", "1", "bad", "c", "1", "good", "d", "1")
		one := b.expect("bad: a=1 b=1 c=1")
		one.done(0, Outcome[string]{Result: "1"})
		one.done(1, Outcome[string]{Again: time.Minute})
		one.panic("no such manifest")
		b.expect("good: d=1").finish() // the only worker lives
		b.expect("bad: b=1").finish()
		b.expectResults(p, results{
			"a": "1",
			"b": "1",
			"c": "c failed: run group: panic: no such manifest",
			"d": "1",
		})
		b.expectEmpty()
		b.mu.Lock()
		defer b.mu.Unlock()
		if !slices.Equal(b.failed, []string{"c"}) {
			t.Errorf("results of failure were made for %q, want c alone", b.failed)
		}
	})
}

func TestPanicIsToldWithItsStack(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		p := b.submit("bad", "a", "1")
		b.expect("bad: a=1").panic(errors.New("broken"))
		b.expectResults(p, results{"a": "a failed: run group: panic: broken"})
		b.mu.Lock()
		defer b.mu.Unlock()
		if want := "bad: broken, stack: true"; !slices.Equal(b.panics, []string{want}) {
			t.Errorf("panics told are %q, want %q", b.panics, want)
		}
	})
}

func TestPanicNeedsNoOneToTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := func(context.Context, string, []Job[string], func(int, Outcome[string])) {
			panic("broken")
		}
		b := &bench{t: t}
		b.Queue = New(1, run, Options[string, string]{Failed: b.onFailed})
		defer b.Close(t.Context())
		b.expectResults(b.submit("g", "a", ""), results{"a": "a failed: run group: panic: broken"})
	})
}

func TestRunThatForgetsAJobFailsIt(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		p := b.submit("g", "a", "1", "g", "b", "1")
		one := b.expect("g: a=1 b=1")
		one.done(0, Outcome[string]{Result: "1"})
		one.end()
		want := results{"a": "1", "b": "b failed: run group: ended without an outcome for this job"}
		b.expectResults(p, want)
		b.expectEmpty()

		one.done(1, Outcome[string]{Result: "too late", Again: time.Second})
		b.expectResults(p, want)
		b.expectEmpty()
	})
}

func TestLateOutcomeDoesNotReachTheNextRun(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		b.submit("g", "a", "1")
		one := b.expect("g: a=1")
		one.end()
		p := b.submit("g", "a", "2")
		two := b.expect("g: a=2")
		one.done(0, Outcome[string]{Result: "too late"})
		b.expectUnfinished(p, results{}, results{"a": ""})
		two.finish()
		b.expectResults(p, results{"a": "2"})
	})
}

func TestFailedJobRunsAgainForTheRequestThatCameMeanwhile(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		first := b.submit("g", "a", "1")
		one := b.expect("g: a=1")
		second := b.submit("g", "a", "2")
		one.panic("once")
		b.expect("g: a=2").finish()
		b.expectResults(first, results{"a": "a failed: run group: panic: once"})
		b.expectResults(second, results{"a": "2"})
	})
}

func TestFailedMayAskTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := func(context.Context, string, []Job[int], func(int, Outcome[int])) {}
		var q *Queue[int, int]
		q = New(1, run, Options[int, int]{Failed: func(Job[int], error) int { return q.Stats().Running }})
		defer q.Close(t.Context())
		p, err := q.Submit([]Job[int]{{Key: "a"}})
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := p.Wait(t.Context()); err != nil || got["a"] != 1 {
			t.Errorf("results are %v, error %v", got, err)
		}
	})
}
