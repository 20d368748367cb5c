package postgres

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// When a server dies it is started again after a while, which doubles each
// time; one that lived for stableAfter begins anew. One that died maxRestarts
// times without that is given up.
const (
	firstWait   = 100 * time.Millisecond
	longestWait = 30 * time.Second
	stableAfter = time.Minute
	maxRestarts = 12
)

// A runner runs a server once: it returns when the server has ended, and says
// why. It calls ready when the server accepts connections. When ctx ends it
// ends the server, at once if hurry is closed too.
type runner interface {
	run(ctx context.Context, hurry <-chan struct{}, ready func()) error
}

// A change is what supervision tells: the new state, and why.
type change struct {
	state State
	err   error
}

// A supervision keeps one server running until end.
type supervision struct {
	ctx     context.Context
	cancel  context.CancelFunc
	hurry   chan struct{}
	hurried sync.Once
	gone    chan struct{} // closed when run returns
	err     error         // why the server is not running; read after gone
}

func newSupervision() *supervision {
	ctx, cancel := context.WithCancel(context.Background())
	return &supervision{ctx: ctx, cancel: cancel, hurry: make(chan struct{}), gone: make(chan struct{})}
}

// run runs r, again and again. It returns when the server never came up, so
// that whoever started it is told; when it has been given up; and after end.
func (s *supervision) run(r runner, tell func(change)) {
	defer close(s.gone)
	defer s.cancel()
	// The kernel ends a server when the thread that started it ends.
	defer lockThread()()
	up := false
	for failures := 0; ; {
		began := time.Now()
		err := r.run(s.ctx, s.hurry, func() { up = true; tell(change{state: Running}) })
		if s.ctx.Err() != nil {
			return
		}
		if !up {
			s.err = err
			return
		}
		if time.Since(began) >= stableAfter {
			failures = 0
		}
		if failures++; failures > maxRestarts {
			s.err = fmt.Errorf("given up after %d restarts: %w", maxRestarts, err)
			tell(change{Failed, s.err})
			return
		}
		tell(change{Restarting, err})
		select {
		case <-time.After(min(firstWait<<(failures-1), longestWait)):
		case <-s.ctx.Done():
			return
		}
	}
}

// end ends the server and its supervision, and returns when both are gone. The
// end of ctx makes it hurry.
func (s *supervision) end(ctx context.Context) {
	s.cancel()
	select {
	case <-s.gone:
	case <-ctx.Done():
		s.hurried.Do(func() { close(s.hurry) })
		<-s.gone
	}
}

// lockThread keeps the goroutine on its thread until the function that it
// returns is called: see childOf.
func lockThread() func() {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}
