package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is a pseudo-terminal with somebody in front of it.
type terminal struct {
	keyboard *os.File // what is typed here the command reads, and what it draws comes out

	mu     sync.Mutex
	screen strings.Builder
	drawn  chan struct{}
}

// newTerminal starts cmd with a terminal of this width as its standard input and
// error.
func newTerminal(t *testing.T, cmd *exec.Cmd, columns uint16) *terminal {
	t.Helper()
	front, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIPPED: no pseudo-terminals here: %v", err)
	}
	fd := int(front.Fd())
	must(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must(t, err)
	must(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}))
	back, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	cmd.Stdin, cmd.Stderr = back, back
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, cmd.Start())
	back.Close()
	term := &terminal{keyboard: front, drawn: make(chan struct{}, 1)}
	go term.watch()
	t.Cleanup(func() { front.Close() })
	return term
}

func (term *terminal) watch() {
	b := make([]byte, 4096)
	for {
		n, err := term.keyboard.Read(b)
		term.mu.Lock()
		term.screen.Write(b[:n])
		term.mu.Unlock()
		select {
		case term.drawn <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (term *terminal) text() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.screen.String()
}

// await waits until the terminal has shown words.
func (term *terminal) await(t *testing.T, words string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !strings.Contains(term.text(), words) {
		select {
		case <-term.drawn:
		case <-ctx.Done():
			t.Fatalf("the terminal never shows %q:\n%s", words, term.text())
		}
	}
}

func (term *terminal) types(t *testing.T, keys string) {
	t.Helper()
	_, err := term.keyboard.WriteString(keys)
	must(t, err)
}

// atATerminal approves the plan by hand, declines it, and presses Ctrl-C.
func atATerminal(t *testing.T, w *sharing) {
	const prompt = `Only "yes" will do: `
	for name, c := range map[string]struct {
		keys   string
		status int
		says   string
	}{
		"yes":    {"yes\n", 0, "✓ copy-to-target"},
		"y":      {"y\n", 1, "not approved; nothing was changed"},
		"Ctrl-C": {"\x03", 130, "The same command continues from here"},
		"Ctrl-D": {"\x04", 1, "not approved"},
	} {
		t.Run(name, func(t *testing.T) {
			id := w.snapshot(t)
			cmd := w.command(t.Context(), id)
			cmd.Env = append(cmd.Env, "TERM=xterm")
			term := newTerminal(t, cmd, 60)
			term.await(t, prompt)
			term.types(t, c.keys)
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != c.status {
				t.Errorf("status %d, want %d\n%s", got, c.status, term.text())
			}
			term.await(t, c.says)
			if made := len(w.keysOf(t, w.run(t, id))); (c.status == 0) != (made == 1) {
				t.Errorf("%d keys made", made)
			}
			if c.status == 0 {
				redrawn(t, term.text())
			}
		})
	}
}

// redrawn checks that unfinished lines are redrawn in their place and do not
// wrap at 60 columns.
func redrawn(t *testing.T, screen string) {
	t.Helper()
	drawings := strings.Split(screen, "\r\x1b[K")
	if len(drawings) < 6 {
		t.Errorf("nothing was redrawn:\n%q", screen)
	}
	for _, d := range drawings[1:] {
		if unfinished := []rune(d); strings.HasPrefix(d, "…") && len(unfinished) >= 60 {
			t.Errorf("%q is too long for the terminal", d)
		}
	}
}
