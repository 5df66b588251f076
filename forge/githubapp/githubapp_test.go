package githubapp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kainlite/gitops-operator/forge"
	"github.com/kainlite/gitops-operator/test/fakes"
	"github.com/kainlite/gitops-operator/test/forgeserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ forge.TokenSource = (*Source)(nil)

var private = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func pkcs1() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private())})
}

// bubble runs a test on a fake clock against a fake GitHub that knows App 42,
// installed for acme.
func bubble(t *testing.T, installation string, test func(t *testing.T, s *Source, g *forgeserver.GitHub)) {
	t.Helper()
	key := pkcs1()
	synctest.Test(t, func(t *testing.T) {
		pipe := fakes.NewPipe()
		g, err := forgeserver.NewGitHub(pipe)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		g.App.ID, g.App.Key, g.App.Installations = "42", &private().PublicKey, map[string]int64{"acme": 7, "other": 8}
		transport := &http.Transport{DialContext: pipe.DialContext}
		defer transport.CloseIdleConnections()
		s, err := New(Key{AppID: "42", InstallationID: installation, PrivateKey: key, BaseURL: "http://localhost"},
			Options{Wrap: func(http.RoundTripper) http.RoundTripper { return transport }})
		if err != nil {
			t.Fatal(err)
		}
		test(t, s, g)
	})
}

func get(t *testing.T, s *Source, owner, refused string) string {
	t.Helper()
	secret, end, err := s.Get(t.Context(), owner, "manifests", refused)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(end); left <= spare {
		t.Errorf("the token ends in %s", left)
	}
	return secret
}

func TestTokensAreKeptUntilShortlyBeforeTheirEnd(t *testing.T) {
	for _, installation := range []string{"", "7"} {
		bubble(t, installation, func(t *testing.T, s *Source, g *forgeserver.GitHub) {
			first := get(t, s, "acme", "")
			if got := get(t, s, "ACME", ""); got != first {
				t.Errorf("another token: %s, %s", first, got)
			}
			time.Sleep(54 * time.Minute)
			if got := get(t, s, "acme", ""); got != first {
				t.Errorf("renewed after 54 minutes: %s", got)
			}
			time.Sleep(2 * time.Minute)
			second := get(t, s, "acme", "")
			if second == first {
				t.Error("not renewed after 56 minutes")
			}
			if got := get(t, s, "acme", first); got != second {
				t.Errorf("a token that was refused and is not in use any more: %s", got)
			}
			if got := get(t, s, "acme", second); got == second {
				t.Error("a refused token was given again")
			}
			want := 1
			if installation != "" {
				want = 0
			}
			if g.App.Lookups != want {
				t.Errorf("looked up %d installations", g.App.Lookups)
			}
		})
	}
}

func TestOwnersHaveTokensOfTheirOwn(t *testing.T) {
	bubble(t, "", func(t *testing.T, s *Source, g *forgeserver.GitHub) {
		a, b := get(t, s, "acme", ""), get(t, s, "other", "")
		if a == b || !strings.HasPrefix(a, "ghs_7_") || !strings.HasPrefix(b, "ghs_8_") {
			t.Errorf("tokens %s, %s", a, b)
		}
		if got := get(t, s, "acme", ""); got != a {
			t.Errorf("another token: %s", got)
		}
	})
}

func TestAnAppThatWasInstalledAgainIsFound(t *testing.T) {
	bubble(t, "", func(t *testing.T, s *Source, g *forgeserver.GitHub) {
		first := get(t, s, "acme", "")
		g.Do(func() { g.App.Installations["acme"] = 9 })
		if got := get(t, s, "acme", first); !strings.HasPrefix(got, "ghs_9_") {
			t.Errorf("token %s", got)
		}
	})
}

func TestManyWaitForOneToken(t *testing.T) {
	bubble(t, "", func(t *testing.T, s *Source, g *forgeserver.GitHub) {
		var asking sync.WaitGroup
		for range 20 {
			asking.Go(func() { get(t, s, "acme", "") })
		}
		asking.Wait()
		if len(g.App.Tokens) != 1 {
			t.Errorf("%d tokens", len(g.App.Tokens))
		}
	})
}

