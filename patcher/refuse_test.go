package patcher

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// refusals are files in which the tag of kainlite/blog is not set to 2.0.
var refusals = []struct {
	promise  string
	reason   error
	message  string
	manifest string
}{
	// The file.
	{"more than 4 MiB", ErrTooLarge, "the file has 4194305 bytes, more than the 4194304 that are read: split it", strings.Repeat("#", MaxSize+1)},
	{"more than 4 MiB with the new tag", ErrTooLarge, "with the new tag the file has 4194306 bytes, more than the 4194304 that are read: split it", pod("image: kainlite/blog") + strings.Repeat("#", MaxSize-len(pod("image: kainlite/blog"))-2)},
	{"UTF-16, little end first", ErrNotUTF8, "line 1: the file is UTF-16: save it as UTF-8", "\xff\xfek\x00"},
	{"UTF-16, big end first", ErrNotUTF8, "line 1: the file is UTF-16: save it as UTF-8", "\xfe\xff\x00k"},
	{"Latin-1", ErrNotUTF8, "line 2: the byte 0xe9 is not UTF-8: save the file as UTF-8", "kind: Pod # é\nx: \xe9\n"},
	{"a NUL byte", ErrNotYAML, "line 1: a NUL byte: the file is binary or UTF-16; save it as UTF-8 text", "k\x00i\x00"},
	{"a control character", ErrNotYAML, "line 3: the character U+001B is not allowed in YAML: remove it", "kind: Pod\r\nspec: {}\r\n\x1b[0m"},
	{"a non-character", ErrNotYAML, "line 2: the character U+FFFF is not allowed in YAML: remove it", "kind: Pod\n# \uffff"},
	{"an empty file", ErrNotYAML, "the file holds no YAML document: put the manifest into it, or name another file", ""},
	{"comments only", ErrNotYAML, "the file holds no YAML document: put the manifest into it, or name another file", "# nothing\n"},
	{"empty documents only", ErrNotYAML, "the file holds no YAML document: put the manifest into it, or name another file", "---\n---\n# nothing\n"},
	{"text that is not YAML", ErrNotYAML, "line 2: the file is not valid YAML: mapping values are not allowed in this context; correct the file", "kind: Pod\n  spec: x\n"},
	{"a tab as indentation", ErrNotYAML, "line 3: the file is not valid YAML: found character that cannot start any token; correct the file", "kind: Pod\nspec:\n\tcontainers: []\n"},
	{"an unclosed quote", ErrNotYAML, "line 2: the file is not valid YAML: found unexpected end of stream; correct the file", "kind: Pod\nx: \"a"},
	{"another version of YAML", ErrNotYAML, "line 2: the %YAML directive names a version other than 1.1, which most readers refuse: remove it", "# c\n%YAML 1.2\n---\n" + pod("image: kainlite/blog:1.0")},
	{"a Helm template with statements", ErrNotYAML, `line 2: the file is a template, as Helm's are, not YAML: "{{- if .Values.enabled }}"; name a file that holds the finished manifest`, "# {{ c }}\n{{- if .Values.enabled }}\nkind: Pod\n{{- end }}\n"},
	{"a Helm template with values", ErrNotYAML, `line 4: the file is a template, as Helm's are, not YAML: "{{ .Values.image }}:{{ .Values.tag }}"; name a file that holds the finished manifest`, pod("image: {{ .Values.image }}:{{ .Values.tag }}")},
	{"too deep a file", ErrTooComplex, "line 1: the file is nested more than 200 levels deep: flatten it", strings.Repeat("[", 250) + strings.Repeat("]", 250)},
	{"a file deeper than the reader goes", ErrNotYAML, "line 1: the file is not valid YAML: exceeded max depth of 10000; correct the file", strings.Repeat("[", 20000)},
	{"too many entries", ErrTooComplex, "the file has 300000 entries, more than the 200000 that are read: split it", strings.Repeat("-\n", 300000)},
	{"too many complex keys", ErrTooComplex, "the file has 300000 entries, more than the 200000 that are read: split it", strings.Repeat("?\u2028", 300000)},
	{"too many flow entries", ErrTooComplex, "the file has 600001 brackets and commas, more than the 60000 that are read: split it, or write it in block style", "[" + strings.Repeat("a,", 600000) + "]"},
	{"too many directives", ErrTooComplex, "the file has 200 %TAG directives, more than the 100 that are read: remove those that are not needed", strings.Repeat("%TAG !a! b\n", 200) + "--- a"},

	// Anchors and aliases.
	{"an unknown anchor", ErrNotYAML, "line 4: the file is not valid YAML: unknown anchor 'a' referenced; correct the file", pod("image: *a")},
	{"a merge cycle", ErrNotYAML, "line 1: the alias *a refers to a node that contains it: remove the cycle", "a: &a {<<: *a}\n---\n" + pod("image: kainlite/blog:1.0")},
	{"a cycle over two anchors", ErrNotYAML, "line 2: the alias *a refers to a node that contains it: remove the cycle", "a: &a\n  b: &b [*a]\n  c: *b\n"},
	{"an alias to another document", ErrNotYAML, "line 6: the alias *a refers to an anchor of another document: repeat the anchor in this one", pod("image: &a kainlite/blog:1.0") + "---\nx: *a\n"},
	{"a mapping with the tag of null", ErrUnsupported, "line 1: the tag !!null is not supported: remove it", "a: !!null {b: &a c}\nd: *a\n"},
	{"a billion laughs in items", ErrTooComplex, "line 3: the aliases of the file expand too far: write it with fewer of them", laughs("- &l%[2]d {kind: List, items: [%[1]s]}\n", "*l%d", "kind: List\nitems:\n")},
	{"a billion laughs in merge keys", ErrTooComplex, "line 3: the aliases of the file expand too far: write it with fewer of them", laughs("- &l%[2]d {<<: [%[1]s]}\n", "*l%d", "kind: List\nitems:\n- &l0 {}\n")},
	{"a long chain of aliases", ErrTooComplex, "line 3: the aliases of the file expand too far: write it with fewer of them", chain()},
	{"an anchor of the image that is used elsewhere", ErrShared, `line 4: the image "kainlite/blog:1.0" has the anchor &a, which line 5 uses too, so a new tag would change that place as well: write it out there without the alias`, pod("image: &a kainlite/blog:1.0\n    name: *a")},
	{"an alias as image", ErrShared, `line 1: the image "kainlite/blog:1.0" has the anchor &a, which line 6 uses too, so a new tag would change that place as well: write it out there without the alias`, "x: &a kainlite/blog:1.0\n\n" + pod("image: *a")},
	{"an anchor of the container that is used elsewhere", ErrShared, `line 5: the image "kainlite/blog:1.0" lies under the anchor &c, which line 6 uses too, so a new tag would change that place as well: write it out there without the alias`, pod("&c\n    image: kainlite/blog:1.0\n  - *c")},
	{"a merged container", ErrShared, `line 4: the image "kainlite/blog:1.0" lies under the anchor &c, which line 5 uses too, so a new tag would change that place as well: write it out there without the alias`, pod("&c {image: kainlite/blog:1.0}\n  - {<<: *c, name: b}")},
	{"a container merged from a list", ErrShared, `line 1: the image "kainlite/blog:1.0" lies under the anchor &c, which line 6 uses too, so a new tag would change that place as well: write it out there without the alias`, "x: [&c {image: kainlite/blog:1.0}, &d {name: x}]\n\n" + pod("<<: [*d, *c]")},
	{"an anchor of the whole pod", ErrShared, `line 1: the image "kainlite/blog:1.0" lies under the anchor &p, which line 2 uses too, so a new tag would change that place as well: write it out there without the alias`, "x: &p {kind: Pod, spec: {containers: [{image: kainlite/blog:1.0}]}}\n<<: *p\n"},

	// The image.
	{"a digest", ErrDigest, `line 4: the image "kainlite/blog@sha256:` + strings.Repeat("a", 64) + `" has a digest, so a new tag would have no effect: remove the digest, or set the annotation gitops.operator.pin_digest to "true"`, pod("image: kainlite/blog@sha256:" + strings.Repeat("a", 64))},
	{"a tag and a digest", ErrDigest, `line 5: the image "kainlite/blog:1.0@sha256:` + strings.Repeat("a", 64) + `" has a digest, so a new tag would have no effect: remove the digest, or set the annotation gitops.operator.pin_digest to "true"`, pod("image: kainlite/blog:1.0\n  - image: kainlite/blog:1.0@sha256:" + strings.Repeat("a", 64))},
	{"a variable as tag", ErrBadReference, `line 4: the image "kainlite/blog:${TAG:-x/y:z}" is not a valid reference: write it as NAME:TAG, without variables`, pod("image: kainlite/blog:${TAG:-x/y:z}")},
	{"a quoted template as tag", ErrBadReference, `line 4: the image "kainlite/blog:{{ .Values.tag }}" is not a valid reference: write it as NAME:TAG, without variables`, pod(`image: "kainlite/blog:{{ .Values.tag }}"`)},
	{"a variable after the name", ErrBadReference, `line 4: the image "kainlite/blog$(SUFFIX)" is not a valid reference: write it as NAME:TAG, without variables`, pod("image: kainlite/blog$(SUFFIX)")},
	{"a variable as registry", ErrBadReference, `line 5: the image "${REGISTRY}/kainlite/blog:${TAG}" is not a valid reference: write it as NAME:TAG, without variables`, pod("image: kainlite/blog:1.0\n  - image: ${REGISTRY}/kainlite/blog:${TAG}")},
	{"an empty tag", ErrBadReference, `line 4: the image "kainlite/blog:" is not a valid reference: write it as NAME:TAG, without variables`, pod(`image: "kainlite/blog:"`)},
	{"a space after the tag", ErrBadReference, `line 4: the image "kainlite/blog:1.0 " is not a valid reference: write it as NAME:TAG, without variables`, pod(`image: "kainlite/blog:1.0 "`)},
	{"a literal block scalar", ErrUnsupported, `line 4: the image "kainlite/blog:1.0\n" is written as a block scalar: write NAME:TAG on the line of its key`, pod("image: |\n      kainlite/blog:1.0")},
	{"a folded block scalar", ErrUnsupported, `line 4: the image "kainlite/blog:1.0" is written as a block scalar: write NAME:TAG on the line of its key`, pod("image: &a >-\n      kainlite/blog:1.0")},
	{"an escape", ErrUnsupported, `line 4: the image "kainlite/blog:1.0" is written with escapes: write NAME:TAG on the line of its key`, pod(`image: "kainlite\x2fblog:1.0"`)},
	{"a single quote in single quotes", ErrUnsupported, `line 4: the image "kainlite/blog:'1.0'" is written with escapes: write NAME:TAG on the line of its key`, pod(`image: 'kainlite/blog:''1.0'''`)},
	{"double quotes over two lines", ErrUnsupported, `line 4: the image "kainlite/blog:1.0" is written over several lines: write NAME:TAG on the line of its key`, pod("image: \"kainlite/\\\n      blog:1.0\"")},
	{"a plain scalar over two lines", ErrUnsupported, `line 4: the image "kainlite/blog:1.0 x" is written over several lines: write NAME:TAG on the line of its key`, pod("image: kainlite/blog:1.0\n      x")},
	{"an anchor on its own line", ErrUnsupported, `line 4: the image "kainlite/blog:1.0" is written below its anchor or tag: write NAME:TAG on the line of its key`, pod("image: &a\n      kainlite/blog:1.0")},
	{"a tag on its own line", ErrUnsupported, `line 4: the image "kainlite/blog:1.0" is written below its anchor or tag: write NAME:TAG on the line of its key`, pod("image: !!str # c\n      'kainlite/blog:1.0'")},
	{"a key twice in the container", ErrDuplicateKey, `line 6: the key "image" stands twice in one mapping: remove one of them`, pod("image: kainlite/blog:1.0\n    name: blog\n    \"image\": redis")},
	{"a key twice above the container", ErrDuplicateKey, `line 3: the key "spec" stands twice in one mapping: remove one of them`, "kind: Pod\nspec: {}\nspec: {containers: [{image: kainlite/blog:1.0}]}\n"},
	{"a key twice in a large mapping", ErrDuplicateKey, `line 45: the key "a7" stands twice in one mapping: remove one of them`, pod("image: kainlite/blog:1.0" + numbered("\n    a%d: x", 40) + "\n    a7: x")},
	{"two merge keys", ErrDuplicateKey, `line 5: the key "<<" stands twice in one mapping: remove one of them`, pod("<<: {image: kainlite/blog:1.0}\n    <<: {name: x}")},
	{"a merge key below the image", ErrDuplicateKey, `line 5: the merge key sets "image", which the mapping has set above it, and readers do not agree on which of them counts: move the merge key to the top`, pod("image: kainlite/blog:1.0\n    <<: [{name: x}, {image: redis}]")},
	{"a merge key below the image of a merged container", ErrDuplicateKey, `line 4: the merge key sets "image", which the mapping has set above it, and readers do not agree on which of them counts: move the merge key to the top`, pod("<<: {image: redis, <<: {image: kainlite/blog:1.0}}")},
	{"a number", ErrNotString, "line 4: the image is the number 5, not a string: write it as NAME:TAG", pod("image: 5")},
	{"a mapping", ErrNotString, "line 5: the image is a mapping, not a string: write it as NAME:TAG", pod("image:\n      repository: x")},
	{"a sequence", ErrNotString, "line 4: the image is a sequence, not a string: write it as NAME:TAG", pod("image: [kainlite/blog]")},
	{"a template for the image", ErrNotString, "line 4: the image is a template ({{), not a string: write it as NAME:TAG", pod("image: {{ .Values.image }}")},
	{"a tag of its own", ErrNotString, `line 4: the image is "kainlite/blog:1.0" with the tag !x, not a string: write it as NAME:TAG`, pod("image: !x kainlite/blog:1.0")},

	// No image.
	{"similar images", ErrNoMatch, `no container has the image "kainlite/blog"; the file has "kainlite/blog-api:1.0" (line 5), "ghcr.io/kainlite/blog:1.0" (line 6), "redis" (line 4), the number 5 (line 7): correct the image name, or name another file`, pod("image: redis\n  - image: kainlite/blog-api:1.0\n  - image: ghcr.io/kainlite/blog:1.0\n  - image: 5\n  - image: redis")},
	{"many images", ErrNoMatch, `no container has the image "kainlite/blog"; the file has "app0" (line 5), "app1" (line 6), "app2" (line 7), "app3" (line 8), "app4" (line 9) and 35 more: correct the image name, or name another file`, pod("name: a" + numbered("\n  - image: app%d", 40))},
	{"no images", ErrNoMatch, `no container has the image "kainlite/blog": the file has no containers with an image; name the file of the Deployment`, pod("image:") + "---\nkind: ConfigMap\n"},
	{"a plain text", ErrNoMatch, `no container has the image "kainlite/blog": the file has no containers with an image; name the file of the Deployment`, "hello"},
	{"another kind", ErrNoMatch, `line 4: the image "kainlite/blog" stands in the kind "Prometheus", which is not edited: name the file of the Deployment that has it in a container, or its place with tag_path`, "kind: List\nitems:\n- kind: Prometheus\n  spec: {image: 'kainlite/blog:1.0'}\n"},
	{"no container", ErrNoMatch, `line 6: the image "kainlite/blog" stands outside the containers of a Pod: name the file of the Deployment that has it in a container, or its place with tag_path`, pod("image: redis\n  volumes:\n  - rbd: {image: kainlite/blog}")},
}

