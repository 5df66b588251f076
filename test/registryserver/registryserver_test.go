package registryserver

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, opt Options) *Server {
	t.Helper()
	s, err := Start(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// pull reads the whole image, as a container runtime would, and returns its
// digest.
func (s *Server) pull(image, user, password string) (string, error) {
	ref, err := name.NewTag(s.Addr() + "/" + image)
	if err != nil {
		return "", err
	}
	img, err := remote.Image(ref, remote.WithTransport(s.client),
		remote.WithAuth(authn.FromConfig(authn.AuthConfig{Username: user, Password: password})))
	if err != nil {
		return "", err
	}
	layers, err := img.Layers()
	if err != nil {
		return "", err
	}
	for _, layer := range layers {
		content, err := layer.Compressed()
		if err != nil {
			return "", err
		}
		content.Close()
	}
	digest, err := img.Digest()
	return digest.String(), err
}

func TestServesWhatWasPushed(t *testing.T) {
	s := start(t, Options{})
	for _, tag := range []string{"1", "2"} {
		if err := s.Push("owner/app", tag); err != nil {
			t.Fatal(err)
		}
	}
	one, err := s.pull("owner/app:1", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if two, err := s.pull("owner/app:2", "", ""); err != nil || one == two {
		t.Fatalf("two pushes gave %s and %s, %v", one, two, err)
	}
	if _, err := s.pull("owner/app:3", "", ""); err == nil || !strings.Contains(err.Error(), "MANIFEST_UNKNOWN") {
		t.Errorf("a tag that was not pushed: %v", err)
	}
	if _, err := s.pull("owner/other:1", "", ""); err == nil || !strings.Contains(err.Error(), "NAME_UNKNOWN") {
		t.Errorf("a repository that was not pushed to: %v", err)
	}
}

func TestAsksForThePassword(t *testing.T) {
	s := start(t, Options{Username: "me", Password: "secret"})
	if err := s.Push("owner/app", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pull("owner/app:1", "me", "secret"); err != nil {
		t.Error(err)
	}
	for _, user := range []string{"", "you"} {
		if _, err := s.pull("owner/app:1", user, "secret"); err == nil || !strings.Contains(err.Error(), "UNAUTHORIZED") {
			t.Errorf("user %q: %v", user, err)
		}
	}
}

func TestRefusesNamesThatAreNone(t *testing.T) {
	s := start(t, Options{})
	if err := s.Push("Owner/app", "1"); err == nil {
		t.Error("pushed to an invalid name")
	}
}
