package notify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kainlite/gitops-operator/test/fakes"
)

const blog, api = "default/blog", "default/api"

func TestMessagesArriveAsSlackWantsThem(t *testing.T) {
	f := loopbackFixture(t)
	f.send(about(blog, Failure(`"quoted" <b> & grün`)))
	f.wantMessages(`:x: "quoted" &lt;b&gt; &amp; grün`)
	request := f.slack.Requests()[0]
	equal(t, "method", request.Method, "POST")
	equal(t, "body", request.Body, `{"text":":x: \"quoted\" \u0026lt;b\u0026gt; \u0026amp; grün"}`)
	f.wantLogs()
}

func TestTheSameFailureIsSentOnce(t *testing.T) {
	down, gone := about(blog, Failure("registry down")), about(blog, Failure("registry gone"))
	good := about(blog, Success("patched"))
	waiting := about(blog, progress("attempt 1/5"))
	for name, test := range map[string]struct {
		send []Message
		want []string
	}{
		"again":                   {[]Message{down, down, down}, []string{":x: registry down"}},
		"changed":                 {[]Message{down, gone, gone, down}, []string{":x: registry down", ":x: registry gone", ":x: registry down"}},
		"after a success":         {[]Message{down, good, down, down}, []string{":x: registry down", "patched", ":x: registry down"}},
		"successes":               {[]Message{good, good}, []string{"patched", "patched"}},
		"progress":                {[]Message{waiting, waiting}, []string{"attempt 1/5", "attempt 1/5"}},
		"with progress between":   {[]Message{down, waiting, down}, []string{":x: registry down", "attempt 1/5"}},
		"of another Deployment":   {[]Message{down, about(api, Failure("registry down")), down}, []string{":x: registry down", ":x: registry down"}},
		"after another's success": {[]Message{down, about(api, Success("patched")), down}, []string{":x: registry down", "patched"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.send(test.send...)
				f.wantMessages(test.want...)
			})
		})
	}
}

func TestSucceededLetsTheSameFailureBeSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		down := about(blog, Failure("registry down"))
		f.send(down)
		f.notifier.Succeeded(api)
		f.send(down)
		f.notifier.Succeeded(blog)
		f.send(down, down)
		f.wantMessages(":x: registry down", ":x: registry down")
	})
}

func TestAFailureThatDidNotArriveIsSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		down := about(blog, Failure("registry down"))
		f.slack.Next(fakes.Fault{Status: 404, Body: "no_service"})
		f.send(down)
		f.wantMessages()
		f.wantLogs("notification not delivered deployment=blog namespace=default host=localhost:80 error=webhook answered 404 Not Found: no_service")
		f.send(down)
		f.wantMessages(":x: registry down")
		f.send(down)
		f.wantMessages(":x: registry down")
	})
}

func TestAFailureThatDidNotArriveDoesNotUndoALaterOne(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		down, gone := about(blog, Failure("registry down")), about(blog, Failure("registry gone"))
		f.slack.Next(fakes.Fault{Status: 404})
		f.send(down, gone)
		f.wantMessages(":x: registry gone")
		f.send(gone)
		f.wantMessages(":x: registry gone")
	})
}

func TestMessagesArriveInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.slack.Next(fakes.Fault{Status: 503}, fakes.Fault{Cut: true}, fakes.Fault{}, fakes.Fault{Hang: true})
		var want []string
		for i := range 50 {
			want = append(want, fmt.Sprintf("attempt %d/50", i))
			f.send(about(blog, progress(want[i])))
		}
		f.wantMessages(want...)
	})
}

func TestSendWorksFromManyGoroutines(t *testing.T) {
	f := loopbackFixture(t)
	var sending sync.WaitGroup
	for i := range 20 {
		sending.Go(func() {
			name := fmt.Sprintf("default/app-%d", i)
			webhook := f.slack.Webhook() + fmt.Sprint(i%5)
			for n := range 10 {
				f.notifier.Send(webhook, about(name, progress(fmt.Sprintf("%s %d", name, n))))
				f.notifier.Send(webhook, about(name, Failure("same")))
			}
			f.notifier.Succeeded(name)
		})
	}
	sending.Wait()
	messages, err := f.slack.WaitFor(t.Context(), 220)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "messages", len(messages), 220)
	for i := range 20 {
		name := fmt.Sprintf("default/app-%d ", i)
		mine := slices.DeleteFunc(slices.Clone(messages), func(m string) bool { return !strings.HasPrefix(m, name) })
		equal(t, "messages of "+name, len(mine), 10)
		if !slices.IsSorted(mine) {
			t.Errorf("out of order: %q", mine)
		}
	}
}

