// Package sshd runs OpenSSH's server for tests, where it is installed: what
// holds against the server in this process must hold against the one that the
// world uses.
package sshd

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// program is the server that is run: what TEST_SSHD names, or the system's.
func program() string { return cmp.Or(os.Getenv("TEST_SSHD"), "/usr/sbin/sshd") }

// Server is a running sshd. It ends with the test.
type Server struct {
	user, addr string
	hostKey    ssh.PublicKey
}

// Start starts an sshd on the loopback address that lets the owner of key in.
// Where there is none, the test is skipped, or fails if TEST_REQUIRE_SSHD is
// set, as it is in CI.
func Start(t testing.TB, key ssh.PublicKey, config string) *Server {
	t.Helper()
	program := program()
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("TEST_REQUIRE_SSHD") != "" {
			t.Fatalf("%v, and TEST_REQUIRE_SSHD is set: install openssh-server", err)
		}
		t.Skip("no " + program + ": install openssh-server to run this test")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(err)
	signer, err := ssh.NewSignerFromKey(private)
	must(err)
	me, err := user.Current()
	must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	s := &Server{user: me.Username, addr: l.Addr().String(), hostKey: signer.PublicKey()}
	must(l.Close())

	must(os.WriteFile(filepath.Join(dir, "host"), pem.EncodeToMemory(block), 0o600))
	must(os.WriteFile(filepath.Join(dir, "authorized"), ssh.MarshalAuthorizedKey(key), 0o600))
	must(os.WriteFile(filepath.Join(dir, "config"), fmt.Appendf(nil, `ListenAddress %s
HostKey %s/host
AuthorizedKeysFile %s/authorized
PidFile none
StrictModes no
PasswordAuthentication no
PermitRootLogin yes
AcceptEnv GIT_PROTOCOL
LogLevel ERROR
%s
`, s.addr, dir, dir, config), 0o600))
	if os.Getuid() == 0 {
		must(os.MkdirAll("/run/sshd", 0o755)) // where sshd drops its privileges
	}
	cmd := exec.Command(program, "-D", "-e", "-f", filepath.Join(dir, "config"))
	cmd.Stderr = os.Stderr
	must(cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for range 500 {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			c.Close()
			return s
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("sshd does not answer")
	return nil
}

// URL returns the address of a repository's folder.
func (s *Server) URL(dir string) string { return "ssh://" + s.user + "@" + s.addr + dir }

// KnownHosts returns the line that trusts the server.
func (s *Server) KnownHosts() []byte {
	host, port, _ := net.SplitHostPort(s.addr)
	return fmt.Appendf(nil, "[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(s.hostKey))
}
