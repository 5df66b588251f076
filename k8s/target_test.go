package k8s

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// blog returns the required annotations, with changes: a name without its
// prefix and its value, in turn.
func blog(changes ...string) map[string]string {
	annotations := map[string]string{
		"gitops.operator.enabled":             "true",
		"gitops.operator.app_repository":      "git@github.com:kainlite/blog.git",
		"gitops.operator.manifest_repository": "git@github.com:kainlite/manifests.git",
		"gitops.operator.deployment_path":     "apps/blog.yaml",
		"gitops.operator.image_name":          "kainlite/blog",
		"gitops.operator.ssh_key_name":        "ssh-key",
		"gitops.operator.ssh_key_namespace":   "gitops-operator",
	}
	for pair := range slices.Chunk(changes, 2) {
		annotations[Prefix+pair[0]] = pair[1]
	}
	return annotations
}

func deployment(annotations map[string]string, images ...string) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "blog", Annotations: annotations}}
	for _, image := range images {
		d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{Image: image})
	}
	return d
}

func mustTrack(t *testing.T, d *appsv1.Deployment) Target {
	t.Helper()
	target, untracked := ParseDeployment(d)
	if target == nil || untracked != nil {
		t.Fatalf("not tracked: %+v", untracked)
	}
	return *target
}

