package reconcile

import (
	"slices"
	"time"

	"github.com/kainlite/gitops-operator/k8s"
)

const (
	// maxDeclines is how many declined pushes a pass spends on finding the
	// changes that the server objects to, while it takes none: a server that
	// declines everything is not asked about each.
	maxDeclines = 10
	// manyDeclines is the same where it has taken some.
	manyDeclines = 50
	// retriedAlone is how many of the changes that were declined alone are tried
	// again alone in a pass, where they are declined together.
	retriedAlone = 8
	// parts of a push that was declined are tried one by one.
	parts = 4
)

// declined is what is remembered, from pass to pass, of a Deployment whose change
// the server declined.
type declined struct {
	part  int // those of the same part were pushed together, and are yet to be told apart; 0: it was pushed alone
	err   error
	tried time.Time // when it was pushed alone
	used  time.Time
}

// line is the order in which changes are pushed: those that nothing is known
// against first, then those that were declined with others, then those that were
// declined alone. So a change that the server objects to holds nobody up for
// longer than it takes to find it.
type line struct {
	parts    []part
	pushed   []*deployment // of the first part
	begun    bool
	declines int
	accepts  int
}

// part of the changes is pushed together.
type part struct {
	deployments []*deployment
	err         error // with which it was declined as part of a larger push
	known       bool  // each was declined alone in an earlier pass
}

// begin puts all in line.
func (l *line) begin(m *memory, behind []*deployment, now time.Time) {
	l.begun = true
	fresh, known, suspects := part{}, part{known: true}, map[int]*part{}
	var order []int
	for _, d := range behind {
		before := m.declined[d.target.Ref]
		switch {
		case before == nil:
			fresh.deployments = append(fresh.deployments, d)
			continue
		case before.part == 0:
			known.deployments = append(known.deployments, d)
		default:
			s := suspects[before.part]
			if s == nil {
				s = &part{err: before.err}
				suspects[before.part] = s
				order = append(order, before.part)
			}
			s.deployments = append(s.deployments, d)
		}
		before.used = now
	}
	slices.Sort(order)
	l.parts = append(l.parts, fresh)
	for _, n := range order {
		l.parts = append(l.parts, *suspects[n])
	}
	l.parts = append(l.parts, known)
}

// next returns the changes to push now, at most so many where that is not 0.
func (l *line) next(m *memory, behind []*deployment, atMost int) []*deployment {
	if !l.begun {
		l.begin(m, behind, m.began)
	}
	open := map[*deployment]bool{}
	for _, d := range behind {
		open[d] = true
	}
	for len(l.parts) > 0 {
		first := &l.parts[0]
		first.deployments = slices.DeleteFunc(first.deployments, func(d *deployment) bool { return !open[d] })
		if len(first.deployments) == 0 {
			l.parts = l.parts[1:]
			continue
		}
		n := len(first.deployments)
		if atMost > 0 {
			n = min(n, atMost)
		}
		l.pushed = first.deployments[:n:n]
		return l.pushed
	}
	l.parts = []part{{deployments: slices.Clone(behind)}}
	l.pushed = behind
	return behind
}

func (l *line) accepted() { l.accepts++ }

// declined divides what was pushed and declined, and puts its parts at the end. A single change fails, with all who share its image.
func (l *line) declined(g *group, err error) {
	l.declines++
	if len(g.written) == 1 {
		d := g.written[0]
		all := []*deployment{d}
		for other := range d.sharing {
			if !other.guest {
				all = append(all, other)
			}
		}
		for _, d := range all {
			if !d.ended {
				g.memory.declined[d.target.Ref] = &declined{err: err, tried: g.began, used: g.began}
				g.fail(d, err)
			}
		}
		return
	}
	first := &l.parts[0]
	first.deployments = first.deployments[len(l.pushed):]
	if first.known {
		l.retry(g, l.pushed)
		return
	}
	size := (len(l.pushed) + parts - 1) / parts
	for ds := range slices.Chunk(l.pushed, size) {
		l.parts = append(l.parts, part{deployments: slices.Clone(ds), err: err})
	}
}

// retry puts those that were declined alone in line one by one, the longest
// untried first. The others fail as they did when they were tried last.
func (l *line) retry(g *group, ds []*deployment) {
	before := func(d *deployment) *declined { return g.memory.declined[d.target.Ref] }
	slices.SortStableFunc(ds, func(a, b *deployment) int { return before(a).tried.Compare(before(b).tried) })
	for i, d := range ds {
		if i < retriedAlone {
			l.parts = append(l.parts, part{deployments: []*deployment{d}, known: true})
		} else {
			g.fail(d, before(d).err)
		}
	}
}

// exhausted says that enough was declined in this pass.
func (l *line) exhausted() bool {
	return l.declines > manyDeclines || l.declines > maxDeclines && l.accepts == 0
}

// remember takes down, for the next pass, what was declined and not told apart.
func (l *line) remember(m *memory) {
	for n, p := range l.parts {
		for _, d := range p.deployments {
			if p.err != nil && (!d.ended || d.result.Action == ActionFailed) {
				m.declined[d.target.Ref] = &declined{part: n + 1, err: p.err, used: m.began}
			}
		}
	}
}

// forget ends what was remembered against a Deployment.
func (m *memory) forget(ref k8s.Ref) { delete(m.declined, ref) }
