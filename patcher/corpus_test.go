package patcher

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/distribution/reference"
)

// corpusDir holds manifests of public repositories. Where it is not there, the
// manifests in testdata take its place.
const corpusDir = "../../shared/corpus"

const commit = "e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5"

func TestEveryImageOfRealManifestsIsSetAndNothingElseChanges(t *testing.T) {
	root, atLeast := corpusDir, map[Kind]int{Workload: 250, Kustomization: 25, Values: 25, String: 5}
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		t.Logf("%s is not there: the manifests in testdata take its place", root)
		root, atLeast = "testdata/manifests", map[Kind]int{Workload: 10}
	}
	files, edits := 0, map[Kind]int{}
	refusals := map[string]int{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		ext := filepath.Ext(path)
		if err != nil || entry.IsDir() || ext != ".yaml" && ext != ".yml" && entry.Name() != "Kustomization" {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := ParseFile(filepath.ToSlash(path), content)
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
			checkCorpus(t, path, f, Request{Images: []Name{n}}, Version{Tag: commit}, edits, refusals)
			if !slices.ContainsFunc(f.sites, func(s site) bool { return s.kind != Workload }) {
				continue // a digest there is as a tag
			}
			checkCorpus(t, path, f, Request{Images: []Name{n}, Pin: true}, Version{Tag: "7e12345", Digest: digest1}, map[Kind]int{}, refusals)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files, edits %v, refusals: %v", files, edits, refusals)
	for kind, want := range atLeast {
		if edits[kind] < want {
			t.Errorf("%d edits of the kind %s, want at least %d", edits[kind], kind, want)
		}
	}
}

const digest1 = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// checkCorpus makes one edit, and counts the places, or the refusal.
func checkCorpus(t *testing.T, path string, f *File, r Request, v Version, edits map[Kind]int, refusals map[string]int) {
	t.Helper()
	after, err := f.Edit(r, v)
	if err != nil {
		countRefusal(t, path, err, refusals)
		return
	}
	places, err := f.Places(r)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	for _, p := range places {
		edits[p.Kind]++
	}
	if err := checkEdit(f.content, after, places, v, r.Pin, true); err != nil {
		t.Errorf("%s: %s: %v", path, r.Images[0], err)
	}
	again, err := ParseFile(f.name, after)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	if got, err := again.Edit(r, v); err != nil || !bytes.Equal(got, after) {
		t.Errorf("%s: %s a second time: %v", path, r.Images[0], err)
	}
}

// countRefusal fails for a reason that real manifests give no cause for.
func countRefusal(t *testing.T, path string, err error, refusals map[string]int) {
	t.Helper()
	t.Logf("%s: %v", path, err)
	for _, reason := range []error{ErrNotYAML, ErrDigest, ErrBadReference, ErrShared, ErrDuplicateKey, ErrNoMatch, ErrUnsupported} {
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
	for _, s := range f.sites {
		for _, r := range s.names {
			if named, err := reference.ParseNormalizedNamed(r.value); err == nil {
				names[reference.TrimNamed(named).Name()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}
