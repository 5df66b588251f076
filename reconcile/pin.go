package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kainlite/gitops-operator/patcher"
)

// pin asks registries for the digests of the tags that are wanted, and refuses the
// deployments that want another digest in a place than somebody else does. It
// returns whom it asked for, guests included.
func (g *group) pin(ctx context.Context) []*deployment {
	var pinned []*deployment
	for _, d := range g.open() {
		if d.target.Spec.PinDigest {
			pinned = append(pinned, d)
		}
	}
	for _, d := range slices.Clone(pinned) {
		for other := range d.sharing {
			if other.guest && other.target.Spec.PinDigest && !other.target.Spec.Holds() && other.want == d.want && !slices.Contains(pinned, other) {
				pinned = append(pinned, other)
			}
		}
	}
	if pinned != nil {
		g.gate(ctx, pinned)
	}
	for _, d := range g.open() {
		if rival, why := d.otherDigest(); rival != nil {
			f, image := d.shared(rival)
			g.fail(d, g.inFile(d, f, fmt.Errorf("image %s is also claimed by deployment %s, which %s, or give each a file or an image of its own", image, rival.target.Key(), why)))
		}
	}
	return pinned
}

// otherDigest returns who wants another digest in a place of the deployment, or
// none where this one wants one; and what to say about it.
func (d *deployment) otherDigest() (rival *deployment, why string) {
	for s, c := range d.claims {
		other := c.deployment
		if other == d || other.target.Spec.Holds() || other.want != "" && other.want != d.want {
			continue
		}
		own, its := d.target.Spec.PinDigest, other.target.Spec.PinDigest
		switch {
		case own && !its:
			why = `does not pin its digest: set gitops.operator.pin_digest to "true" there too`
		case its && !own:
			why = `pins its digest: set gitops.operator.pin_digest to "true" here too`
		case own:
			i := slices.IndexFunc(s.places, func(p patcher.Place) bool { return p.Offset == c.place.Offset })
			wants, has := d.version(s.places[i]).Digest, other.version(c.place).Digest
			if wants == "" || has == "" || wants == has {
				continue
			}
			why = fmt.Sprintf("wants digest %s where this one wants %s: name the same image in both", has, wants)
		default:
			continue
		}
		return other, why
	}
	return nil, ""
}

// written returns the digests that the deployment has written, each with its image
// where there are several images.
func (d *deployment) pins() []string {
	var all []string
	for _, s := range d.spots {
		for _, p := range s.places {
			v := d.version(p)
			if v.Digest == "" {
				continue
			}
			text := v.Digest
			if len(d.target.Spec.Request.Images) > 1 {
				text = strings.TrimSuffix(withTag(d.pulls(p), d.want), ":"+d.want) + "@" + v.Digest
			}
			if !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	return all
}
