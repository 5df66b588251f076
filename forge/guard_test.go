package forge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kainlite/gitops-operator/test/fakes"
)

// open asks for pull requests and returns the error.
func (h *host) open() error {
	_, err := h.client.Open(h.t.Context(), h.repo)
	return err
}

const asked = "ask localhost for the pull requests of acme/manifests: "

func TestFailuresAreSaidWithWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		status     int
		body       string
		kind       error
		want       string
		wantTries  int
		wantGitLab string // "": as want
	}{
		"401":       {401, `{"message":"Bad credentials"}`, ErrUnauthorized, "token refused: Bad credentials (the token must be valid and needs the permission pull requests: read)", 1, "token refused: Bad credentials (the token must be valid and needs the scope read_api)"},
		"403":       {403, `{"message":"Resource not accessible"}`, ErrForbidden, "not allowed with this token: Resource not accessible (the token needs the permission pull requests: read)", 1, "not allowed with this token: Resource not accessible (the token needs the scope read_api)"},
		"404":       {404, `{"message":"404 Project Not Found"}`, ErrNotFound, "repository not visible with this token (check its name; the token needs the permission pull requests: read)", 1, "repository not visible with this token (check its name; the token needs the scope read_api)"},
		"422":       {422, `{"message":"Validation Failed","errors":[{"field":"head","code":"invalid"}]}`, ErrInvalid, "refused by the host: 422 Unprocessable Entity: Validation Failed: head invalid", 1, ""},
		"list":      {400, `{"message":{"title":["is too long"]}}`, ErrInvalid, "refused by the host: 400 Bad Request: title is too long", 1, ""},
		"teapot":    {418, `<p>short`, ErrUnexpected, "unexpected answer: 418 I'm a teapot", 1, ""},
		"500":       {500, ``, ErrUnavailable, "API not available: 500 Internal Server Error", 3, ""},
		"503":       {503, `{"message":"back soon"}`, ErrUnavailable, "API not available: 503 Service Unavailable: back soon", 3, ""},
		"202":       {202, `{}`, ErrUnexpected, "unexpected answer: 202 Accepted", 1, ""},
		"not JSON":  {200, `<!DOCTYPE html>`, ErrUnexpected, "unexpected answer: not the JSON that was expected: invalid character '<' looking for beginning of value", 1, ""},
		"too large": {200, `[` + strings.Repeat(" ", maxAnswer), ErrUnexpected, "unexpected answer: answer is larger than 16 MiB", 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			onFakes(t, func(t *testing.T, h *host) {
				h.server.Always(fakes.Fault{Status: test.status, Body: test.body})
				want := test.want
				if h.kind == GitLab && test.wantGitLab != "" {
					want = test.wantGitLab
				}
				isError(t, h.open(), test.kind, asked+want)
				equal(t, "requests", h.requests(), test.wantTries)
			})
		})
	}
}

func TestWithoutATokenTheHintSaysSo(t *testing.T) {
	onFake(t, GitHub, func(t *testing.T, h *host) {
		h.client = h.at(Credential{})
		isError(t, h.open(), ErrUnauthorized, asked+"token refused: Bad credentials (there is none; it needs a token with the permission pull requests: read)")
	})
}

func TestBrokenConnectionsAreTriedThreeTimes(t *testing.T) {
	for name, test := range map[string]struct {
		fault fakes.Fault
		want  string
	}{
		"cut":    {fakes.Fault{Cut: true}, "EOF"},
		"silent": {fakes.Fault{Hang: true}, "no answer within 10s"},
		"slow":   {fakes.Fault{Delay: 11 * time.Second}, "no answer within 10s"},
		"partial": {fakes.Fault{Status: 200, Header: map[string]string{"Content-Length": "1000"}, Body: `[`},
			"read answer: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			onFakes(t, func(t *testing.T, h *host) {
				h.server.Next(test.fault, test.fault, test.fault)
				isError(t, h.open(), ErrUnavailable, asked+"API not available: "+test.want)
				equal(t, "requests", h.requests(), 3)
				isError(t, h.open(), ErrUnavailable, asked+"API not available: "+test.want)
				equal(t, "requests while it is left alone", h.requests(), 3)
				time.Sleep(outage)
				h.server.Next(test.fault, test.fault)
				must(t, h.open())
			})
		})
	}
}

