package disk

import (
	"sync"

	"borealis/internal/durable"
)

// A dir is a directory whose syncs are shared: those who ask while one is under
// way wait together for one more, which is sure to see what they have changed.
// Packs are put and deleted several at a time, and the sync of a directory, a
// commit of the file system's journal, costs as much for one as for many.
type dir struct {
	path string
	on   durable.On

	turn sync.Mutex // held by the sync that is under way

	mu     sync.Mutex
	next   *round // the sync that has not begun; nil if nobody waits for one
	behind bool   // the last one failed: names are seen that are not durable
}

// A round is one sync and those who wait for it.
type round struct {
	done chan struct{}
	err  error
}

// sync returns when a sync that began after the call has ended.
func (d *dir) sync() error {
	d.mu.Lock()
	r, first := d.next, d.next == nil
	if first {
		r = &round{done: make(chan struct{})}
		d.next = r
	}
	d.mu.Unlock()
	if !first {
		<-r.done
		return r.err
	}
	d.turn.Lock()
	d.mu.Lock()
	d.next = nil // who comes now may have changed something too late
	d.mu.Unlock()
	r.err = d.on.SyncDir(d.path)
	d.mu.Lock()
	d.behind = r.err != nil
	d.mu.Unlock()
	d.turn.Unlock()
	close(r.done)
	return r.err
}

// catchUp syncs the directory if the last sync of it has failed.
func (d *dir) catchUp() error {
	d.mu.Lock()
	behind := d.behind
	d.mu.Unlock()
	if !behind {
		return nil
	}
	return d.sync()
}
