package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"borealis/internal/federation"
	"borealis/internal/xks"
)

// openIssuers makes the way to OpenID Connect providers.
func openIssuers(cfg Config) (*federation.Issuers, error) {
	hosts := make(map[string]string, len(cfg.OIDCIssuers))
	for host, address := range cfg.OIDCIssuers {
		if _, _, err := net.SplitHostPort(address); err != nil || host == "" {
			return nil, fmt.Errorf("--oidc-issuer %s=%s: say HOST=ADDRESS:PORT", host, address)
		}
		hosts[net.JoinHostPort(strings.ToLower(host), "443")] = address
	}
	var roots *x509.CertPool
	if cfg.OIDCCA != "" {
		text, err := os.ReadFile(cfg.OIDCCA)
		if err != nil {
			return nil, fmt.Errorf("read the certificates of --oidc-ca: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--oidc-ca %s: no certificates in PEM", cfg.OIDCCA)
		}
	}
	return federation.NewIssuers(dialIssuer(hosts), roots, time.Now), nil
}

var errPrivate = errors.New("it is not port 443 of a public address; serve --oidc-issuer allows it")

// dialIssuer connects to the addresses of hosts that are named, and else to public
// addresses only, at port 443: who makes an identity provider in IAM does not
// thereby see into the server's network.
func dialIssuer(hosts map[string]string) federation.Dialer {
	known := net.Dialer{Timeout: 5 * time.Second}
	public := net.Dialer{Timeout: 5 * time.Second, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || at.Port() != 443 || !xks.Public(at.Addr()) {
			return fmt.Errorf("%s: %w", address, errPrivate)
		}
		return nil
	}}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if at, ok := hosts[strings.ToLower(address)]; ok {
			return known.DialContext(ctx, network, at)
		}
		return public.DialContext(ctx, network, address)
	}
}
