package builds

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/test/fakes"
)

const asked = "ask HOST for the builds of kainlite/blog: "

func TestARefusedTokenIsSaidWithThePermissionItNeeds(t *testing.T) {
	const hint = " (the token must be valid and needs the permission actions: read)"
	for name, test := range map[string]struct {
		fault fakes.Fault
		want  string
	}{
		"expired":     {fakes.Fault{Status: 401, Body: `{"message":"Bad credentials"}`}, "token refused: Bad credentials"},
		"one-time":    {fakes.Fault{Status: 401, Header: map[string]string{"X-GitHub-OTP": "required; app"}, Body: `{"message":"Must specify two-factor authentication OTP code."}`}, "token refused: Must specify two-factor authentication OTP code."},
		"permissions": {fakes.Fault{Status: 403, Body: `{"message":"Resource not accessible by personal access token"}`}, "token refused: Resource not accessible by personal access token"},
		"silent":      {fakes.Fault{Status: 403}, "token refused"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.hub.Next(test.fault)
				f.wantError(ErrUnauthorized, asked+test.want+hint)
				f.wantRequests(1)
			})
		})
	}
}

func TestAWrongTokenIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.hub.RequireToken("another")
		f.wantError(ErrUnauthorized, asked+"token refused: Bad credentials (the token must be valid and needs the permission actions: read)")
	})
}

func TestAnInvisibleRepositoryIsSaid(t *testing.T) {
	const want = "ask HOST for the builds of kainlite/secret: repository not visible with this token (check its name; a private repository needs a token with the permission actions: read)"
	bubble(t, func(t *testing.T, f fixture) {
		state, err := f.client.State(t.Context(), "kainlite", "secret", sha, token)
		f.isError(state, err, ErrNotVisible, want)
		f.wantRequests(1)
	})
}

func TestNonsenseIsSaidAndNotAskedForAgain(t *testing.T) {
	const notJSON, noList = "not the JSON of workflow runs: ", "no list of workflow runs"
	for name, test := range map[string]struct {
		status     int
		body, want string
	}{
		"HTML":           {200, "<!DOCTYPE html><p>Please log in", notJSON + "invalid character '<' looking for beginning of value"},
		"empty":          {200, "", noList},
		"no content":     {204, "", noList},
		"null":           {200, "null", noList},
		"array":          {200, "[]", notJSON + "json: cannot unmarshal array into Go value of type github.WorkflowRuns"},
		"other JSON":     {200, `{"message":"hello"}`, noList},
		"wrong types":    {200, `{"total_count":1,"workflow_runs":"none"}`, notJSON + "json: cannot unmarshal string into Go struct field WorkflowRuns.workflow_runs of type []*github.WorkflowRun"},
		"cut JSON":       {200, `{"total_count":1,"workflow_runs":[{`, notJSON + "unexpected EOF"},
		"null run":       {200, `{"workflow_runs":[null]}`, "workflow run 0 has no status"},
		"without status": {200, `{"workflow_runs":[{"id":7}]}`, "workflow run 7 has no status"},
		"too large":      {200, `{"workflow_runs":[]}` + strings.Repeat(" ", maxAnswer), "answer is larger than 16 MiB"},
		"accepted":       {202, `{}`, "202 Accepted"},
		"not modified":   {304, "", "304 Not Modified"},
		"unprocessable":  {422, `{"message":"Validation Failed"}`, "422 Unprocessable Entity: Validation Failed"},
		"teapot":         {418, "<p>short and stout", "418 I'm a teapot"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.hub.Next(fakes.Fault{Status: test.status, Body: test.body})
				f.wantError(ErrUnexpected, asked+"unexpected answer: "+test.want)
				f.wantRequests(1)
			})
		})
	}
}

func TestTheTokenDoesNotFollowARedirectToAnotherHost(t *testing.T) {
	f, elsewhere := loopbackFixture(t), loopbackFixture(t).hub
	f.hub.Next(fakes.Fault{Status: 301, Header: map[string]string{"Location": elsewhere.URL() + "/repos/kainlite/blog/actions/runs"}})
	f.wantError(ErrUnexpected, asked+"unexpected answer: redirect to another host, "+elsewhere.URL()+", not followed")
	f.wantRequests(1)
	equal(t, "requests elsewhere", len(elsewhere.Requests()), 0)
}

