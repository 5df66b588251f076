// Package gitserver is an SSH git server inside the process: the demo command
// and the tests talk to it with the real ssh and git programs. It serves a
// folder of bare repositories with the system's git, answers as the public
// hosts do, counts what it serves, and can misbehave on request: stall, delay,
// cut, refuse.
//
// It listens on the loopback address only, and starts no process but git (which
// runs the hooks of its repositories). It knows nothing of the other packages.
package gitserver

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Options are what a Server is started with.
type Options struct {
	// Root is the folder of bare repositories. A client's "/owner/repo.git" or
	// "owner/repo.git" is looked up below it. Nothing outside is reachable:
	// "..", and symbolic links that are absolute or lead out, are answered like
	// a repository that does not exist.
	Root string
	// AuthorizedKeys may reach every repository. Authorize adds more.
	AuthorizedKeys []ssh.PublicKey
	// MaxSessions is the number of sessions open at once on one connection;
	// 0 means 10, the default of OpenSSH.
	MaxSessions int
	// Logf, if set, is told of refusals, faults and failures. It is called from
	// several goroutines.
	Logf func(format string, args ...any)
}

// Server is a running server. Its methods may be called from any goroutine.
type Server struct {
	root        *os.Root
	git         string
	maxSessions int
	logf        func(format string, args ...any)
	listener    net.Listener
	hostKey     ssh.PublicKey
	config      *ssh.ServerConfig

	access   access
	counters counters
	faults   faults

	mu      sync.Mutex
	closed  bool
	conns   map[*delayedConn]struct{}
	done    chan struct{} // closed by Close
	serving sync.WaitGroup
}

// Start listens on a free port of 127.0.0.1, with a host key made for the
// occasion, and serves until Close. It fails if there is no such folder or no
// git.
func Start(opt Options) (*Server, error) {
	s := &Server{
		maxSessions: opt.MaxSessions,
		logf:        opt.Logf,
		conns:       make(map[*delayedConn]struct{}),
		done:        make(chan struct{}),
	}
	if s.maxSessions == 0 {
		s.maxSessions = 10
	}
	if s.logf == nil {
		s.logf = func(string, ...any) {}
	}
	for _, key := range opt.AuthorizedKeys {
		s.Authorize(key)
	}

	var err error
	if s.git, err = exec.LookPath("git"); err != nil {
		return nil, fmt.Errorf("find git: %w", err)
	}
	if err := s.configure(); err != nil {
		return nil, err
	}
	// git is started in another folder than ours.
	path, err := filepath.Abs(opt.Root)
	if err != nil {
		return nil, fmt.Errorf("locate the repositories: %w", err)
	}
	if s.root, err = os.OpenRoot(path); err != nil {
		return nil, fmt.Errorf("open the repositories: %w", err)
	}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), s.root.Close())
	}
	s.serving.Go(s.accept)
	return s, nil
}

func (s *Server) configure() error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("generate host key: %w", err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return fmt.Errorf("load host key: %w", err)
	}
	s.hostKey = signer.PublicKey()
	s.config = &ssh.ServerConfig{
		PublicKeyCallback: s.authenticate,
		BannerCallback:    func(ssh.ConnMetadata) string { return s.faults.now().banner },
	}
	s.config.AddHostKey(signer)
	return nil
}

// Addr returns the address the server listens on, as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL returns the address of a repository, such as "owner/repo.git", as git
// takes it: ssh://git@127.0.0.1:PORT/owner/repo.git. Special characters are
// percent-encoded.
func (s *Server) URL(repo string) string {
	u := url.URL{Scheme: "ssh", User: url.User("git"), Host: s.Addr(), Path: "/" + strings.TrimPrefix(repo, "/")}
	return u.String()
}

// KnownHosts returns the line, with its newline, that a known_hosts file needs
// to trust this server.
func (s *Server) KnownHosts() []byte {
	return []byte(knownhosts.Line([]string{s.Addr()}, s.hostKey) + "\n")
}

// Close stops listening, closes every connection, ends the processes started
// for them, and returns when all of it is gone. git has 3 seconds to clean up.
// Only a process that a hook put into a process group of its own is out of
// reach. Further calls do nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.done)
	for conn := range s.conns {
		conn.abort()
	}
	s.mu.Unlock()

	err := s.listener.Close()
	s.serving.Wait()
	return errors.Join(err, s.root.Close())
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			s.serving.Go(func() { s.serve(conn.(*net.TCPConn)) })
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of file descriptors, most likely: it passes.
			s.logf("accept: %v", err)
			select {
			case <-s.done:
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// track makes a connection known to Close; false means Close came first.
func (s *Server) track(conn *delayedConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

func (s *Server) forget(conn *delayedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// serve handles one connection, from its first byte until it has gone.
func (s *Server) serve(tcp *net.TCPConn) {
	conn := newDelayedConn(tcp, func() time.Duration { return s.faults.now().delay })
	if !s.track(conn) {
		tcp.Close()
		return
	}
	defer s.forget(conn)
	s.counters.connection()
	conn.start()
	defer conn.wait()
	defer conn.Close()

	client, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		s.logf("connection from %s: %v", tcp.RemoteAddr(), err)
		return
	}
	var working sync.WaitGroup
	defer working.Wait()
	// Any answer, even "no", satisfies a client's keepalive.
	working.Go(func() { ssh.DiscardRequests(requests) })

	slots := make(chan struct{}, s.maxSessions)
	for offer := range channels {
		if offer.ChannelType() != "session" {
			offer.Reject(ssh.UnknownChannelType, "only sessions are served")
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			s.logf("connection from %s: more than %d sessions", tcp.RemoteAddr(), s.maxSessions)
			offer.Reject(ssh.ResourceShortage, "open failed")
			continue
		}
		sess := &session{
			server:  s,
			key:     client.Permissions.Extensions[keyExtension],
			cut:     func() { conn.Close() },
			release: sync.OnceFunc(func() { <-slots }),
		}
		working.Go(func() { sess.serve(offer) })
	}
}
