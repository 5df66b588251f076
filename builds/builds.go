// Package builds answers one question: is a commit still being built? It asks
// GitHub's Actions API for the workflow runs of the commit, and touches nothing
// else: no git, no registry, no Kubernetes. Tokens reach it as arguments and go
// to the API's host only.
package builds

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/go-github/v60/github"
	"go.uber.org/zap"
)

// State is how the builds of a commit stand, taken together.
type State int

// Of several, Running comes before Queued, Failed, Completed and None.
const (
	None      State = iota // no workflow ran
	Running                // at least one runs
	Queued                 // at least one has yet to run
	Failed                 // at least one failed, and none succeeded
	Completed              // all have ended
)

func (s State) String() string {
	switch s {
	case None:
		return "none"
	case Running:
		return "running"
	case Queued:
		return "queued"
	case Failed:
		return "failed"
	case Completed:
		return "completed"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

const (
	githubAPI = "https://api.github.com/"
	timeout   = 10 * time.Second // of one try
	maxTries  = 3                // of one page
	firstWait = time.Second      // between tries; doubles
	perPage   = 100
	maxPages  = 10 // GitHub lists at most 1,000 runs of a commit
)

// Options are what a Client is made with.
type Options struct {
	API     string        // base URL of the API, such as https://ghe.example.com/api/v3; "" is GitHub's
	Timeout time.Duration // of one try; 0 means 10 s
	Log     *zap.Logger   // nil: none
	// Observe is told of each look-up: how it ended, in a word, and how long it
	// took with its tries. Nil: nobody is.
	Observe func(outcome string, took time.Duration)
	// Wrap is put around the transport of the single requests. Nil: nothing is.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Client asks one API. Its methods may be called from any goroutine.
type Client struct {
	api       *url.URL // ends with a slash
	timeout   time.Duration
	log       *zap.Logger
	transport http.RoundTripper
	observer  func(outcome string, took time.Duration)

	mu     sync.Mutex
	limits map[[sha256.Size]byte]time.Time // by token: not to be used before
}

// New checks the options. The error says what is wrong with the API's URL: it
// must be https, or http at a loopback address.
func New(opt Options) (*Client, error) {
	if opt.API == "" {
		opt.API = githubAPI
	}
	api, err := parseAPI(opt.API)
	if err != nil {
		return nil, err
	}
	if opt.Timeout == 0 {
		opt.Timeout = timeout
	}
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	if opt.Observe == nil {
		opt.Observe = func(string, time.Duration) {}
	}
	var transport http.RoundTripper = http.DefaultTransport.(*http.Transport).Clone()
	if opt.Wrap != nil {
		transport = opt.Wrap(transport)
	}
	return &Client{
		api:       api,
		timeout:   opt.Timeout,
		log:       opt.Log,
		transport: transport,
		observer:  opt.Observe,
		limits:    make(map[[sha256.Size]byte]time.Time),
	}, nil
}

// A full SHA, of SHA-1 or SHA-256: the API finds nothing by a shorter one.
var fullSHA = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// State looks up how the builds of a commit stand; sha is the full one. Without
// a token it asks as anybody. What the API or the network is to blame for is an
// [*Error]. State may take three tries and the waits between them.
func (c *Client) State(ctx context.Context, owner, name, sha, token string) (state State, err error) {
	begin := time.Now()
	defer func() { c.observe(begin, state, ctx.Err() != nil, err) }()
	q := question{owner: owner, name: name, sha: strings.ToLower(sha), token: strings.TrimSpace(token)}
	if err := c.check(q); err != nil {
		return None, err
	}
	var all tally
	for page, n := 1, 0; page != 0 && n < maxPages && !all.running; n++ {
		answer, err := c.try(ctx, q, page)
		if err != nil {
			return None, err
		}
		if err := all.add(answer.runs, q.sha); err != nil {
			return None, c.fail(q, ErrUnexpected, err.Error())
		}
		page = answer.next
	}
	return all.state(), nil
}

// question is what one call of State is about.
type question struct{ owner, name, sha, token string }

// answer is one page.
type answer struct {
	runs *github.WorkflowRuns
	next int // the number of the next page, or 0
}

// check keeps from the API what it could not answer, or would take for a
// question about something else.
func (c *Client) check(q question) error {
	switch {
	case !validName(q.owner) || !validName(q.name):
		return fmt.Errorf("look up builds: %.100q is not a GitHub repository", q.owner+"/"+q.name)
	case !fullSHA.MatchString(q.sha):
		return fmt.Errorf("look up builds: %.100q is not a full commit SHA", q.sha)
	case strings.ContainsFunc(q.token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return c.fail(q, ErrUnauthorized, "it holds characters that no token has")
	}
	return nil
}

// try asks for a page, and again where that may help.
func (c *Client) try(ctx context.Context, q question, page int) (answer, error) {
	waits := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstWait), backoff.WithMultiplier(2), backoff.WithMaxElapsedTime(0))
	policy := backoff.WithContext(backoff.WithMaxRetries(waits, maxTries-1), ctx)
	a, err := backoff.RetryNotifyWithData(func() (answer, error) {
		a, err := c.ask(ctx, q, page)
		if errors.Is(err, ErrUnavailable) {
			return a, err
		}
		return a, backoff.Permanent(err)
	}, policy, func(err error, wait time.Duration) {
		c.log.Debug("asking for builds again", zap.Error(err), zap.Duration("wait", wait))
	})
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("ask %s for the builds of %s/%s: %w", c.api.Host, q.owner, q.name, context.Cause(ctx))
	}
	return a, err
}

// ask asks for a page once.
func (c *Client) ask(ctx context.Context, q question, page int) (answer, error) {
	if until, ok := c.limited(q.token); ok {
		return answer{}, c.limit(q, until, "")
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	// A client of its own for each request: go-github's keeps limits in mind
	// too, but not all of them, and those of all tokens together.
	api := github.NewClient(&http.Client{Transport: guard{next: c.transport, api: c.api, token: q.token}})
	api.BaseURL, api.UserAgent = c.api, "gitops-operator"
	runs, response, err := api.Actions.ListRepositoryWorkflowRuns(ctx, q.owner, q.name, &github.ListWorkflowRunsOptions{
		HeadSHA:             q.sha,
		ExcludePullRequests: true,
		ListOptions:         github.ListOptions{Page: page, PerPage: perPage},
	})
	if err != nil {
		return answer{}, c.explain(q, response, err)
	}
	return answer{runs, response.NextPage}, nil
}
