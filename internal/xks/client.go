package xks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	// Timeout is how long a proxy has for one answer, connection included.
	Timeout = 250 * time.Millisecond
	// maxAnswer is how much of an answer is read. The longest that the API allows
	// is about 6 KiB.
	maxAnswer = 16 << 10
	// perHost bounds the connections to one host: what a proxy that hangs can hold.
	perHost = 64
	// service is the service name of the signature's scope.
	service = "kms-xks-proxy"
)

// Config says how proxies are reached. Its zero value is what a server on the
// internet should have: public addresses only, and the system's authorities.
type Config struct {
	// Hosts are addresses ("10.0.0.5:8443") of proxies by the host name of their
	// endpoint. They are the only way to addresses that are not public, and to
	// ports other than 443.
	Hosts map[string]string
	// Roots are the authorities that proxies' certificates are checked with. The
	// system's if nil.
	Roots *x509.CertPool
	// Timeout is how long a proxy has for one answer. Timeout, the constant, if 0.
	Timeout time.Duration
}

// A Client asks proxies. It keeps connections for the next request, and may be
// used by many goroutines at once.
type Client struct {
	cfg  Config
	http *http.Client
}

// New returns a Client. Close ends it.
func New(cfg Config) *Client {
	if cfg.Timeout == 0 {
		cfg.Timeout = Timeout
	}
	c := &Client{cfg: cfg}
	c.http = &http.Client{
		// A proxy that sends KMS elsewhere does not speak the API.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			// No Proxy: the check of addresses would be the forward proxy's.
			DialTLSContext:         c.dial,
			MaxConnsPerHost:        perHost,
			MaxIdleConnsPerHost:    8,
			IdleConnTimeout:        time.Minute,
			DisableCompression:     true, // a small answer must not become a large one
			MaxResponseHeaderBytes: maxAnswer,
		},
	}
	return c
}

// Close ends the connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Knows says that the operator has given an address for the host of an endpoint.
func (c *Client) Knows(host string) bool { return c.cfg.Hosts[host] != "" }

// post sends one request, and once more if the network did not let it through in
// time. It returns the body of an answer with status 200; every other outcome is
// an *Error.
func (c *Client) post(ctx context.Context, p Proxy, path string, r request) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	body, again, err := c.try(ctx, p, path, text)
	if again && ctx.Err() == nil {
		body, _, err = c.try(ctx, p, path, text)
	}
	return body, err
}

// try sends one request. again says that no connection was to be had in time, so
// that another try is due.
func (c *Client) try(ctx context.Context, p Proxy, path string, text []byte) (body []byte, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	req, err := c.sign(ctx, p, path, text)
	if err != nil {
		return nil, false, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, !connected.Load() && isTimeout(err), c.classify(err, connected.Load())
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil && isTimeout(err):
		return nil, false, c.classify(err, true)
	case err != nil:
		return nil, false, badAnswer("an answer that ends early")
	case len(body) > maxAnswer:
		return nil, false, badAnswer("an answer of more than %d bytes", maxAnswer)
	case res.StatusCode != http.StatusOK:
		return nil, false, parseFailure(res.StatusCode, body)
	}
	return body, false, nil
}

// sign makes the signed request. Host and X-Amz-Date are signed, and with them
// method, path and body, as the API has it; so the signature is made before the
// other headers are.
func (c *Client) sign(ctx context.Context, p Proxy, path string, text []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Endpoint+p.Path+path, nil)
	if err != nil {
		return nil, &Error{Kind: Unreachable, Detail: "the endpoint is not a URL"}
	}
	sum := sha256.Sum256(text)
	cred := aws.Credentials{AccessKeyID: p.AccessKeyID, SecretAccessKey: p.Secret}
	// A Signer remembers keys by access key id alone, whatever the secret: one that is
	// kept would sign for one account with the secret of another.
	if err := v4.NewSigner().SignHTTP(ctx, cred, req, hex.EncodeToString(sum[:]), service, p.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign request to %s: %w", p, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "borealis")
	// Every operation may be repeated: this lets the transport do so when an idle
	// connection turns out to be closed. A nil value is not sent.
	req.Header["Idempotency-Key"] = nil
	req.ContentLength = int64(len(text))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	req.Body, _ = req.GetBody()
	return req, nil
}

// classify says what a failure of the network means.
func (c *Client) classify(err error, connected bool) error {
	if e, ok := errors.AsType[*Error](err); ok { // dial's
		return e
	}
	switch {
	case isTimeout(err) && connected:
		return &Error{Kind: TimedOut, Detail: fmt.Sprintf("no answer within %v", c.cfg.Timeout)}
	case connected && isGarbage(err):
		return badAnswer("not HTTP")
	}
	return &Error{Kind: Unreachable, Detail: printable(err.Error())}
}

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && n.Timeout()
}

// isGarbage says that what came was not HTTP, as opposed to nothing: a
// connection that was lost has an error of the network's or io's.
func isGarbage(err error) bool {
	_, network := errors.AsType[net.Error](errors.Unwrap(err))
	return !network && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// dial makes a TLS connection to the proxy of a host. Its errors are *Error.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{ControlContext: publicOnly}
	if at := c.cfg.Hosts[host]; at != "" {
		d.ControlContext, address = nil, at
	}
	raw, err := d.DialContext(ctx, network, address)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return nil, e
		}
		if isTimeout(err) {
			return nil, err
		}
		return nil, &Error{Kind: Unreachable, Detail: printable(err.Error())}
	}
	conn := tls.Client(raw, &tls.Config{
		ServerName: host, RootCAs: c.cfg.Roots, MinVersion: tls.VersionTLS12,
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // the handshake has failed already
		if isTimeout(err) {
			return nil, err
		}
		return nil, &Error{Kind: BadTLS, Detail: printable(err.Error())}
	}
	return conn, nil
}
