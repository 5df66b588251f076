package deploycheck

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// The operator's own word on what deploy/ says about it.
func TestOperatorUnderstandsItsDeployment(t *testing.T) {
	binary := buildBinary(t, ocispecs.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH})
	t.Run("every variable is a flag", func(t *testing.T) {
		help, err := exec.CommandContext(t.Context(), binary, "serve", "--help").Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range installs {
			checked := 0
			files := deployFiles(t)
			if dir == "deploy" {
				addEvents(t, files, dir, "components/events")
			}
			for name := range environment(container(t, decode(t, render(t, files, dir)))) {
				flag, ok := strings.CutPrefix(name, "GITOPS_OPERATOR_")
				if !ok {
					continue
				}
				checked++
				if flag = strings.ToLower(strings.ReplaceAll(flag, "_", "-")); !strings.Contains(string(help), "\n  -"+flag+" ") && !strings.Contains(string(help), "\n  -"+flag+"\n") {
					t.Errorf("%s: %s: serve has no flag --%s", dir, name, flag)
				}
			}
			if checked == 0 {
				t.Errorf("%s: no variable is for the operator", dir)
			}
		}
	})
	for _, dir := range installs {
		t.Run("every probe is answered in "+dir, func(t *testing.T) {
			// Without the annotations of overlays/self, which name remote repositories.
			c := container(t, install(t, dir))
			url := serve(t, binary, environment(c), render(t, deployFiles(t), "deploy/base"))
			for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
				if code, body := get(t, url+p.HTTPGet.Path); code != http.StatusOK {
					t.Errorf("%s: %d %s", p.HTTPGet.Path, code, body)
				}
			}
		})
	}
	t.Run("overlays/self is tracked, with these settings", func(t *testing.T) {
		rendered := render(t, deployFiles(t), "deploy/overlays/self")
		url := serve(t, binary, environment(container(t, decode(t, rendered))), rendered)
		_, body := get(t, url+"/debug")
		var tracked []struct {
			Name, Namespace, Container, Version string
			Config                              map[string]any
		}
		if err := json.Unmarshal([]byte(body), &tracked); err != nil || len(tracked) != 1 {
			t.Fatalf("%v: %s", err, body)
		}
		d := tracked[0]
		image := d.Container + ":" + d.Version
		if d.Name != "gitops-operator" || d.Namespace != "gitops-operator" || image != container(t, decode(t, rendered)).Image {
			t.Errorf("tracks %s", body)
		}
		for key, want := range map[string]any{
			"enabled": true, "tag_type": "long", "image_name": "kainlite/gitops-operator",
			"app_repository":      "git@github.com:kainlite/gitops-operator.git",
			"manifest_repository": "git@github.com:kainlite/gitops-operator-manifests.git",
			"deployment_path":     "app/00-deployment.yaml",
			"ssh_key_name":        "ssh-key", "ssh_key_namespace": "gitops-operator",
		} {
			if d.Config[key] != want {
				t.Errorf("%s is %v", key, d.Config[key])
			}
		}
		if _, status := get(t, url+"/status"); !strings.Contains(status, "tracked deployments: 1\n") || strings.Contains(status, "unknown") {
			t.Errorf("status:\n%s", status)
		}
	})
	// Its comments tell to commit the rendered overlay where its annotations say.
	t.Run("overlays/self is a file whose tag it can move", func(t *testing.T) {
		rendered := render(t, deployFiles(t), "deploy/overlays/self")
		name := one[*appsv1.Deployment](t, decode(t, rendered)).Annotations["gitops.operator.image_name"]
		file := filepath.Join(t.TempDir(), "deployment.yaml")
		if err := os.WriteFile(file, rendered, 0o600); err != nil {
			t.Fatal(err)
		}
		const tag = "e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5"
		if out, err := exec.CommandContext(t.Context(), binary, "patch", "--image", name, "--tag", tag, "--write", file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Replace(string(rendered), "image: "+name+":latest\n", "image: "+name+":"+tag+"\n", 1); string(got) != want {
			t.Errorf("got:\n%s", got)
		}
	})
}

// serve runs the operator with the container's variables on the given objects,
// and returns its URL.
func serve(t *testing.T, binary string, env map[string]string, objects []byte) string {
	t.Helper()
	from := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(from, objects, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "--from", from, "--listen", "127.0.0.1:0")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for k, v := range env {
		if _, err := os.Stat(v); err != nil && strings.HasPrefix(v, "/") {
			v = t.TempDir() // in place of a volume
		}
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		io.Copy(io.Discard, stderr)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the operator ended with %v", err)
		}
	})
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		var entry struct{ Address string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Address != "" {
			return "http://" + entry.Address
		}
		t.Log(lines.Text())
	}
	t.Fatal("the operator does not listen")
	return ""
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
