// Package xks speaks to external key store proxies: the four operations of the
// AWS KMS External Key Store Proxy API, version 1, over HTTPS, signed with
// Signature Version 4. It decides to which addresses it connects, how long it
// waits and how much it reads; nothing that a proxy answers is believed before it
// was checked. It knows nothing of KMS keys, policies or databases.
package xks

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
)

// A Kind says what went wrong between KMS and a proxy. The kinds that a proxy
// itself reports are spelled as the API's error names.
type Kind string

// The kinds that a proxy reports.
const (
	AccessDenied         Kind = "AccessDeniedException"
	AuthenticationFailed Kind = "AuthenticationFailedException"
	DependencyTimeout    Kind = "DependencyTimeoutException"
	Internal             Kind = "InternalException"
	InvalidCiphertext    Kind = "InvalidCiphertextException"
	InvalidKeyUsage      Kind = "InvalidKeyUsageException"
	InvalidState         Kind = "InvalidStateException"
	InvalidURIPath       Kind = "InvalidUriPathException"
	KeyNotFound          Kind = "KeyNotFoundException"
	Throttling           Kind = "ThrottlingException"
	Unsupported          Kind = "UnsupportedOperationException"
	Validation           Kind = "ValidationException"
)

// The kinds that this package finds.
const (
	// Unreachable: there is no connection to be had.
	Unreachable Kind = "Unreachable"
	// Forbidden: the endpoint leads to an address that this server does not
	// connect to. To users it is no different from Unreachable.
	Forbidden Kind = "Forbidden"
	// BadTLS: the TLS handshake failed, or the certificate is not good for the host.
	BadTLS Kind = "BadTLS"
	// TimedOut: the proxy was reached and did not answer in time.
	TimedOut Kind = "TimedOut"
	// BadAnswer: the answer is not what the API says an answer is.
	BadAnswer Kind = "BadAnswer"
	// Unavailable: the proxy says that no external key manager can work.
	Unavailable Kind = "Unavailable"
)

// reported are the error names of the API.
var reported = map[Kind]bool{
	AccessDenied: true, AuthenticationFailed: true, DependencyTimeout: true, Internal: true,
	InvalidCiphertext: true, InvalidKeyUsage: true, InvalidState: true, InvalidURIPath: true,
	KeyNotFound: true, Throttling: true, Unsupported: true, Validation: true,
}

// An Error is why a proxy did not do what it was asked. Detail is for the
// operator's log: it may quote the proxy, and is never shown to KMS's callers.
type Error struct {
	Kind   Kind
	Detail string
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return "external key store proxy: " + string(e.Kind)
	}
	return "external key store proxy: " + string(e.Kind) + ": " + e.Detail
}

// A Proxy is where a proxy is and what requests to it are signed with.
type Proxy struct {
	Endpoint    string // "https://" and a host name
	Path        string // "/…/kms/xks/v1"
	Region      string // of KMS, for the signature's scope
	AccessKeyID string
	Secret      string
}

// String names the proxy and keeps the secret.
func (p Proxy) String() string { return p.Endpoint + p.Path }

// GoString is String.
func (p Proxy) GoString() string { return p.String() }

// LogValue is String.
func (p Proxy) LogValue() slog.Value { return slog.StringValue(p.String()) }

// A Call says for whom and why KMS asks: the API's requestMetadata.
type Call struct {
	Principal  string `json:"awsPrincipalArn,omitempty"`
	SourceVPC  string `json:"awsSourceVpc,omitempty"`
	SourceVPCE string `json:"awsSourceVpce,omitempty"`
	KeyARN     string `json:"kmsKeyArn,omitempty"`
	Operation  string `json:"kmsOperation"`
	RequestID  string `json:"kmsRequestId"`
	ViaService string `json:"kmsViaService,omitempty"`
}

// A Message is what an external key has encrypted: all that Decrypt needs beside
// the associated data.
type Message struct {
	Ciphertext []byte // as long as the plaintext
	IV         []byte // 12 or 16 bytes
	Tag        []byte // 16 bytes
	Metadata   []byte // up to 20 bytes of the proxy's own
}

// A Key is an external key as its proxy describes it.
type Key struct {
	Spec   string
	Usage  []string
	Status string
}

// The limits of the API.
const (
	maxMetadata = 20
	tagSize     = 16
	maxUsages   = 10
	maxManagers = 10
)

// algorithm is the only encryption algorithm of version 1.
const algorithm = "AES_GCM"

// Health returns nil if the proxy and at least one external key manager behind it
// can work.
func (c *Client) Health(ctx context.Context, p Proxy, call Call) error {
	// The API has no more metadata for this operation.
	call = Call{Operation: call.Operation, RequestID: call.RequestID}
	body, err := c.post(ctx, p, "/health", request{Metadata: call})
	if err != nil {
		return err
	}
	return parseHealth(body)
}

// Describe returns what the proxy says of an external key.
func (c *Client) Describe(ctx context.Context, p Proxy, key string, call Call) (Key, error) {
	call.KeyARN, call.ViaService = "", ""
	body, err := c.post(ctx, p, "/keys/"+key+"/metadata", request{Metadata: call})
	if err != nil {
		return Key{}, err
	}
	return parseKey(body)
}

// Encrypt encrypts up to 4300 bytes under an external key, bound to up to 8192
// bytes of associated data. Those bytes are to be a ciphertext of KMS's own: the
// proxy sees them. What it returns has passed the integrity check that
// the API has for this purpose.
func (c *Client) Encrypt(ctx context.Context, p Proxy, key string, call Call, plaintext, associated []byte) (Message, error) {
	body, err := c.post(ctx, p, "/keys/"+key+"/encrypt", request{
		Metadata: call, Associated: associated, Plaintext: plaintext, Algorithm: algorithm, Integrity: "SHA_256",
	})
	if err != nil {
		return Message{}, err
	}
	return parseMessage(body, len(plaintext), associated)
}

// Decrypt opens what Encrypt made, with the same associated data.
func (c *Client) Decrypt(ctx context.Context, p Proxy, key string, call Call, m Message, associated []byte) ([]byte, error) {
	body, err := c.post(ctx, p, "/keys/"+key+"/decrypt", request{
		Metadata: call, Associated: associated, Ciphertext: m.Ciphertext, CiphertextMetadata: m.Metadata,
		IV: m.IV, Tag: m.Tag, Algorithm: algorithm,
	})
	if err != nil {
		return nil, err
	}
	return parsePlaintext(body, len(m.Ciphertext))
}

// integrity is the value that vouches for m in transit, under SHA_256.
func (m Message) integrity(associated []byte) []byte {
	h := sha256.New()
	for _, part := range [][]byte{associated, m.Metadata, m.IV, m.Ciphertext, m.Tag} {
		h.Write(part)
	}
	return h.Sum(nil)
}

// vouchedFor says that value is m's integrity value.
func (m Message) vouchedFor(value, associated []byte) bool {
	return subtle.ConstantTimeCompare(value, m.integrity(associated)) == 1
}
