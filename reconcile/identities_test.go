package reconcile_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/gitserver"
)

// deployKey makes a key that may use one repository only, and a Secret of it.
func (s *stage) deployKey(secret, repository string) {
	s.T.Helper()
	private, public, err := gitserver.NewKey()
	if err != nil {
		s.T.Fatal(err)
	}
	s.Server.Authorize(public, repository+".git")
	s.Secrets[secret] = map[string][]byte{"identity": private, "known_hosts": s.Server.KnownHosts()}
}

// GitHub's deploy keys belong to one repository each.
func TestDeployKeys(t *testing.T) {
	s := newStage(t)
	_, heads := s.apps("blog", "api", "shop")
	s.deployKey("keys/manifests", manifests)
	s.deployKey("keys/blog", "kainlite/blog")
	s.deployKey("keys/api", "kainlite/api")
	with := func(app, secret string, more ...string) k8s.Target {
		edit := map[string]string{"ssh_key_name": "", "ssh_key_namespace": "", "git_secret_name": "manifests", "git_secret_namespace": "keys", "app_git_secret_name": secret}
		for i := 0; i < len(more); i += 2 {
			edit[more[i]] = more[i+1]
		}
		return s.Target(app, edit)
	}
	results := s.run(with("blog", "blog"), with("api", "api"), with("shop", "nope"))
	s.wantActions(results, "patched patched failed")
	want := "Deployment shop failed: read SSH key: secret keys/nope not found: create it, or correct gitops.operator.app_git_secret_name and app_git_secret_namespace"
	if results[2].Message != want {
		t.Errorf("got  %s\nwant %s", results[2].Message, want)
	}
	for _, app := range []string{"blog", "api"} {
		if !strings.Contains(s.File(manifests, app+".yaml"), heads[app]) {
			t.Errorf("%s is not at its head", app)
		}
	}

	// Each key is used for its own repository, and for no other.
	s.App("kainlite/blog")
	results = s.run(with("blog", "api"))
	s.wantActions(results, "failed")
	if !strings.Contains(results[0].Message, "kainlite/blog.git branch master: repository not found") {
		t.Errorf("with another application's key: %s", results[0].Message)
	}
	// Git tags are read with it too.
	s.Git("kainlite/blog", "tag", "v1.2.3", "master")
	results = s.run(with("blog", "blog", "tag_from", "tags"))
	s.wantActions(results, "patched")
	if !strings.Contains(s.File(manifests, "blog.yaml"), "kainlite/blog:v1.2.3 ") {
		t.Errorf("the manifest is\n%s", s.File(manifests, "blog.yaml"))
	}
}

// Two Deployments of one application, in one group, of which one names a Secret
// that may not read it: that one fails alone.
func TestAnotherKeyForTheSameApplication(t *testing.T) {
	s := newStage(t)
	s.apps("blog", "api")
	s.deployKey("gitops-operator/api", "kainlite/api")
	other := s.Target("api", map[string]string{"app_repository": s.Server.URL("kainlite/blog.git"), "app_git_secret_name": "api"})
	results := s.run(s.Target("blog", nil), other)
	s.wantActions(results, "patched failed")
}

// --no-cross-namespace-secrets holds for the application's Secret.
func TestPolicyHoldsForTheApplicationsSecret(t *testing.T) {
	s := newStage(t)
	s.apps("blog")
	s.Secrets["default/ssh-key"] = s.Secrets["gitops-operator/ssh-key"]
	r := s.another(reconcile.Options{Policy: k8s.SecretPolicy{NoCrossNamespace: true}})
	results := s.runWith(r, s.Target("blog", map[string]string{"ssh_key_namespace": "default", "app_git_secret_name": "ssh-key", "app_git_secret_namespace": "gitops-operator"}))
	want := "Deployment blog failed: read SSH key: secret gitops-operator/ssh-key is forbidden: a Deployment may name Secrets of its own namespace only, which is default (--no-cross-namespace-secrets)"
	if results[0].Message != want {
		t.Errorf("got  %s\nwant %s", results[0].Message, want)
	}
}

func TestPassphrases(t *testing.T) {
	s := newStage(t)
	s.apps("blog")
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, s.Private, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-p", "-N", "Sesame7Kq", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	locked, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	secret := map[string][]byte{"identity": locked, "password": []byte("wrong-Sesame"), "known_hosts": s.Server.KnownHosts()}
	s.Secrets["gitops-operator/ssh-key"] = secret
	results := s.run(s.Target("blog", nil))
	want := "Deployment blog failed: use secret gitops-operator/ssh-key: read SSH key: passphrase is wrong: correct it in the Secret's passphrase or password; ssh-keygen -y -f FILE asks for it and tells whether it is right"
	if results[0].Message != want {
		t.Errorf("got  %s\nwant %s", results[0].Message, want)
	}
	secret["password"] = []byte("Sesame7Kq\n")
	s.wantActions(s.run(s.Target("blog", nil)), "patched")

	secret["token"] = []byte("hush")
	results = s.run(s.Target("blog", nil))
	want = "Deployment blog failed: read SSH key: secret gitops-operator/ssh-key has two kinds of credentials, an SSH key (identity) and a token (token): keep one of them in it, and make another Secret of the other"
	if results[0].Message != want {
		t.Errorf("got  %s\nwant %s", results[0].Message, want)
	}
	s.Secrets["gitops-operator/ssh-key"] = map[string][]byte{"token": []byte("hush")}
	results = s.run(s.Target("blog", nil))
	want = "Deployment blog failed: read SSH key: secret gitops-operator/ssh-key has a token, and a repository that is reached over SSH needs an SSH key: name a Secret with one, in ssh-privatekey"
	if results[0].Message != want {
		t.Errorf("got  %s\nwant %s", results[0].Message, want)
	}
}
