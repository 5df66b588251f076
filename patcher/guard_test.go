package patcher

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Each of the two guards has to hold without the other.

func TestVerifyNoticesEveryOtherChange(t *testing.T) {
	const before = `# head
kind: Pod # line
metadata: {labels: &l {a: b}, annotations: *l, x: &x {a: b}}
spec:
  containers:
  - image: kainlite/blog:1.0
    name: "blog"
    # foot
  - image: kainlite/blog:1.0
---
x: y
`
	f, n := mustParse(t, before), mustName(t, "kainlite/blog", false)
	targets, err := f.targets(Request{Images: []Name{n}})
	if err != nil {
		t.Fatal(err)
	}
	v := Version{Tag: "2.0"}
	edits := slices.Concat(targets[0].edits(v, false, false), targets[1].edits(v, false, false))
	right := strings.ReplaceAll(before, "1.0", "2.0")
	if _, err := f.verify([]byte(right), edits); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string][2]string{
		"an image that stays":   {"2.0\n---", "1.0\n---"},
		"another tag":           {"2.0\n---", "2.1\n---"},
		"a value":               {"x: y", "x: z"},
		"a type":                {"x: y", "x: 1"},
		"a quote":               {`"blog"`, `'blog'`},
		"quotes at the image":   {"image: kainlite/blog:2.0\n    name", "image: \"kainlite/blog:2.0\"\n    name"},
		"a key":                 {"name:", "named:"},
		"a head comment":        {"# head", "# heads"},
		"a line comment":        {"# line", "# lines"},
		"a foot comment":        {"# foot", "# feet"},
		"an anchor":             {"&x", "&y"},
		"an alias":              {"annotations: *l, x: &x {a: b}", "x: &x {a: b}, annotations: *x"},
		"the anchor of a name":  {"x: &x {a: b}", "x: &l {a: b}"},
		"a mapping":             {"x: &x {a: b}", "x: &x [a, b]"},
		"an element less":       {"x: &x {a: b}", "x: &x {}"},
		"a style":               {"x: y\n", "{x: y}\n"},
		"a document more":       {"x: y\n", "x: y\n---\n"},
		"a document less":       {"---\n", ""},
		"lines that move":       {"spec:\n", "\nspec:\n"},
		"text that is not YAML": {"spec:\n", "spec: [\n"},
	} {
		changed := strings.Replace(right, change[0], change[1], 1)
		if changed == right {
			t.Fatalf("%s: nothing to change", what)
		}
		if _, err := f.verify([]byte(changed), edits); !errors.Is(err, ErrUnverified) {
			t.Errorf("%s goes unnoticed: %v", what, err)
		}
	}
}

func TestAnImageIsNotChangedWhereItsBytesAreNotItsValue(t *testing.T) {
	f := mustParse(t, pod("image: kainlite/blog:1.0\n  - image: 'kainlite/blog:1.0'"))
	for i, s := range f.sites {
		right := f.offset(s.at.Line, s.at.Column)
		if got, err := f.locateAt(s.at, right, true); err != nil || got.start != right {
			t.Errorf("image %d: %v, %v", i, got, err)
		}
		for _, wrong := range []int{-1, 0, right - 1, right + 1, len(f.content) - 1, len(f.content)} {
			if got, err := f.locateAt(s.at, wrong, true); !errors.Is(err, ErrUnsupported) {
				t.Errorf("image %d at offset %d instead of %d: got %v, %v", i, wrong, right, got, err)
			}
		}
	}
}

func TestUnverifiedMessageSaysWhatToDo(t *testing.T) {
	const want = "line 7: the new tag would change more than the image: set it by hand, and write this part of the file more simply"
	if got := unverified(7).Error(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAFileServesSeveralGoroutines(t *testing.T) {
	f := mustParse(t, pod("image: kainlite/blog:1\n  - image: kainlite/api:1\n  - image: redis@sha256:"+strings.Repeat("a", 64)))
	var done sync.WaitGroup
	for range 8 {
		for _, name := range []string{"kainlite/blog", "kainlite/api", "redis", "x"} {
			n := mustName(t, name, false)
			done.Go(func() {
				images, err := f.Find(n)
				changed, setErr := f.SetTag(n, "2")
				if ours := strings.HasPrefix(name, "kainlite/"); ours != (err == nil) || ours != (setErr == nil) {
					t.Errorf("%s: %v, %v", name, err, setErr)
				} else if ours && (len(images) != 1 || !strings.Contains(string(changed), "image: "+name+":2\n")) {
					t.Errorf("%s: %v, %s", name, images, changed)
				}
			})
		}
	}
	done.Wait()
}
