package forge

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	gh "github.com/google/go-github/v60/github"
	gl "gitlab.com/gitlab-org/api/client-go"
	"go.uber.org/goleak"

	"github.com/kainlite/gitops-operator/test/fakes"
	"github.com/kainlite/gitops-operator/test/forgeserver"
	giteaserver "github.com/kainlite/gitops-operator/test/gitea"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(giteaserver.M{M: m}) }

const (
	sha   = "e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5"
	other = "3c0a88249fb61a0a4f4a65295f42b2dee3963c28"
	token = "ghp_a1b2c3d4e5f6a7b8"
)

// host is a fake host with a repository acme/manifests, and a client of it.
type host struct {
	t       *testing.T
	kind    Kind
	forges  *Forges
	client  *Client
	repo    Repository
	server  *fakes.Server
	github  *forgeserver.GitHub
	hub     *forgeserver.GitHubRepo
	gitlab  *forgeserver.GitLab
	project *forgeserver.GitLabProject
}

// onFakes runs a test for GitHub and for GitLab, each on a fake clock, with
// HTTP over pipes.
func onFakes(t *testing.T, test func(t *testing.T, h *host)) {
	t.Helper()
	for _, kind := range []Kind{GitHub, GitLab} {
		t.Run(string(kind), func(t *testing.T) { onFake(t, kind, test) })
	}
}

func onFake(t *testing.T, kind Kind, test func(t *testing.T, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pipe := fakes.NewPipe()
		h := &host{t: t, kind: kind, repo: Repository{Host: "git.example.com", Path: "acme/manifests"}}
		var err error
		if kind == GitHub {
			h.github, err = forgeserver.NewGitHub(pipe)
			must(t, err)
			h.server, h.hub = &h.github.Server, h.github.Repository("acme/manifests")
			h.github.Token(token)
		} else {
			h.gitlab, err = forgeserver.NewGitLab(pipe)
			must(t, err)
			h.server, h.project = &h.gitlab.Server, h.gitlab.Project("acme/manifests")
			h.gitlab.Token(token)
		}
		defer h.server.Close()
		site, err := ParseSite("git.example.com=" + string(kind) + "@http://localhost")
		must(t, err)
		transport := &http.Transport{DialContext: pipe.DialContext}
		defer transport.CloseIdleConnections()
		h.forges, err = New(Options{Sites: []Site{site}})
		must(t, err)
		h.forges.transport = transport
		h.client = h.at(Token(token))
		test(t, h)
	})
}

func (h *host) at(c Credential) *Client {
	h.t.Helper()
	client, err := h.forges.At(h.repo, c)
	must(h.t, err)
	return client
}

// do changes what the fake knows.
func (h *host) do(f func()) {
	if h.github != nil {
		h.github.Do(f)
	} else {
		h.gitlab.Do(f)
	}
}

// add adds an open pull request, of a fork if foreign.
func (h *host) add(branch, title, body string, foreign bool) (touch, merge, close func()) {
	var source int64 = 999_999
	if h.github != nil {
		if !foreign {
			source = h.hub.Settings.GetID()
		}
		var p *gh.PullRequest
		h.do(func() { p = h.github.AddPull(h.hub, source, branch, "main", title, body) })
		return func() { h.do(func() { h.github.Touch(p) }) },
			func() { h.do(func() { h.github.MergePull(p) }) },
			func() { h.do(func() { p.State = gh.String("closed"); h.github.Touch(p) }) }
	}
	if !foreign {
		source = h.project.ID
	}
	var m *gl.BasicMergeRequest
	h.do(func() { m = h.gitlab.AddRequest(h.project, source, branch, "main", title, body) })
	state := func(s string) func() {
		return func() { h.do(func() { m.State = s; h.gitlab.Touch(m) }) }
	}
	return state("opened"), func() { h.do(func() { m.MergeCommitSHA = other }); state("merged")() }, state("closed")
}

func (h *host) counted() int {
	if h.github != nil {
		return h.github.Counted()
	}
	return h.gitlab.Counted()
}

func (h *host) requests() int { return len(h.server.Requests()) }

// branches lists the open pull requests.
func (h *host) branches() string {
	h.t.Helper()
	open, err := h.client.Open(h.t.Context(), h.repo)
	must(h.t, err)
	var names []string
	for branch := range open {
		names = append(names, strings.TrimPrefix(branch, BranchPrefix))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// isError wants an error of a kind, with exactly that text.
func isError(t testing.TB, err, kind error, text string) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || !errors.Is(err, kind) {
		t.Fatalf("error: got %v, want one of the kind %q", err, kind)
	}
	equal(t, "error", err.Error(), text)
	return e
}
