package patcher

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

func notString(n *node) error {
	return refuse(n.Line, ErrNotString, "the image is %s, not a string: write it as NAME:TAG", describe(n))
}

// describe says what stands in the place of an image.
func describe(n *node) string {
	switch {
	case n.Kind == yqlib.MappingNode && len(n.Content) > 0 && n.Content[0].Kind == yqlib.MappingNode:
		return "a template ({{)"
	case n.Kind == yqlib.MappingNode:
		return "a mapping"
	case n.Kind == yqlib.SequenceNode:
		return "a sequence"
	case n.Tag == "!!int", n.Tag == "!!float":
		return "the number " + n.Value
	case n.Tag != "!!str":
		return fmt.Sprintf("%s with the tag %s", quote(n.Value), n.Tag)
	}
	return quote(n.Value)
}

// noMatch explains why none of the names is among the images of the file: it
// stands where nothing is edited, or another name was meant.
func (f *File) noMatch(names []Name) error {
	if len(names) == 0 {
		return refuse(0, ErrName, "there is no image to look for: name one")
	}
	for _, s := range f.weak {
		for _, n := range names {
			if slices.ContainsFunc(s.names, n.is) {
				return s.flaw
			}
		}
	}
	if f.read.list != nil && !f.read.workloads && !f.read.values {
		return f.noEntry(names)
	}
	for _, n := range names {
		for _, doc := range f.docs {
			if err := n.elsewhere(doc, ""); err != nil {
				return err
			}
		}
	}
	what, have := "no container has", "containers with an image; name the file of the Deployment"
	if f.read.list != nil || f.read.values || slices.ContainsFunc(f.sites, func(s site) bool { return s.kind != Workload }) {
		what, have = "nothing here has", "images; name another file, or the place of the tag with tag_path"
	}
	if len(f.sites) == 0 {
		return refuse(0, ErrNoMatch, "%s the image %s: the file has no %s", what, either(names), have)
	}
	isString := func(s site) bool { return s.at.Tag == "!!str" || s.alone }
	if !slices.ContainsFunc(f.sites, isString) {
		return notString(f.sites[0].at)
	}
	return refuse(0, ErrNoMatch, "%s the image %s; the file has %s: correct the image name, or name another file", what, either(names), f.nearest(names[0]))
}

// noEntry says what to add to a kustomization.
func (f *File) noEntry(names []Name) error {
	list := f.read.list
	entry := fmt.Sprintf(`"- name: %s" and "  newTag: TAG"`, names[0].given)
	if list.line == 0 {
		return refuse(0, ErrNoMatch, `the kustomization has no images: add "%s:" and below it %s`, list.key, entry)
	}
	has := ""
	if len(f.sites) > 0 {
		has = ", only " + f.nearest(names[0])
	}
	return refuse(list.line, ErrNoMatch, "%s has no entry for the image %s%s: add %s", list.key, either(names), has, entry)
}

// either joins names for a message.
func either(names []Name) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n.given)
	}
	return strings.Join(quoted, " or ")
}

// elsewhere looks for n in fields that hold images but are not edited: those
// of other kinds, of kustomizations and of Helm values.
func (n Name) elsewhere(at *node, kind string) error {
	if at.Kind == yqlib.MappingNode {
		for i := 0; i+1 < len(at.Content); i += 2 {
			if at.Content[i].Value == "kind" && at.Content[i+1].Value != "" {
				kind = at.Content[i+1].Value
			}
		}
	}
	for i, child := range at.Content {
		isValue := at.Kind == yqlib.MappingNode && i%2 == 1
		if isValue && child.Kind == yqlib.ScalarNode && holdsImage(at, at.Content[i-1].Value) {
			if _, ours := n.read(child.Value); ours {
				return refuse(child.Line, ErrNoMatch, "the image %s stands %s: name the file of the Deployment that has it in a container, or its place with tag_path", quote(n.given), where(kind))
			}
		}
		if err := n.elsewhere(child, kind); err != nil {
			return err
		}
	}
	return nil
}

func holdsImage(m *node, key string) bool {
	switch key {
	case "image", "repository":
		return true
	case "name", "newName": // of a kustomization
		list := m.Parent
		return list != nil && list.Key != nil && list.Key.Value == "images"
	}
	return false
}

func where(kind string) string {
	if _, edited := podSpecs[kind]; edited {
		return "outside the containers of a " + kind
	}
	if kind == "" {
		return "in a document without a kind, which is not edited"
	}
	return fmt.Sprintf("in the kind %s, which is not edited", quote(kind))
}

// nearest lists the images of the file, those most like n first.
func (f *File) nearest(n Name) string {
	const most, compared = 5, 1000
	type near struct {
		text     string
		line     int
		distance int
	}
	var all []near
	seen := map[string]bool{}
	for _, s := range f.sites {
		text, name := s.describe()
		if seen[text] {
			continue
		}
		seen[text] = true
		if len(all) < compared {
			name = strings.ToLower(name)
			all = append(all, near{text, s.at.Line, distance(name, strings.ToLower(n.given))})
		}
	}
	slices.SortStableFunc(all, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	var parts []string
	for _, a := range all[:min(most, len(all))] {
		parts = append(parts, fmt.Sprintf("%s (line %d)", a.text, a.line))
	}
	list := strings.Join(parts, ", ")
	if more := len(seen) - len(parts); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// describe says what a site has, and its image's name.
func (s site) describe() (text, name string) {
	if !s.alone || len(s.names) == 0 {
		return describe(s.at), literalName(s.at.Value)
	}
	value := s.names[0].value
	if s.tag.value != nil && s.tag.value.Kind == yqlib.ScalarNode && s.tag.value.Value != "" {
		return quote(value + ":" + s.tag.value.Value), value
	}
	return quote(value), value
}

// distance is the number of characters to insert, delete or replace to make b
// of a (Levenshtein).
func distance(a, b string) int {
	const longest = 255
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
