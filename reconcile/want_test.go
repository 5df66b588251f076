package reconcile_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/registryserver"
	"github.com/kainlite/gitops-operator/test/world"
)

// wantResult compares action and message.
func wantResult(t *testing.T, r reconcile.Result, action, message string) {
	t.Helper()
	if r.Action != action || r.Message != message {
		t.Errorf("got  %s: %s\nwant %s: %s", r.Action, r.Message, action, message)
	}
}

func TestFormatsMakeTheTagOfTheHead(t *testing.T) {
	s := newStage(t)
	head := s.App("kainlite/blog")
	for format, want := range map[string]string{
		"sha-{short}":      "sha-" + head[:7],
		"{branch}-{sha:8}": "master-" + head[:8],
		"v{sha}":           "v" + head,
	} {
		s.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", "kainlite/blog:"+old)})
		target := s.Target("blog", map[string]string{"tag_format": format})
		wantResult(t, s.run(target)[0], "patched", "Deployment blog patched successfully to version "+want)
		if subject := s.Subjects(manifests, 1); subject != "chore(refs): update default/blog to "+want {
			t.Errorf("subject: %s", subject)
		}
		wantResult(t, s.run(target)[0], "up_to_date", "Deployment blog is up to date at "+want)
	}
}

func TestTheHighestGitTagThatFits(t *testing.T) {
	s := newStage(t)
	s.App("kainlite/blog")
	s.Git("kainlite/blog", "tag", "v1.2.0", "master")
	s.Git("kainlite/blog", "-c", "user.name=x", "-c", "user.email=x@y", "tag", "-a", "-m", "annotated", "v1.4.2", "master")
	s.Git("kainlite/blog", "tag", "v2.0.0", "master")
	s.Git("kainlite/blog", "tag", "nightly", "master")
	s.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", "kainlite/blog:1.0.0")})
	target := s.Target("blog", map[string]string{"tag_from": "tags", "version": "^1.0", "tag_format": "{version}"})
	wantResult(t, s.run(target)[0], "patched", "Deployment blog patched successfully to version 1.4.2: highest of 2 tags that fit ^1.0")
	body := s.Git(manifests, "log", "-1", "--format=%B", "master")
	for _, want := range []string{"chore(refs): update default/blog to 1.4.2\n", "\nTo: 1.4.2\n", "\nTag-From: 1.4.2: highest of 2 tags that fit ^1.0"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
	wantResult(t, s.run(target)[0], "up_to_date", "Deployment blog is up to date at 1.4.2: highest of 2 tags that fit ^1.0")

	s.App("kainlite/blog")
	s.Git("kainlite/blog", "tag", "v1.10.0", "master") // the second batch
	wantResult(t, s.run(target)[0], "patched", "Deployment blog patched successfully to version 1.10.0: highest of 3 tags that fit ^1.0")

	none := s.run(s.Target("blog", map[string]string{"tag_from": "tags", "version": "^9", "tag_format": "{version}"}))[0]
	if none.Action != "failed" || !strings.Contains(none.Message, "^9") || !strings.Contains(none.Message, "2.0.0") {
		t.Errorf("%s: %s", none.Action, none.Message)
	}
}

func TestTheHighestTagOfARegistry(t *testing.T) {
	s := newStage(t)
	server, err := registryserver.Start(registryserver.Options{Username: "robot", Password: "hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	s.Secrets["gitops-operator/regcred"] = map[string][]byte{
		".dockerconfigjson": fmt.Appendf(nil, `{"auths":{%q:{"username":"robot","password":"hunter2"}}}`, server.Addr()),
	}
	for _, tag := range []string{"1.2.0", "1.3.0", "2.0.0", "latest"} {
		if err := server.Push("kainlite/blog", tag); err != nil {
			t.Fatal(err)
		}
	}
	image := server.Addr() + "/kainlite/blog"
	s.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", image+":1.2.0")})
	target := s.Target("blog", map[string]string{"tag_from": "registry", "version": "1.x", "image_name": image, "app_repository": ""})
	wantResult(t, s.run(target)[0], "patched", "Deployment blog patched successfully to version 1.3.0: highest of 2 tags that fit 1.x")
	if body := s.Git(manifests, "log", "-1", "--format=%B", "master"); strings.Contains(body, "App-Repository") {
		t.Errorf("an application that nobody named:\n%s", body)
	}
	wantResult(t, s.run(target)[0], "up_to_date", "Deployment blog is up to date at 1.3.0: highest of 2 tags that fit 1.x")
}

// Whoever pins a tag needs nobody's answer, not even the application's.
func TestAPinnedTagWinsOverAll(t *testing.T) {
	s := newStage(t)
	s.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", "kainlite/blog:"+old)})
	target := s.Target("blog", map[string]string{"pin": "1.4.2"}) // whose application is not there
	wantResult(t, s.run(target)[0], "patched", "Deployment blog patched successfully to version 1.4.2: pinned")
	wantResult(t, s.run(target)[0], "up_to_date", "Deployment blog is up to date at 1.4.2: pinned")
}

// A pinned Deployment and one that follows the head are rivals for one image,
// also when only one of them is asked for.
func TestAPinIsAClaim(t *testing.T) {
	s := newStage(t)
	head := s.App("kainlite/blog")
	s.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", "kainlite/blog:"+old)})
	follows := s.Target("blog", nil)
	pinned := s.Target("pinned", map[string]string{"pin": "1.4.2", "deployment_path": "blog.yaml", "image_name": "kainlite/blog"})
	s.track(follows, pinned)
	for _, asked := range [][]k8s.Target{{follows}, {pinned}, {follows, pinned}} {
		for _, r := range s.run(asked...) {
			if r.Action != "failed" || !strings.Contains(r.Message, "also claimed by deployment") || !strings.Contains(r.Message, "1.4.2") || !strings.Contains(r.Message, head) {
				t.Errorf("%s: %s: %s", r.Deployment, r.Action, r.Message)
			}
		}
	}
}

// promotion is a directory with a Deployment in staging, and one in production
// that is promoted from it.
type promotion struct {
	*stage
	dir   string
	files *k8s.Files
}

func newPromotion(t *testing.T, soak string) *promotion {
	p := &promotion{stage: newStage(t), dir: t.TempDir()}
	p.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", "kainlite/blog:1.0.0")})
	edit := map[string]string{"tag_from": "deployment:staging/blog", "app_repository": ""}
	if soak != "" {
		edit["soak"] = soak
	}
	p.write("production", p.Annotations("blog", edit), "1.0.0", nil)
	p.runs("1.0.0", time.Time{})
	var err error
	if p.files, err = k8s.OpenFiles(p.dir, k8s.FileOptions{}); err != nil {
		t.Fatal(err)
	}
	p.reconciler = p.another(reconcile.Options{Workloads: p.files})
	return p
}

func (p *promotion) write(namespace string, annotations map[string]string, tag string, status map[string]any) {
	p.T.Helper()
	object := map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "blog", "namespace": namespace, "annotations": annotations, "generation": 3},
		"spec": map[string]any{"replicas": 1, "template": map[string]any{"spec": map[string]any{
			"containers": []any{map[string]any{"name": "blog", "image": "kainlite/blog:" + tag}},
		}}},
		"status": status,
	}
	b, err := json.Marshal(object)
	if err != nil {
		p.T.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, namespace+".yaml"), b, 0o600); err != nil {
		p.T.Fatal(err)
	}
}

