package patcher

import (
	"strings"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

// helmRelease locates the values of Flux's HelmRelease.
func helmRelease(w *walk, n *node, p path) { w.descend(n, []string{"spec", "values"}, p, values) }

// values locates the images in Helm values, and in what else is no Kubernetes
// object, such as Compose files.
func values(w *walk, n *node, p path) {
	if !w.first(n, "values") {
		return
	}
	w.read.values = true
	// A service of Compose may leave its tag out, as a container may.
	w.descend(n, []string{"services"}, p, func(w *walk, n *node, p path) {
		for i := 1; i < len(n.Content); i += 2 {
			if service, p, ok := w.enter(n.Content[i], p); ok && n.Content[i].Kind != yqlib.AliasNode {
				if at := w.slot(service, "image", &p); isName(at) && w.sibling(service, &p, "tag").value == nil {
					w.reference(String, at, p)
				}
			}
		}
	})
	w.inValues(n, p)
}

// inValues looks at a mapping and at all below it. It does not follow aliases:
// what they refer to is looked at where it stands.
func (w *walk) inValues(n *node, p path) {
	w.imageMapping(n, p)
	for i := 1; i < len(n.Content); i += 2 {
		w.belowValues(n.Content[i], p)
	}
}

func (w *walk) belowValues(n *node, p path) {
	switch n.Kind {
	case yqlib.MappingNode:
		if n, p, ok := w.enter(n, p); ok {
			w.inValues(n, p)
		}
	case yqlib.SequenceNode:
		for _, item := range n.Content {
			w.belowValues(item, p)
		}
	}
}

// spellings are how charts name an image in a mapping, and the keys of its tag.
var spellings = []struct {
	name string
	tags []string
}{
	{"repository", []string{"tag"}},
	{"image", []string{"tag", "imageTag"}},
	{"name", []string{"tag"}},
	{"imageName", []string{"imageTag"}},
	{"imageRepository", []string{"imageTag"}},
}

// imageMapping looks at one mapping: {repository: …, tag: …}, with or without
// registry and digest, in the spellings of the common charts; and at
// {image: NAME:TAG}.
func (w *walk) imageMapping(n *node, p path) {
	if !mayName(n) {
		return
	}
	repository := w.slot(n, "repository", &p)
	for _, as := range spellings {
		at := w.slot(n, as.name, &p)
		if !isName(at) || as.name == "name" && !namesImage(n, at.value.Value) {
			continue
		}
		if r := readRef(at.value.Value); as.name == "image" && (r.err != nil || r.tag != "" || r.digest != "") {
			w.reference(String, at, p)
			continue
		}
		names := []string{at.value.Value}
		if as.name == "name" || as.name == "image" {
			if isName(repository) { // quay.io/acme and web
				names = append(names, repository.value.Value+"/"+at.value.Value)
			}
		}
		w.imageParts(n, at, names, w.sibling(n, &p, as.tags...), p)
	}
}

// imageParts adds the place of a tag that stands beside the name of its image.
func (w *walk) imageParts(n *node, at slot, names []string, tag slot, p path) {
	registry := w.text(n, "registry", &p)
	s := site{kind: Values, at: at.value, tag: tag, alone: true}
	for i := len(names) - 1; i >= 0; i-- {
		name := names[i]
		if registry != "" {
			name = strings.TrimSuffix(registry, "/") + "/" + name
		}
		s.names = append(s.names, readRef(name))
	}
	if tag.value == nil {
		s.flaw = refuse(at.value.Line, ErrNoMatch, `%s has no tag beside it: add the key "tag", or name the place of the tag with tag_path`, quote(at.value.Value))
		w.weak = append(w.weak, s)
		return
	}
	s.digest = w.slot(n, "digest", &p)
	if s.digest.value == nil {
		s.digest = w.slot(n, "sha", &p)
		s.bare = s.digest.value != nil
	}
	s.at, s.flaw = tag.value, p.flaw
	if i, there := w.tags[tag.value]; there {
		for _, r := range s.names {
			if also := (naming{i, r.value}); !w.named[also] {
				w.named[also] = true
				w.sites[i].names = append(w.sites[i].names, r)
			}
		}
		return
	}
	w.tags[tag.value] = len(w.sites)
	w.sites = append(w.sites, s)
}

// naming is a name of a site.
type naming struct {
	site int
	name string
}

// sibling returns the first of the keys that a mapping has.
func (w *walk) sibling(n *node, p *path, keys ...string) slot {
	for _, key := range keys {
		if s := w.slot(n, key, p); s.value != nil {
			return s
		}
	}
	return slot{}
}

// mayName tells the mappings that are worth a closer look.
func mayName(n *node) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := follow(n.Content[i])
		if k.Tag == "!!merge" {
			return true
		}
		for _, as := range spellings {
			if k.Value == as.name {
				return true
			}
		}
	}
	return false
}

// isName reports whether a slot has a string.
func isName(s slot) bool {
	return s.value != nil && s.value.Kind == yqlib.ScalarNode && s.value.Tag == "!!str" && s.value.Value != ""
}

// namesImage reports whether the name in a mapping is that of an image: most
// things with a name are none.
func namesImage(n *node, name string) bool {
	if strings.Contains(name, "/") {
		return true
	}
	for ; n != nil; n = n.Parent {
		if key := n.Key; key != nil && key.Tag == "!!str" {
			return strings.Contains(strings.ToLower(key.Value), "image")
		}
	}
	return false
}
