package registry

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if image := os.Getenv(childImage); image != "" {
		checkInChild(image)
		return
	}
	logrus.SetOutput(io.Discard) // the real registry's
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/docker/go-events.(*Broadcaster).run"))
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// newClient makes a Client that is closed with the test, and does not wait
// between tries.
func newClient(t *testing.T, opt Options) *Client {
	c := New(opt)
	c.wait = 1
	t.Cleanup(c.Close)
	return c
}

// exists wants an answer.
func exists(t *testing.T, c *Client, image string, cred *Credentials) bool {
	t.Helper()
	there, err := c.Exists(t.Context(), image, cred)
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// fails wants a failure of a kind and returns its text.
func fails(t *testing.T, c *Client, image string, cred *Credentials, kind error) string {
	t.Helper()
	there, err := c.Exists(t.Context(), image, cred)
	if err == nil || there {
		t.Fatalf("got %v, %v; want a failure", there, err)
	}
	if !errors.Is(err, kind) {
		t.Errorf("error %q is not %q", err, kind)
	}
	return err.Error()
}

func credentials(t *testing.T, host, user, password string) *Credentials {
	t.Helper()
	return parse(t, fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte(user+":"+password))))
}

func parse(t *testing.T, config string) *Credentials {
	t.Helper()
	c, err := ParseCredentials([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fake is a registry that answers as the test says.
type fake struct {
	*httptest.Server
	host string

	mu   sync.Mutex
	seen []string // "METHOD PATH"
	auth []string // the Authorization headers, in the same order
}

// serve starts a fake on the loopback address, over plain http.
func serve(t *testing.T, h http.HandlerFunc) *fake {
	f := newFake(h)
	f.Start()
	t.Cleanup(f.Close)
	f.host = f.Listener.Addr().String()
	return f
}

func newFake(h http.HandlerFunc) *fake {
	f := &fake{}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.seen = append(f.seen, r.Method+" "+r.URL.Path)
		f.auth = append(f.auth, r.Header.Get("Authorization"))
		f.mu.Unlock()
		h(w, r)
	}))
	f.Config.ErrorLog = log.New(io.Discard, "", 0) // TLS to a plain server
	return f
}

func (f *fake) requests() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.seen, ", ")
}

func (f *fake) authorizations() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.auth, "")
}

// manifests answers the ping, and h the rest.
func manifests(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			h(w, r)
		}
	}
}

// found is how a registry says that it has the image.
func found(w http.ResponseWriter, r *http.Request) {
	const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`
	w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("a", 64))
	w.Header().Set("Content-Length", fmt.Sprint(len(manifest)))
	io.WriteString(w, manifest)
}

func refuse(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// authority is a private CA.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "private CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue makes a certificate for 127.0.0.1 and the given names.
func (a *authority) issue(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

// goTo makes all connections of a client end at addr, whatever host it names,
// and trust a.
func (c *Client) goTo(addr string, a *authority) {
	c.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	if a != nil {
		c.transport.TLSClientConfig = &tls.Config{RootCAs: a.pool()}
	}
}
