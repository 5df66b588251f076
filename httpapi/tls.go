package httpapi

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"sync"

	"go.uber.org/zap"
)

// certificate is a certificate chain and its key in two files. They are read at
// every handshake, so that a change counts at once, and parsed only when they
// have changed. While they cannot be used (one may be replaced before the
// other), the last good ones serve on.
type certificate struct {
	certFile, keyFile string
	log               *zap.Logger

	mu        sync.Mutex
	cert, key []byte // what was last read, good or not
	good      *tls.Certificate
	fault     string // what was last logged; empty while the files can be used
}

// openCertificate reads the files for the first time.
func openCertificate(certFile, keyFile string, log *zap.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	return c, c.load()
}

// get is tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fault := ""
	err := c.load()
	if err != nil {
		fault = err.Error()
	}
	if fault != c.fault {
		if c.fault = fault; err != nil {
			c.log.Error("TLS certificate not read; going on with the last that was", zap.Error(err))
		} else {
			c.log.Info("TLS certificate is read again")
		}
	}
	return c.good, nil
}

// load makes the files' certificate the good one, if they hold one.
func (c *certificate) load() error {
	cert, err := os.ReadFile(c.certFile)
	if err != nil {
		return fmt.Errorf("read TLS certificate: %w", err)
	}
	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		return fmt.Errorf("read TLS key: %w", err)
	}
	if bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) && c.fault == "" {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("use TLS certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.cert, c.key, c.good = cert, key, &pair
	return nil
}
