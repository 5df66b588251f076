package gitcli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
)

// A mirror that is in use grows with every fetch and every commit. Instead of
// tidying it up, a new one is cloned beside it, in the background; the next use
// takes that in its place. Nobody waits for it.

// renewalPause is how long a renewal that failed is not tried again.
const renewalPause = 10 * time.Minute

// renewals are the mirrors that are being cloned anew, and those where it
// failed, until when not to try again.
type renewals struct {
	mu      sync.Mutex
	blocked map[string]time.Time
	running sync.WaitGroup
}

// begin reports whether a renewal of the directory may begin.
func (r *renewals) begin(dir string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if until, ok := r.blocked[dir]; ok && (until.IsZero() || now.Before(until)) {
		return false
	}
	if r.blocked == nil {
		r.blocked = map[string]time.Time{}
	}
	r.blocked[dir] = time.Time{} // until it has ended
	r.running.Add(1)
	return true
}

func (r *renewals) end(dir string, err error) {
	defer r.running.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.blocked, dir)
	if err != nil {
		r.blocked[dir] = time.Now().Add(renewalPause)
	}
}

// Renew begins to replace a mirror that has grown too large, in the background.
func (m *Mirror) Renew() {
	if !m.overgrown() || !m.c.renewals.begin(m.dir, time.Now()) {
		return
	}
	m.id.Hold()
	m.c.cache.use(m.dir)
	m.c.background.Go(func() {
		defer m.id.Release()
		defer m.c.cache.release(m.dir, false)
		err := m.c.runner.guarded(func() error { return m.prepare(m.c.runner.life) })
		if err != nil && m.c.runner.life.Err() == nil {
			m.c.runner.log.Warn("mirror not renewed", zap.String("repository", m.remote.String()), zap.String("branch", m.branch), zap.Error(err))
		}
		m.c.renewals.end(m.dir, err)
	})
}

// Settle waits for the renewals that are under way, and until the cache has been
// looked through once.
func (c *Client) Settle(ctx context.Context) {
	settled := make(chan struct{})
	c.background.Go(func() {
		c.renewals.running.Wait()
		select {
		case <-c.swept:
		case <-c.runner.life.Done():
		}
		c.cache.removal.Wait()
		close(settled)
	})
	select {
	case <-settled:
	case <-ctx.Done():
	}
}

// nextSuffix is of the directory of the mirror that is to come next.
const nextSuffix = ".next"

func (m *Mirror) next() string { return m.dir + nextSuffix }

// prepare makes the mirror that is to come next.
func (m *Mirror) prepare(ctx context.Context) error {
	if err := m.cloneInto(ctx, m.next()+".new"); err != nil {
		return err
	}
	if err := os.RemoveAll(m.next()); err != nil {
		return fmt.Errorf("make mirror: %w", err)
	}
	if err := os.Rename(m.next()+".new", m.next()); err != nil {
		return fmt.Errorf("make mirror: %w", err)
	}
	return nil
}

// takeNext puts the next mirror, if there is one, in the place of this one.
func (m *Mirror) takeNext() error {
	if _, err := os.Lstat(m.next()); err != nil {
		return nil
	}
	m.changed = true
	if err := m.replaceBy(m.next()); err != nil {
		return fmt.Errorf("renew mirror: %w", err)
	}
	m.c.background.Go(func() { os.RemoveAll(m.old()) }) // what stays is removed next time
	return nil
}

// replaceBy puts a directory in the place of the mirror's, which becomes old.
func (m *Mirror) replaceBy(dir string) error {
	if err := os.RemoveAll(m.old()); err != nil {
		return err
	}
	if err := os.Rename(m.dir, m.old()); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.Rename(dir, m.dir)
}

// overgrown says that so many packs or loose objects have gathered that a new
// clone is cheaper than going on.
func (m *Mirror) overgrown() bool {
	packs, _ := filepath.Glob(filepath.Join(m.dir, "objects", "pack", "*.pack"))
	loose, _ := os.ReadDir(filepath.Join(m.dir, "objects", "17"))
	return len(packs) > maxPacks || len(loose) > maxLooseInSample
}
