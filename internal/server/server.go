// Package server is one borealis serve: it opens a data directory, puts the
// services together, and runs them until it is told to stop. It knows every
// implementation and decides nothing itself.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/clusters"
	"borealis/internal/durable"
	"borealis/internal/gateway"
	"borealis/internal/identity"
	"borealis/internal/keys"
	"borealis/internal/postgres"
	"borealis/internal/seal"
	"borealis/internal/sessions"
	"borealis/internal/store"
	"borealis/internal/volume"
	"borealis/internal/volume/disk"
	"borealis/internal/wire"
)

// DefaultListen is where a server listens unless told otherwise.
const DefaultListen = "127.0.0.1:4566"

// Config is all there is to configure. The zero value of every field is the one
// to use unless its comment says otherwise.
type Config struct {
	// Data is the directory that holds everything: the database, the volumes, the
	// engines' files, the audit log. Required. Unless Init is set it must have
	// been initialized, so that a typing error or a disk that is not mounted does
	// not start a second, empty cloud.
	Data string
	// RootKey is the file of the key that seals every other key. Required. It is
	// never inside Data: a backup of Data must not carry it.
	RootKey string
	// Init makes Data and RootKey where they do not exist.
	Init bool
	// Listen is the address to serve on. DefaultListen if empty.
	Listen string
	// Bootstrap is a JSON file of accounts to make if they do not exist.
	Bootstrap string
	// EngineHost is the address that PostgreSQL servers listen on and that
	// endpoints name. 127.0.0.1 if empty.
	EngineHost string
	// EngineUser is the user that PostgreSQL servers run as when this process is
	// root. The first of postgres and nobody that exists if empty.
	EngineUser string
	// LateShareRefusal lets a snapshot under aws/rds be shared, and refuses only
	// its copy.
	LateShareRefusal bool
	// Log gets what operators should know. slog.Default() if nil.
	Log *slog.Logger
}

// A Server is an open data directory with its services. Open makes one, and Run
// or Close ends it.
type Server struct {
	cfg      Config
	dir      *dataDir
	db       *store.DB
	audit    *audit.Log
	identity *identity.Service
	keys     *keys.Service
	clusters *clusters.Service
	engines  *postgres.Engines
	gateway  *gateway.Gateway
}

// Open opens the data directory and puts the services together, starting
// nothing. Its errors say what to do; see ErrLocked, ErrNotInitialized,
// ErrFormat and ErrRootKey.
func Open(ctx context.Context, cfg Config) (_ *Server, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Server{cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.dir, err = openDataDir(cfg.Data, cfg.Init); err != nil {
		return nil, err
	}
	if err := outside(cfg.RootKey, s.dir.path); err != nil {
		return nil, err
	}
	if s.db, err = store.Open(ctx, s.dir.join("borealis.db")); err != nil {
		return nil, err
	}
	root, err := rootKey(ctx, s.db, cfg.RootKey, cfg.Init)
	if err != nil {
		return nil, err
	}
	for _, own := range []string{"audit", "volumes"} {
		if err := durable.MkdirAll(s.dir.join(own), 0o700); err != nil {
			return nil, err
		}
	}
	if s.audit, err = audit.Open(s.dir.join("audit/decisions.jsonl")); err != nil {
		return nil, err
	}
	volumes, err := disk.Open(s.dir.join("volumes"))
	if err != nil {
		return nil, err
	}
	s.engines, err = postgres.New(postgres.Config{Dir: s.dir.join("engines"), Host: cfg.EngineHost, User: cfg.EngineUser, Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	s.wire(root, volume.New(volumes))
	return s, s.bootstrap(ctx)
}

// wire makes the services and tells them of each other.
func (s *Server) wire(root *seal.Root, volumes *volume.Engine) {
	s.identity = &identity.Service{Store: s.db.Identity(), Audit: s.audit, Sealer: root.Derive("identity"), Now: time.Now}
	sts := &sessions.Service{Principals: principals{s.identity}, Policies: s.identity, Audit: s.audit, Sealer: root.Derive("sessions"), Now: time.Now}
	s.keys = &keys.Service{Store: s.db.Keys(), Policies: s.identity, Principals: s.identity, Audit: s.audit, Sealer: root.Derive("keys"), Now: time.Now}
	s.clusters = &clusters.Service{
		Store: s.db.Clusters(), Policies: s.identity, Audit: s.audit,
		Keys:    func(c cloud.Caller) clusters.Keys { return s.keys.As(c) },
		Engines: engines{s.engines}, Volumes: volumeKeeper{volumes, s.engines},
		Now: time.Now, Log: s.cfg.Log, LateShareRefusal: s.cfg.LateShareRefusal,
	}
	s.gateway = gateway.New(gateway.Config{
		Credentials: credentials{s.identity, sts},
		Services:    services(s.keys, s.clusters, s.identity, sts),
		Log:         s.cfg.Log,
	})
}

// services puts the services behind the names that they have on the wire.
func services(k *keys.Service, c *clusters.Service, i *identity.Service, s *sessions.Service) []gateway.Service {
	return []gateway.Service{
		gateway.Serve(wire.KMS, keys.Ops, k.As),
		gateway.Serve(wire.RDS, clusters.Ops, c.As),
		gateway.Serve(wire.IAM, identity.Ops, i.As),
		gateway.Serve(wire.STS, sessions.Ops, s.As),
	}
}

// Close ends the use of the data directory. Run does it too.
func (s *Server) Close() error {
	var errs []error
	if s.engines != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		errs = append(errs, s.engines.Close(ctx))
	}
	if s.audit != nil {
		errs = append(errs, s.audit.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.dir != nil {
		errs = append(errs, s.dir.close())
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends, then stops everything and closes the Server. It
// calls ready with the URL once requests are answered; engines may come up
// after that.
func (s *Server) Run(ctx context.Context, ready func(url string)) (err error) {
	defer func() { err = errors.Join(err, s.Close()) }()
	listen := s.cfg.Listen
	if listen == "" {
		listen = DefaultListen
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	url := "http://" + l.Addr().String()
	op, err := s.listenForOperator(ctx, url)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer op.remove()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return serve(ctx, gateway.NewServer(s.gateway, s.cfg.Log), l) })
	g.Go(func() error {
		return serve(ctx, &http.Server{Handler: s.operator(), ReadHeaderTimeout: time.Minute}, op.listener)
	})
	g.Go(func() error { return s.clusters.Run(ctx) })
	g.Go(func() error { return s.sweep(ctx) })
	g.Go(func() error { s.prepare(ctx); return nil })
	ready(url)
	return g.Wait()
}

// serve answers requests on l until ctx ends, and lets those under way finish.
func serve(ctx context.Context, h *http.Server, l net.Listener) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
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

// sweep deletes keys whose waiting period is over.
func (s *Server) sweep(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if _, err := s.keys.Sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.cfg.Log.ErrorContext(ctx, "keys due for deletion are not deleted yet", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
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
