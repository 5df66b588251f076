package browser

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/gitserver"
)

var binary string

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "browser")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gitops-operator")
	cmd := exec.Command("go", "build", "-o", binary, ".")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the operator: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// stage is git repositories behind SSH, and the Deployments that name them.
type stage struct {
	t         *testing.T
	root      string
	server    *gitserver.Server
	cluster   string // the folder for --from
	manifests map[string]string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, root: t.TempDir(), cluster: t.TempDir(), manifests: map[string]string{"README": "of manifests\n"}}
	private, public, err := gitserver.NewKey()
	s.must(err)
	s.server, err = gitserver.Start(gitserver.Options{Root: s.root})
	s.must(err)
	t.Cleanup(func() { s.server.Close() })
	s.server.Authorize(public)
	s.write("ssh-key.yaml", fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: ssh-key, namespace: gitops-operator}\ndata:\n  ssh-privatekey: %s\n  known_hosts: %s\n",
		base64.StdEncoding.EncodeToString(private), base64.StdEncoding.EncodeToString(s.server.KnownHosts())))
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) write(name, text string) {
	s.t.Helper()
	s.must(os.WriteFile(filepath.Join(s.cluster, name), []byte(text), 0o600))
}

// commit adds a commit to a repository and returns it.
func (s *stage) commit(repo string, files map[string]string) string {
	s.t.Helper()
	r, err := gitrepo.Init(filepath.Join(s.root, repo+".git"), "master")
	s.must(err)
	id, err := r.Commit("master", "Change "+repo, files)
	s.must(err)
	return id
}

const oldTag = "3c0a88249fb61a0a4f4a65295f42b2dee3963c28"

// deployment adds a Deployment, and its manifest unless path is given.
func (s *stage) deployment(namespace, name, app, path string, annotations ...string) {
	s.t.Helper()
	image := "kainlite/" + name
	if path == "" {
		path = namespace + "/" + name + ".yaml"
		s.manifests[path] = fmt.Sprintf("kind: Deployment\nspec: {template: {spec: {containers: [{name: main, image: %s:%s}]}}}\n", image, oldTag)
	}
	s.write(namespace+"-"+name+".yaml", fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %s
  namespace: %s
  annotations:
    gitops.operator.app_repository: %s
    gitops.operator.manifest_repository: %s
    gitops.operator.deployment_path: %s
    gitops.operator.image_name: %s
    gitops.operator.ssh_key_name: ssh-key
    gitops.operator.ssh_key_namespace: gitops-operator
    %s
spec: {template: {spec: {containers: [{name: main, image: "%s:%s"}]}}}
`, name, namespace, s.server.URL(app+".git"), s.server.URL("kainlite/manifests.git"), path, image, strings.Join(annotations, "\n    "), image, oldTag))
}

const enabled = `gitops.operator.enabled: "true"`

// serve starts the operator and returns its URL.
func (s *stage) serve(args ...string) string {
	s.t.Helper()
	s.commit("kainlite/manifests", s.manifests)
	cmd := exec.Command(binary, append([]string{"--from", s.cluster, "--listen", "127.0.0.1:0", "--cache-dir", s.t.TempDir()}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.t.TempDir()}
	stderr, err := cmd.StderrPipe()
	s.must(err)
	s.must(cmd.Start())
	s.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		io.Copy(io.Discard, stderr)
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("the operator ended with %v", err)
		}
	})
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		var entry struct{ Address string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Address != "" {
			go io.Copy(io.Discard, stderr) // until the process ends
			return "http://" + entry.Address
		}
		s.t.Log(lines.Text())
	}
	s.t.Fatal("the operator does not listen")
	return ""
}

// post asks for a pass, as a program would.
func (s *stage) post(url, token string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, url+"/reconcile", nil)
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	s.must(err)
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("POST /reconcile: %s %v", resp.Status, err)
	}
}
