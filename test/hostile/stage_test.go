package hostile

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/fakes"
	"github.com/kainlite/gitops-operator/test/world"
)

// stage is a world with the operator in it, as a process of its own. All that
// it may touch is below fence; what git and ssh were called with is recorded.
type stage struct {
	*world.World
	t       *testing.T
	fence   string // home, tmp, work, cache, cluster, canary
	records string // what the programs on its PATH were called with
	slack   *fakes.Slack
	head    string            // of the application
	at      map[string]string // images in hostile registries, by case

	cmd     *exec.Cmd
	url     string
	stdout  bytes.Buffer
	log     syncBuffer
	ended   chan struct{}
	client  http.Client
	token   string // what to show to the operator
	planted string // in its environment
}

// programDir is where program is, once somebody has asked for it.
var programDir string

func TestMain(m *testing.M) {
	code := m.Run()
	if programDir != "" {
		os.RemoveAll(programDir)
	}
	os.Exit(code)
}

// program builds the operator, once. Without the race detector: what counts is
// the memory that the shipped program takes.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "hostile-")
	if err != nil {
		return "", err
	}
	programDir = dir
	file := filepath.Join(dir, "gitops-operator")
	if out, err := exec.Command("go", "build", "-C", "../..", "-o", file, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return file, nil
})

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{World: world.New(t), t: t, fence: t.TempDir(), records: t.TempDir(), ended: make(chan struct{}), at: map[string]string{}}
	for _, dir := range []string{"home", "tmp", "work", "cache", "cluster", "canary", "path"} {
		s.must(os.Mkdir(filepath.Join(s.fence, dir), 0o700))
	}
	var err error
	s.slack, err = fakes.NewSlack()
	s.must(err)
	t.Cleanup(s.slack.Close)
	s.head = s.App(app)
	s.secret("ssh-key", s.Secrets[world.SSHSecret])
	s.secret("slack", map[string][]byte{"webhook-url": []byte(s.slack.Webhook())})
	for _, name := range []string{"git", "ssh"} {
		s.record(name)
	}
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// record puts a program on the operator's PATH that notes its arguments and its
// environment and then becomes the real one; git also notes each child it starts.
func (s *stage) record(name string) {
	s.t.Helper()
	real, err := exec.LookPath(name)
	s.must(err)
	base := filepath.Join(s.records, name)
	script := fmt.Sprintf(`#!/bin/sh
{ printf '%%s\n' "$0" "$@"; printf '\0'; } >>'%[1]s'.$$.argv
/bin/cat /proc/$$/environ >>'%[1]s'.$$.env
GIT_TRACE2_EVENT='%[1]s'.$$.trace; export GIT_TRACE2_EVENT
exec '%[2]s' "$@"
`, base, real)
	s.must(os.WriteFile(filepath.Join(s.fence, "path", name), []byte(script), 0o755))
}

// secret adds a Secret to the namespace gitops-operator.
func (s *stage) secret(name string, data map[string][]byte) {
	s.t.Helper()
	encoded := map[string]string{}
	for k, v := range data {
		encoded[k] = base64.StdEncoding.EncodeToString(v)
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]string{"name": name, "namespace": "gitops-operator"}, "data": encoded,
	})
	s.must(err)
	s.cluster("secret-"+name, string(text)+"\n")
}

func (s *stage) cluster(name, text string) {
	s.t.Helper()
	s.must(os.WriteFile(filepath.Join(s.fence, "cluster", name+".yaml"), []byte(text), 0o600))
}

// annotations are a healthy Deployment's whose manifest is at name.yaml.
func (s *stage) annotations(manifests, name string, edit map[string]string) map[string]string {
	a := map[string]string{
		"enabled":                   "true",
		"app_repository":            s.Server.URL(app + ".git"),
		"manifest_repository":       s.Server.URL(manifests + ".git"),
		"deployment_path":           name + ".yaml",
		"image_name":                image,
		"ssh_key_name":              "ssh-key",
		"ssh_key_namespace":         "gitops-operator",
		"notifications_secret_name": "slack",
	}
	maps.Copy(a, edit)
	return a
}

// start runs the operator until the test ends.
func (s *stage) start(args ...string) {
	s.t.Helper()
	file, err := program()
	s.must(err)
	dir := func(name string) string { return filepath.Join(s.fence, name) }
	s.cmd = exec.Command(file, append([]string{"serve", "--listen", "127.0.0.1:0", "--from", dir("cluster"),
		"--cache-dir", dir("cache"), "--log-level", "debug"}, args...)...)
	s.cmd.Dir = dir("work")
	s.cmd.Env = []string{"PATH=" + dir("path"), "HOME=" + dir("home"), "TMPDIR=" + dir("tmp"), "PLANTED=" + s.planted}
	s.cmd.Stdout = &s.stdout
	stderr, err := s.cmd.StderrPipe()
	s.must(err)
	s.must(s.cmd.Start())
	address := make(chan string, 1)
	go func() {
		defer close(s.ended)
		defer close(address)
		lines := bufio.NewReader(stderr)
		for {
			line, err := lines.ReadString('\n')
			s.log.WriteString(line)
			var entry struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" {
				address <- entry.Address
			}
			if err != nil {
				return
			}
		}
	}()
	s.t.Cleanup(s.stop)
	listening, ok := <-address
	if !ok {
		s.t.Fatalf("the operator did not start: %s", s.log.String())
	}
	s.url = "http://" + listening
}

// stop ends the operator as Kubernetes does.
func (s *stage) stop() {
	if s.cmd == nil || s.cmd.ProcessState != nil {
		return
	}
	s.client.CloseIdleConnections()
	s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.ended
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("the operator ended with %v: %.2000s", err, s.log.String())
	}
}

// get asks the operator.
func (s *stage) get(path string) string {
	s.t.Helper()
	request, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	s.must(err)
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	response, err := s.client.Do(request)
	s.must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	s.must(err)
	return string(body)
}

// pass reconciles the named Deployments, or all, and returns the results by name.
func (s *stage) pass(names ...string) map[string]reconcile.Result {
	s.t.Helper()
	path := "/reconcile"
	for i, name := range names {
		path += map[bool]string{true: "?", false: "&"}[i == 0] + "deployment=default/" + name
	}
	body := s.get(path)
	var list []reconcile.Result
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		s.t.Fatalf("%v: %.500s", err, body)
	}
	results := map[string]reconcile.Result{}
	for _, r := range list {
		results[r.Deployment] = r
	}
	return results
}

// resetPeak makes the kernel forget the operator's peak of memory; peak returns
// it in MiB.
func (s *stage) resetPeak() {
	s.t.Helper()
	s.must(os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0))
}

func (s *stage) peak() int {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	s.must(err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	s.must(err)
	return kib >> 10
}

// syncBuffer is a buffer for a goroutine that writes and others that read.
type syncBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (b *syncBuffer) WriteString(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.WriteString(s)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
