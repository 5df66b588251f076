package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/kainlite/gitops-operator/reconcile"
)

// operator is a running `serve`.
type operator struct {
	s     *stage
	cmd   *exec.Cmd
	url   string
	run   string // its run folder
	http  *http.Client
	ended chan error

	mu  sync.Mutex
	log bytes.Buffer // without what is only for information
}

// command is the operator's program; wrap, if given, is what runs it.
func (s *stage) command(wrap []string, args ...string) *exec.Cmd {
	s.t.Helper()
	file, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	argv := append(append(wrap, file), args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Args = append(cmd.Args, "--from", s.cluster, "--log-level", "info")
	cmd.Env = append(os.Environ(), "HOME="+s.cluster, "GORACE=halt_on_error=1")
	return cmd
}

// serve starts the operator, with the stage's cache, and waits until it listens.
func (s *stage) serve(flags ...string) *operator {
	s.t.Helper()
	return s.start(s.command(nil, append([]string{"serve", "--listen", "127.0.0.1:0", "--cache-dir", s.cache}, flags...)...))
}

func (s *stage) start(cmd *exec.Cmd) *operator {
	s.t.Helper()
	o := &operator{s: s, cmd: cmd, ended: make(chan error, 1), http: &http.Client{Transport: &http.Transport{}}}
	pipe, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(pipe)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var entry struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "listening" {
				listening <- entry.Address
			}
			if !bytes.Contains(lines.Bytes(), []byte(`"level":"info"`)) {
				o.mu.Lock()
				o.log.Write(append(lines.Bytes(), '\n'))
				o.mu.Unlock()
			}
		}
		o.ended <- cmd.Wait()
		close(o.ended)
		close(listening)
	}()
	s.t.Cleanup(o.kill)
	address, ok := <-listening
	if !ok {
		s.t.Fatalf("the operator did not start: %s", o.text())
	}
	o.url, o.run = "http://"+address, runFolder(cmd.Process.Pid)
	if o.run == "" {
		s.t.Fatal("the operator has no run folder")
	}
	return o
}

func (o *operator) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.log.String()
}

// kill ends the operator at once, if it still runs, and waits for it.
func (o *operator) kill() {
	o.cmd.Process.Kill()
	<-o.ended
	o.http.CloseIdleConnections()
}

// stop ends the operator as Kubernetes does; nothing of it may remain.
func (o *operator) stop() {
	o.s.t.Helper()
	o.cmd.Process.Signal(syscall.SIGTERM)
	if err, ok := <-o.ended; ok && err != nil {
		o.s.t.Errorf("the operator ended with %v: %s", err, o.text())
	}
	o.http.CloseIdleConnections()
	c := counts{leftovers: o.s.remains(o.run)}
	if _, err := os.Stat(o.run); err == nil {
		o.s.t.Errorf("left behind: %s", o.run)
		c.leftovers++
	}
	o.s.row.add(c)
}

// remains counts and reports the processes of an ended operator that do not end.
func (s *stage) remains(run string) int {
	s.t.Helper()
	left := eventually(s.t, func() []process { return belonging(run) })
	for _, p := range left {
		s.t.Errorf("left behind: process %d %s", p.pid, p.name)
	}
	return len(left)
}

// gone counts what remains of an operator that was killed, once another has
// been started.
func (s *stage) gone(run string) {
	s.t.Helper()
	if run == "" {
		return // it was killed before it had one
	}
	c := counts{leftovers: s.remains(run)}
	if left, err := filepath.Glob(run + "/*"); err == nil && len(left) > 0 {
		s.t.Errorf("left behind: %s", left)
		c.leftovers++
	}
	s.row.add(c)
}

// pass asks for a pass. The error is for an operator that gave no answer.
func (o *operator) pass() ([]reconcile.Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url+"/reconcile", nil)
	if err != nil {
		return nil, err
	}
	resp, err := o.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return parse(body)
}

func parse(body []byte) ([]reconcile.Result, error) {
	var results []reconcile.Result
	if err := json.Unmarshal(body, &results); err != nil {
		return nil, fmt.Errorf("%w: %.400s", err, body)
	}
	if len(results) != deployments {
		return nil, fmt.Errorf("%d results", len(results))
	}
	return results, nil
}

// faulty asks for a pass that may fail, but must answer, and tell the truth:
// what it says is done, is done. It returns the messages of what failed.
func (o *operator) faulty() (failures []string) {
	o.s.t.Helper()
	results, err := o.pass()
	if err != nil {
		o.s.t.Fatalf("no answer: %v\n%s", err, o.text())
	}
	return o.s.truth(results)
}

// truth checks that what results say is done, is done.
func (s *stage) truth(results []reconcile.Result) (failures []string) {
	s.t.Helper()
	var found map[change]int
	for _, r := range results {
		if r.Status != "success" {
			failures = append(failures, r.Message)
			continue
		}
		if found == nil {
			found, _, _ = s.history()
		}
		if found[change{r.Deployment, r.ToSHA}] == 0 {
			s.t.Errorf("not true: %s", r.Message)
		}
	}
	return failures
}

// good asks for a pass in which nothing may fail.
func (o *operator) good() {
	o.s.t.Helper()
	results, err := o.pass()
	if err != nil {
		o.s.t.Fatalf("no answer: %v\n%s", err, o.text())
	}
	o.s.mustSucceed(results, o.text())
}

func (s *stage) mustSucceed(results []reconcile.Result, log string) {
	s.t.Helper()
	for _, r := range results {
		if r.Status != "success" {
			s.t.Fatalf("%s: %s\n%s", r.Action, r.Message, log)
		}
	}
}

// once starts `reconcile`, which is one pass, and returns before it ends.
func (s *stage) once(stdout, stderr io.Writer, flags ...string) *exec.Cmd {
	s.t.Helper()
	cmd := s.command(nil, append([]string{"reconcile", "-o", "json", "--cache-dir", s.cache}, flags...)...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd
}

// goodOnce runs `reconcile`, in which nothing may fail.
func (s *stage) goodOnce() {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	err := s.once(&stdout, &stderr).Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	results, perr := parse(stdout.Bytes())
	if perr != nil {
		s.t.Fatalf("%v: %v: %s", err, perr, &stderr)
	}
	s.mustSucceed(results, stderr.String())
	if err != nil {
		s.t.Fatalf("%v: %s", err, &stderr)
	}
}

// settle brings a new stage in order: warm caches, and every Deployment at a
// real commit.
func (s *stage) settle(o *operator) {
	s.t.Helper()
	s.advance()
	o.good()
	s.good = s.git("rev-parse", "master")
}

// batches runs n trials, some on each stage, so that none grows large.
func batches(t *testing.T, r *row, n int, trial func(s *stage, first, end int)) {
	const size = 25
	for first := 0; first < n; first += size {
		t.Run(fmt.Sprint(first), func(t *testing.T) { trial(newStage(t, r), first, min(n, first+size)) })
	}
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strings.TrimSpace(l.Addr().String())
}
