package builds

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kainlite/gitops-operator/test/fakes"
)

func run(s string) fakes.Run {
	status, conclusion, _ := strings.Cut(s, " ")
	return fakes.Run{Status: status, Conclusion: conclusion}
}

func TestStateTakesAllRunsTogether(t *testing.T) {
	for _, test := range []struct {
		want State
		runs string
	}{
		{None, ""},
		{Running, "in_progress"},
		{Running, "queued, completed failure, in_progress, completed success"},
		{Queued, "queued"},
		{Queued, "waiting"},
		{Queued, "pending"},
		{Queued, "requested"},
		{Queued, "something_new"},
		{Queued, "completed failure, completed success, queued"},
		{Failed, "completed failure"},
		{Failed, "completed cancelled"},
		{Failed, "completed timed_out"},
		{Failed, "completed startup_failure"},
		{Failed, "completed action_required"},
		{Failed, "completed stale"},
		{Failed, "completed skipped, completed failure, completed neutral"},
		{Completed, "completed success"},
		{Completed, "completed failure, completed success"},
		{Completed, "completed skipped"},
		{Completed, "completed neutral, completed skipped"},
		{Completed, "completed something_new"},
		{Completed, "completed"},
	} {
		t.Run(test.runs, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				var runs []fakes.Run
				for s := range strings.SplitSeq(test.runs, ", ") {
					if s != "" {
						runs = append(runs, run(s))
					}
				}
				f.hub.SetRuns("kainlite", "blog", sha, runs...)
				f.wantState(test.want)
			})
		})
	}
}

func TestStatesHaveNames(t *testing.T) {
	var names []string
	for s := None; s <= Completed+1; s++ {
		names = append(names, s.String())
	}
	equal(t, "names", strings.Join(names, " "), "none running queued failed completed State(5)")
}

func TestStateIsThatOfTheFullCommitAlone(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.hub.SetRuns("kainlite", "blog", other, run("in_progress"))
		f.hub.SetRuns("kainlite", "blog", sha, run("completed success"))
		got, err := f.client.State(t.Context(), "kainlite", "blog", strings.ToUpper(sha), token)
		if err != nil || got != Completed {
			t.Errorf("got %v, %v", got, err)
		}
		equal(t, "request", f.hub.Requests()[0].URI,
			"/repos/kainlite/blog/actions/runs?exclude_pull_requests=true&head_sha="+sha+"&page=1&per_page=100")
	})
}

func TestRunsOfOtherCommitsDoNotCountIfTheServerListsThem(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.hub.Next(fakes.Fault{Status: 200, Body: `{"total_count":2,"workflow_runs":[
			{"head_sha":"` + other + `","status":"in_progress"},
			{"head_sha":"` + sha + `","status":"completed","conclusion":"failure"}]}`})
		f.wantState(Failed)
	})
}

func TestAllPagesCount(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		runs := slices.Repeat([]fakes.Run{run("completed failure")}, 250)
		runs[249] = run("completed success")
		f.hub.SetRuns("kainlite", "blog", sha, runs...)
		f.wantState(Completed)
		f.wantRequests(3)
		for _, header := range f.hub.Authorizations() {
			equal(t, "authorization", header, "Bearer "+token)
		}
	})
}

func TestOnePageIsEnoughOnceARunIsFoundRunning(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.hub.SetRuns("kainlite", "blog", sha, slices.Repeat([]fakes.Run{run("in_progress")}, 250)...)
		f.wantState(Running)
		f.wantRequests(1)
	})
}

func TestThePagesAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.hub.Always(fakes.Fault{
			Status: 200,
			Header: map[string]string{"Link": `<http://localhost/?page=1>; rel="next"`},
			Body:   `{"total_count":1,"workflow_runs":[{"status":"queued"}]}`,
		})
		f.wantState(Queued)
		f.wantRequests(maxPages)
	})
}

func TestWithoutATokenItAsksAsAnybody(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.hub.SetRuns("kainlite", "blog", sha, run("queued"))
		got, err := f.state("")
		if err != nil || got != Queued {
			t.Errorf("got %v, %v", got, err)
		}
		equal(t, "authorization", f.hub.Authorizations()[0], "")
	})
}

