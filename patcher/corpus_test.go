package patcher

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"go.yaml.in/yaml/v2"
)

// corpusDir holds manifests of public repositories. Where it is not there, the
// manifests in testdata take its place.
const corpusDir = "../../shared/corpus"

const commit = "e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5"

func TestEveryImageOfRealManifestsIsSetAndNothingElseChanges(t *testing.T) {
	root, atLeast := corpusDir, 250
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		root, atLeast = "testdata/manifests", 10
	}
	files, edits := 0, 0
	refusals := map[string]int{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err != nil || entry.IsDir() || ext != ".yaml" && ext != ".yml" {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := Parse(content)
		if err != nil {
			countRefusal(t, path, err, refusals)
			return nil
		}
		for _, name := range imageNames(f) {
			n, err := ParseName(name, false)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			after, err := f.SetTag(n, commit)
			if err != nil {
				countRefusal(t, path, err, refusals)
				continue
			}
			images, err := f.Find(n)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			edits += len(images)
			if err := checkEdit(content, after, images, commit); err != nil {
				t.Errorf("%s: %s: %v", path, name, err)
			}
			if err := checkValues(content, after, images, commit); err != nil {
				t.Errorf("%s: %s: %v", path, name, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files, %d edits, refusals: %v", files, edits, refusals)
	if edits < atLeast {
		t.Errorf("%d edits, want at least %d", edits, atLeast)
	}
}

// countRefusal fails for a reason that real manifests give no cause for.
func countRefusal(t *testing.T, path string, err error, refusals map[string]int) {
	t.Helper()
	t.Logf("%s: %v", path, err)
	for _, reason := range []error{ErrNotYAML, ErrDigest, ErrBadReference, ErrShared, ErrDuplicateKey} {
		if errors.Is(err, reason) {
			refusals[reason.Error()]++
			return
		}
	}
	t.Errorf("%s: refused for a reason that needs a look: %v", path, err)
}

// imageNames returns the names of the images of a file, without tags.
func imageNames(f *File) []string {
	names := map[string]bool{}
	for _, img := range f.images {
		if named, err := reference.ParseNormalizedNamed(img.node.Value); err == nil {
			names[reference.TrimNamed(named).Name()] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// checkEdit compares the bytes: after must be before with the tags of the
// images replaced. It also sets the tag again, which must change nothing.
func checkEdit(before, after []byte, images []Image, tag string) error {
	var want []byte
	from := 0
	for _, img := range images {
		start := img.Offset
		quote := ""
		if c := before[start]; c == '"' || c == '\'' {
			quote = string(c)
		}
		end := start + len(quote+img.Ref+quote)
		if written := string(before[start:end]); written != quote+img.Ref+quote {
			return fmt.Errorf("at offset %d stands %q, want %q", start, written, img.Ref)
		}
		if img.Tag != tag && quote == "" && readsAsNumber(withTag(img, tag)) {
			quote = `"`
		}
		want = append(want, before[from:start]...)
		want = append(want, quote+withTag(img, tag)+quote...)
		from = end
	}
	want = append(want, before[from:]...)
	if !bytes.Equal(after, want) {
		return fmt.Errorf("the result is\n%s\nwant\n%s", after, want)
	}
	return nil
}

func withTag(img Image, tag string) string {
	if img.Tag == "" {
		return img.Ref + ":" + tag
	}
	return img.Ref[:len(img.Ref)-len(img.Tag)] + tag
}

// checkValues compares what the YAML reader of Kubernetes makes of both: the
// values of the images are all that differs.
func checkValues(before, after []byte, images []Image, tag string) error {
	old, err := readAll(before)
	if err != nil {
		return fmt.Errorf("read the original: %w", err)
	}
	changed, err := readAll(after)
	if err != nil {
		return fmt.Errorf("read the result: %w", err)
	}
	var want []string
	for _, img := range images {
		if img.Tag != tag {
			want = append(want, fmt.Sprintf("%q -> %q", img.Ref, withTag(img, tag)))
		}
	}
	got := differences(nil, "", old, changed)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		return fmt.Errorf("these values changed: %q, want %q", got, want)
	}
	return nil
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

// differences lists the values that differ, with the path of those that are no
// images.
func differences(list []string, path string, a, b any) []string {
	switch a := a.(type) {
	case []any:
		if b, ok := b.([]any); ok && len(a) == len(b) {
			for i := range a {
				list = differences(list, fmt.Sprintf("%s[%d]", path, i), a[i], b[i])
			}
			return list
		}
	case map[any]any:
		if b, ok := b.(map[any]any); ok && len(a) == len(b) {
			for k, v := range a {
				list = differences(list, fmt.Sprintf("%s.%v", path, k), v, b[k])
			}
			return list
		}
	}
	if reflect.DeepEqual(a, b) {
		return list
	}
	difference := fmt.Sprintf("%q -> %q", a, b)
	if !strings.HasSuffix(path, ".image") {
		difference = path + ": " + difference
	}
	return append(list, difference)
}
