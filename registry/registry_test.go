package registry

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestKnowsWhatARealRegistryHas(t *testing.T) {
	for _, authentication := range []string{"none", "basic", "token"} {
		t.Run(authentication, func(t *testing.T) {
			r, c := start(t, authentication, "", nil), newClient(t, Options{})
			repository := r.addr() + "/owner/app"
			push(t, c, repository+":1.0", false)
			push(t, c, repository+":multi", true)
			cred := credentials(t, r.addr(), user, password)
			if authentication == "none" {
				cred = nil
			}
			equal(t, "an image that is there", exists(t, c, repository+":1.0", cred), true)
			equal(t, "an index that is there", exists(t, c, repository+":multi", cred), true)
			equal(t, "another tag", exists(t, c, repository+":1.1", cred), false)
			equal(t, "the beginning of a tag", exists(t, c, repository+":1", cred), false)
			equal(t, "another repository", exists(t, c, r.addr()+"/owner/other:1.0", cred), false)
		})
	}
}

func TestRefusedByARealRegistry(t *testing.T) {
	const (
		without = "it was asked without credentials: give some, or check that the repository exists"
		none    = "the credentials given have none for this registry: add them, or check that the repository exists"
		wrong   = "check that the credentials are right and may read this repository, and that it exists"
		missing = "401 Unauthorized, UNAUTHORIZED: authentication required"
	)
	for _, authentication := range []string{"basic", "token"} {
		t.Run(authentication, func(t *testing.T) {
			r, c := start(t, authentication, "", nil), newClient(t, Options{})
			image := r.addr() + "/owner/app:1"
			push(t, c, image, false)
			denied := missing
			if authentication == "token" {
				denied = "401 Unauthorized, UNAUTHORIZED: incorrect username or password"
			}
			for _, test := range []struct {
				name         string
				cred         *Credentials
				detail, hint string
			}{
				{"no credentials", nil, missing, without},
				{"credentials for another host", credentials(t, "ghcr.io", user, password), missing, none},
				{"wrong password", credentials(t, r.addr(), user, "secret-guess"), denied, wrong},
			} {
				t.Run(test.name, func(t *testing.T) {
					got := fails(t, c, image, test.cred, ErrUnauthorized)
					equal(t, "message", got, "check image "+image+" in registry "+r.addr()+": access denied: "+test.detail+" ("+test.hint+")")
				})
			}
		})
	}
}

func TestPublicImagesNeedNoCredentials(t *testing.T) {
	r, c := start(t, "token", "", nil), newClient(t, Options{})
	push(t, c, r.addr()+"/public/app:1", false)
	equal(t, "anonymous", exists(t, c, r.addr()+"/public/app:1", nil), true)
	equal(t, "another tag", exists(t, c, r.addr()+"/public/app:2", nil), false)
	equal(t, "credentials for another host", exists(t, c, r.addr()+"/public/app:1", credentials(t, "ghcr.io", "me", "secret")), true)
}

func TestIdentityTokens(t *testing.T) {
	r, c := start(t, "token", "", nil), newClient(t, Options{})
	image := r.addr() + "/owner/app:1"
	push(t, c, image, false)
	good := parse(t, `{"auths":{"`+r.addr()+`":{"identitytoken":"`+identity+`"}}}`)
	equal(t, "there", exists(t, c, image, good), true)
	bad := parse(t, `{"auths":{"`+r.addr()+`":{"identitytoken":"stale-identity"}}}`)
	got := fails(t, c, image, bad, ErrUnauthorized)
	equal(t, "message", got, "check image "+image+" in registry "+r.addr()+
		": access denied: 401 Unauthorized, UNAUTHORIZED: incorrect username or password (check that the credentials are right and may read this repository, and that it exists)")
}

