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
status: *l # alias
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
		"a comment at an alias": {"# alias", "# aliases"},
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

func TestVerifyNoticesEveryOtherChangeBesideAnInsertedLine(t *testing.T) {
	const before = "# head\nkind: Kustomization\nimages:\n- name: acme/web # c\n# foot\n- name: acme/api\n  newTag: v1\n- {name: acme/web}\n"
	f := mustParse(t, before)
	r := targetRequest(t, "acme/web", "", true)
	v := Version{Tag: "v2", Digest: digest1}
	targets, err := f.targets(r)
	if err != nil {
		t.Fatal(err)
	}
	edits := slices.Concat(targets[0].edits(v, true, false), targets[1].edits(v, true, false))
	right := string(splice(f.content, edits))
	if _, err := f.verify([]byte(right), edits); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string][2]string{
		"another tag":               {"newTag: v2\n", "newTag: v3\n"},
		"another digest":            {digest1 + "\n#", digest0 + "\n#"},
		"another key":               {"newTag: v2\n", "newTags: v2\n"},
		"another order":             {"  newTag: v2\n  digest: " + digest1, "  digest: " + digest1 + "\n  newTag: v2"},
		"quotes at the tag":         {"newTag: v2\n", "newTag: \"v2\"\n"},
		"quotes at the key":         {"newTag: v2\n", "\"newTag\": v2\n"},
		"an anchor at the tag":      {"newTag: v2\n", "newTag: &a v2\n"},
		"a number":                  {"newTag: v2\n", "newTag: 2\n"},
		"a sequence":                {"newTag: v2\n", "newTag: [v2]\n"},
		"only one of the two lines": {"  newTag: v2\n", ""},
		"none of the lines":         {"  newTag: v2\n  digest: " + digest1 + "\n", ""},
		"a line more":               {"newTag: v2\n", "newTag: v2\n  x: y\n"},
		"an empty line more":        {"newTag: v2\n", "newTag: v2\n\n"},
		"the entry after it":        {"- name: acme/api\n", "- name: acme/apis\n"},
		"its tag":                   {"newTag: v1\n", "newTag: v2\n"},
		"a comment":                 {"# foot", "# feet"},
		"a comment less":            {" # c", ""},
		"a comment more":            {"newTag: v1\n", "newTag: v1 # x\n"},
		"another place":             {"{name: acme/web, newTag: v2", "{newTag: v2, name: acme/web"},
	} {
		changed := strings.Replace(right, change[0], change[1], 1)
		if changed == right {
			t.Fatalf("%s: nothing to change in\n%s", what, right)
		}
		if _, err := f.verify([]byte(changed), edits); !errors.Is(err, ErrUnverified) {
			t.Errorf("%s goes unnoticed: %v", what, err)
		}
	}
}

func TestPositionsAreFoundFromAnyMark(t *testing.T) {
	text := "\ufeff" + strings.Repeat("é: 'x\u2028y'\r\n", 900) + strings.Repeat("[é, ", 100) + strings.Repeat("z", 5000) + "\r" + strings.Repeat("a\u0085", 3000) + "end"
	f := &File{content: []byte(text), marks: marks([]byte(text))}
	if len(f.marks) < 5 {
		t.Fatalf("%d marks", len(f.marks))
	}
	c := newCursor(f.content)
	for {
		if got := f.offset(c.line, c.column); got != c.offset {
			t.Fatalf("line %d, column %d: offset %d, want %d", c.line, c.column, got, c.offset)
		}
		if c.offset == len(f.content) {
			break
		}
		c.next()
	}
	for _, nowhere := range [][2]int{{0, 1}, {1, 0}, {1, 100}, {c.line, c.column + 1}, {c.line + 1, 1}} {
		if got := f.offset(nowhere[0], nowhere[1]); got != -1 {
			t.Errorf("line %d, column %d: offset %d, want none", nowhere[0], nowhere[1], got)
		}
	}
}

func TestHasSaysWhichImagesAreThere(t *testing.T) {
	f := mustParse(t, "kind: Kustomization\nimages:\n- {name: web, newName: ghcr.io/acme/web}\n---\nimage: '${R}/acme/api:1'\n")
	for name, want := range map[string]bool{"web": true, "ghcr.io/acme/web": true, "acme/web": false, "acme/api": true, "api": false} {
		if got := f.Has(mustName(t, name, false)); got != want {
			t.Errorf("Has(%s) = %v", name, got)
		}
	}
	if !f.Has(mustName(t, "acme/web", false).Or("ghcr.io")) || !f.Has(mustName(t, "acme/web", true)) {
		t.Error("another registry is not looked at")
	}
	if got := (Version{Tag: "v1"}).String() + " " + (Version{"v1", "sha256:a"}).String(); got != "v1 v1@sha256:a" {
		t.Error(got)
	}
}

func TestAnEditThatWouldMeanSomethingElseIsNotMade(t *testing.T) {
	f := mustParse(t, "image: acme/web:v1\n")
	s := f.Series()
	if _, changes, err := s.Edit(targetRequest(t, "acme/web", "", false), Version{Tag: "v2"}); err != nil || !changes {
		t.Fatal(changes, err)
	}
	for at, e := range s.now { // as if it had been spliced into the wrong place
		e.start++
		s.now[at] = e
	}
	if after, err := s.Verify(); !errors.Is(err, ErrUnverified) || after != nil {
		t.Errorf("got %v, %v", after, err)
	}
}
