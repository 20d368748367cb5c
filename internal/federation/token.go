// Package federation reads what identity providers vouch with, and believes
// none of it before it is verified: tokens of OpenID Connect, whose keys it
// fetches, and responses of SAML 2.0. It knows nothing of accounts or roles.
package federation

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Errors of tokens and responses. What wraps them may quote nothing of either.
var (
	// ErrMalformed says that it is no token, or no response.
	ErrMalformed = errors.New("not well-formed")
	// ErrSignature says that no key of the provider's has signed it.
	ErrSignature = errors.New("the signature is invalid")
	// ErrNoKey says that the provider has no key of the token's name.
	ErrNoKey = errors.New("the identity provider has no such key")
)

const (
	maxToken   = 20000 // bytes
	maxClaims  = 256
	minRSABits = 2048
	maxRSABits = 16384 // the time that a signature takes grows with their square
)

// algorithms are those that AWS takes. Neither "none" nor any with a shared
// secret is among them.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512}

// A Token is a JSON Web Token whose signature has not been looked at.
type Token struct {
	signed *jose.JSONWebSignature
	issuer string
}

// ReadToken reads a token in the compact form. It is ErrMalformed if it is none,
// or is signed by an algorithm that no identity provider may use.
func ReadToken(text string) (*Token, error) {
	if len(text) > maxToken {
		return nil, fmt.Errorf("token of %d bytes: %w", len(text), ErrMalformed)
	}
	signed, err := jose.ParseSignedCompact(text, algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return nil, fmt.Errorf("token: %w", ErrMalformed)
	}
	c, err := readClaims(signed.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, err
	}
	issuer, err := c.text("iss")
	if err != nil || issuer == "" {
		return nil, fmt.Errorf("issuer of the token: %w", ErrMalformed)
	}
	return &Token{signed, issuer}, nil
}

// Issuer is who has made the token, by its own account.
func (t *Token) Issuer() string { return t.issuer }

// Keys are the public keys of an identity provider.
type Keys struct{ set jose.JSONWebKeySet }

// ReadKeys reads a JSON Web Key Set, of which it keeps what can verify tokens.
func ReadKeys(text []byte) (Keys, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &raw); err != nil || len(raw.Keys) == 0 || len(raw.Keys) > maxKeys {
		return Keys{}, fmt.Errorf("key set: %w", ErrMalformed)
	}
	var k Keys
	for _, text := range raw.Keys {
		var one jose.JSONWebKey
		// Providers have keys for other ends too, some of kinds that are not known here.
		if err := json.Unmarshal(text, &one); err == nil && verifies(one) {
			one.Certificates, one.CertificatesURL = nil, nil // nobody looks at them
			k.set.Keys = append(k.set.Keys, one)
		}
	}
	return k, nil
}

// maxKeys is how many keys a provider has at most.
const maxKeys = 200

func verifies(k jose.JSONWebKey) bool {
	if k.Use != "" && k.Use != "sig" || !k.Valid() {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return strongRSA(key)
	case *ecdsa.PublicKey:
		return true
	}
	return false
}

// strongRSA says whether signatures of a key prove something, in little time.
func strongRSA(k *rsa.PublicKey) bool {
	return k.N.BitLen() >= minRSABits && k.N.BitLen() <= maxRSABits
}

// find is the key that a header names, or the only one there is if it names none.
func (k Keys) find(h jose.Header) (jose.JSONWebKey, error) {
	var found []jose.JSONWebKey
	for _, key := range k.set.Keys {
		if (h.KeyID == "" || key.KeyID == h.KeyID) && (key.Algorithm == "" || key.Algorithm == h.Algorithm) {
			found = append(found, key)
		}
	}
	if len(found) != 1 {
		return jose.JSONWebKey{}, ErrNoKey
	}
	return found[0], nil
}

// Verify returns what the token says, if one of keys has signed it; else it is
// ErrNoKey or ErrSignature. When the token is good is not looked at.
func (t *Token) Verify(keys Keys) (Claims, error) {
	key, err := keys.find(t.signed.Signatures[0].Protected)
	if err != nil {
		return Claims{}, err
	}
	payload, err := t.signed.Verify(key.Key)
	if err != nil {
		return Claims{}, ErrSignature
	}
	c, err := readClaims(payload)
	if err != nil {
		return Claims{}, err
	}
	return c.claims()
}

