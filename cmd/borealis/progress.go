package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"borealis/share"
)

// A progress draws the events of a run: on a terminal one line that is
// redrawn, elsewhere a line for each change and one now and then while a step
// takes long, or JSON lines.
type progress struct {
	w        io.Writer
	tty      bool
	json     bool
	drawn    bool      // an unfinished line stands on the terminal
	last     time.Time // when the last line was written
	lastStep share.StepID
	lastPct  int
}

func newProgress(w io.Writer, asJSON bool) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, tty: ok && term.IsTerminal(int(f.Fd())), json: asJSON}
}

// event draws e.
func (p *progress) event(e share.Event) {
	switch {
	case p.json:
		// An event has nothing that JSON cannot say, and there is nowhere else to
		// complain about standard error.
		_ = json.NewEncoder(p.w).Encode(e)
	case e.State == share.Started:
		p.lastStep, p.lastPct, p.last = e.Step, 0, e.Time
		p.draw(line(e), p.tty)
	case e.State == share.Progress || e.State == share.Waiting:
		if p.tty || e.Percent >= p.lastPct+25 || e.Time.Sub(p.last) >= 30*time.Second {
			p.lastPct, p.last = e.Percent, e.Time
			p.draw(line(e), p.tty)
		}
	default:
		p.draw(line(e), false)
	}
}

// end finishes a line that is still open.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintln(p.w)
		p.drawn = false
	}
}

func (p *progress) draw(s string, open bool) {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprint(p.w, s)
	if !open {
		fmt.Fprintln(p.w)
	}
	p.drawn = open
}

var marks = map[share.State]string{
	share.Started: "…", share.Progress: "…", share.Waiting: "…", share.Done: "✓", share.Found: "=", share.Failed: "✗",
}

func line(e share.Event) string {
	s := fmt.Sprintf("%s %-16s %s  %5.1fs", marks[e.State], e.Step, e.Account, e.Elapsed.Seconds())
	switch {
	case e.State == share.Progress && e.Percent > 0:
		s += fmt.Sprintf("  %s %3d%%", bar(e.Percent), e.Percent)
	case e.State == share.Done, e.State == share.Found:
		s += "  " + e.ARN
	case e.Message != "":
		first, _, _ := strings.Cut(e.Message, "\n")
		s += "  " + first
	}
	return s
}

func bar(percent int) string {
	n := min(max(percent, 0), 100) / 10
	return strings.Repeat("█", n) + strings.Repeat("░", 10-n)
}
