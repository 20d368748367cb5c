// Package server is one borealis serve: it opens a data directory, puts the
// services together, and runs them until it is told to stop. It knows every
// implementation and decides nothing itself.
package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"borealis/internal/api"
	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/clusters"
	"borealis/internal/federation"
	"borealis/internal/gateway"
	"borealis/internal/identity"
	"borealis/internal/keys"
	"borealis/internal/organizations"
	"borealis/internal/postgres"
	"borealis/internal/seal"
	"borealis/internal/sessions"
	"borealis/internal/store"
	"borealis/internal/trail"
	"borealis/internal/volume"
	"borealis/internal/volume/cache"
	"borealis/internal/volume/s3"
	"borealis/internal/volume/scrub"
	"borealis/internal/wire"
)

// DefaultListen is where a server listens unless told otherwise.
const DefaultListen = "127.0.0.1:4566"

// What is kept of the audit log unless told otherwise.
const (
	DefaultAuditSize = 64 << 20
	DefaultAuditKeep = 8
)

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
	// RootKeyWrap says how a root key that Init makes is kept: none (also if it is
	// empty), passphrase, the ARN of an upstream KMS's key, or a PKCS#11 URI.
	RootKeyWrap string
	// RootKeyEndpoint is the URL of that KMS. If it is empty the SDK finds it.
	RootKeyEndpoint string
	// Passphrase returns the passphrase of the root key, if it has one; isNew says
	// that it is to be chosen. It is asked once at most, and may be nil.
	Passphrase func(ctx context.Context, isNew bool) (seal.Plaintext, error)
	// Volumes is where snapshots are, s3://BUCKET/PREFIX with options (see
	// s3.Location). In Data if it is empty, or where they were put before.
	Volumes string
	// VolumesCache is how many bytes of snapshots in S3 are kept in Data, too.
	VolumesCache int64
	// ScrubEvery is how often all snapshots are looked at, and ScrubRate how many
	// bytes of them are read in a second at most. Never, and without limit, if 0.
	ScrubEvery time.Duration
	ScrubRate  int64
	// Metrics is the address to serve metrics at, for Prometheus. At none but the
	// operator's socket if it is empty.
	Metrics string
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
	// PostgresBin is the directory of the PostgreSQL programs to run engines with.
	// If empty, all versions that the system has are found and used.
	PostgresBin string
	// LateShareRefusal lets a snapshot under aws/rds be shared, and refuses only
	// its copy.
	LateShareRefusal bool
	// AuditSize is how many bytes a file of the audit log has at most, and
	// AuditKeep how many older files are kept beside the one that is written.
	// DefaultAuditSize and DefaultAuditKeep if zero.
	AuditSize int64
	AuditKeep int
	// AttestationRoot is a PEM file of the certificates that vouch for attestation
	// documents of Nitro enclaves. If empty, none is trusted.
	AttestationRoot string
	// XksProxies are addresses ("10.0.0.5:8443") of external key store proxies by the
	// host name of their endpoint: the only way to proxies that are not at port 443
	// of a public address, and what stands for VPC endpoint services.
	XksProxies map[string]string
	// XksCA is a file of the certificates that vouch for external key store proxies.
	// The system's if empty.
	XksCA string
	// XksTimeout is how long such a proxy has for one answer. As long as AWS gives
	// it, 250 ms, if 0.
	XksTimeout time.Duration
	// OIDCIssuers are addresses ("10.0.0.5:8443") of OpenID Connect providers by their
	// host name: the only way to those that are not at port 443 of a public address.
	OIDCIssuers map[string]string
	// OIDCCA is a file of the certificates that vouch for OpenID Connect providers.
	// The system's if empty.
	OIDCCA string
	// EncodedDenials puts an encoded authorization message into every denial.
	EncodedDenials bool
	// HSMModule is the PKCS#11 module of CloudHSM key stores. There can be none if
	// it is empty, or if the program was built without the tag pkcs11.
	HSMModule string
	// KMSRequestRate is at how many times AWS's quotas requests to KMS are
	// throttled. Not at all if it is zero.
	KMSRequestRate float64
	// SnapshotReadRate is the most bytes that one snapshot reads from a cluster's
	// files in a second, so that the cluster has the rest of the disk. There is no
	// bound if it is zero.
	SnapshotReadRate int64
	// Log gets what operators should know. slog.Default() if nil.
	Log *slog.Logger
}

