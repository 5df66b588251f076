package cli

import "time"

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
