package volume

import (
	"context"
	"sync"
	"time"
)

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

// A limiter keeps the workers of one operation together to a rate.
type limiter struct {
	rate int64 // bytes in a second; 0 for no limit

	mu   sync.Mutex
	next time.Time // when the next bytes may be read
}

// pace waits until n more bytes may be read.
func (w *Writer) pace(ctx context.Context, n int) error {
	l := &w.limit
	if l.rate <= 0 {
		return nil
	}
	l.mu.Lock()
	now := time.Now()
	if l.next.Before(now) {
		l.next = now
	}
	wait := l.next.Sub(now)
	l.next = l.next.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	l.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
