// Package githubapp gets tokens for a GitHub App: for GitHub's API and for git
// over HTTPS. It talks to the API of the App's own host and touches nothing
// else. Private keys and tokens appear in no error.
package githubapp

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	defaultAPI = "https://api.github.com/"
	// spare is how long before its end a token is renewed.
	spare = 5 * time.Minute
	// lifetime is how long a JWT holds; GitHub allows ten minutes.
	lifetime = 9 * time.Minute
	// slow is how much the clocks may differ.
	slow           = time.Minute
	defaultTimeout = 10 * time.Second
	maxTries       = 3
)

// Key is what a Secret says of a GitHub App. It prints without the private key.
type Key struct {
	AppID          string // the App's number, or its client ID
	InstallationID string // a number; "": it is found by the repository's owner
	PrivateKey     []byte // PEM
	BaseURL        string // of the API of GitHub Enterprise, https://HOST/api/v3 or https://HOST; "": GitHub's
}

// Format prints which App it is.
func (k Key) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "GitHub App %s", strconv.Quote(k.AppID))
}

// Options are how to ask.
type Options struct {
	Timeout time.Duration // of one try; 0 means 10 s
	// Wrap is put around the transport of the single requests. Nil: nothing is.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Source gives tokens of one App. Its methods may be called from any goroutine.
type Source struct {
	app          string
	installation int64 // 0: by owner
	key          *rsa.PrivateKey
	api          *url.URL // ends with a slash
	id           string
	timeout      time.Duration
	transport    http.RoundTripper

	turn          chan struct{} // holds one token: who has it may ask
	mu            sync.Mutex
	tokens        map[int64]token  // by installation
	installations map[string]int64 // by owner, in lower case
}

// token is one that GitHub gave.
type token struct {
	secret string
	end    time.Time
}

var (
	number   = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)
	clientID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
)

// New checks a key. The error says what is wrong with it, and repeats no secret.
func New(k Key, opt Options) (*Source, error) {
	s := &Source{
		app:           strings.TrimSpace(k.AppID),
		timeout:       opt.Timeout,
		turn:          make(chan struct{}, 1),
		tokens:        make(map[int64]token),
		installations: make(map[string]int64),
	}
	if !clientID.MatchString(s.app) {
		return nil, errors.New("read GitHub App: githubAppID is not the number of an App, nor its client ID")
	}
	if id := strings.TrimSpace(k.InstallationID); id != "" {
		if !number.MatchString(id) {
			return nil, errors.New("read GitHub App: githubAppInstallationID is not a number")
		}
		s.installation, _ = strconv.ParseInt(id, 10, 64)
	}
	var err error
	if s.key, err = parseKey(k.PrivateKey); err != nil {
		return nil, fmt.Errorf("read GitHub App: githubAppPrivateKey %w", err)
	}
	if s.api, err = parseAPI(k.BaseURL); err != nil {
		return nil, fmt.Errorf("read GitHub App: %w", err)
	}
	public := sha256.Sum256(x509.MarshalPKCS1PublicKey(&s.key.PublicKey))
	s.id = fmt.Sprintf("%s %s %d %s", s.api, s.app, s.installation, hex.EncodeToString(public[:]))
	if s.timeout == 0 {
		s.timeout = defaultTimeout
	}
	s.transport = http.DefaultTransport.(*http.Transport).Clone()
	if opt.Wrap != nil {
		s.transport = opt.Wrap(s.transport)
	}
	return s, nil
}

// parseKey reads the private key, as GitHub gives it (PKCS #1) or converted
// (PKCS #8).
func parseKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		if strings.Contains(string(text), `\n`) {
			return nil, errors.New(`is on one line: put line breaks where it has \n`)
		}
		return nil, errors.New("is not PEM: it begins with -----BEGIN RSA PRIVATE KEY-----")
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
		return nil, errors.New("is encrypted: use the file as GitHub gave it")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("is no private key, but %.40q, or it is damaged", block.Type)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("is not an RSA key: use the file as GitHub gave it")
	}
	return key, nil
}

