// Package identity gets what a pod may show to the registries of AWS, Azure and
// Google Cloud without anybody having given it a password: by the role, the
// workload identity or the service account that the cloud gives to the pod.
//
// It asks the clouds' token servers, through the clouds' own libraries, and
// reads the environment and the token files that the clouds put into pods. It
// starts no processes, and does nothing for a host that is not a registry of a
// cloud that it was made for: an image's name is written by many, and decides
// where a token goes.
package identity

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/authn"
)

const (
	early   = 5 * time.Minute  // before its end, a token is no longer used
	patient = 10 * time.Second // an answer is awaited, and a failure holds
	young   = time.Minute      // a token that was refused is not replaced sooner
)

// Names are the clouds, as people name them.
var Names = []string{"aws", "azure", "gcp"}

// token is what a registry is shown, and until when.
type token struct {
	cred authn.AuthConfig
	ends time.Time
}

// cloud is one of them.
type cloud interface {
	// scope says which token a registry's host needs; hosts of one scope share
	// it. It is empty for a host that is none of the cloud's registries.
	scope(host string) string
	fetch(ctx context.Context, host string) (token, error)
}

// Identity is a pod's identity at the clouds that were asked for. It is safe
// for concurrent use.
type Identity struct {
	clouds []cloud
	now    func() time.Time

	mu     sync.Mutex
	scopes map[string]*scope
}

// scope is the state of one kind of token.
type scope struct {
	turn chan struct{} // who holds it may fetch; has one place

	mu      sync.Mutex
	token   token
	fetched time.Time // when somebody tried last
	err     error
}

// New makes an Identity for some of Names. Nothing is asked before it is used.
func New(names ...string) (*Identity, error) {
	i := &Identity{now: time.Now, scopes: map[string]*scope{}}
	for _, name := range names {
		switch name {
		case "aws":
			i.clouds = append(i.clouds, aws{})
		case "azure":
			i.clouds = append(i.clouds, azure{})
		case "gcp":
			i.clouds = append(i.clouds, google{})
		default:
			return nil, fmt.Errorf("%.50q is no cloud: use %s", name, strings.Join(Names, ", "))
		}
	}
	return i, nil
}

// Credentials returns what to show to a registry, by its host and port; ok is
// false where it is none of the clouds'. Tokens are used again until five
// minutes before their end; who asks meanwhile waits for one that is fetched,
// for at most ten seconds. A failure holds for ten seconds. Its text is one
// line without credentials, and the same for the same failure.
func (i *Identity) Credentials(ctx context.Context, host string) (cred authn.AuthConfig, ok bool, err error) {
	host = strings.TrimSuffix(strings.ToLower(host), ":443")
	for _, c := range i.clouds {
		if name := c.scope(host); name != "" {
			t, err := i.get(ctx, c, i.scope(name), host)
			return t.cred, err == nil, err
		}
	}
	return authn.AuthConfig{}, false, nil
}

// Refused says that a registry did not take what it was shown. Unless that is
// fresh, the next call of Credentials gets something new.
func (i *Identity) Refused(host string) {
	host = strings.TrimSuffix(strings.ToLower(host), ":443")
	for _, c := range i.clouds {
		if name := c.scope(host); name != "" {
			s := i.scope(name)
			s.mu.Lock()
			if i.now().Sub(s.fetched) >= young {
				s.token = token{}
			}
			s.mu.Unlock()
		}
	}
}

func (i *Identity) scope(name string) *scope {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.scopes[name]
	if s == nil {
		s = &scope{turn: make(chan struct{}, 1)}
		i.scopes[name] = s
	}
	return s
}

// get takes what is known, or fetches it.
func (i *Identity) get(ctx context.Context, c cloud, s *scope, host string) (token, error) {
	if t, known, err := s.known(i.now()); known {
		return t, err
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return token{}, ctx.Err()
	}
	if t, known, err := s.known(i.now()); known { // by whoever had the turn before
		return t, err
	}
	bounded, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	t, err := c.fetch(bounded, host)
	if ctx.Err() != nil {
		return token{}, ctx.Err() // it says nothing about the cloud
	}
	if err != nil && bounded.Err() != nil {
		err = fmt.Errorf("%s: no answer within %s", subject(err), patient)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetched = i.now()
	if err != nil && s.token.lasts(s.fetched) {
		return s.token, nil // the one there is serves on
	}
	s.token, s.err = t, err
	return t, err
}

// lasts says whether a token can still be used for a request.
func (t token) lasts(now time.Time) bool { return now.Add(patient).Before(t.ends) }

func (s *scope) known(now time.Time) (t token, known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return token{}, now.Sub(s.fetched) < patient, s.err
	}
	if now.Sub(s.fetched) < patient && s.token.lasts(now) {
		return s.token, true, nil // a short one, or one that could not be renewed
	}
	return s.token, now.Before(s.token.ends.Add(-early)), nil
}

// problem is a failure in the words of its cloud: what was tried, and why not.
type problem struct {
	what, why string
	cause     error
}

func (p *problem) Error() string { return p.what + ": " + p.why }
func (p *problem) Unwrap() error { return p.cause }

func failed(what, why string, cause error) error {
	return &problem{what, oneLine(why), cause}
}

func subject(err error) string {
	if p, ok := errors.AsType[*problem](err); ok {
		return p.what
	}
	return "get token"
}

// changing is what differs each time in the words of the clouds' libraries.
var changing = regexp.MustCompile(`(?i),? ?(request ?id|trace id|correlation id|timestamp|host ?id): [^,;\s]*( \d\d:\d\d:\d\dZ)?|:\d+->`)

// oneLine makes one bounded, printable line.
func oneLine(s string) string {
	s = changing.ReplaceAllString(s, "")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if s = strings.Join(strings.Fields(s), " "); len(s) > 250 {
		s = strings.ToValidUTF8(s[:250], "") + "…"
	}
	return s
}
