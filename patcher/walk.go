package patcher

import (
	"sync"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

// maxVisits bounds the mapping entries looked at in one file. Real manifests of
// MaxSize need a tenth of it.
const maxVisits = 4_000_000

// walk looks for places. It resolves aliases and merge keys as a reader of the
// file would.
type walk struct {
	sites   []site
	weak    []site // what names an image but has no place for a tag
	read    described
	seen    map[*node]bool  // the scalars and mappings of sites
	walked  map[visit]bool  // objects and values that several places may refer to
	tags    map[*node]int   // the sites by the scalar of a tag in values
	named   map[naming]bool // names of those sites that were added later
	repeats *sync.Map       // of large mappings: the key that stands in them twice
	visits  int
	err     error // set once, ends the walk
}

// visit is a node that was looked at as an object of a kind, or as values.
type visit struct {
	node *node
	as   string
}

// first reports whether a node was not looked at as that before.
func (w *walk) first(n *node, as string) bool {
	v := visit{n, as}
	before := w.walked[v]
	w.walked[v] = true
	return !before
}

func newWalk() *walk {
	return &walk{seen: map[*node]bool{}, walked: map[visit]bool{}, tags: map[*node]int{}, named: map[naming]bool{}}
}

// path is what was met on the way to a node.
type path struct {
	depth int
	flaw  error // the first mapping that readers do not agree on
}

// enter follows n to a mapping and adds it to the path. It reports false when
// n is something else, or when the walk is over.
func (w *walk) enter(n *node, p path) (*node, path, bool) {
	n = follow(n)
	p.depth++
	w.check(n, p.depth)
	if w.err != nil || n.Kind != yqlib.MappingNode {
		return n, p, false
	}
	if key := w.repeatedKey(n); key != nil && p.flaw == nil {
		p.flaw = refuse(key.Line, ErrDuplicateKey, "the key %s stands twice in one mapping: remove one of them", quote(follow(key).Value))
	}
	return n, p, true
}

// check ends a walk that the aliases make too deep or too long.
func (w *walk) check(n *node, depth int) {
	w.visits += 1 + len(n.Content)/2
	if w.err == nil && (depth > maxDepth || w.visits > maxVisits) {
		w.err = refuse(n.Line, ErrTooComplex, "the aliases of the file expand too far: write it with fewer of them")
	}
}

// values returns what the mapping n has under a key: one value as a rule. Where
// readers do not agree on it, it returns all of them and notes that in p.
func (w *walk) values(n *node, key string, p *path) []*node {
	values, late := w.lookup(n, key, 0)
	if late != nil && p.flaw == nil {
		p.flaw = refuse(late.Line, ErrDuplicateKey, "the merge key sets %s, which the mapping has set above it, and readers do not agree on which of them counts: move the merge key to the top", quote(key))
	}
	return values
}

// lookup returns the values of a key, the mapping's own rather than merged ones.
// If a merge key below its own has values too, it returns them as well, and that
// merge key: the YAML reader of Kubernetes prefers what comes last.
func (w *walk) lookup(n *node, key string, depth int) (values []*node, late *node) {
	w.check(n, depth)
	if w.err != nil || n.Kind != yqlib.MappingNode {
		return nil, nil
	}
	var merges []int
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := follow(n.Content[i])
		switch {
		case k.Kind != yqlib.ScalarNode:
		case k.Value == key:
			values, merges = append(values, n.Content[i+1]), nil
		case k.Tag == "!!merge":
			merges = append(merges, i)
		}
	}
	own := len(values)
	for _, i := range merges {
		found, below := w.lookupMerged(follow(n.Content[i+1]), key, depth+1)
		values = append(values, found...)
		switch {
		case below != nil:
			late = below
		case own > 0 && len(found) > 0:
			late = n.Content[i]
		}
	}
	return values, late
}

// lookupMerged looks into the value of a merge key: a mapping, or a sequence of
// mappings of which the first with the key counts.
func (w *walk) lookupMerged(n *node, key string, depth int) (values []*node, late *node) {
	for _, item := range elements(n) {
		if values, late = w.lookup(follow(item), key, depth); len(values) > 0 {
			return values, late
		}
	}
	return w.lookup(n, key, depth)
}

// elements returns the elements of a sequence.
func elements(n *node) []*node {
	if n = follow(n); n.Kind == yqlib.SequenceNode {
		return n.Content
	}
	return nil
}

func follow(n *node) *node {
	if n.Kind == yqlib.AliasNode {
		return n.Alias
	}
	return n
}

// repeatedKey returns a key that stands in the mapping n a second time.
func (w *walk) repeatedKey(n *node) *node {
	if len(n.Content) <= 64 { // as good as all: no need for a map
		for i := 2; i < len(n.Content); i += 2 {
			for j := 0; j < i; j += 2 {
				if sameKey(n.Content[i], n.Content[j]) {
					return n.Content[i]
				}
			}
		}
		return nil
	}
	if w.repeats == nil {
		return repeatedKeyOfMany(n)
	}
	known, there := w.repeats.Load(n)
	if !there {
		known, _ = w.repeats.LoadOrStore(n, repeatedKeyOfMany(n))
	}
	return known.(*node)
}

func repeatedKeyOfMany(n *node) *node {
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		key := follow(n.Content[i])
		if key.Kind == yqlib.ScalarNode && seen[key.Value] {
			return n.Content[i]
		}
		seen[key.Value] = true
	}
	return nil
}

func sameKey(a, b *node) bool {
	a, b = follow(a), follow(b)
	return a.Kind == yqlib.ScalarNode && b.Kind == yqlib.ScalarNode && a.Value == b.Value
}
