package reconcile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/gitserver"
	"github.com/kainlite/gitops-operator/test/world"
)

// Bad input ends one Deployment with a message that says what is wrong, where,
// and what to do; the other Deployment of the group goes on. In the messages,
// APP and MANIFESTS stand for the repositories' URLs.
func TestBadInputEndsOneDeploymentOnly(t *testing.T) {
	const use = "use git@host:owner/repo.git or ssh://user@host:port/path"
	const file = "patch bad.yaml of MANIFESTS branch master: "
	for _, c := range []struct {
		name string
		edit map[string]string // of the annotations
		file *gitrepo.Change   // in place of the good manifest
		want string
	}{
		{name: "app repository over HTTPS", edit: map[string]string{"app_repository": "https://user:pw@github.com/kainlite/bad"},
			want: `gitops.operator.app_repository: repository URL "https://***@github.com/kainlite/bad" is not an SSH URL: ` + use},
		{name: "app repository is an option", edit: map[string]string{"app_repository": "--upload-pack=touch /tmp/x"},
			want: `gitops.operator.app_repository: repository URL "--upload-pack=touch /tmp/x" is not an SSH URL: ` + use},
		{name: "app repository missing", edit: map[string]string{"app_repository": "APPkainlite/nope.git"},
			want: "read head of APPkainlite/nope.git branch master: repository not found: Repository not found. (check its spelling, and that the key may read it)"},
		{name: "app repository empty", edit: map[string]string{"app_repository": "APPkainlite/empty.git"},
			want: "read head of APPkainlite/empty.git branch master: repository is empty: push a first commit"},
		{name: "app repository without the branch", edit: map[string]string{"app_repository": "APPkainlite/main.git"},
			want: "read head of APPkainlite/main.git branch master: branch not found: the repository's default branch is main: set gitops.operator.observe_branch, which names the branch in both repositories"},
		{name: "one repository for both", edit: map[string]string{"app_repository": "MANIFESTS"},
			want: "gitops.operator.app_repository and manifest_repository are both MANIFESTS: each update would be a new commit that calls for another"},
		{name: "path absolute", edit: map[string]string{"deployment_path": "/etc/passwd"},
			want: `gitops.operator.deployment_path: path "/etc/passwd" is absolute: give it from the repository's top folder`},
		{name: "path leaves", edit: map[string]string{"deployment_path": "../../etc/passwd"},
			want: `gitops.operator.deployment_path: path "../../etc/passwd" leaves the repository`},
		{name: "file missing", edit: map[string]string{"deployment_path": "nope.yaml"},
			want: "patch nope.yaml of MANIFESTS branch master: no such file: correct gitops.operator.deployment_path"},
		{name: "symbolic link", file: &gitrepo.Change{Mode: "120000", Content: "good.yaml"},
			want: file + "not a regular file: a symbolic link: give the path of the file itself: correct gitops.operator.deployment_path"},
		{name: "submodule", file: &gitrepo.Change{Mode: "160000", Content: strings.Repeat("1", 40)},
			want: file + "not a regular file: a submodule: correct gitops.operator.deployment_path"},
		{name: "folder", edit: map[string]string{"deployment_path": "folder"},
			want: "patch folder of MANIFESTS branch master: not a regular file: a directory: correct gitops.operator.deployment_path"},
		{name: "too large", file: &gitrepo.Change{Content: strings.Repeat("# 4 MiB and a bit\n", 4<<20/18+1)},
			want: file + "file is too large: 4194306 bytes, at most 4194304 are read"},
		{name: "not UTF-8", file: &gitrepo.Change{Content: "a: \xff\n"},
			want: file + "line 1: the byte 0xff is not UTF-8: save the file as UTF-8"},
		{name: "Helm template", file: &gitrepo.Change{Content: "{{- if .Values.bad }}\n" + world.Manifest("bad", "kainlite/bad:1") + "{{- end }}\n"},
			want: file + `line 1: the file is a template, as Helm's are, not YAML: "{{- if .Values.bad }}"; name a file that holds the finished manifest`},
		{name: "without the image", file: &gitrepo.Change{Content: world.Manifest("bad", "kainlite/bad-api:1")},
			want: file + `no container has the image "kainlite/bad"; the file has "kainlite/bad-api:1" (line 10): correct the image name, or name another file`},
		{name: "digest", file: &gitrepo.Change{Content: world.Manifest("bad", "kainlite/bad:1@sha256:"+strings.Repeat("a", 64))},
			want: file + `line 10: the image "kainlite/bad:1@sha256:` + strings.Repeat("a", 64) + `" has a digest, so a new tag would have no effect: remove the digest, or set the annotation gitops.operator.pin_digest to "true"`},
		{name: "image in two registries", file: &gitrepo.Change{Content: world.Manifest("bad", "ghcr.io/kainlite/bad:1") + "---\n" + world.Manifest("bad", "quay.io/kainlite/bad:1")},
			want: file + `line 21: "kainlite/bad" stands in two registries, ghcr.io (line 10) and quay.io: name the registry in the image name`},
		{name: "image name with a tag", edit: map[string]string{"image_name": "kainlite/bad:1"},
			want: `gitops.operator.image_name: the image name "kainlite/bad:1" has a tag: remove :1`},
		{name: "tag_type", edit: map[string]string{"tag_type": "medium"},
			want: `gitops.operator.tag_type is "medium": set it to "long" or "short"`},
		{name: "enabled", edit: map[string]string{"enabled": "yes"},
			want: `gitops.operator.enabled is "yes": set it to "true" or "false"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			urls := strings.NewReplacer("APP", s.Server.URL(""), "MANIFESTS", s.Server.URL(manifests+".git"))
			for k, v := range c.edit {
				c.edit[k] = urls.Replace(v)
			}
			s.App("kainlite/bad")
			s.App("kainlite/good")
			s.Repo("kainlite/empty")
			if _, err := s.Repo("kainlite/main").Commit("main", "Start", map[string]string{"x": "y"}); err != nil {
				t.Fatal(err)
			}
			s.Git("kainlite/main", "symbolic-ref", "HEAD", "refs/heads/main")
			bad := gitrepo.Change{Content: world.Manifest("bad", "kainlite/bad:"+old)}
			if c.file != nil {
				bad = *c.file
			}
			bad.Path = "bad.yaml"
			good := gitrepo.Change{Path: "good.yaml", Content: world.Manifest("good", "kainlite/good:"+old)}
			inFolder := gitrepo.Change{Path: "folder/x.yaml", Content: "x"}
			if _, err := s.Repo(manifests).CommitChanges("master", "Start", bad, good, inFolder); err != nil {
				t.Fatal(err)
			}
			results := s.run(s.Target("bad", c.edit), s.Target("good", nil))
			s.wantActions(results, "failed patched")
			if got, want := results[0].Message, "Deployment bad failed: "+urls.Replace(c.want); got != want {
				t.Errorf("\ngot  %s\nwant %s", got, want)
			}
			if results[0].Status != "failure" || results[0].FromSHA != "" || results[0].ToSHA != "" {
				t.Errorf("got %+v", results[0])
			}
			if changed := s.Git(manifests, "log", "-1", "--format=", "--name-only", "master"); changed != "good.yaml" {
				t.Errorf("pushed: %s", changed)
			}
			if n := s.Git(manifests, "rev-list", "--count", "master"); n != "2" {
				t.Errorf("%s commits, want 2", n)
			}
		})
	}
}

// What is wrong with the manifests repository, its branch or the key concerns
// the whole group.
func TestBadInputOfAGroup(t *testing.T) {
	locked, _, err := gitserver.NewKeyWithPassphrase("secret")
	if err != nil {
		t.Fatal(err)
	}
	stranger, _, err := gitserver.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	const use = "use git@host:owner/repo.git or ssh://user@host:port/path"
	for _, c := range []struct {
		name   string
		edit   map[string]string
		secret map[string][]byte // in place of the good key
		want   string            // in the message, MANIFESTS being the URL
	}{
		{name: "file URL", edit: map[string]string{"manifest_repository": "file:///etc"},
			want: `gitops.operator.manifest_repository: repository URL "file:///etc" is not an SSH URL: ` + use},
		{name: "remote helper", edit: map[string]string{"manifest_repository": "ext::sh -c touch% x"},
			want: `gitops.operator.manifest_repository: repository URL "ext::sh -c touch% x" is not an SSH URL: ` + use},
		{name: "option as host", edit: map[string]string{"manifest_repository": "git@-oProxyCommand=x:y"},
			want: `gitops.operator.manifest_repository: repository URL "git@-oProxyCommand=x:y" has an invalid host name: ` + use},
		{name: "branch name", edit: map[string]string{"observe_branch": "a..b"},
			want: `gitops.operator.observe_branch: branch name "a..b" contains ".."`},
		{name: "branch is an option", edit: map[string]string{"observe_branch": "--upload-pack=x"},
			want: `gitops.operator.observe_branch: branch name "--upload-pack=x" begins with a hyphen`},
		{name: "branch missing", edit: map[string]string{"observe_branch": "main"},
			want: "fetch MANIFESTS branch main: branch not found: the repository's default branch is master: set gitops.operator.observe_branch, which names the branch in both repositories"},
		{name: "repository missing", edit: map[string]string{"manifest_repository": "NOPE"},
			want: "fetch NOPE branch master: repository not found: Repository not found. (check its spelling, and that the key may read it)"},
		{name: "Secret missing", edit: map[string]string{"ssh_key_name": "nope"},
			want: "read SSH key: secret gitops-operator/nope not found: create it, or correct gitops.operator.ssh_key_name and ssh_key_namespace"},
		{name: "Secret without the key", secret: map[string][]byte{"id_rsa": []byte("x")},
			want: "read SSH key: secret gitops-operator/ssh-key has no key ssh-privatekey: create it with kubectl create secret generic ssh-key -n gitops-operator --from-file=ssh-privatekey=FILE"},
		{name: "no private key", secret: map[string][]byte{"ssh-privatekey": []byte("hunter2")},
			want: "use secret gitops-operator/ssh-key: read SSH key: not a private SSH key: it must begin with -----BEGIN ... PRIVATE KEY-----"},
		{name: "passphrase", secret: map[string][]byte{"ssh-privatekey": locked},
			want: "use secret gitops-operator/ssh-key: read SSH key: key has a passphrase: nobody can type it here, use a key without one, or put it into the Secret as passphrase"},
		{name: "key refused", secret: map[string][]byte{"ssh-privatekey": stranger, "known_hosts": nil},
			want: "fetch MANIFESTS branch master: authentication refused for the key of secret gitops-operator/ssh-key: git@127.0.0.1: Permission denied (publickey). (let its public half read the repository, and write to the manifests; a deploy key serves one repository, a machine user's several)"},
		{name: "host key", secret: map[string][]byte{"ssh-privatekey": stranger, "known_hosts": []byte("# none\n")},
			want: "fetch MANIFESTS branch master: host key not trusted: No ED25519 host key is known for [127.0.0.1]:PORT and you have requested strict checking.; Host key verification failed." +
				" (check the server's host key, as ssh-keyscan shows it, and put it into a --known-hosts file or into known_hosts in the SSH key's Secret)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			_, port, _ := strings.Cut(s.Server.Addr(), ":")
			urls := strings.NewReplacer("NOPE", s.Server.URL("kainlite/nope.git"), "MANIFESTS", s.Server.URL(manifests+".git"), "PORT", port)
			for k, v := range c.edit {
				c.edit[k] = urls.Replace(v)
			}
			if c.secret != nil {
				if hosts, given := c.secret["known_hosts"]; given && hosts == nil {
					c.secret["known_hosts"] = s.Server.KnownHosts()
				}
				s.Secrets[world.SSHSecret] = c.secret
			}
			s.apps("blog", "api")
			before := s.Git(manifests, "rev-parse", "master")
			results := s.run(s.Target("blog", c.edit), s.Target("api", c.edit))
			s.wantActions(results, "failed failed")
			for _, r := range results {
				got := strings.Replace(r.Message, "failed: clone ", "failed: fetch ", 1)
				got = strings.Replace(got, "failed: read head of ", "failed: fetch ", 1)
				// Both Deployments meet the remote; which of its errors comes first does not matter.
				got = strings.Replace(got, s.Server.URL("kainlite/"+r.Deployment+".git"), s.Server.URL(manifests+".git"), 1)
				if want := "Deployment " + r.Deployment + " failed: " + urls.Replace(c.want); got != want {
					t.Errorf("\ngot  %s\nwant %s", got, want)
				}
			}
			if after := s.Git(manifests, "rev-parse", "master"); after != before {
				t.Error("something was pushed")
			}
		})
	}
}

func TestDecliningHookFailsTheGroupAndSaysWhy(t *testing.T) {
	s := newStage(t)
	targets, _ := s.apps("blog")
	hook := "#!/bin/sh\nprintf 'frozen \\033[31muntil Monday' >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(s.Repo(manifests).Dir, "hooks", "pre-receive"), []byte(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	r := s.run(targets...)[0]
	want := "Deployment blog failed: push to " + s.Server.URL(manifests+".git") + " branch master: push declined by the server: " +
		"[remote rejected] (pre-receive hook declined): frozen [31muntil Monday (see the server's reason; a protected branch or a hook may refuse the operator's pushes)"
	if r.Message != want {
		t.Errorf("\ngot  %q\nwant %q", r.Message, want)
	}
}

// One application's silent server must not take the others' results away.
func TestSilentAppRepositoryFailsAlone(t *testing.T) {
	s := newStage(t, func(o *gitcli.Options) { o.Timeout = 2 * time.Second })
	targets, _ := s.apps("blog", "api")
	s.Server.Stall("kainlite/blog.git", true)
	results := s.run(targets...)
	s.wantActions(results, "failed patched")
	want := "Deployment blog failed: read head of " + s.Server.URL("kainlite/blog.git") + " branch master: timed out after 2s (check that the host answers, or raise --git-timeout)"
	if results[0].Message != want {
		t.Errorf("\ngot  %s\nwant %s", results[0].Message, want)
	}
}
