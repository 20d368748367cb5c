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
	fetchTimeout = 5 * time.Second // for one provider's two documents, and for the wait before
	maxDocument  = 256 << 10       // bytes
	maxFetches   = 64              // at the same time
	maxFetchesOf = 4               // of those, for one account
	maxWaitingOf = 32              // that wait for keys of one account's providers
	maxIssuers   = 1024            // that are remembered

	keep      = time.Hour        // that keys are believed
	keepError = 10 * time.Second // that a failure is not tried again
	// refetch is how old keys must be before an unknown one makes them be fetched
	// again.
	refetch = time.Minute
)

// A Dialer connects to an identity provider, and refuses where it must not.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Issuers fetches the keys of OpenID Connect providers, and remembers them for a
// while. Each account has its own share of it: providers of one that are slow, or
// many, take nothing from another's. It may be used by many goroutines at once.
type Issuers struct {
	dial  Dialer
	roots *x509.CertPool
	now   func() time.Time

	flights singleflight.Group
	fetches *semaphore.Weighted

	mu     sync.Mutex
	shares map[string]*share
	known  int // entries of all shares
}

// A share is what Issuers has and does for one account.
type share struct {
	fetches *semaphore.Weighted
	waiting int
	known   map[string]entry
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
	return &Issuers{dial: dial, roots: roots, now: now, fetches: semaphore.NewWeighted(maxFetches), shares: map[string]*share{}}
}

// Keys are those of the provider that has issued t, which account trusts: as they
// are now if again is set, because t names one that was not among them, and else as
// they were within the hour. thumbprints are the SHA-1 sums, in hex, of certificates
// that vouch for the provider where no known authority does.
func (i *Issuers) Keys(ctx context.Context, account string, t *Token, thumbprints []string, again bool) (Keys, error) {
	age := keep
	if again {
		age = refetch
	}
	// Two issuers may differ in case alone: one host's paths are different tenants.
	name := t.issuer + "\x00" + strings.ToLower(strings.Join(thumbprints, " "))
	s, e, known := i.join(account, name, age)
	if known {
		return e.keys, e.err
	}
	if s == nil {
		return Keys{}, fmt.Errorf("too many wait for the account's providers: %w", ErrUnreachable)
	}
	defer i.leave(s)
	done := i.flights.DoChan(account+"\x00"+name, func() (any, error) {
		// Whoever asked first may go away; the others still want it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		return i.fetch(ctx, s, name, t.issuer, thumbprints)
	})
	select {
	case r := <-done:
		keys, _ := r.Val.(Keys)
		return keys, r.Err
	case <-ctx.Done():
		return Keys{}, ctx.Err()
	}
}

// join returns what is known of a provider, if that is not older than age; else the
// account's share, in which one more waits then, or nil if too many do.
func (i *Issuers) join(account, name string, age time.Duration) (*share, entry, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.shares[account]
	if s == nil {
		s = &share{fetches: semaphore.NewWeighted(maxFetchesOf), known: map[string]entry{}}
		i.shares[account] = s
	}
	e, ok := s.known[name]
	if e.err != nil {
		age = keepError
	}
	if ok && i.now().Sub(e.at) < age {
		return s, e, true
	}
	if s.waiting >= maxWaitingOf {
		return nil, entry{}, false
	}
	s.waiting++
	return s, entry{}, false
}

func (i *Issuers) leave(s *share) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s.waiting--
}

// fetch fetches an issuer's keys and remembers them, or that it could not.
func (i *Issuers) fetch(ctx context.Context, s *share, name, issuer string, thumbprints []string) (Keys, error) {
	for _, turn := range []*semaphore.Weighted{s.fetches, i.fetches} {
		if err := turn.Acquire(ctx, 1); err != nil {
			return Keys{}, fmt.Errorf("keys of an issuer: %w", ErrUnreachable)
		}
		defer turn.Release(1)
	}
	e := entry{}
	e.keys, e.err = i.discover(ctx, issuer, thumbprints)
	i.mu.Lock()
	defer i.mu.Unlock()
	e.at = i.now()
	if _, again := s.known[name]; !again {
		i.known++
	}
	s.known[name] = e
	if i.known > maxIssuers {
		i.forget()
	}
	return e.keys, e.err
}

// forget forgets the oldest entry of the account that has the most.
func (i *Issuers) forget() {
	var most *share
	for _, s := range i.shares {
		if most == nil || len(s.known) > len(most.known) {
			most = s
		}
	}
	oldest := ""
	for name, e := range most.known {
		if oldest == "" || e.at.Before(most.known[oldest].at) {
			oldest = name
		}
	}
	delete(most.known, oldest)
	i.known--
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
