package operator

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kainlite/gitops-operator/k8s"
)

func TestTheScheduleKeepsTheLastTimeOfEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s schedule
		a, b := k8s.Ref{Namespace: "default", Name: "a"}, k8s.Ref{Namespace: "default", Name: "b"}
		var ran []string
		run := func(what string) func() { return func() { ran = append(ran, what) } }
		now := time.Now()
		s.set(a, now.Add(time.Minute), run("a, replaced"))
		s.set(a, now.Add(2*time.Minute), run("a"))
		s.set(b, now.Add(time.Minute), run("b, taken back"))
		s.set(b, time.Time{}, nil)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if len(ran) != 1 || ran[0] != "a" {
			t.Errorf("%q ran, want a", ran)
		}
		s.set(a, time.Now().Add(-time.Minute), run("late")) // is due at once
		synctest.Wait()
		if len(ran) != 2 {
			t.Errorf("%q ran, want a and late", ran)
		}
		s.set(b, time.Now().Add(time.Minute), run("after the end"))
		s.close()
		s.set(b, time.Now(), run("after the end"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(ran) != 2 {
			t.Errorf("%q ran after the end", ran)
		}
	})
}
