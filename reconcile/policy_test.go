package reconcile_test

import (
	"strings"
	"testing"

	"github.com/kainlite/gitops-operator/builds"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/fakes"
	"github.com/kainlite/gitops-operator/test/registryserver"
	"github.com/kainlite/gitops-operator/test/world"
)

// Who may create a Deployment must not borrow another team's key, even where
// somebody else of its group may use it.
func TestPolicyIsAskedForEachDeployment(t *testing.T) {
	s := newStage(t)
	targets, _ := s.apps("blog", "api")
	targets[1].Namespace = "gitops-operator" // where the key is
	s.reconciler = s.another(reconcile.Options{Policy: k8s.SecretPolicy{NoCrossNamespace: true}})
	results := s.run(targets...)
	s.wantActions(results, "failed patched")
	want := "Deployment blog failed: read SSH key: secret gitops-operator/ssh-key is forbidden: " +
		"a Deployment may name Secrets of its own namespace only, which is default (--no-cross-namespace-secrets)"
	if results[0].Message != want {
		t.Errorf("got  %s\nwant %s", results[0].Message, want)
	}

	s.reconciler = s.another(reconcile.Options{Policy: k8s.SecretPolicy{Namespaces: []string{"keys", "more-keys"}}})
	results = s.run(targets...)
	s.wantActions(results, "failed failed")
	want = "Deployment blog failed: read SSH key: secret gitops-operator/ssh-key is forbidden: " +
		"Deployments may name Secrets of these namespaces only: keys, more-keys (--secret-namespace)"
	if results[0].Message != want {
		t.Errorf("got  %s\nwant %s", results[0].Message, want)
	}
}

// The policy holds for every kind of Secret, also for the default registry
// Secret, which no annotation names: where it may not be used, nobody asked for
// a gate, or a registry is asked anonymously.
func TestPolicyHoldsForEverySecret(t *testing.T) {
	registry, err := registryserver.Start(registryserver.Options{Username: "a", Password: "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	github, err := fakes.NewGitHub()
	if err != nil {
		t.Fatal(err)
	}
	defer github.Close()
	slack, err := fakes.NewSlack()
	if err != nil {
		t.Fatal(err)
	}
	defer slack.Close()
	api, err := builds.New(builds.Options{API: github.URL()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		edit map[string]string
		want string
	}{
		{"registry", map[string]string{"registry_secret_name": "regcred"}, "failed: read registry credentials: secret gitops-operator/regcred is forbidden: "},
		{"GitHub", map[string]string{"github_token_secret_name": "github", "registry_secret_namespace": "default"}, "and its build cannot be looked up: read GitHub token: secret gitops-operator/github is forbidden: "},
		{"default registry Secret", nil, "patched successfully"},
		{"default registry Secret, with a gate", map[string]string{"registry_secret_url": registry.Addr()}, "it was asked without credentials"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			s.Secrets["default/ssh-key"] = s.Secrets[world.SSHSecret]
			s.Secrets["gitops-operator/regcred"] = map[string][]byte{"config.json": []byte(`{"auths":{"` + registry.Addr() + `":{"username":"a","password":"b"}}}`)}
			s.Secrets["default/regcred"] = s.Secrets["gitops-operator/regcred"]
			s.Secrets["gitops-operator/github"] = map[string][]byte{"github-token": []byte("x")}
			s.Secrets["gitops-operator/slack"] = map[string][]byte{"webhook-url": []byte(slack.Webhook())}
			s.App("kainlite/blog")
			image := registry.Addr() + "/kainlite/blog"
			s.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", image+":"+old)})
			edit := map[string]string{"ssh_key_namespace": "default", "image_name": image, "notifications_secret_name": "slack"}
			for k, v := range c.edit {
				edit[k] = v
			}
			r := s.another(reconcile.Options{Policy: k8s.SecretPolicy{NoCrossNamespace: true}, Builds: api})
			result := s.runWith(r, s.Target("blog", edit))[0]
			if (result.Action == "patched") != (c.want == "patched successfully") || !strings.Contains(result.Message, c.want) {
				t.Errorf("got  %s: %s\nwant %s", result.Action, result.Message, c.want)
			}
		})
	}
	if got := slack.Requests(); len(got) != 0 {
		t.Errorf("the webhook of another namespace was used: %v", got)
	}
}