// One repository's trouble is not another's; a host that is not there is
// everybody's.
func TestWhoIsLeftAlone(t *testing.T) {
	onFake(t, GitHub, func(t *testing.T, h *host) {
		h.github.Repository("acme/other")
		h.server.Next(fakes.Fault{Status: 500}, fakes.Fault{Status: 500}, fakes.Fault{Status: 500})
		if err := h.open(); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		elsewhere := Repository{Host: h.repo.Host, Path: "acme/other"}
		_, err := h.client.Open(t.Context(), elsewhere)
		must(t, err)
		time.Sleep(outage)
		h.server.Close()
		_, err = h.client.Open(t.Context(), elsewhere)
		if !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	})
}

func TestWhatWritesIsNotTriedAgain(t *testing.T) {
	onFakes(t, func(t *testing.T, h *host) {
		h.server.Next(fakes.Fault{Status: 502})
		_, err := h.client.Create(t.Context(), h.repo, Proposal{Head: "gitops-operator/main/a", Base: "main", Title: "t"})
		isError(t, err, ErrUnavailable, "ask localhost to open a pull request in acme/manifests: API not available: 502 Bad Gateway")
		equal(t, "requests", h.requests(), 1)
	})
}

func TestLimitsAreHonouredAndSaid(t *testing.T) {
	hour := func() time.Time { return time.Now().UTC().Truncate(time.Second).Add(time.Hour) }
	for name, test := range map[string]struct {
		fault func() fakes.Fault
		wait  time.Duration
		said  string
	}{
		"primary":   {func() fakes.Fault { return fakes.PrimaryLimit(403, hour()) }, time.Hour, ": API rate limit exceeded for user ID 1."},
		"secondary": {func() fakes.Fault { return fakes.SecondaryLimit(403, 90*time.Second) }, 90 * time.Second, ": You have exceeded a secondary rate limit. Please wait a few minutes before you try again."},
		"no time":   {func() fakes.Fault { return fakes.Fault{Status: 429} }, time.Minute, ""},
		"gitlab": {func() fakes.Fault {
			return fakes.Fault{Status: 429, Header: map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": fmt.Sprint(hour().Unix())}, Body: "Retry later"}
		}, time.Hour, ""},
		"for ever": {func() fakes.Fault {
			return fakes.Fault{Status: 429, Header: map[string]string{"Retry-After": "9000000000000000000"}}
		}, longestLimit, ""},
		"in the past": {func() fakes.Fault { return fakes.PrimaryLimit(403, hour().Add(-2*time.Hour)) }, time.Minute, ": API rate limit exceeded for user ID 1."},
	} {
		t.Run(name, func(t *testing.T) {
			onFakes(t, func(t *testing.T, h *host) {
				h.server.Next(test.fault())
				end := time.Now().UTC().Truncate(time.Second).Add(test.wait)
				e := isError(t, h.open(), ErrRateLimited, asked+"rate limit exceeded until "+end.Format(time.RFC3339)+test.said)
				equal(t, "until", e.Until.Equal(end), true)
				isError(t, h.open(), ErrRateLimited, asked+"rate limit exceeded until "+end.Format(time.RFC3339))
				_, err := h.client.Builds(t.Context(), Repository{Host: h.repo.Host, Path: "acme/another"}, sha)
				if !errors.Is(err, ErrRateLimited) {
					t.Errorf("another repository, same token: %v", err)
				}
				equal(t, "requests", h.requests(), 1)
				_, err = h.at(Token("another")).Open(t.Context(), h.repo)
				if !errors.Is(err, ErrUnauthorized) {
					t.Errorf("another token: %v", err)
				}
				time.Sleep(time.Until(end))
				must(t, h.open())
			})
		})
	}
}

func TestTheTokenGoesToItsHostOnly(t *testing.T) {
	onFakes(t, func(t *testing.T, h *host) {
		for _, to := range []string{"http://evil.example.com/x", "https://localhost/x", "http://localhost:8080/x"} {
			h.server.Next(fakes.Fault{Status: 302, Header: map[string]string{"Location": to}})
			before := h.requests()
			origin := strings.TrimSuffix(to, "/x")
			isError(t, h.open(), ErrUnexpected, asked+"unexpected answer: redirect to another host, "+origin+", not followed")
			equal(t, "requests", h.requests()-before, 1)
		}
		h.server.Next(fakes.Fault{Status: 302, Header: map[string]string{"Location": "/elsewhere"}})
		_, err := h.client.Create(t.Context(), h.repo, Proposal{Head: "gitops-operator/main/a", Base: "main", Title: "t"})
		isError(t, err, ErrUnexpected, "ask localhost to open a pull request in acme/manifests: unexpected answer: redirect to /elsewhere, not followed; if the repository was renamed, use its new name")
	})
}

func TestARenamedRepositoryIsFollowed(t *testing.T) {
	onFake(t, GitHub, func(t *testing.T, h *host) {
		h.server.Next(fakes.Fault{Status: 301, Header: map[string]string{"Location": "http://localhost/api/v3/repos/acme/manifests/pulls"}})
		must(t, h.open())
	})
}

func TestTheTokenAppearsNowhere(t *testing.T) {
	echo, _ := json.Marshal(map[string]string{"message": "you sent " + token + "\x1b[31m\nwh\u202eich is secret " + strings.Repeat("long ", 200)})
	for name, fault := range map[string]fakes.Fault{
		"refused":      {Status: 401, Body: string(echo)},
		"limited":      {Status: 429, Body: string(echo)},
		"unexpected":   {Status: 422, Body: string(echo)},
		"server error": {Status: 500, Body: string(echo)},
		"redirect":     {Status: 302, Header: map[string]string{"Location": "https://" + token + ".example.com/"}},
		"no HTTP":      {Raw: "220 " + token + "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			onFakes(t, func(t *testing.T, h *host) {
				h.server.Always(fault)
				_, err := h.client.Create(t.Context(), h.repo, Proposal{Head: "a", Base: "b", Title: "t"})
				for _, err := range []error{err, h.open()} {
					if err == nil || strings.Contains(err.Error(), token) || strings.ContainsAny(err.Error(), "\n\x1b\u202e") || len(err.Error()) > 600 {
						t.Errorf("error: %q", err)
					}
				}
			})
		})
	}
	c := Password("me", token)
	text, _ := json.Marshal(c)
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %q %x %d %s", c, c, c, c, c, &c), string(text), fmt.Sprintf("%v", []Credential{c})} {
		if strings.Contains(s, token) || strings.Contains(s, fmt.Sprintf("%x", token)) {
			t.Errorf("printed: %s", s)
		}
	}
}

