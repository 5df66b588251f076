package forge

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	defaultTimeout = 10 * time.Second // of one try
	maxTries       = 3                // of a request that only reads
	firstWait      = time.Second      // between tries; doubles
	maxAtOnce      = 8                // requests of one client; GitHub asks for few
	maxClients     = 1000             // that are kept
	maxRemembered  = 16 << 20         // bytes of compressed answers, for conditional requests
)

// Options are what Forges are made with.
type Options struct {
	Sites   []Site        // of --forge, from ParseSite; they come before the known ones
	Timeout time.Duration // of one try; 0 means 10 s
	Log     *zap.Logger   // nil: none
	// Observe is told of each question: the kind of host, what was asked, how it
	// ended, in a word, and how long it took with its tries. Nil: nobody is.
	Observe func(kind Kind, action, outcome string, took time.Duration)
	// Wrap is put around the transport of the single requests. Nil: nothing is.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Forges are the hosts that can be asked. One of them serves the whole program;
// its methods may be called from any goroutine.
type Forges struct {
	sites     []Site
	timeout   time.Duration
	log       *zap.Logger
	observe   func(kind Kind, action, outcome string, took time.Duration)
	transport http.RoundTripper
	answers   *lru[answerKey, answer]
	clients   *lru[clientKey, *Client]
}

// New makes Forges. Two sites of one host are an error.
func New(opt Options) (*Forges, error) {
	for i, s := range opt.Sites {
		for _, other := range opt.Sites[:i] {
			if s.Host == other.Host {
				return nil, fmt.Errorf("read --forge: %s is there twice", s.Host)
			}
		}
	}
	f := &Forges{
		sites:   opt.Sites,
		timeout: opt.Timeout,
		log:     opt.Log,
		observe: opt.Observe,
		answers: newLRU[answerKey, answer](maxRemembered),
		clients: newLRU[clientKey, *Client](maxClients),
	}
	if f.timeout == 0 {
		f.timeout = defaultTimeout
	}
	if f.log == nil {
		f.log = zap.NewNop()
	}
	if f.observe == nil {
		f.observe = func(Kind, string, string, time.Duration) {}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = maxAtOnce
	f.transport = transport
	if opt.Wrap != nil {
		f.transport = opt.Wrap(f.transport)
	}
	return f, nil
}

// clientKey tells clients apart.
type clientKey struct {
	kind       Kind
	api        string
	credential [sha256.Size]byte
}

// Client asks one host with one credential. It remembers until when the host
// does not want to be asked, what was answered before, and which statuses were
// set. Its methods may be called from any goroutine.
type Client struct {
	forges     *Forges
	site       Site
	credential Credential
	key        [sha256.Size]byte
	driver     driver
	turns      chan struct{} // one for each request under way
	pauses     pauses
	mirrors    *lru[string, *mirror]
	statuses   *lru[statusKey, Status]
}

// At returns the client for a repository's host. Clients are shared: the same
// host and credential give the same one. An unknown host is an [*Error] of the
// kind ErrUnknownHost.
func (f *Forges) At(r Repository, credential Credential) (*Client, error) {
	site, err := f.site(r)
	if err != nil {
		return nil, err
	}
	if s := credential.source; s != nil && !strings.EqualFold(s.Host(), site.api.Host) {
		return nil, fmt.Errorf("ask %s: the GitHub App belongs to %s, and its tokens go there only", site.api.Host, s.Host())
	}
	key := clientKey{site.Kind, site.api.String(), credential.key()}
	return f.clients.getOrPut(key, 1, func() *Client {
		return &Client{
			forges:     f,
			site:       site,
			credential: credential,
			key:        sha256.Sum256(fmt.Append(nil, key.kind, key.api, key.credential)),
			driver:     drivers[site.Kind],
			turns:      make(chan struct{}, maxAtOnce),
			mirrors:    newLRU[string, *mirror](maxMirrors),
			statuses:   newLRU[statusKey, Status](maxStatuses),
		}
	}), nil
}

// Kind is the API that the client's host serves.
func (c *Client) Kind() Kind { return c.site.Kind }

// driver speaks one kind of API. Errors are those of the libraries, or refine
// them with refuse.
type driver interface {
	builds(c call, sha string) (tally, error)
	checks(c call, sha string) ([]Check, error)
	setStatus(c call, sha string, s Status) error
	// pulls returns one page of pull requests within the repository, those that
	// changed last first, and whether there are more.
	pulls(c call, f filter) ([]PullRequest, bool, error)
	create(c call, n Proposal) (PullRequest, error)
	update(c call, p PullRequest, n Edit) (PullRequest, error)
	// merge asks the host to merge once it may.
	merge(c call, p PullRequest) error
}

var drivers = map[Kind]driver{GitHub: github{}, GitLab: gitlab{}, Gitea: gitea{}, Bitbucket: bitbucket{}}

// call is one question to a host, with the HTTP client that it is asked with.
type call struct {
	ctx         context.Context
	http        *http.Client
	api         *url.URL
	owner, name string // of the repository; at GitLab, owner may have slashes
}

func (c call) path() string { return c.owner + "/" + c.name }

// A full SHA, of SHA-1 or SHA-256: hosts find nothing by a shorter one.
var fullSHA = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// A segment of a repository's path, as the hosts allow them.
var segment = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$|^\.[A-Za-z0-9_-][A-Za-z0-9._-]{0,253}$`)

// split returns the owner and the name of a repository. At GitLab, groups have
// groups.
func (s Site) split(r Repository) (owner, name string, err error) {
	path := r.path()
	parts := strings.Split(path, "/")
	ok := len(parts) == 2 || s.Kind == GitLab && len(parts) > 2 && len(parts) <= 21
	for _, p := range parts {
		ok = ok && segment.MatchString(p)
	}
	if !ok {
		return "", "", fmt.Errorf("ask %s: %.200q is not the path of a repository there", s.api.Host, path)
	}
	i := strings.LastIndexByte(path, '/')
	return path[:i], path[i+1:], nil
}

// question is what a call is about.
type question struct {
	action string // for whoever counts
	doing  string // with %[1]s for the host and %[2]s for the repository
	need   need
	write  bool
}

// do asks a question and explains what went wrong.
func (c *Client) do(ctx context.Context, r Repository, q question, ask func(call) error) (err error) {
	begin := time.Now()
	defer func() { c.forges.observe(c.site.Kind, q.action, outcome(ctx, err), time.Since(begin)) }()
	owner, name, err := c.site.split(r)
	if err != nil {
		return err
	}
	path := owner + "/" + name
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return c.explain(ctx, path, q, ctx.Err())
	}
	if err := c.pauses.check(path); err != nil {
		return c.explain(ctx, path, q, err)
	}
	guard := &guard{client: c, owner: owner, name: name, write: q.write}
	err = ask(call{
		ctx:   ctx,
		http:  &http.Client{Transport: guard, CheckRedirect: checkRedirect},
		api:   c.site.api,
		owner: owner,
		name:  name,
	})
	if err == nil {
		return nil
	}
	e := c.explain(ctx, path, q, err)
	c.pauses.remember(path, e, err)
	return e
}
