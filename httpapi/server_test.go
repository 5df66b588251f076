package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// pipes is a listener whose connections are in memory, so that time in a
// synctest bubble applies to them.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// client is the other end of a connection. It shows when the server ended it.
type client struct {
	net.Conn
	begin time.Time
}

func (c *client) send(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// rest reads until the server ends the connection, and says after how long.
func (c *client) rest() (text string, after time.Duration) {
	b, _ := io.ReadAll(c)
	return string(b), time.Since(c.begin)
}

// withServer runs a test with a server, and clients that connect.
func withServer(t *testing.T, h http.HandlerFunc, test func(t *testing.T, connect func() *client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		s := newServer(l, nil, zap.NewNop())
		served := make(chan error, 1)
		go func() { served <- s.Serve(h) }()
		test(t, func() *client {
			ours, theirs := net.Pipe()
			l.conns <- theirs
			return &client{ours, time.Now()}
		})
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		s.Shutdown(ended)
		if err := <-served; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
}

func fine(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "fine") }

// Who sends too slowly is dropped, or told so, in a time that does not depend on
// how much it sends.
func TestSlowSendersAreCutOff(t *testing.T) {
	for _, test := range []struct {
		name, first, drip string
		status            string
		after             time.Duration
	}{
		{"sends nothing", "", "", "", headerTime},
		{"headers, byte by byte", "GET /status HTTP/1.1\r\nHost: x\r\n", "X-a: b\r\n", "", headerTime},
		{"body, byte by byte", "POST /reconcile HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "x", "408 Request Timeout", bodyTime},
		{"no end of chunks", "POST /reconcile HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", "408 Request Timeout", bodyTime},
		{"body of a webhook", "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "x", "200 OK", bodyTime}, // the handler here leaves it unread
	} {
		t.Run(test.name, func(t *testing.T) {
			withServer(t, fine, func(t *testing.T, connect func() *client) {
				c := connect()
				var dripping sync.WaitGroup
				dripping.Go(func() {
					io.WriteString(c, test.first)
					for test.drip != "" {
						time.Sleep(time.Second)
						if _, err := io.WriteString(c, test.drip); err != nil {
							return
						}
					}
				})
				text, after := c.rest()
				c.Close()
				dripping.Wait()
				if status, _, _ := strings.Cut(strings.TrimPrefix(text, "HTTP/1.1 "), "\r\n"); status != test.status || after < test.after || after > test.after+time.Second {
					t.Errorf("%q after %s, want %q after %s", status, after, test.status, test.after)
				}
			})
		})
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	withServer(t, fine, func(t *testing.T, connect func() *client) {
		c := connect()
		c.send(t, "GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
		if text, after := c.rest(); after != idleTime || !strings.HasSuffix(text, "fine") {
			t.Errorf("after %s: %q", after, text)
		}
	})
}

// The wait for a pass is not bounded, before or after a slow answer on the same
// connection; taking the answer is.
func TestWaitingTakesAsLongAsItTakesAndReadingDoesNot(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 1<<20)
	handler := func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/reconcile" {
			select {
			case <-time.After(time.Hour):
			case <-req.Context().Done():
				t.Error("the request was given up")
			}
		}
		w.Write(big)
	}
	withServer(t, handler, func(t *testing.T, connect func() *client) {
		c := connect()
		r := bufio.NewReader(c)
		for _, request := range []string{
			"GET /reconcile HTTP/1.1\r\nHost: x\r\n\r\n",
			"POST /reconcile HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
			"POST /reconcile HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		} {
			c.send(t, request)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, resp.Body); n != int64(len(big)) || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		}
		if took := time.Since(c.begin); took != 3*time.Hour {
			t.Errorf("took %s", took)
		}
		c.send(t, "GET /reconcile HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(time.Hour + answerTime + time.Second) // without reading
		if text, _ := io.ReadAll(r); len(text) >= len(big) {
			t.Error("a client that reads nothing got all")
		}
	})
}

func TestBigRequestsAreRefused(t *testing.T) {
	for _, test := range []struct{ name, request, status string }{
		{"headers", "GET /status HTTP/1.1\r\nHost: x\r\nX-Big: " + strings.Repeat("x", maxHeader+8<<10) + "\r\n\r\n", "431 Request Header Fields Too Large"},
		{"many headers", "GET /status HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: b\r\n", maxHeader/4) + "\r\n", "431 Request Header Fields Too Large"},
		{"path", "GET /" + strings.Repeat("x", maxHeader+8<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", "431 Request Header Fields Too Large"},
		{"announced body", "POST /reconcile HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", "413 Request Entity Too Large"},
		{"huge announced body", "POST /reconcile HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775807\r\n\r\n", "413 Request Entity Too Large"},
		{"chunked body", fmt.Sprintf("POST /reconcile HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", maxBody+1, strings.Repeat("x", maxBody+1)), "413 Request Entity Too Large"},
		{"body of the size", fmt.Sprintf("POST /reconcile HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", maxBody, strings.Repeat("x", maxBody)), "200 OK"},
		{"broken chunks", "POST /reconcile HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n", "400 Bad Request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			withServer(t, fine, func(t *testing.T, connect func() *client) {
				c := connect()
				var sending sync.WaitGroup
				sending.Go(func() { io.WriteString(c, test.request) }) // cut off where it is refused
				text, _ := c.rest()
				c.Close()
				sending.Wait()
				if status, _, _ := strings.Cut(strings.TrimPrefix(text, "HTTP/1.1 "), "\r\n"); status != test.status {
					t.Errorf("got %q, want %q", status, test.status)
				}
			})
		})
	}
}

