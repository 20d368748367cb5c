package keys

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/uuid"

	"borealis/internal/seal"
)

// What custom key stores are, as types.CustomKeyStoreType and, for their keys,
// types.OriginType spell it.
const (
	external = string(types.CustomKeyStoreTypeExternalKeyStore)
	cloudHSM = string(types.CustomKeyStoreTypeAwsCloudhsm)
)

// A Connection is a custom key store's connection state; it is spelled as
// types.ConnectionStateType.
type Connection string

// The states of a connection. A store is made Disconnected.
//
//	Disconnected, Connected, Connecting ── ConnectCustomKeyStore ──► Connecting
//	Connecting ── ConnectStores ──► Connected or Failed
//	Connected, Connecting, Failed ── DisconnectCustomKeyStore ──► Disconnected
const (
	Connected    Connection = "CONNECTED"
	Connecting   Connection = "CONNECTING"
	Failed       Connection = "FAILED"
	Disconnected Connection = "DISCONNECTED"
)

// A KeyStore is a custom key store as this package keeps it. It is stored, so its
// fields change only with a migration.
type KeyStore struct {
	Place      `json:"-"`
	ID         string `json:"-"` // "cks-" and 17 hex digits
	Version    int64  `json:"-"` // counts the changes, from 1
	Name       string
	Type       string // as types.CustomKeyStoreType
	Created    time.Time
	Connection Connection
	// Cause is why Connection is Failed, as types.ConnectionErrorCodeType.
	Cause string `json:",omitempty"`
	// Request is the id of the request that is to connect the store.
	Request string `json:",omitempty"`

	// Cluster and Anchor, a certificate in PEM, are of stores of type AWS_CLOUDHSM.
	Cluster string `json:",omitempty"`
	Anchor  string `json:",omitempty"`
	// Proxy is of stores of type EXTERNAL_KEY_STORE.
	Proxy ProxySettings `json:",omitzero"`

	// Secret is the store's password or its proxy's secret access key, sealed for
	// this store only.
	Secret []byte `json:"-"`
}

// ProxySettings say where an external key store's proxy is.
type ProxySettings struct {
	Endpoint     string // "https://…"
	Path         string // "/…/kms/xks/v1"
	Connectivity string // as types.XksProxyConnectivityType
	VPCService   string
	VPCOwner     string
	AccessKeyID  string
}

// URI is the address of the proxy's API.
func (p ProxySettings) URI() string { return p.Endpoint + p.Path }

// newStoreID makes the id of a custom key store.
func newStoreID() string {
	var b [9]byte
	rand.Read(b[:])
	return "cks-" + hex.EncodeToString(b[:])[:17]
}

// storeContext says what a sealed store secret is and where it belongs.
func (k *KeyStore) storeContext() []byte {
	return seal.Context("kms custom key store secret v1", string(k.Account), string(k.Region), k.ID)
}

// A Proxy is what it takes to ask a proxy. Printing one keeps the secret.
type Proxy struct {
	Endpoint    string
	Path        string
	Region      string
	AccessKeyID string
	Secret      string
}

// String names the proxy.
func (p Proxy) String() string { return p.Endpoint + p.Path }

// GoString is String.
func (p Proxy) GoString() string { return p.String() }

// LogValue is String.
func (p Proxy) LogValue() slog.Value { return slog.StringValue(p.String()) }

// A ProxyCall says for whom and why a proxy is asked.
type ProxyCall struct {
	Principal  string
	SourceVPC  string
	SourceVPCE string
	KeyARN     string
	Operation  string
	RequestID  string
	ViaService string
}

// An ExternalKey is a key in an external key manager.
type ExternalKey struct {
	Spec   string
	Usage  []string
	Status string
}

// A ProxyMessage is what an external key has encrypted.
type ProxyMessage struct {
	Ciphertext []byte
	IV         []byte // 12 or 16 bytes
	Tag        []byte // 16 bytes
	Metadata   []byte // up to 20 bytes
}

// Proxies ask external key store proxies. None of the methods waits longer than
// about half a second, whatever the proxy does; all may be called concurrently.
// What goes wrong is a *Fault.
type Proxies interface {
	// Private says that the operator has given an address for the host of an
	// endpoint: it stands for a VPC endpoint service.
	Private(endpoint string) bool
	// Health returns nil if the proxy and a key manager behind it can work.
	Health(context.Context, Proxy, ProxyCall) error
	// Describe returns what the proxy says of an external key.
	Describe(ctx context.Context, p Proxy, key string, call ProxyCall) (ExternalKey, error)
	// Encrypt encrypts under an external key.
	Encrypt(ctx context.Context, p Proxy, key string, call ProxyCall, plaintext, associated []byte) (ProxyMessage, error)
	// Decrypt opens what Encrypt made, with the same associated data.
	Decrypt(ctx context.Context, p Proxy, key string, call ProxyCall, m ProxyMessage, associated []byte) ([]byte, error)
}

