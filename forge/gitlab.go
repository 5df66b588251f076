package forge

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go"
)

// gitlab speaks GitLab's REST API. Its merge requests are pull requests here,
// its pipelines builds, and their jobs checks.
type gitlab struct{}

// noLimit keeps the library from waiting by itself.
type noLimit struct{}

func (noLimit) Wait(context.Context) error { return nil }

func (gitlab) client(c call) (*gl.Client, error) {
	return gl.NewAuthSourceClient(gl.Unauthenticated{}, // the guard authorizes
		gl.WithURLWarningLogger(slog.New(slog.NewTextHandler(io.Discard, nil))),
		gl.WithBaseURL(c.api.String()),
		gl.WithHTTPClient(c.http),
		gl.WithoutRetries(),
		gl.WithCustomLimiter(noLimit{}),
		gl.WithRequestOptions(gl.WithContext(c.ctx)))
}

func (d gitlab) builds(c call, sha string) (t tally, err error) {
	client, err := d.client(c)
	if err != nil {
		return t, err
	}
	for page, n := int64(1), 0; page != 0 && n < maxPages && !t.running; n++ {
		list, response, err := client.Pipelines.ListProjectPipelines(c.path(), &gl.ListProjectPipelinesOptions{
			SHA: &sha, ListOptions: gl.ListOptions{Page: page, PerPage: perPage},
		})
		if err != nil {
			return t, err
		}
		for _, p := range list {
			if p == nil || p.Status == "" {
				return t, nonsense("a pipeline has no status")
			}
			if p.SHA != "" && !strings.EqualFold(p.SHA, sha) {
				continue
			}
			switch p.Status {
			case "running":
				t.running = true
			case "success":
				t.succeeded = true
			case "failed", "canceled", "canceling", "manual": // manual: a person has to start what is left
				t.failed = true
			case "skipped":
				t.ended = true
			default: // created, pending, preparing, scheduled, waiting_for_resource, …
				t.queued = true
			}
		}
		page = response.NextPage
	}
	return t, nil
}

func (d gitlab) checks(c call, sha string) (all []Check, err error) {
	client, err := d.client(c)
	if err != nil {
		return nil, err
	}
	for page, n := int64(1), 0; page != 0 && n < maxPages; n++ {
		list, response, err := client.Commits.GetCommitStatuses(c.path(), sha, &gl.GetCommitStatusesOptions{
			ListOptions: gl.ListOptions{Page: page, PerPage: perPage},
		})
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			all = append(all, Check{s.Name, jobState(s), s.TargetURL})
		}
		page = response.NextPage
	}
	return all, nil
}

func jobState(s *gl.CommitStatus) CheckState {
	switch s.Status {
	case "success", "skipped":
		return Green
	case "failed", "canceled", "manual":
		if s.AllowFailure {
			return Green
		}
		if s.Status == "manual" { // waits for a person
			return Pending
		}
		return Red
	}
	return Pending
}

func (d gitlab) setStatus(c call, sha string, s Status) error {
	client, err := d.client(c)
	if err != nil {
		return err
	}
	opt := &gl.SetCommitStatusOptions{Name: &s.Name, Description: &s.Description}
	opt.State = map[CheckState]gl.BuildStateValue{Pending: gl.Pending, Green: gl.Success, Red: gl.Failed}[s.State]
	if s.URL != "" {
		opt.TargetURL = &s.URL
	}
	_, _, err = client.Commits.SetCommitStatus(c.path(), sha, opt)
	// What is pending already cannot become so again.
	if status, message := said(err); status == http.StatusBadRequest && strings.Contains(message, "cannot transition status") {
		return nil
	}
	return err
}

