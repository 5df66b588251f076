package patcher

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

// target is an image that is to have a new tag, and can have it.
type target struct {
	image
	span
	ref ref
}

// match returns the images that n matches, in order of position, or says why
// they cannot be changed.
func (f *File) match(n Name) ([]target, error) {
	var targets []target
	for _, img := range f.images {
		if img.node.Kind != yqlib.ScalarNode {
			continue
		}
		r, ours := n.read(img.node.Value)
		if !ours {
			continue
		}
		s, err := f.admit(img, r)
		if err != nil {
			return nil, err
		}
		targets = append(targets, target{image: img, span: s, ref: r})
	}
	if len(targets) == 0 {
		return nil, f.noMatch(n)
	}
	for _, t := range targets[1:] {
		if first := targets[0]; t.ref.domain != first.ref.domain {
			return nil, refuse(t.node.Line, ErrAmbiguous, "%s stands in two registries, %s (line %d) and %s: name the registry in the image name",
				quote(n.given), first.ref.domain, first.node.Line, t.ref.domain)
		}
	}
	return targets, nil
}

// admit returns where a matching image stands, unless changing it could do
// harm or have no effect.
func (f *File) admit(img image, r ref) (span, error) {
	n := img.node
	if img.flaw != nil {
		return span{}, img.flaw
	}
	for p := n; p != nil; p = p.Parent {
		if line, used := f.aliased[p]; used {
			has := "lies under"
			if p == n {
				has = "has"
			}
			return span{}, refuse(n.Line, ErrShared, "the image %s %s the anchor &%s, which line %d uses too, so a new tag would change that place as well: write it out there without the alias",
				quote(n.Value), has, p.Anchor, line)
		}
	}
	if n.Tag != "!!str" {
		return span{}, notString(n)
	}
	s, err := f.locate(img)
	switch {
	case err != nil:
		return span{}, err
	case r.err != nil:
		return span{}, refuse(n.Line, ErrBadReference, "the image %s is not a valid reference: write it as NAME:TAG, without variables", quote(n.Value))
	case r.digest:
		return span{}, refuse(n.Line, ErrDigest, "the image %s has a digest, so a new tag would have no effect: remove the digest", quote(n.Value))
	}
	return s, nil
}

func notString(n *node) error {
	return refuse(n.Line, ErrNotString, "the image is %s, not a string: write it as NAME:TAG", describe(n))
}

// describe says what stands in the place of an image.
func describe(n *node) string {
	switch {
	case n.Kind == yqlib.MappingNode && len(n.Content) > 0 && n.Content[0].Kind == yqlib.MappingNode:
		return "a template ({{)"
	case n.Kind == yqlib.MappingNode:
		return "a mapping"
	case n.Kind == yqlib.SequenceNode:
		return "a sequence"
	case n.Tag == "!!int", n.Tag == "!!float":
		return "the number " + n.Value
	case n.Tag != "!!str":
		return fmt.Sprintf("%s with the tag %s", quote(n.Value), n.Tag)
	}
	return quote(n.Value)
}

// noMatch explains why n is not among the images of the file: it stands where
// nothing is edited, or another name was meant.
func (f *File) noMatch(n Name) error {
	for _, doc := range f.docs {
		if err := n.elsewhere(doc, ""); err != nil {
			return err
		}
	}
	if len(f.images) == 0 {
		return refuse(0, ErrNoMatch, "no container has the image %s: the file has no containers with an image; name the file of the Deployment", quote(n.given))
	}
	isString := func(img image) bool { return img.node.Tag == "!!str" }
	if !slices.ContainsFunc(f.images, isString) {
		return notString(f.images[0].node)
	}
	return refuse(0, ErrNoMatch, "no container has the image %s; the file has %s: correct the image name, or name another file", quote(n.given), f.nearest(n))
}

// elsewhere looks for n in fields that hold images but are not edited: those
// of other kinds, of kustomizations and of Helm values.
func (n Name) elsewhere(at *node, kind string) error {
	if at.Kind == yqlib.MappingNode {
		for i := 0; i+1 < len(at.Content); i += 2 {
			if at.Content[i].Value == "kind" && at.Content[i+1].Value != "" {
				kind = at.Content[i+1].Value
			}
		}
	}
	for i, child := range at.Content {
		isValue := at.Kind == yqlib.MappingNode && i%2 == 1
		if isValue && child.Kind == yqlib.ScalarNode && holdsImage(at, at.Content[i-1].Value) {
			if _, ours := n.read(child.Value); ours {
				return refuse(child.Line, ErrNoMatch, "the image %s stands %s: name the file of the Deployment that has it in a container", quote(n.given), where(kind))
			}
		}
		if err := n.elsewhere(child, kind); err != nil {
			return err
		}
	}
	return nil
}

func holdsImage(m *node, key string) bool {
	switch key {
	case "image", "repository":
		return true
	case "name", "newName": // of a kustomization
		list := m.Parent
		return list != nil && list.Key != nil && list.Key.Value == "images"
	}
	return false
}

func where(kind string) string {
	if _, edited := podSpecs[kind]; edited {
		return "outside the containers of a " + kind
	}
	if kind == "" {
		return "in a document without a kind, which is not edited"
	}
	return fmt.Sprintf("in the kind %s, which is not edited", quote(kind))
}

// nearest lists the images of the file, those most like n first.
func (f *File) nearest(n Name) string {
	const most, compared = 5, 1000
	type near struct {
		text     string
		line     int
		distance int
	}
	var all []near
	seen := map[string]bool{}
	for _, img := range f.images {
		text := describe(img.node)
		if seen[text] {
			continue
		}
		seen[text] = true
		if len(all) < compared {
			name := strings.ToLower(literalName(img.node.Value))
			all = append(all, near{text, img.node.Line, distance(name, strings.ToLower(n.given))})
		}
	}
	slices.SortStableFunc(all, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	var parts []string
	for _, a := range all[:min(most, len(all))] {
		parts = append(parts, fmt.Sprintf("%s (line %d)", a.text, a.line))
	}
	list := strings.Join(parts, ", ")
	if more := len(seen) - len(parts); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// distance is the number of characters to insert, delete or replace to make b
// of a (Levenshtein).
func distance(a, b string) int {
	const longest = 255
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
