package forge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kainlite/gitops-operator/test/fakes"
)

// bitbucketPR is a pull request as the host's documentation shows it, cut to
// what is read.
func bitbucketPR(id int, state, branch, source string) string {
	return fmt.Sprintf(`{"type":"pullrequest","id":%d,"title":"t","description":"d","state":%q,
		"links":{"html":{"href":"https://bitbucket.org/acme/manifests/pull-requests/%d"}},
		"source":{"branch":{"name":%q},"commit":{"hash":"e4f5a6b1c2d3"},"repository":{"uuid":%q}},
		"destination":{"branch":{"name":"main"},"repository":{"uuid":"{1}"}},
		"merge_commit":{"hash":"3c0a88249fb6"},"updated_on":"2026-01-01T00:00:0%d.000000+00:00"}`, id, state, id, branch, source, id)
}

// onBitbucket answers METHOD PATH with JSON, by a table that the test changes.
func onBitbucket(t *testing.T, test func(t *testing.T, c *Client, r Repository, answers map[string]string, seen func() []fakes.Request)) {
	synctest.Test(t, func(t *testing.T) {
		pipe, answers := fakes.NewPipe(), make(map[string]string)
		var server fakes.Server
		must(t, server.Start(pipe, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, ok := answers[r.Method+" "+strings.TrimPrefix(r.URL.Path, "/2.0/repositories/acme/manifests/")]
			if !ok {
				w.WriteHeader(http.StatusNotFound)
				body = `{"type":"error","error":{"message":"Repository acme/manifests not found"}}`
			}
			io.WriteString(w, body)
		})))
		defer server.Close()
		api := mustAPI(t, "http://localhost/2.0/")
		forges, err := New(Options{Sites: []Site{{Host: "bitbucket.org", Kind: Bitbucket, api: api.api}}})
		must(t, err)
		transport := &http.Transport{DialContext: pipe.DialContext}
		defer transport.CloseIdleConnections()
		forges.transport = transport
		r := Repository{Host: "altssh.bitbucket.org:443", Path: "acme/manifests"}
		c, err := forges.At(r, Token("t"))
		must(t, err)
		test(t, c, r, answers, server.Requests)
	})
}

// mustAPI is a site whose API is at a URL.
func mustAPI(t *testing.T, s string) Site {
	t.Helper()
	site, err := ParseSite("x.com=github@" + s)
	must(t, err)
	return site
}

func TestBitbucketPullRequests(t *testing.T) {
	onBitbucket(t, func(t *testing.T, c *Client, r Repository, answers map[string]string, seen func() []fakes.Request) {
		answers["GET pullrequests"] = `{"values":[` + strings.Join([]string{
			bitbucketPR(1, "OPEN", "gitops-operator/main/a", "{1}"), bitbucketPR(2, "MERGED", "gitops-operator/main/b", "{1}"),
			bitbucketPR(3, "DECLINED", "gitops-operator/main/c", "{1}"), bitbucketPR(4, "OPEN", "gitops-operator/main/d", "{2}"),
		}, ",") + `]}`
		open, err := c.Open(t.Context(), r)
		must(t, err)
		equal(t, "open", len(open), 1)
		equal(t, "page", open["gitops-operator/main/a"].URL, "https://bitbucket.org/acme/manifests/pull-requests/1")
		for branch, want := range map[string]PullState{"b": Merged, "c": Closed} {
			p, _, err := c.Latest(t.Context(), r, "gitops-operator/main/"+branch)
			must(t, err)
			equal(t, branch, p.State, want)
		}
		_, err = c.Create(t.Context(), r, Proposal{Head: "gitops-operator/main/a", Base: "main", Title: "t", Body: "d"})
		if !errors.Is(err, ErrExists) {
			t.Errorf("created twice: %v", err)
		}
		answers["POST pullrequests"] = bitbucketPR(5, "OPEN", "gitops-operator/main/e", "{1}")
		p, err := c.Create(t.Context(), r, Proposal{Head: "gitops-operator/main/e", Base: "main", Title: "t", Body: "d"})
		must(t, err)
		answers["PUT pullrequests/5"] = answers["POST pullrequests"]
		answers["POST pullrequests/5/decline"] = bitbucketPR(5, "DECLINED", "gitops-operator/main/e", "{1}")
		p, err = c.Close(t.Context(), r, p, "main has it")
		must(t, err)
		equal(t, "state", p.State, Closed)
		if err := c.Merge(t.Context(), r, open["gitops-operator/main/a"]); !errors.Is(err, ErrUnsupported) {
			t.Errorf("auto-merge: %v", err)
		}
		var sent struct {
			Source struct{ Branch struct{ Name string } }
		}
		for _, q := range seen() {
			if q.Method == "POST" && strings.HasSuffix(q.URI, "/pullrequests") {
				must(t, json.Unmarshal([]byte(q.Body), &sent))
			}
		}
		equal(t, "branch that was sent", sent.Source.Branch.Name, "gitops-operator/main/e")
	})
}

func TestBitbucketBuildsAndStatuses(t *testing.T) {
	onBitbucket(t, func(t *testing.T, c *Client, r Repository, answers map[string]string, seen func() []fakes.Request) {
		for state, want := range map[string]Build{
			`{"name":"COMPLETED","result":{"name":"SUCCESSFUL"}}`: Completed,
			`{"name":"COMPLETED","result":{"name":"FAILED"}}`:     Failed,
			`{"name":"IN_PROGRESS","stage":{"name":"RUNNING"}}`:   Running,
			`{"name":"IN_PROGRESS","stage":{"name":"PAUSED"}}`:    Failed,
			`{"name":"PENDING"}`: Queued,
		} {
			answers["GET pipelines"] = `{"values":[{"target":{"commit":{"hash":"` + sha + `"}},"state":` + state + `},{"target":{"commit":{"hash":"` + other + `"}},"state":{"name":"PENDING"}}]}`
			got, err := c.Builds(t.Context(), r, sha)
			must(t, err)
			equal(t, state, got, want)
		}
		answers["POST commit/"+sha+"/statuses/build"] = `{}`
		must(t, c.SetStatus(t.Context(), r, sha, Status{Name: "gitops-operator/blog/web", State: Green}))
		last := seen()[len(seen())-1]
		var sent map[string]string
		must(t, json.Unmarshal([]byte(last.Body), &sent))
		if len(sent["key"]) > 40 || sent["state"] != "SUCCESSFUL" || sent["url"] == "" || sent["name"] != "gitops-operator/blog/web" {
			t.Errorf("sent %v", sent)
		}
		answers["GET commit/"+sha+"/statuses"] = `{"values":[{"key":"k","name":"ci","state":"FAILED","url":"https://x/"},{"key":"lint","state":"STOPPED"},{"key":"e2e","state":"INPROGRESS"}]}`
		checks, err := c.Checks(t.Context(), r, sha)
		must(t, err)
		equal(t, "checks", fmt.Sprint(checks), "[{ci red https://x/} {e2e pending } {lint red }]")
		_, err = c.Builds(t.Context(), Repository{Host: "bitbucket.org", Path: "acme/none"}, sha)
		isError(t, err, ErrNotFound, "ask localhost for the builds of acme/none: repository not visible with this token (check its name; the token needs the scope read:pipeline:bitbucket)")
	})
}
