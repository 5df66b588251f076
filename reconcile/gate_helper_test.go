package reconcile_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/builds"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/fakes"
	"github.com/kainlite/gitops-operator/test/registryserver"
	"github.com/kainlite/gitops-operator/test/world"
)

// gateStage is a stage with a registry that asks for a password, GitHub, and
// Slack.
type gateStage struct {
	*stage
	registry *registryserver.Server
	github   *fakes.GitHub
	slack    *fakes.Slack
	again    map[string]time.Duration // of the last run, by Deployment
}

func newGateStage(t *testing.T, wait reconcile.Wait) *gateStage {
	t.Helper()
	g := &gateStage{stage: &stage{World: world.New(t)}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	g.registry, err = registryserver.Start(registryserver.Options{Username: "robot", Password: "hunter2"})
	must(err)
	t.Cleanup(g.registry.Close)
	g.github, err = fakes.NewGitHub()
	must(err)
	t.Cleanup(g.github.Close)
	g.slack, err = fakes.NewSlack()
	must(err)
	t.Cleanup(g.slack.Close)
	g.Secrets["gitops-operator/regcred"] = map[string][]byte{
		".dockerconfigjson": fmt.Appendf(nil, `{"auths":{"http://%s/v2/":{"username":"robot","password":"hunter2"}}}`, g.registry.Addr()),
	}
	g.Secrets["gitops-operator/github"] = map[string][]byte{"github-token": []byte("ghp_secret\n")}
	g.Secrets["gitops-operator/slack"] = map[string][]byte{"webhook-url": []byte(g.slack.Webhook() + "\n")}
	g.github.RequireToken("ghp_secret")
	api, err := builds.New(builds.Options{API: g.github.URL()})
	must(err)
	g.reconciler = g.stage.another(reconcile.Options{Builds: api, Wait: wait})
	return g
}

// app makes an application with a manifest that is behind, and returns its head.
func (g *gateStage) app(name string) string {
	g.T.Helper()
	head := g.App("kainlite/" + name)
	g.Commit(manifests, map[string]string{name + ".yaml": world.Manifest(name, g.registry.Addr()+"/kainlite/"+name+":"+old)})
	return head
}

func (g *gateStage) target(name string, edit map[string]string) k8s.Target {
	g.T.Helper()
	all := map[string]string{
		"image_name":                g.registry.Addr() + "/kainlite/" + name,
		"github_token_secret_name":  "github",
		"notifications_secret_name": "slack",
	}
	for k, v := range edit {
		all[k] = v
	}
	return g.Target(name, all)
}

// look runs one group and remembers which Deployments wait.
func (g *gateStage) look(targets ...k8s.Target) []reconcile.Result {
	g.T.Helper()
	g.track(targets...)
	jobs := make([]reconcile.Job, len(targets))
	for i, t := range targets {
		jobs[i] = reconcile.Job{Target: t, Since: time.Now()}
	}
	results := make([]reconcile.Result, len(targets))
	again := make([]time.Duration, len(targets))
	g.reconciler.Group(g.T.Context(), jobs, func(_ context.Context, i int, o reconcile.Outcome) { results[i], again[i] = o.Result, o.Again })
	g.again = map[string]time.Duration{}
	for i, t := range targets {
		if again[i] > 0 {
			g.again[t.Name] = again[i]
		}
		if (again[i] > 0) != (results[i].Action == "pending") {
			g.T.Errorf("%s: %s, again after %s", t.Name, results[i].Action, again[i])
		}
	}
	return results
}

// lookUntilDone looks again and again, as the queue would.
func (g *gateStage) lookUntilDone(target k8s.Target) (last reconcile.Result, looks int) {
	g.T.Helper()
	for looks = 1; ; looks++ {
		if last = g.look(target)[0]; last.Action != "pending" {
			return last, looks
		}
		if looks > 1000 {
			g.T.Fatalf("still pending: %s", last.Message)
		}
	}
}

func (g *gateStage) wantMessages(want ...string) {
	g.T.Helper()
	got, err := g.slack.WaitFor(g.T.Context(), len(want))
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		g.T.Errorf("notifications (%v):\n%s\nwant:\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

var (
	hours = reconcile.Wait{Attempts: 5, First: time.Hour, Max: 6 * time.Hour}
	quick = reconcile.Wait{Attempts: 2, First: time.Millisecond, Max: 2 * time.Millisecond}
)

func (g *gateStage) success(name, tag string) string {
	return "Deployment " + name + " patched successfully to version " + tag
}
