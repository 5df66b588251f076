package gitcli

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

const (
	runPrefix = "gitops-operator-run-"
	// ssh binds a temporary name of 17 more bytes beside a socket of up to
	// 6, and a socket's path may have 108.
	maxRunDir = 80
	// A run directory without a lock is one that is just being made, or one
	// whose maker was killed in between.
	lockGrace = time.Minute
)

// makeRunDir makes a private directory for keys and sockets, memory-backed where
// the system has such a place, and removes those of dead predecessors. Its lock
// is held for as long as the returned file is open: a process that is killed
// lets go of it, whatever its process number was.
func makeRunDir() (string, *os.File, error) {
	var errs []error
	for _, base := range []string{"/dev/shm", os.TempDir(), "/tmp"} {
		if st, err := os.Stat(base); err != nil || !st.IsDir() || len(base)+len(runPrefix) > maxRunDir-12 || !plainPath.MatchString(base) {
			continue
		}
		removeStaleRunDirs(base)
		dir, err := os.MkdirTemp(base, runPrefix)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		lock, err := lockNew(filepath.Join(dir, "lock"))
		if err == nil {
			err = tryWrite(filepath.Join(dir, "space"))
		}
		if err == nil {
			return dir, lock, nil
		}
		os.RemoveAll(dir)
		errs = append(errs, err)
	}
	return "", nil, errors.Join(append(errs, errors.New("no writable directory with a short, plain path: set TMPDIR"))...)
}

// plainPath is what ssh, which expands and splits the values of its options,
// takes as it is.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9/._-]*$`)

// tryWrite says whether there is space for a few keys.
func tryWrite(path string) error {
	if err := os.WriteFile(path, make([]byte, 64<<10), 0o600); err != nil {
		return err
	}
	return os.Remove(path)
}

func removeStaleRunDirs(base string) {
	dirs, _ := filepath.Glob(filepath.Join(base, runPrefix+"*"))
	for _, dir := range dirs {
		st, err := os.Lstat(dir)
		if err != nil || !st.IsDir() || st.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid()) {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if err != nil {
			if errors.Is(err, os.ErrNotExist) && time.Since(st.ModTime()) > lockGrace {
				os.RemoveAll(dir)
			}
			continue
		}
		if tryLock(f) == nil {
			removeKeys(dir)
		}
		f.Close()
	}
}

// lockNew makes a lock file that is never seen unlocked.
func lockNew(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		f.Close()
		return nil, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func tryLock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
