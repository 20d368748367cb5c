package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"borealis/internal/postgres"
)

const (
	clusterRuns = 5
	// settle is how long engines are left alone before their memory is looked at.
	settle = 10 * time.Second
)

// benchCluster makes clusters through the API, and data directories with initdb,
// in turn; then it looks at the memory of the engines, which all run.
func benchCluster(ctx context.Context, b *bench) (err error) {
	s, root, err := b.server(ctx, "cluster")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	cfg, err := s.Config(ctx, root.AccessKeyID, root.SecretAccessKey, "")
	if err != nil {
		return err
	}
	peer, err := newPeer(b.dir)
	if errors.As(err, new(*postgres.NotInstalledError)) {
		b.missing("PostgreSQL", err)
		return nil
	}
	if err != nil {
		return err
	}
	db := newDatabases(cfg)
	began := time.Now()
	if _, err := db.create(ctx, "first", peer.version); err != nil { // waits for the template
		return err
	}
	b.say("first cluster of a new server (after initdb of the template): until available", milliseconds(time.Since(began)), "ms")
	var ours, theirs []time.Duration
	for i := range clusterRuns {
		began := time.Now()
		if _, err := db.create(ctx, fmt.Sprintf("run-%d", i), peer.version); err != nil {
			return err
		}
		ours = append(ours, time.Since(began))
		took, err := peer.initAndStart(ctx, i)
		if err != nil {
			return err
		}
		theirs = append(theirs, took)
	}
	b.say("initdb + pg_ctl start, median of 5", milliseconds(median(theirs)), "ms")
	b.say("CreateDBCluster + CreateDBInstance until available, median of 5", milliseconds(median(ours)), "ms")
	b.atMost("borealis to initdb + pg_ctl start", float64(median(ours))/float64(median(theirs)), "×", 0.5)
	return b.idleEngines(ctx, s.PID())
}

// idleEngines looks at the memory of the engines below process server.
func (b *bench) idleEngines(ctx context.Context, server int) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(settle):
	}
	var all memory
	engines := map[int]bool{}
	for _, pid := range family(server) {
		m, err := memoryOf(pid)
		if errors.Is(err, os.ErrNotExist) {
			continue // it has just ended
		}
		if err != nil {
			return err
		}
		all.add(m)
		if p, err := readProcess(pid); err == nil && p.parent == server {
			engines[pid] = true
		}
	}
	if len(engines) == 0 {
		return errors.New("no engine runs")
	}
	n := float64(len(engines)) * mib
	b.say("engines that run side by side", float64(len(engines)), "")
	b.atMost("memory of an idle engine (PSS of all its processes), mean", float64(all.pss)/n, "MiB", 25)
	b.say("  of it shared with nobody (USS)", float64(all.uss)/n, "MiB")
	b.say("  resident, shared pages counted many times (RSS)", float64(all.rss)/n, "MiB")
	m, err := memoryOf(server)
	if err != nil {
		return err
	}
	b.say("borealis itself, resident, with these engines", float64(m.rss)/mib, "MiB")
	return nil
}

// A peer is PostgreSQL's own programs, run as the user that engines run as.
type peer struct {
	version, bin, dir string
	user              *osUser
}

func newPeer(dir string) (*peer, error) {
	e, err := postgres.New(postgres.Config{Dir: filepath.Join(dir, "peer")})
	if err != nil {
		return nil, err
	}
	all := e.Versions()
	if err := e.Close(context.Background()); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, &postgres.NotInstalledError{}
	}
	newest := all[len(all)-1]
	u, err := engineUser()
	return &peer{newest.Full, newest.Bin, filepath.Join(dir, "peer"), u}, err
}

// initAndStart is what one does by hand to have a server: initdb and pg_ctl
// start, with PostgreSQL's own settings. It stops the server afterwards.
func (p *peer) initAndStart(ctx context.Context, i int) (time.Duration, error) {
	data := filepath.Join(p.dir, fmt.Sprintf("data%d", i))
	if err := p.user.mkdir(data); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := p.run(ctx, "initdb", "-D", data, "--auth", "trust"); err != nil {
		return 0, err
	}
	if err := p.start(ctx, data); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, p.stop(ctx, data)
}

func (p *peer) start(ctx context.Context, data string) error {
	_, err := p.run(ctx, "pg_ctl", "start", "-w", "-D", data, "-l", filepath.Join(data, "log"),
		"-o", "-c listen_addresses='' -c unix_socket_directories="+data)
	return err
}

func (p *peer) stop(ctx context.Context, data string) error {
	_, err := p.run(context.WithoutCancel(ctx), "pg_ctl", "stop", "-w", "-m", "fast", "-D", data)
	return err
}

func (p *peer) run(ctx context.Context, program string, args ...string) (string, error) {
	return p.user.command(ctx, p.dir, filepath.Join(p.bin, program), args...)
}
