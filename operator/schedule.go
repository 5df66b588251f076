package operator

import (
	"context"
	"sync"
	"time"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/queue"
)

// schedule looks at Deployments again that wait for something which takes its
// time, such as a promotion's soak. They hold no worker and no request
// meanwhile. The zero value is ready.
type schedule struct {
	mu     sync.Mutex
	closed bool
	timers map[k8s.Ref]*time.Timer
	wg     sync.WaitGroup // of what the timers do
}

// set has f called at the given time, in place of what was set for the
// Deployment before. A zero time sets nothing.
func (s *schedule) set(ref k8s.Ref, at time.Time, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.timers[ref]; t != nil {
		if t.Stop() {
			s.wg.Done()
		}
		delete(s.timers, ref)
	}
	if at.IsZero() || s.closed {
		return
	}
	if s.timers == nil {
		s.timers = map[k8s.Ref]*time.Timer{}
	}
	s.wg.Add(1)
	s.timers[ref] = time.AfterFunc(time.Until(at), func() {
		defer s.wg.Done()
		f()
	})
}

// close drops what is set, and waits for what has begun.
func (s *schedule) close() {
	s.mu.Lock()
	s.closed = true
	for _, t := range s.timers {
		if t.Stop() {
			s.wg.Done()
		}
	}
	s.timers = nil
	s.mu.Unlock()
	s.wg.Wait()
}

// lookAgain submits the Deployment as it is then; nobody waits for it. The error
// that the queue is closed means that there is nothing more to do.
func (o *Operator) lookAgain(ref k8s.Ref) {
	t, tracked := o.current(context.Background())(ref.String())
	if !tracked || t.Disabled() {
		return
	}
	o.queue.Submit([]queue.Job[k8s.Target]{{Key: t.Key(), Group: t.Spec.Group(), Value: t}})
}
