package patcher

import (
	"strings"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

// podSpecs says where the kinds that are edited have their pod spec. Service
// is Knative's (a core Service has no template), Rollout is Argo's.
var podSpecs = map[string][]string{
	"Pod":                   {"spec"},
	"PodTemplate":           {"template", "spec"},
	"Deployment":            {"spec", "template", "spec"},
	"StatefulSet":           {"spec", "template", "spec"},
	"DaemonSet":             {"spec", "template", "spec"},
	"ReplicaSet":            {"spec", "template", "spec"},
	"ReplicationController": {"spec", "template", "spec"},
	"Job":                   {"spec", "template", "spec"},
	"Service":               {"spec", "template", "spec"},
	"Rollout":               {"spec", "template", "spec"},
	"CronJob":               {"spec", "jobTemplate", "spec", "template", "spec"},
}

var containerLists = []string{"containers", "initContainers", "ephemeralContainers"}

// maxVisits bounds the mapping entries looked at in one file. Real manifests of
// MaxSize need a tenth of it.
const maxVisits = 2_000_000

// image is the image of a container.
type image struct {
	node   *node // its value, aliases followed
	offset int   // where that begins in the content, anchor and tag included; -1 if unknown
	flaw   error // what makes it uncertain that this is the image, if anything
}

// walk looks for images. It resolves aliases and merge keys as a reader of the
// manifest would.
type walk struct {
	images []image
	seen   map[*node]bool // the images
	visits int
	err    error // set once, ends the walk
}

func findImages(docs []*node) ([]image, error) {
	w := &walk{seen: map[*node]bool{}}
	for _, doc := range docs {
		w.object(doc, "", path{})
	}
	return w.images, w.err
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
	if key := repeatedKey(n); key != nil && p.flaw == nil {
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

// object looks at a Kubernetes object. The kind is that of its list, for
// items that do not repeat it.
func (w *walk) object(n *node, kind string, p path) {
	n, p, ok := w.enter(n, p)
	if !ok {
		return
	}
	for _, v := range w.values(n, "kind", &p) {
		kind = follow(v).Value
	}
	if itemKind, isList := strings.CutSuffix(kind, "List"); isList {
		for _, items := range w.values(n, "items", &p) {
			for _, item := range elements(items) {
				w.object(item, itemKind, p)
			}
		}
		return
	}
	if keys, known := podSpecs[kind]; known {
		w.descend(n, keys, p)
	}
}

// descend goes down the keys, from the mapping n to the pod spec.
func (w *walk) descend(n *node, keys []string, p path) {
	for _, v := range w.values(n, keys[0], &p) {
		below, p, ok := w.enter(v, p)
		switch {
		case !ok:
		case len(keys) > 1:
			w.descend(below, keys[1:], p)
		default:
			w.podSpec(below, p)
		}
	}
}

func (w *walk) podSpec(n *node, p path) {
	for _, key := range containerLists {
		for _, list := range w.values(n, key, &p) {
			for _, item := range elements(list) {
				if container, p, ok := w.enter(item, p); ok {
					w.container(container, p)
				}
			}
		}
	}
}

func (w *walk) container(n *node, p path) {
	for _, v := range w.values(n, "image", &p) {
		v = follow(v)
		if v.Tag != "!!null" && !w.seen[v] {
			w.seen[v] = true
			w.images = append(w.images, image{node: v, flaw: p.flaw})
		}
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
func repeatedKey(n *node) *node {
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