func (d gitlab) pulls(c call, f filter) (all []PullRequest, more bool, err error) {
	client, err := d.client(c)
	if err != nil {
		return nil, false, err
	}
	opt := &gl.ListProjectMergeRequestsOptions{
		OrderBy: gl.Ptr("updated_at"), Sort: gl.Ptr("desc"), State: gl.Ptr("all"),
		ListOptions: gl.ListOptions{Page: int64(f.page), PerPage: int64(f.size)},
	}
	if f.open {
		opt.State = gl.Ptr("opened")
	}
	if f.head != "" {
		opt.SourceBranch = &f.head
	}
	list, response, err := client.MergeRequests.ListProjectMergeRequests(c.path(), opt)
	if err != nil {
		return nil, false, err
	}
	for _, m := range list {
		all = append(all, fromGitLab(m))
	}
	return all, response.NextPage != 0, nil
}

func fromGitLab(m *gl.BasicMergeRequest) PullRequest {
	p := PullRequest{
		Number:    m.IID,
		URL:       m.WebURL,
		State:     Open, // also "locked", for as long as it is being merged
		Head:      m.SourceBranch,
		HeadSHA:   m.SHA,
		Base:      m.TargetBranch,
		Title:     m.Title,
		Body:      m.Description,
		Labels:    m.Labels,
		AutoMerge: m.MergeWhenPipelineSucceeds,
		fork:      m.SourceProjectID != m.TargetProjectID,
	}
	if m.UpdatedAt != nil {
		p.Updated = *m.UpdatedAt
	}
	switch m.State {
	case "merged":
		p.State, p.Merge = Merged, m.MergeCommitSHA
		if p.Merge == "" {
			p.Merge = m.SquashCommitSHA
		}
	case "closed":
		p.State = Closed
	}
	return p
}

func (d gitlab) create(c call, n Proposal) (PullRequest, error) {
	client, err := d.client(c)
	if err != nil {
		return PullRequest{}, err
	}
	opt := &gl.CreateMergeRequestOptions{Title: &n.Title, Description: &n.Body, SourceBranch: &n.Head, TargetBranch: &n.Base}
	if len(n.Labels) > 0 {
		opt.Labels = (*gl.LabelOptions)(&n.Labels)
	}
	m, _, err := client.MergeRequests.CreateMergeRequest(c.path(), opt)
	if status, _ := said(err); status == http.StatusConflict {
		return PullRequest{}, refuse(ErrExists, err)
	} else if err != nil {
		return PullRequest{}, err
	}
	return fromGitLab(&m.BasicMergeRequest), nil
}

func (d gitlab) update(c call, p PullRequest, e Edit) (PullRequest, error) {
	client, err := d.client(c)
	if err != nil {
		return p, err
	}
	opt := &gl.UpdateMergeRequestOptions{}
	if e.Title != "" {
		opt.Title = &e.Title
	}
	if e.Body != "" {
		opt.Description = &e.Body
	}
	if len(e.Labels) > 0 {
		opt.AddLabels = (*gl.LabelOptions)(&e.Labels)
	}
	if e.Close {
		opt.StateEvent = gl.Ptr("close")
	}
	m, _, err := client.MergeRequests.UpdateMergeRequest(c.path(), p.Number, opt)
	if err != nil {
		return p, err
	}
	return fromGitLab(&m.BasicMergeRequest), nil
}

func (d gitlab) merge(c call, p PullRequest) error {
	client, err := d.client(c)
	if err != nil {
		return err
	}
	opt := &gl.AcceptMergeRequestOptions{AutoMerge: gl.Ptr(true)}
	//lint:ignore SA1019 GitLab before 17.11 knows no other
	opt.MergeWhenPipelineSucceeds = gl.Ptr(true)
	if p.HeadSHA != "" {
		opt.SHA = &p.HeadSHA
	}
	_, _, err = client.MergeRequests.AcceptMergeRequest(c.path(), p.Number, opt)
	switch status, _ := said(err); status {
	case http.StatusUnauthorized:
		return &refined{kind: ErrForbidden, hint: "the token's user must be allowed to merge into the branch"}
	case http.StatusMethodNotAllowed, http.StatusConflict, http.StatusNotAcceptable, http.StatusUnprocessableEntity:
		return refuse(ErrNotMergeable, err)
	}
	return err
}
