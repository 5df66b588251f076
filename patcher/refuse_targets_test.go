package patcher

import (
	"errors"
	"strings"
	"testing"
)

const hint = `, or set the annotation gitops.operator.pin_digest to "true"`

// targetRefusals are files in which acme/web is not set to 2.0.
var targetRefusals = []struct {
	promise string
	reason  error
	message string
	images  string // acme/web by default
	paths   string
	pin     bool
	text    string
}{
	// kustomizations
	{promise: "no entry", reason: ErrNoMatch, message: `line 3: images has no entry for the image "acme/web", only "acme/api:v1" (line 4), "acme/cron" (line 5): add "- name: acme/web" and "  newTag: TAG"`, text: "kind: Kustomization\nimages:\n- name: acme/api\n  newTag: v1\n- name: acme/cron\n"},
	{promise: "no images", reason: ErrNoMatch, message: `the kustomization has no images: add "images:" and below it "- name: acme/web" and "  newTag: TAG"`, text: "kind: Kustomization\nresources: [a.yaml]\n"},
	{promise: "an empty list of images", reason: ErrNoMatch, message: `line 2: images has no entry for the image "acme/web": add "- name: acme/web" and "  newTag: TAG"`, text: "kind: Kustomization\nimages: []\n"},
	{promise: "no images in Flux's Kustomization", reason: ErrNoMatch, message: `the kustomization has no images: add "spec.images:" and below it "- name: acme/web" and "  newTag: TAG"`, text: flux + "spec: {path: ./}\n"},
	{promise: "no entry in Flux's Kustomization, for either of two", images: "acme/web acme/api", reason: ErrNoMatch, message: `line 5: spec.images has no entry for the image "acme/web" or "acme/api", only "x" (line 5): add "- name: acme/web" and "  newTag: TAG"`, text: flux + "spec:\n  images:\n  - name: x\n"},
	{promise: "entries that are none", reason: ErrNoMatch, message: `line 3: images has no entry for the image "acme/web": add "- name: acme/web" and "  newTag: TAG"`, text: "kind: Kustomization\nimages:\n- acme/web:v1\n- {newTag: v1}\n- {name: [acme/web]}\n"},
	{promise: "an entry with a digest", reason: ErrDigest, message: `line 4: the image "acme/web:v1@` + digest0 + `" has a digest, so a new tag would have no effect: remove the digest` + hint, text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag: v1\n  digest: " + digest0 + "\n"},
	{promise: "an entry with a digest alone", reason: ErrDigest, message: `line 3: the image "ghcr.io/acme/web@` + digest0 + `" has a digest, so a new tag would have no effect: remove the digest` + hint, text: "kind: Kustomization\nimages:\n- {name: acme/web, newName: ghcr.io/acme/web, digest: " + digest0 + "}\n"},
	{promise: "a digest in newTag", reason: ErrDigest, message: `line 3: the image "acme/web:v1@` + digest0 + `" has a digest, so a new tag would have no effect: remove the digest` + hint, text: "kind: Kustomization\nimages:\n- {name: acme/web, newTag: v1@" + digest0 + "}\n"},
	{promise: "a variable as newTag", reason: ErrBadReference, message: `line 4: the tag "${TAG}" is not a valid tag: write it out, without variables`, text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag: ${TAG}\n"},
	{promise: "a template as newTag", reason: ErrNotString, message: `line 4: the tag is a template ({{), not a string: write the tag there`, text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag: {{ .Values.tag }}\n"},
	{promise: "a mapping as newTag", reason: ErrNotString, message: `line 5: the tag is a mapping, not a string: write the tag there`, text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag:\n    a: b\n"},
	{promise: "a newTag with a tag of its own", reason: ErrNotString, message: `line 3: the tag is the number 1, not a string: remove the tag !!int`, text: "kind: Kustomization\nimages:\n- {name: acme/web, newTag: !!int 1}\n"},
	{promise: "a digest that is a sequence", reason: ErrNotString, pin: true, message: `line 3: the tag is a sequence, not a string: write the tag there`, text: "kind: Kustomization\nimages:\n- {name: acme/web, newTag: v1, digest: [a]}\n"},
	{promise: "a newTag as a block scalar", reason: ErrUnsupported, message: `line 4: the tag "v1" is written as a block scalar: write it on the line of its key`, text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag: >-\n    v1\n"},
	{promise: "a newTag with escapes", reason: ErrUnsupported, message: `line 3: the tag "v1" is written with escapes: write it on the line of its key`, text: "kind: Kustomization\nimages:\n- {name: acme/web, newTag: \"\\x76\\x31\"}\n"},
	{promise: "a digest with escapes", pin: true, reason: ErrUnsupported, message: `line 3: the digest "v1" is written with escapes: write it on the line of its key`, text: "kind: Kustomization\nimages:\n- {name: acme/web, newTag: a, digest: \"\\x76\\x31\"}\n"},
	{promise: "a newTag that is an alias", reason: ErrShared, message: `line 1: the value "v1" has the anchor &t, which line 3 uses too, so a new tag would change that place as well: write it out there without the alias`, text: "x: &t v1\nimages:\n- {name: acme/web, newTag: *t}\nkind: Kustomization\n"},
	{promise: "an entry that is used elsewhere", reason: ErrShared, message: `line 3: the entry has the anchor &e, which line 4 uses too, so a new tag would change that place as well: write it out there without the alias`, text: "kind: Kustomization\nimages:\n- &e {name: acme/web}\nx: *e\n"},
	{promise: "an entry of merged keys", reason: ErrUnsupported, message: `line 4: the line of the new tag or digest cannot be inserted, as the entry is written: write the key there by hand`, text: "x: &e {name: acme/web}\nkind: Kustomization\nimages:\n- <<: *e\n"},
	{promise: "an entry with explicit keys", reason: ErrUnsupported, message: `line 3: the line of the new tag or digest cannot be inserted, as the entry is written: write the key there by hand`, text: "kind: Kustomization\nimages:\n- ? name\n  : acme/web\n"},
	{promise: "an entry whose name is an alias", reason: ErrUnsupported, message: `line 4: the line of the new tag or digest cannot be inserted, as the entry is written: write the key there by hand`, text: "x: &n acme/web\nkind: Kustomization\nimages:\n- name: *n\n"},
	{promise: "an empty newTag with an anchor", reason: ErrUnsupported, message: `line 4: the value is left out: write "" there`, text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag: &a\n"},
	{promise: "a name with a tag", reason: ErrBadReference, message: `line 3: the name "acme/web:v1" of the entry has a tag or digest, which kustomize takes for a part of the name: write it as newTag or digest`, text: "kind: Kustomization\nimages:\n- name: acme/web:v1\n  newTag: v2\n"},
	{promise: "a newName that is a variable", reason: ErrBadReference, message: `line 3: the image "${R}/web" is not a valid reference: write it as NAME:TAG, without variables`, text: "kind: Kustomization\nimages:\n- {name: acme/web, newName: '${R}/web', newTag: v1}\n"},
	{promise: "newTag twice", reason: ErrDuplicateKey, message: `line 5: the key "newTag" stands twice in one mapping: remove one of them`, text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag: v1\n  newTag: v2\n"},
	{promise: "images twice", reason: ErrDuplicateKey, message: `line 4: the key "images" stands twice in one mapping: remove one of them`, text: "kind: Kustomization\nimages:\n- {name: acme/web, newTag: v1}\nimages: []\n"},
	{promise: "a digest in an Application", reason: ErrDigest, message: `line 5: the image "acme/web:v1@` + digest0 + `" has a digest, so a new tag would have no effect: remove the digest` + hint, text: argo + "  source:\n    kustomize: {images: ['web=acme/web:v1@" + digest0 + "']}\n"},
	{promise: "another Kustomization", reason: ErrNoMatch, message: `line 3: the image "acme/web" stands in the kind "Kustomization", which is not edited: name the file of the Deployment that has it in a container, or its place with tag_path`, text: "apiVersion: example.org/v1\nkind: Kustomization\nimages: [{name: acme/web}]\n"},

	{promise: "an entry in neither of two kustomizations", reason: ErrNoMatch, message: `line 4: images has no entry for the image "acme/web", only "x" (line 4): add "- name: acme/web" and "  newTag: TAG"`, text: "kind: Kustomization\n---\nkind: Kustomization\nimages: [{name: x}]\n---\nkind: Kustomization\n"},
	{promise: "the first of two lists", reason: ErrNoMatch, message: `line 2: images has no entry for the image "acme/web", only "x" (line 2), "y" (line 5): add "- name: acme/web" and "  newTag: TAG"`, text: "kind: Kustomization\nimages: [{name: x}]\n---\nkind: Kustomization\nimages: [{name: y}]\n"},
	{promise: "neither a workload nor an entry", reason: ErrNoMatch, message: `nothing here has the image "acme/web"; the file has "redis" (line 4), "x" (line 7): correct the image name, or name another file`, text: pod("image: redis") + "---\nkind: Kustomization\nimages: [{name: x}]\n"},
	{promise: "a key at the end of the file", reason: ErrUnsupported, message: `line 5: the value is left out: write "" there`, text: "kind: Kustomization\nimages:\n- name: acme/web\n  ? newTag"},

	// Helm values
	{promise: "a repository without a tag", reason: ErrNoMatch, message: `line 1: "acme/web" has no tag beside it: add the key "tag", or name the place of the tag with tag_path`, text: "image: {repository: acme/web}\n"},
	{promise: "an image without a tag", reason: ErrNoMatch, message: `line 2: "acme/web" has no tag beside it: add the key "tag", or name the place of the tag with tag_path`, text: "a: b\nweb: {image: acme/web, version: 1}\n"},
	{promise: "a template as tag", reason: ErrBadReference, message: `line 1: the tag "{{ .Chart.AppVersion }}" is not a valid tag: write it out, without variables`, text: "image: {repository: acme/web, tag: '{{ .Chart.AppVersion }}'}\n"},
	{promise: "a variable as repository", reason: ErrBadReference, message: `line 1: the image "${REGISTRY}/acme/web" is not a valid reference: write it as NAME:TAG, without variables`, text: "image: {repository: '${REGISTRY}/acme/web', tag: v1}\n"},
	{promise: "a variable as tag of a text", reason: ErrBadReference, message: `line 1: the image "acme/web:${TAG}" is not a valid reference: write it as NAME:TAG, without variables`, text: "image: acme/web:${TAG}\n"},
	{promise: "a digest beside the tag", reason: ErrDigest, message: `line 1: the image "acme/web:v1@` + digest0 + `" has a digest, so a new tag would have no effect: remove the digest` + hint, text: "image: {repository: acme/web, tag: v1, digest: '" + digest0 + "'}\n"},
	{promise: "a digest without its algorithm", reason: ErrDigest, message: `line 1: the image "acme/web:v1@` + digest0 + `" has a digest, so a new tag would have no effect: remove the digest` + hint, text: "image: {repository: acme/web, tag: v1, sha: " + digest0[7:] + "}\n"},
	{promise: "a digest in the tag", reason: ErrDigest, message: `line 1: the image "acme/web:v1@` + digest0 + `" has a digest, so a new tag would have no effect: remove the digest` + hint, text: "image: {repository: acme/web, tag: v1@" + digest0 + "}\n"},
	{promise: "a digest in a text", reason: ErrDigest, message: `line 1: the image "acme/web@` + digest0 + `" has a digest, so a new tag would have no effect: remove the digest` + hint, text: "image: acme/web@" + digest0 + "\n"},
	{promise: "a block scalar in values", reason: ErrUnsupported, message: `line 3: the tag "v1\n" is written as a block scalar: write it on the line of its key`, text: "image:\n  repository: acme/web\n  tag: |\n    v1\n"},
	{promise: "values that are used elsewhere", reason: ErrShared, message: `line 1: the tag "v1" lies under the anchor &i, which line 2 uses too, so a new tag would change that place as well: write it out there without the alias`, text: "image: &i {repository: acme/web, tag: v1}\nother: *i\n"},
	{promise: "a tag that is merged", reason: ErrShared, message: `line 1: the tag "v1" lies under the anchor &t, which line 2 uses too, so a new tag would change that place as well: write it out there without the alias`, text: "x: &t {tag: v1}\nweb: {<<: *t, repository: acme/web}\n"},
	{promise: "a service of Compose that is merged", reason: ErrShared, message: `line 1: the image "acme/web:v1" lies under the anchor &a, which line 2 uses too, so a new tag would change that place as well: write it out there without the alias`, text: "x-app: &a {image: acme/web:v1}\nservices: {web: {<<: *a, ports: []}, job: {<<: *a}}\n"},
	{promise: "a merge key below the tag", reason: ErrDuplicateKey, message: `line 4: the merge key sets "tag", which the mapping has set above it, and readers do not agree on which of them counts: move the merge key to the top`, text: "web:\n  repository: acme/web\n  tag: v1\n  <<: {tag: v2}\n"},
	{promise: "a key twice above", reason: ErrDuplicateKey, message: `line 2: the key "web" stands twice in one mapping: remove one of them`, text: "web: {image: {repository: acme/web, tag: v1}}\nweb: {}\n"},
	{promise: "other values", reason: ErrNoMatch, message: `nothing here has the image "acme/web"; the file has "acme/wob:v1" (line 1), "acme/api:v2" (line 2): correct the image name, or name another file`, text: "a: {repository: acme/wob, tag: v1}\nb: {image: 'acme/api:v2'}\n"},
	{promise: "no values", reason: ErrNoMatch, message: `nothing here has the image "acme/web": the file has no images; name another file, or the place of the tag with tag_path`, text: "a: b\nweb: acme/web:v1\n"},
	{promise: "an object of another kind", reason: ErrNoMatch, message: `line 3: the image "acme/web" stands in the kind "Prometheus", which is not edited: name the file of the Deployment that has it in a container, or its place with tag_path`, text: "apiVersion: example.org/v1\nkind: Prometheus\nspec: {image: 'acme/web:v1'}\n"},

	// Paths.
	{promise: "a path to a mapping", paths: ".a", reason: ErrNotString, message: `line 1: the path ".a" gives a mapping: name the scalar in it that has the tag`, text: "a: {tag: v1}\n"},
	{promise: "a path to another image", paths: ".a", reason: ErrBadReference, message: `line 1: "acme/api:v1" is neither a tag nor the image "acme/web": correct the path or the image name`, text: "a: acme/api:v1\n"},
	{promise: "a path to a template", paths: ".a", reason: ErrBadReference, message: `line 1: "{{ .tag }}" is neither a tag nor the image "acme/web": correct the path or the image name`, text: "a: '{{ .tag }}'\n"},
	{promise: "a path to a digest", paths: ".a", reason: ErrDigest, message: `line 1: this is the digest "` + digest0 + `", which no tag can take the place of: remove the digest` + hint, text: "a: " + digest0 + "\n"},
	{promise: "a path to a tag with a digest beside it", paths: ".a.tag", reason: ErrDigest, message: `line 1: the image "v1@` + digest0 + `" has a digest, so a new tag would have no effect: remove the digest` + hint, text: "a: {tag: v1, digest: " + digest0 + "}\n"},
	{promise: "a path to a shared tag", paths: ".a", reason: ErrShared, message: `line 1: the value "v1" has the anchor &a, which line 2 uses too, so a new tag would change that place as well: write it out there without the alias`, text: "a: &a v1\nb: *a\n"},
	{promise: "a path through a key that stands twice", paths: ".a.tag", reason: ErrDuplicateKey, message: `line 2: the key "a" stands twice in one mapping: remove one of them`, text: "a: {tag: v1}\na: {tag: v2}\n"},
	{promise: "a path into all of a mapping with a merge key", paths: ".b[]", reason: ErrUnsupported, message: `line 1: [] is not supported in a mapping with a merge key: name the key`, text: "b: {x: v1, <<: {y: v2}}\n"},
	{promise: "a path to a value of several lines", paths: ".a", reason: ErrBadReference, message: `line 1: "v1 v2" is neither a tag nor the image "acme/web": correct the path or the image name`, text: "a: 'v1 v2'\n"},
	{promise: "a path to a value that is left out in a sequence", paths: ".a[0]", reason: ErrUnsupported, message: `line 2: the value is left out: write "" there`, text: "a:\n-\n- x\n"},
}

func TestWhatIsNotCertainInOtherKindsIsRefused(t *testing.T) {
	for _, test := range targetRefusals {
		t.Run(test.promise, func(t *testing.T) {
			v := Version{Tag: "2.0"}
			if test.pin {
				v.Digest = digest1
			}
			r := targetRequest(t, test.images, test.paths, test.pin)
			f, err := ParseFile("x.yaml", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.Edit(r, v)
			if got != nil || !errors.Is(err, test.reason) || err.Error() != test.message {
				t.Errorf("got\n%v\nwant\n%s\n%s", err, test.message, got)
			}
			if places, err := f.Places(r); err == nil {
				t.Errorf("Places accepts it: %v", places)
			}
		})
	}
}

func TestBadVersionsAndRequestsAreRefused(t *testing.T) {
	f := mustParse(t, "image: acme/web:v1\n")
	r := targetRequest(t, "acme/web", "", true)
	for _, digest := range []string{"", "sha256:", "sha256:" + strings.Repeat("A", 64), digest0 + "a", "sha512:" + digest0[7:], digest0[7:]} {
		got, err := f.Edit(r, Version{Tag: "v2", Digest: digest})
		if want := quote(digest) + " is not a digest: use sha256: and 64 hexadecimal digits in lower case"; got != nil || !errors.Is(err, ErrDigest) || err.Error() != want {
			t.Errorf("%q: %v, want %s", digest, err, want)
		}
	}
	if _, err := f.Edit(r, Version{Tag: "-", Digest: digest0}); !errors.Is(err, ErrTag) {
		t.Errorf("got %v", err)
	}
	if _, err := f.Edit(Request{}, Version{Tag: "v2"}); !errors.Is(err, ErrName) || err.Error() != "there is no image to look for: name one" {
		t.Errorf("got %v", err)
	}
	// Without pin, a digest says nothing.
	r.Pin = false
	if got, err := f.Edit(r, Version{Tag: "v2", Digest: "x"}); err != nil || string(got) != "image: acme/web:v2\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestNeedsQuotesKnowsWhatReadersTakeForSomethingElse(t *testing.T) {
	for tag, want := range map[string]bool{
		"7e12345": true, "1.10": true, "1": true, "1234567": true, "0x1F": true, "0o17": true, "1_000": true, "_1": true, "2026-11-27": true, "1.5e3": true, "0b11": true,
		"null": true, "True": true, "FALSE": true, "yes": true, "No": true, "on": true, "OFF": true, "y": true, "n": true, "1-2": true, "3c0a882": true, "1.": true,
		"v1": false, "1.2.3": false, "e4f5a6b": false, "latest": false, "1.0-rc1": false, "1.10.": false, "nonsense": false, "a.b": false, "1.0-alpine": false, "nulls": false,
	} {
		if got := needsQuotes(tag); got != want {
			t.Errorf("needsQuotes(%q) = %v, want %v", tag, got, want)
		}
		if want {
			continue
		}
		for _, text := range []string{"a: " + tag, "{a: " + tag + "}"} {
			docs, err := decode([]byte(text))
			if err != nil || docs[0].Content[1].Tag != "!!str" {
				t.Errorf("yq does not read %s as a text", text)
			}
			if other, err := readAll([]byte(text)); err != nil || differences(nil, "", other, []any{map[any]any{"a": tag}}) != nil {
				t.Errorf("yaml/v2 reads %s as %v", text, other)
			}
		}
	}
}
