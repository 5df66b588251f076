package faults

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
)

var (
	twoRivals   = newRow(70, "two operators and a person on one branch at once")
	threeRivals = newRow(71, "three operators and a person on one branch at once")
)

func TestTwoOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	rivals(t, 2, twoRivals, trials(2, 30))
}

func TestThreeOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	rivals(t, 3, threeRivals, trials(2, 30))
}

// rivals lets operators make the same changes at once, while a person pushes
// to the files that they change, too. The first two share a cache folder.
func rivals(t *testing.T, operators int, r *row, n int) {
	batches(t, r, n, func(s *stage, first, end int) {
		var all []*operator
		for i := range operators {
			cache := s.cache
			if i > 1 {
				cache = filepath.Join(s.cluster, fmt.Sprint("cache-", i))
			}
			all = append(all, s.serve("--cache-dir", cache))
		}
		for range end - first {
			s.advance()
			var working sync.WaitGroup
			for _, o := range all {
				working.Go(func() {
					if _, err := o.pass(); err != nil {
						s.t.Errorf("no answer: %v\n%s", err, o.text())
					}
				})
			}
			working.Go(func() {
				for i := range 5 {
					s.person(file(together + i))
					s.person(shared)
				}
			})
			working.Wait()
			for _, o := range all {
				o.good()
			}
			s.audit(true)
		}
		for _, o := range all {
			o.stop()
		}
	})
}
