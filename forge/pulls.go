package forge

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// PullState is how a pull request stands.
type PullState string

// The states of pull requests.
const (
	Open   PullState = "open"
	Merged PullState = "merged"
	Closed PullState = "closed" // without being merged
)

// BranchPrefix begins the names of the branches that are proposed. Pull
// requests of other branches are not looked at.
const BranchPrefix = "gitops-operator/"

// PullRequest is one whose branch is in the same repository. Requests from
// forks are never among them: anybody can open one, from a branch of any name.
type PullRequest struct {
	Number    int64
	URL       string // the page
	State     PullState
	Head      string // branch
	HeadSHA   string // the last commit of Head that the host has seen
	Base      string // branch
	Title     string
	Body      string
	Labels    []string
	AutoMerge bool   // the host merges it when it may
	Merge     string // SHA of the commit that merged it, or ""
	Updated   time.Time
	id        string // GitHub's, for GraphQL
	fork      bool   // the branch is in another repository
}

// ours says whether a request may be the operator's.
func (p PullRequest) ours() bool { return !p.fork && strings.HasPrefix(p.Head, BranchPrefix) }

// Proposal is a pull request to open.
type Proposal struct {
	Head, Base, Title, Body string
	Labels                  []string
}

// Edit is what to change of a pull request. What is empty stays as it is.
type Edit struct {
	Title  string
	Body   string
	Labels []string // to add; labels that people have added stay
	Close  bool
}

// filter is which pull requests to list.
type filter struct {
	head       string // only this branch's, where the host can tell
	open       bool   // only open ones, else all
	page, size int    // from 1
}

// Create opens a pull request. If the branch has one already, the error is of
// the kind ErrExists. A label that does not exist is made.
func (c *Client) Create(ctx context.Context, r Repository, n Proposal) (PullRequest, error) {
	q := question{action: "create", doing: "ask %[1]s to open a pull request in %[2]s", need: writePulls, write: true}
	var p PullRequest
	err := c.do(ctx, r, q, func(c2 call) (err error) {
		p, err = c.driver.create(c2, n)
		return err
	})
	c.mirror(r).note(p) // also one that was opened and could not be labelled
	return p, err
}

// Update changes title, body and labels. What is the same already costs no
// request.
func (c *Client) Update(ctx context.Context, r Repository, p PullRequest, e Edit) (PullRequest, error) {
	if e.Title == p.Title {
		e.Title = ""
	}
	if sameText(e.Body, p.Body) {
		e.Body = ""
	}
	e.Labels = missing(e.Labels, p.Labels)
	if e.Title == "" && e.Body == "" && len(e.Labels) == 0 && !e.Close {
		return p, nil
	}
	doing := "change"
	if e.Close {
		doing = "close"
	}
	q := question{action: doing, doing: fmt.Sprintf("ask %%[1]s to %s pull request %d of %%[2]s", doing, p.Number), need: writePulls, write: true}
	err := c.do(ctx, r, q, func(c2 call) (err error) {
		next, err := c.driver.update(c2, p, e)
		if next.Number == p.Number {
			p = next
		}
		return err
	})
	if err == nil {
		c.mirror(r).note(p)
	}
	return p, err
}

// Close closes a pull request, and says in its body that the operator did and
// why, so that it is not taken for a person's no.
func (c *Client) Close(ctx context.Context, r Repository, p PullRequest, why string) (PullRequest, error) {
	return c.Update(ctx, r, p, Edit{Body: closedBody(p.Body, why), Close: true})
}

// Merge asks the host to merge a pull request as soon as its rules allow it,
// which may be at once. The host does so only while the branch is at HeadSHA,
// where it can tell. ErrAutoMerge says that the repository does not allow it,
// ErrNotMergeable that it may later: ask again.
func (c *Client) Merge(ctx context.Context, r Repository, p PullRequest) error {
	if p.State != Open || p.AutoMerge {
		return nil
	}
	q := question{action: "merge", doing: fmt.Sprintf("ask %%[1]s to merge pull request %d of %%[2]s when its checks pass", p.Number), need: writePulls, write: true}
	err := c.do(ctx, r, q, func(c2 call) error { return c.driver.merge(c2, p) })
	if err == nil {
		c.mirror(r).willMerge(p)
	}
	return err
}

// sameText compares what a host returns with what it was given: hosts change
// line breaks and space at the ends.
func sameText(a, b string) bool {
	normal := func(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }
	return normal(a) == normal(b)
}

// missing returns the wanted labels that are not there. Hosts tell no upper
// from lower case in them.
func missing(want, have []string) []string {
	var all []string
	for _, label := range want {
		if !containsFold(have, label) && !containsFold(all, label) {
			all = append(all, label)
		}
	}
	return all
}

func containsFold(all []string, s string) bool {
	for _, one := range all {
		if strings.EqualFold(one, s) {
			return true
		}
	}
	return false
}
