// Package gitea runs a real Gitea for tests, on the loopback address: its API,
// git over SSH and over HTTP, protected branches, webhooks, and what Actions
// offer without a runner.
//
// `make gitea` builds it once, from its module, into the user's cache
// directory. Without it the tests are skipped, or fail if TEST_REQUIRE_GITEA is
// set.
package gitea

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const startTime = 2 * time.Minute // for the server to answer, at most

// Server is a running Gitea. Its methods fail the test they are given instead
// of returning errors.
type Server struct {
	URL     string // http://127.0.0.1:PORT
	SSHPort string
	Admin   User

	assets, dir string
	process     *process
	client      http.Client
	mu          sync.Mutex
	names       int
}

// User is somebody with an account.
type User struct{ Name, Password, Token string }

// M runs the tests of a package so that all share one Server, which the first
// one starts. Give it to goleak.VerifyTestMain in place of the testing.M.
type M struct{ *testing.M }

// shared is what Start hands out while M.Run runs.
var shared struct {
	sync.Mutex
	on     bool
	server *Server
	err    error
}

// Run runs the tests, then ends their Server.
func (m M) Run() int {
	shared.Lock()
	shared.on = true
	shared.Unlock()
	code := m.M.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		shared.server.stop()
	}
	return code
}

// Start returns the package's Server where M runs the tests, else one that ends
// with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	assets, err := Assets()
	if err != nil {
		if os.Getenv(envRequire) != "" {
			t.Fatalf("%v, and %s is set: run make gitea", err, envRequire)
		}
		t.Skipf("no Gitea to test with (%v): run make gitea", err)
	}
	shared.Lock()
	defer shared.Unlock()
	if !shared.on {
		s, err := start(assets)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.stop)
		return s
	}
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = start(assets)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

func start(assets string) (s *Server, err error) {
	dir, err := os.MkdirTemp("", "gitea-")
	if err != nil {
		return nil, err
	}
	s = &Server{assets: assets, dir: dir, client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	// Somebody may take a port before the server does.
	for range 3 {
		if err = s.serve(); err == nil || !errors.Is(err, errEnded) {
			break
		}
	}
	if err != nil {
		return s, err
	}
	return s, s.createAdmin()
}

var errEnded = errors.New("gitea ended")

// serve starts the program and waits until it answers.
func (s *Server) serve() error {
	var ports [2]string
	var listeners [2]net.Listener
	for i := range ports { // both are held until both are known
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		_, ports[i], _ = net.SplitHostPort(l.Addr().String())
		listeners[i] = l
	}
	for _, l := range listeners {
		if err := l.Close(); err != nil {
			return err
		}
	}
	s.URL, s.SSHPort = "http://127.0.0.1:"+ports[0], ports[1]
	if err := s.configure(ports[0]); err != nil {
		return err
	}
	var err error
	if s.process, err = startProcess(s.dir, s.env(), filepath.Join(s.assets, "gitea"), "web", "--config", s.config()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for {
		response, err := s.client.Get(s.URL + "/api/healthz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(response.Status)
		}
		switch {
		case s.process.ended():
			return fmt.Errorf("%w:\n%s", errEnded, s.process.tail())
		case ctx.Err() != nil:
			return fmt.Errorf("gitea does not answer after %s: %w\n%s", startTime, err, s.process.tail())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *Server) config() string { return filepath.Join(s.dir, "app.ini") }

// env is all that the program gets: nothing of the caller's.
func (s *Server) env() []string {
	name := "gitea"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "USER=" + name, "GITEA_WORK_DIR=" + s.dir}
}

func (s *Server) configure(port string) error {
	var secret [32]byte
	rand.Read(secret[:])
	name := "gitea"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return os.WriteFile(s.config(), []byte(strings.NewReplacer(
		"@DIR@", s.dir, "@ASSETS@", s.assets, "@HTTP@", port, "@SSH@", s.SSHPort, "@USER@", name, "@SECRET@", hex.EncodeToString(secret[:])).Replace(appINI)), 0o600)
}

// createAdmin makes the first user, which only the program itself can.
func (s *Server) createAdmin() error {
	s.Admin = User{Name: "admin1", Password: "admin1-password"}
	cmd := exec.Command(filepath.Join(s.assets, "gitea"), "admin", "user", "create", "--config", s.config(), "--admin",
		"--username", s.Admin.Name, "--password", s.Admin.Password, "--email", "admin1@example.com",
		"--must-change-password=false", "--access-token", "--access-token-name", "tests", "--access-token-scopes", "all")
	cmd.Env, cmd.Dir = s.env(), s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("create gitea's administrator: %w\n%s", err, out)
	}
	_, rest, ok := strings.Cut(string(out), "Access token was successfully created... ")
	if !ok {
		return fmt.Errorf("create gitea's administrator: no token in\n%s", out)
	}
	s.Admin.Token = strings.Fields(rest)[0]
	return nil
}

// stop ends the program. Nothing is kept, so nothing needs to end in order.
func (s *Server) stop() {
	if s.process != nil {
		s.process.kill()
	}
	os.RemoveAll(s.dir)
}