func TestWhatGitHubRefusesIsSaid(t *testing.T) {
	for name, test := range map[string]struct {
		installation string
		owner        string
		change       func(g *forgeserver.GitHub)
		want         string
	}{
		"another App": {"7", "acme", func(g *forgeserver.GitHub) { g.App.ID = "43" },
			"get a token of GitHub App 42 for acme from localhost: 401 Unauthorized: 'Issuer' claim ('iss') must be an Integer (githubAppID and githubAppPrivateKey must belong together, and this machine's clock must be right)"},
		"another key": {"7", "acme", func(g *forgeserver.GitHub) { g.App.Key = &rsa.PublicKey{N: private().N, E: 3} },
			"get a token of GitHub App 42 for acme from localhost: 401 Unauthorized: A JSON web token could not be decoded (githubAppID and githubAppPrivateKey must belong together, and this machine's clock must be right)"},
		"not installed": {"", "nobody", func(*forgeserver.GitHub) {},
			"get a token of GitHub App 42 for nobody from localhost: 404 Not Found: Not Found (is the App installed there, for this repository?)"},
		"wrong installation": {"99", "acme", func(*forgeserver.GitHub) {},
			"get a token of GitHub App 42 for acme from localhost: 404 Not Found: Not Found (App 42 has no installation 99: see githubAppInstallationID)"},
		"suspended": {"7", "acme", func(g *forgeserver.GitHub) {
			g.Next(fakes.Fault{Status: 403, Body: `{"message":"This installation has been suspended"}`})
		}, "get a token of GitHub App 42 for acme from localhost: 403 Forbidden: This installation has been suspended (the installation may be suspended)"},
		"redirect": {"7", "acme", func(g *forgeserver.GitHub) {
			g.Next(fakes.Fault{Status: 302, Header: map[string]string{"Location": "https://evil.example.com/"}})
		}, "get a token of GitHub App 42 for acme from localhost: 302 Found (redirects are not followed: see githubAppBaseURL)"},
		"ended already": {"7", "acme", func(g *forgeserver.GitHub) { g.App.Lifetime = -time.Minute },
			"get a token of GitHub App 42 for acme from localhost: the answer has no token that holds; is this machine's clock right?"},
		"not JSON": {"7", "acme", func(g *forgeserver.GitHub) { g.Next(fakes.Fault{Status: 201, Body: "<html>"}) },
			"get a token of GitHub App 42 for acme from localhost: unexpected answer: not JSON"},
		"down": {"7", "acme", func(g *forgeserver.GitHub) { g.Always(fakes.Fault{Status: 503}) },
			"get a token of GitHub App 42 for acme from localhost: 503 Service Unavailable"},
		"silent": {"7", "acme", func(g *forgeserver.GitHub) { g.Always(fakes.Fault{Hang: true}) },
			"get a token of GitHub App 42 for acme from localhost: no answer within 10s"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, test.installation, func(t *testing.T, s *Source, g *forgeserver.GitHub) {
				g.Do(func() {})
				test.change(g)
				_, _, err := s.Get(t.Context(), test.owner, "manifests", "")
				if _, ok := errors.AsType[*Error](err); !ok || err.Error() != test.want {
					t.Errorf("error:\n got %v\nwant %v", err, test.want)
				}
			})
		})
	}
}

func TestAServerErrorIsTriedAgain(t *testing.T) {
	bubble(t, "7", func(t *testing.T, s *Source, g *forgeserver.GitHub) {
		g.Next(fakes.Fault{Status: 502}, fakes.Fault{Cut: true})
		get(t, s, "acme", "")
	})
}

func TestKeysAreChecked(t *testing.T) {
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(private())
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ecKey, _ := x509.MarshalPKCS8PrivateKey(ec)
	good := Key{AppID: "42", PrivateKey: pkcs1()}
	with := func(f func(*Key)) Key { k := good; f(&k); return k }
	for name, test := range map[string]struct {
		key  Key
		want string
	}{
		"good":         {good, ""},
		"client ID":    {with(func(k *Key) { k.AppID = "Iv23liAbCdEf\n" }), ""},
		"PKCS 8":       {with(func(k *Key) { k.PrivateKey = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}) }), ""},
		"no App":       {with(func(k *Key) { k.AppID = "" }), "read GitHub App: githubAppID is not the number of an App, nor its client ID"},
		"installation": {with(func(k *Key) { k.InstallationID = "acme" }), "read GitHub App: githubAppInstallationID is not a number"},
		"no key":       {with(func(k *Key) { k.PrivateKey = nil }), "read GitHub App: githubAppPrivateKey is not PEM: it begins with -----BEGIN RSA PRIVATE KEY-----"},
		"one line":     {with(func(k *Key) { k.PrivateKey = []byte(strings.ReplaceAll(string(pkcs1()), "\n", `\n`)) }), `read GitHub App: githubAppPrivateKey is on one line: put line breaks where it has \n`},
		"elliptic":     {with(func(k *Key) { k.PrivateKey = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: ecKey}) }), "read GitHub App: githubAppPrivateKey is not an RSA key: use the file as GitHub gave it"},
		"public":       {with(func(k *Key) { k.PrivateKey = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}) }), `read GitHub App: githubAppPrivateKey is no private key, but "PUBLIC KEY", or it is damaged`},
		"in clear":     {with(func(k *Key) { k.BaseURL = "http://ghe.example.com/api/v3" }), `read GitHub App: the App's base URL "http://ghe.example.com/api/v3" is not https: tokens would be sent in clear`},
		"no host":      {with(func(k *Key) { k.BaseURL = "ghe.example.com" }), "read GitHub App: the App's base URL is not of the form https://HOST/api/v3"},
	} {
		_, err := New(test.key, Options{})
		if got := fmt.Sprint(err); got != test.want && !(err == nil && test.want == "") {
			t.Errorf("%s:\n got %v\nwant %v", name, got, test.want)
		}
		if s := fmt.Sprintf("%v %+v %#v %s", test.key, test.key, &test.key, test.key); strings.Contains(s, "BEGIN") {
			t.Errorf("printed: %s", s)
		}
	}
}

func TestWhereTokensGo(t *testing.T) {
	for base, want := range map[string]string{
		"":                                "api.github.com github.com https://api.github.com/",
		"https://github.com":              "api.github.com github.com https://api.github.com/",
		"https://GHE.example.com":         "ghe.example.com ghe.example.com https://ghe.example.com/api/v3/",
		"https://ghe.example.com/api/v3/": "ghe.example.com ghe.example.com https://ghe.example.com/api/v3/",
		"https://api.acme.ghe.com":        "api.acme.ghe.com acme.ghe.com https://api.acme.ghe.com/",
	} {
		s, err := New(Key{AppID: "1", PrivateKey: pkcs1(), BaseURL: base}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Host() + " " + s.GitHost() + " " + s.api.String(); got != want {
			t.Errorf("%s: got %s, want %s", base, got, want)
		}
	}
}
