package forge

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	giteaserver "github.com/kainlite/gitops-operator/test/gitea"
)

// stage is a protected repository at a real Gitea: bot may write to it, and
// alice is who reviews. ci has to be green.
type stage struct {
	t          *testing.T
	server     *giteaserver.Server
	repo       giteaserver.Repo
	bot, alice giteaserver.User
	forges     *Forges
	client     *Client
	at         Repository
	dir        string
}

func newStage(t *testing.T, checks ...string) *stage {
	t.Helper()
	s := &stage{t: t, server: giteaserver.Start(t), dir: t.TempDir()}
	s.alice, s.bot = s.server.User(t, "alice"), s.server.User(t, "bot")
	s.repo = s.server.Repository(t, s.alice, "manifests")
	s.repo.Collaborator(t, s.bot, "write")
	s.git("init", "-q", "-b", "main")
	s.commit("first")
	s.git("push", "-q", s.repo.As(s.alice), "main")
	s.repo.WaitForPush(t)
	s.repo.Protect(t, "main", checks...)
	site, err := ParseSite(strings.TrimPrefix(s.server.URL, "http://") + "=gitea@" + s.server.URL)
	must(t, err)
	s.forges, err = New(Options{Sites: []Site{site}})
	must(t, err)
	t.Cleanup(func() { s.forges.transport.(interface{ CloseIdleConnections() }).CloseIdleConnections() })
	s.at = Repository{Host: strings.TrimPrefix(s.server.URL, "http://"), Path: s.repo.Path() + ".git", HTTPS: true}
	s.client = s.as(Token(s.bot.Token))
	return s
}

func (s *stage) as(c Credential) *Client {
	s.t.Helper()
	client, err := s.forges.At(s.at, c)
	must(s.t, err)
	return client
}

