package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// How long a server may take to end before it is asked less politely.
const (
	fastGrace      = 20 * time.Second
	immediateGrace = 10 * time.Second
)

// A process runs an engine's server. It is a runner.
type process struct {
	engines *Engines
	g       *engine
	id      string
	port    int
	program string
	args    []string
}

func (p *process) run(ctx context.Context, hurry <-chan struct{}, ready func()) error {
	// A server that was killed may have left children, which end soon.
	if err := p.engines.stopOrphans(ctx, p.engines.dataDir(p.id)); err != nil {
		return err
	}
	if err := p.engines.resumeRecovery(ctx, p.id); err != nil {
		return err
	}
	log, err := openLog(p.engines.logFile(p.id))
	if err != nil {
		return err
	}
	defer log.file.Close()
	cmd := exec.Command(p.program, p.args...)
	cmd.Dir = p.engines.dataDir(p.id)
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = log.file, log.file
	cmd.SysProcAttr = childOf(p.engines.user)
	if err := cmd.Start(); err != nil {
		return p.engines.user.explain(err, cmd.Dir)
	}
	p.setPID(cmd.Process.Pid)
	defer p.setPID(0)

	exited := make(chan struct{})
	var attend sync.WaitGroup
	var up bool
	var refused error
	attend.Go(func() {
		up, refused = p.await(ctx, exited)
		if up {
			p.engines.recovered(p.id)
			ready()
			log.keepShort(ctx, exited)
		}
		terminate(cmd.Process, exited, hurry)
	})
	err = cmd.Wait()
	close(exited)
	attend.Wait()
	switch {
	case refused != nil:
		return refused
	case up:
		return fmt.Errorf("server ended (%s); its messages are in %s", ending(err), log.file.Name())
	}
	return fmt.Errorf("server ended (%s): %s", ending(err), log.sinceStart())
}

// ending is how a process ended, in words.
func ending(err error) string {
	if err == nil {
		return "by itself"
	}
	return err.Error()
}

func (p *process) setPID(pid int) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.g.status.PID = pid
}

// await waits until the server accepts a connection of ours, which it does not
// while it recovers, or until it exits or ctx ends. An error is what the server
// refuses the connection with for good.
func (p *process) await(ctx context.Context, exited <-chan struct{}) (up bool, err error) {
	for wait := 2 * time.Millisecond; ; wait = min(wait*5/4, 200*time.Millisecond) {
		c, err := p.engines.connect(ctx, p.id, p.port)
		if err == nil {
			return true, c.Close(ctx)
		}
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code != "57P03" {
			return false, fmt.Errorf("connect to server: %w", err)
		}
		select {
		case <-exited:
			return false, nil
		case <-ctx.Done():
			return false, nil
		case <-time.After(wait):
		}
	}
}

// terminate ends a server that has not exited yet: first so that it writes out
// what it has, then at once, then by force.
func terminate(server *os.Process, exited, hurry <-chan struct{}) {
	steps := []struct {
		signal syscall.Signal
		grace  time.Duration
		hurry  <-chan struct{}
	}{
		{syscall.SIGINT, fastGrace, hurry},
		{syscall.SIGQUIT, immediateGrace, nil},
		{syscall.SIGKILL, immediateGrace, nil},
	}
	for _, s := range steps {
		select {
		case <-exited:
			return
		default:
		}
		server.Signal(s.signal) // an error says that it has exited
		select {
		case <-exited:
			return
		case <-s.hurry:
		case <-time.After(s.grace):
		}
	}
}

// maxLog is how long a server's log gets before it is begun anew; the one
// before it is kept as well.
const maxLog = 16 << 20

// A serverLog is the file that a server writes its messages to.
type serverLog struct {
	file  *os.File
	start int64
}

func openLog(path string) (*serverLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &serverLog{f, size}, nil
}

// sinceStart is the last of what the server has said since it was started.
func (l *serverLog) sinceStart() string {
	text, err := io.ReadAll(io.NewSectionReader(l.file, l.start, maxLog))
	if err != nil {
		return err.Error()
	}
	return tail(text, 2000)
}

// keepShort begins the log anew whenever it is long, until the server exits or
// ctx ends. The server goes on writing to the same file, at its end.
func (l *serverLog) keepShort(ctx context.Context, exited <-chan struct{}) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-exited:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			l.rotate()
		}
	}
}

// rotate moves a long log to a second file. Messages are not worth stopping a
// server for: a failure leaves the log long, and the next tick tries again.
func (l *serverLog) rotate() {
	fi, err := l.file.Stat()
	if err != nil || fi.Size() < maxLog {
		return
	}
	old, err := os.OpenFile(l.file.Name()+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer old.Close()
	if _, err := io.Copy(old, io.NewSectionReader(l.file, 0, maxLog)); err == nil {
		_ = l.file.Truncate(0)
	}
}
