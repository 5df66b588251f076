package reconcile_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/fakes"
	"github.com/kainlite/gitops-operator/test/world"
)

// watched is a stage whose log, at info and above, and whose notifications are
// looked at.
type watched struct {
	*stage
	logs  *observer.ObservedLogs
	slack *fakes.Slack
	sent  int // messages that were looked at
}

func watch(t *testing.T) *watched {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	s := &watched{stage: &stage{World: world.New(t)}, logs: logs}
	var err error
	if s.slack, err = fakes.NewSlack(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.slack.Close)
	s.Secrets["gitops-operator/slack"] = map[string][]byte{"webhook-url": []byte(s.slack.Webhook())}
	s.reconciler = s.another(reconcile.Options{Log: zap.New(core)})
	return s
}

// pass runs the targets and compares what is logged, in short, and how many
// messages are sent.
func (s *watched) pass(targets []k8s.Target, actions string, messages int, want ...string) {
	s.T.Helper()
	s.wantActions(s.run(targets...), actions)
	var got []string
	for _, e := range s.logs.TakeAll() {
		got = append(got, e.Level.String()+" "+e.Message)
	}
	ok := len(got) == len(want)
	for i := range want {
		ok = ok && strings.HasPrefix(got[i], want[i])
	}
	if !ok {
		s.T.Errorf("logged:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	s.sent += messages
	ctx, cancel := context.WithTimeout(s.T.Context(), 10*time.Second)
	defer cancel()
	if all, err := s.slack.WaitFor(ctx, s.sent); err != nil || len(all) != s.sent {
		s.T.Errorf("%d messages, want %d: %v: %q", len(all), s.sent, err, all)
	}
}

func (s *watched) last() string {
	all := s.slack.Messages()
	return all[len(all)-1]
}

// A repository that fails is one line and one message, not one for each of its
// Deployments, and not in every pass; each Deployment's result says it all.
func TestAFailingRepositoryIsNotRepeated(t *testing.T) {
	s := watch(t)
	notified := map[string]string{"notifications_secret_name": "slack"}
	var targets []k8s.Target
	files := map[string]string{}
	for i := range 7 {
		name := fmt.Sprintf("app%d", i)
		s.App("kainlite/" + name)
		files[name+".yaml"] = world.Manifest(name, "kainlite/"+name+":"+old)
		targets = append(targets, s.Target(name, notified))
	}
	failed := strings.TrimSpace(strings.Repeat("failed ", 7))
	manifestsURL := s.Server.URL("kainlite/manifests.git")

	s.pass(targets, failed, 1, "warn 7 Deployments failed: clone "+manifestsURL)
	if want := ":x: 7 Deployments (default/app0, default/app1, default/app2, default/app3, default/app4 and 2 more) failed: clone " + manifestsURL; !strings.HasPrefix(s.last(), want) {
		t.Errorf("sent %q, want %q", s.last(), want)
	}
	if r := s.run(targets...)[3]; !strings.HasPrefix(r.Message, "Deployment app3 failed: clone "+manifestsURL) {
		t.Errorf("result %+v", r)
	}
	s.pass(targets, failed, 0)
	s.pass(targets[:3], "failed failed failed", 0) // fewer of them: the same failure

	// It comes back: that is said once, and the changes have their lines.
	s.Commit(manifests, files)
	s.pass(targets[:1], "patched", 1, "info Deployment app0 patched", "info "+manifestsURL+" branch master works again after")
	s.pass(targets[:1], "up_to_date", 0)
	s.pass(targets[1:], strings.TrimSpace(strings.Repeat("patched ", 6)), 6,
		"info Deployment app1", "info Deployment app2", "info Deployment app3", "info Deployment app4", "info Deployment app5", "info Deployment app6")

	// It fails as before: that is news again.
	moved := filepath.Join(s.Root, "kainlite", "away.git")
	if err := os.Rename(filepath.Join(s.Root, manifests+".git"), moved); err != nil {
		t.Fatal(err)
	}
	s.pass(targets, failed, 1, "warn 7 Deployments failed: ")
}

// An application that several Deployments share fails for these together.
func TestAFailingApplicationIsOneLine(t *testing.T) {
	s := watch(t)
	s.App("kainlite/other")
	files := map[string]string{}
	var targets []k8s.Target
	for _, name := range []string{"api", "web", "other"} {
		files[name+".yaml"] = world.Manifest(name, "kainlite/"+name+":"+old)
		edit := map[string]string{"app_repository": s.Server.URL("kainlite/shop.git"), "notifications_secret_name": "slack"}
		if name == "other" {
			edit = nil
		}
		targets = append(targets, s.Target(name, edit))
	}
	s.Commit(manifests, files)
	shop := s.Server.URL("kainlite/shop.git")
	s.pass(targets, "failed failed patched", 1, "warn 2 Deployments failed: read head of "+shop, "info Deployment other patched")
	s.pass(targets, "failed failed up_to_date", 0)
	s.App("kainlite/shop")
	s.pass(targets, "patched patched up_to_date", 2, "info "+shop+" branch master works again after", "info Deployment api patched", "info Deployment web patched")

	// The very same failure is news again after that.
	if err := os.Rename(filepath.Join(s.Root, "kainlite", "shop.git"), filepath.Join(s.Root, "kainlite", "away.git")); err != nil {
		t.Fatal(err)
	}
	s.pass(targets, "failed failed up_to_date", 1, "warn 2 Deployments failed: read head of "+shop)
}

// A Deployment's own failure is told once, and so is its end.
func TestAFailingDeploymentIsNotRepeated(t *testing.T) {
	s := watch(t)
	targets, heads := s.apps("blog")
	s.Commit(manifests, map[string]string{"blog.yaml": "{{ template }}\n"})
	s.pass(targets, "failed", 0, "warn Deployment blog failed: patch blog.yaml")
	s.pass(targets, "failed", 0)
	s.Commit(manifests, map[string]string{"blog.yaml": "a: [\n"})
	s.pass(targets, "failed", 0, "warn Deployment blog failed: patch blog.yaml") // for another reason
	s.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", "kainlite/blog:"+heads["blog"])})
	s.pass(targets, "up_to_date", 0, "info Deployment blog is well again after ")
	s.pass(targets, "up_to_date", 0)
}

// The lines of one Deployment name the request that asked for it.
func TestLogLinesNameTheRequest(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	s := newStage(t)
	s.reconciler = s.another(reconcile.Options{Log: zap.New(core), LogFields: func(context.Context) []zap.Field { return []zap.Field{zap.String("request_id", "group")} }})
	targets, _ := s.apps("blog", "api")
	var jobs []reconcile.Job
	for _, target := range targets {
		jobs = append(jobs, reconcile.Job{Target: target, Since: time.Now(), LogFields: []zapcore.Field{zap.String("request_id", "of "+target.Name)}})
	}
	s.reconciler.Group(t.Context(), jobs, func(context.Context, int, reconcile.Outcome) {})
	for _, e := range logs.All() {
		if got := e.ContextMap(); got["request_id"] != fmt.Sprintf("of %s", got["deployment"]) {
			t.Errorf("%s: %v", e.Message, got)
		}
	}
	if logs.Len() != 2 {
		t.Errorf("%d lines, want one for each Deployment", logs.Len())
	}
}