func TestADeadWebhookDelaysNoOther(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		pipe := fakes.NewPipe()
		dead := fakes.ServeSlack(pipe)
		defer dead.Close()
		dead.Always(fakes.Fault{Hang: true})
		routes(f, map[string]*fakes.Pipe{"dead.example:80": pipe})

		begin := time.Now()
		for range 100 {
			f.notifier.Send("http://dead.example/services/x", about(api, progress("attempt")))
		}
		f.send(about(blog, Success("patched")))
		synctest.Wait()
		equal(t, "messages", len(f.slack.Messages()), 1)
		equal(t, "time", time.Since(begin), 0)
	})
}

func TestOnlySoManyRequestsRunAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.slack.Always(fakes.Fault{Delay: time.Second})
		for i := range 3 * atOnce {
			f.notifier.Send(fmt.Sprintf("%s%d", f.slack.Webhook(), i), about(blog, progress("attempt")))
		}
		synctest.Wait()
		equal(t, "requests at first", len(f.slack.Requests()), atOnce)
		time.Sleep(time.Second)
		synctest.Wait()
		equal(t, "requests after the first were answered", len(f.slack.Requests()), 2*atOnce)
	})
}

func TestTooManyMessagesAreDroppedAndSaidOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.slack.Always(fakes.Fault{Hang: true})
		f.send(about(blog, progress("first")))
		synctest.Wait() // it is on its way: it does not wait any more
		for range maxPerWebhook + 100 {
			f.send(about(blog, progress("attempt")))
		}
		equal(t, "dropped", f.notifier.Dropped(), 100)
		const said = "notifications dropped: too many are waiting deployment=blog namespace=default host=localhost:80 waiting=2000"
		f.wantLogs(said)

		// Later some have failed for good, and as many find room.
		time.Sleep(2 * burst)
		synctest.Wait()
		f.logs.TakeAll()
		room := maxPerWebhook - f.notifier.waiting
		for range room + 3 {
			f.send(about(blog, progress("attempt")))
		}
		equal(t, "dropped", f.notifier.Dropped(), 103)
		f.wantLogs(said)
	})
}

func TestAFullQueueLeavesRoomForOtherWebhooksUpToABound(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.slack.Always(fakes.Fault{Hang: true})
		send := func(i int) {
			f.notifier.Send(fmt.Sprintf("%s%d", f.slack.Webhook(), i), about(blog, progress("attempt")))
		}
		const webhooks = maxWaiting/maxPerWebhook + 2
		for i := range webhooks {
			send(i)
		}
		synctest.Wait() // the first of each is on its way
		for i := range webhooks {
			for range maxPerWebhook {
				send(i)
			}
		}
		equal(t, "waiting", f.notifier.waiting, maxWaiting)
		equal(t, "dropped", f.notifier.Dropped(), 2*maxPerWebhook)
		equal(t, "log entries", f.logs.Len(), 1)
	})
}

func TestAFailureThatWasDroppedIsSentLater(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		down := about(api, Failure("registry down"))
		f.slack.Always(fakes.Fault{Status: 400})
		f.slack.Next(fakes.Fault{Hang: true})
		f.send(about(blog, progress("first")))
		synctest.Wait() // it is on its way: it does not wait any more
		for range maxPerWebhook {
			f.send(about(blog, progress("attempt")))
		}
		f.send(down)
		equal(t, "dropped", f.notifier.Dropped(), 1)
		f.flush()
		f.slack.Always(fakes.Fault{})
		f.send(down)
		f.wantMessages(":x: registry down")
	})
}

func TestCloseLeavesNoConnectionBehind(t *testing.T) {
	f := loopbackFixture(t)
	before := goleak.IgnoreCurrent()
	f.send(about(blog, Success("patched")))
	f.notifier.Close(t.Context())
	f.wantMessages("patched")
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

func TestCloseSendsWhatIsWaiting(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.slack.Always(fakes.Fault{Delay: time.Second})
		f.send(about(blog, progress("1")), about(blog, progress("2")), about(blog, progress("3")))
		f.notifier.Close(t.Context())
		f.wantMessages("1", "2", "3")
		f.wantLogs()
		equal(t, "dropped", f.notifier.Dropped(), 0)

		f.send(about(blog, Failure("too late")))
		f.notifier.Close(t.Context())
		f.wantMessages("1", "2", "3")
		equal(t, "dropped", f.notifier.Dropped(), 1)
	})
}

func TestCloseDropsWhatTheTimeDoesNotSufficeFor(t *testing.T) {
	for name, fault := range map[string]fakes.Fault{"in a try": {Hang: true}, "between tries": {Status: 429, Header: map[string]string{"Retry-After": "60"}}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.send(about(blog, progress("1")))
				f.flush()
				f.slack.Always(fault)
				f.send(about(blog, progress("2")), about(api, Failure("3")), about(blog, progress("4")))
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				begin := time.Now()
				f.notifier.Close(ctx)
				equal(t, "time", time.Since(begin), 5*time.Second)
				f.wantMessages("1")
				equal(t, "dropped", f.notifier.Dropped(), 3)
				f.wantLogs("notifications dropped: shutting down dropped=3")
			})
		})
	}
}
