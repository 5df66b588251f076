package registry

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// check is one image to be looked up with what may be shown to its registry.
type check struct {
	client *Client
	image  string // as given
	host   string // the registry, as the image names it
	tag    name.Tag
	auth   authn.Authenticator
	given  bool // credentials were given, though perhaps not for this registry
}

func (c *Client) newCheck(image string, cred *Credentials) (*check, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil, invalid(image, strings.TrimPrefix(err.Error(), reference.ErrReferenceInvalidFormat.Error()+": "))
	}
	if _, ok := named.(reference.Digested); ok {
		return nil, invalid(image, "it has a digest")
	}
	tagged, ok := named.(reference.Tagged)
	if !ok {
		return nil, invalid(image, "it has no tag")
	}
	k := &check{client: c, image: image, host: strings.ToLower(reference.Domain(named)), given: cred != nil}
	var opts []name.Option
	if c.plainHTTP(k.host) {
		opts = append(opts, name.Insecure)
	}
	registry, err := name.NewRegistry(k.host, opts...)
	if err != nil {
		return nil, invalid(image, err.Error())
	}
	k.tag = registry.Repo(reference.Path(named)).Tag(tagged.Tag())
	k.auth, err = cred.Resolve(k.tag.Repository)
	return k, err
}

// try asks once.
func (k *check) try(ctx context.Context) (bool, *Error) {
	ctx, cancel := context.WithTimeout(ctx, k.client.timeout)
	defer cancel()

	w := newWire(k)
	// Made here and not by remote.Head: its own would retry by itself, and a
	// failure on the way to the manifest would look like an answer about it.
	rt, err := transport.NewWithContext(ctx, k.tag.Registry, k.auth,
		transport.NewUserAgent(w, "gitops-operator"), []string{k.tag.Scope(transport.PullScope)})
	if err != nil {
		return false, k.failure(w, err)
	}
	opts := []remote.Option{remote.WithTransport(rt), remote.WithContext(ctx)}
	head, err := remote.Head(k.tag, opts...)
	if there, known := answer(head, err); known {
		return there, nil
	}
	if !worthGet(err) {
		return false, k.failure(w, err)
	}
	get, err := remote.Get(k.tag, opts...)
	if err != nil {
		if there, known := answer(nil, err); known {
			return there, nil
		}
		return false, k.failure(w, err)
	}
	if there, known := answer(&get.Descriptor, nil); known {
		return there, nil
	}
	return false, k.failure(w, fmt.Errorf("its type is %q, which is no image manifest", get.MediaType))
}

// answer is what the registry said about the manifest, if it did.
func answer(d *v1.Descriptor, err error) (there, known bool) {
	if err == nil {
		there = isManifest(string(d.MediaType))
		return there, there
	}
	// Not errors.As: an answer of the token server comes as a *url.Error that
	// wraps it, and its 404 says nothing about the image.
	status, ok := err.(*transport.Error)
	return false, ok && status.StatusCode == http.StatusNotFound
}

func isManifest(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	m := types.MediaType(mediaType)
	return err == nil && (m.IsImage() || m.IsIndex() || m.IsSchema1())
}

// worthGet says whether a GET may tell more than the HEAD that led to err: some
// registries answer a HEAD wrongly or not at all, and a refusal's reason is in
// the body.
func worthGet(err error) bool {
	var status *transport.Error
	var network *url.Error
	switch {
	case errors.As(err, &network):
		return false
	case errors.As(err, &status):
		return status.StatusCode != http.StatusTooManyRequests &&
			(status.StatusCode < 500 || status.StatusCode == http.StatusNotImplemented)
	}
	return true
}