func TestATokenThatNoHeaderCanHold(t *testing.T) {
	onFake(t, GitHub, func(t *testing.T, h *host) {
		h.client = h.at(Token("two words"))
		isError(t, h.open(), ErrUnauthorized, asked+"token refused: it holds characters that no token has (look at the Secret: there may be a line break or a quotation mark in it)")
		equal(t, "requests", h.requests(), 0)
	})
}

func TestHowCredentialsAreSent(t *testing.T) {
	for _, test := range []struct {
		kind Kind
		c    Credential
		want string
	}{
		{GitHub, Token("t"), "Bearer t"},
		{GitHub, Password("me", "t"), "Bearer t"},
		{GitLab, Password("oauth2", "t"), "Bearer t"},
		{Gitea, Token("t"), "Bearer t"},
		{Gitea, Password("me", "t"), "Basic bWU6dA=="},
		{Bitbucket, Password("me", "t"), "Basic bWU6dA=="},
		{Bitbucket, Password("x-token-auth", "t"), "Bearer t"},
		{GitHub, Credential{}, ""},
	} {
		g := guard{client: &Client{site: Site{Kind: test.kind}, credential: test.c}}
		r, _ := http.NewRequest("GET", "https://x/", nil)
		g.authorize(r, test.c.secret)
		equal(t, string(test.kind), r.Header.Get("Authorization"), test.want)
	}
}

