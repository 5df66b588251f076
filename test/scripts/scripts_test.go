// Package scripts holds the end-to-end stories: see TestStories.
package scripts

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kainlite/gitops-operator/cli"
	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/gitserver"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gitops-operator": func() { os.Exit(cli.Main("dev")) }})
}

// TestStories runs the .txtar files here: each is a story about the program as people
// use it. Beside testscript's own commands there are:
//
//	commit REPO DIR     commit the files of DIR to REPO's branch master (made if need be); $REPO_HEAD is the commit
//	show REPO PATH      print a file at the head of master
//	git REPO ARGS...    run git on the repository
//	serve ARGS...       start the operator in the background; $URL is where it listens
//	[!] curl [-X METHOD] [-H HEADER] [-d FILE] [--cacert FILE] [--until PATTERN] PATH
//	                    ask it (again, until the body matches), print the body; ! expects a status of 400 or more
//	cert NAME CERT KEY  write a certificate for NAME that vouches for itself, and its key
//	sign VAR SECRET FILE  set VAR to the HMAC-SHA256 of FILE, hexadecimal, with the secret in the file SECRET
//	stop                end it, as Kubernetes does
//
// $GIT is the URL that all repositories are below. Files below cluster/ have
// $GIT expanded, and hold the SSH key as Secret gitops-operator/ssh-key.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 ".",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUpStory,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"commit": scriptCommit, "show": scriptShow, "git": scriptGit, "serve": scriptServe, "curl": scriptCurl, "stop": scriptStop,
			"cert": scriptCert, "sign": scriptSign,
		},
	})
}

// operators is the key under which a story keeps how to end its operator.
const operators = "operators"

func setUpStory(env *testscript.Env) error {
	env.Values[operators] = map[string]func() error{}
	root := filepath.Join(env.WorkDir, "git")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	private, public, err := gitserver.NewKey()
	if err != nil {
		return err
	}
	server, err := gitserver.Start(gitserver.Options{Root: root})
	if err != nil {
		return err
	}
	env.Defer(func() { server.Close() })
	server.Authorize(public)
	git := strings.TrimSuffix(server.URL(""), "/")
	env.Setenv("GIT", git)
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("GITOPS_OPERATOR_CACHE_DIR", filepath.Join(env.WorkDir, "cache"))

	cluster := filepath.Join(env.WorkDir, "cluster")
	files, err := filepath.Glob(filepath.Join(cluster, "*.yaml"))
	if err != nil || len(files) == 0 {
		return err // a story without a cluster
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := os.WriteFile(f, bytes.ReplaceAll(b, []byte("$GIT"), []byte(git)), 0o600); err != nil {
			return err
		}
	}
	secret := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: ssh-key, namespace: gitops-operator}\ndata:\n  ssh-privatekey: %s\n  known_hosts: %s\n",
		base64.StdEncoding.EncodeToString(private), base64.StdEncoding.EncodeToString(server.KnownHosts()))
	return os.WriteFile(filepath.Join(cluster, "ssh-key.yaml"), []byte(secret), 0o600)
}

func scriptRepo(ts *testscript.TestScript, name string) gitrepo.Repo {
	r, err := gitrepo.Init(ts.MkAbs(filepath.Join("git", name+".git")), "master")
	ts.Check(err)
	return r
}

func scriptCommit(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[1])
	files := map[string]string{}
	ts.Check(filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(b)
		return err
	}))
	head, err := scriptRepo(ts, args[0]).Commit("master", "Change "+args[0], files)
	ts.Check(err)
	ts.Setenv(strings.ToUpper(filepath.Base(args[0]))+"_HEAD", head)
}

func scriptShow(ts *testscript.TestScript, _ bool, args []string) {
	s, err := scriptRepo(ts, args[0]).Show("master", args[1])
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), s)
}

func scriptGit(ts *testscript.TestScript, _ bool, args []string) {
	out, err := scriptRepo(ts, args[0]).Git(args[1:]...)
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), out)
}

// scriptServe starts the operator as a process of its own, and learns its
// address from the log, as a person would.
func scriptServe(ts *testscript.TestScript, _ bool, args []string) {
	program, err := exec.LookPath("gitops-operator")
	ts.Check(err)
	cmd := exec.Command(program, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"), "GITOPS_OPERATOR_CACHE_DIR="+ts.Getenv("GITOPS_OPERATOR_CACHE_DIR"))
	log, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	lines := bufio.NewScanner(log)
	var all strings.Builder
	for lines.Scan() {
		var entry struct {
			Msg, Address string
			TLS          bool
		}
		json.Unmarshal(lines.Bytes(), &entry)
		if entry.Msg == "listening" {
			ts.Setenv("URL", "http://"+entry.Address)
			if entry.TLS {
				ts.Setenv("URL", "https://"+entry.Address)
			}
			break
		}
		all.WriteString(lines.Text() + "\n")
	}
	if ts.Getenv("URL") == "" {
		ts.Fatalf("the operator did not start: %v\n%s", cmd.Wait(), &all)
	}
	var drained sync.WaitGroup
	drained.Go(func() {
		for lines.Scan() {
		}
	})
	stop := sync.OnceValue(func() error {
		cmd.Process.Signal(syscall.SIGTERM)
		drained.Wait()
		return cmd.Wait()
	})
	ts.Defer(func() { stop() })
	ts.Value(operators).(map[string]func() error)["operator"] = stop
}

func scriptStop(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Value(operators).(map[string]func() error)["operator"]())
}
