package scripts

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kainlite/gitops-operator/test/certs"
)

// scriptCurl asks the operator, with curl's options: see TestStories.
func scriptCurl(ts *testscript.TestScript, neg bool, args []string) {
	method, header, transport := http.MethodGet, http.Header{}, &http.Transport{TLSClientConfig: &tls.Config{}}
	defer transport.CloseIdleConnections()
	var data []byte
	until := regexp.MustCompile("")
	for len(args) > 2 && strings.HasPrefix(args[0], "-") {
		switch value := args[1]; args[0] {
		case "-X":
			method = value
		case "-H":
			name, value, _ := strings.Cut(value, ": ")
			header.Set(name, value)
		case "-d":
			if method = http.MethodPost; value != "" {
				data = []byte(ts.ReadFile(value))
			}
		case "--until":
			until = regexp.MustCompile("(?m)" + value)
		case "--cacert":
			transport.TLSClientConfig.RootCAs = x509.NewCertPool()
			transport.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(ts.ReadFile(value)))
		default:
			ts.Fatalf("unknown option %s", args[0])
		}
		args = args[2:]
	}
	var resp *http.Response
	var body []byte
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		req, err := http.NewRequest(method, ts.Getenv("URL")+args[0], bytes.NewReader(data))
		ts.Check(err)
		req.Header = header
		resp, err = (&http.Client{Transport: transport}).Do(req)
		ts.Check(err)
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		ts.Check(err)
		if until.Match(body) || time.Now().After(end) {
			break
		}
	}
	ts.Stdout().Write(body)
	if (resp.StatusCode >= 400) != neg || !until.Match(body) {
		ts.Fatalf("%s %s: %s: %s", method, args[0], resp.Status, body)
	}
	fmt.Fprintln(ts.Stderr(), resp.Status, resp.Header.Get("Content-Type"))
	if resp.TLS != nil {
		fmt.Fprintln(ts.Stderr(), "certificate of", resp.TLS.PeerCertificates[0].Subject.CommonName)
	}
}

// scriptCert makes a certificate for a name.
func scriptCert(ts *testscript.TestScript, _ bool, args []string) {
	pair := certs.New(fataler{ts}, args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pair.Cert, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), pair.Key, 0o600))
}

type fataler struct{ ts *testscript.TestScript }

func (f fataler) Fatal(args ...any) { f.ts.Fatalf("%s", fmt.Sprint(args...)) }

// scriptSign puts the signature of a file into a variable.
func scriptSign(ts *testscript.TestScript, _ bool, args []string) {
	mac := hmac.New(sha256.New, []byte(strings.TrimSpace(ts.ReadFile(args[1]))))
	mac.Write([]byte(ts.ReadFile(args[2])))
	ts.Setenv(args[0], hex.EncodeToString(mac.Sum(nil)))
}