func TestRequiredAnnotationsMakeATarget(t *testing.T) {
	annotations := blog()
	annotations["team"] = "web"
	got := mustTrack(t, deployment(annotations, "kainlite/blog:3c0a88249f"))
	spec := got.Spec
	if spec.App.String() != "git@github.com:kainlite/blog.git" || spec.Manifests.Key() != "github.com/kainlite/manifests" || spec.AppBranch != "master" ||
		spec.ManifestBranch != "master" || len(spec.Files) != 1 || spec.Files[0] != "apps/blog.yaml" || spec.Image.String() != "kainlite/blog" {
		t.Errorf("parsed as %+v", spec)
	}
	got.Spec = &Spec{Config: spec.Config}
	want := Target{
		Ref:         Ref{Namespace: "web", Name: "blog"},
		Annotations: annotations,
		Container:   "kainlite/blog",
		Version:     "3c0a88249f",
		Spec: &Spec{Config: Config{
			Enabled:            true,
			Namespace:          "web",
			AppRepository:      "git@github.com:kainlite/blog.git",
			ManifestRepository: "git@github.com:kainlite/manifests.git",
			ImageName:          "kainlite/blog",
			DeploymentPath:     "apps/blog.yaml",
			ObserveBranch:      "master",
			TagType:            "long",
			SSHKeyName:         "ssh-key",
			SSHKeyNamespace:    "gitops-operator",
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.Key() != "web/blog" {
		t.Errorf("key %q", got.Key())
	}
	if err := got.Invalid(); err != nil {
		t.Errorf("invalid: %v", err)
	}
	if names := got.Unknown(); names != nil {
		t.Errorf("unknown: %q", names)
	}
}

func TestDeploymentWithoutNamespaceIsInDefault(t *testing.T) {
	d := deployment(blog())
	d.Namespace = ""
	if got := mustTrack(t, d); got.Key() != "default/blog" || got.Spec.Namespace != "default" {
		t.Errorf("got %q, config %q", got.Key(), got.Spec.Namespace)
	}
	d.Annotations = map[string]string{"gitops.operator.enabled": "true"}
	if _, got := ParseDeployment(d); got == nil || got.Key() != "default/blog" {
		t.Errorf("got %+v", got)
	}
}

func TestDeploymentWithoutOurAnnotationsIsIgnored(t *testing.T) {
	for _, annotations := range []map[string]string{
		nil,
		{},
		{"app": "x", "gitops.operators.enabled": "true", "gitops.operator": "true"},
	} {
		if target, untracked := ParseDeployment(deployment(annotations)); target != nil || untracked != nil {
			t.Errorf("%v: got %+v, %+v", annotations, target, untracked)
		}
	}
}

func TestMissingAnnotationsAreNamed(t *testing.T) {
	tests := []struct {
		name        string
		annotations map[string]string
		want        string
	}{
		{"one", without(blog(), "image_name"), "missing annotation gitops.operator.image_name"},
		{"blank counts as missing", blog("image_name", " \t\n"), "missing annotation gitops.operator.image_name"},
		{
			"two", without(blog(), "ssh_key_namespace", "app_repository"),
			"missing annotations gitops.operator.app_repository, gitops.operator.ssh_key_namespace",
		},
		{
			"all", map[string]string{"gitops.operator.observe_branch": "main"},
			"missing annotations gitops.operator.enabled, gitops.operator.app_repository, gitops.operator.manifest_repository, " +
				"gitops.operator.deployment_path, gitops.operator.image_name, gitops.operator.ssh_key_name, gitops.operator.ssh_key_namespace",
		},
		{
			"a typing error is shown beside", without(blog("image-name", "x", "Enabled", "x", "namespace", "x"), "image_name"),
			"missing annotation gitops.operator.image_name (unknown: gitops.operator.Enabled, gitops.operator.image-name)",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			target, untracked := ParseDeployment(deployment(test.annotations))
			if target != nil || untracked == nil {
				t.Fatalf("got %+v, %+v", target, untracked)
			}
			if want := (Untracked{"web", "blog", test.want}); *untracked != want {
				t.Errorf("got  %+v\nwant %+v", *untracked, want)
			}
		})
	}
}

func without(annotations map[string]string, names ...string) map[string]string {
	for _, name := range names {
		delete(annotations, Prefix+name)
	}
	return annotations
}

func TestNamesThatTheAPIServerWouldRefuseAreNotTracked(t *testing.T) {
	for _, test := range []struct{ namespace, name, want string }{
		{"web", "a\nFrom: evil", `name "a\nFrom: evil" is invalid: `},
		{"web", "", `name "" is invalid: `},
		{"-x", "blog", `namespace "-x" is invalid: `},
	} {
		d := deployment(blog())
		d.Namespace, d.Name = test.namespace, test.name
		target, untracked := ParseDeployment(d)
		if target != nil || untracked == nil || !strings.HasPrefix(untracked.Reason, test.want) {
			t.Errorf("%q/%q: got %+v, %+v", test.namespace, test.name, target, untracked)
		}
	}
}

func TestNamesThatNoSecretCanHaveAreInvalid(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, annotation := range []string{"ssh_key_name", "ssh_key_namespace", "app_git_secret_name", "app_git_secret_namespace", "notifications_secret_name", "registry_secret_namespace", "github_token_secret_name"} {
		namespace := strings.HasSuffix(annotation, "_namespace")
		for v, valid := range map[string]bool{
			"a": true, "a-b": true, "0": true, "a.b": !namespace, long: !namespace,
			"A": false, "-a": false, "a-": false, "a-.b": false, ".a": false, "a.": false, "a..b": false, "a/b": false, "../b": false,
			"a_b": false, "a\nb": false, "a\x00b": false, "a\x1b[31m": false, "\u0430": false, strings.Repeat("a.", 126) + "ab": false,
		} {
			err := ParseSpec(Ref{Namespace: "web", Name: "blog"}, blog(annotation, v)).Invalid()
			if (err == nil) != valid {
				t.Errorf("%s %q: got %v", annotation, v, err)
			}
			if err != nil && (!strings.HasPrefix(err.Error(), Prefix+annotation+" is ") || strings.ContainsAny(err.Error(), "\n\x00\x1b\u0430")) {
				t.Errorf("%s %q: got %q", annotation, v, err)
			}
		}
	}
}

func TestInvalidValuesAreTrackedAndExplained(t *testing.T) {
	tests := []struct {
		changes []string
		enabled bool
		want    string
	}{
		{[]string{"enabled", "false"}, false, ""},
		{[]string{"enabled", " true\n", "tag_type", " short "}, true, ""},
		{[]string{"enabled", "yes"}, false, `gitops.operator.enabled is "yes": set it to "true" or "false"`},
		{[]string{"enabled", "True"}, false, `gitops.operator.enabled is "True": set it to "true" or "false"`},
		{[]string{"tag_type", "medium"}, true, `gitops.operator.tag_type is "medium": set it to "long" or "short"`},
		{
			[]string{"enabled", "1", "tag_type", "LONG"}, false,
			`gitops.operator.enabled is "1": set it to "true" or "false"; gitops.operator.tag_type is "LONG": set it to "long" or "short"`,
		},
		{[]string{"deployment_path", "../x"}, true, `gitops.operator.deployment_path: path "../x" leaves the repository`},
		{[]string{"app_repository", "git@GitHub.com:kainlite/manifests"}, true,
			"gitops.operator.app_repository and manifest_repository are both git@GitHub.com:kainlite/manifests: each update would be a new commit that calls for another"},
		{[]string{"app_repository", "git@github.com:kainlite/manifests.git", "app_branch", "main"}, true, ""}, // its commits do not call for others
		{[]string{"deployment_path", "a.yaml,\n ../b.yaml"}, true, `gitops.operator.deployment_path: path "../b.yaml" leaves the repository`},
		{[]string{"deployment_path", " ,\n"}, true, `gitops.operator.deployment_path: path is empty`},
		{[]string{"deployment_path", strings.Repeat("a,", 101)}, true, `gitops.operator.deployment_path: it has 101 values, more than 100: divide them among several Deployments`},
		{[]string{"image_name", "kainlite/a, kainlite/b:1"}, true, `gitops.operator.image_name: the image name "kainlite/b:1" has a tag: remove :1`},
		{[]string{"tag_path", ".a\n.b | load(\"x\")"}, true, `gitops.operator.tag_path: the path expression ".b | load(\"x\")" has "load", which is not allowed: use keys, indexes, [], select(.KEY == VALUE) and pipes`},
		{[]string{"tag_path", ".a\n$__loc__"}, true, `gitops.operator.tag_path: the path expression "$__loc__" has "$", which is not allowed: use keys, indexes, [], select(.KEY == VALUE) and pipes`},
		{[]string{"tag_path", strings.Repeat(".a\n", 101)}, true, `gitops.operator.tag_path: it has 101 values, more than 100: divide them among several Deployments`},
		{[]string{"pin_digest", "yes"}, true, `gitops.operator.pin_digest is "yes": set it to "true" or "false"`},
		{[]string{"pin_digest", "false"}, true, ""},
		{[]string{"app_branch", "a..b", "manifest_branch", "-x"}, true, `gitops.operator.app_branch: branch name "a..b" contains ".."; gitops.operator.manifest_branch: branch name "-x" begins with a hyphen`},
		{[]string{"app_branch", "https://me:hunter2@x"}, true, "gitops.operator.app_branch looks as if it held a password or a token: remove it"},
		{[]string{"registry_secret_url", "https://me:hunter2@ghcr.io"}, true,
			"gitops.operator.registry_secret_url: it is no address of a registry: use https://HOST/ or HOST:PORT, without user or password"},
		{[]string{"observe_branch", "https://me:hunter2@x", "image_name", "https://me:hunter2@ghcr.io/x"}, true,
			"gitops.operator.observe_branch looks as if it held a password or a token: remove it; gitops.operator.image_name looks as if it held a password or a token: remove it"},
		{ // all of them, always in the same order
			[]string{"manifest_repository", "file:///etc", "app_repository", "/srv/git", "observe_branch", "a..b", "deployment_path", "/etc", "image_name", "a:1"}, true,
			`gitops.operator.manifest_repository: repository URL "file:///etc" is not an SSH URL: use git@host:owner/repo.git or ssh://user@host:port/path; ` +
				`gitops.operator.app_repository: repository URL "/srv/git" is not an SSH URL: use git@host:owner/repo.git or ssh://user@host:port/path; ` +
				`gitops.operator.observe_branch: branch name "a..b" contains ".."; ` +
				`gitops.operator.deployment_path: path "/etc" is absolute: give it from the repository's top folder; ` +
				`gitops.operator.image_name: the image name "a:1" has a tag: remove :1`,
		},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.changes, " "), func(t *testing.T) {
			target := mustTrack(t, deployment(blog(test.changes...)))
			got := ""
			if err := target.Invalid(); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if target.Spec.Enabled != test.enabled {
				t.Errorf("enabled %v", target.Spec.Enabled)
			}
		})
	}
}

