package patcher

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// hostile are files and paths by which somebody tries to make the operator
// stand still, run out of memory, or crash. Each is refused, or edited as any
// other; the bound of time is there to end what hangs.
var hostile = []struct {
	promise string
	reason  error // nil: it may be edited
	file    string
	paths   string
	text    func() string
}{
	{"a path through aliases that double with each step", ErrNoMatch, "", deepPath(".a31", "[]", 60), func() string { return doubling("a%d: &a%d [%s]\n", "*a%d", 32) }},
	{"a path through mappings of aliases that double", ErrNoMatch, "", deepPath(".a31", "[].x", 30), func() string { return doubling("a%d: &a%d {x: [%s]}\n", "*a%d", 32) }},
	{"select over all of a long list, for each of a long list", ErrTooComplex, "", `.a[] | select(.b[].c == "z") | .d`, func() string {
		return "b: &b [" + strings.Repeat("{c: y}, ", 5000) + "]\na:\n" + strings.Repeat("- {b: *b}\n", 20000)
	}},
	{"as many selects as a path can have", ErrTooComplex, "", ".a[]" + strings.Repeat(" | select(.b == 1)", 50) + " | .c", func() string { return "a:\n" + strings.Repeat("- {b: 1}\n", 15000) }},
	{"merge keys that double with each level, at the end of a path", ErrTooComplex, "", ".z.x", func() string {
		return "l:\n- &l0 {a: b}\n" + doublingMerges(30) + "z: {<<: *l30}\n"
	}},
	{"merge keys that double, in values", ErrTooComplex, "", "", func() string { return "l:\n- &l0 {a: b}\n" + doublingMerges(30) }},
	{"merge keys that double, in images", ErrTooComplex, "kustomization.yaml", "", func() string {
		return "l:\n- &l0 {a: b}\n" + doublingMerges(30) + "images:\n- {<<: *l30}\n"
	}},
	{"a merge cycle in values", ErrNotYAML, "", "", func() string { return "a: &a {<<: *a, repository: acme/web, tag: v1}\n" }},
	{"a merge cycle over three mappings", ErrNotYAML, "", ".a.x", func() string { return "a: &a\n  b: &b\n    c: &c {<<: [*a, *b]}\n" }},
	{"a sequence that contains itself", ErrNotYAML, "", ".a[][][]", func() string { return "a: &a [*a, *a]\n" }},
	{"an alias chain over many anchors", nil, "", ".a4999", func() string {
		return "a0: &a0 v1\n" + numbered("a%[2]d: &a%[2]d [*a%[1]d]\n", 5000)
	}},
	{"the same list of images by many aliases", nil, "kustomization.yaml", "", func() string {
		return "x: &x [" + strings.Repeat("{name: acme/api}, ", 1000) + "]\nimages: *x\n---\nkind: List\nitems: &i\n" + strings.Repeat("- {kind: Kustomization}\n", 5000)
	}},
	{"a List of Lists of aliases of kustomizations", ErrTooComplex, "", "", func() string {
		return laughs("- &l%[2]d {kind: List, items: [%[1]s]}\n", "*l%d", "kind: List\nitems:\n- &l0 {kind: Kustomization, images: [{name: acme/web}]}\n")
	}},
	{"an Application whose sources are aliases of one, many times", nil, "", "", func() string {
		return argo + "  x: &s {kustomize: {images: [" + strings.Repeat("'acme/api:1', ", 100) + "]}}\n  sources:\n" + strings.Repeat("  - *s\n", 20000)
	}},
	{"an Application whose valuesObject is an alias, many times", nil, "", "", func() string {
		return argo + "  x: &v {a: [" + strings.Repeat("{image: 'acme/api:1'}, ", 500) + "]}\n  sources:\n" + strings.Repeat("  - {helm: {valuesObject: *v}}\n", 5000)
	}},
	{"values nested as deep as can be", ErrTooComplex, "", "", func() string {
		return strings.Repeat("{a: ", 150) + strings.Repeat("[", 100) + strings.Repeat("]", 100) + strings.Repeat("}", 150)
	}},
	{"a path as deep as the file", nil, "", deepPath("", ".a", 64), func() string { return strings.Repeat("{a: ", 64) + "v1" + strings.Repeat("}", 64) }},
	{"many mappings with the same name", nil, "", "", func() string {
		return "l:\n" + strings.Repeat("- {repository: acme/web, tag: v1}\n", 4000)
	}},
	{"many mappings that merge one", ErrShared, "", "", func() string {
		return "b: &b {repository: acme/web, tag: v1}\nl:\n" + strings.Repeat("- {<<: *b}\n", 15000)
	}},
	{"many repositories for one merged tag", ErrNoMatch, "", "", func() string {
		return "b: &b {tag: v1}\nl:\n" + numbered("- {<<: *b, repository: acme/a%d}\n", 12000)
	}},
	{"many entries that nearly match", ErrNoMatch, "kustomization.yaml", "", func() string {
		return "images:\n" + numbered("- name: acme/web-%d\n", 20000)
	}},
	{"many names that are variables", ErrNoMatch, "", "", func() string { return "l:\n" + numbered("- {image: '${R}/acme/web-%d:${T}'}\n", 15000) }},
	{"a mapping of many keys, by many paths", ErrNoMatch, "", deepPath("", ".k1\n", 300) + ".none", func() string { return numbered("k%d: v\n", 20000) }},
	{"names of the greatest length", ErrNoMatch, "", "", func() string { return "l:\n" + strings.Repeat("- {image: '"+strings.Repeat("web/", 250)+"'}\n", 3000) }},
	{"a line of megabytes", nil, "", "", func() string {
		return "x: '" + strings.Repeat("é", 1<<20) + "'\nimage: {x: '" + strings.Repeat("é", 1<<19) + "', repository: acme/web, tag: v1}\n"
	}},
	{"comments of megabytes around an inserted line", nil, "kustomization.yaml", "", func() string {
		return strings.Repeat("# c\n", 200_000) + "images:\n- name: acme/web\n" + strings.Repeat("# d\n", 200_000) + "- name: acme/api\n"
	}},
	{"many inserted lines", nil, "kustomization.yaml", "", func() string { return "images:\n" + strings.Repeat("- name: acme/web\n", 4000) }},
}

func deepPath(start, part string, times int) string { return start + strings.Repeat(part, times) }

// doubling writes lines that refer twice to the line before.
func doubling(line, alias string, lines int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [v1]\n")
	for i := 1; i < lines; i++ {
		fmt.Fprintf(&b, line, i, i, fmt.Sprintf(alias+", "+alias, i-1, i-1))
	}
	return b.String()
}

func doublingMerges(levels int) string {
	return numbered("- &l%[2]d {<<: [*l%[1]d, *l%[1]d]}\n", levels)
}

func TestHostileFilesAndPathsAreBounded(t *testing.T) {
	for _, test := range hostile {
		t.Run(test.promise, func(t *testing.T) {
			began := time.Now()
			r := targetRequest(t, "acme/web", test.paths, false)
			f, err := ParseFile(test.file, []byte(test.text()))
			var after []byte
			if err == nil {
				after, err = f.Edit(r, Version{Tag: "2.0"})
			}
			if took := time.Since(began); took > 5*time.Minute {
				t.Errorf("it took %s", took)
			}
			if test.reason == nil && (err == nil || errors.Is(err, ErrNoMatch) || errors.Is(err, ErrNotString)) {
				return
			}
			if !errors.Is(err, test.reason) {
				t.Errorf("got %v, want %v; %d bytes", err, test.reason, len(after))
			}
		})
	}
}
