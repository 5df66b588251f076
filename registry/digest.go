package registry

import (
	"context"
	"time"
)

// Digest returns the digest of what image, a name with a tag, is in the
// registry now: "sha256:…". For an image of several platforms it is that of
// the whole, the index, which is what a manifest is to name. It is empty when
// the registry does not have the image; all else is as with Exists, which need
// not be asked too.
func (c *Client) Digest(ctx context.Context, image string, cred *Credentials) (digest string, err error) {
	begin := time.Now()
	defer func() { c.observe(begin, known(digest != ""), err) }()
	k, err := c.newCheck("check image", image, cred)
	if err != nil {
		return "", err
	}
	found, err := k.look(ctx)
	if err != nil || found == nil {
		return "", err
	}
	return found.Digest.String(), nil
}
