package procguard

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Guard keeps the process's memory out of core dumps, and out of the reach of
// ptrace and /proc for other processes of the same user. Child processes inherit
// the limit on core dumps; the rest holds for this process alone. It may be
// called more than once.
func Guard() error {
	// 1 and not 0: with 0, a core_pattern that is a pipe still gets a dump; with
	// 1, neither a pipe nor a file does.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil { // the hard limit is 0 already
			return fmt.Errorf("forbid core dumps: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}