func TestUnknownAnnotationsAreListed(t *testing.T) {
	target := mustTrack(t, deployment(blog(
		"observe-branch", "main", "Tag_type", "short", "", "x",
		"namespace", "web", "observe_branch", "main", "registry_secret_url", "https://ghcr.io",
	)))
	want := []string{"gitops.operator.", "gitops.operator.Tag_type", "gitops.operator.observe-branch"}
	if got := target.Unknown(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestSecretsHaveTheirDefaults(t *testing.T) {
	type refs struct {
		ssh, registry          SecretRef
		notifications, token   SecretRef
		isNotified, hasToken   bool
		registryServer, branch string
	}
	tests := []struct {
		name    string
		changes []string
		want    refs
	}{
		{"nothing set", nil, refs{
			ssh:            SecretRef{"gitops-operator", "ssh-key"},
			registry:       SecretRef{"gitops-operator", "regcred"},
			registryServer: "https://index.docker.io/v1/",
			branch:         "master",
		}},
		{"blank is not set", []string{
			"notifications_secret_name", " ", "registry_secret_name", "", "github_token_secret_name", "\t",
			"registry_secret_url", " ", "observe_branch", " ",
		}, refs{
			ssh:            SecretRef{"gitops-operator", "ssh-key"},
			registry:       SecretRef{"gitops-operator", "regcred"},
			registryServer: "https://index.docker.io/v1/",
			branch:         "master",
		}},
		{"names only", []string{
			"notifications_secret_name", "slack", "registry_secret_name", "ghcr", "github_token_secret_name", "token",
		}, refs{
			ssh:            SecretRef{"gitops-operator", "ssh-key"},
			registry:       SecretRef{"gitops-operator", "ghcr"},
			notifications:  SecretRef{"gitops-operator", "slack"},
			isNotified:     true,
			token:          SecretRef{"gitops-operator", "token"},
			hasToken:       true,
			registryServer: "https://index.docker.io/v1/",
			branch:         "master",
		}},
		{"namespaces only", []string{
			"notifications_secret_namespace", "a", "registry_secret_namespace", "b", "github_token_secret_namespace", "c",
		}, refs{
			ssh:            SecretRef{"gitops-operator", "ssh-key"},
			registry:       SecretRef{"b", "regcred"},
			registryServer: "https://index.docker.io/v1/",
			branch:         "master",
		}},
		{"all set", []string{
			"ssh_key_name", " deploy ", "ssh_key_namespace", "s",
			"notifications_secret_name", "slack", "notifications_secret_namespace", "a",
			"registry_secret_name", "ghcr", "registry_secret_namespace", "b", "registry_secret_url", " https://ghcr.io ",
			"github_token_secret_name", "token", "github_token_secret_namespace", "c", "observe_branch", "main",
		}, refs{
			ssh:            SecretRef{"s", "deploy"},
			registry:       SecretRef{"b", "ghcr"},
			notifications:  SecretRef{"a", "slack"},
			isNotified:     true,
			token:          SecretRef{"c", "token"},
			hasToken:       true,
			registryServer: "https://ghcr.io",
			branch:         "main",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := mustTrack(t, deployment(blog(test.changes...))).Spec
			got := refs{ssh: c.SSHKey(), registry: c.RegistrySecret(), registryServer: c.RegistryServer(), branch: c.ObserveBranch}
			got.notifications, got.isNotified = c.NotificationsSecret()
			got.token, got.hasToken = c.GitHubTokenSecret()
			if got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
	if got := (SecretRef{"a", "b"}).String(); got != "a/b" {
		t.Errorf("SecretRef is %q", got)
	}
}

func TestConfigJSONKeepsItsKeysAndOrder(t *testing.T) {
	tests := []struct {
		changes []string
		want    string
	}{
		{nil, `{"enabled":true,"namespace":"web","app_repository":"git@github.com:kainlite/blog.git",` +
			`"manifest_repository":"git@github.com:kainlite/manifests.git","image_name":"kainlite/blog",` +
			`"deployment_path":"apps/blog.yaml","observe_branch":"master","tag_type":"long",` +
			`"ssh_key_name":"ssh-key","ssh_key_namespace":"gitops-operator",` +
			`"notifications_secret_name":null,"notifications_secret_namespace":null,` +
			`"registry_url":null,"registry_secret_name":null,"registry_secret_namespace":null,` +
			`"github_token_secret_name":null,"github_token_secret_namespace":null}`},
		{[]string{
			"enabled", "maybe", "observe_branch", "main", "tag_type", "short",
			"notifications_secret_name", "a", "notifications_secret_namespace", "b",
			"registry_secret_url", "c", "registry_secret_name", "d", "registry_secret_namespace", "e",
			"github_token_secret_name", "f", "github_token_secret_namespace", "g",
		}, `{"enabled":false,"namespace":"web","app_repository":"git@github.com:kainlite/blog.git",` +
			`"manifest_repository":"git@github.com:kainlite/manifests.git","image_name":"kainlite/blog",` +
			`"deployment_path":"apps/blog.yaml","observe_branch":"main","tag_type":"short",` +
			`"ssh_key_name":"ssh-key","ssh_key_namespace":"gitops-operator",` +
			`"notifications_secret_name":"a","notifications_secret_namespace":"b",` +
			`"registry_url":"c","registry_secret_name":"d","registry_secret_namespace":"e",` +
			`"github_token_secret_name":"f","github_token_secret_namespace":"g"}`},
	}
	for _, test := range tests {
		got, err := json.Marshal(mustTrack(t, deployment(blog(test.changes...))).Spec.Config)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// FuzzAnnotations changes two annotations of a complete Deployment at will.
func FuzzAnnotations(f *testing.F) {
	f.Add("gitops.operator.enabled", "yes", "gitops.operator.tag_type", "short", "kainlite/blog:1")
	f.Add("gitops.operator.image_name", "@", "gitops.operator.observe-branch", "", "a@sha256:1")
	f.Add("gitops.operator.ssh_key_name", " ", "gitops.operator.", "x", "localhost:5000/x")
	f.Add("gitops.operator.image_name", "localhost/x", "x", "\xff", "")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2, image string) {
		annotations := blog()
		annotations[name1] = value1
		annotations[name2] = value2
		before := maps.Clone(annotations)

		target, untracked := ParseDeployment(deployment(annotations, image))

		complete := true
		for _, name := range required {
			given := strings.TrimSpace(annotations[Prefix+name])
			if of, secret := strings.CutPrefix(name, "ssh_key_"); secret && given == "" {
				given = strings.TrimSpace(annotations[Prefix+"git_secret_"+of])
			}
			complete = complete && given != ""
		}
		if complete != (target != nil) || complete == (untracked != nil) {
			t.Fatalf("complete %v, got %+v, %+v", complete, target, untracked)
		}
		if !maps.Equal(annotations, before) {
			t.Fatal("the annotations were modified")
		}
		if target == nil {
			if !strings.HasPrefix(untracked.Reason, "missing annotation") {
				t.Fatalf("reason %q", untracked.Reason)
			}
			return
		}
		enabled := strings.TrimSpace(annotations[Prefix+"enabled"])
		if target.Spec.Enabled != (enabled == "true") {
			t.Fatalf("enabled is %q, taken as %v", enabled, target.Spec.Enabled)
		}
		if enabled != "true" && enabled != "false" && target.Invalid() == nil {
			t.Fatalf("enabled is %q, and that is fine", enabled)
		}
		if target.Version == "" || !strings.HasPrefix(image, target.Container) {
			t.Fatalf("image %q is shown as %q, version %q", image, target.Container, target.Version)
		}
		target.Unknown()
		if err := target.Invalid(); err != nil {
			if text := err.Error(); len(text) > 4000 || strings.ContainsAny(text, "\n\r\x00\x1b\u009b\u202e") {
				t.Fatalf("%q is no line for a message", text)
			}
			return
		}
		refs := []SecretRef{target.Spec.SSHKey(), target.Spec.RegistrySecret()}
		if ref, ok := target.Spec.NotificationsSecret(); ok {
			refs = append(refs, ref)
		}
		for _, ref := range refs {
			if len(validation.IsDNS1123Label(ref.Namespace)) > 0 || len(validation.IsDNS1123Subdomain(ref.Name)) > 0 {
				t.Fatalf("names the Secret %q, which there cannot be", ref)
			}
		}
	})
}
