package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

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
	runs, budget := d.effort(c)
	var spent time.Duration
	for n := 0; n < runs && (n < 2 || spent < budget); n++ {
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

// rest is how long after a pass an operator's memory is looked at.
const rest = 4 * time.Second

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
	// What a pass leaves behind is given back a little later.
	select {
	case <-time.After(rest):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
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
