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
