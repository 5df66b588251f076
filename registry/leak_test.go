package registry

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// secrets are in what the tests of this file give; none of it may be where it
// does not belong.
var secrets = []string{"s3cret", base64.StdEncoding.EncodeToString([]byte("me:s3cret")), "bearer-of-me"}

func holdsNone(t *testing.T, what, text string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("%s holds %q: %s", what, s, text)
		}
	}
}

// challenge answers the ping with a demand for authentication; what comes with
// any goes to h.
func challenge(demand string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			w.Header().Set("WWW-Authenticate", demand)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h(w, r)
	}
}

// atLocalhost is a server's address by name: the library refuses to be sent to
// another address that is a number and private.
func atLocalhost(f *fake) string {
	_, port, _ := net.SplitHostPort(f.host)
	return "localhost:" + port
}

func TestRedirectsTakeNoCredentialsAlong(t *testing.T) {
	for _, scheme := range []string{"Basic", "Bearer"} {
		t.Run(scheme, func(t *testing.T) {
			other := serve(t, found)
			realm := "" // of the registry itself
			f := serve(t, func(w http.ResponseWriter, r *http.Request) {
				challenge(fmt.Sprintf("%s realm=%q", scheme, realm), func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/token" {
						io.WriteString(w, `{"token":"bearer-of-me"}`)
						return
					}
					http.Redirect(w, r, "http://"+atLocalhost(other)+"/elsewhere", http.StatusTemporaryRedirect)
				})(w, r)
			})
			realm = "http://" + f.host + "/token"
			c := newClient(t, Options{})
			equal(t, "there", exists(t, c, f.host+"/app:1", credentials(t, f.host, "me", "s3cret")), true)
			equal(t, "requests to the other host", other.requests(), "HEAD /elsewhere")
			equal(t, "credentials sent to the other host", other.authorizations(), "")
			if f.authorizations() == "" {
				t.Error("no credentials were sent to the registry")
			}
		})
	}
}

func TestTokenServersCannotPassCredentialsOn(t *testing.T) {
	other := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"token":"x"}`) })
	var f *fake
	f = serve(t, func(w http.ResponseWriter, r *http.Request) {
		challenge(`Bearer realm="http://`+f.host+`/token"`, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				http.Redirect(w, r, "http://"+atLocalhost(other)+"/token", http.StatusTemporaryRedirect)
				return
			}
			found(w, r)
		})(w, r)
	})
	c := newClient(t, Options{})
	image := f.host + "/app:1"

	cred := parse(t, `{"auths":{"`+f.host+`":{"identitytoken":"s3cret"}}}`)
	got := fails(t, c, image, cred, ErrUnexpected)
	equal(t, "message", got, "check image "+image+" in registry "+f.host+": unexpected answer: "+atLocalhost(other)+
		": refused to pass credentials on (check that "+f.host+" is a container registry)")
	equal(t, "requests to the other host", other.requests(), "")

	// A password goes in a header, which is left out.
	equal(t, "there", exists(t, c, image, credentials(t, f.host, "me", "s3cret")), true)
	equal(t, "requests to the other host", other.requests(), "GET /token")
	equal(t, "credentials sent to the other host", other.authorizations(), "")
}

// A server may answer with what it was sent, or make up a text of its own.
func TestErrorsHoldNoCredentials(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		_, sent, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		_, plain, _ := r.BasicAuth()
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":"no, %s, %s\n\u001b[31mred\u202e","detail":"s3cret"}]}`, sent, plain)
	}
	t.Run("basic", func(t *testing.T) {
		f := serve(t, challenge(`Basic realm="r"`, echo))
		got := fails(t, newClient(t, Options{}), f.host+"/app:1", credentials(t, f.host, "me", "s3cret"), ErrUnauthorized)
		equal(t, "message", got, "check image "+f.host+"/app:1 in registry "+f.host+
			": access denied: 403 Forbidden, DENIED: no, ***, *** [31mred (check that the credentials are right and may read this repository, and that it exists)")
	})
	t.Run("token", func(t *testing.T) {
		var f *fake
		f = serve(t, func(w http.ResponseWriter, r *http.Request) {
			challenge(`Bearer realm="http://`+f.host+`/token"`, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/token" {
					io.WriteString(w, `{"token":"bearer-of-me"}`)
					return
				}
				echo(w, r)
			})(w, r)
		})
		got := fails(t, newClient(t, Options{}), f.host+"/app:1", credentials(t, f.host, "me", "s3cret"), ErrUnauthorized)
		holdsNone(t, "error", got)
		if !strings.Contains(got, "DENIED: no, ***") {
			t.Errorf("error %q lacks what the registry said", got)
		}
	})
	t.Run("token server", func(t *testing.T) {
		for _, body := range []string{`{"refresh_token":"s3cret"}`, `{"token":"s3cret`, "s3cret", `{"token":["s3cret"]}`, strings.Repeat("s3cret", 20000)} {
			var f *fake
			f = serve(t, func(w http.ResponseWriter, r *http.Request) {
				challenge(`Bearer realm="http://`+f.host+`/token"`, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })(w, r)
			})
			holdsNone(t, "error", fails(t, newClient(t, Options{}), f.host+"/app:1", nil, ErrUnexpected))
		}
	})
}

