package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A lifetime is how a fake server goes: whether it comes up, and when it ends
// (never, if 0) unless it is told to.
type lifetime struct {
	up    bool
	lasts time.Duration
}

// fakeServer lives one lifetime after the other, and the last one again and
// again.
type fakeServer struct {
	lives []lifetime
	runs  []time.Time
	slow  bool // ends only when it is hurried
}

var errDied = errors.New("died")

func (f *fakeServer) run(ctx context.Context, hurry <-chan struct{}, ready func()) error {
	life := f.lives[min(len(f.runs), len(f.lives)-1)]
	f.runs = append(f.runs, time.Now())
	if life.up {
		ready()
	}
	var end <-chan time.Time
	if life.lasts > 0 {
		end = time.After(life.lasts)
	}
	select {
	case <-end:
		return errDied
	case <-ctx.Done():
		if f.slow {
			<-hurry
		}
		return nil
	}
}

// watch runs a supervision of f and returns it with what it has told so far.
func watch(f *fakeServer) (*supervision, func() []State) {
	var mu sync.Mutex
	var told []State
	s := newSupervision()
	go s.run(f, func(ch change) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, ch.state)
	})
	return s, func() []State {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(told)
	}
}

func TestSuperviseNeverUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{lives: []lifetime{{false, time.Second}}}
		s, told := watch(f)
		<-s.gone
		if len(f.runs) != 1 || len(told()) != 0 || !errors.Is(s.err, errDied) {
			t.Errorf("%d runs, told %v, %v", len(f.runs), told(), s.err)
		}
		s.end(t.Context())
	})
}

func TestSuperviseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{lives: []lifetime{{true, time.Second}, {false, time.Second}}}
		s, told := watch(f)
		<-s.gone
		if len(f.runs) != maxRestarts+1 || !errors.Is(s.err, errDied) {
			t.Errorf("%d runs, %v", len(f.runs), s.err)
		}
		if all := told(); all[len(all)-1] != Failed {
			t.Errorf("told %v", all)
		}
		for i := range f.runs[1:] {
			wait := f.runs[i+1].Sub(f.runs[i]) - time.Second
			if want := min(firstWait<<i, longestWait); wait != want {
				t.Errorf("before restart %d it waits %v, not %v", i+1, wait, want)
			}
		}
	})
}

// A server that lives for a while between its deaths is never given up.
func TestSuperviseForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{lives: []lifetime{{true, stableAfter}}}
		s, told := watch(f)
		time.Sleep(24 * time.Hour)
		s.end(t.Context())
		if len(f.runs) < 1400 || slices.Contains(told(), Failed) {
			t.Errorf("%d runs in a day", len(f.runs))
		}
	})
}

func TestSuperviseEnds(t *testing.T) {
	for name, f := range map[string]*fakeServer{
		"running":    {lives: []lifetime{{true, 0}}},
		"starting":   {lives: []lifetime{{false, 0}}},
		"restarting": {lives: []lifetime{{true, time.Nanosecond}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := watch(f)
			time.Sleep(firstWait / 2)
			s.end(t.Context())
			if n := len(f.runs); n != 1 || s.err != nil {
				t.Errorf("%s: %d runs, %v", name, n, s.err)
			}
			s.end(t.Context())
		})
	}
}

func TestSuperviseHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := watch(&fakeServer{lives: []lifetime{{true, 0}}, slow: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		s.end(ctx)
		if d := time.Since(began); d != time.Minute {
			t.Errorf("it took %v", d)
		}
	})
}
