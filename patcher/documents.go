package patcher

import (
	"slices"
	"strings"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

// locator adds the places in one object, or in the values of one document, to a
// walk. n is a mapping.
type locator func(w *walk, n *node, p path)

// described says what the documents of a file are, for the message that nothing
// was found.
type described struct {
	workloads bool
	values    bool
	list      *imageList // of the first kustomization that has one, else of the first
}

// imageList is where a kustomization has its images, or could have them.
type imageList struct {
	key  string // as in spec.images
	line int    // of the list; 0 where there is none
}

// document looks at one document of a file.
func (w *walk) document(doc *node, file string) {
	n, p, ok := w.enter(doc, path{})
	if !ok {
		return
	}
	kind, api := w.text(n, "kind", &p), w.text(n, "apiVersion", &p)
	switch {
	case kind == "" && isKustomizationFile(file):
		kustomization(w, n, p)
	case api == "" && !isObject(n, kind):
		values(w, n, p)
	default:
		w.object(n, "", path{})
	}
}

func isKustomizationFile(name string) bool {
	base := name[strings.LastIndexByte(name, '/')+1:]
	return slices.Contains([]string{"kustomization.yaml", "kustomization.yml", "Kustomization"}, base)
}

// isObject tells an object that does not give its apiVersion from values that
// have a key kind.
func isObject(n *node, kind string) bool {
	switch {
	case kind == "":
		return false
	case kind == "Kustomization", kind == "Component", len(n.Content) == 2:
		return true
	}
	return slices.ContainsFunc([]string{"metadata", "spec", "template", "items", "data"}, func(key string) bool {
		return ownKey(n, key) != nil
	})
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
	if locate := locatorOf(kind, w.text(n, "apiVersion", &p)); locate != nil && w.first(n, "kind "+kind) {
		locate(w, n, p)
	}
}

// locatorOf returns what knows the kind, nil where nothing does.
func locatorOf(kind, api string) locator {
	group, _, _ := strings.Cut(api, "/")
	switch {
	case kind == "Kustomization" && group == "kustomize.toolkit.fluxcd.io":
		return fluxKustomization
	case (kind == "Kustomization" || kind == "Component") && (api == "" || group == "kustomize.config.k8s.io"):
		return kustomization
	case kind == "HelmRelease" && strings.Contains(group, "fluxcd.io"):
		return helmRelease
	case kind == "Application" && group == "argoproj.io":
		return argoApplication("spec")
	case kind == "ApplicationSet" && group == "argoproj.io":
		return argoApplication("spec", "template", "spec")
	}
	if keys, known := podSpecs[kind]; known {
		return podSpec(keys)
	}
	return nil
}

// text returns the scalar that a mapping has under a key, or nothing.
func (w *walk) text(n *node, key string, p *path) string {
	if v := w.value(n, key, p); v != nil && v.Kind == yqlib.ScalarNode {
		return v.Value
	}
	return ""
}

// value returns what a mapping has under a key, aliases followed, or nil.
func (w *walk) value(n *node, key string, p *path) *node {
	if all := w.values(n, key, p); len(all) > 0 {
		return follow(all[0])
	}
	return nil
}

// slot returns the entry that a mapping has under a key, or nothing.
func (w *walk) slot(n *node, key string, p *path) slot {
	return slot{key: ownKey(n, key), value: w.value(n, key, p)}
}

// ownKey returns the key as it stands in the mapping, nil where it does not or is
// merged into it.
func ownKey(n *node, key string) *node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; k.Kind == yqlib.ScalarNode && k.Value == key {
			return k
		}
	}
	return nil
}
