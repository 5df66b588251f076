// Package apiserver runs a real Kubernetes API server for tests: kube-apiserver
// with RBAC over TLS, and its etcd, on the loopback address. There are no
// controllers and no nodes: what is created stays as it was created.
//
// `make test` builds both programs once, from the module in the folder build;
// with KUBEBUILDER_ASSETS set, those in that folder are used. Without them the
// tests are skipped, or fail if TEST_REQUIRE_APISERVER is set.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	startTime = 2 * time.Minute  // for the API server to become ready, at most
	stopTime  = 10 * time.Second // for it to end
)

// Server is a running API server. Its methods fail the test they are given
// instead of returning errors.
type Server struct {
	// URL is where it listens; it stays the same when it starts again.
	URL string
	// Client is the cluster's administrator.
	Client kubernetes.Interface

	assets, dir string
	port        string
	ca          []byte // PEM
	etcd, api   *process
	close       func() // the client's connections
}

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
			t.Fatalf("%v, and %s is set: run make apiserver", err, envRequire)
		}
		t.Skipf("no Kubernetes API server to test with (%v): run make apiserver, or set %s", err, envAssets)
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

// start starts both programs. A folder with a short name: the path of etcd's
// socket is limited to about 100 bytes.
func start(assets string) (s *Server, err error) {
	dir, err := os.MkdirTemp("", "apiserver-")
	if err != nil {
		return nil, err
	}
	s = &Server{assets: assets, dir: dir}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if err := s.writeFiles(); err != nil {
		return nil, err
	}
	s.etcd, err = startProcess(dir, filepath.Join(assets, "etcd"),
		"--data-dir=etcd",
		"--listen-client-urls=unix://"+s.socket(),
		"--advertise-client-urls=http://127.0.0.1:0", // nobody asks; a socket is not accepted here
		"--listen-peer-urls=http://127.0.0.1:0",
		"--unsafe-no-fsync",
		"--log-level=warn",
	)
	if err != nil {
		return nil, err
	}
	// Somebody may take the port before the API server does.
	for range 3 {
		if err = s.choosePort(); err != nil {
			return nil, err
		}
		if err = s.startAPI(); err == nil || !errors.Is(err, errEnded) {
			break
		}
	}
	return s, err
}

func (s *Server) socket() string { return filepath.Join(s.dir, "etcd.sock") }

func (s *Server) choosePort() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	s.URL = "https://" + l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	config := s.Config(adminToken)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	s.close = func() { utilnet.CloseIdleConnectionsFor(client.Transport) }
	s.Client, err = kubernetes.NewForConfigAndClient(config, client)
	return err
}

var errEnded = errors.New("kube-apiserver ended")

// startAPI starts kube-apiserver and waits until it is ready.
func (s *Server) startAPI() (err error) {
	s.api, err = startProcess(s.dir, filepath.Join(s.assets, "kube-apiserver"),
		"--etcd-servers=unix://"+s.socket(),
		"--bind-address=127.0.0.1",
		"--secure-port="+s.port,
		"--tls-cert-file=server.crt",
		"--tls-private-key-file=server.key",
		"--token-auth-file=tokens.csv",
		"--authorization-mode=RBAC",
		"--service-account-issuer="+issuer,
		"--service-account-key-file=accounts.key",
		"--service-account-signing-key-file=accounts.key",
		"--service-cluster-ip-range=10.0.0.0/24",
		"--endpoint-reconciler-type=none", // it would refuse the loopback address
		"--profiling=false",
	)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for {
		_, err := s.Client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		switch {
		case err == nil:
			return nil
		case s.api.ended():
			return fmt.Errorf("%w:\n%s", errEnded, s.api.tail())
		case ctx.Err() != nil:
			return fmt.Errorf("kube-apiserver is not ready after %s: %w\n%s", startTime, err, s.api.tail())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// StopAPI ends the API server; what it has stored stays. Connections to it
// break, and new ones are refused. All tests of the package see that: none of
// them may be parallel.
func (s *Server) StopAPI() { s.api.stop(stopTime) }

// StartAPI starts the API server again.
func (s *Server) StartAPI(t testing.TB) {
	t.Helper()
	if err := s.startAPI(); err != nil {
		t.Fatal(err)
	}
}

// stop ends everything. Nothing is kept, so nothing needs to end in order.
func (s *Server) stop() {
	for _, p := range []*process{s.api, s.etcd} {
		if p != nil {
			p.kill()
		}
	}
	if s.close != nil {
		s.close()
	}
	os.RemoveAll(s.dir)
}