// parseAPI reads the base URL: https://HOST/api/v3, or https://HOST for short.
func parseAPI(s string) (*url.URL, error) {
	if s = strings.TrimSpace(s); s == "" {
		s = defaultAPI
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the App's base URL is not of the form https://HOST/api/v3")
	case u.Scheme == "http" && loopback(u.Hostname()):
	case u.Scheme != "https":
		return nil, fmt.Errorf("the App's base URL %.200q is not https: tokens would be sent in clear", s)
	}
	u.Host = strings.ToLower(u.Host)
	if u.Host == "github.com" {
		u.Host = "api.github.com"
	}
	if strings.Trim(u.Path, "/") == "" && !strings.HasPrefix(u.Host, "api.") {
		u.Path = "/api/v3"
	}
	return u.JoinPath("/"), nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// ID is the same for sources that give the same tokens. It is no secret.
func (s *Source) ID() string { return s.id }

// Host is the API's host that the tokens may be sent to.
func (s *Source) Host() string { return s.api.Host }

// GitHost is the host that takes the tokens as passwords of git over HTTPS, for
// the user x-access-token.
func (s *Source) GitHost() string { return strings.TrimPrefix(s.api.Host, "api.") }

// Token returns a token for a repository: see Get. refused is a token that was
// not accepted, or "".
func (s *Source) Token(ctx context.Context, owner, name, refused string) (string, error) {
	secret, _, err := s.Get(ctx, owner, name, refused)
	return secret, err
}

// Get returns a token for a repository, and when it ends. It is the same one
// until five minutes before that. refused is a token that a host did not
// accept, or "": it is not returned again. Errors wrap an [*Error] for what
// GitHub or the network is to blame for.
func (s *Source) Get(ctx context.Context, owner, name, refused string) (secret string, end time.Time, err error) {
	if t, ok := s.cached(owner, refused); ok {
		return t.secret, t.end, nil
	}
	select { // all who wait take what the first one gets
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", time.Time{}, fmt.Errorf("get a token of GitHub App %s: %w", s.app, context.Cause(ctx))
	}
	if t, ok := s.cached(owner, refused); ok {
		return t.secret, t.end, nil
	}
	t, err := s.renew(ctx, owner, name)
	if err != nil {
		return "", time.Time{}, err
	}
	return t.secret, t.end, nil
}

// cached returns a token that is there and good.
func (s *Source) cached(owner, refused string) (token, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.installation
	if id == 0 {
		id = s.installations[strings.ToLower(owner)]
	}
	t, ok := s.tokens[id]
	return t, ok && t.secret != refused && time.Until(t.end) > spare
}

// renew gets a new token.
func (s *Source) renew(ctx context.Context, owner, name string) (token, error) {
	id := s.installation
	if id == 0 {
		s.mu.Lock()
		id = s.installations[strings.ToLower(owner)]
		s.mu.Unlock()
	}
	found := id == 0
	if found {
		var err error
		if id, err = s.find(ctx, owner, name); err != nil {
			return token{}, err
		}
	}
	t, err := s.create(ctx, id, owner)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound && s.installation == 0 && !found {
		// It was removed and installed again since.
		if id, err = s.find(ctx, owner, name); err == nil {
			t, err = s.create(ctx, id, owner)
		}
	}
	if err != nil {
		return token{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.installation == 0 {
		s.installations[strings.ToLower(owner)] = id
	}
	s.tokens[id] = t
	return t, nil
}

// sign makes a JWT, with which the App itself is known.
func (s *Source) sign() (string, error) {
	now := time.Now()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer:    s.app,
		IssuedAt:  jwt.NewNumericDate(now.Add(-slow)),
		ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
	}).SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("sign for GitHub App %s: %w", s.app, err)
	}
	return signed, nil
}
