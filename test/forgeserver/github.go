package forgeserver

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	gh "github.com/google/go-github/v60/github"
)

// GitHub is a fake of GitHub's API. Repositories exist once Repository was
// called.
type GitHub struct {
	server
	App   App
	repos map[string]*GitHubRepo // by path, in lower case
}

// GitHubRepo is what the fake knows of a repository. Change it inside Do only.
type GitHubRepo struct {
	Path     string
	Settings gh.Repository
	Pulls    []*gh.PullRequest
	Runs     map[string][]*gh.WorkflowRun // by commit
	Checks   map[string][]*gh.CheckRun
	Statuses map[string][]*gh.RepoStatus // the latest first
	Labels   []string
	// AutoMergeError is GraphQL's answer to auto-merge, or "" for success.
	AutoMergeError, AutoMergeType string
}

// NewGitHub starts a fake; a nil listener means a free port on the loopback
// address.
func NewGitHub(l net.Listener) (*GitHub, error) {
	g := &GitHub{repos: make(map[string]*GitHubRepo)}
	mux := http.NewServeMux()
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request, *GitHubRepo)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /repos/{owner}/{repo}"+path, func(w http.ResponseWriter, r *http.Request) {
			repo := g.repos[strings.ToLower(r.PathValue("owner")+"/"+r.PathValue("repo"))]
			if repo == nil {
				githubMissing(w)
				return
			}
			f(w, r, repo)
		})
	}
	handle("GET ", func(w http.ResponseWriter, _ *http.Request, repo *GitHubRepo) {
		writeJSON(w, http.StatusOK, repo.Settings)
	})
	handle("GET /pulls", g.list)
	handle("POST /pulls", g.create)
	handle("PATCH /pulls/{number}", g.edit)
	handle("PUT /pulls/{number}/merge", g.merge)
	handle("POST /issues/{number}/labels", g.label)
	handle("GET /actions/runs", g.runs)
	handle("GET /commits/{sha}/check-runs", func(w http.ResponseWriter, r *http.Request, repo *GitHubRepo) {
		all := repo.Checks[r.PathValue("sha")]
		writeJSON(w, http.StatusOK, gh.ListCheckRunsResults{Total: gh.Int(len(all)), CheckRuns: page(w, r, all)})
	})
	handle("GET /commits/{sha}/status", g.status)
	handle("POST /statuses/{sha}", g.setStatus)
	mux.HandleFunc("POST /graphql", g.graphQL)
	g.App.handle(mux, g)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { githubMissing(w) })
	return g, g.Start(l, g.handler(enterprise(mux)))
}

// enterprise serves the API also where GitHub Enterprise has it.
func enterprise(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, prefix := range []string{"/api/v3/", "/api/"} {
			if rest, ok := strings.CutPrefix(r.URL.Path, prefix); ok {
				r = r.Clone(r.Context())
				r.URL.Path = "/" + rest
				break
			}
		}
		next.ServeHTTP(w, r)
	})
}

func githubMissing(w http.ResponseWriter) {
	writeJSON(w, http.StatusNotFound, map[string]string{"message": "Not Found", "documentation_url": "https://docs.github.com/rest"})
}

func githubInvalid(w http.ResponseWriter, message string) {
	writeJSON(w, http.StatusUnprocessableEntity, map[string]any{
		"message": "Validation Failed",
		"errors":  []map[string]string{{"resource": "PullRequest", "code": "custom", "message": message}},
	})
}

// Repository makes a repository exist and returns it.
func (g *GitHub) Repository(path string) *GitHubRepo {
	g.mu.Lock()
	defer g.mu.Unlock()
	repo := &GitHubRepo{
		Path:     path,
		Settings: gh.Repository{ID: gh.Int64(g.next()), FullName: &path, AllowAutoMerge: gh.Bool(true), AllowMergeCommit: gh.Bool(true), AllowRebaseMerge: gh.Bool(true), AllowSquashMerge: gh.Bool(true)},
		Runs:     make(map[string][]*gh.WorkflowRun),
		Checks:   make(map[string][]*gh.CheckRun),
		Statuses: make(map[string][]*gh.RepoStatus),
	}
	g.repos[strings.ToLower(path)] = repo
	return repo
}

