package forge

import (
	"net/http"
	"net/url"
	"strings"

	gh "github.com/google/go-github/v60/github"
)

// github speaks GitHub's REST API, and GraphQL where there is nothing else.
type github struct{}

func (github) client(c call) *gh.Client {
	client := gh.NewClient(c.http)
	client.BaseURL, client.UserAgent = c.api, "gitops-operator"
	return client
}

func (d github) builds(c call, sha string) (t tally, err error) {
	client := d.client(c)
	for page, n := 1, 0; page != 0 && n < maxPages && !t.running; n++ {
		runs, response, err := client.Actions.ListRepositoryWorkflowRuns(c.ctx, c.owner, c.name, &gh.ListWorkflowRunsOptions{
			HeadSHA:             sha,
			ExcludePullRequests: true,
			ListOptions:         gh.ListOptions{Page: page, PerPage: perPage},
		})
		if err != nil {
			return t, err
		}
		if runs == nil || runs.WorkflowRuns == nil && runs.TotalCount == nil {
			return t, nonsense("no list of workflow runs")
		}
		for _, run := range runs.WorkflowRuns {
			// Servers that do not know the filter by commit list all runs.
			if run.GetHeadSHA() != "" && !strings.EqualFold(run.GetHeadSHA(), sha) {
				continue
			}
			switch status := run.GetStatus(); status {
			case "":
				return t, nonsense("workflow run %d has no status", run.GetID())
			case "in_progress":
				t.running = true
			case "completed":
				t.conclude(run.GetConclusion())
			default: // queued, waiting, pending, requested, or what may come
				t.queued = true
			}
		}
		page = response.NextPage
	}
	return t, nil
}

func (d github) checks(c call, sha string) (all []Check, err error) {
	client := d.client(c)
	for page, n := 1, 0; page != 0 && n < maxPages; n++ {
		runs, response, err := client.Checks.ListCheckRunsForRef(c.ctx, c.owner, c.name, sha, &gh.ListCheckRunsOptions{
			ListOptions: gh.ListOptions{Page: page, PerPage: perPage},
		})
		if err != nil {
			return nil, err
		}
		for _, run := range runs.CheckRuns {
			all = append(all, Check{run.GetName(), checkRunState(run), run.GetHTMLURL()})
		}
		page = response.NextPage
	}
	for page, n := 1, 0; page != 0 && n < maxPages; n++ {
		status, response, err := client.Repositories.GetCombinedStatus(c.ctx, c.owner, c.name, sha, &gh.ListOptions{Page: page, PerPage: perPage})
		if err != nil {
			return nil, err
		}
		for _, s := range status.Statuses {
			all = append(all, Check{s.GetContext(), statusState(s.GetState()), s.GetTargetURL()})
		}
		page = response.NextPage
	}
	return all, nil
}

func checkRunState(run *gh.CheckRun) CheckState {
	if run.GetStatus() != "completed" {
		return Pending
	}
	switch run.GetConclusion() {
	case "success", "neutral", "skipped": // as GitHub's own rules take them
		return Green
	}
	return Red
}

// statusState reads the states of GitHub's and Gitea's statuses.
func statusState(state string) CheckState {
	switch state {
	case "success", "skipped", "warning":
		return Green
	case "failure", "error":
		return Red
	}
	return Pending
}

// stateNames are GitHub's and Gitea's names for what is set.
var stateNames = map[CheckState]string{Pending: "pending", Green: "success", Red: "failure"}

func (d github) setStatus(c call, sha string, s Status) error {
	status := &gh.RepoStatus{State: gh.String(stateNames[s.State]), Context: &s.Name, Description: &s.Description}
	if s.URL != "" {
		status.TargetURL = &s.URL
	}
	_, _, err := d.client(c).Repositories.CreateStatus(c.ctx, c.owner, c.name, sha, status)
	return err
}

func (d github) pulls(c call, f filter) (all []PullRequest, more bool, err error) {
	opt := &gh.PullRequestListOptions{State: "all", Sort: "updated", Direction: "desc",
		ListOptions: gh.ListOptions{Page: f.page, PerPage: f.size}}
	if f.open {
		opt.State = "open"
	}
	if f.head != "" {
		opt.Head = c.owner + ":" + f.head
	}
	list, response, err := d.client(c).PullRequests.List(c.ctx, c.owner, c.name, opt)
	if err != nil {
		return nil, false, err
	}
	for _, p := range list {
		all = append(all, fromGitHub(p))
	}
	return all, response.NextPage != 0, nil
}

func fromGitHub(p *gh.PullRequest) PullRequest {
	q := PullRequest{
		Number:    int64(p.GetNumber()),
		URL:       p.GetHTMLURL(),
		State:     Open,
		Head:      p.GetHead().GetRef(),
		HeadSHA:   p.GetHead().GetSHA(),
		Base:      p.GetBase().GetRef(),
		Title:     p.GetTitle(),
		Body:      p.GetBody(),
		AutoMerge: p.AutoMerge != nil,
		Updated:   p.GetUpdatedAt().Time,
		id:        p.GetNodeID(),
		fork:      p.GetHead().GetRepo().GetID() != p.GetBase().GetRepo().GetID(),
	}
	for _, label := range p.Labels {
		q.Labels = append(q.Labels, label.GetName())
	}
	switch {
	case p.MergedAt != nil || p.GetMerged():
		q.State, q.Merge = Merged, p.GetMergeCommitSHA()
	case p.GetState() == "closed":
		q.State = Closed
	}
	return q
}

