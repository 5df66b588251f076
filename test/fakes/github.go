package fakes

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Run is a workflow run, in GitHub's words.
type Run struct {
	Status     string // queued, in_progress, completed, …
	Conclusion string // success, failure, …; empty unless completed
}

// GitHub is a fake of GitHub's Actions API. It knows the workflow runs of the
// repositories it was told of; others do not exist.
type GitHub struct {
	Server
	mu    sync.Mutex
	token string
	runs  map[string]map[string][]Run // by repository and commit
}

// NewGitHub starts a fake on a free port of the loopback address.
func NewGitHub() (*GitHub, error) {
	g := &GitHub{}
	return g, g.start(nil)
}

// ServeGitHub starts a fake that takes its connections from l.
func ServeGitHub(l net.Listener) *GitHub {
	g := &GitHub{}
	g.start(l) // cannot fail with a listener
	return g
}

func (g *GitHub) start(l net.Listener) error {
	g.runs = make(map[string]map[string][]Run)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /repos/{owner}/{repo}/actions/runs", g.list)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { notFound(w) })
	return g.serve(l, mux)
}

// SetRuns sets the workflow runs of a commit, and makes the repository exist.
func (g *GitHub) SetRuns(owner, repo, sha string, runs ...Run) {
	g.mu.Lock()
	defer g.mu.Unlock()
	name := strings.ToLower(owner + "/" + repo)
	if g.runs[name] == nil {
		g.runs[name] = make(map[string][]Run)
	}
	g.runs[name][sha] = runs
}

// RequireToken makes all repositories private: only who sends this token sees
// them.
func (g *GitHub) RequireToken(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.token = token
}

// Authorizations are the Authorization headers of all requests, in order; empty
// for a request without one.
func (g *GitHub) Authorizations() []string {
	var headers []string
	for _, r := range g.Requests() {
		headers = append(headers, r.Authorization)
	}
	return headers
}

// PrimaryLimit is GitHub's answer to who has used up the requests of the hour.
func PrimaryLimit(status int, reset time.Time) Fault {
	return Fault{
		Status: status,
		Header: map[string]string{
			"X-RateLimit-Limit":     "5000",
			"X-RateLimit-Remaining": "0",
			"X-RateLimit-Reset":     strconv.FormatInt(reset.Unix(), 10),
		},
		Body: `{"message":"API rate limit exceeded for user ID 1."}`,
	}
}

// SecondaryLimit is GitHub's answer to who asks too much at once. It does not
// always say how long to wait; 0 leaves that out.
func SecondaryLimit(status int, wait time.Duration) Fault {
	f := Fault{
		Status: status,
		Header: map[string]string{"X-RateLimit-Remaining": "4987"},
		Body: `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",` +
			`"documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`,
	}
	if wait > 0 {
		f.Header["Retry-After"] = strconv.Itoa(int(wait.Seconds()))
	}
	return f
}

type workflowRun struct {
	ID         int     `json:"id"`
	HeadSHA    string  `json:"head_sha"`
	Status     string  `json:"status"`
	Conclusion *string `json:"conclusion"`
}

func (g *GitHub) list(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if authorization := r.Header.Get("Authorization"); g.token != "" && authorization == "" {
		notFound(w)
		return
	} else if g.token != "" && authorization != "Bearer "+g.token {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"message": "Bad credentials"})
		return
	}
	commits, ok := g.runs[strings.ToLower(r.PathValue("owner")+"/"+r.PathValue("repo"))]
	if !ok {
		notFound(w)
		return
	}
	query := r.URL.Query()
	all := []workflowRun{}
	for sha, runs := range commits {
		if want := query.Get("head_sha"); want != "" && want != sha {
			continue
		}
		for _, run := range runs {
			one := workflowRun{ID: len(all) + 1, HeadSHA: sha, Status: run.Status}
			if run.Conclusion != "" {
				one.Conclusion = &run.Conclusion
			}
			all = append(all, one)
		}
	}
	size := min(number(query.Get("per_page"), 30), 100)
	page := number(query.Get("page"), 1)
	from, to := min((page-1)*size, len(all)), min(page*size, len(all))
	if to < len(all) {
		next := *r.URL
		query.Set("page", strconv.Itoa(page+1))
		next.RawQuery = query.Encode()
		w.Header().Set("Link", fmt.Sprintf(`<%s%s>; rel="next"`, g.URL(), next.RequestURI()))
	}
	writeJSON(w, http.StatusOK, map[string]any{"total_count": len(all), "workflow_runs": all[from:to]})
}

// number reads a positive number, or returns what is usual.
func number(s string, usual int) int {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return n
	}
	return usual
}

func notFound(w http.ResponseWriter) {
	writeJSON(w, http.StatusNotFound, map[string]string{"message": "Not Found"})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
