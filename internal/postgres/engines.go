// Package postgres owns PostgreSQL servers: it finds the ones that the system
// has installed, makes data directories, starts, supervises and stops one
// server (an "engine") per cluster, reads a running one's files for a snapshot
// and starts an engine from files that were restored. It knows nothing of
// accounts, policies, keys, the RDS API or how snapshots are kept.
//
// # On disk
//
// All of it is inside Config.Dir, which one process uses at a time:
//
//	tls/                 the installation's CA and the engines' certificate
//	templates/<version>/ data directories fresh from initdb
//	spares/<version>/    copies of them, which Create takes
//	engines/<id>/        one engine
//	    engine.json      what it is; an engine exists when this file does
//	    data/            PGDATA, owned by the engine user, mode 0700
//	    conf/            postgresql.conf, pg_hba.conf, pg_ident.conf: ours,
//	                     written at every start, never in a snapshot
//	    run/             the Unix socket (elsewhere when the path is too long)
//	    postgres.log     the server's messages
//
// Names that begin with a dot are work in progress or waste of a process that
// died; New removes them.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/durable"
)

// Config is all there is to configure.
type Config struct {
	// Dir is the directory that holds everything; it is made if it is absent.
	// Required. When this process is root the engine user must be able to
	// traverse its parents. One process uses it at a time: the caller locks it.
	Dir string
	// Host is the address that engines listen on, that endpoints name and that
	// the certificate is for. "127.0.0.1" if empty.
	Host string
	// User is the operating system's user that engines run as when this process
	// is root; a process that is not root runs them as itself. If empty, the
	// first of "postgres" and "nobody" that exists.
	User string
	// Unsafe says not to wait for the disk, neither here nor in the servers. A
	// crash of a process does no harm then, but one of the machine may leave
	// engines broken. For tests.
	Unsafe bool
	// Log gets what happens to engines while nobody waits for an answer:
	// crashes, restarts. slog.Default() if nil.
	Log *slog.Logger
	// Bin is the directory of the programs (postgres, initdb) to run engines with.
	// If empty, every version is used that the system has: in the usual places,
	// and on PATH.
	Bin string
}

// Engines are the engines of one directory. Methods may be called concurrently;
// those that change the same engine wait for each other.
type Engines struct {
	dir  string
	host string
	bin  string
	user account
	log  *slog.Logger
	tls  *certificates

	unsafe bool

	installed installed
	templates keyedMutex // by version
	spares    keyedMutex // by version

	// life ends when the engines are closed.
	life       context.Context
	close      context.CancelCauseFunc
	background sync.WaitGroup

	mu      sync.Mutex
	engines map[string]*engine
	ports   map[int]bool // promised to an engine that is not listening yet
}

// An engine is the state of one cluster's server in this process.
type engine struct {
	id   string
	turn chan struct{} // holds a token while a method changes the engine

	mu     sync.Mutex
	status Status
	server *supervision // nil before the first start
}

// New prepares dir for use: makes what is missing, removes what a process that
// died left half done. It starts no process, and it
// succeeds on a machine without PostgreSQL: what needs one says so with
// NotInstalledError.
func New(cfg Config) (*Engines, error) {
	if cfg.Dir == "" {
		return nil, errors.New("postgres: Config.Dir is empty")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", cfg.Dir, err)
	}
	user, err := engineUser(cfg.User)
	if err != nil {
		return nil, err
	}
	e := &Engines{
		dir: dir, host: cfg.Host, bin: cfg.Bin, user: user, log: cfg.Log, unsafe: cfg.Unsafe,
		engines: map[string]*engine{}, ports: map[int]bool{},
	}
	e.life, e.close = context.WithCancelCause(context.Background())
	if e.host == "" {
		e.host = "127.0.0.1"
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	if err := e.makeDirs(); err != nil {
		return nil, err
	}
	e.tls = newCertificates(e.path("tls"))
	return e, nil
}

// makeDirs makes the directories that are missing. The engine user gets through
// those that are made here, whatever the umask.
func (e *Engines) makeDirs() error {
	paths := []string{e.path("tls"), e.path("templates"), e.path("spares"), e.path("engines")}
	if !exists(e.dir) {
		paths = append([]string{e.dir}, paths...)
	}
	for _, p := range paths {
		if err := errors.Join(os.MkdirAll(p, 0o711), os.Chmod(p, 0o711)); err != nil {
			return fmt.Errorf("make engine directory: %w", err)
		}
		if p == e.dir {
			continue
		}
		if err := sweep(p); err != nil {
			return fmt.Errorf("remove leftovers: %w", err)
		}
	}
	return nil
}

// sweep removes the entries of dir whose names begin with a dot.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, x := range entries {
		if strings.HasPrefix(x.Name(), ".") {
			err = errors.Join(err, removeFromUnder(filepath.Join(dir, x.Name())))
		}
	}
	return err
}

