package notify

import (
	"fmt"
	"sync"
	"testing"

	"github.com/kainlite/gitops-operator/test/fakes"
)

// Each message is counted once, by how it ended.
func TestMessagesAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		var mu sync.Mutex
		count := map[string]int{}
		f.notifier.observe = func(outcome string) {
			mu.Lock()
			defer mu.Unlock()
			count[outcome]++
		}
		f.slack.Next(fakes.Fault{Status: 404})
		f.send(about(blog, progress("lost")), about(blog, progress("delivered")), about(blog, progress("delivered")))
		f.flush()
		f.giveUp()
		f.send(about(blog, progress("late")))
		mu.Lock()
		defer mu.Unlock()
		equal(t, "outcomes", fmt.Sprint(count), "map[delivered:2 dropped:1 failed:1]")
	})
}
