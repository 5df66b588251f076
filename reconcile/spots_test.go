package reconcile_test

import (
	"strings"
	"testing"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/patcher"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/world"
)

const (
	kustomization = "resources: [../base]\nimages:\n- name: kainlite/web # ours\n- {name: kainlite/worker, newTag: v1}\n"
	values        = "web:\n  image:\n    repository: kainlite/web\n    tag: v1\nsidecar:\n  image: kainlite/worker:v1 # string\n"
)

// severalFiles is a Deployment with two images in three kinds of files.
func (s *stage) severalFiles(edit map[string]string) k8s.Target {
	s.T.Helper()
	s.App("kainlite/web")
	s.Commit(manifests, map[string]string{
		"base/web.yaml":                world.Manifest("web", "kainlite/web:v1"),
		"prod/kustomization.yaml":      kustomization,
		"charts/values.yaml":           values,
		"charts/unrelated-values.yaml": values,
	})
	all := map[string]string{"deployment_path": "base/web.yaml, prod/kustomization.yaml\ncharts/values.yaml,", "image_name": "kainlite/web\nkainlite/worker", "tag_format": "sha-{sha:9}"}
	for k, v := range edit {
		all[k] = v
	}
	return s.Target("web", all)
}

func (s *stage) wantCommits(want string) {
	s.T.Helper()
	if n := s.Git(manifests, "rev-list", "--count", "master"); n != want {
		s.T.Errorf("%s commits, want %s", n, want)
	}
}

func TestSeveralFilesAndImagesChangeInOneCommit(t *testing.T) {
	s := newStage(t)
	web := s.severalFiles(nil)
	for pass, was := range []string{"v1", "v1"} {
		head := "sha-" + s.App("kainlite/web")[:9]
		if pass > 0 { // somebody resets one of the files meanwhile
			s.Commit(manifests, map[string]string{"charts/values.yaml": values})
		}
		r := s.run(web)[0]
		if r.Action != "patched" || r.ToSHA != head {
			t.Fatalf("%+v", r)
		}
		newTag := strings.Replace(kustomization, " # ours\n", " # ours\n  newTag: "+head+"\n", 1)
		for file, want := range map[string]string{
			"base/web.yaml":                world.Manifest("web", "kainlite/web:"+head),
			"prod/kustomization.yaml":      strings.Replace(newTag, "v1", head, 1),
			"charts/values.yaml":           strings.ReplaceAll(values, was, head),
			"charts/unrelated-values.yaml": values,
		} {
			if got := s.File(manifests, file); got != want {
				t.Errorf("%s:\n%s\nwant\n%s", file, got, want)
			}
		}
		if got, want := s.Git(manifests, "log", "-1", "--format=%B", "master"), "Image: kainlite/web\nImage: kainlite/worker\nFrom: "; !strings.Contains(got, want) {
			t.Errorf("the message is\n%s", got)
		}
		if got := s.Git(manifests, "show", "--format=", "--name-only", "master"); got != "base/web.yaml\ncharts/values.yaml\nprod/kustomization.yaml" {
			t.Errorf("the commit changes\n%s", got)
		}
		s.wantActions(s.run(web), "up_to_date")
	}
	s.wantCommits("4")
	// A reconciler without a memory finds the same.
	s.reconciler = s.another(reconcile.Options{})
	s.wantActions(s.run(web), "up_to_date")
}

