package patcher

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
)

// FuzzSetTag holds SetTag to its promise for any content: it refuses with an
// *Error, or it changes the tags of the images found and not one byte more.
func FuzzSetTag(f *testing.F) {
	for _, e := range edits {
		f.Add([]byte(mark.ReplaceAllString(e.manifest, "$1")), e.tag)
	}
	for _, r := range refusals {
		if len(r.manifest) < 10_000 {
			f.Add([]byte(r.manifest), "30")
		}
	}
	f.Fuzz(func(t *testing.T, content []byte, tag string) {
		if CheckTag(tag) != nil {
			tag = "2.0"
		}
		file, err := Parse(content)
		if err != nil {
			mustBeError(t, err)
			return
		}
		names := imageNames(file)
		for _, name := range slices.Concat(names[:min(3, len(names))], []string{"kainlite/blog"}) {
			for _, anyRegistry := range []bool{false, true} {
				n, err := ParseName(name, anyRegistry)
				if err != nil {
					mustBeError(t, err)
					continue
				}
				checkSetTag(t, file, n, tag)
			}
		}
	})
}

func checkSetTag(t *testing.T, file *File, n Name, tag string) {
	before := file.content
	images, findErr := file.Find(n)
	after, err := file.SetTag(n, tag)
	if err != nil {
		mustBeError(t, err)
		return
	}
	if findErr != nil {
		t.Fatalf("SetTag accepts what Find refuses: %v", findErr)
	}
	if err := checkEdit(before, after, images, tag); err != nil {
		t.Fatal(err)
	}
	old, err := readAll(before)
	readable := err == nil && reflect.DeepEqual(old, old) // no NaN
	for _, img := range images {
		other, err := readAll([]byte(img.Ref)) // YAML 1.1 takes the image n for a bool
		readable = readable && err == nil && reflect.DeepEqual(other, []any{img.Ref})
	}
	if readable {
		if err := checkValues(before, after, images, tag); err != nil {
			t.Fatal(err)
		}
	}
	again, err := mustParse(t, string(after)).SetTag(n, tag)
	if err != nil || !bytes.Equal(again, after) {
		t.Fatalf("setting the tag again gives %q, %v, want %q", again, err, after)
	}
	if images[0].Tag == "" || slices.ContainsFunc(images, func(img Image) bool { return img.Tag != images[0].Tag }) {
		return
	}
	if same, err := file.SetTag(n, images[0].Tag); err != nil || !bytes.Equal(same, before) {
		t.Fatalf("setting the current tag gives %q, %v, want %q", same, err, before)
	}
}

func mustBeError(t *testing.T, err error) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) || refused.Reason == nil || refused.Line < 0 {
		t.Fatalf("got %#v, want an *Error with its reason", err)
	}
}
