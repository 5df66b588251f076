package operator

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/queue"
	"github.com/kainlite/gitops-operator/reconcile"
)

// A job may have waited for its image while its Deployment was switched off,
// moved to another repository, or deleted: what counts is how it is now.
func TestJobsAreDoneForDeploymentsAsTheyAreNow(t *testing.T) {
	const deployment = `---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: %s
  annotations:
    gitops.operator.enabled: "%s"
    gitops.operator.app_repository: git@127.0.0.1:kainlite/%s.git
    gitops.operator.manifest_repository: git@127.0.0.1:kainlite/manifests.git
    gitops.operator.deployment_path: x.yaml
    gitops.operator.image_name: kainlite/blog
    gitops.operator.ssh_key_name: key
    gitops.operator.ssh_key_namespace: keys
`
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	write := func(names ...string) {
		text := ""
		for _, name := range names {
			name, enabled, _ := strings.Cut(name, "=")
			enabled, app, _ := strings.Cut(enabled, ",")
			text += fmt.Sprintf(deployment, name, enabled, cmp.Or(app, "blog"))
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("paused=true", "gone=true", "moved=true", "renamed=true,before")
	opt := Options{From: file, Workers: 1, Wait: reconcile.Wait{First: time.Second, Max: time.Second}, Log: zap.NewNop()}
	opt.Git.CacheDir = t.TempDir()
	o, err := Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Stop()
	var jobs []queue.Job[k8s.Target]
	for _, target := range o.List(t.Context()).Targets {
		group := target.Spec.Group()
		if target.Name == "moved" {
			group = "another"
		}
		jobs = append(jobs, queue.Job[k8s.Target]{Key: target.Key(), Group: group, Value: target})
	}
	write("paused=false", "moved=true", "renamed=true,after")
	pass, err := o.queue.Submit(jobs)
	if err != nil {
		t.Fatal(err)
	}
	results, _, err := pass.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"default/paused": "Deployment paused is disabled (gitops.operator.enabled=false)",
		"default/gone":   "Deployment gone failed: it is not tracked any more: see /status",
		"default/moved":  "Deployment moved failed: its manifests repository, branch or key changed meanwhile; the next pass goes on with the new one",
	} {
		if got := results[key].Message; got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	// The links are of the application that was looked at, not of the one that was
	// meant when it was asked for.
	if got := o.History().Of("default/renamed").AppRepository; got != "git@127.0.0.1:kainlite/after.git" {
		t.Errorf("the history has the application %s", got)
	}
}