// What cannot be changed in one file is changed in none, and the message says
// which.
func TestAllFilesChangeOrNone(t *testing.T) {
	for _, c := range []struct {
		name, path, content, images string
		want                        string
	}{
		{name: "no such file", path: "charts/nope.yaml", want: "patch charts/nope.yaml of URL branch master: no such file: correct gitops.operator.deployment_path; none of its 2 files is changed"},
		{name: "no image in it", path: "charts/values.yaml", content: "a: b\n", want: "patch charts/values.yaml of URL branch master: "},
		{name: "a template", path: "charts/values.yaml", content: "image:\n  repository: kainlite/web\n  tag: {{ x }}\n", want: "patch charts/values.yaml of URL branch master: line 3: the tag is a template ({{), not a string: write the tag there; none of its 2 files is changed"},
		{name: "a digest", path: "charts/values.yaml", content: "image: kainlite/web:v1@sha256:" + strings.Repeat("0", 64) + "\n", want: `line 1: the image "kainlite/web:v1@sha256:` + strings.Repeat("0", 64) +
			`" has a digest, so a new tag would have no effect: remove the digest, or set the annotation gitops.operator.pin_digest to "true"; none of its 2 files is changed`},
		{name: "an image in neither", path: "charts/values.yaml", content: values, images: "kainlite/web, kainlite/db", want: `patch base/web.yaml of URL branch master: none of the 2 files has the image "kainlite/db", ` +
			`so nothing is changed: correct gitops.operator.image_name, or add its file to gitops.operator.deployment_path; none of its 2 files is changed`},
		// It is found out only when the file is edited.
		{name: "too large with the new tag", path: "charts/values.yaml", content: values + "# " + strings.Repeat("x", patcher.MaxSize-len(values)-4) + "\n", want: "patch charts/values.yaml of URL branch master: with the new tag the file has"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			s.App("kainlite/web")
			api := s.Target("api", map[string]string{"deployment_path": "base/web.yaml", "app_repository": s.Server.URL("kainlite/web.git")})
			zoo := s.Target("zoo", map[string]string{"deployment_path": "base/web.yaml", "app_repository": s.Server.URL("kainlite/web.git")})
			files := map[string]string{"base/web.yaml": world.Manifest("web", "kainlite/web:v1") + "---\n" + world.Manifest("api", "kainlite/api:v1") + "---\n" + world.Manifest("zoo", "kainlite/zoo:v1")}
			if c.content != "" {
				files[c.path] = c.content
			}
			s.Commit(manifests, files)
			edit := map[string]string{"deployment_path": "base/web.yaml," + c.path}
			if c.images != "" {
				edit["image_name"] = c.images
			}
			results := s.run(api, s.Target("web", edit), zoo)
			s.wantActions(results, "patched failed patched")
			if want := strings.ReplaceAll(c.want, "URL", s.Server.URL(manifests+".git")); !strings.Contains(results[1].Message, want) {
				t.Errorf("\ngot  %s\nwant %s", results[1].Message, want)
			}
			got := s.File(manifests, "base/web.yaml")
			if !strings.Contains(got, "kainlite/web:v1 ") || strings.Contains(got, "kainlite/api:v1") || strings.Contains(got, "kainlite/zoo:v1") {
				t.Errorf("base/web.yaml is\n%s", got)
			}
			s.wantCommits("3")
			// Each commit changes just what is its own.
			if diff := s.Git(manifests, "show", "--format=", "--unified=0", "master~1", "--", "base/web.yaml"); strings.Count(diff, "\n+ ") != 1 || !strings.Contains(diff, "kainlite/api:") {
				t.Errorf("the first commit is\n%s", diff)
			}
		})
	}
}

// Staging and prod share a kustomization: a disabled one, or one that wants another
// tag, is asked about in each file and place, however path and image are spelled.
func TestClaimsHoldInKustomizations(t *testing.T) {
	for _, c := range []struct {
		name string
		edit map[string]string
		want string
	}{
		{name: "disabled", edit: map[string]string{"enabled": "false"}, want: "patch shared/kustomization.yaml of URL branch master: image kainlite/web is also that of deployment default/prod, which is disabled"},
		{name: "another application", edit: map[string]string{"app_repository": "prod"}, want: "image kainlite/web is also claimed by deployment default/prod, which wants tag "},
		{name: "another spelling", edit: map[string]string{"app_repository": "prod", "deployment_path": "./prod.yaml,x/../shared//kustomization.yaml", "image_name": "docker.io/kainlite/web"}, want: "image kainlite/web is also claimed by deployment default/prod, which wants tag "},
		{name: "a path to the place", edit: map[string]string{"app_repository": "prod", "deployment_path": "shared/kustomization.yaml", "tag_path": ".images[0].newTag"}, want: "image kainlite/web is also claimed by deployment default/prod, which wants tag "},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			s.App("kainlite/web")
			s.App("kainlite/prod")
			shared := "images: [{name: kainlite/web, newTag: v1}]\n"
			s.Commit(manifests, map[string]string{
				"shared/kustomization.yaml": shared,
				"staging.yaml":              world.Manifest("web", "kainlite/web:v1"), "prod.yaml": world.Manifest("web", "kainlite/web:v1"),
			})
			edit := map[string]string{"app_repository": s.Server.URL("kainlite/web.git"), "image_name": "kainlite/web", "deployment_path": "prod.yaml,shared/kustomization.yaml"}
			for k, v := range c.edit {
				if k == "app_repository" {
					v = s.Server.URL("kainlite/" + v + ".git")
				}
				edit[k] = v
			}
			prod := s.Target("prod", edit)
			edit = map[string]string{"app_repository": s.Server.URL("kainlite/web.git"), "image_name": "kainlite/web", "deployment_path": "staging.yaml,shared/kustomization.yaml"}
			staging := s.Target("staging", edit)
			s.track(prod, staging)
			r := s.run(staging)[0]
			if want := strings.ReplaceAll(c.want, "URL", s.Server.URL(manifests+".git")); r.Action != "failed" || !strings.Contains(r.Message, want) {
				t.Errorf("\ngot  %s\nwant %s", r.Message, want)
			}
			if s.File(manifests, "shared/kustomization.yaml") != shared || !strings.Contains(s.File(manifests, "staging.yaml"), "kainlite/web:v1") {
				t.Error("something was changed")
			}
		})
	}
}

