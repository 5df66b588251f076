package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	damaged       = newRow(40, "mirror corrupt, half-written, foreign-owned, or deleted, before a pass")
	damagedDuring = newRow(41, "the same at a random moment of a pass")
	staleLocks    = newRow(42, "stale locks and temporary files in the mirror")
	otherTimes    = newRow(43, "clock jumps: files and commits of 1970 and of 2100")
)

// each calls do with every file of a folder that matches one of the patterns.
func each(dir string, do func(file string) error, patterns ...string) error {
	var errs []error
	for _, p := range patterns {
		files, err := filepath.Glob(filepath.Join(dir, p))
		errs = append(errs, err)
		for _, f := range files {
			if err := do(f); !errors.Is(err, fs.ErrNotExist) { // git is faster
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func rewriteFile(edit func([]byte) []byte) func(string) error {
	return func(file string) error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.Remove(file); err != nil { // git's files are read-only
			return err
		}
		return os.WriteFile(file, edit(b), 0o644)
	}
}

var (
	empty   = rewriteFile(func(b []byte) []byte { return nil })
	halve   = rewriteFile(func(b []byte) []byte { return b[:len(b)/2] })
	garbage = rewriteFile(func(b []byte) []byte { return []byte("\x00[no sense at all\n") })
	flip    = rewriteFile(func(b []byte) []byte {
		for i := len(b) / 3; i < len(b); i += 97 {
			b[i] ^= 0x55
		}
		return b
	})
	// missing names a commit that is not there.
	missing = rewriteFile(func(b []byte) []byte { return []byte(strings.Repeat("17", 20) + "\n") })
)

// all calls do with a folder and everything below it.
func all(dir string, do func(path string) error) error {
	var errs []error
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = do(path)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

const objects, packs, refs = "objects/??/*", "objects/pack/*.pack", "refs/*/*"

// damages are what can happen to a mirror.
var damages = []struct {
	name string
	do   func(dir string) error
}{
	{"deleted", os.RemoveAll},
	{"cache deleted", func(dir string) error { return os.RemoveAll(filepath.Dir(filepath.Dir(dir))) }},
	{"a file", func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o644)) }},
	{"no objects", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "objects")) }},
	{"no loose objects", func(dir string) error { return each(dir, os.Remove, objects) }},
	{"no packs", func(dir string) error { return each(dir, os.Remove, packs) }},
	{"no indexes", func(dir string) error { return each(dir, os.Remove, "objects/pack/*.idx") }},
	{"no refs", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "refs")) }},
	{"empty objects", func(dir string) error { return each(dir, empty, objects, packs) }},
	{"half objects", func(dir string) error { return each(dir, halve, objects, packs) }},
	{"flipped objects", func(dir string) error { return each(dir, flip, objects, packs) }},
	{"half everything", func(dir string) error {
		return each(dir, halve, objects, packs, refs, refs+"/*", "HEAD", "config", "packed-refs", "shallow")
	}},
	{"empty HEAD", func(dir string) error { return each(dir, empty, "HEAD") }},
	{"garbage HEAD", func(dir string) error { return each(dir, garbage, "HEAD") }},
	{"garbage config", func(dir string) error { return each(dir, garbage, "config") }},
	{"garbage refs", func(dir string) error { return each(dir, garbage, "refs/*/*", "refs/*/*/*", "packed-refs") }},
	{"refs to nothing", func(dir string) error { return each(dir, missing, "refs/heads/*", "refs/remotes/*/*") }},
	{"garbage shallow", func(dir string) error { return each(dir, garbage, "shallow") }},
	{"no shallow", func(dir string) error { return each(dir, os.Remove, "shallow") }},
	{"objects elsewhere", func(dir string) error {
		return errors.Join(os.MkdirAll(filepath.Join(dir, "objects/info"), 0o755), os.WriteFile(filepath.Join(dir, "objects/info/alternates"), []byte("/nowhere\n"), 0o644))
	}},
	{"foreign-owned", func(dir string) error {
		if os.Getuid() == 0 {
			return all(dir, func(path string) error { return os.Lchown(path, 12345, 12345) })
		}
		return os.Chmod(dir, 0) // only root can give files away
	}},
	{"half a clone beside", func(dir string) error {
		return errors.Join(os.RemoveAll(dir), os.MkdirAll(dir+".new/objects", 0o755), os.WriteFile(dir+".new/HEAD", nil, 0o644))
	}},
}