func (s *stage) git(args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "git", args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (s *stage) commit(message string) string {
	s.git("commit", "-q", "--allow-empty", "-m", message)
	return s.git("rev-parse", "HEAD")
}

// propose pushes a branch with a change and opens its pull request.
func (s *stage) propose(branch string, labels ...string) PullRequest {
	s.t.Helper()
	s.git("switch", "-q", "-C", "work", "main")
	must(s.t, os.WriteFile(s.dir+"/"+strings.ReplaceAll(branch, "/", "-"), []byte(branch), 0o600))
	s.git("add", ".")
	s.commit("update " + branch)
	s.git("push", "-q", "-f", s.repo.As(s.bot), "work:"+branch)
	p, err := s.client.Create(s.t.Context(), s.at, Proposal{Head: branch, Base: "main", Title: "update " + branch, Body: Body([]Change{blog}), Labels: labels})
	must(s.t, err)
	return p
}

// until asks for the state of a branch's request until it is as wanted.
func (s *stage) until(branch string, want PullState) PullRequest {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for {
		_, err := s.client.Open(ctx, s.at)
		must(s.t, err)
		p, _, err := s.client.Latest(ctx, s.at, branch)
		must(s.t, err)
		if p.State == want {
			return p
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s is %s, want %s", branch, p.State, want)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

const webBranch = "gitops-operator/main/blog-web"

func TestGiteaAPullRequestsLife(t *testing.T) {
	s := newStage(t)
	p := s.propose(webBranch, "deploy", "Bot")
	equal(t, "head and base", p.Head+" "+p.Base, webBranch+" main")
	equal(t, "head's commit", p.HeadSHA, s.git("rev-parse", "work"))
	slices.Sort(p.Labels)
	equal(t, "labels", strings.Join(p.Labels, " "), "Bot deploy")
	if !p.Proposes([]Change{blog}) {
		t.Errorf("the body has lost its mark: %q", p.Body)
	}
	_, err := s.client.Create(t.Context(), s.at, Proposal{Head: webBranch, Base: "main", Title: "again"})
	if !errors.Is(err, ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	p, err = s.client.Update(t.Context(), s.at, p, Edit{Title: "another title", Body: "another body", Labels: []string{"prod", "bot"}})
	must(t, err)
	slices.Sort(p.Labels)
	equal(t, "updated", p.Title+", "+p.Body+", "+strings.Join(p.Labels, " "), "another title, another body, Bot deploy prod")
	open, err := s.client.Open(t.Context(), s.at)
	must(t, err)
	equal(t, "open", open[webBranch].Title, "another title")

	p, err = s.client.Close(t.Context(), s.at, p, "main has it")
	must(t, err)
	equal(t, "closed, and not by a person", string(p.State), "closed")
	equal(t, "refused", p.Refused(), false)
	s.git("push", "-q", s.repo.As(s.bot), ":"+webBranch)
	equal(t, "with the branch deleted", s.until(webBranch, Closed).Head, webBranch)
}

func TestGiteaPeopleMergeAndCloseAndPush(t *testing.T) {
	s := newStage(t)
	a, b, c := s.propose("gitops-operator/main/a"), s.propose("gitops-operator/main/b"), s.propose("gitops-operator/main/c")
	_, err := s.client.Open(t.Context(), s.at)
	must(t, err)

	s.server.Do(t, s.alice, "POST", s.repo.API("/pulls/"+number(a)+"/merge"), map[string]any{"Do": "merge"}, nil)
	merged := s.until(a.Head, Merged)
	if !fullSHA.MatchString(merged.Merge) {
		t.Errorf("merge commit: %q", merged.Merge)
	}
	s.server.Do(t, s.alice, "PATCH", s.repo.API("/pulls/"+number(b)), map[string]any{"state": "closed"}, nil)
	equal(t, "refused", s.until(b.Head, Closed).Refused(), true)

	s.git("switch", "-q", "-C", "theirs", "work")
	foreign := s.commit("alice's own")
	s.git("push", "-q", s.repo.As(s.alice), "theirs:"+c.Head)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for s.until(c.Head, Open).HeadSHA != foreign {
		if ctx.Err() != nil {
			t.Fatal("a commit that a person pushed is not seen")
		}
	}
}

func TestGiteaMergesWhenChecksPass(t *testing.T) {
	s := newStage(t, "ci")
	p := s.propose(webBranch)
	// Gitea looks at conflicts in the background first.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := s.client.Merge(ctx, s.at, p)
		if err == nil {
			break
		} else if !errors.Is(err, ErrNotMergeable) {
			t.Fatal(err)
		}
	}
	open, err := s.client.Open(ctx, s.at)
	must(t, err)
	equal(t, "merges by itself", open[webBranch].AutoMerge, true)
	// Another process does not know that; asking again is no error.
	again, err := New(Options{Sites: s.forges.sites})
	must(t, err)
	defer again.transport.(interface{ CloseIdleConnections() }).CloseIdleConnections()
	fresh, err := again.At(s.at, Token(s.bot.Token))
	must(t, err)
	must(t, fresh.Merge(ctx, s.at, p))

	ci := s.as(Token(s.alice.Token))
	must(t, ci.SetStatus(ctx, s.at, p.HeadSHA, Status{Name: "ci", State: Pending}))
	s.until(webBranch, Open)
	must(t, ci.SetStatus(ctx, s.at, p.HeadSHA, Status{Name: "ci", State: Green}))
	s.until(webBranch, Merged)
}

func TestGiteaStatusesAreChecksAndBuilds(t *testing.T) {
	s := newStage(t)
	head := s.git("rev-parse", "main")
	builds := func(want Build) {
		t.Helper()
		got, err := s.client.Builds(t.Context(), s.at, head)
		must(t, err)
		equal(t, "builds", got, want)
	}
	builds(None)
	set := func(name string, state CheckState) {
		t.Helper()
		must(t, s.client.SetStatus(t.Context(), s.at, head, Status{Name: name, State: state, Description: "d", URL: "https://example.com/"}))
	}
	set("gitops-operator/blog/web", Pending)
	builds(None) // our own say nothing of a build
	set("ci", Pending)
	builds(Running)
	set("ci", Red)
	builds(Failed)
	set("ci", Green)
	set("lint", Red)
	for range 60 { // more than a page of history
		set("noise", Pending)
		set("noise", Green)
	}
	builds(Completed)
	checks, err := s.client.Checks(t.Context(), s.at, head)
	must(t, err)
	var all []string
	for _, c := range checks {
		all = append(all, c.Name+" "+c.State.String())
	}
	equal(t, "checks", strings.Join(all, ", "), "ci green, gitops-operator/blog/web pending, lint red, noise green")
	_, err = s.client.Builds(t.Context(), s.at, other)
	if err != nil && !errors.Is(err, ErrNotFound) {
		t.Errorf("a commit that is not there: %v", err)
	}
}

// Without a runner a run of Actions stays queued, which is what is looked at.
func TestGiteaActions(t *testing.T) {
	s := newStage(t)
	s.git("switch", "-q", "-C", "work", "main")
	must(t, os.MkdirAll(s.dir+"/.gitea/workflows", 0o700))
	must(t, os.WriteFile(s.dir+"/.gitea/workflows/ci.yml", []byte("name: CI\non: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo\n"), 0o600))
	s.git("add", ".")
	head := s.commit("ci")
	s.git("push", "-q", s.repo.As(s.alice), "work:feature")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		got, err := s.client.Builds(ctx, s.at, head)
		must(t, err)
		if got == Queued {
			break
		} else if got != None && got != Running { // its status comes first
			t.Fatalf("builds: %v", got)
		}
	}
	var runs struct {
		WorkflowRuns []struct{ ID int64 } `json:"workflow_runs"`
	}
	s.server.Do(t, s.alice, "GET", s.repo.API("/actions/runs"), nil, &runs)
	equal(t, "runs", len(runs.WorkflowRuns), 1)
	found := false
	checks, err := s.client.Checks(ctx, s.at, head)
	must(t, err)
	for _, c := range checks {
		found = found || c.Name == "CI / build (push)" && c.State == Pending && strings.HasPrefix(c.URL, s.server.URL+"/")
	}
	if !found {
		t.Errorf("no check of the job in %v", checks)
	}
}

func TestGiteaForksAreNotOurs(t *testing.T) {
	s := newStage(t)
	mallory := s.server.User(t, "mallory")
	s.repo.Collaborator(t, mallory, "read")
	var fork struct {
		FullName string `json:"full_name"`
	}
	s.server.Do(t, mallory, "POST", s.repo.API("/forks"), map[string]any{}, &fork)
	s.git("switch", "-q", "-C", "evil", "main")
	s.commit("evil")
	s.git("push", "-q", strings.Replace(s.repo.As(mallory), s.repo.Path(), fork.FullName, 1), "evil:"+webBranch)
	s.server.Do(t, mallory, "POST", s.repo.API("/pulls"), map[string]any{"head": mallory.Name + ":" + webBranch, "base": "main", "title": "evil"}, nil)
	open, err := s.client.Open(t.Context(), s.at)
	must(t, err)
	equal(t, "open", len(open), 0)
	_, ok, err := s.client.Latest(t.Context(), s.at, webBranch)
	must(t, err)
	equal(t, "found", ok, false)
	s.propose(webBranch)
	open, err = s.client.Open(t.Context(), s.at)
	must(t, err)
	equal(t, "ours", open[webBranch].Title, "update "+webBranch)
}

func TestGiteaRefusals(t *testing.T) {
	s := newStage(t)
	reader := s.server.Token(t, s.bot, "read:repository")
	stranger := s.server.User(t, "stranger")
	for name, test := range map[string]struct {
		credential Credential
		ask        func(*Client) error
		want       error
	}{
		"wrong token":    {Token("0123456789abcdef"), func(c *Client) error { _, err := c.Open(t.Context(), s.at); return err }, ErrUnauthorized},
		"wrong password": {Password(s.bot.Name, "wrong"), func(c *Client) error { _, err := c.Open(t.Context(), s.at); return err }, ErrUnauthorized},
		"right password": {Password(s.bot.Name, s.bot.Password), func(c *Client) error { _, err := c.Open(t.Context(), s.at); return err }, nil},
		"token for git":  {Password(s.bot.Name, s.bot.Token), func(c *Client) error { _, err := c.Open(t.Context(), s.at); return err }, nil},
		"nobody":         {Credential{}, func(c *Client) error { _, err := c.Open(t.Context(), s.at); return err }, ErrNotFound},
		"stranger":       {Token(stranger.Token), func(c *Client) error { _, err := c.Builds(t.Context(), s.at, other); return err }, ErrNotFound},
		"token that reads": {Token(reader), func(c *Client) error {
			_, err := c.Create(t.Context(), s.at, Proposal{Head: "x", Base: "main", Title: "x"})
			return err
		}, ErrForbidden},
		"no such branch": {Token(s.bot.Token), func(c *Client) error {
			_, err := c.Create(t.Context(), s.at, Proposal{Head: "gitops-operator/main/none", Base: "main", Title: "x"})
			return err
		}, ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.ask(s.as(test.credential))
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if err != nil {
				t.Log(err)
			}
		})
	}
}

func number(p PullRequest) string { return strconv.FormatInt(p.Number, 10) }
