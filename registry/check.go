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
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// check is one image to be looked up.
type check struct {
	*question
	tag name.Tag
}

func (c *Client) newCheck(op, image string, cred *Credentials) (*check, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil, invalid(op, image, strings.TrimPrefix(err.Error(), reference.ErrReferenceInvalidFormat.Error()+": "), wantTag)
	}
	if _, ok := named.(reference.Digested); ok {
		return nil, invalid(op, image, "it has a digest", wantTag)
	}
	tagged, ok := named.(reference.Tagged)
	if !ok {
		return nil, invalid(op, image, "it has no tag", wantTag)
	}
	q, err := c.newQuestion(op, image, named, cred, wantTag)
	if err != nil {
		return nil, err
	}
	return &check{q, q.repository.Tag(tagged.Tag())}, nil
}

// try asks once. A nil descriptor means that the image is not there.
func (k *check) try(ctx context.Context) (*v1.Descriptor, *Error) {
	ctx, cancel := context.WithTimeout(ctx, k.client.timeout)
	defer cancel()

	w, rt, failed := k.connect(ctx)
	if failed != nil {
		return nil, failed
	}
	opts := []remote.Option{remote.WithTransport(rt), remote.WithContext(ctx)}
	head, err := remote.Head(k.tag, opts...)
	if there, known := answer(head, err); known {
		return there, nil
	}
	if !worthGet(err) {
		return nil, k.failure(w, err)
	}
	get, err := remote.Get(k.tag, opts...)
	if err != nil {
		if there, known := answer(nil, err); known {
			return there, nil
		}
		return nil, k.failure(w, err)
	}
	if there, known := answer(&get.Descriptor, nil); known {
		return there, nil
	}
	return nil, k.failure(w, fmt.Errorf("its type is %q, which is no image manifest", get.MediaType))
}

// answer is what the registry said about the manifest, if it did.
func answer(d *v1.Descriptor, err error) (there *v1.Descriptor, known bool) {
	if err == nil {
		if isManifest(string(d.MediaType)) {
			return d, true
		}
		return nil, false
	}
	// Not errors.As: an answer of the token server comes as a *url.Error that
	// wraps it, and its 404 says nothing about the image.
	status, ok := err.(*transport.Error)
	return nil, ok && status.StatusCode == http.StatusNotFound
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
