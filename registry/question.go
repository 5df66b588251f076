package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"go.uber.org/zap"
)

// Identity is what the process itself may show to registries, without anybody
// having given it a password: a pod's identity at its cloud.
type Identity interface {
	// Credentials returns what to show to a registry, by its host and port; ok
	// is false for a host that this identity must not be shown to, or is of no
	// use for. An error is one printable line without credentials.
	Credentials(ctx context.Context, host string) (cred authn.AuthConfig, ok bool, err error)
	// Refused says that a registry did not accept what it was shown, so that
	// the next call may get something new.
	Refused(host string)
}

// question is what a registry is asked about a repository, and with what.
type question struct {
	client     *Client
	op         string // as in "check image"
	image      string // as given
	host       string // the registry, as the image names it
	repository name.Repository
	auth       authn.Authenticator
	given      bool // credentials were given, though perhaps not for this registry
	own        bool // auth is the identity's, as of the last try
}

func (c *Client) newQuestion(op, image string, named reference.Named, cred *Credentials, want string) (*question, error) {
	q := &question{client: c, op: op, image: image, host: strings.ToLower(reference.Domain(named)), given: cred != nil}
	var opts []name.Option
	if c.plainHTTP(q.host) {
		opts = append(opts, name.Insecure)
	}
	registry, err := name.NewRegistry(q.host, opts...)
	if err != nil {
		return nil, invalid(op, image, err.Error(), want)
	}
	q.repository = registry.Repo(reference.Path(named))
	q.auth, err = cred.Resolve(q.repository)
	return q, err
}

// connect greets the registry and logs in to it where it wants that.
func (q *question) connect(ctx context.Context) (*wire, http.RoundTripper, *Error) {
	auth := q.auth
	q.own = false
	if auth == authn.Anonymous && q.client.identity != nil {
		cred, ok, err := q.client.identity.Credentials(ctx, q.repository.RegistryStr())
		if err != nil {
			kind := ErrUnauthorized
			if ctx.Err() != nil {
				kind = ErrUnavailable
			}
			return nil, nil, &Error{
				Op: q.op, Image: q.image, Registry: q.host, Kind: kind, Detail: line(err.Error()),
				Hint: "check the pod's own identity, or give credentials for this registry", final: true,
			}
		}
		if ok {
			auth, q.own = authn.FromConfig(cred), true
		}
	}
	shown, err := authn.Authorization(ctx, auth)
	if err != nil {
		shown = &authn.AuthConfig{}
	}
	w := newWire(q.client, shown)
	// Made here and not by the remote package's functions: theirs would retry by
	// itself, and a failure on the way would look like an answer.
	rt, err := transport.NewWithContext(ctx, q.repository.Registry, auth,
		transport.NewUserAgent(w, "gitops-operator"), []string{q.repository.Scope(transport.PullScope)})
	if err != nil {
		return w, nil, q.failure(w, err)
	}
	return w, rt, nil
}

// look asks until there is an answer, up to three times. A nil descriptor means
// that the image is not there.
func (k *check) look(ctx context.Context) (found *v1.Descriptor, err error) {
	err = k.ask(ctx, func() *Error {
		var failed *Error
		found, failed = k.try(ctx)
		return failed
	})
	return found, err
}

// ask calls try until it succeeds, up to three times.
func (q *question) ask(ctx context.Context, try func() *Error) error {
	p := &pace{ctx: ctx, BackOff: backoff.WithMaxRetries(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(q.client.wait), backoff.WithMultiplier(2)), tries-1)}
	once := func() error {
		failed := try()
		if failed == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err() // which may well have caused it
		}
		if q.own && errors.Is(failed, ErrUnauthorized) {
			q.client.identity.Refused(q.repository.RegistryStr())
		}
		p.last = failed
		return failed
	}
	again := func(err error, wait time.Duration) {
		q.client.log.Debug("registry lookup failed, trying again", zap.Error(err), zap.Duration("wait", wait))
	}
	err := backoff.RetryNotify(once, backoff.WithContext(p, ctx), again)
	if err != nil && ctx.Err() != nil {
		return q.ended(ctx.Err(), p.last)
	}
	return err
}

// pace waits between tries as BackOff says, or longer where the registry asks
// for it. It stops where another try is of no use.
type pace struct {
	backoff.BackOff
	ctx  context.Context
	last *Error
}

func (p *pace) NextBackOff() time.Duration {
	wait := p.BackOff.NextBackOff()
	if wait == backoff.Stop || p.last.final || p.last.RetryAfter > maxRetryAfter {
		return backoff.Stop
	}
	wait = max(wait, p.last.RetryAfter)
	if deadline, ok := p.ctx.Deadline(); ok && time.Until(deadline) < wait {
		return backoff.Stop
	}
	return wait
}