func TestTheTokenDoesNotFollowARedirectToAnotherScheme(t *testing.T) {
	f := loopbackFixture(t)
	tls := strings.Replace(f.hub.URL(), "http:", "https:", 1)
	f.hub.Next(fakes.Fault{Status: 307, Header: map[string]string{"Location": tls}})
	f.wantError(ErrUnexpected, asked+"unexpected answer: redirect to another host, "+tls+", not followed")
	f.wantRequests(1)
}

func TestARenamedRepositoryIsFollowed(t *testing.T) {
	f := loopbackFixture(t)
	f.hub.SetRuns("kainlite", "weblog", sha, run("in_progress"))
	f.hub.Next(fakes.Fault{Status: 301, Header: map[string]string{"Location": f.hub.URL() + "/repos/kainlite/weblog/actions/runs?head_sha=" + sha}})
	f.wantState(Running)
	f.wantRequests(2)
	equal(t, "authorization", f.hub.Authorizations()[1], "Bearer "+token)
}

func TestTheTokenAppearsInNoErrorAndNoLog(t *testing.T) {
	echo := "you sent " + token + "\x1b[31m\x00, wh\u202eich\nis\tsecret " + strings.Repeat("long ", 200)
	body := `{"message":"` + strings.NewReplacer("\n", `\n`, "\t", `\t`, "\x1b", `\u001b`, "\x00", `\u0000`).Replace(echo) + `"}`
	const clean = "you sent ***[31m, which is secret long "
	for name, fault := range map[string]fakes.Fault{
		"refused":      {Status: 401, Body: body},
		"limited":      {Status: 429, Body: body},
		"unexpected":   {Status: 422, Body: body},
		"server error": {Status: 500, Body: body},
		"redirect":     {Status: 302, Header: map[string]string{"Location": "https://" + token + ".example.com/"}},
		"no HTTP":      {Raw: "220 " + token + "\r\n"},
		"wrong types":  {Status: 200, Body: `{"workflow_runs":[{"created_at":"` + token + `"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.hub.Always(fault)
				_, err := f.state(token)
				e, ok := errors.AsType[*Error](err)
				if !ok {
					t.Fatalf("error: %v", err)
				}
				if fault.Body == body && !strings.Contains(e.Detail, clean) {
					t.Errorf("detail %q does not contain %q", e.Detail, clean)
				}
				if len(e.Detail) > 310 {
					t.Errorf("detail has %d bytes", len(e.Detail))
				}
				for _, entry := range f.logs.All() {
					e.Detail += entry.Message + entry.ContextMap()["error"].(string)
				}
				if said := e.Error() + e.Detail; strings.Contains(said, token) || strings.ContainsAny(said, "\n\x00\x1b\u202e") {
					t.Errorf("said: %q", said)
				}
			})
		})
	}
}

// second is a time of an HTTP header, which knows no fractions.
func second() time.Time { return time.Now().UTC().Truncate(time.Second) }

func TestLimitsAreHonouredAndSaid(t *testing.T) {
	const primary, secondary = ": API rate limit exceeded for user ID 1.", ": You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
	with := func(f fakes.Fault, name, value string) fakes.Fault {
		f.Header[name] = value
		return f
	}
	hours := func(n time.Duration) time.Time { return second().Add(n * time.Hour) }
	for name, test := range map[string]struct {
		fault func() fakes.Fault
		wait  time.Duration
		said  string
	}{
		"primary, 403":   {func() fakes.Fault { return fakes.PrimaryLimit(403, hours(1)) }, time.Hour, primary},
		"primary, 429":   {func() fakes.Fault { return fakes.PrimaryLimit(429, hours(1)) }, time.Hour, primary},
		"secondary, 403": {func() fakes.Fault { return fakes.SecondaryLimit(403, 90*time.Second) }, 90 * time.Second, secondary},
		"secondary, 429": {func() fakes.Fault { return fakes.SecondaryLimit(429, 90*time.Second) }, 90 * time.Second, secondary},
		"no time":        {func() fakes.Fault { return fakes.SecondaryLimit(403, 0) }, time.Minute, secondary},
		"no word":        {func() fakes.Fault { return fakes.Fault{Status: 429} }, time.Minute, ""},
		"date": {func() fakes.Fault {
			return with(fakes.SecondaryLimit(403, 0), "Retry-After", "Sat, 01 Jan 2000 00:05:00 GMT")
		}, 5 * time.Minute, secondary},
		"the later of two":        {func() fakes.Fault { return with(fakes.PrimaryLimit(403, hours(1)), "Retry-After", "60") }, time.Hour, primary},
		"the later of two, again": {func() fakes.Fault { return with(fakes.PrimaryLimit(403, second()), "Retry-After", "60") }, time.Minute, primary},
		"in the past":             {func() fakes.Fault { return fakes.PrimaryLimit(403, hours(-1)) }, time.Minute, primary},
		"negative":                {func() fakes.Fault { return with(fakes.SecondaryLimit(403, 0), "Retry-After", "-9000000000000000000") }, time.Minute, secondary},
		"nonsense":                {func() fakes.Fault { return with(fakes.SecondaryLimit(403, 0), "Retry-After", "soon") }, time.Minute, secondary},
		"for ever":                {func() fakes.Fault { return with(fakes.SecondaryLimit(403, 0), "Retry-After", "9000000000000000000") }, longestLimit, secondary},
		"for a year":              {func() fakes.Fault { return fakes.PrimaryLimit(403, hours(8760)) }, longestLimit, primary},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.hub.SetRuns("kainlite", "blog", sha, run("completed success"))
				f.hub.Next(test.fault())
				end := second().Add(test.wait)
				limited := asked + "rate limit exceeded until " + end.Format(time.RFC3339)

				e := f.wantError(ErrRateLimited, limited+test.said)
				equal(t, "until", e.Until.UTC(), end)
				time.Sleep(time.Until(end) - 1)
				e = f.wantError(ErrRateLimited, limited)
				equal(t, "until", e.Until.UTC(), end)
				f.wantRequests(1) // only the first was asked

				if state, err := f.state("another-token"); err != nil || state != Completed {
					t.Errorf("with another token: %v, %v", state, err)
				}
				time.Sleep(time.Nanosecond)
				f.wantState(Completed)
				f.wantRequests(3)
				equal(t, "retries", f.logs.Len(), 0)
			})
		})
	}
}

func TestALimitEndsTheTries(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.hub.Next(fakes.Fault{Status: 502}, fakes.SecondaryLimit(429, time.Minute))
		if _, err := f.state(token); !errors.Is(err, ErrRateLimited) {
			t.Errorf("error: %v", err)
		}
		f.wantRequests(2)
	})
}

func TestALimitOnALaterPageIsALimit(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		limit := fakes.PrimaryLimit(403, second().Add(time.Hour))
		first := fakes.Fault{Status: 200, Header: map[string]string{"Link": `<http://localhost/?page=2>; rel="next"`}, Body: `{"workflow_runs":[]}`}
		for name, value := range limit.Header { // as GitHub answers the last request of the hour
			first.Header[name] = value
		}
		f.hub.Next(first, limit)
		if _, err := f.state(token); !errors.Is(err, ErrRateLimited) {
			t.Errorf("error: %v", err)
		}
	})
}

func TestForgottenLimitsTakeNoMemory(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.hub.Always(fakes.SecondaryLimit(429, time.Minute))
		for _, token := range []string{"a", "b", "c"} {
			f.state(token)
		}
		equal(t, "limits kept", len(f.client.limits), 3)
		time.Sleep(time.Minute)
		f.state("d")
		equal(t, "limits kept", len(f.client.limits), 1)
	})
}

func TestManyAskAtOnce(t *testing.T) {
	f := loopbackFixture(t)
	f.hub.SetRuns("kainlite", "blog", sha, run("queued"))
	var asking sync.WaitGroup
	for range 50 {
		asking.Go(func() {
			if state, err := f.state(token); err != nil || state != Queued {
				t.Errorf("got %v, %v", state, err)
			}
		})
	}
	asking.Wait()
	f.wantRequests(50)
}
