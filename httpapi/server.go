package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"
)

// What a client may take. Only the wait for a pass is not bounded here.
const (
	headerTime     = 10 * time.Second // to shake hands, and to send a request's headers
	bodyTime       = 10 * time.Second // to send a request's body
	answerTime     = time.Minute      // to take the answer, once it is there
	idleTime       = 2 * time.Minute  // between two requests
	maxHeader      = 64 << 10         // bytes
	maxBody        = 64 << 10         // bytes, where nothing is done with it
	maxConnections = 1024             // at once; further ones wait to be accepted
)

// keepAlive ends connections whose other end has vanished, after 75 s.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 4}

// ServerOptions are what a server is made of.
type ServerOptions struct {
	Address           string // HOST:PORT
	CertFile, KeyFile string // PEM; both empty: plain HTTP
	Log               *zap.Logger
}

// Server answers on a socket, within limits for those who connect to it.
type Server struct {
	listener net.Listener
	server   http.Server
}

// Listen opens the socket. Nobody is answered before Serve.
func Listen(ctx context.Context, opt ServerOptions) (*Server, error) {
	var security *tls.Config
	if opt.CertFile != "" {
		cert, err := openCertificate(opt.CertFile, opt.KeyFile, opt.Log)
		if err != nil {
			return nil, err
		}
		security = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
	}
	l, err := (&net.ListenConfig{KeepAliveConfig: keepAlive}).Listen(ctx, "tcp", opt.Address)
	if err != nil {
		return nil, err
	}
	return newServer(l, security, opt.Log), nil
}

func newServer(l net.Listener, security *tls.Config, logger *zap.Logger) *Server {
	s := &Server{listener: netutil.LimitListener(l, maxConnections)}
	s.server.TLSConfig = security
	// A connection is one request at a time: HTTP/2 would make that hundreds.
	s.server.Protocols = new(http.Protocols)
	s.server.Protocols.SetHTTP1(true)
	// No ReadTimeout and no WriteTimeout: they would also end requests that wait
	// for a pass. limit sets deadlines instead.
	s.server.ReadHeaderTimeout = headerTime
	s.server.IdleTimeout = idleTime
	s.server.MaxHeaderBytes = maxHeader
	s.server.ErrorLog = log.New(serverLog{logger}, "", 0)
	return s
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Secure says whether the server speaks TLS.
func (s *Server) Secure() bool { return s.server.TLSConfig != nil }

// Serve answers requests until Shutdown.
func (s *Server) Serve(h http.Handler) error {
	s.server.Handler = limit(h)
	if s.Secure() {
		return s.server.ServeTLS(s.listener, "", "")
	}
	return s.server.Serve(s.listener)
}

// Shutdown takes no more requests, and gives those that run until ctx ends.
func (s *Server) Shutdown(ctx context.Context) {
	s.server.Shutdown(ctx)
	s.server.Close()
}

// serverLog takes what net/http has to say.
type serverLog struct{ log *zap.Logger }

func (l serverLog) Write(p []byte) (int, error) {
	text := strings.TrimSpace(string(p))
	if strings.HasPrefix(text, "http: TLS handshake error") { // every port scan
		l.log.Debug(text)
	} else {
		l.log.Warn(text)
	}
	return len(p), nil
}

// limit reads the bodies of requests, within bounds, and bounds the time for
// taking an answer. A body that is left unread would be waited for when the
// answer is there, and until then hide that its client has gone.
func limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		control := http.NewResponseController(w)
		control.SetWriteDeadline(time.Time{}) // of the answer before this one
		bounded := &answer{ResponseWriter: w}
		defer bounded.begin()
		if req.ContentLength != 0 {
			control.SetReadDeadline(time.Now().Add(bodyTime))
			if bound := routeOf(req.URL.Path).body; bound > 0 {
				if _, ok := readBody(bounded, req, bound); !ok {
					return
				}
				control.SetReadDeadline(time.Time{})
			}
		}
		next.ServeHTTP(bounded, req)
	})
}

// readBody reads a request's body of at most bound bytes. If it cannot, it
// answers, and returns false.
func readBody(w http.ResponseWriter, req *http.Request, bound int64) ([]byte, bool) {
	tooLarge := func() ([]byte, bool) {
		w.Header().Set("Connection", "close")
		fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", bound))
		return nil, false
	}
	if req.ContentLength > bound {
		return tooLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, bound))
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return body, true
	case errors.As(err, &large):
		return tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		fail(w, http.StatusRequestTimeout, fmt.Sprintf("the body did not arrive within %s", bodyTime))
	default:
		w.Header().Set("Connection", "close")
		fail(w, http.StatusBadRequest, "the body cannot be read")
	}
	return nil, false
}

// answer is a ResponseWriter with a deadline that begins with the answer.
type answer struct {
	http.ResponseWriter
	begun bool
}

func (a *answer) begin() {
	if !a.begun {
		a.begun = true
		http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(answerTime))
	}
}

func (a *answer) WriteHeader(code int) {
	a.begin()
	a.ResponseWriter.WriteHeader(code)
}

func (a *answer) Write(p []byte) (int, error) {
	a.begin()
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
