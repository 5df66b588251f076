// Package registryserver is a container registry inside the process: the demo
// command and the tests pull from it and push to it with real clients. It
// listens on the loopback address over plain http, keeps all in memory, and
// knows nothing of the other packages.
package registryserver

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Options are what a Server is started with.
type Options struct {
	// Username and Password, if set, are asked of every client (basic
	// authentication).
	Username, Password string
}

// Server is a running registry. Its methods may be called from any goroutine.
type Server struct {
	opt      Options
	listener net.Listener
	server   *http.Server
	client   *http.Transport // for Push
	serving  sync.WaitGroup
}

// Start listens on a free port of 127.0.0.1 and serves until Close.
func Start(opt Options) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start registry: %w", err)
	}
	quiet := log.New(io.Discard, "", 0)
	s := &Server{opt: opt, listener: listener, client: http.DefaultTransport.(*http.Transport).Clone()}
	s.server = &http.Server{
		Handler:           s.authenticate(registry.New(registry.Logger(quiet))),
		ErrorLog:          quiet,
		ReadHeaderTimeout: 10 * time.Second,
	}
	s.serving.Go(func() { s.server.Serve(listener) })
	return s, nil
}

// Addr is the host and port that images of this registry begin with.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Push puts an image of a few hundred bytes under name, such as "owner/app",
// and tag. A tag that exists is moved to the new image.
func (s *Server) Push(repository, tag string) error {
	ref, err := name.NewTag(s.Addr() + "/" + repository + ":" + tag)
	if err != nil {
		return fmt.Errorf("push image: %w", err)
	}
	image, err := random.Image(64, 1)
	if err != nil {
		return fmt.Errorf("push %s: %w", ref, err)
	}
	auth := authn.FromConfig(authn.AuthConfig{Username: s.opt.Username, Password: s.opt.Password})
	if err := remote.Write(ref, image, remote.WithTransport(s.client), remote.WithAuth(auth)); err != nil {
		return fmt.Errorf("push %s: %w", ref, err)
	}
	return nil
}

// Close ends the connections and waits for the server to stop.
func (s *Server) Close() {
	s.client.CloseIdleConnections()
	s.server.Close()
	s.serving.Wait()
}

func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if s.opt.Username != "" && subtle.ConstantTimeCompare([]byte(user+":"+password), []byte(s.opt.Username+":"+s.opt.Password)) == 0 {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
