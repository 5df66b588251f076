// Package patcher changes image tags and digests where teams keep them, and
// leaves every other byte alone.
//
// What is known of a file kind is a locator: it says where in a document the tag
// of an image is. There are those of workloads, of kustomizations, of Helm values,
// and path expressions. The syntax tree is yq's. The bytes of the tag are replaced
// in the original text, and the result is read again and compared with the
// original node by node. Whatever is not certain is refused with an *Error; there
// is never a partial edit.
//
// For one change, and for many in one file:
//
//	f, err := patcher.ParseFile("apps/kustomization.yaml", content)
//	r := patcher.Request{Images: names, Paths: paths, Pin: pinned}
//	places, err := f.Places(r)               // kind, line, tag, digest, reference
//	done := places[0].Has(v)                 // is there nothing to change here?
//	after, err := f.Edit(r, patcher.Version{Tag: tag, Digest: digest})
//
//	s := f.Series()
//	from, changes, err := s.Edit(r, v)       // a step for each that changes something
//	verified, err := s.Verify()              // one verification for all steps
//	content := s.Content(step)               // the file after each, in turn
//
// A Request.Key is the same for requests that mean the same, for who remembers
// what was found. Find and SetTag, and Series.Set, are the same for one image,
// without a path and without a digest.
//
// The package works on bytes in memory. It opens no files, starts no
// processes, and knows nothing of git, registries or clusters.
package patcher

import (
	"bytes"
	"cmp"
	"slices"
	"sync"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

// MaxSize is the largest manifest that is read, in bytes.
const MaxSize = 4 << 20

type node = yqlib.CandidateNode

// File is a parsed file of one or several documents. It does not change after
// Parse, so several goroutines may use it at the same time.
type File struct {
	name    string // as it was given to ParseFile
	content []byte
	docs    []*node
	aliased map[*node]int // anchored nodes in use, and the line of an alias that uses them
	marks   []cursor      // places in the content, to start from

	sites   []site           // where images are, in order of position
	weak    []site           // what names an image, but has no place for its tag
	byPath  map[string][]int // the sites by repository
	loose   []int            // the sites without a valid reference
	read    described        // what the documents are
	repeats sync.Map         // of walk
}

// Image is one container image that a Name matched.
type Image struct {
	Ref    string // the reference as the manifest spells it
	Tag    string // its tag; empty when it has none, or one that YAML reads as a number
	Line   int    // 1-based line
	Offset int    // byte offset of the scalar, its opening quote included
}

// Parse reads a file whose name does not matter. It keeps content, which must
// not change afterwards. Its errors are of type *Error, for reasons ErrTooLarge,
// ErrNotUTF8, ErrNotYAML or ErrTooComplex.
func Parse(content []byte) (*File, error) { return ParseFile("", content) }

// ParseFile is Parse for a file with a name, or path with slashes: one called
// kustomization.yaml, kustomization.yml or Kustomization need not say what it is.
func ParseFile(name string, content []byte) (*File, error) {
	if err := checkText(content); err != nil {
		return nil, err
	}
	docs, err := decode(content)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(docs, func(d *node) bool { return d.Tag != "!!null" }) {
		return nil, refuse(0, ErrNotYAML, "the file holds no YAML document: put the manifest into it, or name another file")
	}
	return build(name, content, docs)
}

// build makes a File of what was read from content.
func build(name string, content []byte, docs []*node) (*File, error) {
	f := &File{name: name, content: content, docs: docs, aliased: map[*node]int{}, byPath: map[string][]int{}}
	for _, doc := range docs {
		if err := f.survey(doc, doc, 1); err != nil {
			return nil, err
		}
	}
	w := newWalk()
	for _, doc := range docs {
		w.document(doc, name)
	}
	if w.err != nil {
		return nil, w.err
	}
	f.sites, f.weak, f.read = w.sites, w.weak, w.read
	slices.SortStableFunc(f.sites, func(a, b site) int {
		return cmp.Or(cmp.Compare(a.at.Line, b.at.Line), cmp.Compare(a.at.Column, b.at.Column))
	})
	f.index()
	f.marks = marks(content)
	return f, nil
}

// index notes which site has which repository.
func (f *File) index() {
	for i, s := range f.sites {
		for j, r := range s.names {
			switch {
			case r.err != nil:
				f.loose = append(f.loose, i)
			case j == 0 || r.path != s.names[j-1].path:
				f.byPath[r.path] = append(f.byPath[r.path], i)
			}
		}
	}
}

// Find returns the images that n matches, in order of position. There is at
// least one, and SetTag would accept each of them; otherwise the error is an
// *Error.
func (f *File) Find(n Name) ([]Image, error) {
	places, err := f.Places(Request{Images: []Name{n}})
	if err != nil {
		return nil, err
	}
	found := make([]Image, len(places))
	for i, p := range places {
		found[i] = Image{Ref: p.Ref, Tag: p.Tag, Line: p.Line, Offset: p.Offset}
		if p.unread {
			found[i].Tag = ""
		}
	}
	return found, nil
}

// SetTag returns the content with the tag of every image that n matches set to
// tag. When all of them have that tag already, it returns the slice given to
// Parse. Its errors are of type *Error; one of them means that nothing is to be
// written.
func (f *File) SetTag(n Name, tag string) ([]byte, error) {
	return f.Edit(Request{Images: []Name{n}}, Version{Tag: tag})
}

// Edit returns the content with the version in every place that r means. When it
// is there already, Edit returns the slice given to Parse. Its errors are of type
// *Error; one of them means that nothing is to be written.
func (f *File) Edit(r Request, v Version) ([]byte, error) {
	s := f.Series()
	_, changes, err := s.Edit(r, v)
	if err != nil {
		return nil, err
	}
	if !changes {
		return f.content, nil
	}
	after, err := s.Verify()
	if err != nil {
		return nil, err
	}
	return after.content, nil
}

// splice applies the edits, which are in order of position and apart.
func splice(content []byte, edits []edit) []byte {
	size := len(content)
	for _, e := range edits {
		size += len(e.text) - (e.end - e.start)
	}
	var out bytes.Buffer
	out.Grow(size)
	from := 0
	for _, e := range edits {
		out.Write(content[from:e.start])
		out.WriteString(e.text)
		from = e.end
	}
	out.Write(content[from:])
	return out.Bytes()
}
