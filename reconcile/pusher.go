package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/gitcli"
)

const (
	// maxPushes is how often in a row a push to a branch that keeps moving is tried.
	maxPushes = 10
	// wholePushes is how often all changes are tried together. After that,
	// each refusal makes the next push smaller: what takes less time to write
	// and to push is less often overtaken.
	wholePushes = 3
	// fewPushed changes take hardly longer than one.
	fewPushed = 10
)

// errReviewed says that people changed a Deployment while its change was being
// written.
var errReviewed = errors.New("a Deployment was changed meanwhile")

// pusher makes the changes of a group reach its branch.
type pusher struct {
	*group
	line     line
	atMost   int    // so many changes in the next push; 0: all
	inARow   int    // refused pushes
	refusals int    // all of them
	reviews  int    // how often people changed something meanwhile
	refused  string // the base of the last refused push
	rebuilt  bool   // the mirror was cloned again
	pauses   *backoff.ExponentialBackOff
}

// update plans, writes and pushes the changes on top of base. When the branch
// has moved meanwhile, everything is planned again on its new head: an edit is
// a function of the file, never a merge of texts.
func (g *group) update(ctx context.Context, base string) error {
	p := &pusher{group: g, pauses: backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))}
	defer func() { p.line.remember(g.memory) }()
	for {
		var err error
		if base == "" {
			if base, err = g.mirror.Fetch(ctx); err != nil {
				return err
			}
		}
		if err = p.attempt(ctx, base); err == nil && len(g.open()) == 0 {
			return nil
		}
		if base, err = p.next(ctx, base, err); err != nil {
			return err
		}
	}
}

// next says how to go on after an attempt on a base: with the base of the next
// one, empty where it is to be fetched, or not at all.
func (p *pusher) next(ctx context.Context, base string, err error) (string, error) {
	switch {
	case err == nil: // the next few, on top of what was just pushed
		p.atMost, p.inARow = 2*p.atMost, 0
		p.pauses.Reset()
		p.line.accepted()
		return p.memory.commit, nil
	case errors.Is(err, errReviewed):
		if p.reviews++; p.reviews > maxPushes {
			return "", fmt.Errorf("push to %s branch %s: %w (%d times in a row: the next pass tries again)", p.manifests, p.branch, err, maxPushes)
		}
		return base, nil
	case errors.Is(err, gitcli.ErrDeclined) && ctx.Err() == nil:
		return base, p.declined(err)
	case errors.Is(err, gitcli.ErrBranchMoved):
		return "", p.moved(ctx, base, err)
	case gitcli.IsLocal(err) && ctx.Err() == nil && !p.rebuilt:
		p.Log.Warn("mirror is unusable, cloning again", zap.String("repository", p.manifests.String()), zap.String("branch", p.branch), zap.Error(err))
		p.Observer.Retried(RetryMirror)
		p.rebuilt = true
		if err := p.mirror.Delete(); err != nil {
			return "", fmt.Errorf("delete mirror: %w", err)
		}
		return "", nil
	}
	return "", err
}

// moved waits for a while after a push that was refused because the branch had
// moved. Its error is the end.
func (p *pusher) moved(ctx context.Context, base string, err error) error {
	p.Log.Debug("branch moved, planning again", zap.String("repository", p.manifests.String()), zap.String("branch", p.branch))
	p.Observer.Retried(RetryBranchMoved)
	p.refused = base
	p.inARow++
	if p.refusals++; p.refusals >= wholePushes {
		p.atMost = max(fewPushed, len(p.written)/4)
	}
	if p.inARow < maxPushes {
		select {
		case <-time.After(p.pauses.NextBackOff()):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if now, lookup := p.mirror.Fetch(ctx); lookup == nil && now == p.refused {
		return fmt.Errorf("push to %s branch %s: the server refuses to update the branch although nobody has moved it, perhaps because of a stale lock: %w", p.manifests, p.branch, err)
	}
	return fmt.Errorf("%w (%d times in a row: the next pass tries again)", err, maxPushes)
}

// attempt plans and pushes once.
func (p *pusher) attempt(ctx context.Context, base string) error {
	g := p.group
	g.review(ctx, false)
	if len(g.open()) == 0 {
		return nil
	}
	if err := g.plan(ctx, base); err != nil || len(g.open()) == 0 {
		return err
	}
	p.choose()
	if err := g.load(ctx); err != nil {
		return err
	}
	commits, err := g.mirror.Commit(ctx, base, g.changes(), time.Now())
	if err != nil {
		return err
	}
	if !g.DryRun && len(commits) > 0 {
		if !g.reviewed(ctx) {
			return errReviewed
		}
		tip := commits[len(commits)-1]
		err := g.mirror.Push(ctx, base, tip)
		g.Observer.Pushed(len(commits), err)
		if err != nil {
			return err
		}
		g.remember(tip)
	}
	g.succeeded(commits)
	return nil
}

// choose leaves all but the next in line to a later attempt.
func (p *pusher) choose() {
	behind := p.open()
	if p.DryRun { // nobody declines anything
		return
	}
	chosen := map[*deployment]bool{}
	for _, d := range p.line.next(p.memory, behind, p.atMost) {
		chosen[d] = true
	}
	for _, d := range behind {
		if d.later = !chosen[d]; d.later {
			d.behind = nil
		}
	}
}

// declined goes on after a push that the server declined: with parts of it, or
// with others. Its error is the end.
func (p *pusher) declined(err error) error {
	p.line.declined(p.group, err)
	if !p.line.exhausted() {
		return nil
	}
	for _, d := range p.open() { // who was declined in an earlier pass fails as then
		if known := p.memory.declined[d.target.Ref]; known != nil {
			p.fail(d, known.err)
		}
	}
	return err
}
