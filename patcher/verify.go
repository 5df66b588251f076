package patcher

import (
	"slices"
	"sort"
	"strings"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

// verify reads the changed content and compares it with the original: the
// edited scalars have their new values, the inserted keys are there, and nothing
// else is different. It returns the documents that it read.
func (f *File) verify(changed []byte, edits []edit) ([]*node, error) {
	docs, err := decode(changed)
	if err != nil || len(docs) != len(f.docs) {
		return nil, unverified(0)
	}
	c := newComparison(edits)
	for i := range docs {
		if differs := c.compare(f.docs[i], docs[i]); differs != nil {
			return nil, unverified(differs.Line)
		}
	}
	if c.apart && !slices.Equal(comments(f.docs), comments(docs)) {
		return nil, unverified(0)
	}
	return docs, nil
}

func unverified(line int) error {
	return refuse(line, ErrUnverified, "the new tag would change more than the image: set it by hand, and write this part of the file more simply")
}

type comparison struct {
	edits    map[*node]edit
	inserted map[*node][]edit // by the mapping
	moved    []int            // a line for each that is added: what is below it moves down
	// apart says that comments are compared apart from the nodes: beside and below
	// what is inserted they may belong to another one.
	apart bool
	twins map[*node]*node // anchored nodes: before and after
}

func newComparison(edits []edit) *comparison {
	c := &comparison{edits: make(map[*node]edit, len(edits)), inserted: map[*node][]edit{}, twins: map[*node]*node{}}
	for _, e := range edits {
		if e.into == nil {
			c.edits[e.node] = e
			c.apart = c.apart || e.filled
			continue
		}
		c.inserted[e.into.entry.mapping] = append(c.inserted[e.into.entry.mapping], e)
		c.apart = true
		for range e.lines() {
			c.moved = append(c.moved, e.into.line)
		}
	}
	slices.Sort(c.moved)
	return c
}

// compare returns the first node of the original that is not as it should be.
func (c *comparison) compare(before, after *node) *node {
	value, style, tag := before.Value, before.Style, before.Tag
	if e, edited := c.edits[before]; edited {
		value, tag = e.value, "!!str"
		if e.quoted {
			style |= yqlib.DoubleQuotedStyle
		}
	}
	same := after.Value == value && after.Style == style &&
		after.Kind == before.Kind && after.Tag == tag && after.Anchor == before.Anchor &&
		after.Line == before.Line+sort.SearchInts(c.moved, before.Line)
	if !c.apart {
		same = same && after.HeadComment == before.HeadComment && after.LineComment == before.LineComment && after.FootComment == before.FootComment
	}
	if before.Kind == yqlib.AliasNode {
		same = same && after.Alias != nil && after.Alias == c.twins[before.Alias]
	}
	content, ok := c.without(c.inserted[before], before, after.Content)
	if !same || !ok || len(content) != len(before.Content) {
		return before
	}
	if before.Anchor != "" {
		c.twins[before] = after
	}
	for i := range before.Content {
		if differs := c.compare(before.Content[i], content[i]); differs != nil {
			return differs
		}
	}
	return nil
}

// without takes the inserted keys out of the content of a mapping. It reports
// false where they are not as they should be.
func (c *comparison) without(inserted []edit, before *node, after []*node) ([]*node, bool) {
	if len(inserted) == 0 {
		return after, true
	}
	left := slices.Clone(after)
	for _, e := range inserted {
		// What an insertion before this one added is out again, so the entry has
		// the place that it had.
		at := slices.Index(before.Content, e.into.after.key) + 2
		for _, k := range e.keys {
			if at < 2 || at+2 > len(left) || !k.is(left[at], left[at+1], e.into.quote != "") {
				return nil, false
			}
			left = slices.Delete(left, at, at+2)
		}
	}
	return left, true
}

// is reports whether two nodes are the inserted key and its value.
func (k pair) is(key, value *node, quoted bool) bool {
	scalar := func(n *node, text string, quoted bool) bool {
		style := n.Style&yqlib.DoubleQuotedStyle != 0
		return n.Kind == yqlib.ScalarNode && n.Tag == "!!str" && n.Value == text && n.Anchor == "" && style == quoted
	}
	return scalar(key, k.key, quoted) && scalar(value, k.value, k.quoted || quoted)
}

// comments returns all comment lines, in one order.
func comments(docs []*node) []string {
	var all []string
	var collect func(n *node)
	collect = func(n *node) {
		for _, text := range []string{n.HeadComment, n.LineComment, n.FootComment} {
			for line := range strings.Lines(text) {
				if line = strings.TrimSpace(line); line != "" {
					all = append(all, line)
				}
			}
		}
		for _, child := range n.Content {
			collect(child)
		}
	}
	for _, doc := range docs {
		collect(doc)
	}
	slices.Sort(all)
	return all
}
