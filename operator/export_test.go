package operator

import (
	"sync/atomic"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/queue"
	"github.com/kainlite/gitops-operator/reconcile"
)

// CountSubmits returns a count of the passes that were submitted to the queue
// since.
func (o *Operator) CountSubmits() *atomic.Int32 {
	s := &submits{jobQueue: o.queue}
	o.queue = s
	return &s.count
}

type submits struct {
	jobQueue
	count atomic.Int32
}

func (s *submits) Submit(jobs []queue.Job[k8s.Target]) (*queue.Pass[reconcile.Result], error) {
	p, err := s.jobQueue.Submit(jobs)
	s.count.Add(1)
	return p, err
}
