// Package sigv4 verifies AWS Signature Version 4: requests signed in their
// Authorization header or in their query string (presigned), with long-term or
// session credentials. It knows how a request is canonicalized, dated, scoped
// and signed; it does not know where secrets are kept, what a caller may do, or
// how an error is worded on the wire.
package sigv4

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"borealis/internal/cloud"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	isoBasic   = "20060102T150405Z"

	// Window is how far a request's date may be from the server's clock, either
	// way. A presigned request without X-Amz-Expires lives as long.
	Window = 15 * time.Minute
	// MaxExpires is the longest life that a presigned request may ask for.
	MaxExpires = 7 * 24 * time.Hour
	// maxKeyID is the length limit of AWS's accessKeyIdType.
	maxKeyID = 128
)

// The reasons to turn a request away, as errors.Is finds them in an *Error.
var (
	// ErrMissing says that the request is not signed at all.
	ErrMissing = errors.New("the request is not signed")
	// ErrIncomplete says that what is needed to check the signature is absent or
	// malformed.
	ErrIncomplete = errors.New("the signature is incomplete")
	// ErrUnknown says that there is no such access key, that it is not active, or
	// that the session token is not that key's.
	ErrUnknown = errors.New("the access key or the session token is not known")
	// ErrExpired says that the session's credentials are no longer valid.
	ErrExpired = errors.New("the session token has expired")
	// ErrMismatch says that the signature is not what the secret, the date, the
	// scope and the request make it, or that it is too old or too new.
	ErrMismatch = errors.New("the signature does not match")
)

// An Error says why a request was turned away. Kind is one of this package's
// sentinels; Detail is AWS's sentence for the case, or "" where AWS has one
// sentence for the whole kind. It never holds what the client put into its
// Authorization header: people paste secrets there.
type Error struct {
	Kind   error
	Detail string
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Kind.Error()
	}
	return e.Kind.Error() + ": " + e.Detail
}

// Unwrap returns the Kind.
func (e *Error) Unwrap() error { return e.Kind }