// A Server is an open data directory with its services. Open makes one, and
// Close ends it.
type Server struct {
	cfg      Config
	dir      *dataDir
	db       *store.DB
	audit    *audit.Log
	identity *identity.Service
	proxies  proxies
	issuers  *federation.Issuers
	modules  modules
	keys     *keys.Service
	clusters *clusters.Service
	orgs     *organizations.Service
	engines  *postgres.Engines
	volumes  *volume.Engine
	bucket   *s3.Store    // of the volumes; nil if they are on disk
	cached   *cache.Cache // likewise, or if there is no cache
	notes    *scrub.Notes // checksums of the volumes' objects
	raw      volume.Backend
	meters   *meters
	serving  bool // not an operator's command only
	gateway  *gateway.Gateway

	rootKey *keyHolder
	roots   *seal.Ring // seals what is stored
	tokens  *seal.Ring // seals what clients keep

	// replacing is held by who replaces the root key, and by Close, which ends
	// stopping before.
	replacing sync.Mutex
	stopping  context.Context
	stop      context.CancelFunc
	fault     func(step string) error // of tests; nil otherwise
}

// Open opens the data directory and puts the services together, starting
// nothing. Its errors say what to do; see ErrLocked, ErrNotInitialized,
// ErrFormat and ErrRootKey. What it refuses to open it has not changed.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	s, err := lock(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// lock makes sure of all that can be made sure of without changing anything,
// and takes the data directory.
func lock(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	key, keyErr := readRootKey(cfg)
	if keyErr == nil && cfg.Init {
		keyErr = key.open(ctx) // before a directory is made that it does not open
	}
	dir, err := openDataDir(cfg.Data, cfg.Init && keyErr == nil)
	switch {
	case err == nil && keyErr == nil:
		s := &Server{cfg: cfg, dir: dir, rootKey: key, meters: newMeters()}
		s.stopping, s.stop = context.WithCancel(context.WithoutCancel(ctx))
		return s, nil
	case err == nil: // it matters only where nobody else has the directory
		return nil, errors.Join(keyErr, dir.close())
	case cfg.Init && keyErr != nil && errors.Is(err, ErrNotInitialized):
		return nil, keyErr
	}
	return nil, err
}

// open opens what is in the data directory.
func (s *Server) open(ctx context.Context) (err error) {
	if err := s.rootKey.open(ctx); err != nil {
		return err
	}
	if err := s.dir.initialize(); err != nil {
		return err
	}
	if s.db, err = store.Open(ctx, s.dir.join("borealis.db")); err != nil {
		return err
	}
	if err := s.unseal(ctx); err != nil {
		return err
	}
	if s.audit, err = audit.Open(s.dir.join(auditLog), s.cfg.auditOptions()...); err != nil {
		return err
	}
	if err := s.openVolumes(ctx); err != nil {
		return err
	}
	s.engines, err = postgres.New(postgres.Config{
		Dir: s.dir.join("engines"), Host: s.cfg.EngineHost, User: s.cfg.EngineUser, Bin: s.cfg.PostgresBin, Log: s.cfg.Log,
	})
	if err != nil {
		return err
	}
	if s.proxies, err = openProxies(s.cfg); err != nil {
		return err
	}
	if s.issuers, err = openIssuers(s.cfg); err != nil {
		return err
	}
	if s.modules, err = openModules(s.cfg); err != nil {
		return err
	}
	s.wire()
	if err := s.trustAttestations(); err != nil {
		return err
	}
	return s.bootstrap(ctx)
}

