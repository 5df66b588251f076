package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// guardMemory keeps what is in memory, keys and tokens among it, out of core
// dumps and out of the reach of other processes of the same user. Children
// inherit the limit; the rest holds for this process alone.
func guardMemory() error {
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
