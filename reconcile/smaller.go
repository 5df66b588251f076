package reconcile

const (
	// wholePushes is how often all changes are tried together. After that,
	// each refusal makes the next push smaller: what takes less time to write
	// and to push is less often overtaken.
	wholePushes = 3
	// fewPushed changes take hardly longer than one.
	fewPushed = 10
	// maxDeclines is how many declined pushes a pass spends on finding the
	// changes that the server objects to. It is enough for one among thousands;
	// a server that declines everything is not asked about each.
	maxDeclines = 10
)

// narrow looks for the change because of which a push was declined: with a
// smaller push, or, when it was the only one, by ending it.
func (g *group) narrow(declined error) {
	if len(g.written) > 1 {
		g.atMost = max(1, len(g.written)/4)
		return
	}
	for _, d := range g.written {
		g.fail(d, declined)
	}
}

// shorten leaves all but the first few changes to the next attempt, where that
// many are too many.
func (g *group) shorten() {
	n := 0
	for _, d := range g.open() {
		if d.later = g.atMost > 0 && n >= g.atMost; d.later {
			d.behind = ""
		}
		n++
	}
}
