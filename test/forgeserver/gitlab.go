package forgeserver

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go"
)

// GitLab is a fake of GitLab's API, below /api/v4. Projects exist once Project
// was called.
type GitLab struct {
	server
	projects map[string]*GitLabProject // by path
}

// GitLabProject is what the fake knows of a project. Change it inside Do only.
type GitLabProject struct {
	ID        int64
	Path      string
	Requests  []*gl.BasicMergeRequest
	Pipelines []*gl.PipelineInfo
	Statuses  map[string][]*gl.CommitStatus // by commit
	// MergeStatus is the answer to merging, or 0 for success.
	MergeStatus  int
	MergeMessage string
}

// NewGitLab starts a fake; a nil listener means a free port on the loopback
// address.
func NewGitLab(l net.Listener) (*GitLab, error) {
	g := &GitLab{projects: make(map[string]*GitLabProject)}
	mux := http.NewServeMux()
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request, *GitLabProject)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /api/v4/projects/{id}"+path, func(w http.ResponseWriter, r *http.Request) {
			id, _ := url.PathUnescape(r.PathValue("id"))
			p := g.projects[id]
			if p == nil {
				gitlabSays(w, http.StatusNotFound, "404 Project Not Found")
				return
			}
			f(w, r, p)
		})
	}
	handle("GET /merge_requests", g.list)
	handle("POST /merge_requests", g.create)
	handle("PUT /merge_requests/{iid}", g.edit)
	handle("PUT /merge_requests/{iid}/merge", g.merge)
	handle("GET /pipelines", func(w http.ResponseWriter, r *http.Request, p *GitLabProject) {
		var all []*gl.PipelineInfo
		for _, one := range p.Pipelines {
			if one.SHA == r.URL.Query().Get("sha") {
				all = append(all, one)
			}
		}
		writeJSON(w, http.StatusOK, page(w, r, all))
	})
	handle("GET /repository/commits/{sha}/statuses", func(w http.ResponseWriter, r *http.Request, p *GitLabProject) {
		writeJSON(w, http.StatusOK, page(w, r, p.Statuses[r.PathValue("sha")]))
	})
	handle("POST /statuses/{sha}", g.setStatus)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "404 Not Found"})
	})
	return g, g.Start(l, g.handler(mux))
}

func gitlabSays(w http.ResponseWriter, status int, message any) {
	writeJSON(w, status, map[string]any{"message": message})
}

// Project makes a project exist and returns it.
func (g *GitLab) Project(path string) *GitLabProject {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &GitLabProject{ID: g.next(), Path: path, Statuses: make(map[string][]*gl.CommitStatus)}
	g.projects[path] = p
	return p
}

// Do changes what the fake knows, as people and builds do.
func (g *GitLab) Do(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

// Touch takes down that a merge request has changed. Call it inside Do.
func (g *GitLab) Touch(m *gl.BasicMergeRequest) { at := g.tick(); m.UpdatedAt = &at }

// AddRequest adds a merge request from a branch of the project with the number
// source, which may be a fork. Call it inside Do.
func (g *GitLab) AddRequest(p *GitLabProject, source int64, branch, target, title, description string) *gl.BasicMergeRequest {
	n := int64(len(p.Requests) + 1)
	m := &gl.BasicMergeRequest{
		ID: n + 1_000_000, IID: n, ProjectID: p.ID, SourceProjectID: source, TargetProjectID: p.ID,
		SourceBranch: branch, TargetBranch: target, Title: title, Description: description, State: "opened",
		SHA: fmt.Sprintf("%040x", n), WebURL: fmt.Sprintf("https://gitlab.com/%s/-/merge_requests/%d", p.Path, n),
	}
	g.Touch(m)
	p.Requests = append(p.Requests, m)
	return m
}

func (g *GitLab) list(w http.ResponseWriter, r *http.Request, p *GitLabProject) {
	query := r.URL.Query()
	var all []*gl.BasicMergeRequest
	for _, m := range p.Requests {
		if state := query.Get("state"); state != "all" && state != m.State {
			continue
		}
		if branch := query.Get("source_branch"); branch != "" && branch != m.SourceBranch {
			continue
		}
		all = append(all, m)
	}
	if query.Get("order_by") == "updated_at" {
		slices.SortFunc(all, func(a, b *gl.BasicMergeRequest) int { return a.UpdatedAt.Compare(*b.UpdatedAt) })
	}
	if query.Get("sort") == "desc" {
		slices.Reverse(all)
	}
	writeJSON(w, http.StatusOK, page(w, r, all))
}

// requestIn is what a merge request is made or changed with.
type requestIn struct {
	Title        string `json:"title"`
	Description  string `json:"description"`
	SourceBranch string `json:"source_branch"`
	TargetBranch string `json:"target_branch"`
	Labels       string `json:"labels"`
	AddLabels    string `json:"add_labels"`
	StateEvent   string `json:"state_event"`
	SHA          string `json:"sha"`
	AutoMerge    bool   `json:"auto_merge"`
}

func (g *GitLab) create(w http.ResponseWriter, r *http.Request, p *GitLabProject) {
	var n requestIn
	if !read(r, &n) || n.Title == "" || n.SourceBranch == "" || n.TargetBranch == "" {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "title is missing, source_branch is missing, target_branch is missing"})
		return
	}
	for _, m := range p.Requests {
		if m.State == "opened" && m.SourceBranch == n.SourceBranch && m.TargetBranch == n.TargetBranch && m.SourceProjectID == p.ID {
			gitlabSays(w, http.StatusConflict, []string{fmt.Sprintf("Another open merge request already exists for this source branch: !%d", m.IID)})
			return
		}
	}
	m := g.AddRequest(p, p.ID, n.SourceBranch, n.TargetBranch, n.Title, n.Description)
	if n.Labels != "" {
		m.Labels = strings.Split(n.Labels, ",")
	}
	writeJSON(w, http.StatusCreated, m)
}

