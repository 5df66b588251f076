package fakes

import (
	"context"
	"net"
	"sync"
)

// Pipe is a network inside the process with one server on it: a
// [net.Listener], and the DialContext of an http.Transport that reaches it
// whatever the address. Its connections are pipes, on which tests can run under
// a fake clock, as they cannot on sockets.
type Pipe struct {
	conns chan net.Conn
	done  chan struct{}
	close sync.Once
}

// NewPipe returns a network for one server.
func NewPipe() *Pipe {
	return &Pipe{conns: make(chan net.Conn), done: make(chan struct{})}
}

// Accept returns the next connection.
func (p *Pipe) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// DialContext connects to the server.
func (p *Pipe) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends the listening; connections stay.
func (p *Pipe) Close() error {
	p.close.Do(func() { close(p.done) })
	return nil
}

// Addr makes URLs of the server look like loopback ones.
func (p *Pipe) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "localhost:80" }
