package gitserver

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"
)

// delayLine is a queue that hands out each chunk some time after it was put
// in, in order. Chunks wait side by side, so a delay costs no throughput. Its
// length needs no bound of its own: the windows of SSH bound what is on the
// way. It has one consumer.
type delayLine struct {
	mu     sync.Mutex
	chunks []delayedChunk
	end    error         // what comes after the last chunk, once set
	change chan struct{} // wakes the consumer
}

type delayedChunk struct {
	due  time.Time
	data []byte
}

func newDelayLine() *delayLine { return &delayLine{change: make(chan struct{}, 1)} }

// put appends a chunk, which becomes the line's own.
func (l *delayLine) put(data []byte, delay time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end != nil {
		return l.end
	}
	l.chunks = append(l.chunks, delayedChunk{time.Now().Add(delay), data})
	l.wake()
	return nil
}

// finish refuses further chunks with an error, which is also what next returns
// after the last one.
func (l *delayLine) finish(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end == nil {
		l.end = err
	}
	l.wake()
}

// discard is finish, and drops what is still on the way.
func (l *delayLine) discard(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end, l.chunks = err, nil
	l.wake()
}

func (l *delayLine) wake() {
	select {
	case l.change <- struct{}{}:
	default:
	}
}

// next waits for the next chunk to be due.
func (l *delayLine) next() ([]byte, error) {
	for {
		data, wait, err := l.poll()
		if data != nil || err != nil {
			return data, err
		}
		var due <-chan time.Time // never, while the line is empty
		if wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-l.change:
		case <-due:
		}
	}
}

// poll returns the first chunk if it is due, otherwise the time left (0 if
// there is none).
func (l *delayLine) poll() ([]byte, time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.chunks) == 0 {
		return nil, 0, l.end
	}
	first := l.chunks[0]
	if wait := time.Until(first.due); wait > 0 {
		return nil, wait, nil
	}
	l.chunks = l.chunks[1:]
	return first.data, 0, nil
}

// delayedConn is a TCP connection with a delay line in each direction.
type delayedConn struct {
	*net.TCPConn
	delay   func() time.Duration
	in, out *delayLine
	unread  []byte // of the chunk last taken from in
	pumps   sync.WaitGroup
}

func newDelayedConn(tcp *net.TCPConn, delay func() time.Duration) *delayedConn {
	return &delayedConn{TCPConn: tcp, delay: delay, in: newDelayLine(), out: newDelayLine()}
}

// start begins to move data; wait ends it.
func (c *delayedConn) start() {
	c.pumps.Go(c.receive)
	c.pumps.Go(c.send)
}

// wait returns once the connection has ended in both directions, and releases
// it.
func (c *delayedConn) wait() {
	c.pumps.Wait()
	c.TCPConn.Close()
}

func (c *delayedConn) receive() {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.TCPConn.Read(buf)
		if n > 0 {
			// After Close nobody takes it. It is read all the same: with unread
			// data the system would reset the connection, and the client would
			// lose the end of what it was sent.
			_ = c.in.put(bytes.Clone(buf[:n]), c.delay())
		}
		if err != nil {
			c.in.finish(err)
			return
		}
	}
}

func (c *delayedConn) send() {
	for {
		data, err := c.out.next()
		if err == nil {
			_, err = c.TCPConn.Write(data)
		}
		if err != nil {
			c.out.discard(err)
			c.TCPConn.CloseWrite()
			return
		}
	}
}

// Read implements net.Conn.
func (c *delayedConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		data, err := c.in.next()
		if err != nil {
			return 0, err
		}
		c.unread = data
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

// Write implements net.Conn. Data is on its way when it returns.
func (c *delayedConn) Write(p []byte) (int, error) {
	if err := c.out.put(bytes.Clone(p), c.delay()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close ends the connection after what was written has been delivered. The
// rest of what the client sends is ignored.
func (c *delayedConn) Close() error {
	c.in.discard(net.ErrClosed)
	c.out.finish(io.EOF)
	return nil
}

// abort ends the connection now.
func (c *delayedConn) abort() {
	c.in.discard(net.ErrClosed)
	c.out.discard(net.ErrClosed)
	c.TCPConn.Close()
}
