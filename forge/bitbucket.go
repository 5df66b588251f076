package forge

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// bitbucket speaks the API of Bitbucket Cloud, 2.0. There are no labels, and
// the host does not merge by itself.
type bitbucket struct{}

// bitbucketPage is the most that the host lists at once.
const bitbucketPage = 50

func (c call) bitbucketURL(rest string, query url.Values) *url.URL {
	u := c.api.JoinPath("repositories", c.owner, c.name, rest)
	u.RawQuery = query.Encode()
	return u
}

func (d bitbucket) builds(c call, sha string) (t tally, err error) {
	var list struct {
		Values []struct {
			Target struct{ Commit struct{ Hash string } }
			State  struct {
				Name   string
				Result struct{ Name string }
				Stage  struct{ Name string }
			}
		}
	}
	query := url.Values{"target.commit.hash": {sha}, "sort": {"-created_on"}, "pagelen": {strconv.Itoa(bitbucketPage)}}
	if err := c.json(http.MethodGet, c.bitbucketURL("pipelines", query), nil, &list); err != nil {
		return t, err
	}
	for _, p := range list.Values {
		if hash := p.Target.Commit.Hash; hash != "" && !strings.EqualFold(hash, sha) {
			continue
		}
		switch {
		case p.State.Name == "COMPLETED" && p.State.Result.Name == "SUCCESSFUL":
			t.succeeded = true
		case p.State.Name == "COMPLETED": // FAILED, ERROR, STOPPED, EXPIRED
			t.failed = true
		case p.State.Name == "IN_PROGRESS" && (p.State.Stage.Name == "PAUSED" || p.State.Stage.Name == "HALTED"):
			t.failed = true // waits for a person
		case p.State.Name == "IN_PROGRESS":
			t.running = true
		case p.State.Name == "":
			return t, nonsense("a pipeline has no state")
		default: // PENDING
			t.queued = true
		}
	}
	return t, nil
}

func (d bitbucket) checks(c call, sha string) (all []Check, err error) {
	for page := 1; page <= maxPages; page++ {
		var list struct {
			Values []struct{ Key, Name, State, URL string }
			Next   string
		}
		query := url.Values{"page": {strconv.Itoa(page)}, "pagelen": {strconv.Itoa(bitbucketPage)}}
		if err := c.json(http.MethodGet, c.bitbucketURL("commit/"+sha+"/statuses", query), nil, &list); err != nil {
			return nil, err
		}
		for _, s := range list.Values {
			state := map[string]CheckState{"SUCCESSFUL": Green, "FAILED": Red, "STOPPED": Red}[s.State]
			if state == Missing {
				state = Pending
			}
			name := s.Name
			if name == "" {
				name = s.Key
			}
			all = append(all, Check{name, state, s.URL})
		}
		if list.Next == "" {
			break
		}
	}
	return all, nil
}

// setStatus gives a status a short key: the host allows 40 characters.
func (d bitbucket) setStatus(c call, sha string, s Status) error {
	hash := sha256.Sum256([]byte(s.Name))
	page := s.URL
	if page == "" { // the host wants one
		page = "https://bitbucket.org/" + c.path() + "/commits/" + sha
	}
	return c.json(http.MethodPost, c.bitbucketURL("commit/"+sha+"/statuses/build", nil), map[string]string{
		"key":         "gitops-operator-" + hex.EncodeToString(hash[:])[:16],
		"name":        s.Name,
		"state":       map[CheckState]string{Pending: "INPROGRESS", Green: "SUCCESSFUL", Red: "FAILED"}[s.State],
		"description": s.Description,
		"url":         page,
	}, nil)
}

// bitbucketPull is a pull request in the host's words.
type bitbucketPull struct {
	ID          int64
	Title       string
	Description string
	State       string
	Links       struct{ HTML struct{ Href string } }
	Source      bitbucketEnd
	Destination bitbucketEnd
	MergeCommit *struct{ Hash string } `json:"merge_commit"`
	UpdatedOn   time.Time              `json:"updated_on"`
}