// removeFromUnder removes a tree into which a program that a killed process has
// started may still write: it finds no place to write to soon, or ends.
func removeFromUnder(path string) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	last := time.After(10 * time.Second)
	for {
		err := os.RemoveAll(path)
		if !errors.Is(err, syscall.ENOTEMPTY) {
			return err
		}
		select {
		case <-again.C:
		case <-last:
			return err
		}
	}
}

// CAFile is the path of the PEM certificate that clients verify engines with
// (sslrootcert). Anybody may read it. It is there once an engine runs.
func (e *Engines) CAFile() string { return e.tls.caFile }

// IDs lists the engines that exist on disk, running or not, in order, so that
// the owner of the clusters can remove those that it does not know.
func (e *Engines) IDs() ([]string, error) {
	entries, err := os.ReadDir(e.path("engines"))
	if err != nil {
		return nil, fmt.Errorf("list engines: %w", err)
	}
	var ids []string
	for _, x := range entries {
		if validID.MatchString(x.Name()) {
			ids = append(ids, x.Name())
		}
	}
	return ids, nil
}

var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)

// take waits for its turn to change engine id, and returns the engine, what
// ends the turn, and a context that Close ends too. It does not say that the
// engine exists on disk.
func (e *Engines) take(ctx context.Context, id string) (context.Context, *engine, func(), error) {
	if !validID.MatchString(id) {
		return nil, nil, nil, fmt.Errorf("%q cannot be the id of an engine", id)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(e.life, func() { cancel(ErrClosed) })
	e.mu.Lock()
	g := e.engine(id)
	e.mu.Unlock()
	end := func() { unhook(); cancel(nil) }
	select {
	case g.turn <- struct{}{}:
		if ctx.Err() == nil && e.life.Err() == nil {
			return ctx, g, func() { <-g.turn; end() }, nil
		}
		<-g.turn // both were ready
	case <-ctx.Done():
	}
	end()
	if e.life.Err() != nil {
		return nil, nil, nil, fmt.Errorf("engine %s: %w", id, ErrClosed)
	}
	return nil, nil, nil, fmt.Errorf("wait for engine %s: %w", id, context.Cause(ctx))
}

// engine is the state of engine id. e.mu is held.
func (e *Engines) engine(id string) *engine {
	g := e.engines[id]
	if g == nil {
		g = &engine{id: id, turn: make(chan struct{}, 1), status: Status{State: Stopped}}
		e.engines[id] = g
	}
	return g
}

func (e *Engines) path(elem ...string) string {
	return filepath.Join(append([]string{e.dir}, elem...)...)
}

// sync makes everything under dir durable.
func (e *Engines) sync(dir string) error {
	if e.unsafe {
		return nil
	}
	return durable.SyncTree(dir)
}

// The places of one engine.
func (e *Engines) engineDir(id string) string { return e.path("engines", id) }
func (e *Engines) dataDir(id string) string   { return e.path("engines", id, "data") }
func (e *Engines) confDir(id string) string   { return e.path("engines", id, "conf") }
func (e *Engines) logFile(id string) string   { return e.path("engines", id, "postgres.log") }

// exists reports whether path does.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// keyedMutex is a mutex for every key.
type keyedMutex struct {
	mu sync.Mutex
	m  map[string]chan struct{}
}

// lock waits for key's mutex, or for the end of ctx, and returns what unlocks it.
func (k *keyedMutex) lock(ctx context.Context, key string) (func(), error) {
	k.mu.Lock()
	if k.m == nil {
		k.m = map[string]chan struct{}{}
	}
	c := k.m[key]
	if c == nil {
		c = make(chan struct{}, 1)
		k.m[key] = c
	}
	k.mu.Unlock()
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// notFound says that engine id does not exist.
func notFound(id string) error { return fmt.Errorf("engine %s: %w", id, cloud.ErrNotFound) }
