package patcher

import (
	"strings"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

// kustomization locates the images of a kustomization, or of a component.
func kustomization(w *walk, n *node, p path) { w.imageList(n, "images", p) }

// fluxKustomization locates those of Flux's Kustomization.
func fluxKustomization(w *walk, n *node, p path) {
	w.descend(n, []string{"spec"}, p, func(w *walk, n *node, p path) { w.imageList(n, "spec.images", p) })
}

// imageList looks at the list images of a mapping, which messages call by its
// whole path.
func (w *walk) imageList(n *node, name string, p path) {
	found := imageList{key: name}
	for _, list := range w.values(n, "images", &p) {
		if follow(list).Tag != "!!null" {
			found.line = list.Line
		}
		for _, item := range elements(list) {
			if entry, p, ok := w.enter(item, p); ok {
				w.imageEntry(entry, p)
			}
		}
	}
	if w.read.list == nil || w.read.list.line == 0 {
		w.read.list = &found
	}
}

// imageEntry looks at one entry: {name: …, newName: …, newTag: …, digest: …}.
func (w *walk) imageEntry(n *node, p path) {
	name, newName := w.slot(n, "name", &p), w.slot(n, "newName", &p)
	s := site{kind: Kustomization, alone: true, at: n, tag: w.slot(n, "newTag", &p), digest: w.slot(n, "digest", &p)}
	after := name
	for i, named := range []slot{name, newName} {
		if named.empty() || named.value.Kind != yqlib.ScalarNode {
			continue
		}
		r := readRef(named.value.Value)
		if r.err == nil && (r.tag != "" || r.digest != "") && p.flaw == nil {
			p.flaw = refuse(named.value.Line, ErrBadReference, "the name %s of the entry has a tag or digest, which kustomize takes for a part of the name: write it as newTag or digest", quote(r.value))
		}
		s.names = append(s.names, r)
		if i == 1 {
			s.pulled, after = &r, newName
		}
	}
	if len(s.names) == 0 || w.seen[n] {
		return
	}
	w.seen[n] = true
	if s.tag.value != nil {
		s.at = s.tag.value
	}
	if after.key != nil {
		after.value = rawValue(n, after.key)
	}
	s.entry, s.flaw = &entry{mapping: n, after: after}, p.flaw
	w.sites = append(w.sites, s)
}

// rawValue returns the value of a key as it stands in the mapping: an alias is
// not followed.
func rawValue(n, key *node) *node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i] == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// argoApplication locates what an Argo CD Application, whose spec is below these
// keys, gives kustomize and Helm.
func argoApplication(keys ...string) locator {
	return func(w *walk, n *node, p path) { w.descend(n, keys, p, (*walk).argoSources) }
}

func (w *walk) argoSources(spec *node, p path) {
	w.descend(spec, []string{"source"}, p, (*walk).argoSource)
	for _, list := range w.values(spec, "sources", &p) {
		for _, item := range elements(list) {
			if source, p, ok := w.enter(item, p); ok {
				w.argoSource(source, p)
			}
		}
	}
}

func (w *walk) argoSource(n *node, p path) {
	w.descend(n, []string{"helm", "valuesObject"}, p, values)
	w.descend(n, []string{"kustomize"}, p, func(w *walk, n *node, p path) {
		for _, list := range w.values(n, "images", &p) {
			for _, item := range elements(list) {
				w.argoImage(follow(item), p)
			}
		}
	})
}

// argoImage looks at NAME:TAG or NAME=NEWNAME:TAG.
func (w *walk) argoImage(n *node, p path) {
	if n.Kind != yqlib.ScalarNode || w.seen[n] {
		return
	}
	w.seen[n] = true
	s := site{kind: Kustomization, at: n, tag: slot{value: n}, flaw: p.flaw}
	s.names, s.prefix = readArgoImage(n.Value)
	s.pulled = &s.names[0]
	w.sites = append(w.sites, s)
}

// readArgoImage returns the names of an entry, that of what is pulled first, and
// what stands before that.
func readArgoImage(text string) (names []ref, prefix string) {
	old, pulled, renamed := strings.Cut(text, "=")
	if !renamed {
		return []ref{readRef(text)}, ""
	}
	r := readRef(pulled)
	return []ref{r, readRef(old)}, old + "="
}
