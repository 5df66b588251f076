package registry

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/bcrypt"
)

const (
	user     = "robot$reader"
	password = "pass:word"
	identity = "identity-token-of-the-reader"
)

// real is a real registry server.
type real struct {
	*httptest.Server
	tokens *tokenServer
}

// start starts one with a kind of authentication: none, basic or token, with
// which tokens are had at realm, a URL whose path it serves itself. cert is for
// TLS, or nil.
func start(t *testing.T, authentication, realm string, cert *tls.Certificate) *real {
	t.Helper()
	r := &real{}
	mux := http.NewServeMux()
	r.Server = httptest.NewUnstartedServer(mux)
	config := &configuration.Configuration{Storage: configuration.Storage{
		"inmemory":    {},
		"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
	}}
	dir := t.TempDir()
	switch authentication {
	case "none":
	case "basic":
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(file, fmt.Appendf(nil, "%s:%s\n", user, hash), 0o600); err != nil {
			t.Fatal(err)
		}
		config.Auth = configuration.Auth{"htpasswd": {"realm": "test", "path": file}}
	case "token":
		if realm == "" {
			realm = "http://" + r.Listener.Addr().String() + "/token"
		}
		r.tokens = newTokenServer(t)
		file := filepath.Join(dir, "jwks.json")
		if err := os.WriteFile(file, r.tokens.jwks(), 0o600); err != nil {
			t.Fatal(err)
		}
		config.Auth = configuration.Auth{"token": {"realm": realm, "service": service, "issuer": issuer, "jwks": file}}
		_, path, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(realm, "https://"), "http://"), "/")
		mux.Handle("/"+path, r.tokens)
	}
	app := handlers.NewApp(context.Background(), config)
	t.Cleanup(func() { app.Shutdown() })
	mux.Handle("/", app)
	if r.Config.ErrorLog = newFake(nil).Config.ErrorLog; cert != nil {
		r.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
		r.StartTLS()
	} else {
		r.Start()
	}
	t.Cleanup(r.Close)
	return r
}

func (r *real) addr() string { return r.Listener.Addr().String() }

// push puts an image, or an index of two, at HOST/NAME:TAG.
func push(t *testing.T, c *Client, image string, index bool) {
	t.Helper()
	ref, err := name.NewTag(image)
	if err != nil {
		t.Fatal(err)
	}
	opts := []remote.Option{
		remote.WithTransport(c.transport),
		remote.WithAuth(authn.FromConfig(authn.AuthConfig{Username: user, Password: password})),
	}
	if index {
		var idx v1.ImageIndex
		if idx, err = random.Index(16, 1, 2); err == nil {
			err = remote.WriteIndex(ref, idx, opts...)
		}
	} else {
		var img v1.Image
		if img, err = random.Image(16, 1); err == nil {
			err = remote.Write(ref, img, opts...)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

const (
	service = "registry.test"
	issuer  = "issuer.test"
)

// tokenServer is the other half of token authentication: it gives tokens to the
// one user it knows, for what that user asks, and to anybody for pulling below
// "public/".
type tokenServer struct{ key ed25519.PrivateKey }

func newTokenServer(t *testing.T) *tokenServer {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &tokenServer{key}
}

func (s *tokenServer) jwks() []byte {
	x := base64.RawURLEncoding.EncodeToString(s.key.Public().(ed25519.PublicKey))
	return fmt.Appendf(nil, `{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"key","x":%q}]}`, x)
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	known := false
	switch u, p, basic := r.BasicAuth(); {
	case r.Method == http.MethodPost: // OAuth2, https://distribution.github.io/distribution/spec/auth/oauth/
		known = r.FormValue("grant_type") == "refresh_token" && r.FormValue("refresh_token") == identity
	case basic:
		known = u == user && p == password
	}
	if !known && (r.Method == http.MethodPost || r.Header.Get("Authorization") != "") {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintln(w, `{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}`)
		return
	}
	var granted []access
	for scope := range strings.FieldsSeq(strings.Join(r.Form["scope"], " ") + " " + strings.Join(r.URL.Query()["scope"], " ")) {
		part := strings.Split(scope, ":")
		if known || strings.HasPrefix(part[1], "public/") && part[2] == "pull" {
			granted = append(granted, access{part[0], part[1], strings.Split(part[2], ",")})
		}
	}
	json.NewEncoder(w).Encode(map[string]any{
		"token": s.sign(r.FormValue("service"), granted), "expires_in": 300, "issued_at": time.Now().UTC().Format(time.RFC3339),
	})
}

func (s *tokenServer) sign(audience string, granted []access) string {
	now := time.Now().Unix()
	encode := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := encode(map[string]any{"alg": "EdDSA", "typ": "JWT", "kid": "key"}) + "." + encode(map[string]any{
		"iss": issuer, "sub": user, "aud": audience, "exp": now + 300, "nbf": now - 10, "iat": now, "jti": "id", "access": granted,
	})
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(s.key, []byte(signed)))
}
