package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/world"
)

func TestPassMovesTagsThenFindsNothingToDo(t *testing.T) {
	s := newStage(t)
	targets, heads := s.apps("blog", "api")
	results := s.run(targets...)
	s.wantActions(results, "patched patched")
	want := reconcile.Result{
		Deployment: "blog", Namespace: "default", Action: "patched", FromSHA: old, ToSHA: heads["blog"], Status: "success",
		Message: "Deployment blog patched successfully to version " + heads["blog"],
		Head:    heads["blog"], Want: heads["blog"], Commit: strings.TrimSpace(s.Git(manifests, "rev-parse", "master")),
	}
	if results[0] != want {
		t.Errorf("got  %+v\nwant %+v", results[0], want)
	}
	for name, head := range heads {
		if got, want := s.File(manifests, name+".yaml"), world.Manifest(name, "kainlite/"+name+":"+head); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	}

	results = s.run(targets...)
	want = reconcile.Result{
		Deployment: "blog", Namespace: "default", Action: "up_to_date", ToSHA: heads["blog"], Status: "success",
		Message: "Deployment blog is up to date at " + heads["blog"],
		Head:    heads["blog"], Want: heads["blog"],
	}
	if results[0] != want {
		t.Errorf("got  %+v\nwant %+v", results[0], want)
	}

	heads["api"] = s.App("kainlite/api")
	s.wantActions(s.run(targets...), "up_to_date patched")
}

func TestCommitTellsTheStory(t *testing.T) {
	s := newStage(t)
	targets, heads := s.apps("blog", "api")
	s.run(targets...)
	got := s.Git(manifests, "log", "-2", "--reverse", "--format=%an <%ae>%n%B", "master")
	want := ""
	for _, name := range []string{"api", "blog"} {
		want += fmt.Sprintf("GitOps Operator <gitops-operator@localhost>\nchore(refs): update default/%s to %.12s\n\nImage: kainlite/%s\nFrom: %s\nTo: %s\nApp-Repository: %s\n\n",
			name, heads[name], name, old, heads[name], s.Server.URL("kainlite/"+name+".git"))
	}
	if got+"\n" != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	trailers := s.Git(manifests, "log", "-1", "--format=%(trailers:key=To,valueonly)", "master")
	if strings.TrimSpace(trailers) != heads["blog"] {
		t.Errorf("trailer To: %q", trailers)
	}
}

