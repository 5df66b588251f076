package hostile

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// evil is an SSH server that lets everybody in and then does what it likes.
type evil struct {
	listener net.Listener
	signer   ssh.Signer
	config   *ssh.ServerConfig
	// raw takes a connection before it speaks SSH; nil: nothing special.
	raw func(net.Conn)
	// answer takes the place of git; it ends with the client.
	answer func(command string, ch ssh.Channel) uint32

	mu      sync.Mutex
	conns   []net.Conn
	serving sync.WaitGroup
}

func newEvil(t *testing.T, e *evil) *evil {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e.signer = must(t, ssh.Signer(nil), nil)
	if e.signer, err = ssh.NewSignerFromSigner(private); err != nil {
		t.Fatal(err)
	}
	if e.config == nil {
		e.config = &ssh.ServerConfig{}
	}
	e.config.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }
	e.config.AddHostKey(e.signer)
	if e.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	e.serving.Go(func() {
		for {
			conn, err := e.listener.Accept()
			if err != nil {
				return
			}
			e.mu.Lock()
			e.conns = append(e.conns, conn)
			e.mu.Unlock()
			e.serving.Go(func() { e.serve(conn) })
		}
	})
	t.Cleanup(func() {
		e.listener.Close()
		e.mu.Lock()
		for _, c := range e.conns {
			c.Close()
		}
		e.mu.Unlock()
		e.serving.Wait()
	})
	return e
}

func (e *evil) serve(conn net.Conn) {
	defer conn.Close()
	if e.raw != nil {
		e.raw(conn)
	}
	_, channels, requests, err := ssh.NewServerConn(conn, e.config)
	if err != nil {
		return
	}
	e.serving.Go(func() { ssh.DiscardRequests(requests) })
	for offer := range channels {
		ch, asked, err := offer.Accept()
		if err != nil {
			return
		}
		e.serving.Go(func() {
			for r := range asked {
				var exec struct{ Command string }
				r.Reply(true, nil)
				if r.Type == "exec" && ssh.Unmarshal(r.Payload, &exec) == nil {
					e.serving.Go(func() {
						code := e.answer(exec.Command, ch)
						ch.CloseWrite()
						ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{code}))
						ch.Close()
					})
				}
			}
		})
	}
}

func (e *evil) url() string {
	return "ssh://git@" + e.listener.Addr().String() + "/x.git"
}

func (e *evil) knownHosts() []byte {
	return []byte(knownhosts.Line([]string{e.listener.Addr().String()}, e.signer.PublicKey()) + "\n")
}

// pkt writes a packet of git's protocol; more is what follows the first line,
// such as capabilities.
func pkt(w io.Writer, format string, args ...any) error {
	s := fmt.Sprintf(format, args...)
	_, err := fmt.Fprintf(w, "%04x%s", len(s)+4, s)
	return err
}

func flush(w io.Writer) { io.WriteString(w, "0000") }

// readPkts reads packets up to a flush.
func readPkts(r io.Reader) error {
	for {
		var size int
		head := make([]byte, 4)
		if _, err := io.ReadFull(r, head); err != nil {
			return err
		}
		if _, err := fmt.Sscanf(string(head), "%04x", &size); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
		if size < 4 {
			continue
		}
		if _, err := io.CopyN(io.Discard, r, int64(size-4)); err != nil {
			return errors.Join(errors.New("short packet"), err)
		}
	}
}
