package patcher

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

func TestWhatIsNoPathIsRefusedWithItsPart(t *testing.T) {
	const allowed = `, which is not allowed: use keys, indexes, [], select(.KEY == VALUE) and pipes`
	for text, message := range map[string]string{
		"":                                    "the path expression is empty: write a path, as in .image.tag",
		" \t":                                 "the path expression is empty: write a path, as in .image.tag",
		".":                                   `the path expression "." has "."` + allowed,
		". | .":                               `the path expression ". | ." has ". | ."` + allowed,
		"image":                               `the path expression "image" has "image"` + allowed,
		".a | keys":                           `the path expression ".a | keys" has "keys"` + allowed,
		".a | env(HOME)":                      `the path expression ".a | env(HOME)" has "env"` + allowed,
		`load("/etc/passwd")`:                 `the path expression "load(\"/etc/passwd\")" has "load"` + allowed,
		"..":                                  `the path expression ".." has "."` + allowed,
		".a..b":                               `the path expression ".a..b" has "."` + allowed,
		".. | .tag":                           `the path expression ".. | .tag" has "."` + allowed,
		".a*":                                 `the path expression ".a*" has "*"` + allowed,
		".a.*":                                `the path expression ".a.*" has "*"` + allowed,
		`."a*"`:                               `the path expression ".\"a*\"" has "*"` + allowed,
		`.["a?"]`:                             `the path expression ".[\"a?\"]" has "?"` + allowed,
		".a?":                                 `the path expression ".a?" has "?"` + allowed,
		".a[1:2]":                             `the path expression ".a[1:2]" has "[1:2]"` + allowed,
		".a[.b]":                              `the path expression ".a[.b]" has "[.b]"` + allowed,
		".a[+1]":                              `the path expression ".a[+1]" has "[+1]"` + allowed,
		".a[99999999999]":                     `the path expression ".a[99999999999]" has "[99999999999]"` + allowed,
		".a[0":                                `the path expression ".a[0" has "[0"` + allowed,
		".a, .b":                              `the path expression ".a, .b" has ","` + allowed,
		".a = 1":                              `the path expression ".a = 1" has "="` + allowed,
		".a |= 1":                             `the path expression ".a |= 1" has "="` + allowed,
		".a // .b":                            `the path expression ".a // .b" has "//"` + allowed,
		".a + .b":                             `the path expression ".a + .b" has "+"` + allowed,
		".a == 1":                             `the path expression ".a == 1" has "=="` + allowed,
		"del(.a)":                             `the path expression "del(.a)" has "del"` + allowed,
		".a | explode(.)":                     `the path expression ".a | explode(.)" has "explode"` + allowed,
		".a as $x | $x":                       `the path expression ".a as $x | $x" has "as"` + allowed,
		"(.a)":                                `the path expression "(.a)" has "(."` + allowed,
		".a |":                                `the path expression ".a |" ends too early: complete it`,
		".a.":                                 `the path expression ".a." ends too early: complete it`,
		".a[]|select":                         `the path expression ".a[]|select" ends too early: complete it`,
		".a[] | select(.b":                    `the path expression ".a[] | select(.b" ends too early: complete it`,
		".a[] | select(.b == ":                `the path expression ".a[] | select(.b ==" ends too early: complete it`,
		".a[] | select(.b == 1":               `the path expression ".a[] | select(.b == 1" ends too early: complete it`,
		".a[] | select(.b != 1)":              `the path expression ".a[] | select(.b != 1)" has "!="` + allowed,
		".a[] | select(.b > 1)":               `the path expression ".a[] | select(.b > 1)" has ">"` + allowed,
		".a[] | select(.b)":                   `the path expression ".a[] | select(.b)" has ")"` + allowed,
		".a[] | select(1 == .b)":              `the path expression ".a[] | select(1 == .b)" has "1"` + allowed,
		".a[] | select(.b == .c)":             `the path expression ".a[] | select(.b == .c)" has "."` + allowed,
		".a[] | select(.b == x)":              `the path expression ".a[] | select(.b == x)" has "x"` + allowed,
		".a[] | select(.b == .inf)":           `the path expression ".a[] | select(.b == .inf)" has "."` + allowed,
		".a[] | select(.b == nan)":            `the path expression ".a[] | select(.b == nan)" has "nan"` + allowed,
		".a[] | select(.b == 0x1F)":           `the path expression ".a[] | select(.b == 0x1F)" has "0x1F"` + allowed,
		".a[] | select(.b == 1 and .c == 2)":  `the path expression ".a[] | select(.b == 1 and .c == 2)" has "and"` + allowed,
		".a[] | select(.b == \"x*\")":         `the path expression ".a[] | select(.b == \"x*\")" has "*"` + allowed,
		".a[] | select(.b == \"\\(.c)\")":     `the path expression ".a[] | select(.b == \"\\(.c)\")" has "\\("` + allowed,
		".a[] | select(.b == \"\\n\")":        `the path expression ".a[] | select(.b == \"\\n\")" has "\\n"` + allowed,
		".a[] | select(.b | test(\"x\"))":     `the path expression ".a[] | select(.b | test(\"x\"))" has "|"` + allowed,
		".a[] | select(select(.b == 1) == 1)": `the path expression ".a[] | select(select(.b == 1) == 1)" has "select"` + allowed,
		`."a`:                                 `the path expression ".\"a" has no end of the text "\"a": close the quotes`,
		`.""`:                                 `the path expression ".\"\"" has "\"\""` + allowed,
		`.[""]`:                               `the path expression ".[\"\"]" has "\"\""` + allowed,
		`."a\"b"`:                             `the path expression ".\"a\\\"b\"" has "\\\""` + allowed,
		`."a\`:                                `the path expression ".\"a\\" has "\\"` + allowed,
		`.["a"`:                               `the path expression ".[\"a\"" ends too early: complete it`,
		`.["a".b]`:                            `the path expression ".[\"a\".b]" has "."` + allowed,
		".é":                                  `the path expression ".é" has "é"` + allowed,
		".a # c":                              `the path expression ".a # c" has "#"` + allowed,
		"." + strings.Repeat("a", 1000):       "the path expression has 1001 bytes, more than the 1000 that are read: shorten it",
		strings.Repeat(".a", 65):              `the path expression ` + quote(strings.Repeat(".a", 65)) + ` has more than 64 parts: shorten it`,
	} {
		e, err := ParseExpression(text)
		if !errors.Is(err, ErrPath) || err.Error() != message {
			t.Errorf("%q: got\n%v, %v\nwant\n%s", text, e, err, message)
		}
	}
	for _, lines := range []string{"", "\n \n", ".a\nkeys\n.b"} {
		if got, err := ParsePaths(lines); !errors.Is(err, ErrPath) || got != nil {
			t.Errorf("%q: got %v, %v", lines, got, err)
		}
	}
}

const tree = `# a tree
a:
  b: {c: 1, "d.e": x, "f/g": y, h-i: z}
  list: [p, q, [r, s], {t: u}]
images:
- {name: acme/web, newTag: v1, on: true, n: 5, gone: null, "q\"r": 1, tags: [x, y]}
- {name: acme/api, newTag: v2, on: false, n: "5", gone: ~, s: "null"}
- {name: "5", newTag: "acme/web", n: 5.0}
- just text
-
anchored: &x {k: 1, l: {m: 2}}
alias: *x
merged: {<<: *x, k: 3}
deep: [[[1, 2], [3]], [[4]]]
"null": {k: nothing}
select: {x: 1}
`

// What an expression gives here is what it gives in yq: the same nodes, in the
// same order.
func TestExpressionsGiveWhatYqGives(t *testing.T) {
	yqlib.ConfiguredYamlPreferences.FixMergeAnchorToSpec = true
	f := mustParse(t, tree)
	for _, text := range []string{
		".a.b.c", `.a.b."d.e"`, `.a.b["d.e"]`, `.a["b"].c`, `.a | .b | .c`, ". | .a.b.c", ".a.b.f/g", ".a.b.h-i", `.["a"].b[ "c" ]`,
		".a.list[0]", ".a.list[-1]", ".a.list.[1]", ".a.list[2][1]", ".a.list[3].t", ".a.list[4]", ".a.list[-5]", ".a.list[]", ".a.b[]", ".a.list[][]",
		".images[].name", ".images[0].name", `.images[] | select(.name == "acme/web") | .newTag`, `.images[]|select(.name=="acme/web")|.newTag`,
		`.images[] | select(.n == 5) | .newTag`, `.images[] | select(.n == "5") | .newTag`, `.images[] | select(.on == true) | .newTag`,
		`.images[] | select(.on == false).newTag`, `.images[] | select(.gone == null) | .newTag`, `.images[] | select(.name == "nothing")`, `.images[] | select(.gone == "~") | .newTag`, `.images[] | select(.gone == "null") | .newTag`,
		`.images[1] | select(.s == null) | .newTag`, `.images[1] | select(.s == "null") | .newTag`, `.images[1] | select(.name == null) | .newTag`,
		`.images[] | select( .name  ==  "acme/api" ) | select(.n == 5) | .newTag`, `.a.list[] | select(. == "q")`, `.images[] | select(.["q\"r"] == 1) | .newTag`,
		`.images[] | select(.tags[0] == "x") | .newTag`, `.images[] | select(.tags[1] == "y") | .newTag`,
		".alias.l.m", ".anchored.k", ".merged.k", ".merged.l.m", ".deep[][][]", ".deep[0][1][0]", ".a.x", ".a.b.c.d", ".x.y", ".a.list.x", `."null".k`, ".null.k", ".select.x", ".images[6].name",
	} {
		e, err := ParseExpression(text)
		var want []string
		if strings.Contains(text, ").") { // yq's grammar has it, ours does not
			if !errors.Is(err, ErrPath) {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		doc := mustParse(t, tree).docs[0] // yq adds nodes as it looks for them
		found, err := yqlib.NewAllAtOnceEvaluator().EvaluateNodes(text, doc)
		if err != nil {
			t.Logf("yq refuses %s: %v", text, err)
		} else {
			for el := found.Front(); el != nil; el = el.Next() {
				n := follow(el.Value.(*node))
				if n.Line > 0 { // not one that it has added
					want = append(want, fmt.Sprintf("%d:%d %s", n.Line, n.Column, n.Value))
				}
			}
		}
		spots, _ := f.evaluate(e)
		var got []string
		for _, s := range spots {
			got = append(got, fmt.Sprintf("%d:%d %s", s.node.Line, s.node.Column, s.node.Value))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s gives %q, in yq %q", text, got, want)
		}
	}
}

func TestAPathThatMatchesNothingSaysHowFarItGoes(t *testing.T) {
	for text, message := range map[string]string{
		".x.y":                                   `line 2: the path ".x.y" matches nothing: the file is there, but has no key "x"; it has "a", "images", "anchored", "alias", "merged" and others`,
		".a.b.x.y":                               `line 3: the path ".a.b.x.y" matches nothing: .a.b is there, but has no key "x"; it has "c", "d.e", "f/g", "h-i"`,
		".a.b.c.d":                               `line 3: the path ".a.b.c.d" matches nothing: .a.b.c is there, but has no key "d"; it is the number 1`,
		".a.list[7]":                             `line 4: the path ".a.list[7]" matches nothing: .a.list is there, but has no element [7]`,
		".a.list.x":                              `line 4: the path ".a.list.x" matches nothing: .a.list is there, but has no key "x"; it is a sequence`,
		".a.b.c[]":                               `line 3: the path ".a.b.c[]" matches nothing: .a.b.c is there, but has nothing in it; it is the number 1`,
		`.images[] | select(.name == "x") | .y`:  `line 6: the path ".images[] | select(.name == \"x\") | .y" matches nothing: .images[] is there, but has nothing that fits select(.name == "x")`,
		`.images[]|select(.name=="acme/web")|.x`: `line 6: the path ".images[]|select(.name==\"acme/web\")|.x" matches nothing: .images[]|select(.name=="acme/web") is there, but has no key "x"; it has "name", "newTag", "on", "n", "gone" and others`,
	} {
		_, err := mustParse(t, tree).Places(Request{Paths: []Expression{mustPath(t, text)}})
		if !errors.Is(err, ErrNoMatch) || err.Error() != message {
			t.Errorf("%s: got\n%v\nwant\n%s", text, err, message)
		}
	}
	// Of several documents, the one in which the path goes furthest counts.
	f := mustParse(t, "x: 1\n---\na: {b: 1}\n---\na: 1\n")
	const want = `line 3: the path ".a.c" matches nothing: .a is there, but has no key "c"; it has "b"`
	if _, err := f.Places(Request{Paths: []Expression{mustPath(t, ".a.c")}}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	// Each path has to match.
	if _, err := f.Places(Request{Paths: []Expression{mustPath(t, ".a.b"), mustPath(t, ".a.c")}}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
