package procguard

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestMemoryIsGuarded(t *testing.T) {
	for range 2 { // the second time, the limit is there already
		if err := Guard(); err != nil {
			t.Fatal(err)
		}
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || core.Cur > 1 || core.Max > 1 {
		t.Errorf("core dumps of %+v bytes, %v", core, err)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("dumpable: %d, %v", dumpable, err)
	}
}