func (p *GitLabProject) find(r *http.Request) *gl.BasicMergeRequest {
	for _, m := range p.Requests {
		if fmt.Sprint(m.IID) == r.PathValue("iid") {
			return m
		}
	}
	return nil
}

func (g *GitLab) edit(w http.ResponseWriter, r *http.Request, p *GitLabProject) {
	m := p.find(r)
	var n requestIn
	if m == nil || !read(r, &n) {
		gitlabSays(w, http.StatusNotFound, "404 Not found")
		return
	}
	if n.Title != "" {
		m.Title = n.Title
	}
	if n.Description != "" {
		m.Description = n.Description
	}
	if n.AddLabels != "" {
		m.Labels = append(m.Labels, strings.Split(n.AddLabels, ",")...)
	}
	if n.StateEvent == "close" {
		m.State = "closed"
	}
	g.Touch(m)
	writeJSON(w, http.StatusOK, m)
}

func (g *GitLab) merge(w http.ResponseWriter, r *http.Request, p *GitLabProject) {
	m := p.find(r)
	var n requestIn
	switch {
	case m == nil || !read(r, &n):
		gitlabSays(w, http.StatusNotFound, "404 Not found")
	case p.MergeStatus != 0:
		gitlabSays(w, p.MergeStatus, p.MergeMessage)
	case n.SHA != "" && n.SHA != m.SHA:
		gitlabSays(w, http.StatusConflict, "SHA does not match HEAD of source branch: "+m.SHA)
	default:
		m.MergeWhenPipelineSucceeds = n.AutoMerge
		g.Touch(m)
		writeJSON(w, http.StatusOK, m)
	}
}

func (g *GitLab) setStatus(w http.ResponseWriter, r *http.Request, p *GitLabProject) {
	var n struct {
		State, Name, Description string
		TargetURL                string `json:"target_url"`
	}
	if !read(r, &n) || !slices.Contains([]string{"pending", "running", "success", "failed", "canceled"}, n.State) {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "state does not have a valid value"})
		return
	}
	sha := r.PathValue("sha")
	for _, s := range p.Statuses[sha] {
		if s.Name == n.Name && s.Status == n.State && n.State == "pending" {
			gitlabSays(w, http.StatusBadRequest, map[string][]string{"status": {`Cannot transition status via :enqueue from :pending (Reason(s): Status cannot transition via "enqueue")`}})
			return
		}
	}
	p.Statuses[sha] = slices.DeleteFunc(p.Statuses[sha], func(s *gl.CommitStatus) bool { return s.Name == n.Name })
	at := time.Now()
	s := &gl.CommitStatus{ID: g.next(), SHA: sha, Name: n.Name, Status: n.State, Description: n.Description, TargetURL: n.TargetURL, CreatedAt: &at}
	p.Statuses[sha] = append(p.Statuses[sha], s)
	writeJSON(w, http.StatusCreated, s)
}
