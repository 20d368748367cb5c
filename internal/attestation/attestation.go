// Package attestation reads the documents with which AWS's Nitro hypervisor says
// what runs in an enclave, or was booted on an instance with a NitroTPM, and
// encrypts so that only what it speaks of can decrypt. It knows nothing of keys
// and policies, and asks no clock.
//
// A document is a COSE_Sign1 message (RFC 9052) over CBOR, signed with ECDSA on
// P-384 by a certificate that it brings along with those above it. Its form and
// how to check it is published by AWS: "Verifying the root of trust" in the Nitro
// Enclaves User Guide, and "Validate a NitroTPM Attestation Document" in the EC2
// User Guide.
package attestation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

// Limits of what is read. Those of a document's members are of its
// specification.
const (
	maxDocument    = 16 << 10 // bytes; those of the hypervisor have some 5 KiB
	maxText        = 256      // bytes of the module's id
	maxCertificate = 1024     // bytes
	maxBundle      = 16       // certificates
	maxUserData    = 1024     // bytes of the key, the user data and the nonce
	maxRegisters   = 32
	minKey         = 2048 // bits of the public key
	maxKey         = 4096
	// maxAge is how old a document may be, and how far ahead its clock.
	maxAge = 5 * time.Minute
)

// A Document is what an attestation document says that was found to be true.
type Document struct {
	Module string    // the hypervisor's name of what it speaks for
	Time   time.Time // when it was made
	// Registers are the platform configuration registers, by number: those of the
	// enclave, or, with TPM, those of the instance's NitroTPM.
	Registers map[int][]byte
	TPM       bool

	key  *rsa.PublicKey
	spki []byte // key, as it was written
}

// A Verifier verifies documents. It is safe for concurrent use.
type Verifier struct {
	roots *x509.CertPool
	top   map[string]bool // the roots, DER
}

// NewVerifier makes a Verifier that trusts the certificates in text, which is
// PEM, and no others.
func NewVerifier(text []byte) (*Verifier, error) {
	v := &Verifier{roots: x509.NewCertPool(), top: make(map[string]bool)}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("the file of attestation roots has a %q, and may have certificates only", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read attestation root: %w", err)
		}
		if !c.IsCA {
			return nil, fmt.Errorf("attestation root %q is not the certificate of an authority", c.Subject)
		}
		v.roots.AddCert(c)
		v.top[string(c.Raw)] = true
	}
	if len(v.top) == 0 {
		return nil, errors.New("the file of attestation roots has no certificate in PEM")
	}
	return v, nil
}

// A payload is a document's content, as CBOR.
type payload struct {
	Module      string            `cbor:"module_id"`
	Digest      string            `cbor:"digest"`
	Timestamp   uint64            `cbor:"timestamp"` // Unix milliseconds
	PCRs        map[uint64][]byte `cbor:"pcrs"`
	TPMPCRs     map[uint64][]byte `cbor:"nitrotpm_pcrs"`
	Certificate []byte            `cbor:"certificate"`
	Bundle      [][]byte          `cbor:"cabundle"` // root first
	Key         []byte            `cbor:"public_key"`
	UserData    []byte            `cbor:"user_data"`
	Nonce       []byte            `cbor:"nonce"`
}

// Verify reads a document and makes sure that the hypervisor signed it, within
// five minutes of now. The error says in a sentence what is wrong with it.
func (v *Verifier) Verify(document []byte, now time.Time) (*Document, error) {
	message, err := parseMessage(document)
	if err != nil {
		return nil, err
	}
	p, err := parsePayload(message.Payload)
	if err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	d := &Document{Module: p.Module, Time: time.UnixMilli(int64(p.Timestamp)).UTC(), Registers: make(map[int][]byte)}
	if age := now.Sub(d.Time); age > maxAge || age < -maxAge {
		return nil, fmt.Errorf("it was made at %s, more than %v from now", d.Time.Format(time.RFC3339), maxAge)
	}
	signer, err := v.signer(p, d.Time)
	if err != nil {
		return nil, err
	}
	verifier, err := cose.NewVerifier(cose.AlgorithmES384, signer)
	if err != nil {
		return nil, fmt.Errorf("its signer's key cannot be used: %w", err)
	}
	if err := message.Verify(nil, verifier); err != nil {
		return nil, errors.New("its signature is not its signer's")
	}
	pcrs := p.PCRs
	if d.TPM = pcrs == nil; d.TPM {
		pcrs = p.TPMPCRs
	}
	for i, value := range pcrs {
		d.Registers[int(i)] = value
	}
	if d.key, err = parseKey(p.Key); err != nil {
		return nil, err
	}
	d.spki = p.Key
	return d, nil
}

