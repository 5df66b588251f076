package k8s

import (
	"strings"
	"testing"
)

func TestTheSecretForGitHasTwoNames(t *testing.T) {
	self := Ref{Namespace: "web", Name: "blog"}
	group := ParseSpec(self, blog()).Group()
	for name, c := range map[string]struct {
		annotations map[string]string
		app         string
	}{
		"ssh_key":                     {blog(), "gitops-operator/ssh-key"},
		"git_secret":                  {without(blog("git_secret_name", "ssh-key", "git_secret_namespace", "gitops-operator"), "ssh_key_name", "ssh_key_namespace"), "gitops-operator/ssh-key"},
		"both":                        {blog("git_secret_name", "ssh-key", "git_secret_namespace", "gitops-operator"), "gitops-operator/ssh-key"},
		"half each":                   {without(blog("git_secret_name", "ssh-key"), "ssh_key_name"), "gitops-operator/ssh-key"},
		"another for the application": {blog("app_git_secret_name", "blog-key"), "gitops-operator/blog-key"},
		"elsewhere":                   {blog("app_git_secret_name", "blog-key", "app_git_secret_namespace", "web"), "web/blog-key"},
		"a namespace alone":           {blog("app_git_secret_namespace", "web"), "gitops-operator/ssh-key"},
	} {
		target := mustTrack(t, deployment(c.annotations))
		s := target.Spec
		if err := s.Invalid(); err != nil || len(target.Unknown()) > 0 {
			t.Errorf("%s: %v, unknown %s", name, err, target.Unknown())
		}
		if s.Group() != group || s.SSHKey().String() != "gitops-operator/ssh-key" || s.AppSecret().String() != c.app {
			t.Errorf("%s: %s for both, %s for the application, group %q", name, s.SSHKey(), s.AppSecret(), s.Group())
		}
	}
}

func TestSecretsForGitThatAreWrong(t *testing.T) {
	for want, annotations := range map[string]map[string]string{
		`gitops.operator.ssh_key_name is "ssh-key" and gitops.operator.git_secret_name is "other", but they mean the same: keep one of them`:                 blog("git_secret_name", "other"),
		`gitops.operator.ssh_key_namespace is "gitops-operator" and gitops.operator.git_secret_namespace is "web", but they mean the same: keep one of them`: blog("git_secret_namespace", "web"),
		`gitops.operator.app_git_secret_name is none, and a repository that is reached over SSH needs a key: name a Secret with one`:                         blog("app_git_secret_name", "none"),
		`gitops.operator.app_git_secret_name is "A", and no Secret can have that name: use lower-case letters, digits, '-' and '.'`:                          blog("app_git_secret_name", "A"),
		`gitops.operator.git_secret_name is "B", and no Secret can have that name: use lower-case letters, digits, '-' and '.'`:                              without(blog("git_secret_name", "B"), "ssh_key_name"),
	} {
		if err := ParseSpec(Ref{Namespace: "web", Name: "blog"}, annotations).Invalid(); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	_, untracked := ParseDeployment(deployment(without(blog("git_secret_name", "x"), "ssh_key_name", "ssh_key_namespace")))
	if untracked == nil || !strings.HasPrefix(untracked.Reason, "missing annotation gitops.operator.git_secret_namespace") {
		t.Errorf("half a Secret: %+v", untracked)
	}
}
