package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A State is how an engine is.
type State string

// The states of an engine. One that does not exist is Stopped.
const (
	Stopped    State = "stopped"
	Starting   State = "starting"   // Start is at it
	Running    State = "running"    // it accepts connections
	Restarting State = "restarting" // it died, and is being started again
	Failed     State = "failed"     // it died too often; Start may be tried
)

// An Endpoint is where an engine accepts connections.
type Endpoint struct {
	Host string
	Port int
}

// A Status is what is known of an engine. It is a copy.
type Status struct {
	State    State
	Endpoint Endpoint // zero when it never ran
	Version  string   // "15.18"; "" when it never ran
	PID      int      // the server's process; 0 when there is none
	Restarts int      // how many times it died since Start
	Err      error    // why it is Restarting or Failed
}

// A StartSpec says how to start an engine. The zero value starts it as before.
type StartSpec struct {
	// Version is the version to start it with; the one of last time, or a newer
	// one of the same major version, if "".
	Version string
	// Port is the port to listen on. If 0: the one of last time if that is
	// free, or else one that the kernel chooses.
	Port int
	// Elsewhere says to choose another port when Port is taken, in place of
	// failing with a PortTakenError.
	Elsewhere bool
}

// Start starts engine id and returns when it accepts connections; then it is
// supervised: if it dies it is started again, on the same port, until Stop.
// Starting one that runs returns its endpoint. A server that an earlier process
// left running on the same files is stopped first. When Start fails, or ctx
// ends, no server is left. Errors: cloud.ErrNotFound, NotInstalledError,
// PortTakenError, UnreachableError, and what the server said last.
func (e *Engines) Start(ctx context.Context, id string, spec StartSpec) (Endpoint, error) {
	ctx, g, release, err := e.take(ctx, id)
	if err != nil {
		return Endpoint{}, err
	}
	defer release()
	at, err := e.start(ctx, g, spec)
	if err != nil {
		return Endpoint{}, fmt.Errorf("start engine %s: %w", id, err)
	}
	return at, nil
}

// start is Start, in g's turn.
func (e *Engines) start(ctx context.Context, g *engine, spec StartSpec) (Endpoint, error) {
	r, err := e.record(g.id)
	if err != nil {
		return Endpoint{}, err
	}
	if s := g.get(); s.State == Running {
		return s.Endpoint, nil
	}
	g.shutdown(ctx)
	v, err := e.find(cmp.Or(spec.Version, r.Version))
	if err != nil {
		return Endpoint{}, err
	}
	if err := e.readyToStart(ctx, g.id, v); err != nil {
		return Endpoint{}, err
	}
	port, err := e.startSomewhere(ctx, g, v, spec, r.Port)
	if err != nil {
		g.set(Status{State: Stopped, Err: err})
		return Endpoint{}, err
	}
	if r.Port != port || r.Version != v.Full {
		r.Port, r.Version = port, v.Full
		if err := e.writeRecord(e.engineDir(g.id), r); err != nil {
			g.shutdown(ctx)
			return Endpoint{}, err
		}
	}
	return Endpoint{e.host, port}, nil
}

// readyToStart makes all that engine id's server needs to start with version v.
func (e *Engines) readyToStart(ctx context.Context, id string, v Version) error {
	data := e.dataDir(id)
	major, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return err
	}
	if m := strings.TrimSpace(string(major)); m != majorOf(v.Full) {
		return &IncompatibleError{fmt.Sprintf("they are of PostgreSQL %s, which PostgreSQL %s cannot read", m, v.Full)}
	}
	if err := e.stopOrphans(ctx, data); err != nil {
		return err
	}
	// What a process that died was writing here. Nobody else is at it now.
	if err := sweep(e.engineDir(id)); err != nil {
		return err
	}
	if err := e.makeSocketDir(id); err != nil {
		return err
	}
	return e.writeConf(id, v)
}

// startSomewhere starts g on the port that spec asks for, or on another if it
// may, and returns the port.
func (e *Engines) startSomewhere(ctx context.Context, g *engine, v Version, spec StartSpec, last int) (int, error) {
	free := spec.Port == 0 || spec.Elsewhere
	want := cmp.Or(spec.Port, last)
	for attempt := 0; ; attempt++ {
		port, release, err := e.reserve(want)
		if errors.As(err, new(*PortTakenError)) && free && want != 0 {
			want = 0
			continue
		}
		if err != nil {
			return 0, err
		}
		err = e.launch(ctx, g, v, port)
		if err != nil && ctx.Err() == nil && !e.vacant(port) {
			err = &PortTakenError{e.host, port} // somebody took it meanwhile
		}
		release()
		if errors.As(err, new(*PortTakenError)) && free && attempt < 5 {
			want = 0
			continue
		}
		return port, err
	}
}