// decoding reads CBOR as documents have it: shallow, small, without repetition.
var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: 4, MaxArrayElements: maxBundle, MaxMapPairs: 64,
		IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, UTF8: cbor.UTF8RejectInvalid,
	}.DecMode()
	if err != nil {
		panic(err) // the options do not depend on anything
	}
	return mode
}()

// parseMessage reads the COSE_Sign1 message, with or without its tag.
func parseMessage(document []byte) (*cose.Sign1Message, error) {
	if len(document) == 0 || len(document) > maxDocument {
		return nil, fmt.Errorf("it has %d bytes, and may have 1 to %d", len(document), maxDocument)
	}
	const tag, array = 0xd2, 0x84 // tag 18, and an array of four
	if document[0] == tag {
		document = document[1:]
	}
	var parts []cbor.RawMessage
	if err := decoding.Unmarshal(document, &parts); err != nil || len(parts) != 4 || document[0] != array {
		return nil, errors.New("it is not a COSE_Sign1 message")
	}
	var message cose.UntaggedSign1Message
	if err := message.UnmarshalCBOR(document); err != nil {
		return nil, errors.New("it is not a COSE_Sign1 message")
	}
	if alg, err := message.Headers.Protected.Algorithm(); err != nil || alg != cose.AlgorithmES384 {
		return nil, errors.New("it is not signed with ES384")
	}
	return (*cose.Sign1Message)(&message), nil
}

func parsePayload(text []byte) (*payload, error) {
	var p payload
	if err := decoding.Unmarshal(text, &p); err != nil {
		return nil, errors.New("its payload is not an attestation document")
	}
	return &p, nil
}

// check holds p to the specification.
func (p *payload) check() error {
	pcrs := p.PCRs
	if pcrs == nil {
		pcrs = p.TPMPCRs
	}
	switch {
	case p.Module == "" || len(p.Module) > maxText:
		return errors.New("it does not name its module")
	case p.Digest != "SHA384":
		return errors.New("its digest is not SHA384")
	case p.Timestamp == 0 || p.Timestamp > 1<<53:
		return errors.New("it has no time")
	case p.PCRs != nil && p.TPMPCRs != nil:
		return errors.New("it speaks of an enclave and of a NitroTPM")
	case len(pcrs) == 0 || len(pcrs) > maxRegisters:
		return fmt.Errorf("it has %d registers, and may have 1 to %d", len(pcrs), maxRegisters)
	case len(p.Bundle) == 0:
		return errors.New("it has no certificates above its signer's")
	case len(p.UserData) > maxUserData || len(p.Nonce) > maxUserData || len(p.Key) > maxUserData:
		return fmt.Errorf("its key, user data or nonce has more than %d bytes", maxUserData)
	}
	for i, value := range pcrs {
		if n := len(value); i >= maxRegisters || n != 32 && n != 48 && n != 64 {
			return fmt.Errorf("its register %d has %d bytes", i, n)
		}
	}
	for _, c := range append([][]byte{p.Certificate}, p.Bundle...) {
		if len(c) == 0 || len(c) > maxCertificate {
			return fmt.Errorf("a certificate of it has %d bytes, and may have 1 to %d", len(c), maxCertificate)
		}
	}
	return nil
}

// signer is the key that p is to be signed with, if its certificate was good at
// the time.
func (v *Verifier) signer(p *payload, at time.Time) (*ecdsa.PublicKey, error) {
	leaf, err := x509.ParseCertificate(p.Certificate)
	if err != nil {
		return nil, errors.New("its signer's certificate cannot be read")
	}
	between := x509.NewCertPool()
	for _, der := range p.Bundle {
		if v.top[string(der)] {
			continue
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errors.New("a certificate of it cannot be read")
		}
		between.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: v.roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, fmt.Errorf("its signer's certificate does not lead to a trusted root: %w", err)
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P384() || leaf.IsCA || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, errors.New("its signer's certificate is not one for signing documents")
	}
	return key, nil
}

// parseKey reads the key that answers are to be encrypted under.
func parseKey(spki []byte) (*rsa.PublicKey, error) {
	if len(spki) == 0 {
		return nil, errors.New("it has no public key")
	}
	public, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, errors.New("its public key cannot be read")
	}
	key, ok := public.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("its public key is not an RSA key")
	}
	if n := key.N.BitLen(); n < minKey || n > maxKey {
		return nil, fmt.Errorf("its public key has %d bits, and may have %d to %d", n, minKey, maxKey)
	}
	return key, nil
}
