package cli

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/httpapi"
	"github.com/kainlite/gitops-operator/operator"
)

// answerGrace is how long clients may take, at the end, to read their answers.
const answerGrace = 2 * time.Second

// Serve are the flags of serve alone.
type Serve struct {
	Listen            string
	TokenFile         string
	ProtectMetrics    bool
	TLSCert, TLSKey   string
	WebhookSecretFile string
	Interval          time.Duration // between passes; 0: none by itself
}

// Define defines the flags.
func (s *Serve) Define(fs *Flags) {
	fs.StringVar(&s.Listen, "listen", ":8000", "HTTP `ADDR`")
	fs.StringVar(&s.TokenFile, "auth-token-file", "", "`FILE` with a token that everything but /health, /metrics and /webhook needs; read again when it changes")
	fs.BoolVar(&s.ProtectMetrics, "protect-metrics", false, "/metrics needs the token too")
	fs.StringVar(&s.TLSCert, "tls-cert", "", "`FILE` with a certificate chain (PEM): serve HTTPS; read again when it changes")
	fs.StringVar(&s.TLSKey, "tls-key", "", "`FILE` with the certificate's key (PEM)")
	fs.StringVar(&s.WebhookSecretFile, "webhook-secret-file", "", "`FILE` with the secret of those who send webhooks: take them at /webhook; read again when it changes")
	fs.DurationVar(&s.Interval, "interval", 0, "run a pass at each interval, give or take a tenth (0: only when asked)")
}

// Check adds what is wrong with the values to the flags' faults.
func (s *Serve) Check(fs *Flags) {
	if (s.TLSCert == "") != (s.TLSKey == "") {
		fs.Faultf("--tls-cert and --tls-key belong together: give both, or neither")
	}
	if s.Interval != 0 && s.Interval < time.Second {
		fs.Faultf("--interval is %s: use 1s or more, or 0 for none", s.Interval)
	}
	if s.ProtectMetrics && s.TokenFile == "" {
		fs.Faultf("--protect-metrics needs a token: give --auth-token-file")
	}
}

// serve runs the operator with its HTTP API, until ctx ends.
func (p program) serve(ctx context.Context, args []string) int {
	var c Config
	fs := New("serve", "[flags]")
	c.Serve.Define(fs)
	c.Define(fs)
	check := func(rest []string) {
		c.Serve.Check(fs)
		c.Check(fs)
		fs.NoArguments(rest)
	}
	if _, code, ok := fs.Parse(args, p.stdout, p.stderr, check); !ok {
		return code
	}
	o, log, err := c.start(ctx, p.version, p.stderr)
	if err != nil {
		return CannotRun(p.stderr, err)
	}
	defer o.Stop()
	server, handler, err := c.Serve.listen(ctx, o, log.Named("httpapi"))
	if err != nil {
		return CannotRun(p.stderr, err)
	}
	log = log.Named("main")
	log.Info("listening", zap.String("address", server.Addr().String()), zap.Bool("tls", server.Secure()), zap.String("version", versionLine(p.version)))
	if c.Serve.Interval > 0 {
		every, cancel := context.WithCancel(ctx)
		var passes sync.WaitGroup
		passes.Go(func() { o.Every(every, c.Serve.Interval) })
		defer passes.Wait()
		defer cancel()
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(handler) }()
	select {
	case err := <-served:
		return CannotRun(p.stderr, err)
	case <-ctx.Done():
	}
	log.Info("shutting down")
	// Requests that wait get their answers from the queue's end, and then some
	// time to take them.
	o.Finish()
	last, cancel := context.WithTimeout(context.Background(), answerGrace)
	defer cancel()
	server.Shutdown(last)
	<-served
	return ExitOK
}

// listen opens the socket, and returns what answers on it: everybody, or those
// who know the token.
func (s *Serve) listen(ctx context.Context, o *operator.Operator, log *zap.Logger) (*httpapi.Server, http.Handler, error) {
	api := httpapi.New(o, o.Metrics(), log)
	if s.WebhookSecretFile != "" {
		secret, err := httpapi.OpenSecretFile(s.WebhookSecretFile, log)
		if err != nil {
			return nil, nil, fmt.Errorf("read --webhook-secret-file: %w", err)
		}
		api.WebhookSecret = secret
	}
	var guards []func(http.Handler) http.Handler
	if s.TokenFile != "" {
		token, err := httpapi.OpenSecretFile(s.TokenFile, log)
		if err != nil {
			return nil, nil, fmt.Errorf("read --auth-token-file: %w", err)
		}
		guards = append(guards, httpapi.Guard{Token: token, ProtectMetrics: s.ProtectMetrics}.Wrap)
	}
	server, err := httpapi.Listen(ctx, httpapi.ServerOptions{Address: s.Listen, CertFile: s.TLSCert, KeyFile: s.TLSKey, Log: log})
	return server, api.Handler(guards...), err
}
