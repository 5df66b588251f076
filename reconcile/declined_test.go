package reconcile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kainlite/gitops-operator/test/world"
)

// preReceive sets the hook of the manifests repository.
func (s *stage) preReceive(script string) {
	s.T.Helper()
	hooks := filepath.Join(s.Repo(manifests).Dir, "hooks")
	if err := os.MkdirAll(hooks, 0o755); err != nil {
		s.T.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(hooks, "pre-receive"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		s.T.Fatal(err)
	}
}

// A server that objects to one change gets the others.
func TestDeclinedChangeFailsAlone(t *testing.T) {
	s := newStage(t)
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("app%02d", i))
	}
	targets, _ := s.apps(names...)
	s.preReceive("read old new ref\ngit diff --name-only $old $new | grep -q app13 || exit 0\necho app13 is frozen >&2\nexit 1\n")
	for _, r := range s.run(targets...) {
		switch {
		case r.Deployment != "app13" && r.Action != "patched":
			t.Errorf("%s: %s", r.Deployment, r.Message)
		case r.Deployment == "app13" && (r.Action != "failed" || !strings.Contains(r.Message, "app13 is frozen")):
			t.Errorf("%s: %s", r.Deployment, r.Message)
		}
	}
	if n := s.Git(manifests, "rev-list", "--count", "master"); n != "20" {
		t.Errorf("%s commits, want 1 and 19", n)
	}
}

// One that objects to everything is not asked about each change.
func TestServerThatDeclinesEverythingIsLeftAlone(t *testing.T) {
	s := newStage(t)
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("app%02d", i))
	}
	targets, _ := s.apps(names...)
	s.preReceive("echo frozen until Monday >&2\nexit 1\n")
	pushes := 0
	s.Server.OnReceivePack(func(string) { pushes++ })
	for _, r := range s.run(targets...) {
		if r.Action != "failed" || !strings.Contains(r.Message, "frozen until Monday") {
			t.Errorf("%s: %s", r.Deployment, r.Message)
		}
	}
	if pushes != 11 {
		t.Errorf("%d pushes, want 11", pushes)
	}
}

// However many changes a server objects to, and wherever they stand, the others
// are in after two passes, and stay in.
func TestDeclinedChangesHoldNobodyUp(t *testing.T) {
	for name, frozen := range map[string]func(i int) bool{
		"the first dozen": func(i int) bool { return i < 12 },
		"every third":     func(i int) bool { return i%3 == 0 },
		"most":            func(i int) bool { return i < 20 && i%5 != 4 },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			var names []string
			pattern := "^$"
			for i := range 28 {
				names = append(names, fmt.Sprintf("app%02d", i))
				if frozen(i) {
					pattern += "|" + names[i]
				}
			}
			targets, _ := s.apps(names...)
			s.preReceive("read old new ref\ngit diff --name-only $old $new | grep -qE '" + pattern + "' || exit 0\necho frozen >&2\nexit 1\n")
			pushes := 0
			s.Server.OnReceivePack(func(string) { pushes++ })
			for pass := range 3 {
				pushes = 0
				for i, r := range s.run(targets...) {
					switch {
					case frozen(i) && (r.Action != "failed" || !strings.Contains(r.Message, "frozen")):
						t.Errorf("pass %d: %s: %s", pass, r.Deployment, r.Message)
					case pass > 0 && !frozen(i) && r.Action == "failed":
						t.Errorf("pass %d: %s: %s", pass, r.Deployment, r.Message)
					}
				}
				t.Logf("pass %d: %d pushes", pass, pushes)
			}
			if pushes > maxSteady {
				t.Errorf("%d pushes for what was declined in every pass", pushes)
			}
			// A new version of what is not frozen does not wait for the search.
			s.App("kainlite/app26")
			s.App("kainlite/app27")
			for i, r := range s.run(targets...) {
				if (i == 26 || i == 27) && !frozen(i) && r.Action != "patched" {
					t.Errorf("%s: %s", r.Deployment, r.Message)
				}
			}
			// What is allowed again goes in by itself.
			s.preReceive("exit 0\n")
			for _, r := range s.run(targets...) {
				if r.Action == "failed" {
					t.Errorf("%s: %s", r.Deployment, r.Message)
				}
			}
		})
	}
}

// maxSteady is how many pushes a pass makes for what was declined alone before:
// one with all of them, and a few alone.
const maxSteady = 9

// Deployments that share a declined image are one change.
func TestSharedImageIsDeclinedOnce(t *testing.T) {
	s := newStage(t)
	targets, _ := s.apps("zoo")
	s.App("kainlite/app")
	s.Commit(manifests, map[string]string{"app.yaml": world.Manifest("app", "kainlite/app:"+old)})
	for i := range 10 {
		targets = append(targets, s.Target(fmt.Sprintf("app%d", i), map[string]string{
			"app_repository": s.Server.URL("kainlite/app.git"), "deployment_path": "app.yaml", "image_name": "kainlite/app",
		}))
	}
	s.preReceive("read old new ref\ngit diff --name-only $old $new | grep -q app || exit 0\necho frozen >&2\nexit 1\n")
	pushes := 0
	s.Server.OnReceivePack(func(string) { pushes++ })
	results := s.run(targets...)
	s.wantActions(results, "patched"+strings.Repeat(" failed", 10))
	if pushes > 5 {
		t.Errorf("%d pushes", pushes)
	}
	pushes = 0
	s.wantActions(s.run(targets...), "up_to_date"+strings.Repeat(" failed", 10))
	if pushes != 1 {
		t.Errorf("%d pushes, want 1", pushes)
	}
}
