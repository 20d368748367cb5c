package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"borealis/internal/hsm"
	"borealis/internal/keys"
	"borealis/internal/xks"
)

// proxies are external key store proxies as keys wants them.
type proxies struct {
	client *xks.Client
	log    *slog.Logger
}

// openProxies makes the client of external key store proxies.
func openProxies(cfg Config) (proxies, error) {
	hosts := make(map[string]string, len(cfg.XksProxies))
	for host, address := range cfg.XksProxies {
		if _, _, err := net.SplitHostPort(address); err != nil || host == "" {
			return proxies{}, fmt.Errorf("--xks-proxy %s=%s: say HOST=ADDRESS:PORT", host, address)
		}
		hosts[strings.ToLower(host)] = address
	}
	x := xks.Config{Hosts: hosts, Timeout: cfg.XksTimeout}
	if cfg.XksCA != "" {
		text, err := os.ReadFile(cfg.XksCA)
		if err != nil {
			return proxies{}, fmt.Errorf("read the certificates of --xks-ca: %w", err)
		}
		x.Roots = x509.NewCertPool()
		if !x.Roots.AppendCertsFromPEM(text) {
			return proxies{}, fmt.Errorf("--xks-ca %s: no certificates in PEM", cfg.XksCA)
		}
	}
	return proxies{xks.New(x), cfg.Log}, nil
}

// fault is what keys is told of err.
func (p proxies) fault(err error) error {
	e, ok := errors.AsType[*xks.Error](err)
	if !ok {
		return err
	}
	kind := keys.FaultKind(e.Kind) // both spell as the proxy API does
	if e.Kind == xks.Forbidden {
		kind = keys.FaultUnreachable // what is behind the firewall is nobody's business
	}
	return &keys.Fault{Kind: kind, Detail: e.Detail}
}

func (p proxies) Private(endpoint string) bool {
	return p.client.Knows(strings.TrimPrefix(endpoint, "https://"))
}

func (p proxies) Health(ctx context.Context, at keys.Proxy, call keys.ProxyCall) error {
	err := p.client.Health(ctx, xks.Proxy(at), xks.Call(call))
	if err != nil {
		p.log.WarnContext(ctx, "external key store proxy does not work", "proxy", at, "err", err)
		return p.fault(err)
	}
	return nil
}

func (p proxies) Describe(ctx context.Context, at keys.Proxy, key string, call keys.ProxyCall) (keys.ExternalKey, error) {
	k, err := p.client.Describe(ctx, xks.Proxy(at), key, xks.Call(call))
	if err != nil {
		return keys.ExternalKey{}, p.fault(err)
	}
	return keys.ExternalKey(k), nil
}

func (p proxies) Encrypt(ctx context.Context, at keys.Proxy, key string, call keys.ProxyCall, plaintext, associated []byte) (keys.ProxyMessage, error) {
	m, err := p.client.Encrypt(ctx, xks.Proxy(at), key, xks.Call(call), plaintext, associated)
	if err != nil {
		p.log.DebugContext(ctx, "external key store proxy does not encrypt", "proxy", at, "err", err)
		return keys.ProxyMessage{}, p.fault(err)
	}
	return keys.ProxyMessage(m), nil
}

func (p proxies) Decrypt(ctx context.Context, at keys.Proxy, key string, call keys.ProxyCall, m keys.ProxyMessage, associated []byte) ([]byte, error) {
	text, err := p.client.Decrypt(ctx, xks.Proxy(at), key, xks.Call(call), xks.Message(m), associated)
	if err != nil {
		p.log.DebugContext(ctx, "external key store proxy does not decrypt", "proxy", at, "err", err)
		return nil, p.fault(err)
	}
	return text, nil
}

// modules are hardware security modules as keys wants them: a cluster is the token
// that has its id for a label.
type modules struct {
	module *hsm.Module // nil without --hsm-module
	log    *slog.Logger
}