// runs has staging run a tag, completely since a time; zero: it still rolls out.
func (p *promotion) runs(tag string, since time.Time) {
	updated, at := 1, since.UTC().Format(time.RFC3339)
	if since.IsZero() {
		updated, at = 0, time.Now().UTC().Format(time.RFC3339)
	}
	p.write("staging", nil, tag, map[string]any{
		"observedGeneration": 3, "replicas": 1, "updatedReplicas": updated, "availableReplicas": 1,
		"conditions": []any{
			map[string]any{"type": "Available", "status": "True", "lastTransitionTime": at},
			map[string]any{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "lastUpdateTime": at, "lastTransitionTime": at},
		},
	})
}

func (p *promotion) look() reconcile.Outcome {
	p.T.Helper()
	s, err := p.files.Deployments(p.T.Context())
	if err != nil || len(s.Targets) != 1 {
		p.T.Fatalf("%d targets: %v", len(s.Targets), err)
	}
	var out reconcile.Outcome
	p.reconciler.Group(p.T.Context(), []reconcile.Job{{Target: s.Targets[0], Since: time.Now()}}, func(_ context.Context, _ int, o reconcile.Outcome) { out = o })
	return out
}

func TestProductionFollowsWhatStagingHasProved(t *testing.T) {
	p := newPromotion(t, "30m")
	p.runs("1.4.2", time.Time{})
	o := p.look()
	wantResult(t, o.Result, "pending", "Deployment blog waits: staging/blog rolls out 1.4.2: 0 of 1 replicas are updated")
	if until := time.Until(o.Due); until <= 0 || until > time.Minute || o.Again != 0 {
		t.Errorf("looked at again in %s, again %s", until, o.Again)
	}
	p.runs("1.4.2", time.Now().Add(-12*time.Minute))
	o = p.look()
	wantResult(t, o.Result, "pending", "Deployment blog waits: staging/blog runs 1.4.2 for 12m of 30m")
	if until := time.Until(o.Due); until < 17*time.Minute || until > 18*time.Minute {
		t.Errorf("looked at again in %s", until)
	}
	p.runs("1.4.2", time.Now().Add(-31*time.Minute))
	wantResult(t, p.look().Result, "patched", "Deployment blog patched successfully to version 1.4.2: runs in staging/blog for at least 30m")
	p.runs("1.5.0", time.Now()) // the second batch
	o = p.look()
	if o.Result.Action != "pending" || !strings.Contains(o.Result.Message, "runs 1.5.0 for ") {
		t.Errorf("%s: %s", o.Result.Action, o.Result.Message)
	}
}

func TestWhatCannotBePromoted(t *testing.T) {
	p := newPromotion(t, "")
	p.runs("1.4.2", time.Now())
	wantResult(t, p.look().Result, "patched", "Deployment blog patched successfully to version 1.4.2: runs in staging/blog")
	if err := os.Remove(filepath.Join(p.dir, "staging.yaml")); err != nil {
		t.Fatal(err)
	}
	r := p.look().Result
	if r.Action != "failed" || !strings.Contains(r.Message, "deployment staging/blog, to promote from, is not there or not among those that are watched") {
		t.Errorf("%s: %s", r.Action, r.Message)
	}
}

func TestPromotionsInACircleAreRefused(t *testing.T) {
	s := newStage(t)
	s.Commit(manifests, map[string]string{"a.yaml": world.Manifest("a", "kainlite/a:1"), "b.yaml": world.Manifest("b", "kainlite/b:1")})
	a := s.Target("a", map[string]string{"tag_from": "deployment:default/b", "app_repository": ""})
	b := s.Target("b", map[string]string{"tag_from": "deployment:default/a", "app_repository": ""})
	for _, r := range s.run(a, b) {
		if r.Action != "failed" || !strings.Contains(r.Message, "gitops.operator.tag_from") || !strings.Contains(r.Message, "default/a <- default/b <- default/a") {
			t.Errorf("%s: %s: %s", r.Deployment, r.Action, r.Message)
		}
	}
}
