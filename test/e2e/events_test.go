package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kainlite/gitops-operator/test/registryserver"
	"github.com/kainlite/gitops-operator/test/world"
)

// withEvents is a folder of deploy/ with the component that allows Events, as
// the README tells to write it.
func withEvents(t *testing.T, folder string) string {
	t.Helper()
	relative := func(from, to string) string {
		from, err := filepath.EvalSymlinks(from)
		if err != nil {
			t.Fatal(err)
		}
		if to, err = filepath.Abs(to); err != nil {
			t.Fatal(err)
		}
		path, err := filepath.Rel(from, to)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	dir := t.TempDir()
	text := fmt.Sprintf("resources: [%q]\ncomponents: [%q]\n", relative(dir, filepath.Join(root, folder)), relative(dir, filepath.Join(root, "deploy/components/events")))
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	return relative(abs, dir)
}

// events are those of a Deployment, as kubectl describe asks for them.
func (c *cluster) events(deployment string) []string {
	c.T.Helper()
	d, err := c.api.Client.AppsV1().Deployments(c.apps).Get(c.T.Context(), deployment, metav1.GetOptions{})
	if err != nil {
		c.T.Fatal(err)
	}
	list, err := c.api.Client.CoreV1().Events(c.apps).List(c.T.Context(), metav1.ListOptions{
		FieldSelector: "involvedObject.kind=Deployment,involvedObject.name=" + deployment + ",involvedObject.uid=" + string(d.UID),
	})
	if err != nil {
		c.T.Fatal(err)
	}
	var lines []string
	for _, e := range list.Items {
		lines = append(lines, fmt.Sprintf("%s %s x%d %s", e.Type, e.Reason, e.Count, e.Message))
	}
	slices.Sort(lines)
	return lines
}

func (c *cluster) wantEvents(deployment string, want ...string) {
	c.T.Helper()
	c.eventually(fmt.Sprintf("the Events of %s are %q", deployment, want), func() bool { return slices.Equal(c.events(deployment), want) })
}

func (c *cluster) annotate(deployment, name, value string) {
	c.T.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"gitops.operator.%s":%q}}}`, name, value)
	if _, err := c.api.Client.AppsV1().Deployments(c.apps).Patch(c.T.Context(), deployment, "application/merge-patch+json", patch, metav1.PatchOptions{}); err != nil {
		c.T.Fatal(err)
	}
	c.eventually("the operator knows", func() bool { _, body := c.get("/debug"); return strings.Contains(body, value) })
}

// The shipped rights, the component, and what kubectl describe then tells.
func TestEventsTellTheStoryOfADeployment(t *testing.T) {
	registry, err := registryserver.Start(registryserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	c := newClusterWith(t, withEvents(t, "deploy"), "--events")
	c.deploy("blog", "api")
	c.get("/reconcile")
	patched := func(name string) string {
		return "Normal ImageUpdated x1 Deployment " + name + " patched successfully to version " + c.Git("kainlite/"+name, "rev-parse", "master")
	}
	story := []string{patched("blog")}
	c.wantEvents("blog", story...)
	c.wantEvents("api", patched("api"))

	// An image that is not there.
	image := registry.Addr() + "/kainlite/blog"
	c.annotate("blog", "registry_secret_url", "http://"+registry.Addr())
	c.annotate("blog", "image_name", image)
	c.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", image+":"+old)})
	head := c.Git("kainlite/blog", "rev-parse", "master")
	for range 3 {
		c.get("/reconcile")
	}
	missing := "Deployment blog failed: image " + image + ":" + head + " is not in the registry, and its build cannot be looked up: ssh://git@" + c.Server.Addr() + "/kainlite/blog.git is not on GitHub"
	c.wantEvents("blog", append(story, "Warning ImageMissing x3 "+missing)...)

	// A Secret that is not there. What is up to date is no news.
	c.annotate("blog", "ssh_key_name", "nope")
	c.get("/reconcile")
	broken := "Deployment blog failed: read SSH key: secret gitops-operator/nope not found: create it, or correct gitops.operator.ssh_key_name and ssh_key_namespace"
	story = append(story, "Warning ImageMissing x3 "+missing, "Warning ReconcileFailed x1 "+broken)
	c.wantEvents("blog", story...)
	c.wantEvents("api", patched("api"))
	c.kill()
	c.wantEvents("blog", story...)
	if logged := c.log.with("Events"); logged != nil {
		t.Errorf("logged %q", logged)
	}
}

// With the flag but without the component, all else goes on.
func TestEventsThatAreNotAllowed(t *testing.T) {
	c := newCluster(t, "--events")
	c.deploy("blog", "api")
	code, body := c.get("/reconcile")
	if code != http.StatusOK || strings.Count(body, `"action":"patched"`) != 2 {
		t.Fatalf("%d %s", code, body)
	}
	c.wantInGit("blog")
	c.kill()
	c.wantEvents("blog")
	logged := c.log.with("Events cannot be written")
	if want := `cannot create resource \"events\"`; len(logged) != 1 || !strings.Contains(logged[0], want) || !strings.Contains(logged[0], "deploy/components/events") {
		t.Errorf("logged %q, want one line with %s", logged, want)
	}
}
