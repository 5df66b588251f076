package registry

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

const (
	anonymous = "it was asked without credentials: give some, or check that the repository exists"
	reachable = "check that it runs and can be reached from here"
)

// Whatever a registry answers but a plain yes or no is an error that says so.
func TestAnswersThatAreNeitherYesNorNo(t *testing.T) {
	html := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<html>Sign in</html>")
	}
	typed := func(contentType string) http.HandlerFunc {
		return manifests(func(w http.ResponseWriter, r *http.Request) {
			found(header{w, "Content-Type", contentType}, r)
		})
	}
	noRegistry := "check that HOST is a container registry"
	for _, test := range []struct {
		name     string
		answer   http.HandlerFunc
		kind     error
		detail   string
		hint     string
		requests string
	}{
		{"a web page for everything", html,
			ErrUnexpected, `its type is "text/html; charset=utf-8", which is no image manifest`, noRegistry, "PING HEAD GET"},
		{"a web page for the manifest", manifests(html),
			ErrUnexpected, `its type is "text/html; charset=utf-8", which is no image manifest`, noRegistry, "PING HEAD GET"},
		{"JSON that is no manifest", typed("application/json"),
			ErrUnexpected, `its type is "application/json", which is no image manifest`, noRegistry, "PING HEAD GET"},
		{"a layer", typed("application/vnd.oci.image.layer.v1.tar+gzip"),
			ErrUnexpected, `its type is "application/vnd.oci.image.layer.v1.tar+gzip", which is no image manifest`, noRegistry, "PING HEAD GET"},
		{"not found, by something else", refuse(404, "404 page not found"),
			ErrUnexpected, "404 Not Found", noRegistry, "PING"},
		{"unauthorized without saying how", manifests(refuse(401, "")),
			ErrUnauthorized, "401 Unauthorized", anonymous, "PING HEAD GET PING HEAD GET PING HEAD GET"},
		{"forbidden with a reason", manifests(refuse(403, `{"errors":[{"code":"DENIED","message":"quota exceeded"},{"code":"X","message":"y"}]}`)),
			ErrUnauthorized, "403 Forbidden, DENIED: quota exceeded, X: y", anonymous, "PING HEAD GET PING HEAD GET PING HEAD GET"},
		{"forbidden at once", refuse(403, "<html>blocked</html>"),
			ErrUnauthorized, "403 Forbidden", anonymous, "PING PING PING"},
		{"too many requests", manifests(refuse(429, "")),
			ErrRateLimited, "429 Too Many Requests", "wait, or use credentials with a higher limit", "PING HEAD PING HEAD PING HEAD"},
		{"an error of the server", manifests(refuse(500, "")),
			ErrUnavailable, "500 Internal Server Error", reachable, "PING HEAD PING HEAD PING HEAD"},
		{"unavailable from the start", refuse(503, `{"errors":[{"code":"UNAVAILABLE","message":"service unavailable"}]}`),
			ErrUnavailable, "503 Service Unavailable, UNAVAILABLE: service unavailable", reachable, "PING PING PING"},
		{"a proxy's error", manifests(refuse(522, "")),
			ErrUnavailable, "522", reachable, "PING HEAD PING HEAD PING HEAD"},
		{"a policy", manifests(refuse(412, `{"errors":[{"code":"PROJECTPOLICYVIOLATION","message":"image is not signed"}]}`)),
			ErrUnexpected, "412 Precondition Failed, PROJECTPOLICYVIOLATION: image is not signed", "see the registry's reason", "PING HEAD GET"},
		{"a long reason", manifests(refuse(403, `{"errors":[{"code":"DENIED","message":"`+strings.Repeat("ä", 1000)+`"}]}`)),
			ErrUnauthorized, "403 Forbidden, DENIED: " + strings.Repeat("ä", 138) + "...", anonymous, "PING HEAD GET PING HEAD GET PING HEAD GET"},
		{"a manifest without end", manifests(endless("application/vnd.oci.image.manifest.v1+json")),
			ErrUnexpected, "more than 4 MiB", noRegistry, "PING HEAD GET"},
		{"a challenge that makes no sense", challenge("Bearer service=x", found),
			ErrUnexpected, "malformed www-authenticate, missing realm: map[service:x]", noRegistry, "PING"},
		{"tokens at an address that is private", challenge(`Bearer realm="https://10.0.0.1/token"`, found),
			ErrUnexpected, `invalid realm in www-authenticate: realm host "10.0.0.1" is a private or link-local address`, noRegistry, "PING"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := serve(t, test.answer)
			got := fails(t, newClient(t, Options{}), f.host+"/owner/app:1", nil, test.kind)
			equal(t, "message", got, fmt.Sprintf("check image %s/owner/app:1 in registry %s: %s: %s (%s)", f.host, f.host,
				test.kind, test.detail, strings.ReplaceAll(test.hint, "HOST", f.host)))
			equal(t, "requests", short(f.requests()), test.requests)
		})
	}
}

// header overrides a header of what is written; with "" it is left out.
type header struct {
	http.ResponseWriter
	name, value string
}

