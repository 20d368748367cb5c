package material_test

import (
	"bytes"
	"testing"

	"github.com/cloudflare/circl/kem"
	"github.com/cloudflare/circl/kem/mlkem/mlkem1024"
	"github.com/cloudflare/circl/kem/mlkem/mlkem768"
	"github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"
	"golang.org/x/crypto/sha3"

	"borealis/internal/material"
)

// seed is the end of the encoding of an ML-DSA or ML-KEM key.
func seed(t testing.TB, k *material.Key, size int) []byte {
	t.Helper()
	encoded := encoding(t, k)
	return encoded[len(encoded)-size:]
}

// Another implementation makes the same keys of the same seeds, and takes what
// ours gives, and the other way round.
func TestMLDSAWithCircl(t *testing.T) {
	for s, c := range map[material.Spec]sign.Scheme{"ML_DSA_44": mldsa44.Scheme(), "ML_DSA_65": mldsa65.Scheme(), "ML_DSA_87": mldsa87.Scheme()} {
		t.Run(string(s), func(t *testing.T) {
			k := key(t, s)
			theirs, private := c.DeriveKey(seed(t, k, 32))
			encoded, err := theirs.MarshalBinary()
			if err != nil || !bytes.Equal(encoded, publicBytes(t, k)) {
				t.Fatalf("another public key, or %v", err)
			}
			m := []byte("a message for two")
			mu := externalMu(encoded, m)
			for _, mt := range []material.MessageType{"RAW", "EXTERNAL_MU"} {
				signed := m
				if mt == "EXTERNAL_MU" {
					signed = mu
				}
				sig, err := k.Sign("ML_DSA_SHAKE_256", mt, signed)
				if err != nil || !c.Verify(theirs, m, sig, nil) {
					t.Errorf("%s: they do not verify ours, or %v", mt, err)
				}
				if err := k.Verify("ML_DSA_SHAKE_256", mt, signed, c.Sign(private, m, nil)); err != nil {
					t.Errorf("%s: theirs: %v", mt, err)
				}
				if err := k.Verify("ML_DSA_SHAKE_256", mt, signed, c.Sign(private, m, &sign.SignatureOpts{Context: "c"})); err == nil {
					t.Errorf("%s: theirs with a context verifies", mt)
				}
			}
		})
	}
}

// externalMu is mu of a message with the empty context: FIPS 204, section 6.2.
func externalMu(public, message []byte) []byte {
	tr, mu := make([]byte, 64), make([]byte, 64)
	sha3.ShakeSum256(tr, public)
	sha3.ShakeSum256(mu, append(append(tr, 0, 0), message...))
	return mu
}

// A signature is verified from its mu as from its message.
func TestMuAndMessageAreOne(t *testing.T) {
	for _, s := range []material.Spec{"ML_DSA_44", "ML_DSA_65", "ML_DSA_87"} {
		k := key(t, s)
		for i := range 20 {
			m := bytes.Repeat([]byte{byte(i)}, i+1)
			mu := externalMu(publicBytes(t, k), m)
			sig, err := k.Sign("ML_DSA_SHAKE_256", "RAW", m)
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Verify("ML_DSA_SHAKE_256", "EXTERNAL_MU", mu, sig); err != nil {
				t.Errorf("%s: %v", s, err)
			}
			// Each place in turn, in the hash, the response and the hints.
			sig[(i*len(sig)/20+i)%len(sig)] ^= 1 << (i % 8)
			byMu, byMessage := k.Verify("ML_DSA_SHAKE_256", "EXTERNAL_MU", mu, sig), k.Verify("ML_DSA_SHAKE_256", "RAW", m, sig)
			if byMu == nil || byMessage == nil {
				t.Errorf("%s: damaged: %v and %v", s, byMu, byMessage)
			}
		}
	}
}

func TestMLKEMWithCircl(t *testing.T) {
	for s, c := range map[material.Spec]kem.Scheme{"ML_KEM_768": mlkem768.Scheme(), "ML_KEM_1024": mlkem1024.Scheme()} {
		t.Run(string(s), func(t *testing.T) {
			k := key(t, s)
			theirs, private := c.DeriveKeyPair(seed(t, k, 64))
			encoded, err := theirs.MarshalBinary()
			if err != nil || !bytes.Equal(encoded, publicBytes(t, k)) {
				t.Fatalf("another public key, or %v", err)
			}
			ciphertext, shared, err := k.Encapsulate()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Decapsulate(private, ciphertext); err != nil || !bytes.Equal(got, shared) {
				t.Errorf("ours: another secret, or %v", err)
			}
			ciphertext, want, err := c.Encapsulate(theirs)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := k.Decapsulate(ciphertext); err != nil || !bytes.Equal(got, want) {
				t.Errorf("theirs: another secret, or %v", err)
			}
			ciphertext[0] ^= 1 // implicit rejection gives both the same wrong secret
			wrong, err := c.Decapsulate(private, ciphertext)
			if got, err2 := k.Decapsulate(ciphertext); err != nil || err2 != nil || !bytes.Equal(got, wrong) || bytes.Equal(got, want) {
				t.Errorf("damaged: %v, %v", err, err2)
			}
		})
	}
}