// wire makes the services and tells them of each other.
func (s *Server) wire() {
	s.identity = &identity.Service{Store: s.db.Identity(), Audit: s.audit, Sealer: s.roots.Derive(store.PurposeIdentity), Now: time.Now}
	sts := &sessions.Service{Principals: principals{s.identity}, Providers: principals{s.identity}, Issuers: s.issuers, Policies: s.identity, Audit: s.audit, Sealer: s.tokens.Derive("sessions"), Now: time.Now}
	s.keys = &keys.Service{Store: s.db.Keys(), Policies: s.identity, Principals: s.identity, Audit: s.audit, Sealer: s.roots.Derive(store.PurposeKeys), Tokens: s.tokens.Derive("keys"), Proxies: s.proxies, HSMs: s.modules, Now: time.Now}
	s.clusters = &clusters.Service{
		Store: s.db.Clusters(), Policies: s.identity, Audit: s.audit,
		Keys:    func(c cloud.Caller) clusters.Keys { return s.keys.As(c) },
		Engines: engines{s.engines}, Volumes: measuredVolumes{volumeKeeper{s.volumes, s.engines, s.cfg.SnapshotReadRate}, s.meters},
		Now: time.Now, Log: s.cfg.Log, LateShareRefusal: s.cfg.LateShareRefusal,
	}
	s.orgs = &organizations.Service{Store: s.db.Organizations(), Policies: s.identity, Accounts: members{s.identity}, Audit: s.audit, Now: time.Now, Log: s.cfg.Log}
	s.identity.Organizations = s.orgs
	var encode func(*audit.Call) (string, error)
	if s.cfg.EncodedDenials {
		encode = sts.Encode
	}
	s.gateway = gateway.New(gateway.Config{
		Encode:      encode,
		Credentials: credentials{s.identity, sts},
		Services:    services(s.keys, s.kmsOps(), s.clusters, s.identity, sts, trail.New(s.identity, s.audit, time.Now), s.orgs),
		Audit:       uses{s.audit, s.identity},
		Log:         s.cfg.Log,
	})
}

// kmsOps are KMS's operations, throttled if that is wanted.
func (s *Server) kmsOps() map[string]api.Op[*keys.View] {
	if s.cfg.KMSRequestRate <= 0 {
		return keys.Ops
	}
	return keys.NewQuotas(s.cfg.KMSRequestRate, time.Now).Limit(keys.Ops)
}

// services puts the services behind the names that they have on the wire.
func services(k *keys.Service, kmsOps map[string]api.Op[*keys.View], c *clusters.Service, i *identity.Service, s *sessions.Service, t *trail.Service, o *organizations.Service) []gateway.Service {
	return []gateway.Service{
		gateway.Serve(wire.KMS, kmsOps, k.As),
		gateway.Serve(wire.RDS, clusters.Ops, c.As),
		gateway.Serve(wire.IAM, identity.Ops, i.As),
		gateway.Serve(wire.STS, sessions.Ops, s.As),
		gateway.Serve(wire.CloudTrail, trail.Ops, t.As),
		gateway.Serve(wire.Organizations, organizations.Ops, o.As),
	}
}

// Close stops the engines and ends the use of the data directory.
func (s *Server) Close() error {
	s.stop()
	s.replacing.Lock() // it stops between two steps
	defer s.replacing.Unlock()
	var errs []error
	if s.engines != nil {
		ctx, cancel := context.WithTimeout(context.Background(), engineGrace)
		defer cancel()
		errs = append(errs, s.engines.Close(ctx))
	}
	if s.proxies.client != nil {
		s.proxies.client.Close()
	}
	errs = append(errs, s.modules.close())
	errs = append(errs, s.closeVolumes())
	if s.audit != nil {
		errs = append(errs, s.audit.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(append(errs, s.dir.close())...) // last: from here on it is another's
}
