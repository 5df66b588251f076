package reconcile_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/kainlite/gitops-operator/test/world"
)

// During a pass, somebody disables, deletes, moves or changes a Deployment, and
// pushes the tag that they want. What they wrote stays.
func TestWhatPeopleChangeMeanwhileCounts(t *testing.T) {
	const pinned = "1111111111111111111111111111111111111111"
	for _, c := range []struct {
		name, action, message string
		change                func(s *stage)
	}{
		{"disabled", "skipped", "is disabled", func(s *stage) { s.track(s.Target("blog", map[string]string{"enabled": "false"})) }},
		{"deleted", "failed", "it is not tracked any more", func(s *stage) { s.untrack(s.Target("blog", nil)) }},
		{"moved", "failed", "changed meanwhile", func(s *stage) { s.track(s.Target("blog", map[string]string{"observe_branch": "other"})) }},
		{"another application", "pending", "is still being worked on", func(s *stage) {
			s.track(s.Target("blog", map[string]string{"app_repository": s.Server.URL("kainlite/other.git")}))
		}},
		{"disabled by one who shares the image", "failed", "is also that of deployment default/twin, which is disabled", func(s *stage) {
			s.track(s.Target("twin", map[string]string{"enabled": "false", "deployment_path": "blog.yaml", "image_name": "kainlite/blog"}))
		}},
	} {
		for _, moved := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, branch moved %v", c.name, moved), func(t *testing.T) {
				s := newStage(t)
				targets, _ := s.apps("api", "blog")
				var once sync.Once
				change := func() {
					c.change(s)
					if moved {
						s.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", "kainlite/blog:"+pinned)})
					}
				}
				if moved {
					s.Server.OnReceivePack(func(string) { once.Do(change) }) // before the push is looked at
				} else {
					s.onListing(3, change) // before it is sent
				}
				results := s.run(targets...)
				s.wantActions(results, "patched "+c.action)
				if !strings.Contains(results[1].Message, c.message) {
					t.Errorf("got %s", results[1].Message)
				}
				want := old
				if moved {
					want = pinned
				}
				if file := s.File(manifests, "blog.yaml"); !strings.Contains(file, want) {
					t.Errorf("the file has %s", file)
				}
			})
		}
	}
}