func TestACallThatIsGivenUpEndsAtOnce(t *testing.T) {
	gone := errors.New("nobody waits any more")
	for name, fault := range map[string]fakes.Fault{"in a try": {Hang: true}, "between tries": {Status: 502}} {
		t.Run(name, func(t *testing.T) {
			onFakes(t, func(t *testing.T, h *host) {
				h.server.Always(fault)
				ctx, cancel := context.WithCancelCause(t.Context())
				go func() { synctest.Wait(); cancel(gone) }()
				begin := time.Now()
				_, err := h.client.Open(ctx, h.repo)
				if !errors.Is(err, gone) {
					t.Fatalf("error: %v", err)
				}
				equal(t, "error", err.Error(), asked+"nobody waits any more")
				equal(t, "time", time.Since(begin), 0)
			})
		})
	}
}

func TestManyAskAtOnce(t *testing.T) {
	onFakes(t, func(t *testing.T, h *host) {
		h.add("gitops-operator/main/web", "t", "", false)
		var asking sync.WaitGroup
		for range 50 {
			asking.Go(func() {
				if open, err := h.client.Open(t.Context(), h.repo); err != nil || len(open) != 1 {
					t.Errorf("got %d, %v", len(open), err)
				}
				if _, err := h.client.Builds(t.Context(), h.repo, sha); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
	})
}

// source gives one token after the other.
type source struct {
	tokens []string
	asked  []string
}

func (s *source) ID() string   { return "s" }
func (s *source) Host() string { return "localhost" }
func (s *source) Token(_ context.Context, owner, name, refused string) (string, error) {
	s.asked = append(s.asked, owner+"/"+name+" "+refused)
	if len(s.tokens) == 0 {
		return "", errors.New("no more")
	}
	t := s.tokens[0]
	s.tokens = s.tokens[1:]
	return t, nil
}

func TestATokenThatEndsIsRenewedOnce(t *testing.T) {
	onFakes(t, func(t *testing.T, h *host) {
		s := &source{tokens: []string{"old", token}}
		h.client = h.at(Source(s))
		_, err := h.client.Create(t.Context(), h.repo, Proposal{Head: "gitops-operator/main/a", Base: "main", Title: "t", Body: "whole"})
		must(t, err)
		equal(t, "asked for", strings.Join(s.asked, ", "), "acme/manifests , acme/manifests old")
		s.tokens = []string{"old", "older", token}
		if err := h.open(); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("got %v", err)
		}
		equal(t, "tokens left", len(s.tokens), 1)
		s.tokens = nil
		isError(t, h.open(), ErrUnauthorized, asked+"token refused: no more")
	})
	forges, _ := New(Options{})
	if _, err := forges.At(Repository{Host: "gitlab.com", Path: "a/b"}, Source(&source{})); err == nil {
		t.Error("an App's token would go to another host")
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	l := newLRU[int, int](10)
	for i := range 100 {
		l.put(i, i, 3)
		l.get(0)
	}
	equal(t, "kept", len(l.entries), 3)
	equal(t, "cost", l.cost, 9)
	if _, ok := l.get(0); !ok {
		t.Error("what was used is gone")
	}
	l.put(0, 1, 11)
	if _, ok := l.get(0); ok {
		t.Error("what is too large is kept")
	}
	equal(t, "made", l.getOrPut(5, 1, func() int { return 7 }), 7)
	equal(t, "kept", l.getOrPut(5, 1, func() int { return 8 }), 7)
}
