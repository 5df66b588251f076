package forge

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	gh "github.com/google/go-github/v60/github"
)

func TestAPullRequestsLife(t *testing.T) {
	onFakes(t, func(t *testing.T, h *host) {
		ctx := t.Context()
		equal(t, "open at first", h.branches(), "")
		p, err := h.client.Create(ctx, h.repo, Proposal{Head: "gitops-operator/main/blog-web", Base: "main", Title: "one", Body: "first", Labels: []string{"deploy", "bot"}})
		must(t, err)
		equal(t, "state", p.State, Open)
		equal(t, "labels", strings.Join(p.Labels, " "), "deploy bot")
		equal(t, "open", h.branches(), "main/blog-web")

		_, err = h.client.Create(ctx, h.repo, Proposal{Head: p.Head, Base: "main", Title: "two", Body: "second"})
		if !errors.Is(err, ErrExists) {
			t.Errorf("created twice: %v", err)
		}
		before := h.requests()
		same, err := h.client.Update(ctx, h.repo, p, Edit{Title: "one", Body: "first\r\n", Labels: []string{"Deploy"}})
		must(t, err)
		equal(t, "requests for no change", h.requests()-before, 0)
		p, err = h.client.Update(ctx, h.repo, same, Edit{Title: "two", Body: "second", Labels: []string{"bot", "prod"}})
		must(t, err)
		equal(t, "title and body", p.Title+" "+p.Body, "two second")
		equal(t, "labels", strings.Join(p.Labels, " "), "deploy bot prod")

		must(t, h.client.Merge(ctx, h.repo, p))
		open, err := h.client.Open(ctx, h.repo)
		must(t, err)
		p = open["gitops-operator/main/blog-web"]
		equal(t, "merges by itself", p.AutoMerge, true)
		before = h.requests()
		must(t, h.client.Merge(ctx, h.repo, p))
		equal(t, "requests to merge again", h.requests()-before, 0)

		p, err = h.client.Close(ctx, h.repo, p, "main has it")
		must(t, err)
		equal(t, "state", p.State, Closed)
		equal(t, "refused by a person", p.Refused(), false)
		if !strings.Contains(p.Body, "Closed by gitops-operator: main has it") {
			t.Errorf("body: %s", p.Body)
		}
		equal(t, "open at the end", h.branches(), "")
	})
}

func TestWhatPeopleDoIsSeen(t *testing.T) {
	onFakes(t, func(t *testing.T, h *host) {
		touch, merge, _ := h.add("gitops-operator/main/a", "a", "", false)
		_, _, close := h.add("gitops-operator/main/b", "b", "", false)
		h.add("gitops-operator/main/c", "c", "", false)
		h.add("feature", "not ours", "", false)
		equal(t, "open", h.branches(), "main/a main/b main/c")
		touch()
		merge()
		close()
		equal(t, "open", h.branches(), "main/c")
		for branch, want := range map[string]PullState{"a": Merged, "b": Closed, "c": Open} {
			p, ok, err := h.client.Latest(t.Context(), h.repo, "gitops-operator/main/"+branch)
			if err != nil || !ok || p.State != want {
				t.Errorf("%s: got %v %v %v, want %v", branch, p.State, ok, err, want)
			}
			if branch == "b" {
				equal(t, "refused", p.Refused(), true)
			}
			if branch == "a" && p.Merge == "" {
				t.Error("no merge commit")
			}
		}
	})
}

// Anybody can open a pull request from a fork, whose branch has any name.
func TestPullRequestsOfForksAreNotOurs(t *testing.T) {
	onFakes(t, func(t *testing.T, h *host) {
		for i := range 70 {
			h.add(fmt.Sprintf("gitops-operator/main/f%d", i), "foreign", "", true)
		}
		equal(t, "open", h.branches(), "")
		h.add("gitops-operator/main/web", "ours", "", false)
		for i := range 70 {
			h.add(fmt.Sprintf("gitops-operator/main/g%d", i), "foreign", "", true)
		}
		equal(t, "open", h.branches(), "main/web")
		_, ok, err := h.client.Latest(t.Context(), h.repo, "gitops-operator/main/f1")
		if ok || err != nil {
			t.Errorf("a fork's request was taken for ours: %v", err)
		}
	})
}

func TestAPassWithoutNewsCostsOneRequest(t *testing.T) {
	onFakes(t, func(t *testing.T, h *host) {
		const many = 1000
		for i := range many {
			h.add(fmt.Sprintf("gitops-operator/main/w%d", i), "w", strings.Repeat("text ", 20), false)
		}
		open, err := h.client.Open(t.Context(), h.repo)
		must(t, err)
		equal(t, "open", len(open), many)
		first := h.requests()
		if first > 12 {
			t.Errorf("the first pass took %d requests", first)
		}
		for range 3 {
			before, counted := h.requests(), h.counted()
			open, err := h.client.Open(t.Context(), h.repo)
			must(t, err)
			equal(t, "open", len(open), many)
			equal(t, "requests", h.requests()-before, 1)
			equal(t, "requests that count", h.counted()-counted, 0)
		}
		_, merge, _ := h.add("gitops-operator/main/late", "w", "", false)
		merge()
		before := h.requests()
		equal(t, "open", strings.Contains(h.branches(), "late"), false)
		equal(t, "requests after a change", h.requests()-before, 2)
	})
}

