package queue

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"
)

func TestPendingJobIsJoinedWithItsNewestValueAndTime(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		b.submit("g", "busy", "1")
		busy := b.expect("g: busy=1")
		first := b.submit("g", "a", "old", "g", "b", "1")
		time.Sleep(time.Second)
		second := b.submit("g", "a", "new")
		submitted := time.Now()
		time.Sleep(time.Second)
		b.expectStats(Stats{Pending: 2, Running: 1, OldestPending: 2 * time.Second})
		busy.finish()

		one := b.expect("g: a=new b=1")
		if got := one.jobs[0].Submitted; !got.Equal(submitted) {
			t.Errorf("submitted %v, want %v", got, submitted)
		}
		one.finish()
		b.expectResults(first, results{"a": "new", "b": "1"})
		b.expectResults(second, results{"a": "new"})
		b.expectNone()
	})
}

func TestKeyTwiceInOneSubmitIsOneJobWithTheLastValue(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		p := b.submit("g", "a", "1", "g", "b", "2", "g", "a", "3")
		b.expect("g: a=3 b=2").finish()
		b.expectResults(p, results{"a": "3", "b": "2"})
		b.expectNone()
	})
}

func TestPendingJobMovesToItsNewGroup(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		b.submit("g", "busy", "1")
		busy := b.expect("g: busy=1")
		old := b.submit("left", "a", "1", "left", "b", "1")
		alone := b.submit("emptied", "c", "1")
		moved := b.submit("right", "a", "2", "right", "c", "2")
		b.expectStats(Stats{Pending: 3, Running: 1})
		busy.finish()

		b.expect("left: b=1").finish()
		b.expect("right: a=2 c=2").finish()
		b.expectResults(old, results{"a": "2", "b": "1"})
		b.expectResults(alone, results{"c": "2"})
		b.expectResults(moved, results{"a": "2", "c": "2"})
		b.expectNone()
		b.expectEmpty()
	})
}

func TestJobSubmittedWhileItRunsRunsAgainForTheNewRequest(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, b *bench) {
		first := b.submit("g", "a", "1")
		running := b.expect("g: a=1")
		second := b.submit("g", "a", "2")
		third := b.submit("g", "a", "3")
		b.expectNone()
		running.done(0, Outcome[string]{Result: "1"})
		b.expectResults(first, results{"a": "1"})
		b.expectUnfinished(second, results{}, results{"a": ""})
		b.expectNone() // the group is busy until Run returns
		running.end()

		b.expect("g: a=3").finish()
		b.expectResults(second, results{"a": "3"})
		b.expectResults(third, results{"a": "3"})
		b.expectNone()
	})
}

func TestJobMovedToAnotherGroupWhileItRunsWaitsForThatRun(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, b *bench) {
		first := b.submit("left", "a", "1", "left", "b", "1")
		running := b.expect("left: a=1 b=1")
		second := b.submit("right", "a", "2")
		b.expectNone()
		b.expectStats(Stats{Pending: 1, Running: 1})
		running.done(0, Outcome[string]{Result: "1"})
		b.expect("right: a=2").finish() // the outcome is enough: left goes on with b
		b.expectResults(second, results{"a": "2"})

		running.done(1, Outcome[string]{Result: "1"})
		running.end()
		b.expectResults(first, results{"a": "1", "b": "1"})
		b.expectEmpty()
	})
}

func TestJobMovedAwayAndBackWhileItRunsKeepsOneRunAtATime(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, b *bench) {
		b.submit("left", "a", "1")
		running := b.expect("left: a=1")
		b.submit("right", "a", "2")
		last := b.submit("left", "a", "3")
		b.expectNone()
		running.finish()
		b.expect("left: a=3").finish()
		b.expectResults(last, results{"a": "3"})
		b.expectEmpty()
	})
}

