package xks

import (
	"context"
	"net/netip"
	"syscall"
)

// closed are address ranges that are in no public use, or that lead to others:
// those that netip does not name, of IPv4 and, below 2000::/3, of IPv6.
var closed = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

var publicIPv6 = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// Public says that a is an address of the public internet.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" || a.Is6() && !publicIPv6.Contains(a) {
		return false
	}
	for _, p := range closed {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// publicOnly refuses connections to addresses that are not public. It sees the
// address that is about to be connected to, whatever name led there, so that a
// name that changes its mind helps nobody.
func publicOnly(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !Public(at.Addr()) {
		return &Error{Kind: Forbidden, Detail: "the endpoint leads to " + address + ", which is not a public address; serve --xks-proxy allows it"}
	}
	return nil
}
