package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/registryserver"
	"github.com/kainlite/gitops-operator/test/world"
)

// shared makes two Deployments with one file and one image. edit is for the
// second.
func (s *stage) shared(edit map[string]string) (web, worker k8s.Target) {
	s.T.Helper()
	s.App("kainlite/web")
	s.App("kainlite/worker")
	s.Commit(manifests, map[string]string{"web.yaml": world.Manifest("web", "kainlite/web:"+old)})
	all := map[string]string{"deployment_path": "web.yaml", "image_name": "kainlite/web"}
	for k, v := range edit {
		all[k] = v
	}
	web, worker = s.Target("web", nil), s.Target("worker", all)
	s.track(web, worker)
	return web, worker
}

// Two applications want one image: neither gets it, whoever is asked for.
func TestClaimsAreJudgedOverAllDeployments(t *testing.T) {
	for _, c := range []struct {
		name string
		edit map[string]string
	}{
		{name: "same group"},
		{name: "another spelling of the repository", edit: map[string]string{"manifest_repository": "MANIFESTS"}},
		{name: "another spelling of path and image", edit: map[string]string{"deployment_path": "./x/../web.yaml", "image_name": "docker.io/kainlite/web"}},
		{name: "another Secret", edit: map[string]string{"ssh_key_name": "other-key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			s.Secrets["gitops-operator/other-key"] = s.Secrets[world.SSHSecret]
			if c.edit["manifest_repository"] != "" {
				c.edit["manifest_repository"] = strings.Replace(s.Server.URL(manifests+".git"), "ssh://git@", "ssh://other@", 1)
			}
			web, worker := s.shared(c.edit)
			for range 2 {
				for _, target := range []k8s.Target{web, worker} {
					result := s.run(target)[0]
					if result.Action != "failed" || !strings.Contains(result.Message, "is also claimed by deployment default/w") {
						t.Errorf("%s: %s", result.Action, result.Message)
					}
				}
			}
			if n := s.Git(manifests, "rev-list", "--count", "master"); n != "1" {
				t.Errorf("%s commits, want 1", n)
			}
		})
	}
}

// Whose application is the same wants the same: nobody is looked up for it. Of
// those who share nothing, nobody is either.
func TestClaimsOfOthersCostNoLookups(t *testing.T) {
	s := newStage(t)
	web, worker := s.shared(map[string]string{"app_repository": strings.Replace(s.Server.URL("kainlite/web.git"), "ssh://git@", "ssh://other@", 1)})
	s.track(s.Target("api", nil), s.Target("db", map[string]string{"deployment_path": "web.yaml"}))
	s.wantActions(s.run(web), "patched")
	s.wantActions(s.run(worker), "up_to_date")
	s.Server.ResetStats()
	s.wantActions(s.run(web), "up_to_date")
	if n := s.Server.Stats().Sessions; n != 2 {
		t.Errorf("%d sessions, want one for the application and one for the manifests", n)
	}
}

// An application that hangs, or is not there, claims nothing that is known.
func TestClaimThatCannotBeLookedUpHoldsNobodyUp(t *testing.T) {
	s := newStage(t)
	web, _ := s.shared(map[string]string{"app_repository": s.Server.URL("kainlite/nope.git")})
	s.wantActions(s.run(web), "patched")

	s.App("kainlite/web")
	s.App("kainlite/hanging")
	s.Server.Stall("kainlite/hanging.git", true)
	defer s.Server.Stall("kainlite/hanging.git", false)
	hanging := s.Target("worker", map[string]string{"deployment_path": "web.yaml", "image_name": "kainlite/web", "app_repository": s.Server.URL("kainlite/hanging.git")})
	s.track(hanging)
	r := s.another(reconcile.Options{Patience: 200 * time.Millisecond})
	s.wantActions(s.runWith(r, web), "patched")
}

// A tag that a disabled Deployment shares stays as it is.
func TestDisabledDeploymentHoldsItsImage(t *testing.T) {
	for enabled, why := range map[string]string{
		"false": "disabled (gitops.operator.enabled=false)",
		"False": "neither enabled nor disabled (its gitops.operator.enabled is invalid)",
	} {
		s := newStage(t)
		web, worker := s.shared(map[string]string{"enabled": enabled, "app_repository": s.Server.URL("kainlite/web.git")})
		result := s.run(web)[0]
		want := "Deployment web failed: patch web.yaml of " + s.Server.URL(manifests+".git") + " branch master: image kainlite/web is also that of deployment default/worker, which is " +
			why + ": the tag stays as it is; enable that one, or give each a file or an image of its own"
		if result.Message != want {
			t.Errorf("\ngot  %s\nwant %s", result.Message, want)
		}
		if !strings.Contains(s.File(manifests, "web.yaml"), old) {
			t.Error("the tag was moved")
		}
		s.untrack(worker)
		s.wantActions(s.run(web), "patched")
		s.track(worker)
		s.wantActions(s.run(web), "up_to_date") // nothing to move
	}
}

// A gate holds all who share the image, also those that are asked for alone.
func TestGateOfOneHoldsWhoIsAskedForAlone(t *testing.T) {
	registry, err := registryserver.Start(registryserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	s := newStage(t)
	s.App("kainlite/web")
	image := registry.Addr() + "/kainlite/web"
	s.Commit(manifests, map[string]string{"web.yaml": world.Manifest("web", image+":"+old)})
	edit := map[string]string{"app_repository": s.Server.URL("kainlite/web.git"), "deployment_path": "web.yaml", "image_name": image}
	open := s.Target("open", edit)
	edit["registry_secret_url"] = "http://" + registry.Addr()
	gated := s.Target("gated", edit)
	s.track(open, gated)
	result := s.run(open)[0]
	if result.Action != "failed" || !strings.Contains(result.Message, "is shared with deployment default/gated, which failed: ") {
		t.Errorf("%s: %s", result.Action, result.Message)
	}
	if !strings.Contains(s.File(manifests, "web.yaml"), old) {
		t.Error("the gate was passed by")
	}
}

// Of several who disagree, the same is told in every pass.
func TestRivalThatIsToldIsAlwaysTheSame(t *testing.T) {
	s := newStage(t)
	files := map[string]string{}
	var targets []k8s.Target
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		s.App("kainlite/" + name)
		targets = append(targets, s.Target(name, map[string]string{"deployment_path": "all.yaml", "image_name": "kainlite/all"}))
	}
	files["all.yaml"] = world.Manifest("x", "kainlite/all:"+old) + "---\n" + world.Manifest("y", "kainlite/all:"+old)
	s.Commit(manifests, files)
	first := describe(s.run(targets...))
	for range 5 {
		if again := describe(s.run(targets...)); again != first {
			t.Fatalf("first %s\nthen %s", first, again)
		}
	}
}
