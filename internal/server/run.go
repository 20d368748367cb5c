package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"borealis/internal/gateway"
	"borealis/internal/postgres"
)

// How long requests and engines may take to end when the server is told to.
const (
	requestGrace = 3 * time.Second
	engineGrace  = 20 * time.Second
)

// usageEvery is how much of when keys and principals were last used a crash may
// forget.
const usageEvery = 10 * time.Second

// headroomSize is how many bytes of heap there are that nobody ever touches, and
// that so take no memory, but count when the garbage collector decides how much may
// be allocated before it has to run again: garbagePercent of what there is. So little
// else lives here, a few megabytes, that under load it would run all the time. With a
// hundred thousand keys in memory each run costs more, and the percentage makes it as
// rare as that needs; more would leave several times a large heap.
const (
	headroomSize   = 20 << 20
	garbagePercent = 200
)

// Serve opens the data directory of cfg and serves until ctx ends; then it stops
// everything and returns nil. It calls ready with the URL once requests are
// answered; engines may come up after that. Errors are Open's, and those of the
// address to listen on, which is taken before anything is changed.
func Serve(ctx context.Context, cfg Config, ready func(url string)) (err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	headroom := make([]byte, headroomSize)
	defer runtime.KeepAlive(headroom)
	s, err := lock(ctx, cfg)
	if err != nil {
		return err
	}
	s.serving = true
	defer func() { err = errors.Join(err, s.Close()) }()
	l, err := listen(ctx, cfg.Listen)
	if err == nil {
		defer l.Close()
		err = s.open(ctx)
	}
	if err == nil {
		err = s.run(ctx, l, ready)
	}
	if err != nil && ctx.Err() != nil {
		// What was interrupted by the order to stop has its own words for that.
		s.cfg.Log.DebugContext(ctx, "stopped", "err", err)
		return nil
	}
	return err
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		address = DefaultListen
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("address %s is taken by another program; choose another with --listen: %w", address, syscall.EADDRINUSE)
	}
	if err != nil {
		return nil, fmt.Errorf("listen where --listen says, at %s: %w", address, err)
	}
	return l, nil
}

// urlOf is the URL at which this machine reaches a listener.
func urlOf(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok && t.IP.IsUnspecified() {
		return fmt.Sprintf("http://127.0.0.1:%d", t.Port)
	}
	return "http://" + a.String()
}

// run serves on l until ctx ends or a part of the server fails for good.
func (s *Server) run(ctx context.Context, l net.Listener, ready func(url string)) error {
	s.retireAbandoned(ctx)
	url := urlOf(l.Addr())
	door, err := s.listenForOperator(ctx, url)
	if err != nil {
		return err
	}
	defer door.remove()
	metrics, err := s.listenForMetrics(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	context.AfterFunc(ctx, s.stop)
	g.Go(func() error { return serve(ctx, gateway.NewServer(s.gateway, s.cfg.Log), l) })
	g.Go(func() error { return serve(ctx, s.operatorServer(), door.listener) })
	g.Go(func() error { return s.clusters.Run(ctx) })
	g.Go(func() error { return s.orgs.Run(ctx) })
	g.Go(func() error { return s.sweep(ctx) })
	g.Go(func() error { return s.connectStores(ctx) })
	g.Go(func() error { s.prepare(ctx); return nil })
	g.Go(func() error { s.collect(ctx); return nil })
	g.Go(func() error { return s.noteUsage(ctx) })
	g.Go(func() error { return s.watchBucket(ctx) })
	g.Go(func() error { return s.scrubVolumes(ctx) })
	g.Go(func() error { return s.serveMetrics(ctx, metrics) })
	ready(url)
	err = g.Wait()
	s.writeUsage(context.WithoutCancel(ctx)) // nobody asks for anything any more
	return err
}

// serve answers requests on l until ctx ends, and lets those under way finish.
func serve(ctx context.Context, h *http.Server, l net.Listener) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestGrace)
		defer cancel()
		if err := h.Shutdown(grace); err != nil {
			stopped <- h.Close()
			return
		}
		stopped <- nil
	})
	err := h.Serve(l)
	if stop() { // it ended by itself
		return err
	}
	return <-stopped
}

// retireAbandoned gives back the grants that RDS got for work that was never
// promised, because the process before this one died in between. No request is
// answered yet, so there is no such grant that is merely not written down yet.
func (s *Server) retireAbandoned(ctx context.Context) {
	used, err := s.clusters.GrantsInUse(ctx)
	n := 0
	if err == nil {
		n, err = s.keys.RetireAbandoned(ctx, "rds.amazonaws.com", used)
	}
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.ErrorContext(ctx, "abandoned grants are not all retired; the next start tries again", "err", err)
	}
	if n > 0 {
		s.cfg.Log.InfoContext(ctx, "retired abandoned grants", "grants", n)
	}
}

// collect removes what volumes no longer refer to: what a deletion that was cut
// short has left.
func (s *Server) collect(ctx context.Context) {
	if err := s.volumes.Collect(ctx); err != nil && ctx.Err() == nil {
		s.cfg.Log.ErrorContext(ctx, "volumes are not all tidy; the next start tries again", "err", err)
	}
}

// noteUsage writes down when keys and principals were last used, every few seconds.
func (s *Server) noteUsage(ctx context.Context) error {
	tick := time.NewTicker(usageEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.writeUsage(ctx)
		}
	}
}

func (s *Server) writeUsage(ctx context.Context) {
	_, err := s.keys.WriteUsage(ctx)
	_, ierr := s.identity.WriteUsage(ctx)
	if err := errors.Join(err, ierr); err != nil && ctx.Err() == nil {
		s.cfg.Log.ErrorContext(ctx, "when keys and principals were last used is not written down yet", "err", err)
	}
}

// sweep does, every minute, what is due of keys, and overwrites what is left of secrets
// that were deleted or replaced.
func (s *Server) sweep(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		s.sweepOnce(ctx, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Server) sweepOnce(ctx context.Context, now time.Time) {
	if _, err := s.keys.Sweep(ctx, now); err != nil && ctx.Err() == nil {
		s.cfg.Log.ErrorContext(ctx, "not all that is due of keys is done yet; the next minute tries again", "err", err)
	}
	if err := s.scrub(ctx); err != nil && ctx.Err() == nil {
		s.cfg.Log.WarnContext(ctx, "deleted secrets may still be in the database's log; the next minute tries again", "err", err)
	}
}

// scrub empties the database's log, if there is anything in it: who deletes a
// secret need not think of that.
func (s *Server) scrub(ctx context.Context) error {
	info, err := os.Stat(s.dir.join("borealis.db-wal"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	done, err := s.db.Scrub(ctx)
	if err == nil && !done {
		err = errors.New("somebody reads it")
	}
	return err
}

// prepare makes the engines' templates, so that the first cluster does not wait
// for initdb.
func (s *Server) prepare(ctx context.Context) {
	err := s.engines.Prepare(ctx)
	if _, missing := errors.AsType[*postgres.NotInstalledError](err); missing {
		s.cfg.Log.WarnContext(ctx, "clusters cannot be created", "err", err)
	} else if err != nil && ctx.Err() == nil {
		s.cfg.Log.ErrorContext(ctx, "prepare engines", "err", err)
	}
}
