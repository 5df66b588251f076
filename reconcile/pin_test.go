package reconcile_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
)

// push moves a tag in the registry and returns its digest.
func (g *gateStage) push(repository, tag string) string {
	g.T.Helper()
	if err := g.registry.Push(repository, tag); err != nil {
		g.T.Fatal(err)
	}
	req, err := http.NewRequestWithContext(g.T.Context(), http.MethodHead, "http://"+g.registry.Addr()+"/v2/"+repository+"/manifests/"+tag, nil)
	if err != nil {
		g.T.Fatal(err)
	}
	req.SetBasicAuth("robot", "hunter2")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.T.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	return resp.Header.Get("Docker-Content-Digest")
}

// A digest is written with its tag, and again when the tag has moved.
func TestDigestIsPinned(t *testing.T) {
	g := newGateStage(t, quick)
	head := "sha-" + g.App("kainlite/web")
	image := g.registry.Addr() + "/kainlite/web"
	values := "image:\n  repository: " + image + "\n  tag: v1\n"
	file := "a.yaml"
	g.Commit(manifests, map[string]string{file: "image: " + image + ":v1 # here\n", "kustomization.yaml": "images:\n- name: web\n  newName: " + image + "\n", "values.yaml": values})
	web := g.target("web", map[string]string{"deployment_path": file + ",kustomization.yaml,values.yaml", "pin_digest": "true", "tag_format": "sha-{sha}"})

	r := g.look(web)[0]
	if want := "image " + image + ":" + head + " not found in registry"; r.Action != "failed" && r.Action != "pending" || !strings.Contains(r.Message, "image "+image+":"+head) {
		t.Fatalf("%s, want %s", r.Message, want)
	}
	for pass := range 2 {
		digest := g.push("kainlite/web", head)
		r = g.look(web)[0]
		want := "Deployment web patched successfully to version " + head
		if pass > 0 {
			want += " with digest " + digest
		}
		if r.Message != want {
			t.Fatalf("\ngot  %s\nwant %s", r.Message, want)
		}
		for path, want := range map[string]string{
			file:                 "image: " + image + ":" + head + "@" + digest + " # here\n",
			"kustomization.yaml": "images:\n- name: web\n  newName: " + image + "\n  newTag: " + head + "\n  digest: " + digest + "\n",
			"values.yaml":        strings.Replace(values, "v1", head+"@"+digest, 1),
		} {
			if got := g.File(manifests, path); got != want {
				t.Errorf("%s:\n%s\nwant\n%s", path, got, want)
			}
		}
		if got := g.Git(manifests, "log", "-1", "--format=%(trailers:key=Digest,valueonly)", "master"); strings.TrimSpace(got) != digest {
			t.Errorf("the trailer is %q, want %s", got, digest)
		}
		g.wantActions(g.look(web), "up_to_date")
	}
	g.wantCommits("3")
	// Without the annotation, it is refused now.
	if r := g.look(g.target("web", map[string]string{"deployment_path": file}))[0]; r.Action != "failed" || !strings.Contains(r.Message, `or set the annotation gitops.operator.pin_digest to "true"`) {
		t.Errorf("%s", r.Message)
	}
}

// Each image has a digest of its own.
func TestDigestsOfSeveralImages(t *testing.T) {
	g := newGateStage(t, quick)
	head := g.App("kainlite/web")
	web, worker := g.registry.Addr()+"/kainlite/web", g.registry.Addr()+"/kainlite/worker"
	g.Commit(manifests, map[string]string{"web.yaml": fmt.Sprintf("a: {image: %s:v1}\nb: {image: %s:v1}\n", web, worker)})
	both := g.target("web", map[string]string{"image_name": web + "," + worker, "pin_digest": "true"})
	one := g.push("kainlite/web", head)
	if r := g.look(both)[0]; r.Action == "patched" || !strings.Contains(r.Message, worker+":"+head) {
		t.Errorf("one of the images is not there, but: %s", r.Message)
	}
	two := g.push("kainlite/worker", head)
	g.wantActions(g.look(both), "patched")
	if got, want := g.File(manifests, "web.yaml"), fmt.Sprintf("a: {image: %s:%s@%s}\nb: {image: %s:%s@%s}\n", web, head, one, worker, head, two); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	if got, want := g.Git(manifests, "log", "-1", "--format=%(trailers:key=Digest,valueonly)", "master"), web+"@"+one+"\n"+worker+"@"+two; strings.TrimSpace(got) != want {
		t.Errorf("the trailers are\n%s\nwant\n%s", got, want)
	}
	g.wantActions(g.look(both), "up_to_date")
	// Of a tag alone it is not known of which image it is.
	g.Commit(manifests, map[string]string{"tag.yaml": "tag: v1\n"})
	if r := g.look(g.target("web", map[string]string{"image_name": web + "," + worker, "pin_digest": "true", "deployment_path": "tag.yaml", "tag_path": ".tag"}))[0]; !strings.Contains(r.Message, "line 1: the path leads to a tag alone") {
		t.Errorf("%s", r.Message)
	}
	g.wantActions(g.look(g.target("web", map[string]string{"image_name": web, "pin_digest": "true", "deployment_path": "tag.yaml", "tag_path": ".tag"})), "patched")
	if got := g.File(manifests, "tag.yaml"); got != "tag: "+head+"@"+one+"\n" {
		t.Errorf("tag.yaml is %s", got)
	}
}

// Who pins and who does not cannot share a place, nor who wants other digests.
func TestDigestsThatConflictAreRefused(t *testing.T) {
	g := newGateStage(t, quick)
	head := g.App("kainlite/web")
	image, other := g.registry.Addr()+"/kainlite/web", g.registry.Addr()+"/kainlite/other"
	one, two := g.push("kainlite/web", head), g.push("kainlite/other", head)
	g.Commit(manifests, map[string]string{"web.yaml": "tag: v1\n"})
	edit := func(image, pin string) map[string]string {
		return map[string]string{"app_repository": g.Server.URL("kainlite/web.git"), "image_name": image, "deployment_path": "web.yaml", "tag_path": ".tag", "pin_digest": pin}
	}
	a := g.target("a", edit(image, "true"))
	for _, c := range []struct {
		b    k8s.Target
		a, o string
	}{
		{g.target("b", edit(image, "")), `is also claimed by deployment default/b, which does not pin its digest: set gitops.operator.pin_digest to "true" there too, or give each a file or an image of its own`,
			`is also claimed by deployment default/a, which pins its digest: set gitops.operator.pin_digest to "true" here too, or give each a file or an image of its own`},
		{g.target("b", edit(other, "true")), "which wants digest " + two + " where this one wants " + one + ": name the same image in both", "which wants digest " + one + " where this one wants " + two},
	} {
		g.track(c.b)
		for range 2 { // together, and each alone
			results := g.look(a, c.b)
			alone := append(g.look(a), g.look(c.b)...)
			for _, r := range [][]reconcile.Result{results, alone} {
				if g.wantActions(r, "failed failed"); !strings.Contains(r[0].Message, c.a) || !strings.Contains(r[1].Message, c.o) {
					t.Errorf("%s", describe(r))
				}
			}
		}
	}
	g.wantCommits("1")
	g.track(g.target("b", edit(image, "true")))
	g.wantActions(g.look(a, g.target("b", edit(image, "true"))), "patched up_to_date")
}