func (h header) Write(b []byte) (int, error) {
	h.Header()[h.name] = nil
	if h.value != "" {
		h.Header().Set(h.name, h.value)
	}
	return h.ResponseWriter.Write(b)
}

func endless(contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		chunk := []byte(strings.Repeat(" ", 64<<10))
		for r.Method == http.MethodGet {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}

func short(requests string) string {
	return strings.NewReplacer("GET /v2/owner/app/manifests/1", "GET", "HEAD /v2/owner/app/manifests/1", "HEAD", "GET /v2/", "PING", ", ", " ").Replace(requests)
}

func TestAnswersThatAreYesOrNo(t *testing.T) {
	only := func(method string, then, otherwise http.HandlerFunc) http.HandlerFunc {
		return manifests(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == method {
				then(w, r)
			} else {
				otherwise(w, r)
			}
		})
	}
	without := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { found(header{w, name, ""}, r) }
	}
	for _, test := range []struct {
		name     string
		answer   http.HandlerFunc
		there    bool
		requests string
	}{
		{"found", manifests(found), true, "PING HEAD"},
		{"found, with a parameter", manifests(func(w http.ResponseWriter, r *http.Request) {
			found(header{w, "Content-Type", "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8"}, r)
		}), true, "PING HEAD"},
		{"not found", manifests(refuse(404, "")), false, "PING HEAD"},
		{"HEAD is not allowed", only("GET", found, refuse(405, "")), true, "PING HEAD GET"},
		{"HEAD is not allowed, and not found", only("GET", refuse(404, ""), refuse(405, "")), false, "PING HEAD GET"},
		{"HEAD is not implemented", only("GET", found, refuse(501, "")), true, "PING HEAD GET"},
		{"HEAD is refused, GET is not", only("GET", found, refuse(403, "")), true, "PING HEAD GET"},
		{"HEAD without a digest", manifests(without("Docker-Content-Digest")), true, "PING HEAD GET"},
		{"HEAD without a type", only("GET", found, without("Content-Type")), true, "PING HEAD GET"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := serve(t, test.answer)
			equal(t, "there", exists(t, newClient(t, Options{}), f.host+"/owner/app:1", nil), test.there)
			equal(t, "requests", short(f.requests()), test.requests)
		})
	}
}

// A token server's "not found" is none of the image's.
func TestTokenServerWithoutAnswerIsNoAnswer(t *testing.T) {
	for _, test := range []struct {
		status int
		kind   error
		detail string
	}{
		{404, ErrUnexpected, "404 Not Found"},
		{429, ErrRateLimited, "429 Too Many Requests"},
		{502, ErrUnavailable, "502 Bad Gateway"},
	} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprint(test.status, late), func(t *testing.T) {
				var f *fake
				f = serve(t, func(w http.ResponseWriter, r *http.Request) {
					demand := fmt.Sprintf("Bearer realm=%q", "http://"+f.host+"/token")
					challenge(demand, func(w http.ResponseWriter, r *http.Request) {
						switch {
						case r.URL.Path != "/token": // the token is stale
							w.Header().Set("WWW-Authenticate", demand)
							w.WriteHeader(http.StatusUnauthorized)
						case late && strings.Count(f.requests(), "/token")%2 == 1:
							io.WriteString(w, `{"token":"stale"}`)
						default:
							w.WriteHeader(test.status)
						}
					})(w, r)
				})
				got := fails(t, newClient(t, Options{}), f.host+"/owner/app:1", nil, test.kind)
				if !strings.Contains(got, ": "+test.kind.Error()+": "+test.detail+" (") {
					t.Errorf("message %q lacks %q", got, test.detail)
				}
				equal(t, "asked for the manifest", strings.Contains(f.requests(), "HEAD"), late)
			})
		}
	}
}

func TestFaultsOfTheNetwork(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	hangUp := func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	}
	deaf, cut := serve(t, hangUp), serve(t, manifests(hangUp))
	half := serve(t, manifests(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "{")
	}))
	for _, test := range []struct{ name, host, detail string }{
		{"connection refused", closed, "connect: connection refused"},
		{"connection cut at once", deaf.host, "EOF"},
		{"connection cut", cut.host, "EOF"},
		{"answer cut", half.host, "unexpected EOF"},
		{"no such host", "registry.invalid", "lookup registry.invalid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := fails(t, newClient(t, Options{}), test.host+"/app:1", nil, ErrUnavailable)
			want := "check image " + test.host + "/app:1 in registry " + test.host + ": registry not available: " + test.detail
			if test.name == "no such host" { // the rest is the resolver's
				equal(t, "message", got[:min(len(got), len(want))], want)
				return
			}
			equal(t, "message", got, want+" ("+reachable+")")
			equal(t, "again", fails(t, newClient(t, Options{}), test.host+"/app:1", nil, ErrUnavailable), got)
		})
	}
	equal(t, "tries at the one that cuts", strings.Count(cut.requests(), "GET /v2/"), 2*tries)
}