// mirrors are the folders of the mirrors in the stage's cache.
func (s *stage) mirrors() []string {
	s.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(s.cache, "[0-9]", "manifests-"+strings.Repeat("[0-9a-f]", 12)))
	if err != nil || len(dirs) == 0 {
		s.t.Fatalf("no mirror below %s: %v", s.cache, err)
	}
	return dirs
}

// A damage that is there when a pass begins is mended in that pass.
func TestMirrorIsDamaged(t *testing.T) {
	t.Parallel()
	kinds(t, damaged, trials(2, 1), trials(1, 3), func(s *stage, o *operator, damage func(string) error) {
		s.person("notes.txt") // so that there is something to fetch
		if err := damage(s.mirrors()[0]); err != nil {
			s.t.Fatal(err)
		}
		o.good()
	})
}

func TestMirrorIsDamagedDuringAPass(t *testing.T) {
	t.Parallel()
	kinds(t, damagedDuring, trials(4, 1), trials(1, 5), func(s *stage, o *operator, damage func(string) error) {
		random, dir := newRandom(s.t), s.mirrors()[0]
		begin := time.Now()
		s.person("notes.txt")
		o.good()
		whole := time.Since(begin)
		s.advance()
		passed := make(chan struct{})
		go func() {
			defer close(passed)
			o.faulty()
		}()
		time.Sleep(time.Duration(random.Int64N(int64(whole))))
		damage(dir) // or as much of it as git allows
		<-passed
		o.good()
	})
}

// kinds tries kinds of damage, each step-th, n times on a running operator.
func kinds(t *testing.T, r *row, step, n int, trial func(s *stage, o *operator, damage func(string) error)) {
	const perStage = 6
	for first := 0; first < len(damages); first += perStage {
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			s := newStage(t, r)
			o := s.serve()
			s.settle(o)
			for i, d := range damages[first:min(len(damages), first+perStage)] {
				if i%step > 0 {
					continue
				}
				for range n {
					s.advance()
					trial(s, o, d.do)
					o.idle()
					s.audit(true)
					if s.t.Failed() {
						s.t.Fatalf("mirror: %s", d.name)
					}
				}
			}
			o.stop()
		})
	}
}

// Locks and temporary files that a killed git left are no obstacle to the next
// operator, and go.
func TestStaleLocks(t *testing.T) {
	t.Parallel()
	left := []string{"HEAD.lock", "config.lock", "index.lock", "shallow.lock", "packed-refs.lock",
		"refs/remotes/origin/master.lock", "refs/heads/master.lock", "refs/gitops/next.lock",
		"objects/pack/tmp_pack_XyZ123", "objects/pack/tmp_idx_XyZ123", "objects/17/tmp_obj_XyZ123",
		"objects/info/commit-graph.lock", "fast_import_crash_17"}
	batches(t, staleLocks, trials(2, 2*len(left)), func(s *stage, first, end int) {
		s.advance()
		s.goodOnce()
		for i := first; i < end; i++ {
			s.advance()
			some := left
			if i >= 2 { // all of them twice, then one by one
				some = left[i%len(left) : i%len(left)+1]
			}
			for _, name := range some {
				file := filepath.Join(s.mirrors()[0], name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("x"), 0o444)); err != nil {
					s.t.Fatal(err)
				}
			}
			if i%2 == 0 {
				s.person("notes.txt") // so that there is something to fetch
			}
			s.goodOnce()
			s.audit(true)
		}
	})
}

// A clock that jumps makes what was written before look old, or not yet made.
// What lasts between two processes is files and commits: these are dated so.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	dates := []int64{1, 4102444800}
	batches(t, otherTimes, trials(2, 20), func(s *stage, first, end int) {
		s.advance()
		s.goodOnce()
		for i := first; i < end; i++ {
			s.date = dates[i%len(dates)]
			s.advance()
			s.person(shared)
			when := time.Unix(s.date, 0)
			if err := all(s.cache, func(path string) error { return os.Chtimes(path, when, when) }); err != nil {
				s.t.Fatal(err)
			}
			s.goodOnce()
			s.audit(true)
		}
	})
}
