package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	budget   time.Duration // for the runs of one case; there are at least 3, or runs if that is less
	sizes    []scale
	delays   []time.Duration
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

// duel is the operator against the floor.
type duel struct {
	*scene
	plan
	cluster string
	caches  int
}

// sample is one pass of one contestant.
type sample struct {
	took             time.Duration
	cpu              cpu
	sessions, pushes int
}

// operate takes a sample of the operator.
func (d *duel) operate(ctx context.Context, o *operator, changed []int) (sample, error) {
	var s sample
	if _, err := d.server.tell(order{Reset: true}); err != nil {
		return s, err
	}
	used, err := cpuOf(o.pid())
	if err != nil {
		return s, err
	}
	begin := time.Now()
	actions, err := o.pass(ctx)
	s.took = time.Since(begin)
	if err != nil {
		return s, err
	}
	now, err := cpuOf(o.pid())
	if err != nil {
		return s, err
	}
	s.cpu = now.minus(used)
	stats, err := d.server.tell(order{})
	if err != nil {
		return s, err
	}
	s.sessions, s.pushes = stats.Sessions, stats.Pushes
	if n := len(changed); actions["patched"] != n || actions["up_to_date"] != len(d.deployments)-n {
		return s, fmt.Errorf("operator: results are %v, want %d patched and the rest up_to_date", actions, n)
	}
	return s, nil
}

// sampleFloor takes a sample of the floor.
func (d *duel) sampleFloor(ctx context.Context, f *floor, changed []int) (sample, error) {
	f.used.Store(0)
	var before cpu
	if f.master != nil {
		before, _ = cpuOf(f.master.Process.Pid)
	}
	begin := time.Now()
	err := f.pass(ctx, changed)
	s := sample{took: time.Since(begin)}
	if err != nil {
		return s, err
	}
	after, err := cpuOf(f.master.Process.Pid)
	s.cpu.children = time.Duration(f.used.Load()) + after.minus(before).total()
	return s, err
}

// turn is what a contestant does when it is its turn.
type turn struct {
	repo string
	take func(changed []int) (sample, error)
}

// rounds lets the contestants take turns, in another order each time, and
// verifies each change in the remote repository.
func (d *duel) rounds(ctx context.Context, c benchCase, prepare func() error, turns ...turn) (map[string][]sample, error) {
	if err := d.server.latency(c.latency); err != nil {
		return nil, err
	}
	samples := map[string][]sample{}
	var spent time.Duration
	for n := 0; n < d.runs && (n < 3 || spent < d.budget); n++ {
		if err := prepare(); err != nil {
			return nil, err
		}
		changed, err := d.change(c.kind)
		if err != nil {
			return nil, err
		}
		if n%2 == 1 {
			turns = slices.Clone(turns)
			slices.Reverse(turns)
		}
		for _, t := range turns {
			before, err := d.repo(t.repo).Head(branch)
			if err != nil {
				return nil, err
			}
			begin := time.Now()
			s, err := t.take(changed)
			if err != nil {
				return nil, err
			}
			if err := d.verify(ctx, t.repo, before, changed); err != nil {
				return nil, err
			}
			spent += time.Since(begin)
			samples[t.repo] = append(samples[t.repo], s)
		}
	}
	return samples, nil
}

func (d *duel) newOperator(ctx context.Context) (*operator, error) {
	d.caches++
	cache := filepath.Join(d.dir, "cache", fmt.Sprintf("%s-%d-%d", d.size.name, len(d.deployments), d.caches))
	if err := os.RemoveAll(cache); err != nil {
		return nil, err
	}
	return startOperator(ctx, d.plan.operator, d.cluster, cache)
}

// warmCases measures with mirror and connection in place.
func (d *duel) warmCases(ctx context.Context, cases []benchCase, done func(row)) (*steady, error) {
	o, err := d.newOperator(ctx)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(o.cache)
	defer o.close()
	f := d.newFloor(floorRepo, false)
	defer f.drop()
	if _, err := o.pass(ctx); err != nil {
		return nil, err
	}
	if err := f.pass(ctx, nil); err != nil {
		return nil, err
	}
	for _, c := range cases {
		samples, err := d.rounds(ctx, c, func() error {
			// An idle connection is closed after a while: this opens it, and
			// costs a look at one app repository.
			_, err := o.pass(ctx, d.deployments[0])
			return err
		}, turn{operatorRepo, func(changed []int) (sample, error) { return d.operate(ctx, o, changed) }},
			turn{floorRepo, func(changed []int) (sample, error) { return d.sampleFloor(ctx, f, changed) }})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name(), err)
		}
		done(newRow(c, samples, floorRepo, "fetch"))
	}
	if err := d.server.latency(0); err != nil {
		return nil, err
	}
	if _, err := o.pass(ctx); err != nil {
		return nil, err
	}
	m, err := memoryOf(o.pid())
	return &steady{scale{d.size, len(d.deployments)}, m}, err
}

// coldCases measures first passes: a new process with an empty cache folder.
// The floor's copy is made in two ways; the faster one counts.
func (d *duel) coldCases(ctx context.Context, cases []benchCase, done func(row)) error {
	floors := []*floor{d.newFloor(floorRepo, false), d.newFloor(bloblessRepo, true)}
	for _, c := range cases {
		turns := []turn{{operatorRepo, func(changed []int) (sample, error) {
			o, err := d.newOperator(ctx)
			if err != nil {
				return sample{}, err
			}
			defer os.RemoveAll(o.cache)
			defer o.close()
			return d.operate(ctx, o, changed)
		}}}
		for _, f := range floors {
			turns = append(turns, turn{f.name, func(changed []int) (sample, error) {
				defer f.drop()
				return d.sampleFloor(ctx, f, changed)
			}})
		}
		samples, err := d.rounds(ctx, c, func() error { return nil }, turns...)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name(), err)
		}
		whole, blobless := newRow(c, samples, floorRepo, "clone"), newRow(c, samples, bloblessRepo, "blobless clone")
		if median(blobless.floor) < median(whole.floor) {
			whole = blobless
		}
		done(whole)
	}
	return nil
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
