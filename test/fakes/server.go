// Package fakes holds servers that stand in for GitHub's Actions API and for
// Slack in tests and in the demo command. They speak real HTTP, on the loopback
// address or over pipes inside the process, and misbehave on request: slow,
// wrong, rate-limited, cut off, silent. The package knows nothing of the others.
package fakes

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Fault is what a server does with a request. The fields are looked at in their
// order; the zero value is a proper answer.
type Fault struct {
	Delay  time.Duration // wait first
	Hang   bool          // never answer: until the client goes or the server closes
	Cut    bool          // close the connection without an answer
	Raw    string        // send this as it is, and close the connection
	Status int           // answer this, with Header and Body, instead of what is right
	Header map[string]string
	Body   string
}

// Request is what a client sent.
type Request struct {
	Method        string
	URI           string // path and query
	Authorization string
	Body          string
}

// Server is what the fakes have in common. Its methods may be called from any
// goroutine.
type Server struct {
	url     string
	http    http.Server
	answer  http.Handler
	closing chan struct{}
	running sync.WaitGroup // Serve, and the handlers

	mu       sync.Mutex
	closed   bool
	once     []Fault
	always   Fault
	requests []Request
}

// serve starts a server; a nil listener means a free port on the loopback
// address.
func (s *Server) serve(l net.Listener, answer http.Handler) error {
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
	}
	s.url = "http://" + l.Addr().String()
	s.answer = answer
	s.closing = make(chan struct{})
	s.http.Handler = http.HandlerFunc(s.handle)
	s.http.ErrorLog = log.New(io.Discard, "", 0)
	s.running.Go(func() { s.http.Serve(l) })
	return nil
}

// URL is the server's address, without a path.
func (s *Server) URL() string { return s.url }

// Close ends the server and every request that it holds, and waits for them.
// Later connections are refused.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.http.Close()
	s.running.Wait()
}

// Next gives each of the next requests one fault, in order. They are added to
// those that still wait for a request, and come before that of Always.
func (s *Server) Next(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.once = append(s.once, faults...)
}

// Always gives every request the fault; the zero Fault ends that.
func (s *Server) Always(fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = fault
}

// Requests are those that have arrived, in order, the faulty ones too.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	// Only with the body read does the server see that a client goes.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "cannot read the body", http.StatusBadRequest)
		return
	}
	fault, ok := s.arrived(Request{r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), string(body)})
	if !ok {
		return
	}
	defer s.running.Done()
	if fault.Delay > 0 && !s.wait(r, time.After(fault.Delay)) {
		return
	}
	switch {
	case fault.Hang:
		s.wait(r, nil)
		panic(http.ErrAbortHandler)
	case fault.Cut:
		panic(http.ErrAbortHandler)
	case fault.Raw != "":
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		io.WriteString(conn, fault.Raw)
		conn.Close()
	case fault.Status != 0:
		for name, value := range fault.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(fault.Status)
		io.WriteString(w, fault.Body)
	default:
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.answer.ServeHTTP(w, r)
	}
}

// arrived notes a request and returns its fault; ok is false once the server is
// closed.
func (s *Server) arrived(request Request) (fault Fault, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Fault{}, false
	}
	s.running.Add(1)
	s.requests = append(s.requests, request)
	if len(s.once) == 0 {
		return s.always, true
	}
	fault, s.once = s.once[0], s.once[1:]
	return fault, true
}

// wait waits for the time and says whether it came, before the client went or
// the server closed.
func (s *Server) wait(r *http.Request, until <-chan time.Time) bool {
	select {
	case <-until:
		return true
	case <-r.Context().Done():
	case <-s.closing:
	}
	return false
}

// Start starts a server with the answers of another package; a nil listener
// means a free port on the loopback address.
func (s *Server) Start(l net.Listener, answer http.Handler) error { return s.serve(l, answer) }
