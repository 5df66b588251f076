package reconcile_test

import (
	"fmt"
	"testing"

	"github.com/kainlite/gitops-operator/k8s"
)

// BenchmarkSharedFile times passes over 1,000 Deployments that share one file,
// with an entry each: all of them are pushed in one commit each.
func BenchmarkSharedFile(b *testing.B) {
	const n = 1000
	for _, c := range []struct{ file, head, entry string }{
		{"kustomization.yaml", "images:\n", "- name: kainlite/app%04d\n  newTag: v1\n"},
		{"values.yaml", "", "app%04[1]d:\n  image:\n    repository: kainlite/app%04[1]d\n    tag: v1\n"},
	} {
		stage := func(b *testing.B) (*stage, []k8s.Target, func()) {
			s := newStage(b)
			file := c.head
			var targets []k8s.Target
			for i := range n {
				file += fmt.Sprintf(c.entry, i)
				targets = append(targets, s.Target(fmt.Sprintf("app%04d", i), map[string]string{
					"deployment_path": c.file, "app_repository": s.Server.URL(fmt.Sprintf("kainlite/app%d.git", i%20)),
				}))
			}
			s.Commit(manifests, map[string]string{c.file: file})
			s.track(targets...)
			advance := func() {
				for i := range 20 {
					s.App(fmt.Sprintf("kainlite/app%d", i))
				}
			}
			advance()
			s.pass(targets, "patched")
			return s, targets, advance
		}
		b.Run("noop/"+c.file, func(b *testing.B) {
			s, targets, _ := stage(b)
			s.pass(targets, "up_to_date")
			for b.Loop() {
				s.pass(targets, "up_to_date")
			}
		})
		b.Run("changed/"+c.file, func(b *testing.B) {
			s, targets, advance := stage(b)
			for b.Loop() {
				b.StopTimer()
				advance()
				b.StartTimer()
				s.pass(targets, "patched")
			}
		})
	}
}
