package repeat_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kainlite/gitops-operator/internal/repeat"
)

func said(f *repeat.Filter, about, text string) string {
	say, quiet := f.Say(about, text)
	return fmt.Sprint(say, quiet)
}

func TestSaysNewThingsAndRepeatsAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &repeat.Filter{Every: time.Hour}
		steps := []struct {
			after       time.Duration
			about, text string
			want        string
		}{
			{0, "blog", "it is down", "true 0"},
			{time.Minute, "blog", "it is down", "false 0"},
			{time.Minute, "api", "it is down", "true 0"},
			{time.Minute, "blog", "it is down", "false 0"},
			{57 * time.Minute, "blog", "it is down", "true 2"},
			{time.Minute, "blog", "it is down", "false 0"},
			{time.Minute, "blog", "it is slow", "true 0"},
			{time.Minute, "blog", "it is down", "true 0"},
		}
		for i, s := range steps {
			time.Sleep(s.after)
			if got := said(f, s.about, s.text); got != s.want {
				t.Errorf("step %d: %s, want %s", i, got, s.want)
			}
		}
	})
}

func TestTheZeroFilterNeverRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f repeat.Filter
		f.Say("blog", "it is down")
		time.Sleep(1000 * time.Hour)
		if got := said(&f, "blog", "it is down"); got != "false 0" {
			t.Error(got)
		}
	})
}

func TestOverTellsSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f repeat.Filter
		begin := time.Now()
		f.Say("blog", "it is down")
		time.Sleep(time.Minute)
		f.Say("blog", "it is slow") // no good news between
		if since, was := f.Over("blog"); !was || !since.Equal(begin) {
			t.Error(since, was)
		}
		if _, was := f.Over("blog"); was {
			t.Error("it was over already")
		}
		if got := said(&f, "blog", "it is slow"); got != "true 0" {
			t.Error(got)
		}
	})
}

func TestUndoForgetsTheLastTextOnly(t *testing.T) {
	var f repeat.Filter
	f.Say("blog", "it is down")
	f.Undo("blog", "it is slow") // another came after it
	if got := said(&f, "blog", "it is down"); got != "false 0" {
		t.Error(got)
	}
	f.Undo("blog", "it is down")
	if got := said(&f, "blog", "it is down"); got != "true 0" {
		t.Error(got)
	}
}

func TestForgetsWhatNobodyMentions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &repeat.Filter{Forget: time.Hour}
		f.Say("gone", "x")
		f.Say("blog", "x")
		time.Sleep(50 * time.Minute)
		f.Say("blog", "x")
		time.Sleep(50 * time.Minute)
		if got := said(f, "blog", "x") + " " + said(f, "gone", "x"); got != "false 0 true 0" {
			t.Error(got)
		}
	})
}

func TestRemembersSoManyAndNoMore(t *testing.T) {
	f := &repeat.Filter{Most: 3}
	for i, step := range []struct {
		about string
		want  bool
	}{
		{"a", true}, {"b", true}, {"c", true},
		{"a", false}, // now b is the one that came up longest ago
		{"d", true},  // in its place
		{"a", false}, {"c", false}, {"d", false},
		{"b", true}, // in the place of a
		{"a", true},
	} {
		if say, _ := f.Say(step.about, "same"); say != step.want {
			t.Errorf("step %d: %s is said: %v", i, step.about, say)
		}
	}
}

func TestConstant(t *testing.T) {
	same := [][]string{
		{"502 Bad Gateway: request 7f3a9c21", "503 Bad Gateway: request 12"},
		{"no answer within 1.5s", "no answer within 10s"},
		{"id 0190b6c2-5f8e-7c1a-b1f0-1c8b2d4f6a90: busy", "id 1f9c7a52-0d3e-4a1b-8a9e-3f2d7c6b5a41: busy"},
		{"ref deadbeef is locked", "ref cafef00d is locked"},
		{"at 2026-11-27T05:47:48Z it failed", "at 2026-11-28T17:01:00.123Z it failed"},
		{"12 of 37 tags", "13 of 38 tags"},
		{"dial tcp 10.0.0.1:443: refused", "dial tcp [10.0.0.2]:443: refused"[:len("dial tcp ")] + "10.0.0.2:443: refused"},
	}
	for _, s := range same {
		if a, b := repeat.Constant(s[0]), repeat.Constant(s[1]); a != b {
			t.Errorf("%q and %q: %q and %q", s[0], s[1], a, b)
		}
	}
	for _, s := range [][2]string{{"access denied", "not available"}, {"no facade", "no arcade"}} {
		if repeat.Constant(s[0]) == repeat.Constant(s[1]) {
			t.Errorf("%q and %q are taken for one", s[0], s[1])
		}
	}
	f := &repeat.Filter{Same: repeat.Constant}
	f.Say("blog", "request 1 failed")
	if got := said(f, "blog", "request 2 failed"); got != "false 0" {
		t.Error(got)
	}
	f.Undo("blog", "request 3 failed")
	if got := said(f, "blog", "request 4 failed"); got != "true 0" {
		t.Error(got)
	}
}
