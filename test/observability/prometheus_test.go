package observability

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds the wait for what must come.
const patience = 3 * time.Minute

// envRequire makes a test fail where it would be skipped.
const envRequire = "TEST_REQUIRE_PROMETHEUS"

func program(t *testing.T, name string) string {
	t.Helper()
	file, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv(envRequire) != "" {
			t.Fatal(err)
		}
		t.Skipf("no %s: apt-get install prometheus, or set PATH", name)
	}
	return file
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %s\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// start starts a program that ends with the test, and hands its output on line
// by line.
func start(t *testing.T, cmd *exec.Cmd, line func(string)) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var reader sync.WaitGroup
	reader.Go(func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			line(lines.Text())
		}
		io.Copy(io.Discard, r) // after a line that was too long
	})
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		reader.Wait()
		r.Close()
	})
}

// stage is the demo, which goes on: real git over real SSH, with an operator.
type stage struct {
	t        *testing.T
	operator string // its URL
	dir      string
	n        int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "gitops-operator")
	run(t, "go", "build", "-C", root, "-o", binary, ".")
	cmd := exec.Command(binary, "demo", "--keep")
	cmd.Env = append(os.Environ(), "GITOPS_OPERATOR_METRICS_PER_DEPLOYMENT=true", "TMPDIR="+t.TempDir())
	s := &stage{t: t}
	var told []string
	ready := make(chan bool, 1)
	at := regexp.MustCompile(`The operator is at (http://\S+)\. .* are in (\S+)/cluster\.`)
	start(t, cmd, func(line string) {
		if told = append(told, line); len(told) < 100 {
			if m := at.FindStringSubmatch(line); m != nil {
				s.operator, s.dir = m[1], m[2]
			}
			if strings.HasPrefix(line, "Everything keeps running") {
				ready <- true
			}
		}
	})
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatalf("the demo does not come up:\n%s", strings.Join(told, "\n"))
	}
	return s
}

func (s *stage) write(name, text string, mode os.FileMode) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
}

// like makes a Deployment of the blog's, with other values in it.
func (s *stage) like(name string, replace ...string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "cluster", "blog.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(text), replace[i]) {
			s.t.Fatalf("blog.yaml has no %q", replace[i])
		}
	}
	s.write("cluster/"+name+".yaml", strings.NewReplacer(append(replace, "name: blog\n", "name: "+name+"\n")...).Replace(string(text)), 0o600)
}

