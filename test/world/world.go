// Package world sets the stage for tests: an SSH git server with repositories,
// a key that may use them, and Deployments that name them.
package world

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/gitserver"
)

// World is one test's stage. It ends with the test.
type World struct {
	T       testing.TB
	Server  *gitserver.Server
	Root    string // of the repositories
	Private []byte // a key that may use all repositories
	// Secrets are what Secret serves, by namespace/name. One holds the key.
	Secrets map[string]map[string][]byte
	// Broken are the Secrets that cannot be read, and why.
	Broken map[string]error
}

// SSHSecret is where the key is.
const SSHSecret = "gitops-operator/ssh-key"

// New returns a world without repositories.
func New(t testing.TB) *World {
	t.Helper()
	w := &World{T: t, Root: t.TempDir(), Broken: map[string]error{}}
	private, public, err := gitserver.NewKey()
	w.must(err)
	w.Private = private
	w.Server, err = gitserver.Start(gitserver.Options{Root: w.Root})
	w.must(err)
	t.Cleanup(func() { w.Server.Close() })
	w.Server.Authorize(public)
	w.Secrets = map[string]map[string][]byte{
		SSHSecret: {"ssh-privatekey": private, "known_hosts": w.Server.KnownHosts()},
	}
	return w
}

func (w *World) must(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

// Repo makes, or finds, the repository owner/name.git with default branch master.
func (w *World) Repo(name string) gitrepo.Repo {
	w.T.Helper()
	r, err := gitrepo.Init(filepath.Join(w.Root, name+".git"), "master")
	w.must(err)
	return r
}

// Commit adds a commit to a repository's branch master.
func (w *World) Commit(repo string, files map[string]string) string {
	w.T.Helper()
	id, err := w.Repo(repo).Commit("master", "Change "+repo, files)
	w.must(err)
	return id
}

// App makes an application's repository with one commit, and returns that.
func (w *World) App(repo string) string {
	w.T.Helper()
	return w.Commit(repo, map[string]string{"main.go": "package main // " + repo + time.Now().String() + "\n"})
}

// Git runs git on a repository.
func (w *World) Git(repo string, args ...string) string {
	w.T.Helper()
	out, err := w.Repo(repo).Git(args...)
	w.must(err)
	return out
}

// File returns a file at the head of a repository's branch master.
func (w *World) File(repo, path string) string {
	w.T.Helper()
	s, err := w.Repo(repo).Show("master", path)
	w.must(err)
	return s
}

// Subjects returns the subjects of the last n commits on master, newest first.
func (w *World) Subjects(repo string, n int) string {
	w.T.Helper()
	return w.Git(repo, "log", fmt.Sprintf("-%d", n), "--format=%s", "master")
}

// Secret serves w.Secrets.
func (w *World) Secret(_ context.Context, namespace, name string) (map[string][]byte, error) {
	if err := w.Broken[namespace+"/"+name]; err != nil {
		return nil, err
	}
	s, ok := w.Secrets[namespace+"/"+name]
	if !ok {
		return nil, missing(namespace + "/" + name)
	}
	return s, nil
}

// missing is a Secret that is not there.
type missing string

func (m missing) Error() string        { return "secret " + string(m) + " not found" }
func (m missing) Is(target error) bool { return target == k8s.ErrSecretNotFound }

// Client returns a git client with a cache of its own; edit changes its options.
func (w *World) Client(edit ...func(*gitcli.Options)) *gitcli.Client {
	w.T.Helper()
	opt := gitcli.Options{
		CacheDir: w.T.TempDir(), Timeout: time.Minute, Log: zaptest.NewLogger(w.T, zaptest.Level(zapcore.WarnLevel)),
		Author: gitcli.Signature{Name: "GitOps Operator", Email: "gitops-operator@localhost"},
	}
	for _, e := range edit {
		e(&opt)
	}
	c, err := gitcli.New(w.T.Context(), opt)
	w.must(err)
	w.T.Cleanup(c.Close)
	return c
}

// Identity returns the key, ready for use with a client.
func (w *World) Identity(c *gitcli.Client) *gitcli.Identity {
	w.T.Helper()
	id, err := c.Acquire(gitcli.Key{Name: SSHSecret, Private: w.Private, KnownHosts: w.Server.KnownHosts()})
	w.must(err)
	w.T.Cleanup(id.Release)
	return id
}

// Remote returns a repository as gitcli takes it.
func (w *World) Remote(repo string) gitcli.Remote {
	w.T.Helper()
	r, err := gitcli.ParseRemote(w.Server.URL(repo + ".git"))
	w.must(err)
	return r
}

// Annotations are those of a Deployment called name, of application
// kainlite/name, with its manifest at name.yaml in kainlite/manifests. edit
// replaces some; an empty value removes one.
func (w *World) Annotations(name string, edit map[string]string) map[string]string {
	a := map[string]string{
		"enabled":             "true",
		"app_repository":      w.Server.URL("kainlite/" + name + ".git"),
		"manifest_repository": w.Server.URL("kainlite/manifests.git"),
		"deployment_path":     name + ".yaml",
		"image_name":          "kainlite/" + name,
		"ssh_key_name":        "ssh-key",
		"ssh_key_namespace":   "gitops-operator",
	}
	for k, v := range edit {
		a[k] = v
	}
	full := map[string]string{}
	for k, v := range a {
		if v != "" {
			full[k8s.Prefix+k] = v
		}
	}
	return full
}

// Target is the Deployment that Annotations describes.
func (w *World) Target(name string, edit map[string]string) k8s.Target {
	w.T.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: w.Annotations(name, edit)}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: name, Image: "kainlite/" + name + ":old"}}
	t, bad := k8s.ParseDeployment(d)
	if bad != nil {
		w.T.Fatal(bad.Reason)
	}
	return *t
}

// Manifest is a manifest with one container image.
func Manifest(name, image string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %s
spec:
  template:
    spec:
      containers:
        - name: main
          image: %s # moved by the operator
`, name, image)
}