// laughs writes 30 lines that each refer ten times to the line before.
func laughs(line, alias, start string) string {
	var b strings.Builder
	b.WriteString(start)
	for i := range 30 {
		refs := make([]string, 10)
		for j := range refs {
			refs[j] = fmt.Sprintf(alias, i)
		}
		if i == 0 && !strings.Contains(start, "&l0") {
			refs = nil
		}
		fmt.Fprintf(&b, line, strings.Join(refs, ","), i+1)
	}
	return b.String()
}

// chain writes lists that each contain the one of the line before.
func chain() string {
	return "kind: List\nitems:\n- &l0 {kind: List}\n" + numbered("- &l%[2]d {kind: List, items: [*l%[1]d]}\n", 1000)
}

func numbered(format string, count int) string {
	var b strings.Builder
	for i := range count {
		if strings.Contains(format, "[2]") {
			fmt.Fprintf(&b, format, i, i+1)
		} else {
			fmt.Fprintf(&b, format, i)
		}
	}
	return b.String()
}

func TestWhatIsNotCertainIsRefusedWithItsOwnMessage(t *testing.T) {
	n := mustName(t, "kainlite/blog", false)
	for _, test := range refusals {
		t.Run(test.promise, func(t *testing.T) {
			f, err := Parse([]byte(test.manifest))
			if err == nil {
				var got []byte
				if got, err = f.SetTag(n, "2.0"); got != nil {
					t.Errorf("SetTag returned %q", got)
				}
			}
			var refused *Error
			if !errors.As(err, &refused) {
				t.Fatalf("got error %v, want an *Error", err)
			}
			if !errors.Is(err, test.reason) || err.Error() != test.message {
				t.Errorf("got (%v)\n%s\nwant (%v)\n%s", refused.Reason, err, test.reason, test.message)
			}
		})
	}
}
