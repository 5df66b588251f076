package registry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
)

// stubIdentity has one registry, and answers from a list, the last for good.
type stubIdentity struct {
	host string

	mu      sync.Mutex
	answers []string // passwords, or errors after a "!"
	asked   int
}

func (s *stubIdentity) Credentials(_ context.Context, host string) (authn.AuthConfig, bool, error) {
	if host != s.host {
		return authn.AuthConfig{}, false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if text, failed := strings.CutPrefix(s.answers[0], "!"); failed {
		return authn.AuthConfig{}, false, errors.New(text)
	}
	return authn.AuthConfig{Username: user, Password: s.answers[0]}, true, nil
}

func (s *stubIdentity) Refused(string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
}

// The pod's own identity is shown to its registries, and only where the given
// credentials have none.
func TestTheIdentityIsShownWhereNoCredentialsAre(t *testing.T) {
	for _, authentication := range []string{"basic", "token"} {
		t.Run(authentication, func(t *testing.T) {
			r := start(t, authentication, "", nil)
			image := r.addr() + "/private/app:1"
			own := &stubIdentity{host: r.addr(), answers: []string{"old", password}}
			c := newClient(t, Options{Identity: own})
			push(t, newClient(t, Options{}), image, false)

			equal(t, "there, after a token was refused", exists(t, c, image, nil), true)
			equal(t, "there, with credentials for another registry", exists(t, c, image, credentials(t, "other.example", user, password)), true)
			equal(t, "tags", len(tags(t, c, 0, r.addr()+"/private/app", nil)), 1)
			before := own.asked
			fails(t, c, image, credentials(t, r.addr(), user, "wrong"), ErrUnauthorized)
			equal(t, "asked though there are credentials", own.asked, before)
		})
	}
}

func TestAnIdentityThatIsOfNoUse(t *testing.T) {
	r := start(t, "basic", "", nil)
	image := r.addr() + "/private/app:1"
	c := newClient(t, Options{Identity: &stubIdentity{host: r.addr(), answers: []string{"!get token for ECR: no role"}}})
	equal(t, "message", fails(t, c, image, nil, ErrUnauthorized), "check image "+image+" in registry "+r.addr()+
		": access denied: get token for ECR: no role (check the pod's own identity, or give credentials for this registry)")
	c = newClient(t, Options{Identity: &stubIdentity{host: r.addr(), answers: []string{"wrong"}}})
	if got := fails(t, c, image, nil, ErrUnauthorized); !strings.HasSuffix(got, "(it was asked with the pod's own identity: check that this may read the repository, and that it exists)") ||
		strings.Contains(got, "wrong") {
		t.Errorf("got %s", got)
	}
	c = newClient(t, Options{Identity: &stubIdentity{host: "another.example"}})
	if got := fails(t, c, image, nil, ErrUnauthorized); !strings.HasSuffix(got, "("+anonymous+")") {
		t.Errorf("got %s", got)
	}
}
