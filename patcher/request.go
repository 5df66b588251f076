package patcher

import "strings"

// Kind says what kind of place a tag is in.
type Kind string

// The kinds of places.
const (
	Workload      Kind = "workload"      // the image of a container
	Kustomization Kind = "kustomization" // an entry of images
	Values        Kind = "values"        // the tag beside a repository
	String        Kind = "string"        // an image: NAME:TAG in Helm values or a Compose file
	Path          Kind = "path"          // what a path expression gave
)

// Request says which places in a file are meant.
type Request struct {
	Images []Name
	Paths  []Expression // where to look, instead of wherever the images are
	Pin    bool         // the digest is written too, and one that is there is accepted
}

// Version is what a place has, or is to have.
type Version struct {
	Tag    string
	Digest string // sha256:…; empty where it has none
}

// String returns the version as it stands behind a name.
func (v Version) String() string {
	if v.Digest == "" {
		return v.Tag
	}
	return v.Tag + "@" + v.Digest
}

// Place is where a version stands.
type Place struct {
	Kind  Kind
	Image Name // the one of the request that it has; zero for a path to a tag alone

	// Name is the image as it is spelled, without tag and digest, and Ref with
	// them. For a path to a tag alone both are empty: the image is not known.
	Name, Ref string

	Tag, Digest string
	Line        int // 1-based
	Offset      int // in bytes: of the scalar, or of where a line is inserted

	unread bool // as it stands, the tag is read as something else, or would move
	only   bool // it is a digest without a tag
}

// Has reports whether the place needs no change to have the version. A version
// without a digest says nothing of digests.
func (p Place) Has(v Version) bool {
	return !p.unread && (p.only || p.Tag == v.Tag) && (v.Digest == "" || p.Digest == v.Digest)
}

// Key is the same text for requests that mean the same places.
func (r Request) Key() string {
	var b strings.Builder
	if r.Pin {
		b.WriteString("pin")
	}
	for _, n := range r.Images {
		b.WriteString("\n" + n.given + " " + n.domain + " " + n.also)
	}
	for _, p := range r.Paths {
		b.WriteString("\n|" + p.text)
	}
	return b.String()
}

// Places returns the places that r means, in order of position. There is at least
// one, at least one for each path, and Edit would accept each of them; otherwise
// the error is an *Error. Of several images, some may not be in the file: see Has.
func (f *File) Places(r Request) ([]Place, error) {
	targets, err := f.targets(r)
	if err != nil {
		return nil, err
	}
	places := make([]Place, len(targets))
	for i := range targets {
		places[i] = targets[i].place(r.Pin)
	}
	return places, nil
}

// place tells of the target.
func (t *target) place(pin bool) Place {
	p := Place{Kind: t.kind, Image: t.image, Tag: t.has.Tag, Digest: t.has.Digest, Line: t.line(), Offset: t.offset()}
	if p.Name = t.is().name(); p.Name != "" {
		p.Ref = p.Name
		if p.Tag != "" {
			p.Ref += ":" + p.Tag
		}
		if p.Digest != "" {
			p.Ref += "@" + p.Digest
		}
	}
	// What is as it should be would get the same bytes again.
	p.unread, p.only = t.has.Tag != "" && len(t.edits(t.has, pin, false)) > 0, t.only
	return p
}

// Has reports whether n is the image of a place in the file. Whether it can be
// changed there, Places says.
func (f *File) Has(n Name) bool { return len(f.candidates(n)) > 0 }

// check says whether the version can be written.
func (r Request) check(v Version) error {
	if err := CheckTag(v.Tag); err != nil {
		return err
	}
	if r.Pin {
		return CheckDigest(v.Digest)
	}
	return nil
}
