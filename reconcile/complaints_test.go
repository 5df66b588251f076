package reconcile

import (
	"testing"
	"time"
)

func TestAComplaintThatGoesOnIsQuietForAnHour(t *testing.T) {
	var c complaints
	at := func(minutes int) time.Time { return time.Unix(0, 0).Add(time.Duration(minutes) * time.Minute) }
	for _, step := range []struct {
		minutes int
		text    string
		loud    bool
		quiet   int
	}{
		{0, "a", true, 0},
		{5, "a", false, 0},
		{10, "b", true, 0}, // another failure
		{15, "b", false, 0},
		{69, "b", false, 0},
		{70, "b", true, 2}, // an hour after it was last told in full
		{75, "b", false, 0},
		{80, "a", true, 0},
	} {
		loud, quiet := c.add("blog", step.text, at(step.minutes))
		if loud != step.loud || quiet != step.quiet {
			t.Errorf("after %d minutes, %q: loud %v, %d kept quiet; want %v, %d", step.minutes, step.text, loud, quiet, step.loud, step.quiet)
		}
	}
	if since, was := c.over("blog"); !was || !since.Equal(at(0)) {
		t.Errorf("over: %s, %v; want since the first failure", since, was)
	}
	if _, was := c.over("blog"); was {
		t.Error("over twice")
	}
	if loud, _ := c.add("blog", "a", at(85)); !loud {
		t.Error("after good news, a failure is kept quiet")
	}
}

func TestComplaintsOfWhatHasGoneAreForgotten(t *testing.T) {
	var c complaints
	now := time.Unix(0, 0)
	c.add("gone", "a", now)
	for range 30 {
		now = now.Add(time.Hour)
		c.add("there", "a", now)
	}
	if _, was := c.over("gone"); was || len(c.known) != 1 {
		t.Errorf("%d are remembered", len(c.known))
	}
}