func TestWorkerTakesAllPendingJobsOfAGroupInSubmissionOrder(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, b *bench) {
		b.submit("g", "d", "1")
		running := b.expect("g: d=1")
		b.submit("g", "c", "1", "g", "a", "1")
		b.submit("g", "d", "2", "g", "b", "1")
		b.submit("g", "c", "2") // keeps its place
		running.finish()
		b.expect("g: c=2 a=1 d=2 b=1").finish()
		b.expectNone()
	})
}

func TestJobsOfOneSubmitAreTakenTogether(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, b *bench) {
		var words []string
		for i := range 100 {
			words = append(words, "g"+strconv.Itoa(i%2), strconv.Itoa(i), "")
		}
		for range 50 { // the workers wait for a chance to take less
			b.submit(words...)
			one, two := <-b.batches, <-b.batches
			for _, job := range slices.Concat(one.jobs, two.jobs) {
				if !job.Submitted.Equal(one.jobs[0].Submitted) {
					t.Errorf("jobs of one request were submitted at %v and %v", job.Submitted, one.jobs[0].Submitted)
				}
			}
			if len(one.jobs) != 50 || len(two.jobs) != 50 {
				t.Errorf("batches have %d and %d jobs, want 50 and 50", len(one.jobs), len(two.jobs))
			}
			one.finish()
			two.finish()
			b.expectNone()
		}
	})
}

func TestGroupIsOwnedByOneWorkerAtATime(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, b *bench) {
		b.submit("g", "a", "1")
		running := b.expect("g: a=1")
		b.submit("g", "b", "1")
		b.submit("g", "c", "1")
		b.expectNone() // two workers are free
		b.expectStats(Stats{Pending: 2, Running: 1})
		running.finish()
		b.expect("g: b=1 c=1").finish()
	})
}

func TestWorkersBoundTheGroupsAtOnce(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, b *bench) {
		p := b.submit("g1", "a", "1", "g2", "b", "2", "g3", "c", "3")
		one, two := <-b.batches, <-b.batches
		b.expectNone()
		b.expectStats(Stats{Pending: 1, Running: 2})
		one.finish()
		b.expect("g3: c=3").finish()
		two.finish()
		b.expectResults(p, results{"a": "1", "b": "2", "c": "3"})
	})
}

func TestGroupsAreServedFirstComeFirstServed(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		b.submit("g0", "a", "1")
		running := b.expect("g0: a=1")
		b.submit("g0", "a", "2") // busy: joins the line when it is released
		b.submit("g2", "b", "1")
		b.submit("g1", "c", "1")
		b.submit("g3", "d", "1", "g2", "e", "1")
		running.finish()
		b.expect("g2: b=1 e=1").finish()
		b.expect("g1: c=1").finish()
		b.expect("g3: d=1").finish()
		b.expect("g0: a=2").finish()
		b.expectNone()
	})
}

func TestResultIsKnownBeforeTheGroupEnds(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		p := b.submit("g", "a", "1")
		one := b.expect("g: a=1")
		both := b.submit("g", "a", "1", "g", "b", "1")
		one.done(0, Outcome[string]{Result: "first"})
		one.done(0, Outcome[string]{Result: "second"}) // the first counts
		b.expectResults(p, results{"a": "first"})
		one.end()
		two := b.expect("g: a=1 b=1")
		go two.done(1, Outcome[string]{Result: "from a goroutine"})
		b.expectUnfinished(both, results{"b": "from a goroutine"}, results{"a": ""})
		two.done(0, Outcome[string]{Result: "third"})
		b.expectResults(both, results{"a": "third", "b": "from a goroutine"})
		two.end()
	})
}

func TestSubmitOfNothingIsFinishedAtOnce(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		b.expectResults(b.submit(), results{})
	})
}

