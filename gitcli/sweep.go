package gitcli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Branches and repositories come and go, and so do their mirrors: one that was
// not used for a day is removed, and where all of them are larger than the cache
// may be, those that were used least recently.
const (
	unusedFor  = 24 * time.Hour
	sweepEvery = time.Hour
	// lately is how recently a mirror was used whose removal costs a clone soon.
	lately = time.Hour
)

// mirrorName tells mirrors, and what is left of making them, from other entries.
var mirrorName = regexp.MustCompile(`^(.*-[0-9a-f]{12})(\.[a-z0-9.-]+)?$`)

// entry is a mirror that may have to go.
type entry struct {
	dir  string
	last time.Time
	size int64
	busy bool
}

// keepSmall sweeps now and then, until ctx ends. first is called after the first
// time, which finds what another process has left.
func (c *cache) keepSmall(ctx context.Context, first func()) {
	again := time.NewTicker(sweepEvery)
	defer again.Stop()
	for {
		c.sweep(ctx, time.Now())
		first()
		first = func() {}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep looks at all mirrors: at its own, and at those in the slots that no other
// process has.
func (c *cache) sweep(ctx context.Context, now time.Time) {
	own, err := c.dir()
	if err != nil {
		return // the next use says so
	}
	c.learn(ctx, own, now)
	others, unlock := c.abandoned(ctx, own, now)
	defer unlock()

	c.mu.Lock()
	all := others
	for dir, u := range c.mirrors {
		all = append(all, u.entry(dir))
	}
	surplus := c.surplus(all, now)
	c.elsewhere = 0
	for _, e := range others {
		if !slices.Contains(surplus, e) {
			c.elsewhere += e.size
		}
	}
	c.mu.Unlock()
	for _, e := range surplus {
		if slices.Contains(others, e) {
			removeMirror(e.dir)
		}
	}
}

// learn enters what is in the slot into the books, and removes what is left of
// clones that were cut short.
func (c *cache) learn(ctx context.Context, slot string, now time.Time) {
	for dir, files := range mirrorsIn(slot) {
		if ctx.Err() != nil {
			return
		}
		found := look(dir, now)
		c.mu.Lock()
		u, known := c.mirrors[dir]
		if !known && found.there {
			u = &usage{last: found.last, size: found.size}
			c.mirrors[dir] = u
		}
		if u == nil || u.users == 0 {
			for _, file := range files {
				if file != dir+nextSuffix || !found.there {
					c.discard(file)
				}
			}
		}
		c.mu.Unlock()
	}
}

// abandoned locks the slots of other processes that have ended, and returns the
// mirrors there.
func (c *cache) abandoned(ctx context.Context, own string, now time.Time) (found []entry, unlock func()) {
	var locks []*os.File
	files, _ := filepath.Glob(filepath.Join(c.root, "[0-9]*.lock"))
	for _, file := range files {
		slot := strings.TrimSuffix(file, ".lock")
		if _, err := strconv.Atoi(filepath.Base(slot)); err != nil || slot == own || ctx.Err() != nil {
			continue
		}
		lock, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		locks = append(locks, lock)
		if tryLock(lock) != nil {
			continue
		}
		for dir := range mirrorsIn(slot) {
			found = append(found, look(dir, now).entry)
		}
	}
	return found, func() {
		for _, lock := range locks {
			lock.Close()
		}
	}
}

// mirrorsIn returns the mirrors of a slot, and what lies beside each.
func mirrorsIn(slot string) map[string][]string {
	found := map[string][]string{}
	files, _ := os.ReadDir(slot)
	for _, f := range files {
		if m := mirrorName.FindStringSubmatch(f.Name()); m != nil {
			dir := filepath.Join(slot, m[1])
			if found[dir] == nil {
				found[dir] = []string{}
			}
			if m[2] != "" {
				found[dir] = append(found[dir], filepath.Join(slot, f.Name()))
			}
		}
	}
	return found
}

// seen is a mirror as it lies on the disk.
type seen struct {
	entry
	there bool
}

// look measures a mirror with what lies beside it. A use that the clock has yet to
// reach was one of now.
func look(dir string, now time.Time) seen {
	s := seen{entry: entry{dir: dir, last: now}}
	if info, err := os.Lstat(dir); err == nil {
		s.there = true
		if info.ModTime().Before(now) {
			s.last = info.ModTime()
		}
	} else {
		s.last = time.Time{} // only leftovers
	}
	s.size = measure(dir)
	return s
}

func (u *usage) entry(dir string) entry {
	return entry{dir: dir, last: u.last, size: u.size, busy: u.users > 0}
}

// removeSurplus removes what is too much of this process's mirrors. The caller
// holds mu.
func (c *cache) removeSurplus(now time.Time) {
	total := c.elsewhere
	for _, u := range c.mirrors {
		total += u.size
	}
	if total <= c.limit {
		return // for age, the sweep is often enough
	}
	var all []entry
	for dir, u := range c.mirrors {
		all = append(all, u.entry(dir))
	}
	c.surplus(append(all, entry{size: c.elsewhere, busy: true}), now)
}

// surplus begins the removal of what has to go, where it is this process's, and
// returns all of it. The caller holds mu.
func (c *cache) surplus(all []entry, now time.Time) []entry {
	out := tooMuch(all, c.limit, now)
	for _, e := range out {
		log := c.log.Info
		why := "it was not used for a day"
		if now.Sub(e.last) <= unusedFor {
			why = "the cache is larger than --cache-size"
		}
		if now.Sub(e.last) < lately {
			log, why = c.log.Warn, why+": it will be cloned again soon, so raise that"
		}
		log("mirror removed: "+why, zap.String("mirror", filepath.Base(e.dir)), zap.Int64("bytes", e.size), zap.Int64("cache_size", c.limit))
		if u := c.mirrors[e.dir]; u != nil {
			delete(c.mirrors, e.dir)
			c.discard(e.dir)
			c.discard(e.dir + nextSuffix)
		}
	}
	return out
}

// discard takes a directory away at once, and removes it in the background. The
// caller holds mu.
func (c *cache) discard(dir string) {
	c.gone++
	gone := fmt.Sprintf("%s.gone%d", strings.TrimSuffix(dir, nextSuffix), c.gone)
	os.RemoveAll(gone)
	if err := os.Rename(dir, gone); err != nil {
		return // it is not there, or stays until the next sweep
	}
	c.removal.Go(func() { os.RemoveAll(gone) })
}

// removeMirror removes a mirror and what lies beside it.
func removeMirror(dir string) {
	os.RemoveAll(dir)
	beside, _ := filepath.Glob(dir + ".*")
	for _, file := range beside {
		os.RemoveAll(file)
	}
}

// tooMuch returns the mirrors that have to go: those that were not used for a day,
// and those used least recently until the rest is within the limit, in bytes. None
// that is busy goes, but it counts.
func tooMuch(all []entry, limit int64, now time.Time) (out []entry) {
	slices.SortFunc(all, func(a, b entry) int { return a.last.Compare(b.last) })
	total := int64(0)
	for _, e := range all {
		total += e.size
	}
	for _, e := range all {
		if e.busy || now.Sub(e.last) <= unusedFor && total <= limit {
			continue
		}
		total -= e.size
		out = append(out, e)
	}
	return out
}
