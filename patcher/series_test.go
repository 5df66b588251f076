package patcher

import (
	"errors"
	"fmt"
	"testing"
)

// What a series gives after each step is what single edits, one on top of the
// other, give.
func TestASeriesIsTheSameAsSingleEdits(t *testing.T) {
	content := manifest(500)
	f := mustParse(t, string(content))
	s := f.Series()
	var want [][]byte
	single := string(content)
	step := func(name, tag, from string, changes bool) {
		t.Helper()
		n := mustName(t, name, false)
		gotFrom, got, err := s.Set(n, tag)
		if err != nil || got != changes || gotFrom != from {
			t.Fatalf("set %s to %s: from %q, changes %v, %v", name, tag, gotFrom, got, err)
		}
		after, err := mustParse(t, single).SetTag(n, tag)
		if err != nil {
			t.Fatal(err)
		}
		if changes {
			want = append(want, after)
		} else if string(after) != single {
			t.Fatalf("setting %s to %s alone changes the file", name, tag)
		}
		single = string(after)
	}
	for i := 1; i < 8; i++ {
		step(fmt.Sprintf("kainlite/app-%d", 8-i), fmt.Sprintf("v%d", i), commit0, true)
	}
	step("kainlite/blog", "v2", commit0, true)
	step("kainlite/blog", "v2", "", false)
	step("kainlite/blog", "v3", "v2", true)

	after, err := s.Verify()
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if got := s.Content(i + 1); string(got) != string(want[i]) {
			t.Errorf("after step %d:\n%s\nwant\n%s", i+1, got, want[i])
		}
	}
	if string(after.content) != single {
		t.Error("the verified file is not the last one")
	}
	images, err := after.Find(mustName(t, "kainlite/blog", false))
	if err != nil || len(images) != 1 || images[0].Tag != "v3" {
		t.Errorf("it has %v, %v", images, err)
	}
}

const commit0 = "3c0a88249fb61a0a4f4a65295f42b2dee3963c28"

func TestARefusedStepLeavesTheSeriesAsItWas(t *testing.T) {
	s := mustParse(t, pod("image: kainlite/blog:1")).Series()
	if _, _, err := s.Set(mustName(t, "kainlite/api", false), "2"); !errors.Is(err, ErrNoMatch) {
		t.Errorf("got %v", err)
	}
	if _, _, err := s.Set(mustName(t, "kainlite/blog", false), "-"); !errors.Is(err, ErrTag) {
		t.Errorf("got %v", err)
	}
	if _, changes, err := s.Set(mustName(t, "kainlite/blog", false), "2"); err != nil || !changes {
		t.Errorf("got %v, %v", changes, err)
	}
	if _, err := s.Verify(); err != nil {
		t.Fatal(err)
	}
	if got := string(s.Content(1)); got != pod("image: kainlite/blog:2") {
		t.Errorf("got %s", got)
	}
}

// The same for places of all kinds, with lines that are inserted and digests.
func TestASeriesOfAllKindsIsTheSameAsSingleEdits(t *testing.T) {
	text := "kind: Kustomization\nimages:\n- name: acme/a\n- name: acme/b # c\n- {name: acme/c}\n- name: acme/d\n  newTag: 1.10\n---\n" +
		"image: {repository: acme/a, tag: v1}\nb:\n  repository: acme/b\n  tag:\n  digest: \"\"\nc: {image: 'acme/c:v1'}\n---\n" + pod("image: acme/a:v1\n  - image: acme/e")
	f := mustParse(t, text)
	s := f.Series()
	single := text
	var want []string
	for i, step := range []struct {
		image string
		v     Version
		pin   bool
	}{
		{"acme/b", Version{"7e12345", digest0}, true},
		{"acme/a", Version{Tag: "v2"}, false},
		{"acme/c", Version{Tag: "v2"}, false},
		{"acme/a", Version{Tag: "v3"}, false},
		{"acme/d", Version{Tag: "1.10"}, false},
		{"acme/b", Version{"7e12345", digest0}, true},
		{"acme/b", Version{"7e12345", digest1}, true},
		{"acme/a", Version{Tag: "v1"}, false},
		{"acme/e", Version{"v1", digest0}, true},
	} {
		r := targetRequest(t, step.image, "", step.pin)
		had, changes, err := s.Edit(r, step.v)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		before, err := mustParse(t, single).Places(r)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		after, err := mustParse(t, single).Edit(r, step.v)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if changes != (string(after) != single) {
			t.Errorf("step %d: changes is %v", i, changes)
		}
		if first := (Version{before[0].Tag, before[0].Digest}); changes && had != first {
			t.Errorf("step %d: had %v, want %v", i, had, first)
		}
		if single = string(after); changes {
			want = append(want, single)
		}
	}
	after, err := s.Verify()
	if err != nil {
		t.Fatal(err)
	}
	if string(after.content) != single {
		t.Errorf("got\n%s\nwant\n%s", after.content, single)
	}
	for _, order := range []int{1, -1} { // forwards and backwards
		for i := range want {
			step := i + 1
			if order < 0 {
				step = len(want) - i
			}
			if got := string(s.Content(step)); got != want[step-1] {
				t.Errorf("after step %d:\n%s\nwant\n%s", step, got, want[step-1])
			}
		}
	}
	if got := string(s.Content(0)); got != text {
		t.Errorf("before all steps: %s", got)
	}
}
