package builds

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kainlite/gitops-operator/test/fakes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	sha   = "e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5"
	other = "3c0a88249fb61a0a4f4a65295f42b2dee3963c28"
	token = "ghp_a1b2c3d4e5f6a7b8"
)

// fixture is a client of a fake API that knows kainlite/blog.
type fixture struct {
	t      *testing.T
	hub    *fakes.GitHub
	client *Client
	logs   *observer.ObservedLogs
}

// bubble runs a test on a fake clock, with HTTP over pipes.
func bubble(t *testing.T, test func(t *testing.T, f fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pipe := fakes.NewPipe()
		f := newFixture(t, fakes.ServeGitHub(pipe))
		transport := &http.Transport{DialContext: pipe.DialContext}
		f.client.transport = transport
		defer transport.CloseIdleConnections()
		defer f.hub.Close()
		test(t, f)
	})
}

// loopbackFixture is for tests that need real sockets.
func loopbackFixture(t *testing.T) fixture {
	t.Helper()
	hub, err := fakes.NewGitHub()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hub.Close)
	return newFixture(t, hub)
}

func newFixture(t *testing.T, hub *fakes.GitHub) fixture {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	client, err := New(Options{API: hub.URL(), Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	hub.SetRuns("kainlite", "blog", other)
	return fixture{t: t, hub: hub, client: client, logs: logs}
}

func (f fixture) state(token string) (State, error) {
	return f.client.State(f.t.Context(), "kainlite", "blog", sha, token)
}

// wantState asks and wants an answer.
func (f fixture) wantState(want State) {
	f.t.Helper()
	got, err := f.state(token)
	if err != nil || got != want {
		f.t.Errorf("state: got %v, %v; want %v", got, err, want)
	}
}

// wantError asks and wants an error of that kind and exactly that text, in which
// HOST stands for the API's host.
func (f fixture) wantError(kind error, text string) *Error {
	f.t.Helper()
	state, err := f.state(token)
	return f.isError(state, err, kind, text)
}

func (f fixture) isError(state State, err error, kind error, text string) *Error {
	f.t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		f.t.Fatalf("error: got %v, %v, want an *Error", state, err)
	}
	equal(f.t, "state beside the error", state, None)
	if !errors.Is(err, kind) {
		f.t.Errorf("error %v is not of the kind %v", err, kind)
	}
	equal(f.t, "error", err.Error(), strings.ReplaceAll(text, "HOST", f.client.api.Host))
	return e
}

func (f fixture) wantRequests(want int) {
	f.t.Helper()
	equal(f.t, "requests", len(f.hub.Requests()), want)
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}
