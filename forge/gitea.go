package forge

import (
	"net/http"
	"strings"

	sdk "code.gitea.io/sdk/gitea"
)

// gitea speaks the API of Gitea and Forgejo.
type gitea struct{}

// giteaPage is the most that servers list at once, unless configured otherwise.
const giteaPage = 50

func (gitea) client(c call) (*sdk.Client, error) {
	return sdk.NewClient(strings.TrimSuffix(c.api.String(), "/api/v1/"),
		sdk.SetContext(c.ctx), sdk.SetHTTPClient(c.http), sdk.SetGiteaVersion("")) // the version is not asked for
}

// builds asks for the runs of Actions, of which there are two forms; where there
// are none, a build is what sets statuses.
func (d gitea) builds(c call, sha string) (t tally, err error) {
	found, err := d.runs(c, sha, &t)
	if status, _ := said(err); status == http.StatusNotFound { // before Gitea 1.25, or Forgejo
		found, err = d.tasks(c, sha, &t)
		if status, _ := said(err); status == http.StatusNotFound { // before 1.22, or without Actions
			err = nil
		}
	}
	if err != nil || found {
		return t, err
	}
	// The first requests said "not found" of a repository that is not there, too.
	checks, err := d.checks(c, sha)
	for _, check := range checks {
		switch {
		case strings.HasPrefix(check.Name, BranchPrefix): // our own say nothing of a build
		case check.State == Pending:
			t.running = true
		case check.State == Green:
			t.succeeded = true
		case check.State == Red:
			t.failed = true
		}
	}
	return t, err
}

func (d gitea) runs(c call, sha string, t *tally) (found bool, err error) {
	client, err := d.client(c)
	if err != nil {
		return false, err
	}
	for page, n := 1, 0; page != 0 && n < maxPages && !t.running; n++ {
		list, response, err := client.ListRepoActionRuns(c.owner, c.name, sdk.ListRepoActionRunsOptions{
			HeadSHA: sha, ListOptions: sdk.ListOptions{Page: page, PageSize: giteaPage},
		})
		if err != nil {
			return false, err
		}
		for _, run := range list.WorkflowRuns {
			if run.HeadSha == "" { // Forgejo's runs name the commit otherwise
				return d.tasks(c, sha, t)
			}
			if strings.EqualFold(run.HeadSha, sha) {
				found = true
				t.action(run.Status, run.Conclusion)
			}
		}
		page = response.NextPage
	}
	return found, nil
}

// tasks are the jobs of all commits, the latest first.
func (d gitea) tasks(c call, sha string, t *tally) (found bool, err error) {
	client, err := d.client(c)
	if err != nil {
		return false, err
	}
	for page, n := 1, 0; page != 0 && n < maxClosed && !t.running; n++ {
		list, response, err := client.ListRepoActionTasks(c.owner, c.name, sdk.ListOptions{Page: page, PageSize: giteaPage})
		if err != nil {
			return false, err
		}
		for _, task := range list.WorkflowRuns {
			if strings.EqualFold(task.HeadSHA, sha) {
				found = true
				t.action(task.Status, "")
			}
		}
		page = response.NextPage
	}
	return found, nil
}

// action counts a run or a task, whose status may be its conclusion.
func (t *tally) action(status, conclusion string) {
	switch status {
	case "in_progress", "running":
		t.running = true
	case "completed":
		t.conclude(conclusion)
	case "success", "failure", "cancelled", "skipped":
		t.conclude(status)
	default: // queued, waiting, blocked, …
		t.queued = true
	}
}

func (d gitea) checks(c call, sha string) (all []Check, err error) {
	client, err := d.client(c)
	if err != nil {
		return nil, err
	}
	latest := make(map[string]int64) // by name: statuses are a history
	byName := make(map[string]Check)
	for page, n := 1, 0; page != 0 && n < maxPages; n++ {
		list, response, err := client.ListStatuses(c.owner, c.name, sha, sdk.ListStatusesOption{
			ListOptions: sdk.ListOptions{Page: page, PageSize: giteaPage},
		})
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			if id, ok := latest[s.Context]; !ok || s.ID > id {
				latest[s.Context] = s.ID
				byName[s.Context] = Check{s.Context, statusState(string(s.State)), s.TargetURL}
			}
		}
		page = response.NextPage
	}
	for _, check := range byName {
		all = append(all, check)
	}
	return all, nil
}

func (d gitea) setStatus(c call, sha string, s Status) error {
	client, err := d.client(c)
	if err != nil {
		return err
	}
	_, _, err = client.CreateStatus(c.owner, c.name, sha, sdk.CreateStatusOption{
		State: sdk.StatusState(stateNames[s.State]), TargetURL: s.URL, Description: s.Description, Context: s.Name,
	})
	return err
}

func (d gitea) pulls(c call, f filter) (all []PullRequest, more bool, err error) {
	client, err := d.client(c)
	if err != nil {
		return nil, false, err
	}
	opt := sdk.ListPullRequestsOptions{State: sdk.StateAll, Sort: "recentupdate",
		ListOptions: sdk.ListOptions{Page: f.page, PageSize: min(f.size, giteaPage)}}
	if f.open {
		opt.State = sdk.StateOpen
	}
	list, response, err := client.ListRepoPullRequests(c.owner, c.name, opt)
	if err != nil {
		return nil, false, err
	}
	for _, p := range list {
		all = append(all, fromGitea(p))
	}
	return all, response.NextPage != 0, nil
}

