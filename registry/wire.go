package registry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/kainlite/gitops-operator/internal/retryafter"
)

const (
	maxBody      = 4 << 20 // what registries allow a manifest to have
	maxRedirects = 5
	longestAsk   = 365 * 24 * time.Hour // of Retry-After
)

// refusal is why a request was not sent.
type refusal string

func (r refusal) Error() string { return string(r) }

// plainError is the failure of a request over plain http. Where that is
// allowed, https is tried first, and this is the one that counts.
type plainError struct{ err error }

func (e *plainError) Error() string { return e.err.Error() }
func (e *plainError) Unwrap() error { return e.err }

// wire is what one try's requests go through: those to the registry, to its
// token server, and to wherever they redirect. It holds back what must not be
// sent, bounds what comes in, and remembers what the library does not hand on.
type wire struct {
	client *Client
	most   func() int64 // bytes that the next answer may have

	mu         sync.Mutex // the library races https against http
	secrets    []string
	retryAfter time.Duration
}

func newWire(c *Client, auth *authn.AuthConfig) *wire {
	w := &wire{client: c, most: func() int64 { return maxBody }}
	w.keep(auth.Password, auth.Auth, auth.IdentityToken, auth.RegistryToken)
	return w
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := w.permit(req); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	_, secret, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	w.keep(secret)
	resp, err := w.client.requests.RoundTrip(req)
	if err != nil {
		if req.URL.Scheme == "http" {
			return nil, &plainError{err}
		}
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, w.most())
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		w.mu.Lock()
		w.retryAfter = retryafter.Parse(resp.Header, time.Now(), longestAsk)
		w.mu.Unlock()
	}
	return resp, nil
}

// permit refuses what the library would do: plain http to private addresses, a
// refresh token posted on to another host, redirects without end.
func (w *wire) permit(req *http.Request) error {
	if req.URL.Scheme != "https" && !w.client.plainHTTP(req.URL.Host) {
		return refusal("refused to ask without TLS")
	}
	redirects := 0
	for r := req; r.Response != nil; r = r.Response.Request {
		redirects++
	}
	if redirects > maxRedirects {
		return refusal(fmt.Sprintf("stopped after %d redirects", maxRedirects))
	}
	if redirects > 0 && req.Method == http.MethodPost && req.URL.Host != req.Response.Request.URL.Host {
		return refusal("refused to pass credentials on")
	}
	return nil
}

func (w *wire) keep(secrets ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range secrets {
		if s != "" && !slices.Contains(w.secrets, s) {
			w.secrets = append(w.secrets, s)
		}
	}
}

// scrub takes the credentials out of a text that others wrote: a server may
// answer with what it was sent.
func (w *wire) scrub(text string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.secrets {
		text = strings.ReplaceAll(text, s, "***")
	}
	return text
}

func (w *wire) wanted() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.retryAfter
}
