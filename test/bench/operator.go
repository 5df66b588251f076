package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// operator is the real program, in a process of its own.
type operator struct {
	cmd   *exec.Cmd
	url   string
	cache string
	log   string
	read  chan error // ends with its log
}

// startOperator starts the program on a folder that stands for a cluster and a
// cache folder, and waits until it is ready.
func startOperator(ctx context.Context, program, cluster, cache string) (*operator, error) {
	o := &operator{cache: cache, log: cache + ".log", read: make(chan error, 1)}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(o.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	o.cmd = exec.Command(program, "serve", "--from", cluster, "--cache-dir", cache, "--listen", "127.0.0.1:0")
	o.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cache, "TMPDIR=" + os.TempDir()}
	for _, name := range []string{"GODEBUG", "GOGC", "GOMEMLIMIT", "GOMAXPROCS"} {
		if v, ok := os.LookupEnv(name); ok {
			o.cmd.Env = append(o.cmd.Env, name+"="+v)
		}
	}
	pipe, err := o.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := o.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start operator: %w", err)
	}
	listening := make(chan string, 1)
	go func() { o.read <- follow(pipe, log, listening) }()
	select {
	case addr := <-listening:
		o.url = "http://" + addr
	case err := <-o.read:
		o.read <- err
		o.close()
		return nil, o.explain(errors.New("operator ended at once"))
	case <-ctx.Done():
		o.close()
		return nil, ctx.Err()
	}
	if err := o.warm(ctx); err != nil {
		o.close()
		return nil, o.explain(err)
	}
	return o, nil
}

// follow copies a log to a file, and tells where the operator listens.
func follow(from io.Reader, to io.WriteCloser, listening chan<- string) error {
	defer to.Close()
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if bytes.Contains(line, []byte(`"listening"`)) {
			var entry struct{ Msg, Address string }
			if json.Unmarshal(line, &entry) == nil && entry.Msg == "listening" {
				listening <- entry.Address
			}
		}
		if _, err := to.Write(line); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
}

// warm asks for /health until it is ready.
func (o *operator) warm(ctx context.Context) error {
	for {
		resp, err := http.Get(o.url + "/health")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// explain adds the end of the operator's log to an error.
func (o *operator) explain(err error) error {
	raw, _ := os.ReadFile(o.log)
	return fmt.Errorf("%w; the end of its log:\n%s", err, raw[max(0, len(raw)-2000):])
}

// pass asks for a pass over all Deployments, or the given ones, and returns how
// many results there were of each action.
func (o *operator) pass(ctx context.Context, deployments ...int) (map[string]int, error) {
	query := url.Values{}
	for _, d := range deployments {
		query.Add("deployment", "default/"+appName(d))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url+"/reconcile?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, o.explain(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, o.explain(err)
	}
	var results []struct{ Action, Message string }
	if err := json.Unmarshal(body, &results); err != nil {
		return nil, o.explain(fmt.Errorf("operator answered %.200s", body))
	}
	actions := map[string]int{}
	for _, r := range results {
		actions[r.Action]++
		if r.Action == "failed" {
			return actions, o.explain(errors.New("a Deployment failed: " + r.Message))
		}
	}
	return actions, nil
}

func (o *operator) pid() int { return o.cmd.Process.Pid }

// close ends the operator as Kubernetes would.
func (o *operator) close() error {
	o.cmd.Process.Signal(syscall.SIGTERM)
	<-o.read
	if err := o.cmd.Wait(); err != nil {
		return fmt.Errorf("end operator: %w", err)
	}
	return nil
}

// mirrorState is what lies in a cache folder.
type mirrorState struct {
	Bytes        int64
	Packs, Loose int
}

func mirrorsIn(cache string) (mirrorState, error) {
	var m mirrorState
	err := filepath.WalkDir(cache, func(path string, entry os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) { // maintenance may be at work
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		m.Bytes += info.Size()
		parent := filepath.Base(filepath.Dir(path))
		switch {
		case strings.HasSuffix(path, ".pack"):
			m.Packs++
		case len(parent) == 2 && len(entry.Name()) >= 38:
			m.Loose++
		}
		return nil
	})
	return m, err
}
