package reconcile

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/patcher"
)

// spot is a file that a deployment is written in.
type spot struct {
	*deployment
	file   *manifest
	places []patcher.Place // of its tag
	steps  int             // of the file's edits, until it has what it wants; 0: it changes nothing there
	from   patcher.Version // what the first place had that it changes
	err    error           // why it cannot be changed there
}

// claim is a place that a deployment claims.
type claim struct {
	*deployment
	place patcher.Place
}

// locate finds out where the deployment's tag is. Its error is why it cannot be
// changed: one file that cannot be, keeps the others as they are.
func (d *deployment) locate() error {
	spec := d.target.Spec
	for _, s := range d.spots {
		s.places, s.steps, s.err = nil, 0, nil
		if s.file.known.Err != nil {
			return d.group.inFile(d, s.file, s.file.known.Err)
		}
		k := s.file.known.find(spec.RequestKey)
		if k.err == nil && k.places == nil {
			k.err = errors.New("internal error, please report it: it was not looked at")
		}
		if k.err != nil {
			return d.group.inFile(d, s.file, k.err)
		}
		s.places = k.places
	}
	if spec.Request.Pin && len(spec.Request.Images) > 1 {
		for _, s := range d.spots {
			if i := slices.IndexFunc(s.places, func(p patcher.Place) bool { return p.Name == "" }); i >= 0 {
				return d.group.inFile(d, s.file, fmt.Errorf("line %d: the path leads to a tag alone, and gitops.operator.pin_digest needs to know of which image it is: name one in gitops.operator.image_name", s.places[i].Line))
			}
		}
	}
	if len(spec.Request.Images) < 2 || len(spec.Request.Paths) > 0 {
		return nil // patcher has said it
	}
	for _, n := range spec.Request.Images {
		has := func(s *spot) bool {
			return slices.ContainsFunc(s.places, func(p patcher.Place) bool { return p.Image == n })
		}
		if !slices.ContainsFunc(d.spots, has) {
			return d.group.inFile(d, d.spots[0].file, fmt.Errorf("%w, so nothing is changed: correct gitops.operator.image_name, or add its file to gitops.operator.deployment_path", noFile(n, len(d.spots))))
		}
	}
	return nil
}

func noFile(n patcher.Name, files int) error {
	if files == 1 {
		return fmt.Errorf("it has no image %q", n)
	}
	return fmt.Errorf("none of the %d files has the image %q", files, n)
}

// pulls returns the image that a place is of, as registries know it.
func (d *deployment) pulls(p patcher.Place) string {
	if p.Name != "" {
		return p.Name
	}
	return d.target.Spec.References()[0]
}

// version is what the deployment wants a place to have.
func (d *deployment) version(p patcher.Place) patcher.Version {
	v := patcher.Version{Tag: d.want}
	if d.target.Spec.PinDigest {
		v.Digest = d.digests[withTag(d.pulls(p), d.want)]
	}
	return v
}

// lacks says whether a place in the file does not have what is wanted.
func (s *spot) lacks() bool {
	return slices.ContainsFunc(s.places, func(p patcher.Place) bool { return !p.Has(s.version(p)) })
}

// images returns the images, with the wanted tag, of all places, or of those that
// do not have what is wanted.
func (d *deployment) images(all bool) []string {
	var images []string
	for _, s := range d.spots {
		for _, p := range s.places {
			if !all && p.Has(d.version(p)) {
				continue
			}
			names := []string{p.Name}
			if p.Name == "" { // a tag alone is that of all
				names = d.target.Spec.References()
			}
			for _, name := range names {
				if image := withTag(name, d.want); !slices.Contains(images, image) {
					images = append(images, image)
				}
			}
		}
	}
	return images
}

// claims yields who claims a place that the deployment has, itself included.
func (d *deployment) claims(yield func(*spot, claim) bool) {
	for _, s := range d.spots {
		for _, p := range s.places {
			for _, c := range s.file.places[p.Offset] {
				if !yield(s, c) {
					return
				}
			}
		}
	}
}

// sharing returns those who share an image with a deployment, itself included.
func (d *deployment) sharing(yield func(*deployment) bool) {
	for _, c := range d.claims {
		if !yield(c.deployment) {
			return
		}
	}
}

// shared returns the first file in which two deployments share an image, and the
// image.
func (d *deployment) shared(with *deployment) (*manifest, string) {
	for s, c := range d.claims {
		if c.deployment != with {
			continue
		}
		for _, p := range s.places {
			if p.Offset == c.place.Offset && p.Image.String() != "" {
				return s.file, p.Image.String()
			}
		}
		return s.file, d.target.Spec.Images()
	}
	return d.spots[0].file, d.target.Spec.Images()
}

// broken returns where the deployment cannot be changed, nil if it can.
func (d *deployment) broken() *spot {
	if i := slices.IndexFunc(d.spots, func(s *spot) bool { return s.err != nil }); i >= 0 {
		return d.spots[i]
	}
	return nil
}

// inFile says where an error happened.
func (g *group) inFile(d *deployment, f *manifest, err error) error {
	if errors.Is(err, gitcli.ErrPathMissing) || errors.Is(err, gitcli.ErrNotRegular) {
		err = fmt.Errorf("%w: correct gitops.operator.deployment_path", err)
	}
	if n := len(d.spots); n > 1 {
		err = fmt.Errorf("%w; none of its %d files is changed", err, n)
	}
	return because(reasonManifest, fmt.Errorf("patch %s of %s branch %s: %w", f.path, g.manifests, g.branch, err))
}
