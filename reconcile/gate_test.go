package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/fakes"
	"github.com/kainlite/gitops-operator/test/world"
)

func TestImageThatIsThereGoesThrough(t *testing.T) {
	g := newGateStage(t, hours)
	head := g.app("blog")
	if err := g.registry.Push("kainlite/blog", head); err != nil {
		t.Fatal(err)
	}
	g.wantActions(g.look(g.target("blog", nil)), "patched")
	g.wantMessages(g.success("blog", head))
	if n := len(g.github.Requests()); n != 0 {
		t.Errorf("GitHub was asked %d times", n)
	}
}

func TestImageThatIsBeingBuiltIsWaitedFor(t *testing.T) {
	g := newGateStage(t, hours)
	head := g.app("blog")
	short := head[:7]
	g.github.SetRuns("kainlite", "blog", head, fakes.Run{Status: "completed", Conclusion: "failure"}, fakes.Run{Status: "in_progress"})
	target := g.target("blog", map[string]string{"tag_type": "short"}) // GitHub knows the full commit only
	image := g.registry.Addr() + "/kainlite/blog"

	r := g.look(target)[0]
	if want := "Deployment blog waits for image " + image + ":" + short + ": its build is running (attempt 1/5); next look in 1h0m0s"; r.Message != want || r.Status != "pending" {
		t.Errorf("got %+v\nwant %s", r, want)
	}
	if a := g.again["blog"]; a <= 59*time.Minute || a > time.Hour {
		t.Errorf("again after %s", a)
	}
	// Somebody asks before it is due: no attempt is used up, nobody is told again.
	r = g.look(target)[0]
	if !strings.Contains(r.Message, "(attempt 1/5)") {
		t.Errorf("got %s", r.Message)
	}
	if err := g.registry.Push("kainlite/blog", short); err != nil {
		t.Fatal(err)
	}
	g.wantActions(g.look(target), "patched")
	g.wantMessages(":hourglass: Build running for "+image+" (SHA: "+head+"), retrying in 3600s (attempt 1/5)", g.success("blog", short))
}

func TestWaitingEndsWithTheAttempts(t *testing.T) {
	g := newGateStage(t, quick)
	head := g.app("blog")
	image := g.registry.Addr() + "/kainlite/blog"
	g.github.SetRuns("kainlite", "blog", head, fakes.Run{Status: "queued"})
	r, _ := g.lookUntilDone(g.target("blog", nil))
	if want := "Deployment blog failed: image " + image + ":" + head + " not found in registry after waiting for build: the build is still queued; the next pass looks again"; r.Message != want {
		t.Errorf("got  %s\nwant %s", r.Message, want)
	}
	waiting := ":hourglass: Build running for " + image + " (SHA: " + head + "), retrying in %ss (attempt %d/2)"
	g.wantMessages(fmt.Sprintf(waiting, "0.001", 1), fmt.Sprintf(waiting, "0.002", 2), ":x: image "+image+":"+head+" not found in registry after waiting for build")
}

func TestDelaysDoubleUpToTheLongest(t *testing.T) {
	g := newGateStage(t, reconcile.Wait{Attempts: 5, First: 10 * time.Millisecond, Max: 60 * time.Millisecond})
	head := g.app("blog")
	g.github.SetRuns("kainlite", "blog", head, fakes.Run{Status: "waiting"})
	g.lookUntilDone(g.target("blog", nil))
	got, err := g.slack.WaitFor(t.Context(), 6)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"0.01s", "0.02s", "0.04s", "0.06s", "0.06s"} {
		if !strings.HasSuffix(got[i], fmt.Sprintf(" retrying in %s (attempt %d/5)", want, i+1)) {
			t.Errorf("attempt %d: %s, want %s", i+1, got[i], want)
		}
	}
}

