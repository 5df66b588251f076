package operator

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// memoryLimit is how much memory, in bytes, Go may take before it collects
// garbage more eagerly. It is not a hard limit.
const memoryLimit = 192 << 20

// limitMemory sets the limit, unless the environment does: a large manifest
// leaves garbage that would double the peak.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}

// A large pass leaves much memory behind that Go would keep for the next one,
// while the container is billed for it.
const (
	trimAfter = 2 * time.Second // of a group's end: a pass has often more of them
	trimFrom  = 16 << 20        // bytes that are worth a collection
)

// trimmer gives memory back to the system once the work is done.
type trimmer struct {
	mu    sync.Mutex
	timer *time.Timer // nil: nothing is due
}

// due has the memory looked at soon.
func (t *trimmer) due() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil {
		return
	}
	t.timer = time.AfterFunc(trimAfter, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.timer = nil
		if reclaimable() > trimFrom {
			debug.FreeOSMemory()
		}
	})
}

// stop ends it.
func (t *trimmer) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
	}
}

// reclaimable returns how many bytes of the heap are not in use, or were not
// when it was last collected.
func reclaimable() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	free, unused, objects, live := samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64(), samples[3].Value.Uint64()
	return free + unused + objects - min(objects, live)
}
