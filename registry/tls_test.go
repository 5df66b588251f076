package registry

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// childImage is set for the child process of a test, which looks up that image.
// Go reads SSL_CERT_FILE once per process.
const childImage = "REGISTRY_TEST_IMAGE"

func checkInChild(image string) {
	c := New(Options{})
	defer c.Close()
	there, err := c.Exists(context.Background(), image, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(there)
}

func TestTrustsTheAuthorityInSSLCertFile(t *testing.T) {
	ca := newAuthority(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, ca.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	cert := ca.issue(t)
	r := start(t, "none", "", &cert)
	c := newClient(t, Options{})
	c.transport.TLSClientConfig = &tls.Config{RootCAs: ca.pool()}
	image := r.addr() + "/owner/app:1"
	push(t, c, image, false)

	child := func(image, certFile string) string {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childImage+"="+image, "SSL_CERT_FILE="+certFile, "SSL_CERT_DIR=/nonexistent")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	equal(t, "there", child(image, file), "true\n")
	equal(t, "another tag", child(image+"0", file), "false\n")
	equal(t, "without the authority", child(image, "/nonexistent"), "check image "+image+" in registry "+r.addr()+
		": registry not available: tls: failed to verify certificate: x509: certificate signed by unknown authority"+
		" (if its certificate is signed by a private CA, name the CA's file in SSL_CERT_FILE)\n")
}

func TestRefusesACertificateForAnotherName(t *testing.T) {
	ca := newAuthority(t)
	f := newFake(manifests(found))
	f.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "registry.example.com")}}
	f.StartTLS()
	t.Cleanup(f.Close)
	c := newClient(t, Options{})
	c.goTo(f.Listener.Addr().String(), ca)
	got := fails(t, c, "ghcr.io/owner/app:1", nil, ErrUnavailable)
	equal(t, "message", got, "check image ghcr.io/owner/app:1 in registry ghcr.io: registry not available: "+
		"tls: failed to verify certificate: x509: certificate is valid for registry.example.com, not ghcr.io"+
		" (if its certificate is signed by a private CA, name the CA's file in SSL_CERT_FILE)")
	equal(t, "requests", f.requests(), "")
}