func TestNewerCommitStartsTheWaitAnew(t *testing.T) {
	g := newGateStage(t, hours)
	first := g.app("blog")
	g.github.SetRuns("kainlite", "blog", first, fakes.Run{Status: "in_progress"})
	g.look(g.target("blog", nil))
	second := g.App("kainlite/blog")
	g.github.SetRuns("kainlite", "blog", second, fakes.Run{Status: "in_progress"})
	r := g.look(g.target("blog", nil))[0]
	if !strings.Contains(r.Message, second) || !strings.Contains(r.Message, "(attempt 1/5)") {
		t.Errorf("got %s", r.Message)
	}
	if err := g.registry.Push("kainlite/blog", second); err != nil {
		t.Fatal(err)
	}
	g.wantActions(g.look(g.target("blog", nil)), "patched")
	if got := g.File(manifests, "blog.yaml"); !strings.Contains(got, ":"+second+" ") {
		t.Error(got)
	}
}

func TestImageThatDoesNotComeOfItsBuild(t *testing.T) {
	for _, c := range []struct {
		name  string
		runs  []fakes.Run
		edit  map[string]string
		looks int
		want  string // IMAGE, TAG and URL stand for this application's
		slack string
	}{
		{
			name: "the build failed", runs: []fakes.Run{{Status: "completed", Conclusion: "cancelled"}}, looks: 1,
			want:  "build failed for IMAGE (SHA: TAG), image will not be available: fix the build, or push a new commit",
			slack: ":x: Build failed for IMAGE (SHA: TAG), image will not be available",
		},
		{
			name: "the build completed", runs: []fakes.Run{{Status: "completed", Conclusion: "success"}, {Status: "completed", Conclusion: "failure"}}, looks: 2,
			want:  "image IMAGE:TAG not found in registry although the build of TAG completed: possible image name mismatch, compare image_name with what the build pushes",
			slack: ":x: image IMAGE:TAG not found in registry after waiting for build",
		},
		{
			name: "no build", runs: nil, looks: 1,
			want:  "image IMAGE:TAG not found in registry, and no build of TAG found: start one, or push the image",
			slack: ":x: Deployment blog failed: image IMAGE:TAG not found in registry, and no build of TAG found: start one, or push the image",
		},
		{
			name: "no token", edit: map[string]string{"github_token_secret_name": ""}, looks: 1,
			want:  "image IMAGE:TAG is not in the registry, and its build cannot be looked up: no token: set gitops.operator.github_token_secret_name",
			slack: ":x: Deployment blog failed: image IMAGE:TAG is not in the registry, and its build cannot be looked up: no token: set gitops.operator.github_token_secret_name",
		},
		{
			name: "no token Secret", edit: map[string]string{"github_token_secret_name": "nope"}, looks: 1,
			want:  "image IMAGE:TAG is not in the registry, and its build cannot be looked up: read GitHub token: secret gitops-operator/nope not found",
			slack: ":x: Deployment blog failed: image IMAGE:TAG is not in the registry, and its build cannot be looked up: read GitHub token: secret gitops-operator/nope not found",
		},
		{
			name: "a Secret without token", edit: map[string]string{"github_token_secret_name": "slack"}, looks: 1,
			want:  "image IMAGE:TAG is not in the registry, and its build cannot be looked up: read GitHub token: secret gitops-operator/slack has no key github-token",
			slack: ":x: Deployment blog failed: image IMAGE:TAG is not in the registry, and its build cannot be looked up: read GitHub token: secret gitops-operator/slack has no key github-token",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGateStage(t, reconcile.Wait{Attempts: 5, First: time.Microsecond, Max: time.Microsecond})
			head := g.app("blog")
			g.github.SetRuns("kainlite", "blog", head, c.runs...)
			before := g.Git(manifests, "rev-parse", "master")
			text := strings.NewReplacer("IMAGE", g.registry.Addr()+"/kainlite/blog", "TAG", head)
			r, looks := g.lookUntilDone(g.target("blog", c.edit))
			if want := "Deployment blog failed: " + text.Replace(c.want); r.Message != want || looks != c.looks {
				t.Errorf("after %d looks, want %d:\ngot  %s\nwant %s", looks, c.looks, r.Message, want)
			}
			// The same failure is sent once.
			g.lookUntilDone(g.target("blog", c.edit))
			g.wantMessages(text.Replace(c.slack))
			if after := g.Git(manifests, "rev-parse", "master"); after != before {
				t.Error("something was pushed")
			}
		})
	}
}

