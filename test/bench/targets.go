package main

import (
	"fmt"
	"slices"
	"strings"
)

// goal is one line of the table of targets: a measured value must not be above
// its limit, or where atLeast is set, not below.
type goal struct {
	what     string
	limit    float64
	value    float64
	atLeast  bool
	measured bool
	unit     string
}

func (g goal) verdict() string {
	if !g.measured {
		return "not measured"
	}
	met, by := g.value <= g.limit, g.value/g.limit-1
	if g.atLeast {
		met, by = g.value >= g.limit, 1-g.value/g.limit
	}
	if met {
		return "met"
	}
	return fmt.Sprintf("**missed by %.0f %%**", max(1, by*100))
}

// find returns a measured case of the large repository without added latency.
func (rep *report) find(n int, kind string, cold bool) *row {
	i := slices.IndexFunc(rep.rows, func(r row) bool {
		return r.size.name == large.name && r.n == n && r.kind == kind && r.cold == cold && r.latency == 0
	})
	if i < 0 {
		return nil
	}
	return &rep.rows[i]
}

func (rep *report) goals() []goal {
	var goals []goal
	ratio := func(what, kind string, cold bool, limit float64) {
		g := goal{what: what, limit: limit, unit: "× floor"}
		if r := rep.find(1000, kind, cold); r != nil {
			g.value, g.measured = r.ratio(), true
		}
		goals = append(goals, g)
	}
	ratio("nothing changed, warm", noop, false, 1.2)
	ratio("one changed, warm", oneChange, false, 1.3)
	ratio("all changed, warm", allChange, false, 1.5)
	ratio("nothing changed, cold", noop, true, 1.3)
	ratio("one changed, cold", oneChange, true, 1.3)
	ratio("all changed, cold", allChange, true, 1.3)
	for _, kind := range []string{noop, oneChange, allChange} {
		g := goal{what: "processor time of 10,000 Deployments, " + kinds[kind] + " changed, warm", limit: 12, unit: "× that of 1,000"}
		if many, few := rep.find(10_000, kind, false), rep.find(1000, kind, false); many != nil && few != nil {
			g.value, g.measured = float64(many.cpu.total())/float64(few.cpu.total()), true
		}
		goals = append(goals, g)
	}
	g := goal{what: "one clone per Deployment instead, all changed, warm", limit: 200, atLeast: true, unit: "× the operator"}
	if r := rep.find(1000, allChange, false); r != nil {
		if costs, ok := rep.clones[cloneKey{large.name, 0}]; ok {
			g.value, g.measured = float64(costs.scaled(1000, "warm", allChange))/float64(median(r.operator)), true
		}
	}
	goals = append(goals, g)
	for _, limit := range []struct {
		n   int
		mib float64
	}{{1000, 64}, {10_000, 128}} {
		rss := goal{what: fmt.Sprintf("resident memory at %s Deployments", thousands(limit.n)), limit: limit.mib, unit: "MiB"}
		peak := goal{what: fmt.Sprintf("peak of memory at %s Deployments", thousands(limit.n)), limit: 2 * limit.mib, unit: "MiB"}
		for _, m := range rep.memory {
			if m.size.name == large.name && m.n == limit.n {
				rss.value, peak.value = float64(m.rss)/(1<<20), float64(m.peak)/(1<<20)
				rss.measured, peak.measured = true, true
			}
		}
		goals = append(goals, rss, peak)
	}
	return goals
}

// targets prints what was aimed at and what came of it.
func (rep *report) targets(b *strings.Builder) {
	goals := rep.goals()
	if !slices.ContainsFunc(goals, func(g goal) bool { return g.measured }) {
		return
	}
	b.WriteString("### Targets\n\n1,000 Deployments, 20 app repositories, one large manifests repository, no added latency, unless said otherwise. Ratios are medians of runs that followed each other.\n\n")
	b.WriteString("| | target | measured | |\n|---|---:|---:|---|\n")
	for _, g := range goals {
		sign, value := "≤", "–"
		if g.atLeast {
			sign = "≥"
		}
		if g.measured {
			value = fmt.Sprintf("%.2f", g.value)
			if g.value >= 20 {
				value = fmt.Sprintf("%.0f", g.value)
			}
		}
		fmt.Fprintf(b, "| %s | %s %g %s | %s | %s |\n", g.what, sign, g.limit, g.unit, value, g.verdict())
	}
	b.WriteString("\n")
}
