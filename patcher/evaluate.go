package patcher

import (
	"slices"
	"strings"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

// maxPathVisits bounds the mapping entries that one expression looks at.
const maxPathVisits = 1_000_000

// spot is what an expression has come to.
type spot struct {
	node *node // aliases followed
	in   *node // the mapping or sequence that has it; nil at the root
	key  *node // nil in a sequence
	p    path
}

// atPaths returns the places that the expressions of r give.
func (f *File) atPaths(r Request) ([]target, error) {
	var all []target
	taken := map[*node]bool{}
	for _, e := range r.Paths {
		found, err := f.evaluate(e)
		if err != nil {
			return nil, err
		}
		for _, at := range found {
			if taken[at.node] {
				continue
			}
			taken[at.node] = true
			t, err := f.pathTarget(e, at, r)
			if err != nil {
				return nil, err
			}
			all = append(all, t)
		}
	}
	inOrder(all)
	return all, nil
}

// evaluate returns what an expression gives in the documents: at least one spot.
func (f *File) evaluate(e Expression) ([]spot, error) {
	w := newWalk()
	w.repeats = &f.repeats
	w.visits = maxVisits - maxPathVisits
	var all []spot
	var deepest progress
	for _, doc := range f.docs {
		found, got := w.run(e.steps, []spot{{node: follow(doc)}})
		if w.err != nil {
			return nil, refuse(0, ErrTooComplex, "the path expression %s looks at too much of the file: write it with fewer [] and select, or simplify the file", quote(e.text))
		}
		all = append(all, found...)
		if len(found) == 0 && (deepest.spots == nil || got.steps > deepest.steps) {
			deepest = got
		}
	}
	if len(all) == 0 {
		return nil, e.noMatch(deepest)
	}
	return all, nil
}

// progress is how far an expression came.
type progress struct {
	steps int
	spots []spot
}

// run takes the steps. Where nothing is left, it returns how far it came.
func (w *walk) run(steps []step, from []spot) ([]spot, progress) {
	for i, s := range steps {
		var next []spot
		var seen map[*node]bool
		if len(from) > 1 || s.kind == intoAll {
			seen = map[*node]bool{}
		}
		for _, at := range from {
			for _, to := range w.step(s, at) {
				if seen[to.node] { // by another alias
					continue
				}
				if seen != nil {
					seen[to.node] = true
				}
				next = append(next, to)
			}
			if w.err != nil {
				return nil, progress{}
			}
		}
		if len(next) == 0 {
			return nil, progress{i, from}
		}
		from = next
	}
	return from, progress{}
}

// step takes one step from one spot.
func (w *walk) step(s step, at spot) []spot {
	n, p, isMapping := w.enter(at.node, at.p)
	switch {
	case w.err != nil:
		return nil
	case s.kind == selecting:
		if w.fits(s.where, spot{node: n, p: p}) {
			return []spot{at}
		}
		return nil
	case s.kind == byKey && isMapping:
		var all []spot
		for _, v := range w.values(n, s.key, &p) {
			all = append(all, spot{node: follow(v), in: n, key: ownKey(n, s.key), p: p})
		}
		return all
	case s.kind == intoAll && isMapping:
		return w.allOf(n, p)
	case n.Kind != yqlib.SequenceNode:
		return nil
	case s.kind == intoAll:
		all := make([]spot, len(n.Content))
		for i, item := range n.Content {
			all[i] = spot{node: follow(item), in: n, p: p}
		}
		return all
	case s.kind == byIndex:
		i := s.index
		if i < 0 {
			i += len(n.Content)
		}
		if i >= 0 && i < len(n.Content) {
			return []spot{{node: follow(n.Content[i]), in: n, p: p}}
		}
	}
	return nil
}

// allOf returns what all keys of a mapping have.
func (w *walk) allOf(n *node, p path) []spot {
	var all []spot
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Tag == "!!merge" && p.flaw == nil {
			p.flaw = refuse(key.Line, ErrUnsupported, "[] is not supported in a mapping with a merge key: name the key")
		}
		all = append(all, spot{node: follow(n.Content[i+1]), in: n, key: key, p: p})
	}
	for i := range all {
		all[i].p = p
	}
	return all
}

// fits reports whether something that the condition's path gives has its value.
// As in yq, what is compared is the text.
func (w *walk) fits(c *condition, at spot) bool {
	found, _ := w.run(c.steps, []spot{at})
	if len(found) == 0 {
		return c.null && w.err == nil
	}
	return slices.ContainsFunc(found, func(s spot) bool {
		if s.node.Tag == "!!null" {
			return c.null
		}
		return s.node.Kind == yqlib.ScalarNode && s.node.Value == c.value
	})
}

// noMatch says how far the path goes.
func (e Expression) noMatch(got progress) error {
	at, s := got.spots[0], e.steps[got.steps]
	before, end := "the file", 0
	if got.steps > 0 {
		end = e.steps[got.steps-1].end
		before = e.text[:end]
	}
	missing := s.describe(e.text, end)
	switch n := at.node; {
	case s.kind == selecting:
	case n.Kind == yqlib.MappingNode && s.kind == byKey:
		var keys []string
		for i := 0; i < len(n.Content) && len(keys) < 5; i += 2 {
			keys = append(keys, quote(n.Content[i].Value))
		}
		if len(keys) > 0 {
			missing += "; it has " + strings.Join(keys, ", ")
			if more := len(n.Content)/2 - len(keys); more > 0 {
				missing += " and others"
			}
		}
	case n.Kind == yqlib.ScalarNode:
		missing += "; it is " + describe(n)
	case n.Kind == yqlib.SequenceNode && s.kind == byKey:
		missing += "; it is a sequence"
	}
	return refuse(at.node.Line, ErrNoMatch, "the path %s matches nothing: %s is there, but %s", quote(e.text), before, missing)
}

// pathTarget makes a target of what an expression gave: NAME:TAG of one of the
// images, or a tag alone.
func (f *File) pathTarget(e Expression, at spot, r Request) (target, error) {
	n := at.node
	if n.Kind != yqlib.ScalarNode {
		return target{}, refuse(n.Line, ErrNotString, "the path %s gives %s: name the scalar in it that has the tag", quote(e.text), describe(n))
	}
	s := &site{kind: Path, at: n, tag: slot{key: at.key, value: n}, flaw: at.p.flaw}
	t := target{site: s}
	if n.Tag == "!!str" {
		names, prefix := readArgoImage(n.Value)
		for _, image := range r.Images {
			if image.is(names[0]) && names[0].err == nil {
				t.image, t.ref, s.prefix = image, names[0], prefix
				return t, f.admit(&t, r.Pin)
			}
		}
		s.only = digestPattern.MatchString(n.Value)
	}
	s.alone = true
	if len(r.Images) > 0 {
		t.image = r.Images[0]
	}
	if at.key != nil && !s.only {
		w, p := newWalk(), at.p
		s.digest = w.slot(at.in, "digest", &p)
		if s.digest.value == nil {
			s.digest = w.slot(at.in, "sha", &p)
			s.bare = s.digest.value != nil
		}
		if at.key.Value == "newTag" {
			s.entry = &entry{mapping: at.in, after: slot{at.key, rawValue(at.in, at.key)}}
		}
	}
	if err := f.admit(&t, r.Pin); err != nil {
		return target{}, err
	}
	t.image = Name{} // which it is, the tag alone does not say
	return t, nil
}