func TestShortTagsAndImagesWithoutTag(t *testing.T) {
	s := newStage(t)
	head := s.App("kainlite/blog")
	s.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", "kainlite/blog")})
	r := s.run(s.Target("blog", map[string]string{"tag_type": "short"}))[0]
	if r.Action != "patched" || r.FromSHA != "latest" || r.ToSHA != head[:7] {
		t.Fatalf("got %+v", r)
	}
	if got, want := s.File(manifests, "blog.yaml"), world.Manifest("blog", "kainlite/blog:"+head[:7]); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestDryRunPushesNothing(t *testing.T) {
	s := newStage(t)
	targets, heads := s.apps("blog")
	before := s.Git(manifests, "rev-parse", "master")
	r := s.runWith(s.another(reconcile.Options{DryRun: true}), targets...)[0]
	if want := "Deployment blog patched successfully to version " + heads["blog"] + " (dry run)"; r.Message != want || r.Action != "patched" {
		t.Errorf("got %+v", r)
	}
	if after := s.Git(manifests, "rev-parse", "master"); after != before {
		t.Error("a dry run pushed")
	}
}

// The floor of a pass: one session per distinct repository, one push where
// something changed.
func TestPassTouchesEachRepositoryOnce(t *testing.T) {
	s := newStage(t)
	var targets []k8s.Target
	files := map[string]string{}
	for i := range 60 {
		name := fmt.Sprintf("app%02d", i)
		app := fmt.Sprintf("app%d", i%5) // 5 repositories for 60 Deployments
		if i < 5 {
			s.App("kainlite/" + app)
		}
		files[name+".yaml"] = world.Manifest(name, "kainlite/"+name+":"+old)
		targets = append(targets, s.Target(name, map[string]string{"app_repository": s.Server.URL("kainlite/" + app + ".git")}))
	}
	s.Commit(manifests, files)

	s.Server.ResetStats()
	s.wantActions(s.run(targets...), strings.TrimSpace(strings.Repeat("patched ", 60)))
	stats := s.Server.Stats()
	if stats.Sessions != 7 || stats.Pushes != 1 || stats.ReceivePacks != 1 || stats.Connections != 1 {
		t.Errorf("changing 60 files: %+v, want 5 heads, 1 clone and 1 push on 1 connection", stats)
	}
	if n := s.Git(manifests, "rev-list", "--count", "master"); n != "61" {
		t.Errorf("%s commits on the branch, want 1 and one per Deployment", n)
	}

	s.Server.ResetStats()
	s.wantActions(s.run(targets...), strings.TrimSpace(strings.Repeat("up_to_date ", 60)))
	stats = s.Server.Stats()
	if stats.Sessions != 6 || stats.ReceivePacks != 0 {
		t.Errorf("no-op pass: %+v, want 6 sessions", stats)
	}
	for repo, r := range stats.ByRepo {
		if r.UploadPacks > 1 {
			t.Errorf("no-op pass: %d sessions for %s", r.UploadPacks, repo)
		}
	}
}

func TestDeploymentsThatShareAFile(t *testing.T) {
	s := newStage(t)
	heads := map[string]string{"blog": s.App("kainlite/blog"), "api": s.App("kainlite/api")}
	both := world.Manifest("blog", "kainlite/blog:"+old) + "---\n" + world.Manifest("api", "kainlite/api:"+old)
	s.Commit(manifests, map[string]string{"all.yaml": both})
	path := map[string]string{"deployment_path": "all.yaml"}
	twin := s.Target("blog", path)
	twin.Name = "blog-canary"
	targets := []k8s.Target{s.Target("blog", path), s.Target("api", path), twin}
	s.wantActions(s.run(targets...), "patched patched up_to_date")
	want := strings.NewReplacer("kainlite/blog:"+old, "kainlite/blog:"+heads["blog"], "kainlite/api:"+old, "kainlite/api:"+heads["api"]).Replace(both)
	if got := s.File(manifests, "all.yaml"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if n := s.Git(manifests, "rev-list", "--count", "master"); n != "3" {
		t.Errorf("%s commits", n)
	}
}

// Two Deployments that want different tags for one image would undo each other
// in every pass.
func TestContradictingDeploymentsAreRefused(t *testing.T) {
	s := newStage(t)
	targets, heads := s.apps("blog", "api")
	rival := s.Target("blog", map[string]string{"tag_type": "short"})
	rival.Name = "rival"
	results := s.run(targets[0], targets[1], rival)
	s.wantActions(results, "failed patched failed")
	where := "Deployment blog failed: patch blog.yaml of " + s.Server.URL(manifests+".git") + " branch master: "
	want := where + "image kainlite/blog is also claimed by deployment default/rival, which wants tag " + heads["blog"][:7] +
		" where this one wants " + heads["blog"] + ": give each a file or an image of its own"
	if results[0].Message != want {
		t.Errorf("got  %s\nwant %s", results[0].Message, want)
	}
}

// However the odd one out is called, all who claim the image end.
func TestAllRivalsAreRefused(t *testing.T) {
	for _, odd := range []string{"a", "z"} {
		s := newStage(t)
		targets, _ := s.apps("blog", "api")
		second, third := s.Target("blog", nil), s.Target("blog", map[string]string{"tag_type": "short"})
		second.Name, third.Name = "m", odd
		s.wantActions(s.run(targets[0], targets[1], second, third), "failed patched failed failed")
	}
}

func TestShutdownIsSaidInPlainWords(t *testing.T) {
	s := newStage(t)
	targets, _ := s.apps("blog", "api")
	s.Server.Stall("", true)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for s.Server.Stats().UploadPacks == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel(errors.New("queue is closed"))
	}()
	var results []reconcile.Result
	var mu sync.Mutex
	s.reconciler.Group(ctx, []reconcile.Job{{Target: targets[0], Since: time.Now()}, {Target: targets[1], Since: time.Now()}}, func(_ context.Context, _ int, o reconcile.Outcome) {
		r := o.Result
		mu.Lock()
		defer mu.Unlock()
		results = append(results, r)
	})
	s.wantActions(results, "failed failed")
	for _, r := range results {
		if want := "Deployment " + r.Deployment + " failed: the operator is shutting down; the next pass goes on from here"; r.Message != want {
			t.Errorf("got %s", r.Message)
		}
	}
}

func TestServerThatCannotUpdateItsBranchIsSaid(t *testing.T) {
	s := newStage(t)
	targets, _ := s.apps("blog")
	if err := os.WriteFile(filepath.Join(s.Repo(manifests).Dir, "refs", "heads", "master.lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := s.run(targets...)[0]
	if !strings.Contains(r.Message, "the server refuses to update the branch although nobody has moved it, perhaps because of a stale lock") {
		t.Errorf("got %s", r.Message)
	}
}

// Somebody pushes to the same branch, even the same file, in the very moment
// between the operator's fetch and its push.
func TestRefusedPushIsPlannedAgain(t *testing.T) {
	s := newStage(t)
	targets, heads := s.apps("blog", "api")
	times := 0
	s.Server.OnReceivePack(func(string) {
		if times++; times <= 3 {
			s.Commit(manifests, map[string]string{
				"blog.yaml":                     fmt.Sprintf("# edit %d\n", times) + world.Manifest("blog", "kainlite/blog:"+old),
				fmt.Sprintf("new%d.txt", times): "x",
			})
		}
	})
	s.wantActions(s.run(targets...), "patched patched")
	if times != 4 {
		t.Errorf("%d pushes, want 3 refused and 1 accepted", times)
	}
	if got, want := s.File(manifests, "blog.yaml"), "# edit 3\n"+world.Manifest("blog", "kainlite/blog:"+heads["blog"]); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if n := s.Git(manifests, "rev-list", "--count", "master"); n != "6" {
		t.Errorf("%s commits, want 1, 3 of the others and 2", n)
	}
}

func TestBranchThatNeverRestsIsGivenUp(t *testing.T) {
	s := newStage(t)
	targets, _ := s.apps("blog")
	times := 0
	s.Server.OnReceivePack(func(string) {
		times++
		s.Commit(manifests, map[string]string{"n": fmt.Sprint(times)})
	})
	r := s.run(targets...)[0]
	if times != 10 || r.Action != "failed" || !strings.Contains(r.Message, "branch moved") || !strings.Contains(r.Message, "(10 times in a row: the next pass tries again)") {
		t.Errorf("%d pushes: %s", times, r.Message)
	}
}

// Whoever is overtaken again and again takes smaller steps, and larger ones
// again when they succeed.
func TestOvertakenPushesBecomeSmaller(t *testing.T) {
	s := newStage(t)
	var names []string
	for i := range 64 {
		names = append(names, fmt.Sprintf("app%02d", i))
	}
	targets, heads := s.apps(names...)
	times := 0
	s.Server.OnReceivePack(func(string) {
		if times++; times <= 4 {
			s.Commit(manifests, map[string]string{"n": fmt.Sprint(times)})
		}
	})
	for _, r := range s.run(targets...) {
		if r.Action != "patched" {
			t.Errorf("%s: %s", r.Deployment, r.Message)
		}
	}
	// 64 three times and 16 are refused; 10, 20 and the last 34 are taken.
	if times != 7 {
		t.Errorf("%d pushes, want 4 refused and 3 accepted", times)
	}
	if n := s.Git(manifests, "rev-list", "--count", "master"); n != "69" {
		t.Errorf("%s commits, want 1, 4 of the others and 64", n)
	}
	for _, name := range names {
		if got, want := s.File(manifests, name+".yaml"), world.Manifest(name, "kainlite/"+name+":"+heads[name]); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	}
}

// Ten times in a row are too many, not in all: what gets on, goes on.
func TestOvertakenGroupGoesOnWhileItGetsOn(t *testing.T) {
	s := newStage(t)
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("app%02d", i))
	}
	targets, _ := s.apps(names...)
	times := 0
	s.Server.OnReceivePack(func(string) {
		if times++; times != 5 && times <= 13 {
			s.Commit(manifests, map[string]string{"n": fmt.Sprint(times)})
		}
	})
	for _, r := range s.run(targets...) {
		if r.Action != "patched" {
			t.Errorf("%s: %s", r.Deployment, r.Message)
		}
	}
	if n := s.Git(manifests, "rev-list", "--count", "master"); times != 14 || n != "33" {
		t.Errorf("%d pushes, want 14; %s commits, want 1, 12 of the others and 20", times, n)
	}
}

func TestTwoOperatorsOnOneBranchBothGetTheirChangesIn(t *testing.T) {
	s := newStage(t)
	const each = 15
	var targets [2][]k8s.Target
	files := map[string]string{}
	for i := range 2 * each {
		name := fmt.Sprintf("app%02d", i)
		s.App("kainlite/" + name)
		files[name+".yaml"] = world.Manifest(name, "kainlite/"+name+":"+old)
		targets[i%2] = append(targets[i%2], s.Target(name, nil))
	}
	s.Commit(manifests, files)
	operators := []*reconcile.Reconciler{s.another(reconcile.Options{}), s.another(reconcile.Options{})}
	const rounds = 4
	for round := range rounds {
		var wg sync.WaitGroup
		for i, operator := range operators {
			wg.Go(func() {
				s.wantActionsOf(s.runWith(operator, targets[i]...), "patched", each)
			})
		}
		wg.Wait()
		for i := range 2 * each {
			name := fmt.Sprintf("app%02d", i)
			head := s.Git("kainlite/"+name, "rev-parse", "master")
			if got, want := s.File(manifests, name+".yaml"), world.Manifest(name, "kainlite/"+name+":"+head); got != want {
				t.Fatalf("round %d: %s got:\n%s\nwant:\n%s", round, name, got, want)
			}
			s.App("kainlite/" + name)
		}
	}
	if n, want := s.Git(manifests, "rev-list", "--count", "master"), fmt.Sprint(1+rounds*2*each); n != want {
		t.Errorf("%s commits, want %s: every change exactly once", n, want)
	}
	if merges := s.Git(manifests, "rev-list", "--merges", "master"); merges != "" {
		t.Errorf("the history is not linear: %s", merges)
	}
	s.Git(manifests, "fsck", "--strict")
}

func (s *stage) wantActionsOf(results []reconcile.Result, want string, n int) {
	for _, r := range results {
		if r.Action != want {
			s.T.Errorf("%s: %s: %s", r.Deployment, r.Action, r.Message)
		}
	}
	if len(results) != n {
		s.T.Errorf("%d results, want %d", len(results), n)
	}
}

// git dies in the middle of a pass; the next pass is right.
func TestKilledGitLeavesTheNextPassCorrect(t *testing.T) {
	for _, victim := range []string{"fetch", "clone", "ls-tree", "cat-file", "fast-import", "push"} {
		t.Run(victim, func(t *testing.T) {
			path := os.Getenv("PATH")
			armed := filepath.Join(t.TempDir(), "armed")
			bin := killer(t, victim, armed)
			t.Setenv("PATH", bin+":"+path)
			s := newStage(t, func(o *gitcli.Options) { o.Timeout = 20 * time.Second })
			targets, _ := s.apps("blog", "api")
			if victim == "fetch" { // needs a mirror to fetch into, and something to fetch
				s.wantActions(s.run(targets...), "patched patched")
				if _, err := s.Repo(manifests).Commit("master", "Another file", map[string]string{"README": "x"}); err != nil {
					t.Fatal(err)
				}
				s.App("kainlite/blog")
				s.App("kainlite/api")
			}
			if err := os.WriteFile(armed, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			s.run(targets...) // may fail, may mend itself
			if _, err := os.Stat(armed); err == nil {
				t.Fatalf("git %s was not killed", victim)
			}
			s.run(targets...)
			s.wantActions(s.run(targets...), "up_to_date up_to_date")
			for _, name := range []string{"blog", "api"} {
				head := s.Git("kainlite/"+name, "rev-parse", "master")
				if got, want := s.File(manifests, name+".yaml"), world.Manifest(name, "kainlite/"+name+":"+head); got != want {
					t.Errorf("%s got:\n%s\nwant:\n%s", name, got, want)
				}
			}
			s.Git(manifests, "fsck", "--strict")
			per := map[string]int{}
			for _, subject := range strings.Split(s.Git(manifests, "log", "--format=%s", "master"), "\n") {
				if per[subject]++; per[subject] > 1 {
					t.Errorf("twice in the history: %s", subject)
				}
			}
		})
	}
}

// killer returns a folder with a git that, while the file armed is there,
// removes it and kills itself and its children in the middle of a command.
func killer(t *testing.T, victim, armed string) string {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf(`#!/bin/bash
real=$(PATH=${PATH#*:} command -v git)
for arg in "$@"; do
  if [ "$arg" = %s ] && [ -e %s ]; then
    rm -f %s
    "$real" "$@" & sleep 0.03
    kill -KILL 0
  fi
done
exec "$real" "$@"
`, victim, armed, armed)
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
