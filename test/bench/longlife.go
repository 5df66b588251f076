package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// lifeDeployments is how many Deployments a long life has, each with an app
// repository of its own, in the large manifests repository.
const lifeDeployments = 10

// keepHouse is after how many passes the git server's copy is packed, as hosts
// do; otherwise the curve would show its loose objects.
const keepHouse = 100

// moment is the state after one pass of a long life.
type moment struct {
	took     time.Duration
	mirror   mirrorState
	memory   int64 // resident, bytes
	files    int   // open file descriptors
	children int   // processes
}

// longLife is one operator over many passes, each with one change.
type longLife struct {
	size    repoSize
	moments []moment
}

func measureLife(ctx context.Context, st *stage, p plan, passes int, size repoSize, progress func(string)) (*longLife, error) {
	s := st.newScene(size, lifeDeployments)
	if err := s.reset(ctx, operatorRepo); err != nil {
		return nil, err
	}
	cluster, err := s.cluster(operatorRepo)
	if err != nil {
		return nil, err
	}
	d := &duel{scene: s, plan: p, cluster: cluster}
	o, err := d.newOperator(ctx)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(o.cache)
	defer o.close()
	if _, err := o.pass(ctx); err != nil {
		return nil, err
	}
	life := &longLife{size: size}
	before, changed := "", []int(nil)
	for n := range passes {
		if n%keepHouse == keepHouse-1 {
			if _, err := s.repo(operatorRepo).Git("repack", "-dq"); err != nil {
				return nil, err
			}
			progress(fmt.Sprintf("long life: %d of %d passes", n+1, passes))
		}
		if len(changed) == 0 {
			if before, err = s.repo(operatorRepo).Head(branch); err != nil {
				return nil, err
			}
		}
		deployment := s.deployments[n%lifeDeployments]
		changed = append(changed, deployment)
		if err := s.push([]int{appOf(deployment)}, s.heads); err != nil {
			return nil, err
		}
		begin := time.Now()
		actions, err := o.pass(ctx)
		if err != nil {
			return nil, fmt.Errorf("long life, pass %d: %w", n+1, err)
		}
		now := moment{took: time.Since(begin)}
		if actions["patched"] != 1 {
			return nil, fmt.Errorf("long life, pass %d: results are %v, want 1 patched", n+1, actions)
		}
		if len(changed) == lifeDeployments || n == passes-1 {
			if err := s.verify(ctx, operatorRepo, before, changed); err != nil {
				return nil, fmt.Errorf("long life, pass %d: %w", n+1, err)
			}
			changed = nil
		}
		if err := now.look(o); err != nil {
			return nil, err
		}
		life.moments = append(life.moments, now)
	}
	return life, nil
}

func (m *moment) look(o *operator) error {
	var err error
	if m.mirror, err = mirrorsIn(o.cache); err != nil {
		return err
	}
	memory, err := memoryOf(o.pid())
	if err != nil {
		return err
	}
	m.memory = memory.rss
	if m.files, err = openFiles(o.pid()); err != nil {
		return err
	}
	children, err := descendants(o.pid())
	m.children = len(children)
	return err
}

// measure is one thing that is looked at after each pass.
type measure struct {
	name  string
	value func(moment) float64
	show  func(float64) string
}

var measures = []measure{
	{"time of a pass", func(m moment) float64 { return float64(m.took) }, func(v float64) string { return show(time.Duration(v)) }},
	{"size of the mirror", func(m moment) float64 { return float64(m.mirror.Bytes) }, func(v float64) string { return mib(int64(v)) }},
	{"packs", func(m moment) float64 { return float64(m.mirror.Packs) }, whole},
	{"loose objects", func(m moment) float64 { return float64(m.mirror.Loose) }, whole},
	{"resident memory", func(m moment) float64 { return float64(m.memory) }, func(v float64) string { return mib(int64(v)) }},
	{"open files", func(m moment) float64 { return float64(m.files) }, whole},
	{"child processes", func(m moment) float64 { return float64(m.children) }, whole},
}

func whole(v float64) string { return fmt.Sprintf("%.0f", v) }

// tenth is a part of a life: the first or last tenth of its passes.
func (l *longLife) tenth(last bool) []moment {
	n := max(1, len(l.moments)/10)
	if last {
		return l.moments[len(l.moments)-n:]
	}
	return l.moments[:n]
}

func (l *longLife) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "### Long life\n\n%s passes of one operator, with one change in each; %d Deployments, %d app repositories, a manifests repository of %s files.\n\n",
		thousands(len(l.moments)), lifeDeployments, lifeDeployments, thousands(l.size.files))
	n := thousands(len(l.tenth(false)))
	fmt.Fprintf(b, "| | first %s: median | 95 %% | most | last %s: median | 95 %% | most |\n|---|---:|---:|---:|---:|---:|---:|\n", n, n)
	for _, m := range measures {
		fmt.Fprintf(b, "| %s |", m.name)
		for _, part := range [][]moment{l.tenth(false), l.tenth(true)} {
			values := make([]float64, len(part))
			for i, moment := range part {
				values[i] = m.value(moment)
			}
			for _, q := range []float64{0.5, 0.95, 1} {
				fmt.Fprintf(b, " %s |", m.show(quantile(values, q)))
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\n![Time, mirror size and memory over the passes](performance-long-life.svg)\n\n")
}

func (l *longLife) svg() string {
	draw := func(title, unit string, color int, dots bool, value func(moment) float64) *chart {
		points := make([]point, len(l.moments))
		for i, m := range l.moments {
			points[i] = point{float64(i + 1), value(m)}
		}
		return &chart{title: title, xTitle: "pass", yTitle: unit, height: 220, lines: []line{{color: color, dots: dots, points: points}}}
	}
	return picture(
		draw("Time of a pass", "milliseconds", 0, true, func(m moment) float64 { return float64(m.took) / 1e6 }),
		draw("Size of the mirror", "MiB", 1, false, func(m moment) float64 { return float64(m.mirror.Bytes) / (1 << 20) }),
		draw("Resident memory of the operator", "MiB", 2, false, func(m moment) float64 { return float64(m.memory) / (1 << 20) }),
	)
}