// openModules loads the module of --hsm-module, if there is one.
func openModules(cfg Config) (modules, error) {
	if cfg.HSMModule == "" {
		return modules{log: cfg.Log}, nil
	}
	m, err := hsm.Open(cfg.HSMModule)
	if err != nil {
		return modules{}, fmt.Errorf("open --hsm-module: %w", err)
	}
	return modules{m, cfg.Log}, nil
}

func (m modules) close() error {
	if m.module == nil {
		return nil
	}
	return m.module.Close()
}

func (m modules) Missing() string {
	switch {
	case hsm.Missing != "":
		return hsm.Missing
	case m.module == nil:
		return "borealis serve has no --hsm-module"
	}
	return ""
}

// fault is what keys is told of err.
func (m modules) fault(ctx context.Context, cluster string, err error) error {
	e, ok := errors.AsType[*hsm.Error](err)
	if !ok {
		return err
	}
	if e.Kind != hsm.BadCiphertext {
		m.log.WarnContext(ctx, "hardware security module does not work", "cluster", cluster, "err", err)
	}
	return &keys.Fault{Kind: moduleFaults[e.Kind], Detail: e.Detail}
}

var moduleFaults = map[hsm.Kind]keys.FaultKind{
	hsm.NotFound: keys.FaultNoCluster, hsm.NotActive: keys.FaultInactive, hsm.Unfit: keys.FaultUnfit, hsm.WrongAnchor: keys.FaultWrongAnchor,
	hsm.NoUser: keys.FaultNoUser, hsm.WrongPassword: keys.FaultWrongPassword, hsm.LockedOut: keys.FaultLockedOut, hsm.LoggedIn: keys.FaultLoggedIn,
	hsm.KeyNotFound: keys.FaultKeyNotFound, hsm.BadCiphertext: keys.FaultInvalidCiphertext, hsm.TimedOut: keys.FaultTimeout, hsm.Broken: keys.FaultBroken,
}

func (m modules) Check(ctx context.Context, cluster string, anchor []byte) error {
	return m.fault(ctx, cluster, m.module.Check(ctx, cluster, anchor))
}

func (m modules) Login(ctx context.Context, cluster, password string) error {
	return m.fault(ctx, cluster, m.module.Login(ctx, hsm.Token{Label: cluster, Password: password}))
}

func (m modules) Logout(cluster string) {
	if m.module == nil {
		return
	}
	if err := m.module.Logout(cluster); err != nil {
		m.log.Warn("log out of hardware security module", "cluster", cluster, "err", err)
	}
}

func (m modules) Generate(ctx context.Context, cluster, password, name string) error {
	return m.fault(ctx, cluster, m.module.Generate(ctx, hsm.Token{Label: cluster, Password: password}, name))
}

func (m modules) Destroy(ctx context.Context, cluster, password, name string) error {
	return m.fault(ctx, cluster, m.module.Destroy(ctx, hsm.Token{Label: cluster, Password: password}, name))
}

func (m modules) Encrypt(ctx context.Context, cluster, password, name string, plaintext, associated []byte) ([]byte, error) {
	sealed, err := m.module.Encrypt(ctx, hsm.Token{Label: cluster, Password: password}, name, plaintext, associated)
	return sealed, m.fault(ctx, cluster, err)
}

func (m modules) Decrypt(ctx context.Context, cluster, password, name string, sealed, associated []byte) ([]byte, error) {
	plaintext, err := m.module.Decrypt(ctx, hsm.Token{Label: cluster, Password: password}, name, sealed, associated)
	return plaintext, m.fault(ctx, cluster, err)
}

func (m modules) Random(ctx context.Context, cluster, password string, n int) ([]byte, error) {
	b, err := m.module.Random(ctx, hsm.Token{Label: cluster, Password: password}, n)
	return b, m.fault(ctx, cluster, err)
}

// connectStores connects custom key stores when somebody wants it, and those that
// the process before this one did not get to.
func (s *Server) connectStores(ctx context.Context) error {
	for {
		if err := s.keys.ConnectStores(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.ErrorContext(ctx, "custom key stores are not connected", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.keys.StoresWaiting():
		}
	}
}
