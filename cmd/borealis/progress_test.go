package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"borealis/share"
)

// told is a run as its events tell it: a key that is there already, a copy that
// takes long, and a refusal.
func told(tell func(share.Event)) {
	e := share.Event{Schema: 1, Run: "7f3a", Step: share.CreateKey, Account: "111122223333", State: share.Started}
	at := time.Unix(0, 0)
	say := func(after time.Duration, s share.State, status string, percent int, msg string) {
		at = at.Add(after)
		e.Time, e.State, e.Status, e.Percent, e.Message = at, s, status, percent, msg
		e.Elapsed += share.Elapsed(after)
		tell(e)
	}
	say(0, share.Started, "", 0, "")
	e.ARN = "arn:key"
	say(time.Second, share.Found, "", 0, "")
	e.Step, e.ARN, e.Elapsed = share.CopyUnderKey, "arn:copy", 0
	say(0, share.Started, "", 0, "")
	say(time.Second, share.Progress, "pending", 0, "")
	say(time.Second, share.Progress, "pending", 0, "")
	say(time.Second, share.Progress, "copying", 1, "")
	say(time.Second, share.Progress, "copying", 20, "")
	say(time.Second, share.Progress, "copying", 50, "")
	say(29*time.Second, share.Progress, "copying", 51, "")
	say(29*time.Second, share.Progress, "copying", 52, "")
	say(time.Hour, share.Done, "", 100, "")
	e.Step, e.Elapsed = share.CopyToTarget, 0
	say(0, share.Started, "", 0, "")
	say(time.Second, share.Waiting, "", 0, "KMS refuses the key")
	say(time.Second, share.Failed, "", 0, "refused\n  cause  because")
}

func TestProgressInALog(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, false)
	told(p.event)
	p.end()
	want := `= create-key       111122223333    1.0s  arn:key
… copy-under-key   111122223333    1.0s  pending
… copy-under-key   111122223333    3.0s  copying  ░░░░░░░░░░   1%
… copy-under-key   111122223333    5.0s  copying  █████░░░░░  50%
… copy-under-key   111122223333   1m03s  copying  █████░░░░░  52%
✓ copy-under-key   111122223333   1h01m  arn:copy
… copy-to-target   111122223333    1.0s  KMS refuses the key
✗ copy-to-target   111122223333    2.0s  refused
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestProgressAsJSON(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, true)
	told(p.event)
	p.end()
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 14 {
		t.Errorf("%d lines", len(lines))
	}
	want := `{"schema":1,"time":"` + time.Unix(1, 0).Format(time.RFC3339) + `","run":"7f3a","step":"create-key","state":"found","account":"111122223333","arn":"arn:key","elapsed_s":1}`
	if lines[1] != want {
		t.Errorf("event\n%s, want\n%s", lines[1], want)
	}
}

// locked is a screen that may be looked at while it is drawn on.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen locked
		p := newProgress(&screen, false)
		p.onTerminal(func() int { return 50 })
		p.event(share.Event{Step: share.CopyUnderKey, Account: "111122223333", State: share.Progress, Status: "copying", Percent: 60})
		time.Sleep(2500 * time.Millisecond) // while nobody has anything to tell
		p.event(share.Event{Step: share.CopyUnderKey, Account: "111122223333", State: share.Done, ARN: "arn:aws:rds:eu-west-1:111122223333:cluster-snapshot:long", Elapsed: share.Elapsed(3 * time.Second)})
		p.end()
		const clear = "\r\x1b[K"
		want := clear + "… copy-under-key   111122223333    0.0s  copying " +
			clear + "… copy-under-key   111122223333    1.0s  copying " +
			clear + "… copy-under-key   111122223333    2.0s  copying " +
			clear + "✓ copy-under-key   111122223333    3.0s  arn:aws:rds:eu-west-1:111122223333:cluster-snapshot:long\n"
		if d := cmp.Diff(want, screen.String()); d != "" {
			t.Error(d)
		}
	})
}

// A run that is stopped leaves no line half drawn, and no goroutine.
func TestProgressEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen locked
		p := newProgress(&screen, false)
		p.onTerminal(func() int { return 0 })
		p.event(share.Event{State: share.Progress})
		p.end()
		p.end()
		if s := screen.String(); !strings.HasSuffix(s, "\n") || strings.Count(s, "\n") != 1 {
			t.Errorf("screen %q", s)
		}
	})
}