func TestRedirectsWithoutEnd(t *testing.T) {
	f := serve(t, manifests(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
	}))
	got := fails(t, newClient(t, Options{}), f.host+"/app:1", nil, ErrUnexpected)
	equal(t, "message", got, "check image "+f.host+"/app:1 in registry "+f.host+
		": unexpected answer: stopped after 5 redirects (check that "+f.host+" is a container registry)")
	equal(t, "requests", strings.Count(f.requests(), "HEAD"), 1+maxRedirects)
}

func TestPlainHTTPIsForTheLoopbackAddressAndListedHosts(t *testing.T) {
	for _, test := range []struct {
		host     string
		insecure []string
		allowed  bool
	}{
		{"localhost:5000", nil, true},
		{"LOCALHOST:5000", nil, true},
		{"127.0.0.1:5000", nil, true},
		{"127.8.8.8:5000", nil, true},
		{"[::1]:5000", nil, true},
		{"10.0.0.5:5000", nil, false},
		{"192.168.1.1", nil, false},
		{"registry.localhost:5000", nil, false},
		{"localhost.example.com:5000", nil, false},
		{"registry.example.com:5000", nil, false},
		{"registry.example.com:5000", []string{"registry.example.com"}, true},
		{"registry.example.com:5000", []string{"Registry.Example.com:5000"}, true},
		{"registry.example.com:5000", []string{"registry.example.com:5001", "example.com"}, false},
		{"10.0.0.5:5000", []string{"10.0.0.5:5000"}, true},
	} {
		t.Run(fmt.Sprint(test.host, test.insecure), func(t *testing.T) {
			f := serve(t, manifests(found))
			c := newClient(t, Options{Insecure: test.insecure})
			c.goTo(f.host, nil)
			if test.allowed {
				equal(t, "there", exists(t, c, test.host+"/app:1", nil), true)
				return
			}
			got := fails(t, c, test.host+"/app:1", credentials(t, test.host, "me", "s3cret"), ErrUnavailable)
			equal(t, "message", got, "check image "+test.host+"/app:1 in registry "+test.host+
				": registry not available: it does not speak https (if plain http is good enough here, allow it with --insecure-registry "+test.host+")")
			equal(t, "requests", f.requests(), "")
		})
	}
}

func TestDoesNotFollowFromHTTPSToPlainHTTP(t *testing.T) {
	ca := newAuthority(t)
	f := newFake(challenge(`Basic realm="r"`, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://cdn.example.com/manifest", http.StatusTemporaryRedirect)
	}))
	f.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "registry.example.com")}}
	f.StartTLS()
	t.Cleanup(f.Close)
	c := newClient(t, Options{})
	c.goTo(f.Listener.Addr().String(), ca)
	got := fails(t, c, "registry.example.com/app:1", credentials(t, "registry.example.com", "me", "s3cret"), ErrUnexpected)
	equal(t, "message", got, "check image registry.example.com/app:1 in registry registry.example.com: unexpected answer: "+
		"cdn.example.com: refused to ask without TLS (check that registry.example.com is a container registry)")
}
