package container

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/gitserver"
	"github.com/kainlite/gitops-operator/test/sshd"
	"github.com/kainlite/gitops-operator/test/world"
)

// guard is how long anything may take, so that a test that hangs ends.
const guard = 2 * time.Minute

// operator is a running container.
type operator struct {
	cmd   *exec.Cmd
	url   string
	ended chan error

	mu  sync.Mutex
	log strings.Builder
}

// start runs the container and waits until the operator listens.
func start(t *testing.T, s spec) *operator {
	t.Helper()
	cmd, err := s.command()
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{cmd: cmd, ended: make(chan error, 1)}
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			var entry struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "listening" {
				listening <- entry.Address
			}
			o.mu.Lock()
			fmt.Fprintln(&o.log, lines.Text())
			o.mu.Unlock()
		}
		o.ended <- cmd.Wait()
		close(o.ended)
		close(listening)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-o.ended
		if t.Failed() {
			t.Log(o.text())
		}
	})
	address, ok := <-listening
	if !ok {
		t.Fatalf("the operator did not start: %s", o.text())
	}
	o.url = "http://" + address
	return o
}

func (o *operator) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.log.String()
}

// get asks until the operator answers with 200.
func (o *operator) get(t *testing.T, path string) []byte {
	t.Helper()
	client := &http.Client{Timeout: guard, Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(guard); ; time.Sleep(50 * time.Millisecond) {
		resp, err := client.Get(o.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			t.Fatal(err)
		case resp.StatusCode == http.StatusOK:
			return body
		case resp.StatusCode != http.StatusServiceUnavailable || time.Now().After(deadline):
			t.Fatalf("%s: %s: %s", path, resp.Status, body)
		}
	}
}

// patched asks for a pass that must move every one of n Deployments.
func (o *operator) patched(t *testing.T, n int) {
	t.Helper()
	body := o.get(t, "/reconcile?wait=50s") // as the readiness probe does
	var results []reconcile.Result
	if err := json.Unmarshal(body, &results); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if len(results) != n {
		t.Fatalf("%d results: %s", len(results), body)
	}
	for _, r := range results {
		if r.Action != "patched" || r.Status != "success" {
			t.Errorf("%s: %s %s: %s", r.Deployment, r.Action, r.Status, r.Message)
		}
	}
}

// stop ends the operator as Kubernetes does.
func (o *operator) stop(t *testing.T) {
	t.Helper()
	o.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-o.ended; err != nil {
		t.Errorf("the operator ended with %v", err)
	}
}

// requireMounts skips a test, or fails it in CI, where nothing can be mounted.
func requireMounts(t *testing.T) {
	t.Helper()
	out, err := exec.Command("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", t.TempDir()).CombinedOutput()
	if err == nil && os.Getuid() == 0 {
		return
	}
	if os.Getenv("TEST_REQUIRE_MOUNT") != "" {
		t.Fatalf("nothing can be mounted here: %v: %s, and TEST_REQUIRE_MOUNT is set: run as root", err, out)
	}
	t.Skipf("nothing can be mounted here: %v: %s: run as root", err, out)
}

// cluster writes Deployments with their Secret for --from; all are in one
// manifests repository.
func cluster(t *testing.T, w *world.World, server *sshd.Server, names []string) string {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, `---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
  namespace: default
  annotations:
    gitops.operator.enabled: "true"
    gitops.operator.app_repository: %[2]s
    gitops.operator.manifest_repository: %[3]s
    gitops.operator.deployment_path: %[1]s.yaml
    gitops.operator.image_name: kainlite/%[1]s
    gitops.operator.ssh_key_name: ssh-key
    gitops.operator.ssh_key_namespace: gitops-operator
spec:
  template:
    spec:
      containers:
      - {name: main, image: "kainlite/%[1]s:old"}
`, name, server.URL(w.Repo("kainlite/"+name).Dir), server.URL(w.Repo("kainlite/manifests").Dir))
	}
	fmt.Fprintf(&b, `---
apiVersion: v1
kind: Secret
metadata: {name: ssh-key, namespace: gitops-operator}
stringData:
  ssh-privatekey: %q
  known_hosts: %q
`, w.Private, server.KnownHosts())
	if err := os.WriteFile(filepath.Join(dir, "cluster.yaml"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAsTheContainerRunsIt takes git and ssh from PATH, so that it can be run
// with the newest of both.
func TestAsTheContainerRunsIt(t *testing.T) {
	requireMounts(t)
	private, public, err := gitserver.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	server := sshd.Start(t, public, "SetEnv PATH="+os.Getenv("PATH"))
	w := &world.World{T: t, Root: t.TempDir(), Private: private}
	names := []string{"api", "blog", "shop"}
	heads := map[string]string{}
	advance := func() {
		for _, name := range names {
			heads[name] = w.Commit("kainlite/"+name, map[string]string{"main.go": time.Now().String()})
		}
	}
	arrived := func() {
		t.Helper()
		for _, name := range names {
			if got := w.File("kainlite/manifests", name+".yaml"); !strings.Contains(got, heads[name]) {
				t.Errorf("%s is not at %s:\n%s", name, heads[name], got)
			}
		}
	}
	files := map[string]string{}
	for _, name := range names {
		files[name+".yaml"] = world.Manifest(name, "kainlite/"+name+":old")
	}
	w.Commit("kainlite/manifests", files)
	advance()

	dir := t.TempDir()
	s := pod(t, build(t), dir, "--from", "/cluster", "--listen", "127.0.0.1:0")
	s.Mounts = append(s.Mounts, mount{Path: "/cluster", Source: cluster(t, w, server, names), ReadOnly: true})
	sameVersions(t, s)
	o := start(t, s)
	o.get(t, "/health")
	o.patched(t, len(names))
	arrived()
	confined(t, o, s)
	before := mirrors(t, dir)
	o.stop(t)

	// Another one goes on with the same cache.
	advance()
	o = start(t, s)
	o.get(t, "/health")
	o.patched(t, len(names))
	arrived()
	if after := mirrors(t, dir); after != before {
		t.Errorf("the mirrors were %s, and are %s after the restart", before, after)
	}
	o.stop(t)
}

// sameVersions checks that the container has the git and the ssh of PATH.
func sameVersions(t *testing.T, s spec) {
	t.Helper()
	const script = "git --version && ssh -V"
	want, err := exec.Command("sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, want)
	}
	s.Argv = []string{"/bin/sh", "-c", script}
	cmd, err := s.command()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cmd.CombinedOutput(); err != nil || string(got) != string(want) {
		t.Fatalf("the container has %s (%v), want %s", got, err, want)
	}
	t.Logf("with %s", want)
}

// mirrors lists the mirrors of the cache's volume with their inodes: one that
// was cloned again has another.
func mirrors(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "volumes", "cache", "*", "manifests-*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("mirrors %v, %v", found, err)
	}
	st, err := os.Stat(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s (inode %d)", found[0], st.Sys().(*syscall.Stat_t).Ino)
}

// confined checks that the container is what it claims to be, by what the
// kernel says of its processes.
func confined(t *testing.T, o *operator, s spec) {
	t.Helper()
	outside := fmt.Sprintf("/proc/%d/root", o.cmd.Process.Pid)
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", o.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var pid string
	for _, file := range tasks {
		children, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, child := range strings.Fields(string(children)) {
			if name, err := os.ReadFile("/proc/" + child + "/comm"); err == nil && string(name) == filepath.Base(program)+"\n" {
				pid = child
			}
		}
	}
	if pid == "" {
		t.Fatal("the operator is not in the container")
	}
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", s.UID), "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n",
	} {
		if !strings.Contains(string(status), want) {
			t.Errorf("%q is missing in:\n%s", want, status)
		}
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(outside+"/dev/shm", &fs); err != nil || int64(fs.Blocks)*fs.Bsize != 16<<20 {
		t.Errorf("/dev/shm has %d bytes, %v", int64(fs.Blocks)*fs.Bsize, err)
	}
	for _, path := range []string{"/", "/usr", "/home/gitops-operator/.ssh", "/cluster"} {
		if err := syscall.Statfs(outside+path, &fs); err != nil || fs.Flags&syscall.MS_RDONLY == 0 {
			t.Errorf("%s is not read-only (%v)", path, err)
		}
	}
	environ, err := os.ReadFile("/proc/" + pid + "/environ")
	if got, want := strings.ReplaceAll(string(environ), "\x00", "\n"), strings.Join(s.Env, "\n")+"\n"; err != nil || got != want {
		t.Errorf("environment (%v):\n%s\nwant:\n%s", err, got, want)
	}
}
