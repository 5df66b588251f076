package reconcile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