func fromGitea(p *sdk.PullRequest) PullRequest {
	q := PullRequest{
		Number: p.Index,
		URL:    p.HTMLURL,
		State:  Open,
		Title:  p.Title,
		Body:   p.Body,
		fork:   p.Head == nil || p.Base == nil || p.Head.RepoID != p.Base.RepoID,
	}
	if p.Head != nil && p.Base != nil {
		// The name stays when the branch has gone; the ref does not.
		q.Head, q.HeadSHA, q.Base = p.Head.Name, p.Head.Sha, p.Base.Name
	}
	if p.Updated != nil {
		q.Updated = *p.Updated
	}
	for _, label := range p.Labels {
		q.Labels = append(q.Labels, label.Name)
	}
	switch {
	case p.HasMerged:
		q.State = Merged
		if p.MergedCommitID != nil {
			q.Merge = *p.MergedCommitID
		}
	case p.State == sdk.StateClosed:
		q.State = Closed
	}
	return q
}

func (d gitea) create(c call, n Proposal) (PullRequest, error) {
	client, err := d.client(c)
	if err != nil {
		return PullRequest{}, err
	}
	labels, err := d.labels(c, client, n.Labels)
	if err != nil {
		return PullRequest{}, err
	}
	p, _, err := client.CreatePullRequest(c.owner, c.name, sdk.CreatePullRequestOption{
		Head: n.Head, Base: n.Base, Title: n.Title, Body: n.Body, Labels: labels,
	})
	if status, _ := said(err); status == http.StatusConflict {
		return PullRequest{}, refuse(ErrExists, err)
	} else if err != nil {
		return PullRequest{}, err
	}
	return fromGitea(p), nil
}

// labels returns the numbers of labels, the repository's or its organization's,
// and makes those that there are not.
func (d gitea) labels(c call, client *sdk.Client, names []string) ([]int64, error) {
	if len(names) == 0 {
		return nil, nil
	}
	known := make(map[string]int64)
	add := func(list []*sdk.Label) {
		for _, label := range list {
			known[strings.ToLower(label.Name)] = label.ID
		}
	}
	for page, n := 1, 0; page != 0 && n < maxPages; n++ {
		list, response, err := client.ListRepoLabels(c.owner, c.name, sdk.ListLabelsOptions{ListOptions: sdk.ListOptions{Page: page, PageSize: giteaPage}})
		if err != nil {
			return nil, err
		}
		add(list)
		page = response.NextPage
	}
	if list, _, err := client.ListOrgLabels(c.owner, sdk.ListOrgLabelsOptions{ListOptions: sdk.ListOptions{PageSize: giteaPage}}); err == nil {
		add(list) // not found for a user's repositories
	}
	ids := make([]int64, 0, len(names))
	for _, name := range names {
		if _, ok := known[strings.ToLower(name)]; !ok {
			label, _, err := client.CreateLabel(c.owner, c.name, sdk.CreateLabelOption{Name: name, Color: "#0075ca", Description: "set by gitops-operator"})
			if err != nil {
				return nil, err
			}
			known[strings.ToLower(name)] = label.ID
		}
		ids = append(ids, known[strings.ToLower(name)])
	}
	return ids, nil
}

func (d gitea) update(c call, p PullRequest, e Edit) (PullRequest, error) {
	client, err := d.client(c)
	if err != nil {
		return p, err
	}
	labels, err := d.labels(c, client, e.Labels)
	if err != nil {
		return p, err
	}
	if len(labels) > 0 {
		all, _, err := client.AddIssueLabels(c.owner, c.name, p.Number, sdk.IssueLabelsOption{Labels: labels})
		if err != nil {
			return p, err
		}
		p.Labels = nil
		for _, label := range all {
			p.Labels = append(p.Labels, label.Name)
		}
	}
	if e.Title == "" && e.Body == "" && !e.Close {
		return p, nil
	}
	opt := sdk.EditPullRequestOption{Title: e.Title}
	if e.Body != "" {
		opt.Body = &e.Body
	}
	if e.Close {
		closed := sdk.StateClosed
		opt.State = &closed
	}
	next, _, err := client.EditPullRequest(c.owner, c.name, p.Number, opt)
	if err != nil {
		return p, err
	}
	return fromGitea(next), nil
}

func (d gitea) merge(c call, p PullRequest) error {
	client, err := d.client(c)
	if err != nil {
		return err
	}
	repo, _, err := client.GetRepo(c.owner, c.name)
	if err != nil {
		return err
	}
	style := repo.DefaultMergeStyle
	if style == "" {
		style = sdk.MergeStyleMerge
	}
	_, _, err = client.MergePullRequest(c.owner, c.name, p.Number, sdk.MergePullRequestOption{
		Style: style, HeadCommitId: p.HeadSHA, MergeWhenChecksSucceed: true,
	})
	switch status, message := said(err); {
	case status == http.StatusConflict && strings.Contains(message, "already scheduled"):
		return nil
	case status == http.StatusMethodNotAllowed && strings.Contains(message, "not allowed to merge"):
		return &refined{kind: ErrForbidden, hint: "the token's user must be allowed to merge into the branch: see the branch's protection"}
	case status == http.StatusMethodNotAllowed && strings.Contains(message, "merge style"):
		return refuse(ErrAutoMerge, err)
	case status == http.StatusMethodNotAllowed, status == http.StatusConflict:
		return refuse(ErrNotMergeable, err)
	}
	return err
}