func (d github) create(c call, n Proposal) (PullRequest, error) {
	p, _, err := d.client(c).PullRequests.Create(c.ctx, c.owner, c.name, &gh.NewPullRequest{
		Title: &n.Title, Head: &n.Head, Base: &n.Base, Body: &n.Body,
	})
	if _, message := said(err); strings.Contains(message, "already exists") {
		return PullRequest{}, refuse(ErrExists, err)
	} else if err != nil {
		return PullRequest{}, err
	}
	return d.label(c, fromGitHub(p), n.Labels)
}

// label adds labels; GitHub makes those that it does not know.
func (d github) label(c call, p PullRequest, labels []string) (PullRequest, error) {
	if len(labels) == 0 {
		return p, nil
	}
	all, _, err := d.client(c).Issues.AddLabelsToIssue(c.ctx, c.owner, c.name, int(p.Number), labels)
	if err != nil {
		return p, err
	}
	p.Labels = nil
	for _, label := range all {
		p.Labels = append(p.Labels, label.GetName())
	}
	return p, nil
}

func (d github) update(c call, p PullRequest, e Edit) (PullRequest, error) {
	if e.Title != "" || e.Body != "" || e.Close {
		edit := &gh.PullRequest{}
		if e.Title != "" {
			edit.Title = &e.Title
		}
		if e.Body != "" {
			edit.Body = &e.Body
		}
		if e.Close {
			edit.State = gh.String("closed")
		}
		next, _, err := d.client(c).PullRequests.Edit(c.ctx, c.owner, c.name, int(p.Number), edit)
		if err != nil {
			return p, err
		}
		p = fromGitHub(next)
	}
	return d.label(c, p, e.Labels)
}

const autoMerge = `mutation($id: ID!, $method: PullRequestMergeMethod!, $head: GitObjectID) {
  enablePullRequestAutoMerge(input: {pullRequestId: $id, mergeMethod: $method, expectedHeadOid: $head}) { clientMutationId }
}`

func (d github) merge(c call, p PullRequest) error {
	repo, _, err := d.client(c).Repositories.Get(c.ctx, c.owner, c.name)
	if err != nil {
		return err
	}
	if repo.AllowAutoMerge != nil && !*repo.AllowAutoMerge {
		return &refined{kind: ErrAutoMerge, hint: "switch on \"Allow auto-merge\" in the repository's settings"}
	}
	method := "merge"
	for _, m := range []struct {
		name    string
		allowed *bool // nil: not told
	}{{"merge", repo.AllowMergeCommit}, {"rebase", repo.AllowRebaseMerge}, {"squash", repo.AllowSquashMerge}} {
		if m.allowed == nil || *m.allowed {
			method = m.name
			break
		}
	}
	variables := map[string]string{"id": p.id, "method": strings.ToUpper(method)}
	if p.HeadSHA != "" {
		variables["head"] = p.HeadSHA
	}
	var answer struct {
		Errors []struct{ Type, Message string }
	}
	err = c.json(http.MethodPost, graphQL(c.api), map[string]any{"query": autoMerge, "variables": variables}, &answer)
	if err != nil || len(answer.Errors) == 0 {
		return err
	}
	first := answer.Errors[0]
	message := clean(first.Message, "", 300)
	switch lower := strings.ToLower(message); {
	case strings.Contains(lower, "clean status"): // nothing is to be waited for
		_, _, err := d.client(c).PullRequests.Merge(c.ctx, c.owner, c.name, int(p.Number), "", &gh.PullRequestOptions{MergeMethod: method, SHA: p.HeadSHA})
		if status, _ := said(err); status == http.StatusMethodNotAllowed || status == http.StatusConflict {
			return refuse(ErrNotMergeable, err)
		}
		return err
	case first.Type == "RATE_LIMITED":
		return &refined{kind: ErrRateLimited, detail: message}
	case first.Type == "FORBIDDEN", strings.Contains(lower, "not accessible"):
		return &refined{kind: ErrForbidden, detail: message, hint: "the token needs " + rights[GitHub][writePulls]}
	case strings.Contains(lower, "not allowed"), strings.Contains(lower, "protected branch rules not configured"):
		return &refined{kind: ErrAutoMerge, detail: message}
	}
	return &refined{kind: ErrNotMergeable, detail: message}
}

// graphQL is beside the REST API: https://api.github.com/graphql, or
// https://HOST/api/graphql for https://HOST/api/v3/.
func graphQL(api *url.URL) *url.URL {
	u := *api
	u.Path = strings.TrimSuffix(u.Path, "v3/") + "graphql"
	return &u
}
