package patcher

import (
	"slices"
	"strings"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

// site is a place that a locator found.
type site struct {
	kind  Kind
	at    *node // what is named when the place is
	names []ref // each of them identifies the image
	// pulled is what the image is pulled as, where another name may identify it.
	pulled *ref

	// tag is the scalar with the tag: alone, or behind prefix and the name.
	tag    slot
	alone  bool
	prefix string

	digest slot // the digest beside a tag that is alone
	bare   bool // it is written without sha256:
	only   bool // there is no tag: tag is the scalar of the digest

	entry *entry // where missing lines are inserted, nil where none are
	flaw  error  // what makes it uncertain that this is the image, if anything
}

// slot is an entry of a mapping.
type slot struct {
	key   *node // nil in a sequence
	value *node // aliases followed; nil where there is no such entry
}

// entry is a mapping to which keys may be added.
type entry struct {
	mapping *node
	after   slot // below which of its entries
}

// empty reports whether nothing is written in the slot.
func (s slot) empty() bool {
	return s.value == nil || s.value.Tag == "!!null" && s.value.Value == "" || s.value.Kind == yqlib.ScalarNode && s.value.Value == ""
}

// target is a site that is to have a new version, and can have it.
type target struct {
	*site
	image       Name // of the request; zero where the tag is alone
	ref         ref  // what identified it
	tag, digest span
	tagInsert   *insertion // instead of spans, where the line is missing
	digInsert   *insertion
	has         Version
}

// line and offset say where the target is.
func (t *target) line() int {
	if t.tagInsert != nil {
		return t.tagInsert.line
	}
	return t.site.tag.value.Line
}

func (t *target) offset() int {
	if t.tagInsert != nil {
		return t.tagInsert.offset
	}
	return t.tag.start
}

// is returns what the target's image is pulled as.
func (t *target) is() ref {
	if t.pulled != nil {
		return *t.pulled
	}
	return t.ref
}

// targets returns the places that r means, in order of position, or says why
// they cannot be changed.
func (f *File) targets(r Request) ([]target, error) {
	if len(r.Paths) > 0 {
		return f.atPaths(r)
	}
	var all []target
	taken := map[int]bool{}
	for _, n := range r.Images {
		var first *target
		for _, i := range f.candidates(n) {
			s := &f.sites[i]
			at := slices.IndexFunc(s.names, n.is)
			t := target{site: s, image: n, ref: s.names[at]}
			if err := f.admit(&t, r.Pin); err != nil {
				return nil, err
			}
			if first == nil {
				first = &t
			} else if t.ref.domain != first.ref.domain {
				return nil, refuse(t.at.Line, ErrAmbiguous, "%s stands in two registries, %s (line %d) and %s: name the registry in the image name",
					quote(n.given), first.ref.domain, first.at.Line, t.ref.domain)
			}
			if !taken[i] {
				taken[i] = true
				all = append(all, t)
			}
		}
	}
	if len(all) == 0 {
		return nil, f.noMatch(r.Images)
	}
	inOrder(all)
	return all, nil
}

func inOrder(all []target) {
	slices.SortStableFunc(all, func(a, b target) int { return a.offset() - b.offset() })
}

// candidates returns the sites that n matches, in order.
func (f *File) candidates(n Name) []int {
	var found []int
	add := func(sites []int) {
		for _, i := range sites {
			if slices.ContainsFunc(f.sites[i].names, n.is) {
				found = append(found, i)
			}
		}
	}
	for _, path := range n.paths() {
		add(f.byPath[path])
	}
	add(f.loose)
	slices.Sort(found)
	return slices.Compact(found)
}

// admit completes a target, unless changing it could do harm or have no effect.
func (f *File) admit(t *target, pin bool) error {
	if t.flaw != nil {
		return t.flaw
	}
	for _, s := range []slot{t.site.tag, t.site.digest} {
		if err := f.shared(s.value, !t.alone); err != nil {
			return err
		}
	}
	if t.entry != nil {
		if err := f.shared(t.entry.mapping, false); err != nil {
			return err
		}
	}
	if err := f.place(t, pin); err != nil {
		return err
	}
	for _, r := range []ref{t.ref, t.is()} {
		if r.err != nil {
			return refuse(t.at.Line, ErrBadReference, "the image %s is not a valid reference: write it as NAME:TAG, without variables", quote(r.value))
		}
	}
	if t.alone {
		return f.admitAlone(t, pin)
	}
	r := t.is()
	t.has = Version{r.tag, r.digest}
	if r.digest != "" && !pin {
		return refuse(t.at.Line, ErrDigest, "the image %s has a digest, so a new tag would have no effect: "+pinHint, quote(r.value))
	}
	return nil
}

const pinHint = `remove the digest, or set the annotation gitops.operator.pin_digest to "true"`

// shared refuses what another place refers to by an alias.
func (f *File) shared(n *node, isRef bool) error {
	for p := n; p != nil; p = p.Parent {
		if line, used := f.aliased[p]; used {
			has := "lies under"
			if p == n {
				has = "has"
			}
			return refuse(n.Line, ErrShared, "the %s %s the anchor &%s, which line %d uses too, so a new tag would change that place as well: write it out there without the alias",
				named(n, isRef), has, p.Anchor, line)
		}
	}
	return nil
}

// named says what a node is, and its value.
func named(n *node, isRef bool) string {
	what := "value"
	switch key := n.Key; {
	case n.Kind != yqlib.ScalarNode:
		return "entry"
	case isRef:
		what = "image"
	case key == nil:
	case key.Value == "digest" || key.Value == "sha":
		what = "digest"
	case strings.HasSuffix(strings.ToLower(key.Value), "tag"):
		what = "tag"
	}
	return what + " " + quote(n.Value)
}

// place finds the bytes of the target.
func (f *File) place(t *target, pin bool) (err error) {
	tag, digest := t.site.tag, t.site.digest
	if tag.value != nil {
		if err := t.checkType(tag.value); err != nil {
			return err
		}
		if t.tag, err = f.locate(tag, !t.alone); err != nil {
			return err
		}
	} else if t.tagInsert, err = f.insertion(t.entry, t.entry.after); err != nil {
		return err
	}
	if !pin || !t.alone {
		return nil
	}
	switch {
	case digest.value != nil:
		if err := t.checkType(digest.value); err != nil {
			return err
		}
		t.digest, err = f.locate(digest, false)
	case t.entry != nil && t.tagInsert == nil:
		t.digInsert, err = f.insertion(t.entry, tag)
	}
	return err
}

// checkType refuses what is no scalar, or has a type that the new value cannot
// have.
func (t *target) checkType(n *node) error {
	switch {
	case !t.alone:
		if n.Tag != "!!str" {
			return notString(n)
		}
	case n.Kind != yqlib.ScalarNode:
		return refuse(n.Line, ErrNotString, "the tag is %s, not a string: write the tag there", describe(n))
	case n.Style&yqlib.TaggedStyle != 0 && n.Tag != "!!str":
		return refuse(n.Line, ErrNotString, "the tag is %s, not a string: remove the tag %s", describe(n), n.Tag)
	}
	return nil
}

// admitAlone reads the version of a tag that stands alone.
func (f *File) admitAlone(t *target, pin bool) error {
	digest := ""
	if d := t.site.digest; !d.empty() {
		digest = d.value.Value
		if t.bare {
			digest = "sha256:" + digest
		}
	}
	line, written := t.at.Line, ""
	if tag := t.site.tag.value; tag != nil && !t.site.tag.empty() && tag.Tag != "!!null" {
		line, written = tag.Line, tag.Value
	}
	if t.only {
		t.has.Digest = written
		if !pin {
			return refuse(line, ErrDigest, "this is the digest %s, which no tag can take the place of: "+pinHint, quote(written))
		}
		return nil
	}
	tag, inTag, found := strings.Cut(written, "@")
	if found {
		digest = inTag
	}
	if t.kind == Path {
		if strings.ContainsAny(tag, ":/${ \n") {
			return refuse(line, ErrBadReference, "%s is neither a tag nor %s: correct the path or the image name", quote(written), t.wanted())
		}
	} else if tag != "" && CheckTag(tag) != nil {
		return refuse(line, ErrBadReference, "the tag %s is not a valid tag: write it out, without variables", quote(written))
	}
	if digest != "" && !pin {
		return refuse(line, ErrDigest, "the image %s has a digest, so a new tag would have no effect: "+pinHint, quote(t.withDigest(tag, digest)))
	}
	t.has = Version{tag, digest}
	return nil
}

// withDigest writes a reference for a message.
func (t *target) withDigest(tag, digest string) string {
	s := t.is().name()
	if tag != "" {
		if s != "" {
			s += ":"
		}
		s += tag
	}
	return s + "@" + digest
}

// wanted names the image of the request, for a message.
func (t *target) wanted() string {
	if t.image.given == "" {
		return "an image of the request"
	}
	return "the image " + quote(t.image.given)
}
