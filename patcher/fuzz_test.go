package patcher

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// FuzzEdit holds Edit to its promise for any content, name of a file, request and
// version: it refuses with an *Error, or it changes the places found and not one
// byte more.
func FuzzEdit(f *testing.F) {
	for _, e := range edits {
		f.Add([]byte(mark.ReplaceAllString(e.manifest, "$1")), "x.yaml", "", e.tag, false)
	}
	for _, r := range refusals {
		if len(r.manifest) < 10_000 {
			f.Add([]byte(r.manifest), "", "", "30", true)
		}
	}
	for _, test := range targets {
		f.Add([]byte(mark.ReplaceAllString(test.text, "$1")), test.file, test.paths, test.tag, test.pin)
	}
	for _, r := range targetRefusals {
		f.Add([]byte(r.text), "kustomization.yaml", r.paths, "7e1", true)
	}
	f.Fuzz(func(t *testing.T, content []byte, file, paths, tag string, pin bool) {
		if CheckTag(tag) != nil {
			tag = "2.0"
		}
		v := Version{Tag: tag}
		if pin {
			v.Digest = digest1
		}
		parsed, err := ParseFile(file, content)
		if err != nil {
			mustBeError(t, err)
			return
		}
		r := Request{Images: []Name{mustName(t, "acme/web", false), mustName(t, "kainlite/blog", true)}, Pin: pin}
		fuzzEdit(t, parsed, r, v)
		if r.Paths, err = ParsePaths(paths); err == nil {
			fuzzEdit(t, parsed, r, v)
		} else {
			mustBeError(t, err)
		}
		names := imageNames(parsed)
		for _, name := range names[:min(3, len(names))] {
			if n, err := ParseName(name, true); err == nil {
				fuzzEdit(t, parsed, Request{Images: []Name{n}, Pin: pin}, v)
			}
		}
	})
}

func fuzzEdit(t *testing.T, file *File, r Request, v Version) {
	before := file.content
	places, findErr := file.Places(r)
	after, err := file.Edit(r, v)
	if err != nil {
		mustBeError(t, err)
		return
	}
	if findErr != nil {
		t.Fatalf("Edit accepts what Places refuses: %v", findErr)
	}
	old, err := readAll(before)
	readable := err == nil && reflect.DeepEqual(old, old) && !strings.Contains(string(before), "<<") // no NaN, and one place is one value
	for _, p := range places {
		other, err := readAll([]byte(p.Ref)) // YAML 1.1 takes the image n for a bool
		readable = readable && p.Kind != Path && (err != nil || reflect.DeepEqual(other, []any{p.Ref}))
	}
	if bytes.ContainsAny(before, "\r\u0085\u2028\u2029") && r.Pin {
		readable = false
	} else if err := checkEdit(before, after, places, v, r.Pin, readable); err != nil {
		t.Fatal(err)
	}
	g, err := ParseFile(file.name, after)
	if err != nil {
		t.Fatalf("the result cannot be read: %v", err)
	}
	again, err := g.Edit(r, v)
	if err != nil || !bytes.Equal(again, after) {
		t.Fatalf("a second time it gives %q, %v, want %q", again, err, after)
	}
}

// FuzzParseExpression holds the parser of paths to its promise: what it accepts
// reads the same again, and evaluating it ends.
func FuzzParseExpression(f *testing.F) {
	for _, test := range targets {
		f.Add(test.paths)
	}
	for _, text := range []string{`.a[0]["b"]."c" | select(.d == "x\"y") | .[]`, ".images[] | select(.n == -1.5e3).x", "..", `."\(env)"`} {
		f.Add(text)
	}
	file, err := Parse([]byte(tree))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseExpression(text)
		if err != nil {
			mustBeError(t, err)
			if !errors.Is(err, ErrPath) {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		for _, no := range []string{"*", "?", "$", "..", "=="} {
			if strings.Contains(e.text, no) && (no != "==" || !strings.Contains(e.text, "select")) && !strings.Contains(e.text, `"`) {
				t.Fatalf("%q was accepted", text)
			}
		}
		if again, err := ParseExpression(e.String()); err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%q reads as %v, %v", e, again, err)
		}
		if _, err := file.Places(Request{Paths: []Expression{e}}); err != nil {
			mustBeError(t, err)
		}
	})
}

func mustBeError(t *testing.T, err error) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) || refused.Reason == nil || refused.Line < 0 {
		t.Fatalf("got %#v, want an *Error with its reason", err)
	}
}
