package k8s

import (
	"context"
	"net"
	"sync"
	"time"
)

// conns are the connections to the API server. A transport closes those that are
// idle, and one on which a watch has just ended is not yet: closing them all, at
// the end, leaves nothing behind.
type conns struct {
	dialer net.Dialer

	mu   sync.Mutex
	open map[*conn]bool
}

// conn is a connection that tells when it is closed.
type conn struct {
	net.Conn
	of *conns
}

func newConns() *conns {
	// As client-go's own.
	return &conns{dialer: net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}, open: map[*conn]bool{}}
}

func (cs *conns) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := cs.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	tracked := &conn{c, cs}
	cs.open[tracked] = true
	return tracked, nil
}

func (c *conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// close closes what is open.
func (cs *conns) close() {
	cs.mu.Lock()
	open := cs.open
	cs.open = map[*conn]bool{}
	cs.mu.Unlock()
	for c := range open {
		c.Conn.Close()
	}
}
