package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"borealis/share"
)

// A progress draws the events of a run: on a terminal one line that is redrawn
// every second, elsewhere a line when a step is done and one now and then while
// it takes long, or every event as a line of JSON.
type progress struct {
	w    io.Writer
	json bool
	// columns is how wide the terminal is at the moment; nil if there is none.
	columns func() int

	mu    sync.Mutex
	open  *share.Event // what the unfinished line on the terminal says
	at    time.Time    // when it said so
	last  share.Event  // the last event that a line was written for
	close func()       // ends the redrawing
}

func newProgress(w io.Writer, asJSON bool) *progress {
	p := &progress{w: w, json: asJSON, close: func() {}}
	f, ok := w.(*os.File)
	if ok && !asJSON && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		p.onTerminal(func() int {
			columns, _, err := term.GetSize(int(f.Fd()))
			if err != nil || columns == 0 {
				columns = 80
			}
			return columns
		})
	}
	return p
}

// onTerminal makes p redraw its line, until end.
func (p *progress) onTerminal(columns func() int) {
	p.columns = columns
	stop, stopped := make(chan struct{}), make(chan struct{})
	p.close = sync.OnceFunc(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				p.redraw()
			}
		}
	}()
}

// event draws e.
func (p *progress) event(e share.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.json:
		// An event has nothing that JSON cannot say, and there is nowhere else to
		// complain about standard error.
		_ = json.NewEncoder(p.w).Encode(e)
	case over(e):
		p.write(line(e))
	case p.columns != nil:
		p.open, p.at = &e, time.Now()
		p.draw()
	case p.isNews(e):
		p.last = e
		p.write(line(e))
	}
}

// over reports whether a step has ended with e.
func over(e share.Event) bool {
	return e.State == share.Done || e.State == share.Found || e.State == share.Failed
}

// isNews reports whether an event that ends nothing is worth a line of a log.
func (p *progress) isNews(e share.Event) bool {
	switch {
	case e.State == share.Started:
		return false // most steps are over in a moment
	case e.Step != p.last.Step, e.State != p.last.State, e.Status != p.last.Status:
		return true
	}
	return e.Percent >= p.last.Percent+25 || e.Time.Sub(p.last.Time) >= 30*time.Second
}

// end finishes a line that is still open.
func (p *progress) end() {
	p.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open != nil {
		fmt.Fprintln(p.w)
		p.open = nil
	}
}

// redraw draws the open line again, with the time that has passed.
func (p *progress) redraw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open != nil {
		p.draw()
	}
}

// draw draws the open line, cut to the terminal's width: a line that wraps could
// not be redrawn.
func (p *progress) draw() {
	e := *p.open
	e.Elapsed += share.Elapsed(time.Since(p.at))
	text := []rune(line(e))
	text = text[:min(len(text), max(p.columns()-1, 0))]
	fmt.Fprint(p.w, "\r\x1b[K"+string(text))
}

// write writes a line that stays, in the place of the open one.
func (p *progress) write(s string) {
	if p.open != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.open = nil
	}
	fmt.Fprintln(p.w, s)
}

var marks = map[share.State]string{
	share.Started: "…", share.Progress: "…", share.Waiting: "…", share.Done: "✓", share.Found: "=", share.Failed: "✗",
}

func line(e share.Event) string {
	s := fmt.Sprintf("%s %-16s %s  %6s", marks[e.State], e.Step, e.Account, clock(time.Duration(e.Elapsed)))
	switch {
	case e.State == share.Progress:
		if s += "  " + e.Status; e.Percent > 0 {
			s += fmt.Sprintf("  %s %3d%%", bar(e.Percent), e.Percent)
		}
	case e.State == share.Done, e.State == share.Found:
		s += "  " + e.ARN
	case e.Message != "":
		first, _, _ := strings.Cut(e.Message, "\n")
		s += "  " + first
	}
	return s
}

// clock is a duration as one reads it: in seconds at first, later in minutes and
// hours.
func clock(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d/time.Second%60)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d/time.Minute%60)
}

func bar(percent int) string {
	n := min(max(percent, 0), 100) / 10
	return strings.Repeat("█", n) + strings.Repeat("░", 10-n)
}