// HSMs are hardware security modules, by the ids of their clusters. No method
// waits longer than a few seconds; all may be called concurrently. What goes
// wrong is a *Fault.
type HSMs interface {
	// Missing says, as a sentence without a full stop, what this server lacks to use
	// hardware security modules, or "".
	Missing() string
	// Check returns nil if there is such a cluster, it can hold keys, and, if it has
	// certificates, anchor (DER) is one of them.
	Check(ctx context.Context, cluster string, anchor []byte) error
	// Login returns nil if the password is the cluster's.
	Login(ctx context.Context, cluster, password string) error
	// Logout ends the use of a cluster until it is used again.
	Logout(cluster string)
	// Generate makes a key that never leaves the cluster.
	Generate(ctx context.Context, cluster, password, name string) error
	// Destroy deletes a key, if it is there.
	Destroy(ctx context.Context, cluster, password, name string) error
	// Encrypt encrypts under a key, authenticated together with associated.
	Encrypt(ctx context.Context, cluster, password, name string, plaintext, associated []byte) ([]byte, error)
	// Decrypt opens what Encrypt made, with the same associated data.
	Decrypt(ctx context.Context, cluster, password, name string, sealed, associated []byte) ([]byte, error)
	// Random returns n random bytes that the cluster made.
	Random(ctx context.Context, cluster, password string, n int) ([]byte, error)
}

// A backing is a custom key store, ready for use. It is immutable.
type backing struct {
	KeyStore
	secret seal.Plaintext
}

// openStore opens the secret of a store.
func (s *Service) openStore(k KeyStore) (*backing, error) {
	secret, err := s.Sealer.Open(k.Secret, k.storeContext())
	if err != nil {
		return nil, fmt.Errorf("open secret of custom key store %s: %w", k.ID, err)
	}
	return &backing{k, secret}, nil
}

// proxy is what it takes to ask the store's proxy.
func (b *backing) proxy() Proxy {
	p := b.Proxy
	return Proxy{Endpoint: p.Endpoint, Path: p.Path, Region: string(b.Region), AccessKeyID: p.AccessKeyID, Secret: string(b.secret)}
}

// proxyCall is the call of an operation of v on a key, "" for none.
func (v *View) proxyCall(operation, keyARN string) ProxyCall {
	c := ProxyCall{Principal: v.caller.Principal, KeyARN: keyARN, Operation: operation, RequestID: v.caller.RequestID}
	if c.Principal == "" {
		c.Principal = v.caller.ARN
	}
	if c.RequestID == "" { // a service at work by itself; the API wants one all the same
		c.RequestID = uuid.NewString()
	}
	if n := len(v.caller.Via); n > 0 {
		c.ViaService = strings.TrimSuffix(v.caller.Via[n-1], ".amazonaws.com")
	}
	return c
}

// ConnectStores connects the custom key stores that wait for it, all at once, and
// writes down how that went. What it does not get done because ctx ends it does
// when it is called again. It is not called twice at a time.
func (s *Service) ConnectStores(ctx context.Context) error {
	var waiting []KeyStore
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		waiting, err = tx.ConnectingStores()
		return err
	})
	if err != nil {
		return fmt.Errorf("list custom key stores to connect: %w", err)
	}
	done := make(chan error, len(waiting))
	room := make(chan struct{}, 8)
	for _, k := range waiting {
		go func() {
			room <- struct{}{}
			defer func() { <-room }()
			done <- s.connect(ctx, k)
		}()
	}
	var errs []error
	for range waiting {
		errs = append(errs, <-done)
	}
	return errors.Join(errs...)
}

// connect tries to connect k, and writes down how that went, unless the store has
// changed meanwhile.
func (s *Service) connect(ctx context.Context, k KeyStore) error {
	b, fault := s.openStore(k)
	if fault == nil {
		fault = s.reach(ctx, b)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.write(ctx, func(tx *change) error {
		now, err := tx.KeyStore(k.Place, k.ID)
		if isNotFound(err) || err == nil && now.Version != k.Version {
			return nil // somebody has other plans with it
		}
		if err != nil {
			return err
		}
		now.Connection, now.Cause, now.Request = Connected, "", ""
		if fault != nil {
			now.Connection, now.Cause = Failed, connectionCause(k.Type, fault)
		}
		return tx.PutKeyStore(now)
	})
}

// reach makes sure that the store can be used.
func (s *Service) reach(ctx context.Context, b *backing) error {
	if b.Type == cloudHSM {
		return s.reachHSM(ctx, b)
	}
	if b.Proxy.Connectivity == vpcConnectivity && !s.Proxies.Private(b.Proxy.Endpoint) {
		return &Fault{Kind: FaultNoVPCService}
	}
	return s.Proxies.Health(ctx, b.proxy(), ProxyCall{Operation: "ConnectCustomKeyStore", RequestID: b.Request})
}

func (s *Service) reachHSM(ctx context.Context, b *backing) error {
	anchor, err := parseAnchor(b.Anchor)
	if err != nil {
		return err
	}
	if err := s.HSMs.Check(ctx, b.Cluster, anchor); err != nil {
		return err
	}
	return s.HSMs.Login(ctx, b.Cluster, string(b.secret))
}

// StoresWaiting gets a value when a custom key store may be waiting for
// ConnectStores.
func (s *Service) StoresWaiting() <-chan struct{} { return s.wakeStores() }

// wakeStores is the channel of StoresWaiting.
func (s *Service) wakeStores() chan struct{} {
	s.waking.Do(func() { s.wake = make(chan struct{}, 1) })
	return s.wake
}

// poke wakes whoever waits on StoresWaiting.
func (s *Service) poke() {
	select {
	case s.wakeStores() <- struct{}{}:
	default: // it will look anyway
	}
}
