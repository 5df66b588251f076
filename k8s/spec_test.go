package k8s

import (
	"encoding/json"
	"strings"
	"testing"
)

// The group is that of one repository, however its URL is written.
func TestGroupIsOfTheCanonicalRepository(t *testing.T) {
	group := func(changes ...string) string {
		return ParseSpec(Ref{Namespace: "web", Name: "blog"}, blog(changes...)).Group()
	}
	one := group()
	for _, s := range []string{"git@github.com:kainlite/manifests", "ssh://git@GitHub.com:22/kainlite/manifests.git/", "ssh://other@github.com/kainlite/manifests"} {
		if group("manifest_repository", s) != one {
			t.Errorf("%s is of another group", s)
		}
	}
	for _, changes := range [][]string{
		{"manifest_repository", "git@gitlab.com:kainlite/manifests.git"}, {"manifest_repository", "ssh://git@github.com:2222/kainlite/manifests.git"}, {"manifest_repository", "nonsense"},
		{"observe_branch", "main"}, {"manifest_branch", "main"}, {"ssh_key_name", "other"}, {"ssh_key_namespace", "web"},
	} {
		if group(changes...) == one {
			t.Errorf("%s: the same group", changes)
		}
	}
}

func TestRefsAreTold(t *testing.T) {
	for want, r := range map[string]Ref{"web/blog": {Namespace: "web", Name: "blog"}, "web/StatefulSet/db": {"StatefulSet", "web", "db"}} {
		if r.String() != want {
			t.Errorf("got %s, want %s", r, want)
		}
	}
}

func TestRegistryHost(t *testing.T) {
	for url, want := range map[string]string{
		"https://index.docker.io/v1/": "index.docker.io", "ghcr.io": "ghcr.io", "http://registry:5000": "registry:5000", "https://[::1]:5000/v2/": "[::1]:5000",
		"": "", "https://": "", "ftp://x": "", "https://me:pw@x": "", "https://x:0": "", "https://x:65536": "", "-x": "", "x y": "", "x\n": "", "https://x/?y": "", "//x": "",
	} {
		got, err := registryHost(url)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", url, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: the error repeats it: %v", url, err)
		}
	}
}

// Several values are separated by commas or new lines; each counts once.
func TestListsOfImagesAndFiles(t *testing.T) {
	s := ParseSpec(Ref{Namespace: "web", Name: "blog"}, blog(
		"image_name", " kainlite/blog,ghcr.io/kainlite/worker\r\n\nkainlite/blog ", "deployment_path", "./a.yaml\nb/../a.yaml, c/kustomization.yaml ",
		"tag_path", "\n.a.b\n.c[0]\n", "pin_digest", " true ", "app_branch", "main", "manifest_branch", "prod", "registry_secret_url", "https://registry.example:5000/v2/",
	))
	if s.Invalid() != nil {
		t.Fatal(s.Invalid())
	}
	if got := strings.Join(s.Files, " "); got != "a.yaml c/kustomization.yaml" {
		t.Errorf("files %s", got)
	}
	if got := s.Images(); got != "kainlite/blog, ghcr.io/kainlite/worker" || s.Image.String() != "kainlite/blog" {
		t.Errorf("images %s, the first %s", got, s.Image)
	}
	if got := strings.Join(s.References()[:2], " "); got != "registry.example:5000/kainlite/blog ghcr.io/kainlite/worker" || s.Repository() != "registry.example:5000/kainlite/blog" {
		t.Errorf("references %s", got)
	}
	if len(s.Request.Paths) != 2 || s.Request.Paths[1].String() != ".c[0]" || !s.Request.Pin || s.RequestKey != s.Request.Key() {
		t.Errorf("%+v", s.Request)
	}
	if s.AppBranch != "main" || s.ManifestBranch != "prod" || s.Branches() != "main -> prod" {
		t.Errorf("branches %s", s.Branches())
	}
	config, err := json.Marshal(s.Config)
	if want := `"tag_path":".a.b\n.c[0]","pin_digest":true,"app_branch":"main","manifest_branch":"prod"`; err != nil || !strings.Contains(string(config), want) {
		t.Errorf("%s, %v", config, err)
	}
	for changes, want := range map[[2]string]string{{}: "master", {"app_branch", "main"}: "main -> master", {"manifest_branch", "master"}: "master", {"observe_branch", "main"}: "main", {"observe_branch", "a..b"}: "a..b"} {
		if got := ParseSpec(Ref{Namespace: "web", Name: "blog"}, blog(changes[0], changes[1])).Branches(); got != want {
			t.Errorf("%s: %s, want %s", changes, got, want)
		}
	}
}

// Of several images, the container of the first one that there is, is shown.
func TestContainerOfSeveralImages(t *testing.T) {
	got := mustTrack(t, deployment(blog("image_name", "kainlite/none,kainlite/worker, kainlite/blog"), "kainlite/blog:1", "kainlite/worker:2"))
	if got.Container != "kainlite/worker" || got.Version != "2" {
		t.Errorf("got %s:%s", got.Container, got.Version)
	}
}
