package notify

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kainlite/gitops-operator/test/fakes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a Notifier, and a Slack that it reaches.
type fixture struct {
	t        *testing.T
	slack    *fakes.Slack
	notifier *Notifier
	logs     *observer.ObservedLogs
}

// bubble runs a test on a fake clock, with HTTP over pipes.
func bubble(t *testing.T, test func(t *testing.T, f fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pipe := fakes.NewPipe()
		f := newFixture(t, fakes.ServeSlack(pipe))
		f.notifier.client.Transport = &http.Transport{DialContext: pipe.DialContext}
		defer f.slack.Close()
		defer f.giveUp()
		test(t, f)
	})
}

// loopbackFixture is for tests that need real sockets.
func loopbackFixture(t *testing.T) fixture {
	t.Helper()
	slack, err := fakes.NewSlack()
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, slack)
	t.Cleanup(slack.Close)
	t.Cleanup(f.giveUp)
	return f
}

func newFixture(t *testing.T, slack *fakes.Slack) fixture {
	core, logs := observer.New(zap.DebugLevel)
	return fixture{t, slack, New(Options{Log: zap.New(core)}), logs}
}

// giveUp closes the Notifier without waiting for what it still has to send.
func (f fixture) giveUp() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.notifier.Close(ctx)
}

func (f fixture) send(messages ...Message) {
	for _, m := range messages {
		f.notifier.Send(f.slack.Webhook(), m)
	}
}

// flush waits until all that was sent has arrived, or failed for good.
func (f fixture) flush() {
	f.notifier.lanes.Wait()
}

func (f fixture) wantMessages(want ...string) {
	f.t.Helper()
	f.flush()
	if got := f.slack.Messages(); !slices.Equal(got, want) {
		f.t.Errorf("messages:\n got %q\nwant %q", got, want)
	}
}

// wantLogs compares the log, one line for each entry: message, then fields.
func (f fixture) wantLogs(want ...string) {
	f.t.Helper()
	var got []string
	for _, e := range f.logs.TakeAll() {
		line := e.Message
		for _, field := range e.Context {
			line += fmt.Sprintf(" %s=%v", field.Key, e.ContextMap()[field.Key])
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		f.t.Errorf("logs:\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

func about(name string, m Message) Message {
	m.About = name
	return m
}

func progress(text string) Message { return Message{Kind: KindProgress, Text: text} }

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}