func TestMoreChangesThanAreWorthFollowingAreReadAnew(t *testing.T) {
	onFakes(t, func(t *testing.T, h *host) {
		equal(t, "open", h.branches(), "")
		for i := range 500 {
			h.add(fmt.Sprintf("gitops-operator/main/w%d", i), "w", "", false)
		}
		open, err := h.client.Open(t.Context(), h.repo)
		must(t, err)
		equal(t, "open", len(open), 500)
	})
}

func TestTheNewestRequestOfABranchCounts(t *testing.T) {
	onFakes(t, func(t *testing.T, h *host) {
		for i := range 40 { // so that the first page does not have everything
			h.add(fmt.Sprintf("x%d", i), "x", "", false)
		}
		_, _, close := h.add("gitops-operator/main/web", "old", "", false)
		close()
		for i := range 40 {
			h.add(fmt.Sprintf("y%d", i), "y", "", false)
		}
		equal(t, "open", h.branches(), "")
		p, ok, err := h.client.Latest(t.Context(), h.repo, "gitops-operator/main/web")
		if err != nil || !ok || !p.Refused() {
			t.Fatalf("closed request: %+v %v %v", p, ok, err)
		}
		before := h.requests()
		for _, branch := range []string{"web", "web"} {
			_, _, err = h.client.Latest(t.Context(), h.repo, "gitops-operator/main/"+branch)
			must(t, err)
		}
		equal(t, "requests to ask again", h.requests()-before, 0)
		h.add("gitops-operator/main/web", "new", "", false)
		equal(t, "open", h.branches(), "main/web")
		p, _, err = h.client.Latest(t.Context(), h.repo, "gitops-operator/main/web")
		must(t, err)
		equal(t, "newest", p.Title, "new")
	})
}

func TestAutoMergeAtGitHub(t *testing.T) {
	for name, test := range map[string]struct {
		kind, message string
		allow         *bool
		want          error
		merged        bool
	}{
		"set":         {want: nil},
		"switch off":  {allow: gh.Bool(false), want: ErrAutoMerge},
		"not allowed": {kind: "UNPROCESSABLE", message: "Pull request Auto merge is not allowed for this repository", want: ErrAutoMerge},
		"no rules":    {kind: "UNPROCESSABLE", message: "Pull request Protected branch rules not configured for this branch", want: ErrAutoMerge},
		"clean":       {kind: "UNPROCESSABLE", message: "Pull request Pull request is in clean status", want: nil, merged: true},
		"unstable":    {kind: "UNPROCESSABLE", message: "Pull request Pull request is in unstable status", want: ErrNotMergeable},
		"no right":    {kind: "FORBIDDEN", message: "Resource not accessible by personal access token", want: ErrForbidden},
		"rate limit":  {kind: "RATE_LIMITED", message: "API rate limit exceeded", want: ErrRateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			onFake(t, GitHub, func(t *testing.T, h *host) {
				h.add("gitops-operator/main/web", "t", "", false)
				open, err := h.client.Open(t.Context(), h.repo)
				must(t, err)
				h.do(func() {
					h.hub.AutoMergeType, h.hub.AutoMergeError = test.kind, test.message
					if test.allow != nil {
						h.hub.Settings.AllowAutoMerge = test.allow
					}
				})
				err = h.client.Merge(t.Context(), h.repo, open["gitops-operator/main/web"])
				if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				merged := h.branches() == ""
				equal(t, "merged", merged, test.merged)
			})
		})
	}
}

func TestMergingAtGitLab(t *testing.T) {
	for status, want := range map[int]error{401: ErrForbidden, 405: ErrNotMergeable, 409: ErrNotMergeable, 422: ErrNotMergeable, 0: nil} {
		onFake(t, GitLab, func(t *testing.T, h *host) {
			h.add("gitops-operator/main/web", "t", "", false)
			open, err := h.client.Open(t.Context(), h.repo)
			must(t, err)
			h.do(func() { h.project.MergeStatus, h.project.MergeMessage = status, "no" })
			err = h.client.Merge(t.Context(), h.repo, open["gitops-operator/main/web"])
			if !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%d: got %v, want %v", status, err, want)
			}
		})
	}
}

func TestMergingABranchThatHasMoved(t *testing.T) {
	onFake(t, GitLab, func(t *testing.T, h *host) {
		h.add("gitops-operator/main/web", "t", "", false)
		open, err := h.client.Open(t.Context(), h.repo)
		must(t, err)
		p := open["gitops-operator/main/web"]
		p.HeadSHA = other
		if err := h.client.Merge(t.Context(), h.repo, p); !errors.Is(err, ErrNotMergeable) {
			t.Errorf("got %v", err)
		}
	})
}
