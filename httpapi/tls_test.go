package httpapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kainlite/gitops-operator/test/certs"
)

// put replaces a file, as a volume or a person does.
func put(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCertificateIsReadAgainWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	one, two := certs.New(t, "one.example"), certs.New(t, "two.example")
	put(t, certFile, one.Cert)
	put(t, keyFile, one.Key)

	core, logs := observer.New(zap.InfoLevel)
	s, err := Listen(t.Context(), ServerOptions{Address: "127.0.0.1:0", CertFile: certFile, KeyFile: keyFile, Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(http.HandlerFunc(fine)) }()
	defer func() {
		s.Shutdown(context.Background())
		<-served
	}()
	dial := func(highest uint16) (name string, version uint16, err error) {
		c, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{
			InsecureSkipVerify: true, // the name is what is looked at
			MinVersion:         tls.VersionTLS10, MaxVersion: highest,
		})
		if err != nil {
			return "", 0, err
		}
		defer c.Close()
		state := c.ConnectionState()
		return state.PeerCertificates[0].Subject.CommonName, state.Version, nil
	}
	expect := func(when, want string) {
		t.Helper()
		if name, _, err := dial(tls.VersionTLS13); name != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", when, name, err, want)
		}
	}
	broken := func(want int) {
		t.Helper()
		if n := logs.FilterMessage("TLS certificate not read; going on with the last that was").Len(); n != want {
			t.Errorf("logged %d times, want %d", n, want)
		}
	}
	expect("first", "one.example")
	put(t, certFile, two.Cert)
	expect("with the new certificate and the old key", "one.example")
	expect("again", "one.example")
	broken(1)
	put(t, keyFile, two.Key)
	expect("with both", "two.example")
	put(t, keyFile, nil)
	expect("with an empty key", "two.example")
	broken(2)
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	expect("without a certificate", "two.example")
	expect("again", "two.example")
	broken(3)
	put(t, certFile, two.Cert)
	put(t, keyFile, two.Key)
	expect("when both are back", "two.example")
	if n := logs.FilterMessage("TLS certificate is read again").Len(); n != 2 {
		t.Errorf("recovery was logged %d times", n)
	}
	put(t, certFile, one.Cert)
	put(t, keyFile, one.Key)
	expect("after a second change", "one.example")

	if _, _, err := dial(tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 was taken")
	}
	if _, version, err := dial(tls.VersionTLS12); version != tls.VersionTLS12 || err != nil {
		t.Errorf("TLS 1.2: %x, %v", version, err)
	}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(one.Cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "one.example"}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 1 {
		t.Errorf("speaks %s", resp.Proto)
	}
}

func TestCertificateMustBeUsableAtStart(t *testing.T) {
	dir := t.TempDir()
	one, two := certs.New(t, "one.example"), certs.New(t, "two.example")
	file := func(name string, text []byte) string {
		put(t, filepath.Join(dir, name), text)
		return filepath.Join(dir, name)
	}
	cert, key, other := file("one.crt", one.Cert), file("one.key", one.Key), file("two.key", two.Key)
	for _, test := range []struct{ cert, key, want string }{
		{filepath.Join(dir, "none"), key, "read TLS certificate: open "},
		{cert, filepath.Join(dir, "none"), "read TLS key: open "},
		{cert, other, "private key does not match public key"},
		{file("empty", nil), key, "failed to find any PEM data in certificate input"},
		{key, cert, "use TLS certificate "},
	} {
		_, err := Listen(t.Context(), ServerOptions{Address: "127.0.0.1:0", CertFile: test.cert, KeyFile: test.key, Log: zap.NewNop()})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

func TestAddressInUseIsSaid(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(t.Context(), ServerOptions{Address: l.Addr().String(), Log: zap.NewNop()}); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Error(err)
	}
}
