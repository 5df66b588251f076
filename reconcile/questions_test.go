package reconcile

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errSilent = errors.New("no answer")

// hung is a question to a server that does not answer within 10 s.
func hung(asked *int) func(context.Context) (bool, error) {
	return func(context.Context) (bool, error) {
		*asked++
		time.Sleep(10 * time.Second)
		return false, errSilent
	}
}

func isSilent(err error) bool { return errors.Is(err, errSilent) }

func TestASilentServerIsLeftAloneForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var qs questions
		asked := 0
		wait := func(d time.Duration) error {
			time.Sleep(d)
			q := pose(t.Context(), &qs, "registry.example.com", isSilent, hung(&asked))
			<-q.done
			return q.err
		}
		steps := []struct {
			after time.Duration
			asks  bool
		}{
			{0, true}, {time.Second, false}, {28 * time.Second, false}, // 30 s
			{2 * time.Second, true}, {59 * time.Second, false}, // then 60 s
			{2 * time.Second, true}, {119 * time.Second, false},
			{2 * time.Second, true}, {239 * time.Second, false},
			{2 * time.Second, true}, {299 * time.Second, false}, // 5 minutes at the most
			{2 * time.Second, true}, {299 * time.Second, false},
		}
		want := 0
		for i, s := range steps {
			err := wait(s.after)
			if s.asks {
				want++
			}
			if asked != want || isNotAsked(err) == s.asks {
				t.Fatalf("step %d: asked %d times, want %d: %v", i, asked, want, err)
			}
		}
		// Another one is not concerned.
		if q := pose(t.Context(), &qs, "ghcr.io", isSilent, func(context.Context) (bool, error) { return true, nil }); true {
			if <-q.done; !q.value || q.err != nil {
				t.Error(q.value, q.err)
			}
		}
	})
}

func TestAnAnswerEndsTheSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var qs questions
		asked := 0
		<-pose(t.Context(), &qs, "r", isSilent, hung(&asked)).done
		time.Sleep(31 * time.Second)
		refused := errors.New("access denied") // is an answer
		<-pose(t.Context(), &qs, "r", isSilent, func(context.Context) (bool, error) { return false, refused }).done
		q := pose(t.Context(), &qs, "r", isSilent, hung(&asked))
		if <-q.done; asked != 2 {
			t.Errorf("asked %d times: %v", asked, q.err)
		}
		time.Sleep(31 * time.Second) // the first silence again, not the second
		if q = pose(t.Context(), &qs, "r", isSilent, hung(&asked)); true {
			if <-q.done; asked != 3 {
				t.Errorf("asked %d times: %v", asked, q.err)
			}
		}
	})
}

func TestWhoWaitsForAPlaceAtASilentServerIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var qs questions
		var asked [100]int
		begin := time.Now()
		var all []*question[bool]
		for i := range asked {
			all = append(all, pose(t.Context(), &qs, "r", isSilent, hung(&asked[i])))
		}
		n := 0
		for i, q := range all {
			<-q.done
			n += asked[i]
			if asked[i] == 0 && !strings.Contains(q.err.Error(), "r has not answered since ") {
				t.Error(q.err)
			}
		}
		if took := time.Since(begin); n != perServer || took != 10*time.Second {
			t.Errorf("%d of %d were asked, in %s", n, len(all), took)
		}
	})
}

func TestQuestionsEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var qs questions
		ctx, cancel := context.WithCancel(t.Context())
		look := func(ctx context.Context) (bool, error) {
			<-ctx.Done()
			return false, errSilent
		}
		var all []*question[bool]
		for range 2 * perServer {
			all = append(all, pose(ctx, &qs, "r", isSilent, look))
		}
		synctest.Wait()
		cancel()
		qs.running.Wait()
		for _, q := range all {
			if !q.answered() || q.err == nil {
				t.Error(q.err)
			}
		}
		// Its end says nothing about the server.
		asked := 0
		if <-pose(t.Context(), &qs, "r", isSilent, hung(&asked)).done; asked != 1 {
			t.Error("not asked")
		}
	})
}

func TestAPanicIsAnError(t *testing.T) {
	var qs questions
	q := pose(t.Context(), &qs, "r", isSilent, func(context.Context) (bool, error) { panic("boom") })
	if <-q.done; q.err == nil || !strings.Contains(q.err.Error(), "boom") {
		t.Error(q.err)
	}
}

func TestServersThatNobodyAsksAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var qs questions
		yes := func(context.Context) (bool, error) { return true, nil }
		<-pose(t.Context(), &qs, "old", isSilent, yes).done
		time.Sleep(2 * keepServers)
		<-pose(t.Context(), &qs, "new", isSilent, yes).done
		if len(qs.servers) != 1 {
			t.Errorf("%d servers are remembered", len(qs.servers))
		}
	})
}
