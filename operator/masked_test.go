package operator_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kainlite/gitops-operator/test/world"
)

// Somebody writes a password into each annotation in turn, where none belongs.
// It is shown nowhere: not in /debug, /status, the page, a result, a log line.
func TestPasswordsInAnnotationsAreShownNowhere(t *testing.T) {
	const planted = "planted-password"
	values := []string{
		"https://me:" + planted + "@127.0.0.1:1/kainlite/x.git",
		"ssh://git:" + planted + "@127.0.0.1:1/kainlite/x.git",
		"git:" + planted + "@127.0.0.1:kainlite/x.git",
		`https://me:"` + planted + ` x@127.0.0.1:1/kainlite/x.git`,
		"https://127.0.0.1:1/?token=" + planted,
		"ghp_0123456789abcdef0123456789abcdef0123",
	}
	w := world.New(t)
	w.App("kainlite/blog")
	w.Commit("kainlite/manifests", map[string]string{"blog.yaml": world.Manifest("blog", "kainlite/blog:old")})
	all := w.Annotations("blog", map[string]string{
		"observe_branch": "x", "tag_type": "x", "notifications_secret_name": "x", "notifications_secret_namespace": "x",
		"registry_secret_url": "x", "registry_secret_name": "x", "registry_secret_namespace": "x",
		"github_token_secret_name": "x", "github_token_secret_namespace": "x", "unknown": "x",
	})
	good := w.Annotations("blog", nil)
	cluster := t.TempDir()
	put := func(annotations map[string]string) {
		t.Helper()
		b, err := json.Marshal(map[string]any{"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": map[string]any{"name": "blog", "annotations": annotations},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
				map[string]any{"name": "blog", "image": annotations["gitops.operator.image_name"]}}}}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(cluster, "blog.yaml"), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secret, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]any{"namespace": "gitops-operator", "name": "ssh-key"}, "data": w.Secrets[world.SSHSecret]})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cluster, "key.yaml"), secret, 0o600); err != nil {
		t.Fatal(err)
	}
	put(good)

	var log bytes.Buffer
	opt := options(t, cluster)
	opt.Workers, opt.DryRun, opt.Log = 1, true, logTo(t, &log, "debug", "json")
	o := start(t, opt)
	get := func(path string) string {
		t.Helper()
		r := httptest.NewRecorder()
		o.handler.ServeHTTP(r, httptest.NewRequest("GET", path, nil))
		if r.Code != 200 {
			t.Errorf("%s: %d %s", path, r.Code, r.Body)
		}
		return r.Body.String()
	}
	if got := get("/reconcile"); !strings.Contains(got, `"action":"patched"`) {
		t.Fatalf("the stage is broken: %s", got)
	}
	answers := map[string]string{}
	for name := range all {
		for _, value := range values {
			annotations := maps.Clone(good)
			annotations[name] = value
			// A copy of all, as kubectl keeps it.
			annotations["kubectl.kubernetes.io/last-applied-configuration"] = `{"env":[{"name":"PASSWORD","value":"` + planted + `"}],"x":"` + value + `"}`
			annotations["example.org/other"] = value
			put(annotations)
			for _, path := range []string{"/reconcile", "/status", "/debug", "/", "/api/v1/deployments"} {
				answers[name+" is "+value+": "+path] = get(path)
			}
			if got := answers[name+" is "+value+": /debug"]; !strings.Contains(got, "kubectl.kubernetes.io/last-applied-configuration") && !strings.Contains(get("/status"), "not tracked") {
				t.Errorf("%s: an annotation is missing in /debug: %s", name, got)
			}
		}
	}
	o.Stop()
	answers["log"] = log.String()
	for where, text := range answers {
		for _, secret := range []string{planted, "ghp_0123456789"} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s: %s", where, text[max(0, i-200):min(len(text), i+100)])
			}
		}
	}
	t.Logf("%d answers, %d bytes of log", len(answers)-1, log.Len())
}