// Do changes what the fake knows, as people and builds do.
func (g *GitHub) Do(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

// Touch takes down that a pull request has changed. Call it inside Do.
func (g *GitHub) Touch(p *gh.PullRequest) { p.UpdatedAt = &gh.Timestamp{Time: g.tick()} }

// AddPull adds a pull request from a branch of the repository with the number
// head, which may be a fork. Call it inside Do.
func (g *GitHub) AddPull(repo *GitHubRepo, head int64, branch, base, title, body string) *gh.PullRequest {
	owner, _, _ := strings.Cut(repo.Path, "/")
	n := int(g.next())
	p := &gh.PullRequest{
		ID: gh.Int64(int64(n) + 1_000_000), NodeID: gh.String(fmt.Sprintf("PR_%d", n)), Number: gh.Int(n), State: gh.String("open"),
		Title: &title, Body: &body, HTMLURL: gh.String(fmt.Sprintf("https://github.com/%s/pull/%d", repo.Path, n)),
		Head: &gh.PullRequestBranch{Ref: &branch, Label: gh.String(owner + ":" + branch), SHA: gh.String(fmt.Sprintf("%040x", n)), Repo: &gh.Repository{ID: &head}},
		Base: &gh.PullRequestBranch{Ref: &base, Repo: &gh.Repository{ID: repo.Settings.ID, FullName: &repo.Path}},
	}
	g.Touch(p)
	repo.Pulls = append(repo.Pulls, p)
	return p
}

func (g *GitHub) list(w http.ResponseWriter, r *http.Request, repo *GitHubRepo) {
	query := r.URL.Query()
	all := []*gh.PullRequest{}
	for _, p := range repo.Pulls {
		if state := query.Get("state"); state != "all" && state != p.GetState() {
			continue
		}
		if head := query.Get("head"); head != "" && head != p.GetHead().GetLabel() {
			continue
		}
		all = append(all, p)
	}
	if query.Get("sort") == "updated" {
		slices.SortFunc(all, func(a, b *gh.PullRequest) int { return a.GetUpdatedAt().Compare(b.GetUpdatedAt().Time) })
	}
	if query.Get("direction") == "desc" {
		slices.Reverse(all)
	}
	writeJSON(w, http.StatusOK, page(w, r, all))
}

func (g *GitHub) create(w http.ResponseWriter, r *http.Request, repo *GitHubRepo) {
	var n gh.NewPullRequest
	if !read(r, &n) || n.GetTitle() == "" || n.GetHead() == "" || n.GetBase() == "" {
		githubInvalid(w, "title, head and base are required")
		return
	}
	owner, _, _ := strings.Cut(repo.Path, "/")
	for _, p := range repo.Pulls {
		if p.GetState() == "open" && p.GetHead().GetRef() == n.GetHead() && p.GetBase().GetRef() == n.GetBase() && p.GetHead().GetRepo().GetID() == repo.Settings.GetID() {
			githubInvalid(w, "A pull request already exists for "+owner+":"+n.GetHead()+".")
			return
		}
	}
	writeJSON(w, http.StatusCreated, g.AddPull(repo, repo.Settings.GetID(), n.GetHead(), n.GetBase(), n.GetTitle(), n.GetBody()))
}

func (repo *GitHubRepo) find(r *http.Request) *gh.PullRequest {
	for _, p := range repo.Pulls {
		if fmt.Sprint(p.GetNumber()) == r.PathValue("number") {
			return p
		}
	}
	return nil
}

func (g *GitHub) edit(w http.ResponseWriter, r *http.Request, repo *GitHubRepo) {
	p := repo.find(r)
	var n struct{ Title, Body, State *string }
	if p == nil || !read(r, &n) {
		githubMissing(w)
		return
	}
	if n.Title != nil {
		p.Title = n.Title
	}
	if n.Body != nil {
		p.Body = n.Body
	}
	if n.State != nil {
		p.State = n.State
	}
	g.Touch(p)
	writeJSON(w, http.StatusOK, p)
}

// MergePull merges a pull request. Call it inside Do.
func (g *GitHub) MergePull(p *gh.PullRequest) {
	g.Touch(p)
	p.State, p.MergedAt, p.MergeCommitSHA = gh.String("closed"), p.UpdatedAt, gh.String(strings.Repeat("a", 40))
}

func (g *GitHub) merge(w http.ResponseWriter, r *http.Request, repo *GitHubRepo) {
	p := repo.find(r)
	var n struct{ SHA string }
	switch {
	case p == nil || !read(r, &n):
		githubMissing(w)
	case n.SHA != "" && n.SHA != p.GetHead().GetSHA():
		writeJSON(w, http.StatusConflict, map[string]string{"message": "Head branch was modified. Review and try the merge again."})
	default:
		g.MergePull(p)
		writeJSON(w, http.StatusOK, gh.PullRequestMergeResult{SHA: p.MergeCommitSHA, Merged: gh.Bool(true)})
	}
}

func (g *GitHub) label(w http.ResponseWriter, r *http.Request, repo *GitHubRepo) {
	p := repo.find(r)
	var names []string // or {"labels": [...]}, as the API takes both
	if p == nil || !read(r, &names) {
		githubMissing(w)
		return
	}
	for _, name := range names {
		if !slices.ContainsFunc(p.Labels, func(l *gh.Label) bool { return strings.EqualFold(l.GetName(), name) }) {
			p.Labels = append(p.Labels, &gh.Label{ID: gh.Int64(g.next()), Name: &name})
		}
	}
	g.Touch(p)
	writeJSON(w, http.StatusOK, p.Labels)
}

func (g *GitHub) runs(w http.ResponseWriter, r *http.Request, repo *GitHubRepo) {
	all := repo.Runs[r.URL.Query().Get("head_sha")]
	writeJSON(w, http.StatusOK, gh.WorkflowRuns{TotalCount: gh.Int(len(all)), WorkflowRuns: page(w, r, all)})
}

func (g *GitHub) status(w http.ResponseWriter, r *http.Request, repo *GitHubRepo) {
	seen := make(map[string]bool)
	var all []*gh.RepoStatus
	for _, s := range repo.Statuses[r.PathValue("sha")] {
		if !seen[s.GetContext()] {
			seen[s.GetContext()] = true
			all = append(all, s)
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"sha": r.PathValue("sha"), "state": "pending", "total_count": len(all), "statuses": page(w, r, all)})
}

func (g *GitHub) setStatus(w http.ResponseWriter, r *http.Request, repo *GitHubRepo) {
	var s gh.RepoStatus
	if !read(r, &s) || !slices.Contains([]string{"error", "failure", "pending", "success"}, s.GetState()) || len([]rune(s.GetDescription())) > 140 {
		githubInvalid(w, "state or description")
		return
	}
	s.ID = gh.Int64(g.next())
	sha := r.PathValue("sha")
	repo.Statuses[sha] = append([]*gh.RepoStatus{&s}, repo.Statuses[sha]...)
	writeJSON(w, http.StatusCreated, s)
}

func (g *GitHub) graphQL(w http.ResponseWriter, r *http.Request) {
	var n struct {
		Query     string
		Variables struct{ ID, Method, Head string }
	}
	if !read(r, &n) || !strings.Contains(n.Query, "enablePullRequestAutoMerge") {
		writeJSON(w, http.StatusBadRequest, map[string]string{"message": "Problems parsing JSON"})
		return
	}
	fail := func(kind, message string) {
		writeJSON(w, http.StatusOK, map[string]any{"data": map[string]any{"enablePullRequestAutoMerge": nil},
			"errors": []map[string]any{{"type": kind, "path": []string{"enablePullRequestAutoMerge"}, "message": message}}})
	}
	for _, repo := range g.repos {
		for _, p := range repo.Pulls {
			if p.GetNodeID() != n.Variables.ID {
				continue
			}
			if repo.AutoMergeError != "" {
				fail(repo.AutoMergeType, repo.AutoMergeError)
				return
			}
			p.AutoMerge = &gh.PullRequestAutoMerge{MergeMethod: gh.String(strings.ToLower(n.Variables.Method))}
			g.Touch(p)
			writeJSON(w, http.StatusOK, map[string]any{"data": map[string]any{"enablePullRequestAutoMerge": map[string]any{"clientMutationId": nil}}})
			return
		}
	}
	fail("NOT_FOUND", "Could not resolve to a node with the global id of '"+n.Variables.ID+"'.")
}