// Who is asked for in a second batch finds in the shared file what the first has
// left there.
func TestSecondBatchInASharedFile(t *testing.T) {
	s := newStage(t)
	var targets []k8s.Target
	file := "images:\n"
	for _, name := range []string{"a", "b", "c"} {
		s.App("kainlite/" + name)
		file += "- name: kainlite/" + name + "\n"
		targets = append(targets, s.Target(name, map[string]string{"deployment_path": "kustomization.yaml"}))
	}
	s.Commit(manifests, map[string]string{"kustomization.yaml": file})
	s.track(targets...)
	s.wantActions(s.run(targets[1]), "patched")
	s.wantActions(s.run(targets...), "patched up_to_date patched")
	s.wantActions(s.run(targets...), "up_to_date up_to_date up_to_date")
	s.wantCommits("4")
	if got := s.File(manifests, "kustomization.yaml"); strings.Count(got, "\n  newTag: ") != 3 {
		t.Errorf("the file is\n%s", got)
	}
}

func TestPathsSayWhereTheTagIs(t *testing.T) {
	s := newStage(t)
	head := "sha-" + s.App("kainlite/web")
	s.Commit(manifests, map[string]string{"x.yaml": "release: {version: v1, image: kainlite/web:v1}\nother: {version: v1}\n"})
	web := s.Target("web", map[string]string{"deployment_path": "x.yaml", "tag_format": "sha-{sha}", "tag_path": ".release.version\n.release.image\n"})
	s.wantActions(s.run(web), "patched")
	if got := s.File(manifests, "x.yaml"); got != "release: {version: "+head+", image: kainlite/web:"+head+"}\nother: {version: v1}\n" {
		t.Errorf("got %s", got)
	}
	s.Commit(manifests, map[string]string{"y.yaml": "a: password=hunter2\n"})
	odd := s.Target("web", map[string]string{"deployment_path": "y.yaml", "tag_path": ".a"})
	if r := s.run(odd)[0]; r.Action != "patched" || r.FromSHA != "(no tag)" || strings.Contains(s.Git(manifests, "log", "-1", "--format=%B", "master"), "hunter2") {
		t.Errorf("what was there is told: %+v", r)
	}
	lost := s.Target("web", map[string]string{"deployment_path": "x.yaml", "tag_path": ".release.tag"})
	if r := s.run(lost)[0]; r.Action != "failed" || !strings.Contains(r.Message, `line 1: `) || !strings.Contains(r.Message, ".release") {
		t.Errorf("%s", r.Message)
	}
}

// One repository, two branches: each Deployment has its own, in one group.
func TestBranchesOfTheTwoRepositories(t *testing.T) {
	s := newStage(t)
	heads := map[string]string{}
	for _, branch := range []string{"main", "next"} {
		head, err := s.Repo("kainlite/web").Commit(branch, "x", map[string]string{"main.go": branch})
		if err != nil {
			t.Fatal(err)
		}
		heads[branch] = head
	}
	if _, err := s.Repo(manifests).Commit("deploy", "x", map[string]string{"main.yaml": world.Manifest("web", "kainlite/web:v1"), "next.yaml": world.Manifest("web", "kainlite/web:v1")}); err != nil {
		t.Fatal(err)
	}
	target := func(branch string) k8s.Target {
		return s.Target(branch, map[string]string{"app_repository": s.Server.URL("kainlite/web.git"), "image_name": "kainlite/web", "observe_branch": "deploy", "app_branch": branch})
	}
	gone := s.Target("gone", map[string]string{"app_repository": s.Server.URL("kainlite/web.git"), "image_name": "kainlite/web", "deployment_path": "main.yaml", "manifest_branch": "deploy", "app_branch": "gone"})
	results := s.run(gone, target("main"), target("next"))
	s.wantActions(results, "failed patched patched")
	if results[1].ToSHA != heads["main"] || results[2].ToSHA != heads["next"] || !strings.Contains(results[0].Message, "gone") {
		t.Errorf("%s", describe(results))
	}
	for branch, head := range heads {
		if got := s.Git(manifests, "show", "deploy:"+branch+".yaml"); !strings.Contains(got, head) {
			t.Errorf("%s.yaml is\n%s", branch, got)
		}
	}
}

func TestWhereATagIsIsTold(t *testing.T) {
	web, worker := reconcile.Place{Path: "a.yaml", Line: 3, Kind: patcher.Workload}, reconcile.Place{Path: "k.yaml", Line: 4, Kind: patcher.Kustomization}
	for _, c := range []struct {
		places []reconcile.Place
		want   string
	}{
		{nil, ""},
		{[]reconcile.Place{web, web}, ""},
		{[]reconcile.Place{worker}, "kustomization at k.yaml:4"},
		{[]reconcile.Place{web, worker}, "workload at a.yaml:3, kustomization at k.yaml:4"},
		{[]reconcile.Place{worker, worker, worker, worker, worker, worker, worker, worker, worker, worker}, strings.Repeat("kustomization at k.yaml:4, ", 8) + "2 more"},
	} {
		if got := reconcile.Where(c.places); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
