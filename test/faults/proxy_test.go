package faults

import (
	"net"
	"sync"
)

// proxy stands between the operator and a server. It can send in small packets
// and cut connections after so many of them.
type proxy struct {
	listener net.Listener
	target   string
	serving  sync.WaitGroup

	mu      sync.Mutex
	links   map[*link]struct{}
	refuse  bool // close new connections at once
	packet  int  // bytes; 0: as they come
	cut     *cut
	stalled chan struct{} // closed when lifted; nil: none
	closed  bool
}

// cut is when to cut connections.
type cut struct {
	after   int  // packets, of both directions together
	again   bool // cut every connection, not only the first
	reset   bool // with a TCP reset
	waiting bool // counts nothing until begin
	hits    int
}

// link is one proxied connection.
type link struct {
	client, server *net.TCPConn
	passed         int // packets, guarded by proxy.mu
}

func startProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, links: map[*link]struct{}{}}
	p.serving.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stall(false)
	p.listener.Close()
	p.drop()
	p.serving.Wait()
}

// drop cuts all connections now.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.end(false)
	}
}

// set changes how the proxy behaves.
func (p *proxy) set(change func(*proxy)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// begin starts the count of a cut that waits for it.
func (p *proxy) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut == nil || p.cut.hits > 0 && !p.cut.again {
		return
	}
	p.cut.waiting = false
	for l := range p.links {
		l.passed = 0
	}
}

// stall holds all data back, or lets it go on.
func (p *proxy) stall(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case on && p.stalled == nil:
		p.stalled = make(chan struct{})
	case !on && p.stalled != nil:
		close(p.stalled)
		p.stalled = nil
	}
}

func (p *proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.serving.Go(func() { p.serve(conn.(*net.TCPConn)) })
	}
}

func (p *proxy) serve(client *net.TCPConn) {
	p.mu.Lock()
	refuse := p.refuse || p.closed
	p.mu.Unlock()
	if refuse {
		client.Close()
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		client.Close()
		return
	}
	l := &link{client: client, server: server.(*net.TCPConn)}
	p.mu.Lock()
	p.links[l] = struct{}{}
	late := p.closed
	p.mu.Unlock()
	if late {
		l.end(false)
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(l, l.client, l.server) })
	both.Go(func() { p.copy(l, l.server, l.client) })
	both.Wait()
	l.end(false)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// end closes both sides, with a reset where that is asked for.
func (l *link) end(reset bool) {
	if reset {
		l.client.SetLinger(0)
		l.server.SetLinger(0)
	}
	l.client.Close()
	l.server.Close()
}

func (p *proxy) copy(l *link, from, to *net.TCPConn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		for data := buf[:n]; len(data) > 0; {
			size, ok := p.next(l, len(data))
			if !ok {
				return
			}
			if _, err := to.Write(data[:size]); err != nil {
				l.end(false)
				return
			}
			data = data[size:]
		}
		if err != nil {
			to.CloseWrite()
			return
		}
	}
}

// next says how many bytes to send as the next packet; ok is false when it is
// time to cut, which is then done.
func (p *proxy) next(l *link, size int) (n int, ok bool) {
	p.mu.Lock()
	if held := p.stalled; held != nil {
		p.mu.Unlock()
		<-held
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	if p.packet > 0 {
		size = min(size, p.packet)
	}
	c := p.cut
	if c == nil || c.waiting || c.hits > 0 && !c.again {
		return size, true
	}
	if l.passed >= c.after {
		c.hits++
		l.end(c.reset)
		return 0, false
	}
	l.passed++
	return size, true
}