// launch starts g's server under supervision and waits until it is up. After an
// error there is no server.
func (e *Engines) launch(ctx context.Context, g *engine, v Version, port int) error {
	p := &process{
		engines: e, g: g, id: g.id, port: port,
		program: v.program("postgres"), args: e.arguments(g.id, port),
	}
	g.set(Status{State: Starting, Endpoint: Endpoint{e.host, port}, Version: v.Full})
	s := newSupervision()
	g.mu.Lock()
	g.server = s
	g.mu.Unlock()
	up := make(chan struct{})
	once := sync.OnceFunc(func() { close(up) })
	go s.run(p, func(ch change) {
		e.changed(g, ch)
		if ch.state == Running {
			once()
		}
	})
	select {
	case <-up:
		return nil
	case <-s.gone:
		return s.err
	case <-ctx.Done():
		g.shutdown(ctx)
		return context.Cause(ctx)
	}
}

// changed notes what supervision tells of g.
func (e *Engines) changed(g *engine, ch change) {
	g.mu.Lock()
	g.status.State, g.status.Err = ch.state, ch.err
	if ch.state == Restarting {
		g.status.Restarts++
	}
	n := g.status.Restarts
	g.mu.Unlock()
	switch {
	case ch.state == Failed:
		e.log.Error("engine given up", "engine", g.id, "restarts", n, "err", ch.err)
	case ch.state == Restarting:
		e.log.Warn("engine died, starting it again", "engine", g.id, "restarts", n, "err", ch.err)
	case ch.state == Running && n > 0:
		e.log.Info("engine is back", "engine", g.id, "restarts", n)
	}
}

// Stop stops engine id: new connections are refused and open ones ended, what
// was committed is written out. When ctx ends before that is done, the server
// is ended at once, and recovers when it is started again. When Stop returns
// nil there is no server. Stopping one that does not run is not an error.
func (e *Engines) Stop(ctx context.Context, id string) error {
	ctx, g, release, err := e.take(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	g.shutdown(ctx)
	if err := e.stopOrphans(ctx, e.dataDir(id)); err != nil {
		return fmt.Errorf("stop engine %s: %w", id, err)
	}
	return e.removeSocketDir(id)
}

// Close stops all engines, as Stop does, and lets none be started any more;
// what waits or runs in other methods ends with ErrClosed. When it returns there
// is no server; the error is the end of ctx, which may have cut some short.
func (e *Engines) Close(ctx context.Context) error {
	e.mu.Lock()
	e.close(ErrClosed)
	all := make([]*engine, 0, len(e.engines))
	for _, g := range e.engines {
		all = append(all, g)
	}
	e.mu.Unlock()
	var wg sync.WaitGroup
	for _, g := range all {
		wg.Go(func() {
			g.turn <- struct{}{} // its holder ends soon: its context did
			defer func() { <-g.turn }()
			g.shutdown(ctx)
			if err := e.removeSocketDir(g.id); err != nil {
				e.log.Warn("a socket's directory is left", "engine", g.id, "err", err)
			}
		})
	}
	wg.Wait()
	e.background.Wait()
	return context.Cause(ctx)
}

// Status says how engine id is. It never waits.
func (e *Engines) Status(id string) Status {
	e.mu.Lock()
	g := e.engines[id]
	e.mu.Unlock()
	if g == nil {
		return Status{State: Stopped}
	}
	return g.get()
}

func (g *engine) get() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.status
}

func (g *engine) set(s Status) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status = s
}

// shutdown ends g's server and its supervision, if there are any, and returns
// when they are gone. The end of ctx makes it hurry.
func (g *engine) shutdown(ctx context.Context) {
	g.mu.Lock()
	s := g.server
	g.server = nil
	g.mu.Unlock()
	if s == nil {
		return
	}
	s.end(ctx)
	g.mu.Lock()
	g.status.State, g.status.PID, g.status.Err = Stopped, 0, nil
	g.mu.Unlock()
}