// What is not known is an error: neither "there" nor "not there".
func TestGateThatCannotAskFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		edit   map[string]string
		secret map[string][]byte // in place of regcred
		want   string            // begins the message; ADDR is the registry
	}{
		{name: "named Secret missing", edit: map[string]string{"registry_secret_name": "nope"},
			want: "read registry credentials: secret gitops-operator/nope not found: create it, or correct gitops.operator.registry_secret_name and registry_secret_namespace"},
		{name: "named namespace without it", edit: map[string]string{"registry_secret_namespace": "other"},
			want: "read registry credentials: secret other/regcred not found: create it, or correct gitops.operator.registry_secret_name and registry_secret_namespace"},
		{name: "Secret without a docker config", secret: map[string][]byte{"x": nil},
			want: "read registry credentials: secret gitops-operator/regcred has neither .dockerconfigjson nor config.json: create it with kubectl create secret docker-registry regcred -n gitops-operator --from-file=.dockerconfigjson=FILE"},
		{name: "malformed docker config", secret: map[string][]byte{".dockerconfigjson": []byte(`{"auths": hunter2`)},
			want: "read registry credentials: secret gitops-operator/regcred: "},
		{name: "wrong password", secret: map[string][]byte{"config.json": []byte(`{"auths":{"ADDR":{"username":"robot","password":"wrong"}}}`)},
			want: "check image ADDR/kainlite/blog:TAG in registry ADDR: access denied: 401 Unauthorized"},
		{name: "credentials for another host only", secret: map[string][]byte{"config.json": []byte(`{"auths":{"ghcr.io":{"username":"robot","password":"hunter2"}}}`)},
			want: "check image ADDR/kainlite/blog:TAG in registry ADDR: access denied: 401 Unauthorized"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGateStage(t, hours)
			head := g.app("blog")
			g.app("api")
			if err := g.registry.Push("kainlite/blog", head); err != nil {
				t.Fatal(err)
			}
			text := strings.NewReplacer("ADDR", g.registry.Addr(), "TAG", head)
			for k, v := range c.secret {
				c.secret[k] = []byte(text.Replace(string(v)))
			}
			if c.secret != nil {
				g.Secrets["gitops-operator/regcred"] = c.secret
			}
			before := g.Git(manifests, "rev-parse", "master")
			r := g.look(g.target("blog", c.edit))[0]
			if want := "Deployment blog failed: " + text.Replace(c.want); r.Action != "failed" || !strings.HasPrefix(r.Message, want) {
				t.Errorf("got  %s: %s\nwant %s", r.Action, r.Message, want)
			}
			if strings.Contains(r.Message, "hunter2") {
				t.Errorf("the message has the password: %s", r.Message)
			}
			if after := g.Git(manifests, "rev-parse", "master"); after != before {
				t.Error("something was pushed")
			}
		})
	}
}

func TestGateIsOnlyThereWhereSomebodyAskedForIt(t *testing.T) {
	g := newGateStage(t, hours)
	delete(g.Secrets, "gitops-operator/regcred")
	g.app("blog")
	g.wantActions(g.look(g.target("blog", nil)), "patched") // nothing is in the registry

	// registry_secret_url alone: the check is anonymous, and this registry refuses that.
	g.App("kainlite/blog")
	r := g.look(g.target("blog", map[string]string{"registry_secret_url": "http://" + g.registry.Addr()}))[0]
	if !strings.Contains(r.Message, "access denied") {
		t.Errorf("got %s: %s", r.Action, r.Message)
	}
}