// The well-known registries differ in where their tokens come from and under
// what name docker keeps their credentials.
func TestWellKnownRegistries(t *testing.T) {
	ca := newAuthority(t)
	for _, test := range []struct{ image, pushed, realm, key string }{
		{"kainlite/blog:1", "index.docker.io/kainlite/blog:1", "https://auth.docker.io/token", "https://index.docker.io/v1/"},
		{"nginx:1", "index.docker.io/library/nginx:1", "https://auth.docker.io/token", "docker.io"},
		{"docker.io/kainlite/blog:1", "index.docker.io/kainlite/blog:1", "https://auth.docker.io/token", "registry-1.docker.io"},
		{"ghcr.io/kainlite/blog:1", "ghcr.io/kainlite/blog:1", "https://ghcr.io/token", "ghcr.io"},
		{"registry.gitlab.com/group/sub/app:1", "registry.gitlab.com/group/sub/app:1", "https://gitlab.com/jwt/auth", "https://registry.gitlab.com"},
		{"harbor.example.com/project/app:1", "harbor.example.com/project/app:1", "https://harbor.example.com/service/token", "harbor.example.com/project"},
		{"harbor.example.com:8443/project/app:1", "harbor.example.com:8443/project/app:1", "https://harbor.example.com:8443/service/token", "*.example.com:8443"},
	} {
		t.Run(test.image+" as "+test.key, func(t *testing.T) {
			cert := ca.issue(t, "index.docker.io", "auth.docker.io", "ghcr.io", "registry.gitlab.com", "gitlab.com", "harbor.example.com")
			r, c := start(t, "token", test.realm, &cert), newClient(t, Options{})
			c.goTo(r.addr(), ca)
			push(t, c, test.pushed, false)
			cred := credentials(t, test.key, user, password)
			equal(t, "there", exists(t, c, test.image, cred), true)
			equal(t, "another tag", exists(t, c, test.image+"0", cred), false)
			fails(t, c, test.image, credentials(t, test.key, user, "wrong"), ErrUnauthorized)
			fails(t, c, test.image, credentials(t, "quay.io", user, password), ErrUnauthorized)
		})
	}
}

func TestNamesTheTokenServerThatRefuses(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, "index.docker.io", "auth.docker.io")
	r, c := start(t, "token", "https://auth.docker.io/token", &cert), newClient(t, Options{})
	c.goTo(r.addr(), ca)
	got := fails(t, c, "kainlite/blog:1", credentials(t, "docker.io", user, "wrong"), ErrUnauthorized)
	equal(t, "message", got, "check image kainlite/blog:1 in registry docker.io: access denied: "+
		"401 Unauthorized from auth.docker.io, UNAUTHORIZED: incorrect username or password "+
		"(check that the credentials are right and may read this repository, and that it exists)")
}

func TestChecksShareOneConnection(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, "registry.example.com")
	f := newFake(manifests(found))
	var connections atomic.Int32
	f.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	f.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	f.StartTLS()
	t.Cleanup(f.Close)
	c := newClient(t, Options{})
	c.goTo(f.Listener.Addr().String(), ca)
	for range 5 {
		equal(t, "there", exists(t, c, "registry.example.com/app:1", nil), true)
	}
	equal(t, "connections", connections.Load(), 1)
	equal(t, "requests", f.requests(), strings.TrimSuffix(strings.Repeat("GET /v2/, HEAD /v2/app/manifests/1, ", 5), ", "))
}

func TestManyChecksAtOnce(t *testing.T) {
	r, c := start(t, "token", "", nil), newClient(t, Options{})
	push(t, c, r.addr()+"/owner/app:1", false)
	cred := credentials(t, r.addr(), user, password)
	var asking sync.WaitGroup
	for i := range 20 {
		asking.Go(func() {
			there, err := c.Exists(t.Context(), fmt.Sprintf("%s/owner/app:%d", r.addr(), 1+i%2), cred)
			if err != nil || there != (i%2 == 0) {
				t.Errorf("tag %d: %v, %v", 1+i%2, there, err)
			}
		})
	}
	asking.Wait()
}

func TestRefusesWhatIsNoReferenceWithoutAsking(t *testing.T) {
	c := newClient(t, Options{})
	const hint = " (it must be NAME:TAG or HOST/NAME:TAG)"
	for image, want := range map[string]string{
		"":                      `check image "": invalid image reference: invalid reference format`,
		"owner/app":             `check image "owner/app": invalid image reference: it has no tag`,
		"ghcr.io:443/owner/app": `check image "ghcr.io:443/owner/app": invalid image reference: it has no tag`,
		"Owner/App:1":           `check image "Owner/App:1": invalid image reference: repository name (App) must be lowercase`,
		"app:${TAG}":            `check image "app:${TAG}": invalid image reference: invalid reference format`,
		"app:a b\n\x1b[31m":     `check image "app:a b\n\x1b[31m": invalid image reference: invalid reference format`,
		"https://ghcr.io/app:1": `check image "https://ghcr.io/app:1": invalid image reference: invalid reference format`,
		"app:1@sha256:" + strings.Repeat("a", 64): `check image "app:1@sha256:` + strings.Repeat("a", 64) + `": invalid image reference: it has a digest`,
	} {
		equal(t, "message", fails(t, c, image, nil, ErrInvalid), want+hint)
	}
	if got := fails(t, c, strings.Repeat("a", 5000)+":1", nil, ErrInvalid); len(got) > 3*maxLine {
		t.Errorf("message is %d bytes long", len(got))
	}
}
