package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// slowRemotes is how long some repositories take by themselves, and beside one
// that hangs.
type slowRemotes struct {
	repos         int // that answer
	alone, beside []time.Duration
}

func slowRepo(i int) string { return fmt.Sprintf("slow/manifests%02d", i) }

// measureSlow gives each Deployment a manifests repository of its own, on one
// host. The first one hangs, in every other run: a request for it is under way
// while all others are asked for, each with a change. The git server says when
// it hangs.
func measureSlow(ctx context.Context, st *stage, p plan, repos int) (*slowRemotes, error) {
	size := repoSize{"slow", 2 * repos, 2}
	if err := st.makeManifests(ctx, size); err != nil {
		return nil, err
	}
	s := st.newScene(size, repos)
	var names []string
	var all []tracked
	for i, d := range s.deployments {
		names, all = append(names, slowRepo(i)), append(all, tracked{d, slowRepo(i)})
	}
	if err := os.MkdirAll(filepath.Join(st.root, "slow"), 0o755); err != nil {
		return nil, err
	}
	if err := s.reset(ctx, names...); err != nil {
		return nil, err
	}
	cluster := filepath.Join(st.dir, "cluster", "slow")
	if err := st.writeCluster(cluster, all); err != nil {
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
	slow := &slowRemotes{repos: repos - 1}
	for n := range 2 * p.runs {
		// hangs, answers, answers, hangs, hangs, …
		hangs := n%4 == 0 || n%4 == 3
		took, err := d.slowRound(ctx, o, hangs)
		if err != nil {
			return nil, fmt.Errorf("slow remotes: %w", err)
		}
		if hangs {
			slow.beside = append(slow.beside, took)
		} else {
			slow.alone = append(slow.alone, took)
		}
	}
	return slow, nil
}

// slowRound returns how long all repositories but the first take.
func (d *duel) slowRound(ctx context.Context, o *operator, hangs bool) (time.Duration, error) {
	if _, err := d.change(allChange); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	if hangs {
		if _, err := d.server.tell(order{Reset: true, Stall: slowRepo(0) + ".git"}); err != nil {
			return 0, err
		}
		go func() {
			_, err := o.pass(ctx, d.deployments[0])
			ended <- err
		}()
		if err := d.untilItHangs(ctx); err != nil {
			return 0, err
		}
	}
	begin := time.Now()
	actions, err := o.pass(ctx, d.deployments[1:]...)
	took := time.Since(begin)
	if err != nil {
		return 0, err
	}
	if hangs {
		select {
		case err := <-ended:
			return 0, fmt.Errorf("the repository did not hang all the time: %v", err)
		default:
		}
		if _, err := d.server.tell(order{Lift: slowRepo(0) + ".git"}); err != nil {
			return 0, err
		}
		if err := <-ended; err != nil {
			return 0, err
		}
	} else if _, err := o.pass(ctx, d.deployments[0]); err != nil {
		return 0, err
	}
	if actions["patched"] != len(d.deployments)-1 {
		return 0, fmt.Errorf("results are %v", actions)
	}
	for i, deployment := range d.deployments {
		one := *d.scene
		one.deployments = []int{deployment}
		if err := one.verifyTags(ctx, slowRepo(i)); err != nil {
			return 0, err
		}
	}
	return took, nil
}

func (d *duel) untilItHangs(ctx context.Context) error {
	for {
		stats, err := d.server.tell(order{})
		if err != nil {
			return err
		}
		if stats.ByRepo[slowRepo(0)+".git"].UploadPacks > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *slowRemotes) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "### Slow remotes\n\n%d manifests repositories with one change in each, on one host; a repository beside them hangs, or does not:\n\n", s.repos)
	b.WriteString("| runs | by themselves: median (range) | beside one that hangs | ratio |\n|---:|---:|---:|---:|\n")
	fmt.Fprintf(b, "| %d | %s | %s | %.2f |\n\n", len(s.alone), spread(s.alone), spread(s.beside), median(ratios(s.beside, s.alone)))
}
