package faults

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/test/world"
)

const (
	manifests   = "kainlite/manifests"
	apps        = 4  // application repositories
	deployments = 20 // spread over them
	together    = 4  // of these share one file
	shared      = "shared.yaml"
)

// stage is a world with Deployments, and the books about what should be in the
// manifests branch. The operators reach that repository through a proxy.
type stage struct {
	*world.World
	t       *testing.T
	row     *row
	proxy   *proxy
	cluster string // for --from
	cache   string
	good    string            // the branch when it was last found in order
	heads   map[string]string // application repository -> its commit
	wanted  map[change]bool   // every change that was ever wanted, by all that is known
	big     string            // a comment that makes the shared file large
	date    int64             // of others' commits, in seconds since 1970; 0: now
	view    string            // where this process sees the cache; empty: where it is

	mu      sync.Mutex
	foreign map[string]bool     // commits of others
	notes   map[string][]string // lines that others added to files
}

// change is a wanted one: a Deployment's tag.
type change struct{ deployment, tag string }

func newStage(t *testing.T, r *row) *stage { return newBigStage(t, r, 0) }

// newBigStage is newStage with a shared file of so many bytes more.
func newBigStage(t *testing.T, r *row, size int) *stage {
	s := &stage{
		World: world.New(t), t: t, row: r, cluster: t.TempDir(), cache: filepath.Join(t.TempDir(), "cache"),
		heads: map[string]string{}, wanted: map[change]bool{}, foreign: map[string]bool{}, notes: map[string][]string{},
	}
	random := newRandom(t)
	var big strings.Builder
	for big.Len() < size {
		fmt.Fprintf(&big, "# %016x%016x%016x%016x\n", random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64())
	}
	s.big = big.String()
	var err error
	if s.proxy, err = startProxy(s.Server.Addr()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.proxy.close)
	for i := range apps {
		s.App(app(i))
	}
	files := map[string]string{}
	for i := range deployments {
		files[file(i)] = s.text(file(i), func(int) string { return "old" })
	}
	s.good = s.Commit(manifests, files)
	s.foreign[s.good] = true
	s.git("branch", "another") // a repository without branches is called empty
	s.writeCluster(s.proxy.addr())
	return s
}

func app(i int) string  { return fmt.Sprintf("kainlite/app%d", i%apps) }
func name(i int) string { return fmt.Sprintf("d%02d", i) }

func file(i int) string {
	if i < together {
		return shared
	}
	return name(i) + ".yaml"
}

// text is what a file of the manifests repository should be.
func (s *stage) text(path string, tag func(i int) string) string {
	var b strings.Builder
	if path == shared {
		b.WriteString(s.big)
	}
	b.WriteString("apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n")
	for i := range deployments {
		if file(i) == path {
			fmt.Fprintf(&b, "        - {name: %s, image: \"kainlite/%s:%s\"} # moved by the operator\n", name(i), name(i), tag(i))
		}
	}
	for _, note := range s.notes[path] {
		b.WriteString(note)
	}
	return b.String()
}

// writeCluster writes the Deployments, whose manifests are at the host.
func (s *stage) writeCluster(host string) {
	s.t.Helper()
	var b strings.Builder
	for i := range deployments {
		fmt.Fprintf(&b, `---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: %s
  namespace: default
  annotations:
    gitops.operator.enabled: "true"
    gitops.operator.app_repository: %s
    gitops.operator.manifest_repository: ssh://git@%s/%s.git
    gitops.operator.deployment_path: %s
    gitops.operator.image_name: kainlite/%s
    gitops.operator.ssh_key_name: ssh-key
    gitops.operator.ssh_key_namespace: gitops-operator
spec:
  template:
    spec:
      containers:
        - {name: main, image: "kainlite/%s:old"}
`, name(i), s.Server.URL(app(i)+".git"), host, manifests, file(i), name(i), name(i))
	}
	hosts := string(s.Server.KnownHosts())
	_, key, _ := strings.Cut(hosts, " ")
	_, port, _ := strings.Cut(s.proxy.addr(), ":")
	hosts += "[127.0.0.1]:" + port + " " + key
	b.WriteString("---\napiVersion: v1\nkind: Secret\nmetadata: {name: ssh-key, namespace: gitops-operator}\nstringData:\n")
	for k, v := range map[string]string{"ssh-privatekey": string(s.Private), "known_hosts": hosts} {
		fmt.Fprintf(&b, "  %s: |\n    %s\n", k, strings.ReplaceAll(strings.TrimSpace(v), "\n", "\n    "))
	}
	path := filepath.Join(s.cluster, "cluster.yaml")
	if err := os.WriteFile(path+".new", []byte(b.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

// advance commits to every application: now every Deployment is to be changed.
func (s *stage) advance() {
	s.t.Helper()
	for i := range apps {
		s.heads[app(i)] = s.Commit(app(i), map[string]string{"main.go": strconv.Itoa(len(s.wanted)) + "\n"})
	}
	for i := range deployments {
		s.wanted[change{name(i), s.heads[app(i)]}] = true
	}
}

// git runs git on the manifests repository; what fails is reported.
func (s *stage) git(args ...string) string {
	out, err := s.Repo(manifests).Git(args...)
	if err != nil {
		s.t.Error(err)
	}
	return out
}

// person pushes a commit that adds a line to a file, on top of whatever is
// there, as often as it takes.
func (s *stage) person(path string) {
	for !s.t.Failed() {
		head := s.git("rev-parse", "master")
		note := fmt.Sprintf("# seen by a person at %s\n", head)
		old, err := s.Repo(manifests).Git("cat-file", "blob", head+":"+path)
		if err == nil {
			old += "\n" // which Git cuts off
		}
		if id, ok := s.write("refs/heads/master", head, path, old+note); ok {
			s.note(id, path, note)
			return
		}
	}
}

// note enters a person's commit, with the line it added, into the books.
func (s *stage) note(id, path, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.foreign[id] = true
	s.notes[path] = append(s.notes[path], line)
}

// write makes a commit of one file on top of parent and moves a branch from
// there to it; ok is false when that has moved.
func (s *stage) write(ref, parent, path, content string) (id string, ok bool) {
	const message = "A person's commit\n"
	date := cmp.Or(s.date, time.Now().Unix())
	var in bytes.Buffer
	fmt.Fprintf(&in, "commit %s\nmark :1\ncommitter A Person <person@localhost> %d +0000\ndata %d\n%sfrom %s\nM 100644 inline %s\ndata %d\n%s\nget-mark :1\ndone\n",
		ref, date, len(message), message, parent, path, len(content), content)
	cmd := exec.Command("git", "--git-dir="+s.Repo(manifests).Dir, "fast-import", "--quiet", "--done", "--date-format=raw")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C"}
	cmd.Stdin = &in
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err == nil
}

// rewrite force-pushes: the branch becomes the one that was last in order, with
// a person's commit on top. Whatever was pushed since is gone, as that person
// wanted.
func (s *stage) rewrite() {
	const path, line = "notes.txt", "# rewritten\n"
	old, err := s.Repo(manifests).Git("cat-file", "blob", s.good+":"+path)
	if err == nil {
		old += "\n"
	}
	s.git("update-ref", "refs/heads/rewritten", s.good)
	id, ok := s.write("refs/heads/rewritten", s.good, path, old+line)
	if !ok {
		s.t.Error("a person's force-push failed")
		return
	}
	s.git("update-ref", "refs/heads/master", id)
	s.git("update-ref", "-d", "refs/heads/rewritten")
	s.note(id, path, line)
}
