package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// Guard asks for a token: as a bearer token, or as the password of HTTP Basic
// authentication, with any user name, so that browsers can ask their users for
// it.
type Guard struct {
	Token          *SecretFile
	ProtectMetrics bool // /metrics needs the token too
}

// Wrap guards all of next but what the routes leave open.
func (g Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		route := routeOf(req.URL.Path)
		if route.access == open || route.access == mayNeedToken && !g.ProtectMetrics {
			next.ServeHTTP(w, req)
			return
		}
		given, basic := credentials(req)
		token, err := g.Token.Value()
		switch {
		case err != nil:
			fail(w, http.StatusServiceUnavailable, "the operator cannot read its token file: nobody is let in")
		case given == "":
			refuse(w, "a token is needed: send the header Authorization: Bearer TOKEN")
		case !equal(given, token):
			refuse(w, "the token is wrong")
		case basic && route.starts && req.Method != http.MethodPost && req.Header.Get("Sec-Fetch-Site") == "":
			// A browser sends a password by itself, also with a request that
			// another site's page made it send. It says so in Sec-Fetch-Site, but
			// only over https and on localhost; a POST has an Origin everywhere.
			fail(w, http.StatusForbidden, "with a password, use POST to start a pass; or send the header Authorization: Bearer TOKEN")
		default:
			next.ServeHTTP(w, req)
		}
	})
}

// credentials returns the token that a request brings, empty if none, and whether it
// is the kind that browsers send by themselves.
func credentials(req *http.Request) (token string, basic bool) {
	if _, password, ok := req.BasicAuth(); ok {
		return password, true
	}
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(token), false
}

// equal compares in a time that tells nothing about either, not even its length.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// refuse answers 401, with a challenge for programs and one for browsers.
func refuse(w http.ResponseWriter, text string) {
	w.Header().Add("WWW-Authenticate", `Bearer realm="gitops-operator"`)
	w.Header().Add("WWW-Authenticate", `Basic realm="gitops-operator", charset="UTF-8"`)
	fail(w, http.StatusUnauthorized, text)
}

// sameSite refuses requests that start something and that a browser sends for
// another site's page: its user did not ask for them, but the browser may add
// the password, and may reach what the site cannot.
func sameSite(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		err := protection.Check(req) // not of GET
		site := req.Header.Get("Sec-Fetch-Site")
		if err != nil || routeOf(req.URL.Path).starts && site != "" && site != "same-origin" && site != "none" {
			fail(w, http.StatusForbidden, "another site's page must not start a pass")
			return
		}
		next.ServeHTTP(w, req)
	})
}
