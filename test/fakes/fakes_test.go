package fakes

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newGitHub(t *testing.T) *GitHub {
	t.Helper()
	g, err := NewGitHub()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func newSlack(t *testing.T) *Slack {
	t.Helper()
	s, err := NewSlack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// get returns status, body and headers.
func get(t *testing.T, url, authorization string) (string, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	return do(t, http.DefaultClient, request)
}

func do(t *testing.T, client *http.Client, request *http.Request) (string, http.Header) {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.Status + " " + strings.TrimSpace(string(body)), response.Header
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func TestGitHubListsTheRunsOfACommit(t *testing.T) {
	g := newGitHub(t)
	g.SetRuns("Kainlite", "blog", "abc", Run{"completed", "failure"}, Run{"queued", ""})
	g.SetRuns("kainlite", "blog", "def", Run{"in_progress", ""})
	runs := g.URL() + "/repos/kainlite/Blog/actions/runs"
	for query, want := range map[string]string{
		"?head_sha=abc": `200 OK {"total_count":2,"workflow_runs":[{"id":1,"head_sha":"abc","status":"completed","conclusion":"failure"},{"id":2,"head_sha":"abc","status":"queued","conclusion":null}]}`,
		"?head_sha=def": `200 OK {"total_count":1,"workflow_runs":[{"id":1,"head_sha":"def","status":"in_progress","conclusion":null}]}`,
		"?head_sha=ab":  `200 OK {"total_count":0,"workflow_runs":[]}`,
	} {
		got, _ := get(t, runs+query, "")
		equal(t, "answer", got, want)
	}
	got, _ := get(t, g.URL()+"/repos/kainlite/other/actions/runs", "")
	equal(t, "answer", got, `404 Not Found {"message":"Not Found"}`)
	got, _ = get(t, g.URL()+"/user", "")
	equal(t, "answer", got, `404 Not Found {"message":"Not Found"}`)
}

func TestGitHubGivesPages(t *testing.T) {
	g := newGitHub(t)
	g.SetRuns("kainlite", "blog", "abc", slices.Repeat([]Run{{"queued", ""}}, 31)...)
	runs := g.URL() + "/repos/kainlite/blog/actions/runs?head_sha=abc"
	body, header := get(t, runs, "")
	equal(t, "runs on a page", strings.Count(body, "queued"), 30)
	equal(t, "link", header.Get("Link"), "<"+runs+`&page=2>; rel="next"`)
	body, header = get(t, runs+"&page=2", "")
	equal(t, "runs on a page", strings.Count(body, "queued"), 1)
	equal(t, "link", header.Get("Link"), "")
	body, _ = get(t, runs+"&page=4&per_page=10", "")
	equal(t, "runs on a page", strings.Count(body, "queued"), 1)
	body, _ = get(t, runs+"&page=9", "")
	equal(t, "runs on a page", strings.Count(body, "queued"), 0)
}

func TestGitHubHidesRepositoriesFromOthers(t *testing.T) {
	g := newGitHub(t)
	g.SetRuns("kainlite", "blog", "abc")
	g.RequireToken("right")
	url := g.URL() + "/repos/kainlite/blog/actions/runs"
	for authorization, want := range map[string]string{
		"":             `404 Not Found {"message":"Not Found"}`,
		"Bearer wrong": `401 Unauthorized {"message":"Bad credentials"}`,
		"Bearer right": `200 OK {"total_count":0,"workflow_runs":[]}`,
	} {
		got, _ := get(t, url, authorization)
		equal(t, "answer", got, want)
		sent := g.Authorizations()
		equal(t, "authorization noted", sent[len(sent)-1], authorization)
	}
}

func TestSlackTakesMessages(t *testing.T) {
	s := newSlack(t)
	post := func(url, contentType, body string) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", contentType)
		got, _ := do(t, http.DefaultClient, request)
		return got
	}
	const json = "application/json"
	equal(t, "answer", post(s.Webhook(), json, `{"text":"one"}`), "200 OK ok")
	equal(t, "answer", post(s.URL()+"/services/x", json, `{"text":"two"}`), "200 OK ok")
	equal(t, "answer", post(s.Webhook(), json, `{"text":""}`), "400 Bad Request no_text")
	equal(t, "answer", post(s.Webhook(), json, `text`), "400 Bad Request invalid_payload")
	equal(t, "answer", post(s.Webhook(), "text/plain", `{"text":"three"}`), "400 Bad Request invalid_payload")
	equal(t, "answer", post(s.URL()+"/other", json, `{"text":"three"}`), "404 Not Found no_service")
	got, _ := get(t, s.Webhook(), "")
	equal(t, "answer", got, "400 Bad Request invalid_payload")
	equal(t, "messages", strings.Join(s.Messages(), ","), "one,two")
	equal(t, "body noted", s.Requests()[0].Body, `{"text":"one"}`)

	messages, err := s.WaitFor(t.Context(), 2)
	equal(t, "messages", strings.Join(messages, ","), "one,two")
	equal(t, "error", err, nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.WaitFor(gone, 3); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
}

func TestWaitForWaitsForTheLast(t *testing.T) {
	s := newSlack(t)
	go func() {
		for range 3 {
			if response, err := http.Post(s.Webhook(), "application/json", strings.NewReader(`{"text":"x"}`)); err == nil {
				response.Body.Close()
			}
		}
	}()
	messages, err := s.WaitFor(t.Context(), 3)
	equal(t, "messages", len(messages), 3)
	equal(t, "error", err, nil)
}

// pipeClient reaches a Slack on a pipe. It is for use in a bubble.
func pipeClient(t *testing.T, test func(s *Slack, post func() (string, error))) {
	t.Helper()
	pipe := NewPipe()
	s := ServeSlack(pipe)
	transport := &http.Transport{DialContext: pipe.DialContext, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	defer transport.CloseIdleConnections()
	defer s.Close()
	test(s, func() (string, error) {
		response, err := client.Post(s.Webhook(), "application/json", strings.NewReader(`{"text":"x"}`))
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response.Status + " " + string(body), err
	})
}

func TestFaultsComeOnceOrAlways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipeClient(t, func(s *Slack, post func() (string, error)) {
			s.Always(Fault{Status: 503})
			s.Next(Fault{Status: 429, Header: map[string]string{"Retry-After": "1"}, Body: "slowly"}, Fault{Delay: 9 * time.Second}, Fault{Raw: "HTTP/1.1 299 Odd\r\n\r\n"})
			for _, want := range []string{"429 Too Many Requests slowly", "200 OK ok", "299 Odd ", "503 Service Unavailable ", "503 Service Unavailable "} {
				got, err := post()
				equal(t, "answer", got, want)
				equal(t, "error", err, nil)
			}
			s.Always(Fault{})
			got, _ := post()
			equal(t, "answer", got, "200 OK ok")
			equal(t, "requests", len(s.Requests()), 6)
		})
	})
}

func TestFaultsTakeTimeOrTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipeClient(t, func(s *Slack, post func() (string, error)) {
			begin := time.Now()
			s.Next(Fault{Cut: true})
			if _, err := post(); !errors.Is(err, io.EOF) {
				t.Errorf("cut: %v", err)
			}
			equal(t, "time", time.Since(begin), 0)
			for _, fault := range []Fault{{Hang: true}, {Delay: time.Hour}} {
				begin = time.Now()
				s.Next(fault)
				if _, err := post(); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%+v: %v", fault, err)
				}
				equal(t, "time", time.Since(begin), 10*time.Second)
			}
			equal(t, "messages", len(s.Messages()), 0)
		})
	})
}

func TestCloseEndsWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipeClient(t, func(s *Slack, post func() (string, error)) {
			s.Always(Fault{Hang: true})
			ended := make(chan error)
			go func() {
				_, err := post()
				ended <- err
			}()
			synctest.Wait()
			begin := time.Now()
			s.Close()
			s.Close()
			if err := <-ended; err == nil {
				t.Error("the request that hung was answered")
			}
			if _, err := post(); err == nil {
				t.Error("a closed server answered")
			}
			equal(t, "time", time.Since(begin), 0)
		})
	})
}

func TestLimitsAreWordedAsByGitHub(t *testing.T) {
	g := newGitHub(t)
	g.Next(PrimaryLimit(403, time.Unix(1_700_000_000, 0)), SecondaryLimit(429, time.Minute), SecondaryLimit(403, 0))
	got, header := get(t, g.URL(), "")
	equal(t, "answer", got, `403 Forbidden {"message":"API rate limit exceeded for user ID 1."}`)
	equal(t, "reset", header.Get("X-RateLimit-Reset"), "1700000000")
	equal(t, "remaining", header.Get("X-RateLimit-Remaining"), "0")
	const secondary = `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",` +
		`"documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`
	got, header = get(t, g.URL(), "")
	equal(t, "answer", got, "429 Too Many Requests "+secondary)
	equal(t, "wait", header.Get("Retry-After"), "60")
	got, header = get(t, g.URL(), "")
	equal(t, "answer", got, "403 Forbidden "+secondary)
	equal(t, "wait", header.Get("Retry-After"), "")
}