func refuse(kind error, format string, args ...any) *Error {
	return &Error{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// A Credential is the secret of an access key, and who the key speaks for.
// Printing or logging one shows neither secret nor session policies.
type Credential struct {
	Secret string
	// Caller is the identity. Verify fills in AccessKeyID and Region; the rest of
	// what follows from the request is the gateway's to fill in.
	Caller cloud.Caller
}

// String names the caller and keeps the secret.
func (c Credential) String() string { return "credential of " + c.Caller.ARN }

// GoString is String.
func (c Credential) GoString() string { return c.String() }

// LogValue is String.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// A Source finds credentials. Its methods may be called concurrently.
type Source interface {
	// Credential returns the credential of an access key. sessionToken is "" for
	// a request that carries none: the Source then refuses a session's key, and
	// it refuses a token that is not that key's. It returns an error that is
	// ErrUnknown or cloud.ErrNotFound for what does not exist, is inactive or
	// does not fit together, one that is ErrExpired for a session that has
	// ended, and any other for a failure of its own.
	Credential(ctx context.Context, accessKeyID, sessionToken string) (Credential, error)
}

// Verified is what a valid signature proves.
type Verified struct {
	Caller  cloud.Caller
	Region  cloud.Region // of the credential scope
	Service string       // of the credential scope, in lower case: "kms"
}

// A Verifier checks signatures. It may be used by many goroutines at once. It
// remembers derived signing keys, in memory only and in bounded number.
type Verifier struct {
	source Source
	keys   keyCache
}

// New returns a Verifier of requests signed with the credentials of src.
func New(src Source) *Verifier { return &Verifier{source: src} }

// Verify checks the signature of r, whose whole body is body. It changes neither.
// The error is an *Error where the request is at fault, else what the Source
// failed with.
func (v *Verifier) Verify(r *http.Request, body []byte, now time.Time) (Verified, error) {
	s, err := parse(r)
	if err != nil {
		return Verified{}, err
	}
	region, err := s.check(r, now)
	if err != nil {
		return Verified{}, err
	}
	cred, err := v.credential(r.Context(), s)
	if err != nil {
		return Verified{}, err
	}
	var payload [2 * sha256.Size]byte
	sum := sha256.Sum256(body)
	hex.Encode(payload[:], sum[:])
	if err := checkPayloadHeader(r, s, payload[:]); err != nil {
		return Verified{}, err
	}
	if !v.matches(r, s, cred.Secret, payload[:]) {
		return Verified{}, &Error{Kind: ErrMismatch}
	}
	cred.Caller.AccessKeyID, cred.Caller.Region = s.keyID, region
	return Verified{Caller: cred.Caller, Region: region, Service: s.service}, nil
}

// credential asks the Source, and says its refusals in this package's words.
func (v *Verifier) credential(ctx context.Context, s *signature) (Credential, error) {
	if s.keyID == "" || len(s.keyID) > maxKeyID {
		return Credential{}, &Error{Kind: ErrUnknown}
	}
	cred, err := v.source.Credential(ctx, s.keyID, s.token)
	switch {
	case err == nil && cred.Secret == "":
		// An empty secret would let anybody sign.
		return Credential{}, errors.New("look up access key: the source gave no secret")
	case err == nil:
		return cred, nil
	case errors.Is(err, ErrExpired):
		return Credential{}, &Error{Kind: ErrExpired}
	case errors.Is(err, ErrUnknown), errors.Is(err, cloud.ErrNotFound):
		return Credential{}, &Error{Kind: ErrUnknown}
	}
	return Credential{}, fmt.Errorf("look up access key: %w", err)
}

// matches computes the signature and compares it in constant time.
func (v *Verifier) matches(r *http.Request, s *signature, secret string, payload []byte) bool {
	key := v.keys.get(secret, s)
	cached := key != nil
	if !cached {
		key = derive(secret, s)
	}
	m := key.macs.Get().(*mac)
	defer key.macs.Put(m)
	ok := m.signs(r, s, payload, s.query)
	if !ok && s.presigned && s.has("X-Amz-Security-Token") {
		// Some signers add the token to the query after signing. That is safe: the
		// Source has tied the token to the key.
		ok = m.signs(r, s, payload, s.query.without("X-Amz-Security-Token"))
	}
	if ok && !cached {
		// Only now: what strangers send must not push good keys out.
		v.keys.put(secret, s, key)
	}
	return ok
}

// signs reports whether s is m's signature of r, with the query q.
func (m *mac) signs(r *http.Request, s *signature, payload []byte, q query) bool {
	m.text = appendCanonical(m.text[:0], r, s, payload, q)
	sum := sha256.Sum256(m.text)
	m.text = s.appendToSign(m.text[:0], sum[:])
	m.Reset()
	m.Write(m.text)
	m.sum = m.Sum(m.sum[:0])
	var value [2 * sha256.Size]byte
	hex.Encode(value[:], m.sum)
	return subtle.ConstantTimeCompare(value[:], []byte(s.value)) == 1
}

// appendToSign writes what is signed of a canonical request that has this hash.
func (s *signature) appendToSign(b, sum []byte) []byte {
	b = append(b, algorithm+"\n"...)
	b = append(b, s.iso...)
	b = append(b, '\n')
	for _, part := range [...]string{s.date, s.region, s.service} {
		b = append(b, part...)
		b = append(b, '/')
	}
	b = append(b, terminator+"\n"...)
	return hex.AppendEncode(b, sum)
}

// checkPayloadHeader holds X-Amz-Content-Sha256, where it was sent, against the
// hash of the body. These services have no unsigned and no chunked payloads.
func checkPayloadHeader(r *http.Request, s *signature, payload []byte) error {
	claims := headerValues(r.Header, "x-amz-content-sha256")
	if s.presigned {
		if c, ok := s.query.get("X-Amz-Content-Sha256"); ok {
			claims = append(claims[:len(claims):len(claims)], c)
		}
	}
	for _, c := range claims {
		if c != string(payload) {
			return refuse(ErrMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed.")
		}
	}
	return nil
}