// commit changes a file in a repository, as somebody does on whose work the
// operator waits.
func (s *stage) commit(repo, file, text string) {
	s.t.Helper()
	git := func(stdin string, args ...string) string {
		s.t.Helper()
		cmd := exec.CommandContext(s.t.Context(), "git", append([]string{"--git-dir=" + filepath.Join(s.dir, "git/kainlite", repo+".git"),
			"-c", "user.name=A Developer", "-c", "user.email=dev@example.org"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_INDEX_FILE="+filepath.Join(s.dir, "index"))
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			s.t.Fatalf("git %s: %s\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("", "read-tree", "master")
	git("", "update-index", "--add", "--cacheinfo", "100644,"+git(text, "hash-object", "-w", "--stdin")+","+file)
	git("", "update-ref", "refs/heads/master", git("", "commit-tree", git("", "write-tree"), "-p", "master", "-m", "Change "+file))
}

// work is a commit to the blog, and a pass. Every other time, the server of the
// manifests declines what is pushed.
func (s *stage) work() {
	s.t.Helper()
	s.n++
	s.commit("blog", "main.go", fmt.Sprintf("package main // change %d\n", s.n))
	s.write("git/kainlite/manifests.git/hooks/pre-receive", fmt.Sprintf("#!/bin/sh\nexit %d\n", s.n%2), 0o700)
	get(s.t, s.operator+"/reconcile?wait=20s")
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", url, resp.Status, body)
	}
	return body
}

// prometheus is one that scrapes the operator as prometheus.yml says, but
// faster, and where it really is.
type prometheus struct {
	t   *testing.T
	url string
}

func startPrometheus(t *testing.T, operator string) *prometheus {
	t.Helper()
	binary := program(t, "prometheus")
	config := string(read(t, "prometheus.yml"))
	for old, new := range map[string]string{
		"host.docker.internal:8000": strings.TrimPrefix(operator, "http://"), "scrape_interval: 15s": "scrape_interval: 1s",
		"evaluation_interval: 15s": "evaluation_interval: 1s",
	} {
		if strings.Count(config, old) != 1 {
			t.Fatalf("prometheus.yml has not one %s", old)
		}
		config = strings.Replace(config, old, new, 1)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"prometheus.yml": config, "alerts.yaml": string(read(t, "alerts.yaml"))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var mu sync.Mutex
	var log []string
	start(t, exec.Command(binary, "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+address),
		func(line string) { mu.Lock(); defer mu.Unlock(); log = append(log, line) })
	p := &prometheus{t, "http://" + address}
	late := time.After(patience)
	for {
		resp, err := http.Get(p.url + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return p
			}
		}
		select {
		case <-late:
			mu.Lock()
			defer mu.Unlock()
			t.Fatalf("Prometheus does not come up: %v\n%s", err, strings.Join(log, "\n"))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// ask evaluates an expression now, and returns how many series it has. The
// variables are those that Grafana fills in.
func (p *prometheus) ask(expr string) (series int) {
	p.t.Helper()
	expr = strings.NewReplacer("$__rate_interval", "2m", "$__range", "1h").Replace(expr)
	resp, err := http.PostForm(p.url+"/api/v1/query", url.Values{"query": {expr}})
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		p.t.Fatal(err)
	}
	if answer.Status != "success" {
		p.t.Fatalf("%s: %s", expr, answer.Error)
	}
	for _, r := range answer.Data.Result {
		if r.Value[1] != "NaN" {
			series++
		}
	}
	return series
}

// quiet are what the stage has nothing to tell of, and why.
var quiet = map[string]string{
	"gitops_operator_build_lookup":        "GitHub answers",
	"gitops_operator_retries_total":       "nobody else writes to the repositories",
	"gitops_operator_ssh_connect":         "the connection, once it is up, is shared",
	"changes(process_start_time_seconds{": "the operator is started once, before Prometheus",
}

func expected(q query) bool {
	for metric := range quiet {
		if strings.Contains(q.expr, metric) {
			return false
		}
	}
	return true
}

// Every expression of the board, and every rule, asked of a real Prometheus that
// scrapes a real operator, which updates a Deployment and fails with others.
func TestPrometheusAnswersWhatTheBoardAsks(t *testing.T) {
	program(t, "prometheus")
	s := newStage(t)
	p := startPrometheus(t, s.operator)
	eventually := func(what string, is func() bool) {
		t.Helper()
		for late := time.Now().Add(patience); !is(); {
			if time.Now().After(late) {
				t.Fatalf("still not: %s", what)
			}
			time.Sleep(300 * time.Millisecond)
		}
	}
	eventually("the operator is scraped", func() bool { return p.ask(`up{job="gitops-operator"} == 1`) == 1 })

	s.like("keyless", "ssh_key_name: ssh-key", "ssh_key_name: nope")
	s.like("untracked", "gitops.operator.image_name", "gitops.operator.image_nam")
	// Its registry is not there, so it stays behind.
	s.like("behind", "gitops.operator.image_name: kainlite/blog", "gitops.operator.image_name: 127.0.0.1:1/kainlite/blog\n    gitops.operator.registry_secret_url: http://127.0.0.1:1",
		"apps/blog.yaml", "apps/behind.yaml")
	s.commit("manifests", "apps/behind.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: behind}\nspec: {containers: [{name: main, image: \"127.0.0.1:1/kainlite/blog:old\"}]}\n")

	asked := 0
	for _, q := range queries(t) {
		if !expected(q) {
			p.ask(q.expr)
			continue
		}
		asked++
		// Work goes on until there is something to see.
		eventually(q.where+" shows something: "+q.expr, func() bool {
			s.work()
			return p.ask(q.expr) > 0
		})
	}
	if asked < 40 {
		t.Errorf("only %d queries had data", asked)
	}
	eventually("the rules have been evaluated", func() bool { return p.rules() })
}

// rules says whether all rules have been evaluated, and fails if one cannot be.
func (p *prometheus) rules() bool {
	p.t.Helper()
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := json.Unmarshal(get(p.t, p.url+"/api/v1/rules"), &answer); err != nil {
		p.t.Fatal(err)
	}
	known := 0
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			if r.LastError != "" {
				p.t.Fatalf("%s: %s", r.Name, r.LastError)
			}
			if r.Health == "ok" {
				known++
			}
		}
	}
	return known > 0 && known == strings.Count(string(read(p.t, "alerts.yaml")), "- alert: ")
}

// As promtool sees them, whose version in CI is older than the image's.
func TestPrometheusTakesItsConfiguration(t *testing.T) {
	out := run(t, program(t, "promtool"), "check", "config", stack+"/prometheus.yml")
	if strings.Count(out, "SUCCESS") < 2 {
		t.Error(out)
	}
}
