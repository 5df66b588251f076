package reconcile

import "sync"

// memo remembers the outcome of a look-up for the time of one pass, errors
// too. Who asks while a look-up is under way waits for it.
type memo[K comparable, V any] struct {
	mu    sync.Mutex
	known map[K]func() (V, error)
}

func (m *memo[K, V]) get(key K, look func() (V, error)) (V, error) {
	m.mu.Lock()
	if m.known == nil {
		m.known = map[K]func() (V, error){}
	}
	once := m.known[key]
	if once == nil {
		once = sync.OnceValues(look)
		m.known[key] = once
	}
	m.mu.Unlock()
	return once()
}
