package reconcile_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/patcher"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/world"
)

// commands makes a stage whose git commands are counted, by their names.
func commands(t *testing.T) (*stage, func() string) {
	core, logs := observer.New(zap.DebugLevel)
	s := newStage(t, func(o *gitcli.Options) { o.Log = zap.New(core) })
	return s, func() string {
		count := map[string]int{}
		for _, line := range logs.TakeAll() {
			if line.Message != "git" {
				continue
			}
			args := line.ContextMap()["args"].([]any)
			i := slices.IndexFunc(args, func(a any) bool {
				return slices.Contains([]any{"clone", "rev-parse", "update-ref", "fetch", "ls-remote", "ls-tree", "diff-tree", "cat-file", "fast-import", "push"}, a)
			})
			if i < 0 {
				t.Fatalf("unexpected git %v", args)
			}
			count[args[i].(string)]++
		}
		return strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(count), "map["), "]") // sorted
	}
}

func TestAPassReadsOnlyWhatHasChanged(t *testing.T) {
	s, ran := commands(t)
	targets, _ := s.apps("blog", "api", "shop")
	s.wantActions(s.run(targets...), "patched patched patched")
	for _, step := range []struct {
		what, want, git string
		before          func()
	}{
		{"the operator's own push", "up_to_date up_to_date up_to_date", "ls-remote:4", func() {}},
		{"nothing", "up_to_date up_to_date up_to_date", "ls-remote:4", func() {}},
		{"an application", "up_to_date patched up_to_date", "cat-file:1 fast-import:1 ls-remote:4 push:1", func() { s.App("kainlite/api") }},
		{"another file", "up_to_date up_to_date up_to_date", "diff-tree:1 fetch:1 ls-remote:4", func() {
			s.Commit(manifests, map[string]string{"README": "x"})
		}},
		{"one of the files", "patched up_to_date up_to_date", "cat-file:1 diff-tree:1 fast-import:1 fetch:1 ls-remote:4 ls-tree:1 push:1", func() {
			s.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", "kainlite/blog:"+old)})
		}},
	} {
		ran()
		step.before()
		results := s.run(targets...)
		if got := actions(results); got != step.want {
			t.Errorf("after a change to %s: %s\n%s", step.what, got, describe(results))
		}
		if got := ran(); got != step.git {
			t.Errorf("after a change to %s, git ran %s, want %s", step.what, got, step.git)
		}
	}
}

// A reconciler that remembers says what one says that has just been started,
// whatever happens to the manifests repository and the annotations between.
func TestWhatIsRememberedIsNeverOld(t *testing.T) {
	s := newStage(t)
	names := []string{"a", "b", "c", "d"}
	for _, name := range names {
		s.App("kainlite/" + name)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	tags := []string{old, "v1"}
	paths := []string{"a.yaml", "dir/b.yaml", "dir", "shared.yaml"}
	content := func(path string) string {
		switch {
		case random.IntN(8) == 0:
			return pick("{{ .Values }}", "a: [", "kind: Pod\n")
		case path == "shared.yaml":
			return world.Manifest("a", "kainlite/a:"+pick(tags...)) + "---\n" + world.Manifest("b", "kainlite/b:"+pick(tags...))
		}
		name := pick(names...)
		return world.Manifest(name, "kainlite/"+name+":"+pick(tags...))
	}
	targets := func() (list []k8s.Target) {
		for _, name := range names {
			list = append(list, s.Target(name, map[string]string{"deployment_path": pick(paths...), "image_name": "kainlite/" + pick(name, name, "a")}))
		}
		return list
	}
	repo := s.Repo(manifests)
	must := func(_ string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(repo.CommitChanges("master", "Start", gitrepo.Change{Path: "a.yaml", Content: content("a.yaml")}))
	now := targets()
	for step := range 25 {
		var did string
		switch random.IntN(8) {
		case 0, 1:
			p := pick("a.yaml", "dir/b.yaml", "shared.yaml")
			did = "write " + p
			must(repo.CommitChanges("master", did, gitrepo.Change{Path: p, Mode: pick("100644", "100755"), Content: content(p)}))
		case 2:
			did = "dir becomes a file or a link"
			must(repo.CommitChanges("master", did, gitrepo.Change{Path: "dir", Mode: pick("100644", "120000"), Content: content("dir")}))
		case 3:
			did = "a link at shared.yaml"
			must(repo.CommitChanges("master", did, gitrepo.Change{Path: "shared.yaml", Mode: "120000", Content: "a.yaml"}))
		case 4:
			did = "back by a commit, by force"
			if _, err := repo.Git("update-ref", "refs/heads/master", "refs/heads/master~1"); err != nil {
				continue // there is none before it
			}
		case 5:
			did = "a new history"
			must(repo.Git("update-ref", "-d", "refs/heads/master"))
			must(repo.CommitChanges("master", did, gitrepo.Change{Path: "dir/b.yaml", Content: content("dir/b.yaml")}))
		case 6:
			did = "other annotations"
			now = targets()
		case 7:
			did = "a commit to an application"
			s.App("kainlite/" + pick(names...))
		}
		fresh := s.runWith(s.another(reconcile.Options{DryRun: true}), now...)
		for i := range fresh {
			fresh[i].Message = strings.TrimSuffix(fresh[i].Message, " (dry run)")
		}
		got := s.run(now...)
		for i := range got {
			got[i].Commit = "" // a dry run makes none
		}
		if !slices.Equal(got, fresh) {
			t.Fatalf("seed %d, step %d (%s):\n%sa new one says\n%s", seed, step, did, describe(got), describe(fresh))
		}
	}
}

func TestOneEditThatFailsLeavesTheOthersOfItsFile(t *testing.T) {
	s := newStage(t)
	// There is room for the commit in place of one tag, not of the other.
	text := world.Manifest("blog", "kainlite/blog:"+old) + "---\n" + world.Manifest("api", "kainlite/api:v1") + "---\n" + world.Manifest("shop", "kainlite/shop:"+old)
	text += "# " + strings.Repeat("x", patcher.MaxSize-len(text)-10) + "\n"
	s.Commit(manifests, map[string]string{"all.yaml": text})
	var targets []k8s.Target
	heads := map[string]string{}
	for _, name := range []string{"api", "blog", "shop"} {
		heads[name] = s.App("kainlite/" + name)
		targets = append(targets, s.Target(name, map[string]string{"deployment_path": "all.yaml"}))
	}
	results := s.run(targets...)
	s.wantActions(results, "failed patched patched")
	if !strings.Contains(results[0].Message, "more than the 4194304 that are read") {
		t.Errorf("got %s", results[0].Message)
	}
	want := strings.NewReplacer("blog:"+old, "blog:"+heads["blog"], "shop:"+old, "shop:"+heads["shop"]).Replace(text)
	if got := s.File(manifests, "all.yaml"); got != want {
		t.Error("the file is not as it should be")
	}
	if got := s.Subjects(manifests, 3); strings.Count(got, "chore(refs)") != 2 {
		t.Errorf("commits:\n%s", got)
	}
	if got, want := s.Git(manifests, "show", "master~1:all.yaml")+"\n", strings.Replace(text, "blog:"+old, "blog:"+heads["blog"], 1); got != want {
		t.Error("the first commit is more, or less, than the first Deployment's")
	}
}
