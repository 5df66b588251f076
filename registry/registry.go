// Package registry says whether a container registry has an image, what its
// digest is, and which tags there are. It asks for the manifest's head, as a
// pull would begin, or for the list of tags, and downloads nothing else.
//
// It talks to registries and to the token servers they name, over https; plain
// http is for the loopback address and for hosts that were listed. It knows
// nothing of Kubernetes, of git or of the other packages, and keeps no state but
// open connections; Lists keeps what it says.
package registry

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/distribution/reference"
	"go.uber.org/zap"
)

const (
	defaultTimeout = 10 * time.Second
	tries          = 3
	firstWait      = 500 * time.Millisecond // the second is about twice as long
	maxRetryAfter  = 10 * time.Second       // a registry that wants more is left alone
)

// Options configure a Client.
type Options struct {
	// Insecure lists hosts that may be asked over plain http where they do not
	// speak https: "host" for all its ports, or "host:port". The loopback
	// address always may.
	Insecure []string
	// Timeout bounds one try, with all of its requests; 0 means 10 seconds.
	// There are at most three tries.
	Timeout time.Duration
	// Log gets a line at debug level for each try that is repeated; nil means none.
	Log *zap.Logger
	// Observe is told of each lookup: how it ended, in a word, and how long it
	// took with its tries. Nil: nobody is.
	Observe func(outcome string, took time.Duration)
	// Wrap is put around the transport of the single requests. Nil: nothing is.
	Wrap func(http.RoundTripper) http.RoundTripper
	// Identity is asked where the given credentials have none for a registry.
	// Nil: such a registry is asked anonymously.
	Identity Identity
}

// Client asks registries. It is safe for concurrent use, and shares its
// connections between the calls.
type Client struct {
	insecure  map[string]bool
	timeout   time.Duration
	wait      time.Duration // before the second try
	log       *zap.Logger
	transport *http.Transport
	requests  http.RoundTripper // the transport, wrapped
	observer  func(outcome string, took time.Duration)
	identity  Identity
}

// New returns a Client. TLS trusts the system's roots (SSL_CERT_FILE), and
// HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured.
func New(opt Options) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16
	transport.MaxResponseHeaderBytes = 64 << 10
	transport.TLSHandshakeTimeout = 0 // Timeout bounds it
	c := &Client{
		insecure:  map[string]bool{},
		timeout:   opt.Timeout,
		wait:      firstWait,
		log:       opt.Log,
		transport: transport,
		requests:  transport,
		observer:  opt.Observe,
		identity:  opt.Identity,
	}
	if opt.Wrap != nil {
		c.requests = opt.Wrap(transport)
	}
	if c.observer == nil {
		c.observer = func(string, time.Duration) {}
	}
	for _, host := range opt.Insecure {
		c.insecure[strings.ToLower(host)] = true
	}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	if c.log == nil {
		c.log = zap.NewNop()
	}
	return c
}

// Close closes the connections that are kept open for later calls.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Exists says whether the registry has image, a name with a tag as a manifest
// has it: "ghcr.io/owner/app:1.2", or "owner/app:1.2" for Docker Hub. Nil
// credentials ask anonymously.
//
// Only the registry's own "not found" for this manifest is a no. Whatever else
// keeps it from saying yes is an *Error, after up to three tries: a registry
// that refuses, is too busy, is away, or makes no sense. When ctx ends first,
// errors.Is finds ctx's error in it.
func (c *Client) Exists(ctx context.Context, image string, cred *Credentials) (there bool, err error) {
	begin := time.Now()
	defer func() { c.observe(begin, known(there), err) }()
	k, err := c.newCheck("check image", image, cred)
	if err != nil {
		return false, err
	}
	found, err := k.look(ctx)
	return found != nil, err
}

// plainHTTP says whether a host, with or without a port, may be asked over
// plain http.
func (c *Client) plainHTTP(host string) bool {
	host = strings.ToLower(host)
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	if name == "localhost" || c.insecure[host] || c.insecure[name] {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}

// Host returns the registry of an image, with its port: "docker.io" where the
// image names none, "" where it is no reference.
func Host(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return ""
	}
	return strings.ToLower(reference.Domain(named))
}
