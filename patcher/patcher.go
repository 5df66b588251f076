// Package patcher changes image tags in Kubernetes manifests and leaves every
// other byte alone.
//
// It finds the images of containers with the syntax tree of yq, replaces the
// bytes of the tag in the original text, and then reads the result again and
// compares it with the original node by node. Whatever is not certain is
// refused with an *Error; there is never a partial edit.
//
// The package works on bytes in memory. It opens no files, starts no
// processes, and knows nothing of git, registries or clusters.
package patcher

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

// MaxSize is the largest manifest that is read, in bytes.
const MaxSize = 4 << 20

type node = yqlib.CandidateNode

// File is a parsed manifest file of one or several documents. It does not
// change after Parse, so several goroutines may use it at the same time.
type File struct {
	content []byte
	docs    []*node
	aliased map[*node]int // anchored nodes in use, and the line of an alias that uses them
	images  []image       // every image of every container, in order of position
}

// Image is one container image that a Name matched.
type Image struct {
	Ref    string // the reference as the manifest spells it
	Tag    string // its tag; empty when it has none
	Line   int    // 1-based line
	Offset int    // byte offset of the scalar, its opening quote included
}

// Parse reads a manifest. It keeps content, which must not change afterwards.
// Its errors are of type *Error, for reasons ErrTooLarge, ErrNotUTF8,
// ErrNotYAML or ErrTooComplex.
func Parse(content []byte) (*File, error) {
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
	return build(content, docs)
}

// build makes a File of what was read from content.
func build(content []byte, docs []*node) (*File, error) {
	f := &File{content: content, docs: docs, aliased: map[*node]int{}}
	for _, doc := range docs {
		if err := f.survey(doc, doc, 1); err != nil {
			return nil, err
		}
	}
	var err error
	if f.images, err = findImages(docs); err != nil {
		return nil, err
	}
	slices.SortFunc(f.images, func(a, b image) int {
		return cmp.Or(cmp.Compare(a.node.Line, b.node.Line), cmp.Compare(a.node.Column, b.node.Column))
	})
	here := newCursor(content)
	for i := range f.images {
		f.images[i].offset = here.seek(f.images[i].node.Line, f.images[i].node.Column)
	}
	return f, nil
}

// Find returns the images that n matches, in order of position. There is at
// least one, and SetTag would accept each of them; otherwise the error is an
// *Error.
func (f *File) Find(n Name) ([]Image, error) {
	targets, err := f.match(n)
	if err != nil {
		return nil, err
	}
	found := make([]Image, len(targets))
	for i, t := range targets {
		found[i] = Image{Ref: t.node.Value, Tag: t.ref.tag, Line: t.node.Line, Offset: t.start}
	}
	return found, nil
}

// SetTag returns the content with the tag of every image that n matches set to
// tag. When all of them have that tag already, it returns the slice given to
// Parse. Its errors are of type *Error; one of them means that nothing is to be
// written.
func (f *File) SetTag(n Name, tag string) ([]byte, error) {
	s := f.Series()
	_, changes, err := s.Set(n, tag)
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

// edit replaces the bytes of one scalar.
type edit struct {
	node       *node
	start, end int    // the scalar in the content, quotes included
	text       string // the bytes to put there
	value      string // what they mean
	tag        string
	quoted     bool // quotes were added
}

// withTag returns the edit that gives t's image the tag.
func (t target) withTag(tag string) edit {
	name := strings.TrimSuffix(t.node.Value, ":"+t.ref.tag)
	e := edit{node: t.node, start: t.start, end: t.end, value: name + ":" + tag, tag: tag}
	e.text = e.value
	switch q := t.quote; {
	case q != "":
		e.text = q + e.value + q
	case readsAsNumber(e.value):
		e.text, e.quoted = `"`+e.value+`"`, true
	}
	return e
}

// splice applies the edits, which are in order of position and apart.
func splice(content []byte, edits []edit) []byte {
	var out bytes.Buffer
	out.Grow(len(content) + 128*len(edits))
	from := 0
	for _, e := range edits {
		out.Write(content[from:e.start])
		out.WriteString(e.text)
		from = e.end
	}
	out.Write(content[from:])
	return out.Bytes()
}
