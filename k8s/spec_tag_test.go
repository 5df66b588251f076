package k8s

import (
	"strings"
	"testing"
)

// What is wrong with the wanted tag is known when the Deployment is listed.
func TestFaultsOfTheWantedTagAreToldWhenListed(t *testing.T) {
	for _, test := range []struct {
		changes []string
		want    string
	}{
		{[]string{"tag_from", "head"}, `gitops.operator.tag_from: "head" is no source: use branch, tags, registry or deployment:NAMESPACE/NAME`},
		{[]string{"tag_from", "deployment:web/blog"}, "gitops.operator.tag_from: deployment web/blog cannot be promoted from itself"},
		{[]string{"tag_from", "tags", "version", "one"}, `gitops.operator.version: "one" is no constraint for semantic versions`},
		{[]string{"tag_from", "registry", "tag_pattern", "("}, `gitops.operator.tag_pattern: "(" is no regular expression`},
		{[]string{"tag_format", "{date}"}, "gitops.operator.tag_format: "},
		{[]string{"pin", "a b"}, `gitops.operator.pin: "a b" is no image tag`},
		{[]string{"soak", "soon"}, `gitops.operator.soak: "soon" is no duration`},
		{[]string{"pin", "https://user:hunter2@example.com"}, "gitops.operator.pin looks as if it held a password or a token: remove it"},
		{[]string{"version", "^1"}, "gitops.operator.version: it chooses among tags, and here none are listed"},
	} {
		target, untracked := ParseDeployment(deployment(blog(test.changes...)))
		if target == nil {
			t.Errorf("%q: not tracked: %+v", test.changes, untracked)
			continue
		}
		if err := target.Invalid(); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, want %s", test.changes, err, test.want)
		}
	}
}

func TestTheApplicationIsNotNeededForEveryTag(t *testing.T) {
	for from, tracked := range map[string]bool{"": false, "branch": false, "tags": false, "registry": true, "deployment:staging/blog": true} {
		target, untracked := ParseDeployment(deployment(without(blog("tag_from", from), "app_repository")))
		if (target != nil) != tracked {
			t.Errorf("tag_from %q without app_repository: got %+v, %+v", from, target, untracked)
		}
		if target != nil && target.Invalid() != nil {
			t.Errorf("tag_from %q: %v", from, target.Invalid())
		}
	}
}

func TestTheRegistryWhoseTagsAreListed(t *testing.T) {
	for _, test := range []struct{ image, url, want string }{
		{"kainlite/blog", "", "kainlite/blog"},
		{"kainlite/blog", "https://ghcr.io/v2/", "ghcr.io/kainlite/blog"},
		{"ghcr.io/kainlite/blog", "https://quay.io", "ghcr.io/kainlite/blog"},
		{"localhost/blog", "quay.io", "localhost/blog"},
		{"blog", "registry:5000", "registry:5000/blog"},
	} {
		target, _ := ParseDeployment(deployment(blog("image_name", test.image, "registry_secret_url", test.url)))
		if got := target.Spec.Repository(); got != test.want {
			t.Errorf("%s in %s: got %s, want %s", test.image, test.url, got, test.want)
		}
	}
}
