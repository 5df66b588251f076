package patcher

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v2"
)

// What an edit did is checked here without the patcher's own syntax tree: byte by
// byte, from where it says the places are; line by line, where lines or digests
// are written too; and with another YAML reader.

// checkEdit checks an edit of the places with the version. readable says whether
// the other reader can be asked.
func checkEdit(before, after []byte, places []Place, v Version, pin, readable bool) error {
	exact := !pin
	for _, p := range places {
		exact = exact && p.Tag != ""
	}
	err := checkLines(before, after, places, v)
	if exact {
		err = checkBytes(before, after, places, v.Tag)
	}
	if err != nil || !readable {
		return err
	}
	return checkValues(before, after, places, v, pin)
}

// checkBytes compares the bytes: after must be before with the tags of the places
// replaced. Every place has a tag.
func checkBytes(before, after []byte, places []Place, tag string) error {
	var want []byte
	from := 0
	for _, p := range places {
		quote, old, changed := "", p.Tag, tag
		start := p.Offset
		if c := before[start]; c == '"' || c == '\'' {
			quote = string(c)
		}
		if prefix, isRef := wholeRef(before[start+len(quote):], p); isRef {
			old, changed = prefix+p.Ref, prefix+strings.TrimSuffix(p.Ref, p.Tag)+tag
		}
		end := start + len(quote+old+quote)
		if written := string(before[start:end]); written != quote+old+quote {
			return fmt.Errorf("at offset %d stands %q, want %q", start, written, old)
		}
		if !p.Has(Version{Tag: tag}) && quote == "" && (old != p.Tag && readsAsNumber(changed) || old == p.Tag && needsQuotes(changed)) {
			quote = `"`
		}
		want = append(want, before[from:start]...)
		if p.Has(Version{Tag: tag}) {
			want = append(want, before[start:end]...)
		} else {
			want = append(want, quote+changed+quote...)
		}
		from = end
	}
	want = append(want, before[from:]...)
	if !bytes.Equal(after, want) {
		return fmt.Errorf("the result is\n%s\nwant\n%s", after, want)
	}
	return nil
}

// wholeRef reports whether the text is the reference of a place rather than its
// tag, and what is before it.
func wholeRef(text []byte, p Place) (prefix string, is bool) {
	if p.Name == "" {
		return "", false
	}
	if bytes.HasPrefix(text, []byte(p.Ref)) {
		return "", true
	}
	before, rest, found := strings.Cut(string(text[:min(len(text), 2048)]), "=")
	if found && strings.HasPrefix(rest, p.Ref) && !strings.ContainsAny(before, " \n") {
		return before + "=", true
	}
	return "", false
}

// checkLines compares the lines: what is added is a newTag or a digest, and what
// differs in others is the version.
func checkLines(before, after []byte, places []Place, v Version) error {
	old, changed := strings.SplitAfter(string(before), "\n"), strings.SplitAfter(string(after), "\n")
	for len(changed) > 0 {
		line := changed[0]
		switch {
		case len(old) > 0 && line == old[0]:
			old = old[1:]
		case isAdded(line, v) && (len(old) == 0 || keyOf(old[0]) != keyOf(line)):
			// a new line
		case len(old) > 0 && strings.TrimRight(old[0], "\r\n") == strings.TrimRight(line, "\r\n") && len(changed) > 1 && isAdded(changed[1], v):
			old = old[1:] // the last line, which had no end
		case len(old) > 0 && (hasVersion(line, v) || strings.ContainsAny(line, "\r\u0085\u2028\u2029")):
			old = old[1:]
		default:
			return fmt.Errorf("the line %q is not what it was, or has more than the version %s; it was %q", line, v, old)
		}
		changed = changed[1:]
	}
	if len(old) > 0 {
		return fmt.Errorf("the lines %q are gone", old)
	}
	return nil
}

func isAdded(line string, v Version) bool {
	_, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
	value = strings.Trim(value, `"`)
	return keyOf(line) == "newTag" && value == v.Tag || keyOf(line) == "digest" && value == v.Digest
}

func keyOf(line string) string {
	key, _, _ := strings.Cut(strings.TrimLeft(line, " -"), ":")
	return strings.Trim(key, `"`)
}

// hasVersion reports whether a line can be one that has got the version: what
// else it has is for checkValues.
func hasVersion(line string, v Version) bool {
	return strings.Contains(line, v.Tag) || v.Digest != "" && strings.Contains(line, strings.TrimPrefix(v.Digest, "sha256:"))
}

// change is a value that differs; old is nil where it is new.
type change struct {
	path     string
	old, new any
}

// checkValues compares what the YAML reader of Kubernetes makes of both: the
// values of the places are all that differs.
func checkValues(before, after []byte, places []Place, v Version, pin bool) error {
	old, err := readAll(before)
	if err != nil {
		return fmt.Errorf("read the original: %w", err)
	}
	changed, err := readAll(after)
	if err != nil {
		return fmt.Errorf("read the result: %w", err)
	}
	changes := differences(nil, "", old, changed)
	for _, c := range changes {
		if !c.allowed(v, pin) {
			return fmt.Errorf("%s became %#v; it was %#v", c.path, c.new, c.old)
		}
	}
	want := 0
	for _, p := range places {
		if !p.Has(v) {
			want++
		}
	}
	if len(changes) < want || !pin && len(changes) > want {
		return fmt.Errorf("%d values changed, want %d: %v", len(changes), want, changes)
	}
	return nil
}

// allowed reports whether a value may have changed so: into the version, with the
// same name if it had one.
func (c change) allowed(v Version, pin bool) bool {
	value, isString := c.new.(string)
	if !isString {
		return false
	}
	if pin {
		if value == v.Digest || value == strings.TrimPrefix(v.Digest, "sha256:") || value == v.String() {
			return true
		}
		value = strings.TrimSuffix(value, "@"+v.Digest)
	}
	if value == v.Tag {
		return true
	}
	old, _ := c.old.(string)
	old, _, _ = strings.Cut(old, "@")
	name, renamed := strings.CutSuffix(value, ":"+v.Tag)
	return renamed && (old == name || strings.HasPrefix(old, name+":"))
}

func readAll(content []byte) (any, error) {
	var docs []any
	for decoder := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var doc any
		if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
}

// differences lists the values that differ.
func differences(list []change, path string, a, b any) []change {
	switch a := a.(type) {
	case []any:
		if b, ok := b.([]any); ok && len(a) == len(b) {
			for i := range a {
				list = differences(list, fmt.Sprintf("%s[%d]", path, i), a[i], b[i])
			}
			return list
		}
	case map[any]any:
		if b, ok := b.(map[any]any); ok {
			for k, v := range a {
				list = differences(list, fmt.Sprintf("%s.%v", path, k), v, b[k])
			}
			for k, v := range b {
				if _, there := a[k]; !there && slices.Contains([]any{"newTag", "digest"}, k) {
					list = append(list, change{fmt.Sprintf("%s.%v", path, k), nil, v})
				} else if !there {
					list = append(list, change{path, a, b})
				}
			}
			return list
		}
	}
	if reflect.DeepEqual(a, b) {
		return list
	}
	return append(list, change{path, a, b})
}
