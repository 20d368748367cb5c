package volume

import "sync"

// A meter counts for a Progress function, which may be nil.
type meter struct {
	fn Progress

	mu          sync.Mutex
	done, total int64
}

// add moves what is done and what there is to do.
func (m *meter) add(done, total int64) {
	if m.fn == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += done
	m.total += total
	m.fn(min(m.done, m.total), m.total)
}

// finish says that all is done.
func (m *meter) finish() {
	if m.fn == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fn(m.total, m.total)
}
