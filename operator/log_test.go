package operator_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kainlite/gitops-operator/operator"
	"github.com/kainlite/gitops-operator/test/world"
)

// stageOf writes the Deployments and the key of a world as files, and returns
// options that take them from there.
func stageOf(t *testing.T, w *world.World, deployments map[string]map[string]string) operator.Options {
	t.Helper()
	cluster := t.TempDir()
	put := func(name string, v any) {
		t.Helper()
		b, err := json.Marshal(v) // which is YAML
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(cluster, name+".yaml"), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for key, data := range w.Secrets {
		namespace, name, _ := strings.Cut(key, "/")
		put("secret-"+name, corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: data})
	}
	for name, edit := range deployments {
		put(name, map[string]any{"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": map[string]any{"name": name, "annotations": w.Annotations(name, edit)}})
	}
	return options(t, cluster)
}

// ask sends a request with a name and returns the answer.
func ask(t *testing.T, o served, path, id string) string {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	req.Header.Set("X-Request-Id", id)
	w := httptest.NewRecorder()
	o.handler.ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// logged runs the operator over one Deployment that changes, and one that
// cannot, and returns its log.
func logged(t *testing.T, level, format string) string {
	t.Helper()
	w := world.New(t)
	w.App("kainlite/blog")
	w.Commit("kainlite/manifests", map[string]string{"blog.yaml": world.Manifest("blog", "kainlite/blog:old")})
	opt := stageOf(t, w, map[string]map[string]string{"blog": nil, "lost": {"app_repository": w.Server.URL("kainlite/blog.git")}})
	var log bytes.Buffer
	opt.Log = logTo(t, &log, level, format)
	o := start(t, opt)
	ask(t, o, "/reconcile", "deploy-1")
	ask(t, o, "/reconcile", "deploy-2")
	o.Stop()
	return log.String()
}

// known are the keys that a line may have, the first four always.
var known = []string{"time", "level", "target", "msg", "request_id", "deployment", "namespace", "repository", "branch", "commit", "duration", "error",
	"args", "exit_code", "bytes", "from", "to", "path", "image", "host", "age", "deployments", "repeated", "stack", "value"}

func TestLogLinesHaveTheirKeys(t *testing.T) {
	text := logged(t, "debug", "json")
	commands := map[string]bool{}
	for line := range strings.Lines(text) {
		keys := topKeys(t, line)
		for _, must := range known[:4] {
			if !slices.Contains(keys, must) {
				t.Errorf("no %s: %s", must, line)
			}
		}
		for i, k := range keys {
			if !slices.Contains(known, k) || slices.Contains(keys[:i], k) {
				t.Errorf("key %s: %s", k, line)
			}
		}
		var entry struct {
			Time, Target, Msg, Error string
			RequestID                string `json:"request_id"`
			Args                     []string
			Duration                 *float64
			ExitCode, Bytes          *int
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if _, err := time.Parse(time.RFC3339, entry.Time); err != nil {
			t.Error(err)
		}
		if entry.Msg == "git" && !slices.Contains(entry.Args, "-h") { // but the check at the start
			if entry.RequestID != "deploy-1" && entry.RequestID != "deploy-2" {
				t.Errorf("whose command is it? %s", line)
			}
			if entry.Duration == nil || !strings.Contains(line, `"exit_code":`) || !strings.Contains(line, `"bytes":`) {
				t.Errorf("no duration, exit code or bytes: %s", line)
			}
			for _, arg := range entry.Args {
				if slices.Contains([]string{"clone", "fetch", "ls-remote", "fast-import", "push", "cat-file"}, arg) {
					commands[arg+" for "+entry.RequestID] = true
				}
			}
		}
	}
	for _, want := range []string{"clone for deploy-1", "ls-remote for deploy-1", "cat-file for deploy-1", "fast-import for deploy-1", "push for deploy-1", "ls-remote for deploy-2"} {
		if !commands[want] {
			t.Errorf("no %s in %v", want, commands)
		}
	}
	if strings.Contains(text, "PRIVATE KEY") {
		t.Error("a key is in the log")
	}
}

// topKeys returns the keys of a JSON object in their order, repeated ones too.
func topKeys(t *testing.T, line string) (keys []string) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(line))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		t.Fatalf("not JSON: %s", line)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// At info, a pass costs one line, and one for each Deployment that changed or
// failed; what failed before is quiet. People read it through jq.
func TestLogReadsWell(t *testing.T) {
	jq, err := exec.LookPath("jq")
	if err != nil {
		if os.Getenv("TEST_REQUIRE_JQ") != "" {
			t.Fatal(err)
		}
		t.Skip("no jq")
	}
	read := exec.Command(jq, "-R", "-r", `. as $line | try (fromjson | .time + " " + .msg + " " + .target) catch $line`)
	read.Stdin = io.MultiReader(strings.NewReader("not JSON\n"), strings.NewReader(logged(t, "info", "json")))
	out, err := read.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const at = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d) `
	want := regexp.MustCompile(`^not JSON
` + at + `Deployments: 2 tracked, 0 not tracked httpapi
` + at + `Deployment lost failed: patch lost.yaml of ssh://\S+ branch master: no such file: correct gitops.operator.deployment_path reconcile
` + at + `Deployment blog patched successfully to version [0-9a-f]{40} reconcile
` + at + `pass: 1 failed, 1 patched httpapi
` + at + `pass: 1 failed, 1 up_to_date httpapi
$`)
	if !want.Match(out) {
		t.Errorf("got:\n%s\nwant:\n%s", out, want)
	}
}

func TestConsoleLogReadsWell(t *testing.T) {
	text := logged(t, "info", "console")
	want := regexp.MustCompile(`(?m)^\d{4}-\S+\tINFO\treconcile\tDeployment blog patched successfully to version [0-9a-f]{40}\t\{"deployment": "blog", "namespace": "default", "request_id": "deploy-1", .*"repository": "ssh://\S+", "branch": "master", .*"commit": "[0-9a-f]{40}"\}$`)
	if !want.MatchString(text) || !strings.Contains(text, "\tINFO\thttpapi\tpass: 1 failed, 1 up_to_date\t{\"request_id\": \"deploy-2\", \"duration\": \"") {
		t.Errorf("got:\n%s", text)
	}
}
