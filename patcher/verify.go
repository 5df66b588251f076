package patcher

import "github.com/mikefarah/yq/v4/pkg/yqlib"

// verify reads the changed content and compares it with the original: the
// edited scalars have their new values, and nothing else is different. It
// returns the documents that it read.
func (f *File) verify(changed []byte, edits []edit) ([]*node, error) {
	docs, err := decode(changed)
	if err != nil || len(docs) != len(f.docs) {
		return nil, unverified(0)
	}
	c := comparison{edits: make(map[*node]edit, len(edits)), twins: map[*node]*node{}}
	for _, e := range edits {
		c.edits[e.node] = e
	}
	for i := range docs {
		if differs := c.compare(f.docs[i], docs[i]); differs != nil {
			return nil, unverified(differs.Line)
		}
	}
	return docs, nil
}

func unverified(line int) error {
	return refuse(line, ErrUnverified, "the new tag would change more than the image: set it by hand, and write this part of the file more simply")
}

type comparison struct {
	edits map[*node]edit
	twins map[*node]*node // anchored nodes: before and after
}

// compare returns the first node of the original that is not as it should be.
func (c *comparison) compare(before, after *node) *node {
	value, style := before.Value, before.Style
	if e, edited := c.edits[before]; edited {
		value = e.value
		if e.quoted {
			style |= yqlib.DoubleQuotedStyle
		}
	}
	same := after.Value == value && after.Style == style &&
		after.Kind == before.Kind && after.Tag == before.Tag && after.Anchor == before.Anchor &&
		after.HeadComment == before.HeadComment && after.LineComment == before.LineComment && after.FootComment == before.FootComment &&
		after.Line == before.Line && len(after.Content) == len(before.Content)
	if before.Kind == yqlib.AliasNode {
		same = same && after.Alias != nil && after.Alias == c.twins[before.Alias]
	}
	if !same {
		return before
	}
	if before.Anchor != "" {
		c.twins[before] = after
	}
	for i := range before.Content {
		if differs := c.compare(before.Content[i], after.Content[i]); differs != nil {
			return differs
		}
	}
	return nil
}
