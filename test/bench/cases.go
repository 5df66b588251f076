package main

import (
	"context"
	"fmt"
	"regexp"
	"time"
)

// The contestants' manifests repositories.
const (
	operatorRepo = "operator"
	floorRepo    = "floor"
	bloblessRepo = "blobless"
)

// benchCase is one line of the table.
type benchCase struct {
	size    repoSize
	n       int // Deployments
	kind    string
	cold    bool
	latency time.Duration
}

func (c benchCase) cache() string {
	if c.cold {
		return "cold"
	}
	return "warm"
}

// name is what --case is compared with.
func (c benchCase) name() string {
	return fmt.Sprintf("%s/%d/%s/%s/%dms", c.size.name, c.n, c.kind, c.cache(), c.latency.Milliseconds())
}

// row is what was measured in a case. Runs of one index followed each other.
type row struct {
	benchCase
	operator, floor  []time.Duration
	floorKind        string
	cpu              cpu           // the operator's, mean of a pass
	floorCPU         time.Duration // the floor's commands and connection, the same
	sessions, pushes int           // of the operator's last pass
}

// plan is what to measure.
type plan struct {
	operator string // the program
	filter   *regexp.Regexp
	runs     int
	budget   time.Duration // for the runs of one case; there are at least 2, or runs if that is less
	sizes    []scale
	delays   []time.Duration
}

// effort says how often a case runs at most, and how long. Those that the
// targets are about get more of both.
func (p plan) effort(c benchCase) (runs int, budget time.Duration) {
	if c.size.name == large.name && c.n == 1000 && c.latency == 0 && p.runs > 1 {
		return 2*p.runs + 1, 4 * p.budget
	}
	return p.runs, p.budget
}

// scale is a number of Deployments on a size of manifests repository.
type scale struct {
	size repoSize
	n    int
}

func (p plan) cases(sc scale, cold bool) []benchCase {
	var cases []benchCase
	for _, latency := range p.delays {
		for _, kind := range []string{noop, oneChange, allChange} {
			if kind == allChange && sc.n == 1 {
				continue // that is one change
			}
			c := benchCase{sc.size, sc.n, kind, cold, latency}
			if p.filter == nil || p.filter.MatchString(c.name()) {
				cases = append(cases, c)
			}
		}
	}
	return cases
}

// steady is an operator's memory after the warm cases of a scale.
type steady struct {
	scale
	memory
}

// bench measures the cases of one scale and appends to results.
func (p plan) bench(ctx context.Context, st *stage, sc scale, done func(row)) (*steady, error) {
	var mem *steady
	s := st.newScene(sc.size, sc.n)
	for _, cold := range []bool{false, true} {
		cases := p.cases(sc, cold)
		if len(cases) == 0 {
			continue
		}
		if err := s.reset(ctx, operatorRepo, floorRepo, bloblessRepo); err != nil {
			return nil, err
		}
		cluster, err := s.cluster(operatorRepo)
		if err != nil {
			return nil, err
		}
		d := &duel{scene: s, plan: p, cluster: cluster}
		if cold {
			err = d.coldCases(ctx, cases, done)
		} else {
			mem, err = d.warmCases(ctx, cases, done)
		}
		if err := d.server.latency(0); err != nil {
			return nil, err
		}
		if err != nil {
			return nil, err
		}
	}
	return mem, nil
}

func newRow(c benchCase, samples map[string][]sample, against, kind string) row {
	r := row{benchCase: c, floorKind: kind}
	own := samples[operatorRepo]
	for _, s := range own {
		r.operator = append(r.operator, s.took)
		r.cpu.self += s.cpu.self / time.Duration(len(own))
		r.cpu.children += s.cpu.children / time.Duration(len(own))
		r.sessions, r.pushes = s.sessions, s.pushes
	}
	for _, s := range samples[against] {
		r.floor = append(r.floor, s.took)
		r.floorCPU += s.cpu.children / time.Duration(len(own))
	}
	return r
}

func (r row) ratio() float64 { return median(ratios(r.operator, r.floor)) }
