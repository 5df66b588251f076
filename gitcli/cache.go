package gitcli

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

// cache is the directory of the mirrors: which of them are in use, since when the
// others are not, and how large they are. What nobody uses goes; see sweep.
type cache struct {
	root  string // Options.CacheDir
	limit int64  // bytes
	log   *zap.Logger

	mu      sync.Mutex
	slot    cacheSlot
	mirrors map[string]*usage // by directory
	gone    int               // names what is being removed
	// elsewhere are the bytes in slots that nobody had at the last sweep.
	elsewhere int64
	removal   sync.WaitGroup
}

// usage is what the cache knows of a mirror.
type usage struct {
	users int
	last  time.Time // when it was last used
	size  int64     // bytes, when it was last measured
	clean bool      // it has no leftovers of a git that was killed
	// written are the bytes that the last commits took, and that a push will send.
	written int64
}

// openCache takes a slot of the cache directory.
func openCache(dir string, limit int64, log *zap.Logger) (*cache, error) {
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find user cache directory: %w: set --cache-dir", err)
		}
		dir = filepath.Join(user, "gitops-operator")
	}
	root, err := filepath.Abs(dir) // git runs in another directory
	if err != nil {
		return nil, fmt.Errorf("open cache directory: %w", err)
	}
	slot, err := takeCacheSlot(root)
	if err != nil {
		return nil, fmt.Errorf("open cache directory: %w", err)
	}
	return &cache{root: root, limit: limit, log: log, slot: slot, mirrors: map[string]*usage{}}, nil
}

// close ends the removals and gives the slot back.
func (c *cache) close() {
	c.removal.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slot.lock.Close()
}

// dir returns this process's slot. When somebody has deleted the cache
// directory, its lock went too, and a slot is taken anew.
func (c *cache) dir() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slot.held() {
		return c.slot.dir, nil
	}
	slot, err := takeCacheSlot(c.root)
	if err != nil {
		return "", fmt.Errorf("open cache directory: %w", err)
	}
	c.slot.lock.Close()
	c.slot = slot
	return slot.dir, nil
}

// of returns what is known of a mirror. The caller holds mu.
func (c *cache) of(dir string) *usage {
	u := c.mirrors[dir]
	if u == nil {
		u = &usage{last: time.Now()}
		c.mirrors[dir] = u
	}
	return u
}

// use begins a use of a mirror: until release, it stays.
func (c *cache) use(dir string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.of(dir)
	u.users++
	u.last = time.Now()
}

// release ends a use. A mirror that has changed is measured, and what is too much
// by now goes.
func (c *cache) release(dir string, changed bool) {
	now := time.Now()
	os.Chtimes(dir, now, now) // for the next process; without it, the mirror only looks older
	size := int64(0)
	if changed {
		size = measure(dir)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.of(dir)
	u.users--
	u.last = now
	if changed {
		u.size = size
	}
	c.removeSurplus(now)
}

// cloned measures a mirror that is new. What is too much by now goes.
func (c *cache) cloned(dir string) {
	size := measure(dir)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(dir).size = size
	c.removeSurplus(time.Now())
}

// measure returns the size of a directory's files, in bytes.
func measure(dir string) (size int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what cannot be read does not count
		}
		if info, err := d.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	return size
}

// isClean says whether a mirror has no leftovers, and takes it for clean from
// now on.
func (c *cache) isClean(dir string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.of(dir)
	was := u.clean
	u.clean = true
	return was
}

// suspect notes that a git command on a mirror failed or complained. It may have
// been killed, or a git that it had started: fast-import does well without its
// unpack-objects, and only says so.
func (c *cache) suspect(dir string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(dir).clean = false
}

func (c *cache) setWritten(dir string, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(dir).written = bytes
}

func (c *cache) takeWritten(dir string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.of(dir)
	bytes := u.written
	u.written = 0
	return bytes
}

// cacheSlot is a locked directory for the mirrors of one process.
type cacheSlot struct {
	dir  string
	lock *os.File
}

// takeCacheSlot locks the first free numbered directory below dir. A mirror
// belongs to one process; a second operator on the same cache directory (a
// `reconcile` beside a running `serve`) gets mirrors of its own, and finds
// them warm the next time.
func takeCacheSlot(dir string) (cacheSlot, error) {
	for n := range 100 {
		slot := cacheSlot{dir: filepath.Join(dir, strconv.Itoa(n))}
		if err := os.MkdirAll(slot.dir, 0o700); err != nil {
			return slot, err
		}
		f, err := os.OpenFile(slot.dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return slot, err
		}
		slot.lock = f
		if tryLock(f) == nil && slot.held() {
			return slot, nil
		}
		f.Close()
	}
	return cacheSlot{}, fmt.Errorf("%s: 100 operators use it already", dir)
}

// held says whether the lock is still the one that others would ask for.
func (s cacheSlot) held() bool {
	ours, err := s.lock.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(s.lock.Name())
	return err == nil && os.SameFile(ours, there)
}