func TestRequestThatGoesAwayCancelsNothing(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		p := b.submit("g", "a", "1", "g", "b", "1")
		one := b.expect("g: a=1 b=1")
		one.done(0, Outcome[string]{Result: "1"})

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		got, unfinished, err := p.Wait(ctx)
		if waited := time.Since(start); waited != time.Minute {
			t.Errorf("waited %v, want a minute", waited)
		}
		if fmt.Sprint(got, unfinished) != "map[a:1] map[b:]" {
			t.Errorf("results are %v, unfinished %v", got, unfinished)
		}
		if want := "wait for jobs: 1 of 2 not finished: context deadline exceeded"; err == nil || err.Error() != want {
			t.Errorf("error is %v, want %s", err, want)
		}

		if err := one.ctx.Err(); err != nil {
			t.Errorf("the run was cancelled: %v", err)
		}
		one.done(1, Outcome[string]{Result: "2"})
		one.end()
		b.expectResults(p, results{"a": "1", "b": "2"}) // whoever asks later gets it
	})
}

func TestFinishedJobsLeaveNothingBehind(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, b *bench) {
		b.submit("g1", "a", "1", "g2", "b", "1", "g1", "c", "1")
		one, two := <-b.batches, <-b.batches
		b.submit("g1", "a", "2", "g2", "a", "3", "g3", "b", "2")
		one.again(time.Minute, "")
		two.again(time.Minute, "")
		for _, again := range []*batch{<-b.batches, <-b.batches} {
			again.finish()
		}
		(<-b.batches).finish() // the delayed job
		b.expectNone()
		b.expectEmpty()
	})
}

func TestStatsCountJobsAndGroups(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		b.expectStats(Stats{})
		b.submit("g1", "a", "1", "g1", "b", "1")
		b.expect("g1: a=1 b=1").again(time.Hour, "")
		b.expectStats(Stats{Delayed: 2})
		b.submit("g2", "c", "1")
		running := b.expect("g2: c=1")
		b.submit("g3", "d", "1")
		time.Sleep(time.Second)
		b.submit("g3", "e", "1", "g2", "c", "2")
		time.Sleep(time.Second)
		b.expectStats(Stats{Pending: 3, Delayed: 2, Running: 1, OldestPending: 2 * time.Second})
		b.submit("g4", "d", "2") // moved, but has waited as long
		b.expectStats(Stats{Pending: 3, Delayed: 2, Running: 1, OldestPending: 2 * time.Second})
		running.finish()
		for range 3 {
			(<-b.batches).finish()
		}
		b.expectStats(Stats{Delayed: 2})
	})
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	run := func(context.Context, string, []Job[int], func(int, Outcome[int])) {}
	failed := func(Job[int], error) int { return 0 }
	for _, c := range []struct {
		workers int
		options Options[int, int]
		want    string
	}{
		{0, Options[int, int]{Failed: failed}, "queue: New needs at least one worker"},
		{1, Options[int, int]{}, "queue: New needs Options.Failed"},
	} {
		func() {
			defer func() {
				if got := recover(); got != c.want {
					t.Errorf("panic is %v, want %s", got, c.want)
				}
			}()
			New(c.workers, run, c.options)
		}()
	}
}

func BenchmarkNoOpJobsOfOneGroup(b *testing.B) {
	run := func(_ context.Context, _ string, jobs []Job[int], done func(int, Outcome[int])) {
		for i := range jobs {
			done(i, Outcome[int]{Result: jobs[i].Value})
		}
	}
	for _, n := range []int{1_000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			q := New(8, run, Options[int, int]{Failed: func(Job[int], error) int { return -1 }})
			defer q.Close(b.Context())
			var jobs []Job[int]
			for i := range n {
				jobs = append(jobs, Job[int]{Key: "namespace/deployment-" + strconv.Itoa(i), Group: "g", Value: i})
			}
			b.ReportAllocs()
			for b.Loop() {
				p, err := q.Submit(slices.Clone(jobs))
				if err != nil {
					b.Fatal(err)
				}
				results, _, err := p.Wait(b.Context())
				if err != nil || len(results) != n {
					b.Fatalf("%d results, error %v", len(results), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/job")
		})
	}
}
