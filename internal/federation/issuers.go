package federation

import (
	"context"
	"crypto/sha1" //nolint:gosec // what thumbprints are
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

// Errors of fetching keys.
var (
	// ErrUnreachable says that the provider did not answer.
	ErrUnreachable = errors.New("the identity provider did not answer")
	// ErrThumbprint says that neither an authority nor a thumbprint vouches for the
	// provider's certificate.
	ErrThumbprint = errors.New("the identity provider's certificate is not vouched for")
	// ErrDocument says that what the provider answered is not what it should.
	ErrDocument = errors.New("the identity provider's documents are not what they should be")
)

const (
	fetchTimeout = 10 * time.Second // for one provider's two documents
	maxDocument  = 256 << 10        // bytes
	maxFetches   = 8                // at the same time
	maxIssuers   = 1024             // that are remembered

	keep      = time.Hour        // that keys are believed
	keepError = 10 * time.Second // that a failure is not tried again
	// refetch is how old keys must be before an unknown one makes them be fetched
	// again.
	refetch = time.Minute
)

// A Dialer connects to an identity provider, and refuses where it must not.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Issuers fetches the keys of OpenID Connect providers, and remembers them for a
// while. It may be used by many goroutines at once.
type Issuers struct {
	dial  Dialer
	roots *x509.CertPool
	now   func() time.Time

	flights singleflight.Group
	fetches *semaphore.Weighted

	mu    sync.Mutex
	known map[string]entry
}

// An entry is what was last fetched from a provider, or why nothing was.
type entry struct {
	keys Keys
	err  error
	at   time.Time
}

// NewIssuers returns Issuers that reach providers with dial, and trust authorities
// in roots (the system's if nil).
func NewIssuers(dial Dialer, roots *x509.CertPool, now func() time.Time) *Issuers {
	return &Issuers{dial: dial, roots: roots, now: now, fetches: semaphore.NewWeighted(maxFetches), known: map[string]entry{}}
}

// Verify returns what t says, if a key of its issuer has signed it. thumbprints
// are the SHA-1 sums, in hex, of certificates that vouch for the issuer where no
// known authority does.
func (i *Issuers) Verify(ctx context.Context, t *Token, thumbprints []string) (Claims, error) {
	keys, err := i.keys(ctx, t.issuer, thumbprints, keep)
	if err != nil {
		return Claims{}, err
	}
	c, err := t.Verify(keys)
	if !errors.Is(err, ErrNoKey) {
		return c, err
	}
	if keys, err = i.keys(ctx, t.issuer, thumbprints, refetch); err != nil { // it may have a new one
		return Claims{}, err
	}
	return t.Verify(keys)
}

// keys are the issuer's, fetched no longer ago than age.
func (i *Issuers) keys(ctx context.Context, issuer string, thumbprints []string, age time.Duration) (Keys, error) {
	// Two issuers may differ in case alone: one host's paths are different tenants.
	name := issuer + "\x00" + strings.ToLower(strings.Join(thumbprints, " "))
	i.mu.Lock()
	e, ok := i.known[name]
	i.mu.Unlock()
	if e.err != nil {
		age = keepError
	}
	if ok && i.now().Sub(e.at) < age {
		return e.keys, e.err
	}
	done := i.flights.DoChan(name, func() (any, error) {
		// Whoever asked first may go away; the others still want it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		return i.fetch(ctx, name, issuer, thumbprints)
	})
	select {
	case r := <-done:
		keys, _ := r.Val.(Keys)
		return keys, r.Err
	case <-ctx.Done():
		return Keys{}, ctx.Err()
	}
}

// fetch fetches an issuer's keys and remembers them, or that it could not.
func (i *Issuers) fetch(ctx context.Context, name, issuer string, thumbprints []string) (Keys, error) {
	if err := i.fetches.Acquire(ctx, 1); err != nil {
		return Keys{}, fmt.Errorf("keys of an issuer: %w", ErrUnreachable)
	}
	defer i.fetches.Release(1)
	e := entry{}
	e.keys, e.err = i.discover(ctx, issuer, thumbprints)
	i.mu.Lock()
	defer i.mu.Unlock()
	e.at = i.now()
	if len(i.known) >= maxIssuers {
		clear(i.known)
	}
	i.known[name] = e
	return e.keys, e.err
}

// discover finds an issuer's keys by its discovery document.
func (i *Issuers) discover(ctx context.Context, issuer string, thumbprints []string) (Keys, error) {
	client := i.client(thumbprints)
	defer client.CloseIdleConnections()
	text, err := get(ctx, client, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return Keys{}, err
	}
	var document map[string]json.RawMessage
	var named, at string
	err = json.Unmarshal(text, &document)
	err = errors.Join(err, json.Unmarshal(document["issuer"], &named), json.Unmarshal(document["jwks_uri"], &at))
	if err != nil || named != issuer {
		return Keys{}, fmt.Errorf("discovery document: %w", ErrDocument)
	}
	if text, err = get(ctx, client, at); err != nil {
		return Keys{}, err
	}
	keys, err := ReadKeys(text)
	if err != nil {
		return Keys{}, fmt.Errorf("keys: %w", ErrDocument)
	}
	return keys, nil
}

// get is the document at an address, which must be one of HTTPS.
func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("address of a document: %w", ErrDocument)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("address of a document: %w", ErrDocument)
	}
	answer, err := client.Do(request)
	if errors.Is(err, ErrThumbprint) {
		return nil, ErrThumbprint
	}
	if err != nil {
		return nil, ErrUnreachable
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d: %w", answer.StatusCode, ErrDocument)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxDocument+1))
	if err != nil {
		return nil, ErrUnreachable
	}
	if len(text) > maxDocument {
		return nil, fmt.Errorf("more than %d bytes: %w", maxDocument, ErrDocument)
	}
	return text, nil
}

// client is a client of HTTPS for a provider with these thumbprints. It follows no
// redirections: who controls an address does not choose where the server goes.
func (i *Issuers) client(thumbprints []string) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: i.dial, DisableCompression: true, MaxResponseHeaderBytes: 32 << 10,
			TLSHandshakeTimeout: fetchTimeout / 2, ResponseHeaderTimeout: fetchTimeout / 2,
			TLSClientConfig: &tls.Config{
				MinVersion:         tls.VersionTLS12,
				InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it, with thumbprints
				VerifyConnection:   func(s tls.ConnectionState) error { return i.vouched(s, thumbprints) },
			},
		},
	}
}

// vouched says whether an authority vouches for a connection or, if none does, a
// certificate in its chain that has one of the thumbprints. For an address that is
// no name nobody vouches: TLS does not say which it was.
func (i *Issuers) vouched(s tls.ConnectionState, thumbprints []string) error {
	if s.ServerName == "" {
		return ErrThumbprint
	}
	chain := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		chain.AddCert(c)
	}
	verify := func(roots *x509.CertPool) bool {
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{
			DNSName: s.ServerName, Roots: roots, Intermediates: chain, CurrentTime: i.now(),
		})
		return err == nil
	}
	if verify(i.roots) {
		return nil
	}
	for _, c := range s.PeerCertificates {
		sum := sha1.Sum(c.Raw) //nolint:gosec // what thumbprints are
		for _, t := range thumbprints {
			if strings.EqualFold(t, hex.EncodeToString(sum[:])) {
				one := x509.NewCertPool()
				one.AddCert(c)
				if verify(one) {
					return nil
				}
			}
		}
	}
	return ErrThumbprint
}