// An edit is for all who claim an image, so what holds one up holds up all.
func TestDeploymentsThatShareAnImageWaitTogether(t *testing.T) {
	for _, c := range []struct {
		run  fakes.Run
		want string
	}{
		{fakes.Run{Status: "in_progress"}, "pending pending"},
		{fakes.Run{Status: "completed", Conclusion: "failure"}, "failed failed"},
	} {
		g := newGateStage(t, hours)
		g.Secrets["gitops-operator/named"] = g.Secrets["gitops-operator/regcred"]
		delete(g.Secrets, "gitops-operator/regcred")
		head := g.app("blog")
		g.github.SetRuns("kainlite", "blog", head, c.run)
		before := g.Git(manifests, "rev-parse", "master")
		gated, ungated := g.target("blog", map[string]string{"registry_secret_name": "named"}), g.target("blog", nil)
		ungated.Name = "canary"
		g.wantActions(g.look(gated, ungated), c.want)
		if after := g.Git(manifests, "rev-parse", "master"); after != before {
			t.Error("something was pushed")
		}
	}
}

// A probe every few minutes must not begin the attempts, and their messages,
// anew for one commit.
func TestAttemptsThatAreUsedUpStayUsedUp(t *testing.T) {
	g := newGateStage(t, quick)
	head := g.app("blog")
	g.github.SetRuns("kainlite", "blog", head, fakes.Run{Status: "waiting"})
	for pass := range 3 {
		r, looks := g.lookUntilDone(g.target("blog", nil))
		if r.Action != "failed" || pass > 0 && looks != 1 {
			t.Errorf("pass %d: %s after %d looks", pass, r.Action, looks)
		}
	}
	got, err := g.slack.WaitFor(t.Context(), 3) // two attempts and the failure
	if err != nil || len(got) != 3 {
		t.Errorf("%d messages, %v:\n%s", len(got), err, strings.Join(got, "\n"))
	}
	if err := g.registry.Push("kainlite/blog", head); err != nil {
		t.Fatal(err)
	}
	g.wantActions(g.look(g.target("blog", nil)), "patched")
}

// A fault in between neither ends the wait nor starts it anew.
func TestFaultWhileWaitingKeepsTheAttempts(t *testing.T) {
	g := newGateStage(t, hours)
	head := g.app("blog")
	g.github.SetRuns("kainlite", "blog", head, fakes.Run{Status: "in_progress"})
	g.look(g.target("blog", nil))
	g.Broken["gitops-operator/github"] = errors.New("secret gitops-operator/github: cannot reach the API server")
	g.wantActions(g.look(g.target("blog", nil)), "failed")
	delete(g.Broken, "gitops-operator/github")
	r := g.look(g.target("blog", nil))[0]
	if !strings.Contains(r.Message, "(attempt 1/5)") {
		t.Errorf("got %s", r.Message)
	}
	got, err := g.slack.WaitFor(t.Context(), 2)
	if err != nil || len(got) != 2 {
		t.Errorf("%d messages, %v:\n%s", len(got), err, strings.Join(got, "\n"))
	}
}

// A cluster that does not answer must not open the gate.
func TestGateIsNotSkippedWhenItsSecretCannotBeRead(t *testing.T) {
	g := newGateStage(t, hours)
	g.app("blog")
	g.Broken["gitops-operator/regcred"] = errors.New("secret gitops-operator/regcred: cannot reach the API server")
	r := g.look(g.target("blog", nil))[0]
	if want := "Deployment blog failed: read registry credentials: secret gitops-operator/regcred: cannot reach the API server"; r.Message != want {
		t.Errorf("got  %s: %s\nwant %s", r.Action, r.Message, want)
	}
	g.Broken["gitops-operator/regcred"] = k8s.ErrSecretForbidden
	g.wantActions(g.look(g.target("blog", nil)), "patched") // the operator was not given the right
}

