package reconcile

import (
	"testing"
	"testing/synctest"
	"time"
)

// A Deployment that was deleted while its image was waited for is forgotten.
func TestWaitsOfWhatHasGoneAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ws waits
		ws.of("default/gone", "blog:1").attempt = 1
		ws.of("default/blog", "blog:1").attempt = 2
		for range 50 {
			time.Sleep(time.Hour)
			if w := ws.of("default/blog", "blog:1"); w.attempt != 2 {
				t.Fatalf("what is waited for was forgotten: %+v", w)
			}
		}
		if len(ws.known) != 1 {
			t.Errorf("%d waits are remembered", len(ws.known))
		}
	})
}