type bitbucketEnd struct {
	Branch     struct{ Name string }
	Commit     *struct{ Hash string }
	Repository *struct{ UUID string }
}

func (p bitbucketPull) pull() PullRequest {
	q := PullRequest{
		Number:  p.ID,
		URL:     p.Links.HTML.Href,
		State:   Open,
		Head:    p.Source.Branch.Name,
		Base:    p.Destination.Branch.Name,
		Title:   p.Title,
		Body:    p.Description,
		Updated: p.UpdatedOn,
		fork:    p.Source.Repository == nil || p.Destination.Repository == nil || *p.Source.Repository != *p.Destination.Repository,
	}
	if p.Source.Commit != nil { // cut to 12 characters by the host
		q.HeadSHA = p.Source.Commit.Hash
	}
	switch p.State {
	case "MERGED":
		q.State = Merged
		if p.MergeCommit != nil {
			q.Merge = p.MergeCommit.Hash
		}
	case "DECLINED", "SUPERSEDED":
		q.State = Closed
	}
	return q
}

func (d bitbucket) pulls(c call, f filter) (all []PullRequest, more bool, err error) {
	query := url.Values{
		"state": {"OPEN", "MERGED", "DECLINED", "SUPERSEDED"}, "sort": {"-updated_on"},
		"page": {strconv.Itoa(f.page)}, "pagelen": {strconv.Itoa(min(f.size, bitbucketPage))},
	}
	if f.open {
		query["state"] = []string{"OPEN"}
	}
	if f.head != "" {
		query.Set("q", "source.branch.name = "+strconv.Quote(f.head))
	}
	var list struct {
		Values []bitbucketPull
		Next   string
	}
	if err := c.json(http.MethodGet, c.bitbucketURL("pullrequests", query), nil, &list); err != nil {
		return nil, false, err
	}
	for _, p := range list.Values {
		all = append(all, p.pull())
	}
	return all, list.Next != "", nil
}

func (d bitbucket) create(c call, n Proposal) (PullRequest, error) {
	branch := func(name string) any { return map[string]any{"branch": map[string]string{"name": name}} }
	// The host would change an open request of this branch.
	open, _, err := d.pulls(c, filter{head: n.Head, open: true, page: 1, size: bitbucketPage})
	if err != nil {
		return PullRequest{}, err
	}
	for _, p := range open {
		if p.Head == n.Head && p.Base == n.Base && !p.fork {
			return PullRequest{}, &refined{kind: ErrExists, detail: "number " + strconv.FormatInt(p.Number, 10)}
		}
	}
	var p bitbucketPull
	err = c.json(http.MethodPost, c.bitbucketURL("pullrequests", nil), map[string]any{
		"title": n.Title, "description": n.Body, "source": branch(n.Head), "destination": branch(n.Base),
	}, &p)
	return p.pull(), err
}

func (d bitbucket) update(c call, p PullRequest, e Edit) (PullRequest, error) {
	at := "pullrequests/" + strconv.FormatInt(p.Number, 10)
	if e.Title != "" || e.Body != "" {
		edit := map[string]string{"title": p.Title, "description": p.Body} // the host wants both
		if e.Title != "" {
			edit["title"] = e.Title
		}
		if e.Body != "" {
			edit["description"] = e.Body
		}
		var next bitbucketPull
		if err := c.json(http.MethodPut, c.bitbucketURL(at, nil), edit, &next); err != nil {
			return p, err
		}
		p = next.pull()
	}
	if e.Close {
		var next bitbucketPull
		if err := c.json(http.MethodPost, c.bitbucketURL(at+"/decline", nil), nil, &next); err != nil {
			return p, err
		}
		p = next.pull()
	}
	return p, nil
}

func (d bitbucket) merge(call, PullRequest) error {
	return &refined{kind: ErrUnsupported, detail: "Bitbucket's API cannot merge when checks pass", hint: "merge by hand, or remove gitops.operator.pull_request_merge"}
}