// Claims are what a token says.
type Claims struct {
	Issuer, Subject string
	Audience        []string
	Party           string // "azp": whom it was issued to
	Methods         []string
	Email           string
	// Expires is when it ends, Issued when it was made and NotBefore when it
	// begins, which is zero if it does not say.
	Expires, Issued, NotBefore time.Time

	SourceIdentity string
	Tags           map[string]string
	Transitive     []string
}

// claims are members of a token's payload by their exact names.
type claims map[string]json.RawMessage

func readClaims(payload []byte) (claims, error) {
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil || c == nil || len(c) > maxClaims {
		return nil, fmt.Errorf("claims of the token: %w", ErrMalformed)
	}
	return c, nil
}

// Names of the claims that are AWS's.
const (
	tagsClaim   = "https://aws.amazon.com/tags"
	sourceClaim = "https://aws.amazon.com/source_identity"
)

func (c claims) claims() (out Claims, err error) {
	var errs [9]error
	out.Issuer, errs[0] = c.text("iss")
	out.Subject, errs[1] = c.text("sub")
	out.Audience, errs[2] = c.list("aud")
	out.Party, errs[3] = c.text("azp")
	out.Methods, errs[4] = c.list("amr")
	out.Expires, errs[5] = c.time("exp")
	out.Issued, errs[6] = c.time("iat")
	out.NotBefore, errs[7] = c.time("nbf")
	out.SourceIdentity, errs[8] = c.text(sourceClaim)
	if err := errors.Join(errs[:]...); err != nil {
		return Claims{}, err
	}
	out.Email, _ = c.text("email") // whatever else it is, is no e-mail address
	return out, c.tags(&out)
}

// text is the value of a claim that is a string, "" if there is none.
func (c claims) text(name string) (s string, err error) {
	raw, ok := c[name]
	if !ok {
		return "", nil
	}
	if err := json.Unmarshal(raw, &s); err != nil || string(raw) == "null" {
		return "", fmt.Errorf("claim %q: %w", name, ErrMalformed)
	}
	return s, nil
}

// list is the value of a claim that is a string or a list of strings.
func (c claims) list(name string) ([]string, error) {
	raw, ok := c[name]
	if !ok {
		return nil, nil
	}
	if s, err := c.text(name); err == nil {
		return []string{s}, nil
	}
	var all []*string
	if err := json.Unmarshal(raw, &all); err != nil || len(all) > maxClaims {
		return nil, fmt.Errorf("claim %q: %w", name, ErrMalformed)
	}
	var out []string
	for _, s := range all {
		if s == nil {
			return nil, fmt.Errorf("claim %q: %w", name, ErrMalformed)
		}
		out = append(out, *s)
	}
	return out, nil
}

// time is the value of a claim in seconds since 1970, the zero time if there is none.
func (c claims) time(name string) (time.Time, error) {
	raw, ok := c[name]
	if !ok {
		return time.Time{}, nil
	}
	var seconds *float64
	if err := json.Unmarshal(raw, &seconds); err != nil || seconds == nil || !(*seconds > 0 && *seconds < math.MaxInt32*64) {
		return time.Time{}, fmt.Errorf("claim %q: %w", name, ErrMalformed)
	}
	return time.Unix(int64(*seconds), 0).UTC(), nil
}

// tags reads the session tags, which may be in one claim or in one claim each.
func (c claims) tags(out *Claims) error {
	principal := claims{}
	if raw, ok := c[tagsClaim]; ok {
		var nested claims
		if err := json.Unmarshal(raw, &nested); err != nil {
			return fmt.Errorf("claim %q: %w", tagsClaim, ErrMalformed)
		}
		if raw, ok := nested["principal_tags"]; ok {
			if err := json.Unmarshal(raw, &principal); err != nil {
				return fmt.Errorf("claim %q: %w", tagsClaim, ErrMalformed)
			}
		}
		var err error
		if out.Transitive, err = nested.list("transitive_tag_keys"); err != nil {
			return err
		}
	}
	for name, raw := range c {
		if key, ok := strings.CutPrefix(name, tagsClaim+"/principal_tags/"); ok {
			principal[key] = raw
		}
	}
	if keys, err := c.list(tagsClaim + "/transitive_tag_keys"); err != nil {
		return err
	} else if keys != nil {
		out.Transitive = keys
	}
	for key := range principal {
		values, err := principal.list(key)
		if err != nil || len(values) != 1 {
			return fmt.Errorf("tags of the token: %w", ErrMalformed)
		}
		if out.Tags == nil {
			out.Tags = map[string]string{}
		}
		out.Tags[key] = values[0]
	}
	return nil
}