// More than the bound are not refused, but wait for their turn.
func TestConnectionsAtOnceAreBounded(t *testing.T) {
	var mu sync.Mutex
	now, most := 0, 0
	handler := func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(time.Second)
		mu.Lock()
		now--
		mu.Unlock()
	}
	withServer(t, handler, func(t *testing.T, connect func() *client) {
		var all sync.WaitGroup
		for range maxConnections + 100 {
			all.Go(func() {
				c := connect()
				io.WriteString(c, "GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				if text, _ := c.rest(); !strings.HasPrefix(text, "HTTP/1.1 200 OK") {
					t.Errorf("%q", text)
				}
			})
		}
		all.Wait()
		if most != maxConnections {
			t.Errorf("%d at once", most)
		}
	})
}

func TestHandshakesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		s := newServer(l, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, io.EOF }}, zap.NewNop())
		served := make(chan error, 1)
		go func() { served <- s.Serve(http.HandlerFunc(fine)) }()
		ours, theirs := net.Pipe()
		l.conns <- theirs
		c := &client{ours, time.Now()}
		c.send(t, "\x16\x03\x01") // the begin of a hello
		if _, after := c.rest(); after != headerTime {
			t.Errorf("cut off after %s", after)
		}
		s.Shutdown(t.Context())
		<-served
	})
}

// Bodies of webhooks are read before it is known who sent them: few at once.
// Who sends slowly loses the place, and the next in line gets its time.
func TestWebhooksTakeTurns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	put(t, file, []byte("s3cret"))
	secret, err := OpenSecretFile(file, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	var a *API
	const head = "POST /webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\nContent-Type: application/json\r\n"
	handler := func(w http.ResponseWriter, req *http.Request) { a.webhook(w, req) }
	withServer(t, handler, func(t *testing.T, connect func() *client) {
		a = New(nil, nil, zap.NewNop())
		a.WebhookSecret = secret
		var all sync.WaitGroup
		ask := func(request, status string, after time.Duration) {
			c := connect()
			c.send(t, request)
			all.Go(func() {
				if text, took := c.rest(); !strings.HasPrefix(text, "HTTP/1.1 "+status) || took != after {
					t.Errorf("after %s: %q, want %s after %s", took, text, status, after)
				}
			})
		}
		for range webhooksAtOnce {
			ask(head+"X-Hub-Signature-256: sha256=00\r\n\r\n{", "408", bodyTime)
		}
		time.Sleep(time.Second)
		ask(head+"X-Gitlab-Token: s3cret\r\n\r\n{}", "400", bodyTime-time.Second)
		ask(head+"\r\n{}", "401", 0) // needs no place
		all.Wait()
	})
}
