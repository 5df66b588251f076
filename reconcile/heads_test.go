package reconcile_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/reconcile"
)

// An application whose server hangs keeps nobody waiting but itself, and takes
// one session, however often it is asked for.
func TestWhoHangsIsGoneOnWithout(t *testing.T) {
	s := newStage(t)
	r := s.another(reconcile.Options{Patience: time.Second})
	targets, _ := s.apps("blog", "api")
	s.Server.Stall("kainlite/blog.git", true)
	api := "patched"
	for range 3 {
		results := s.runWith(r, targets...)
		s.wantActions(results, "pending "+api)
		if want := "Deployment blog waits for an answer from " + s.Server.URL("kainlite/blog.git"); results[0].Message != want {
			t.Errorf("got %s", results[0].Message)
		}
		api = "up_to_date"
	}
	if n := s.Server.Stats().ByRepo["kainlite/blog.git"].UploadPacks; n != 1 {
		t.Errorf("%d sessions wait for the repository that hangs", n)
	}
	s.Server.Stall("kainlite/blog.git", false)
	for {
		results := s.runWith(r, targets...)
		if results[0].Action == "pending" {
			continue // the server is free again, but slow
		}
		s.wantActions(results, "patched up_to_date")
		break
	}
	if n := strings.Count(s.Subjects(manifests, 3), "chore(refs)"); n != 2 {
		t.Errorf("%d commits", n)
	}
}

// A server that never answers is a failure in the end, although each time that
// the Deployment is due again comes before the answer to the last question.
func TestWhoHangsForEverFails(t *testing.T) {
	s := newStage(t, func(o *gitcli.Options) { o.Timeout = 2 * time.Second })
	r := s.another(reconcile.Options{Patience: 100 * time.Millisecond})
	targets, _ := s.apps("blog", "api")
	s.Server.Stall("kainlite/blog.git", true)
	requested := time.Now()
	jobs := make([]reconcile.Job, len(targets))
	for i := range jobs {
		jobs[i] = reconcile.Job{Target: targets[i], Requested: requested}
	}
	for t.Context().Err() == nil {
		var blog reconcile.Result
		var again time.Duration
		for i := range jobs {
			jobs[i].Since = time.Now() // as the queue does when a job is due again
		}
		r.Group(t.Context(), jobs, func(_ context.Context, i int, o reconcile.Outcome) {
			res, later := o.Result, o.Again
			if i == 0 {
				blog, again = res, later
			}
		})
		if again > 0 {
			continue
		}
		if want := "read head of " + s.Server.URL("kainlite/blog.git") + " branch master: timed out after 2s"; !strings.Contains(blog.Message, want) {
			t.Errorf("got %s", blog.Message)
		}
		break
	}
	if n := s.Server.Stats().ByRepo["kainlite/blog.git"].UploadPacks; n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}