// registry_secret_url names the registry of an image_name that names none.
func TestRegistryURLNamesTheRegistry(t *testing.T) {
	g := newGateStage(t, hours)
	head := g.app("blog")
	if err := g.registry.Push("kainlite/blog", head); err != nil {
		t.Fatal(err)
	}
	edit := map[string]string{"image_name": "kainlite/blog", "registry_secret_url": "http://" + g.registry.Addr() + "/v2/"}
	g.wantActions(g.look(g.target("blog", edit)), "patched")
	edit["registry_secret_url"] = "https://ghcr.io"
	r := g.look(g.target("blog", edit))[0]
	if r.Action != "failed" || !strings.Contains(r.Message, `no container has the image "kainlite/blog"`) {
		t.Errorf("got %s: %s", r.Action, r.Message)
	}
}

// Those whose image is there do not wait for the others.
func TestWaitingHoldsNobodyUp(t *testing.T) {
	g := newGateStage(t, hours)
	files := map[string]string{}
	var targets []k8s.Target
	const all, waiting = 200, 50
	heads := map[string]string{}
	for i := range 4 { // 50 Deployments each; only the first application is still being built
		name := fmt.Sprintf("app%d", i)
		heads[name] = g.App("kainlite/" + name)
		g.github.SetRuns("kainlite", name, heads[name], fakes.Run{Status: "in_progress"})
	}
	for i := range all {
		name, app := fmt.Sprintf("d%03d", i), fmt.Sprintf("app%d", i*4/all)
		files[name+".yaml"] = world.Manifest(name, g.registry.Addr()+"/kainlite/"+name+":"+old)
		targets = append(targets, g.target(name, map[string]string{"app_repository": g.Server.URL("kainlite/" + app + ".git")}))
		if i >= waiting {
			if err := g.registry.Push("kainlite/"+name, heads[app]); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.Commit(manifests, files)
	g.Server.ResetStats()
	results := g.look(targets...)
	g.wantActions(results, strings.TrimSpace(strings.Repeat("pending ", waiting)+strings.Repeat("patched ", all-waiting)))
	if s := g.Server.Stats(); s.Pushes != 1 {
		t.Errorf("%d pushes", s.Pushes)
	}
	if n := len(g.again); n != waiting {
		t.Errorf("%d wait", n)
	}
	if n := len(g.github.Requests()); n != 1 {
		t.Errorf("GitHub was asked %d times about one commit", n)
	}
}

func TestSameFailureIsSentAgainAfterASuccess(t *testing.T) {
	g := newGateStage(t, hours)
	head := g.app("blog")
	broken := g.target("blog", map[string]string{"deployment_path": "nope.yaml"})
	g.look(broken)
	g.look(broken)
	if err := g.registry.Push("kainlite/blog", head); err != nil {
		t.Fatal(err)
	}
	g.look(g.target("blog", nil))
	g.look(broken)
	failure := ":x: Deployment blog failed: patch nope.yaml of " + g.Server.URL(manifests+".git") + " branch master: no such file: correct gitops.operator.deployment_path"
	g.wantMessages(failure, g.success("blog", head), failure)
}

func TestSlackIsNeverInTheWay(t *testing.T) {
	g := newGateStage(t, hours)
	g.slack.Always(fakes.Fault{Hang: true})
	head := g.app("blog")
	if err := g.registry.Push("kainlite/blog", head); err != nil {
		t.Fatal(err)
	}
	g.wantActions(g.look(g.target("blog", nil)), "patched")
	g.App("kainlite/blog")
	delete(g.Secrets, "gitops-operator/slack")
	delete(g.Secrets, "gitops-operator/regcred")
	g.wantActions(g.look(g.target("blog", nil)), "patched")
	g.slack.Always(fakes.Fault{})
}
