package forge

import (
	"strings"
	"testing"

	gh "github.com/google/go-github/v60/github"
	gl "gitlab.com/gitlab-org/api/client-go"
)

func TestBuildsAtGitHub(t *testing.T) {
	for _, test := range []struct {
		want Build
		runs string
	}{
		{None, ""},
		{Running, "in_progress"},
		{Running, "queued, completed failure, in_progress"},
		{Queued, "queued"},
		{Queued, "waiting"},
		{Queued, "something_new"},
		{Failed, "completed failure"},
		{Failed, "completed action_required"},
		{Failed, "completed skipped, completed failure"},
		{Completed, "completed failure, completed success"},
		{Completed, "completed skipped"},
	} {
		t.Run(test.runs, func(t *testing.T) {
			onFake(t, GitHub, func(t *testing.T, h *host) {
				for s := range strings.SplitSeq(test.runs, ", ") {
					if status, conclusion, _ := strings.Cut(s, " "); status != "" {
						h.do(func() {
							h.hub.Runs[sha] = append(h.hub.Runs[sha], &gh.WorkflowRun{Status: &status, Conclusion: &conclusion, HeadSHA: gh.String(sha)})
						})
					}
				}
				got, err := h.client.Builds(t.Context(), h.repo, strings.ToUpper(sha))
				must(t, err)
				equal(t, "builds", got, test.want)
			})
		})
	}
}

func TestBuildsAtGitLab(t *testing.T) {
	for _, test := range []struct {
		want Build
		runs string
	}{
		{None, ""},
		{Running, "running"},
		{Queued, "created"},
		{Queued, "waiting_for_resource"},
		{Queued, "pending success"},
		{Running, "pending running failed"},
		{Failed, "failed"},
		{Failed, "canceled"},
		{Failed, "manual"},
		{Completed, "success"},
		{Completed, "failed success"},
		{Completed, "skipped"},
		{Queued, "something_new"},
	} {
		t.Run(test.runs, func(t *testing.T) {
			onFake(t, GitLab, func(t *testing.T, h *host) {
				h.do(func() {
					h.project.Pipelines = append(h.project.Pipelines, &gl.PipelineInfo{SHA: other, Status: "running"})
					for _, status := range strings.Fields(test.runs) {
						h.project.Pipelines = append(h.project.Pipelines, &gl.PipelineInfo{SHA: sha, Status: status})
					}
				})
				got, err := h.client.Builds(t.Context(), h.repo, sha)
				must(t, err)
				equal(t, "builds", got, test.want)
			})
		})
	}
}

func TestManyPagesOfBuildsCount(t *testing.T) {
	onFake(t, GitHub, func(t *testing.T, h *host) {
		h.do(func() {
			for range 250 {
				h.hub.Runs[sha] = append(h.hub.Runs[sha], &gh.WorkflowRun{Status: gh.String("completed"), Conclusion: gh.String("failure")})
			}
			h.hub.Runs[sha][249].Conclusion = gh.String("success")
		})
		for range 2 { // the second time from what is remembered, page by page
			got, err := h.client.Builds(t.Context(), h.repo, sha)
			must(t, err)
			equal(t, "builds", got, Completed)
		}
		equal(t, "requests", h.requests(), 6)
		equal(t, "requests that count", h.counted(), 3)
	})
}

func TestChecksAreThoseOfBothKinds(t *testing.T) {
	onFake(t, GitHub, func(t *testing.T, h *host) {
		h.do(func() {
			run := func(name, status, conclusion string) {
				h.hub.Checks[sha] = append(h.hub.Checks[sha], &gh.CheckRun{Name: &name, Status: &status, Conclusion: &conclusion})
			}
			run("test", "completed", "success")
			run("lint", "completed", "timed_out")
			run("e2e", "in_progress", "")
			run("docs", "completed", "skipped")
			run("both", "completed", "success")
			status := func(name, state string) {
				h.hub.Statuses[sha] = append(h.hub.Statuses[sha], &gh.RepoStatus{Context: &name, State: &state})
			}
			status("both", "failure")
			status("scan", "pending")
			status("scan", "success") // an older one
			status("sign", "error")
		})
		checks, err := h.client.Checks(t.Context(), h.repo, sha)
		must(t, err)
		var all []string
		for _, c := range checks {
			all = append(all, c.Name+" "+c.State.String())
		}
		equal(t, "checks", strings.Join(all, ", "), "both red, docs green, e2e pending, lint red, scan pending, sign red, test green")
	})
}

func TestChecksAtGitLab(t *testing.T) {
	onFake(t, GitLab, func(t *testing.T, h *host) {
		h.do(func() {
			for _, s := range []gl.CommitStatus{{Name: "test", Status: "success"}, {Name: "lint", Status: "failed"}, {Name: "flaky", Status: "failed", AllowFailure: true},
				{Name: "e2e", Status: "running"}, {Name: "deploy", Status: "manual"}, {Name: "old", Status: "canceled"}, {Name: "docs", Status: "skipped"}} {
				h.project.Statuses[sha] = append(h.project.Statuses[sha], &s)
			}
		})
		checks, err := h.client.Checks(t.Context(), h.repo, sha)
		must(t, err)
		var all []string
		for _, c := range checks {
			all = append(all, c.Name+" "+c.State.String())
		}
		equal(t, "checks", strings.Join(all, ", "), "deploy pending, docs green, e2e pending, flaky green, lint red, old red, test green")
	})
}

func TestRequiredChecks(t *testing.T) {
	checks := []Check{{"a", Green, "A"}, {"b", Pending, "B"}, {"c", Red, "C"}, {"d", Green, "D"}, {"e", Red, "E"}}
	for required, want := range map[string]string{
		"":        "green []",
		"a":       "green [a]A",
		"a d":     "green [a d]A",
		"a b":     "pending [b]B",
		"a b x":   "missing [x]",
		"x c a b": "red [c]C",
		"e c":     "red [e c]E",
		"A":       "missing [A]",
	} {
		v := Require(checks, strings.Fields(required))
		equal(t, required, v.State.String()+" ["+strings.Join(v.Names, " ")+"]"+v.URL, want)
	}
}

func TestAStatusIsSetOnce(t *testing.T) {
	onFakes(t, func(t *testing.T, h *host) {
		s := Status{Name: StatusName("blog", "web"), State: Pending, Description: strings.Repeat("waits\n", 50), URL: "https://example.com/"}
		for range 3 {
			must(t, h.client.SetStatus(t.Context(), h.repo, sha, s))
		}
		equal(t, "requests", h.requests(), 1)
		s.State, s.Description = Green, "pushed"
		must(t, h.client.SetStatus(t.Context(), h.repo, sha, s))
		must(t, h.client.SetStatus(t.Context(), h.repo, other, s))
		equal(t, "requests", h.requests(), 3)
		checks, err := h.client.Checks(t.Context(), h.repo, sha)
		must(t, err)
		equal(t, "checks", len(checks), 1)
		equal(t, "check", checks[0], Check{"gitops-operator/blog/web", Green, "https://example.com/"})
	})
}

// GitLab does not take the state that a status has already; an operator that
// was started again does not know it.
func TestAStatusOfAnEarlierProcessMayBeSetAgain(t *testing.T) {
	onFakes(t, func(t *testing.T, h *host) {
		s := Status{Name: "gitops-operator/blog/web", State: Pending}
		must(t, h.client.SetStatus(t.Context(), h.repo, sha, s))
		h.client.statuses = newLRU[statusKey, Status](10)
		must(t, h.client.SetStatus(t.Context(), h.repo, sha, s))
		equal(t, "requests", h.requests(), 2)
	})
}
