package forge

import (
	"container/list"
	"sync"
)

// lru keeps values up to a total cost, and forgets those that were not asked
// for longest. Its methods may be called from any goroutine.
type lru[K comparable, V any] struct {
	mu      sync.Mutex
	most    int // total cost
	cost    int
	order   *list.List // of *entry, the latest first
	entries map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
	cost  int
}

func newLRU[K comparable, V any](most int) *lru[K, V] {
	return &lru[K, V]{most: most, order: list.New(), entries: make(map[K]*list.Element)}
}

func (l *lru[K, V]) get(key K) (value V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[key]
	if !ok {
		return value, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*entry[K, V]).value, true
}

// put adds a value, or replaces one. What costs more than all may cost is not
// kept.
func (l *lru[K, V]) put(key K, value V, cost int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(key, value, cost)
}

// getOrPut returns the value of a key, and makes it if there is none.
func (l *lru[K, V]) getOrPut(key K, cost int, create func() V) V {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.entries[key]; ok {
		l.order.MoveToFront(e)
		return e.Value.(*entry[K, V]).value
	}
	value := create()
	l.add(key, value, cost)
	return value
}

func (l *lru[K, V]) add(key K, value V, cost int) {
	if e, ok := l.entries[key]; ok {
		l.remove(e)
	}
	if cost > l.most {
		return
	}
	l.entries[key] = l.order.PushFront(&entry[K, V]{key, value, cost})
	for l.cost += cost; l.cost > l.most; {
		l.remove(l.order.Back())
	}
}

func (l *lru[K, V]) remove(e *list.Element) {
	old := l.order.Remove(e).(*entry[K, V])
	delete(l.entries, old.key)
	l.cost -= old.cost
}