func TestSpaceAroundATokenDoesNotMatter(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.hub.RequireToken(token)
		if _, err := f.state(" " + token + "\r\n"); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatCannotBeAskedIsNotAsked(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		for _, test := range []struct{ owner, name, sha, token, want string }{
			{"..", "blog", sha, token, `look up builds: "../blog" is not a GitHub repository`},
			{"kainlite", "..", sha, token, `look up builds: "kainlite/.." is not a GitHub repository`},
			{"kainlite", "a/b", sha, token, `look up builds: "kainlite/a/b" is not a GitHub repository`},
			{"kainlite", "blog?x", sha, token, `look up builds: "kainlite/blog?x" is not a GitHub repository`},
			{"", "blog", sha, token, `look up builds: "/blog" is not a GitHub repository`},
			{"kainlite", "blog", "e4f5a6b", token, `look up builds: "e4f5a6b" is not a full commit SHA`},
			{"kainlite", "blog", "", token, `look up builds: "" is not a full commit SHA`},
			{"kainlite", "blog", sha, "two words", `ask localhost:80 for the builds of kainlite/blog: token refused: it holds characters that no token has (the token must be valid and needs the permission actions: read)`},
			{"kainlite", "blog", sha, "gr\u00fcn\u00fcgt", `ask localhost:80 for the builds of kainlite/blog: token refused: it holds characters that no token has (the token must be valid and needs the permission actions: read)`},
		} {
			state, err := f.client.State(t.Context(), test.owner, test.name, test.sha, test.token)
			if err == nil {
				t.Fatalf("%+v: got %v, want an error", test, state)
			}
			equal(t, "error", err.Error(), test.want)
		}
		f.wantRequests(0)
	})
}

func TestServerErrorsAndBrokenConnectionsAreTriedThreeTimes(t *testing.T) {
	for name, test := range map[string]struct {
		fault fakes.Fault
		want  string
	}{
		"500":     {fakes.Fault{Status: 500}, "500 Internal Server Error"},
		"502":     {fakes.Fault{Status: 502, Body: "<html>Unicorn!</html>"}, "502 Bad Gateway"},
		"503":     {fakes.Fault{Status: 503, Body: `{"message":"No server is available."}`}, "503 Service Unavailable: No server is available."},
		"cut":     {fakes.Fault{Cut: true}, "EOF"},
		"silent":  {fakes.Fault{Hang: true}, "no answer within 10s"},
		"slow":    {fakes.Fault{Delay: 11 * time.Second}, "no answer within 10s"},
		"no HTTP": {fakes.Fault{Raw: "220 mail.example ESMTP\r\n"}, `net/http: HTTP/1.x transport connection broken: malformed HTTP status code "mail.example"`},
		"partial": {fakes.Fault{Status: 200, Header: map[string]string{"Content-Length": "1000"}, Body: `{"total_count":`}, "read answer: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.hub.Next(test.fault, test.fault, test.fault)
				f.wantError(ErrUnavailable, "ask HOST for the builds of kainlite/blog: API not available: "+test.want)
				f.wantRequests(3)
				equal(t, "retries logged", f.logs.FilterMessage("asking for builds again").Len(), 2)

				f.hub.SetRuns("kainlite", "blog", sha, run("completed success"))
				f.hub.Next(test.fault, test.fault)
				f.wantState(Completed)
				f.wantRequests(6)
			})
		})
	}
}

func TestTriesAreApart(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.hub.Next(fakes.Fault{Status: 502}, fakes.Fault{Status: 502})
		begin := time.Now()
		f.wantState(None)
		if waited := time.Since(begin); waited < 3*firstWait/2 || waited > 9*firstWait/2 {
			t.Errorf("waited %v in all, want about %v and twice that", waited, firstWait)
		}
	})
}

func TestASlowAnswerIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.hub.SetRuns("kainlite", "blog", sha, run("queued"))
		f.hub.Next(fakes.Fault{Delay: 9 * time.Second})
		f.wantState(Queued)
		f.wantRequests(1)
	})
}

func TestAnUnreachableAPIIsNotAvailable(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.hub.Close()
		f.wantError(ErrUnavailable, "ask HOST for the builds of kainlite/blog: API not available: dial pipe: use of closed network connection")
	})
}

func TestACallThatIsGivenUpEndsAtOnce(t *testing.T) {
	gone := errors.New("nobody waits any more")
	for name, fault := range map[string]fakes.Fault{"in a try": {Hang: true}, "between tries": {Status: 502}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.hub.Always(fault)
				ctx, cancel := context.WithCancelCause(t.Context())
				go func() {
					synctest.Wait()
					cancel(gone)
				}()
				begin := time.Now()
				_, err := f.client.State(ctx, "kainlite", "blog", sha, token)
				if !errors.Is(err, gone) {
					t.Fatalf("error: %v", err)
				}
				equal(t, "error", err.Error(), "ask localhost:80 for the builds of kainlite/blog: nobody waits any more")
				equal(t, "time", time.Since(begin), 0)
				f.wantRequests(1)
			})
		})
	}
}
