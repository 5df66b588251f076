package notify

import (
	"cmp"
	"container/list"
	"crypto/sha256"
)

// maxFailures bounds the Deployments whose last failure is kept in mind.
const maxFailures = 20_000

// failures is the memory of which failure was last sent for each Deployment. Of
// too many, it forgets the one that came up longest ago.
type failures struct {
	size  int
	known map[string]*list.Element
	order list.List // of *failure: the latest last
}

type failure struct {
	about string
	text  [sha256.Size]byte
}

func newFailures(size int) failures {
	return failures{size: size, known: make(map[string]*list.Element)}
}

// isNew says whether a failure differs from the last one of its Deployment, and
// keeps it in mind.
func (f *failures) isNew(m Message) bool {
	text := sha256.Sum256([]byte(cmp.Or(m.Same, m.Text)))
	if e, ok := f.known[m.subject()]; ok {
		f.order.MoveToBack(e)
		last := e.Value.(*failure)
		same := last.text == text
		last.text = text
		return !same
	}
	f.known[m.subject()] = f.order.PushBack(&failure{m.subject(), text})
	if len(f.known) > f.size {
		f.forget(f.order.Front().Value.(*failure).about)
	}
	return true
}

// forget makes the next failure of a Deployment a new one.
func (f *failures) forget(about string) {
	if e, ok := f.known[about]; ok {
		f.order.Remove(e)
		delete(f.known, about)
	}
}

// undo forgets a failure that did not arrive, unless another came after it. Of
// other messages it has nothing to forget.
func (f *failures) undo(m Message) {
	if e, ok := f.known[m.subject()]; ok && e.Value.(*failure).text == sha256.Sum256([]byte(cmp.Or(m.Same, m.Text))) {
		f.forget(m.subject())
	}
}
