package material_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"borealis/internal/material"
)

// pairs are one key of every spec, made once: RSA keys take long.
var pairs sync.Map

// key is a key of the spec, always the same one.
func key(t testing.TB, s material.Spec) *material.Key {
	t.Helper()
	made, _ := pairs.LoadOrStore(s, sync.OnceValues(func() (*material.Key, error) { return fresh(s) }))
	k, err := made.(func() (*material.Key, error))()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func fresh(s material.Spec) (*material.Key, error) {
	encoded, err := material.Generate(context.Background(), s)
	if err != nil {
		return nil, err
	}
	return material.Load(s, encoded)
}

// encoding is the encoding of k.
func encoding(t testing.TB, k *material.Key) []byte {
	t.Helper()
	encoded, err := k.Encoding()
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// message is what the tests sign, of the length that the type and algorithm take.
func message(a material.Algorithm, mt material.MessageType) []byte {
	if mt == material.Raw {
		return []byte("a message of no particular length")
	}
	return bytes.Repeat([]byte{0x5a}, material.DigestSize(a))
}

func TestEveryKeyIsReadAsItIsWritten(t *testing.T) {
	for _, s := range specs {
		t.Run(string(s), func(t *testing.T) {
			k := key(t, s)
			again, err := material.Load(s, encoding(t, k))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(encoding(t, again), encoding(t, k)) {
				t.Error("the encoding of what was read differs from what was read")
			}
			if k.Spec() != s {
				t.Errorf("Spec() = %s", k.Spec())
			}
			first, err := k.Public()
			second, err2 := again.Public()
			if s.Asymmetric() != (err == nil) || s.Asymmetric() != (err2 == nil) || !bytes.Equal(first, second) {
				t.Errorf("public keys %x (%v) and %x (%v)", first, err, second, err2)
			}
			if isSecret := k.Secret() != nil; isSecret == s.Asymmetric() {
				t.Errorf("Secret() != nil is %v", isSecret)
			}
			for _, other := range specs {
				if other == s || len(encoding(t, k)) == len(key(t, other).Secret()) {
					continue // a symmetric or HMAC key is so many bytes of anything
				}
				if _, err := material.Load(other, encoding(t, k)); !errors.Is(err, material.ErrEncoding) {
					t.Errorf("read as %s: %v", other, err)
				}
			}
		})
	}
}

func TestTwoKeysDiffer(t *testing.T) {
	for _, s := range specs {
		if strings.HasPrefix(string(s), "RSA_3") || strings.HasPrefix(string(s), "RSA_4") {
			continue // as RSA_2048, and slow
		}
		other, err := fresh(s)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(encoding(t, key(t, s)), encoding(t, other)) {
			t.Errorf("%s: twice the same key", s)
		}
	}
}

func TestSignatures(t *testing.T) {
	for _, s := range specs {
		for _, a := range s.Algorithms("SIGN_VERIFY") {
			for _, mt := range []material.MessageType{"RAW", "DIGEST", "EXTERNAL_MU"} {
				t.Run(fmt.Sprintf("%s/%s/%s", s, a, mt), func(t *testing.T) { testSignature(t, key(t, s), a, mt) })
			}
		}
	}
}

func testSignature(t *testing.T, k *material.Key, a material.Algorithm, mt material.MessageType) {
	m := message(a, mt)
	sig, err := k.Sign(a, mt, m)
	if !signs(k.Spec(), a, mt) {
		if !errors.Is(err, material.ErrMessageType) {
			t.Errorf("Sign: %v, want ErrMessageType", err)
		}
		if err := k.Verify(a, mt, m, []byte("x")); !errors.Is(err, material.ErrMessageType) {
			t.Errorf("Verify: %v, want ErrMessageType", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Verify(a, mt, m, sig); err != nil {
		t.Errorf("Verify: %v", err)
	}
	again, err := k.Sign(a, mt, m)
	fixed := strings.Contains(string(a), "PKCS1") || strings.HasPrefix(string(a), "ED25519")
	if err != nil || bytes.Equal(sig, again) != fixed {
		t.Errorf("signed again: the same is %v, %v", bytes.Equal(sig, again), err)
	}
	refused := func(what string, m, sig []byte) {
		t.Helper()
		if err := k.Verify(a, mt, m, sig); !errors.Is(err, material.ErrSignature) {
			t.Errorf("%s: %v, want ErrSignature", what, err)
		}
	}
	other := slices.Clone(m)
	other[3] ^= 4
	refused("another message", other, sig)
	refused("no signature", m, nil)
	refused("a byte less", m, sig[:len(sig)-1])
	refused("a byte more", m, append(slices.Clone(sig), 0))
	refused("a byte before", m, append([]byte{0}, sig...))
	refused("zeros", m, make([]byte, len(sig)))
	for bit := 0; bit < 8*len(sig); bit += max(1, len(sig)/64) {
		damaged := slices.Clone(sig)
		damaged[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("bit %d flipped", bit), m, damaged)
	}
	if mt == material.Raw {
		return
	}
	for _, m := range [][]byte{nil, m[1:], append(slices.Clone(m), 0)} {
		if _, err := k.Sign(a, mt, m); !errors.Is(err, material.ErrDigest) {
			t.Errorf("sign %d bytes: %v, want ErrDigest", len(m), err)
		}
		if err := k.Verify(a, mt, m, sig); !errors.Is(err, material.ErrDigest) {
			t.Errorf("verify %d bytes: %v, want ErrDigest", len(m), err)
		}
	}
}

// signs is what AWS answers to message types (recorded by radkawar/stackd,
// testdata/aws/kms/ecc.json and mldsa.json).
func signs(s material.Spec, a material.Algorithm, mt material.MessageType) bool {
	switch {
	case strings.HasPrefix(string(s), "ML_DSA"):
		return mt != "DIGEST"
	case a == "ED25519_SHA_512":
		return mt == "RAW"
	case a == "ED25519_PH_SHA_512":
		return mt == "DIGEST"
	}
	return mt != "EXTERNAL_MU"
}

func TestMACs(t *testing.T) {
	for _, s := range specs {
		for _, a := range s.Algorithms("GENERATE_VERIFY_MAC") {
			m, err := key(t, s).MAC(a, []byte("m"))
			if err != nil || len(m) != material.DigestSize(a) {
				t.Errorf("%s: %d bytes, %v", s, len(m), err)
			}
		}
	}
}

func TestEncryption(t *testing.T) {
	for _, s := range specs {
		for _, a := range s.Algorithms("ENCRYPT_DECRYPT") {
			if a == "SYMMETRIC_DEFAULT" {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", s, a), func(t *testing.T) { testEncryption(t, key(t, s), a) })
		}
	}
}

func testEncryption(t *testing.T, k *material.Key, a material.Algorithm) {
	largest := k.Spec().MaxPlaintext(a)
	for _, n := range []int{1, 32, largest} {
		plaintext := bytes.Repeat([]byte{7}, n)
		c, err := k.Encrypt(a, plaintext)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if p, err := k.Decrypt(a, c); err != nil || !bytes.Equal(p, plaintext) {
			t.Errorf("%d bytes: got %d bytes back, %v", n, len(p), err)
		}
		again, err := k.Encrypt(a, plaintext)
		if err != nil || bytes.Equal(c, again) {
			t.Errorf("%d bytes: twice the same ciphertext, or %v", n, err)
		}
	}
	if _, err := k.Encrypt(a, make([]byte, largest+1)); !errors.Is(err, material.ErrTooLong) {
		t.Errorf("a byte too many: %v, want ErrTooLong", err)
	}
	c, err := k.Encrypt(a, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, c []byte) {
		t.Helper()
		if _, err := k.Decrypt(a, c); !errors.Is(err, material.ErrCiphertext) {
			t.Errorf("%s: %v, want ErrCiphertext", what, err)
		}
	}
	refused("nothing", nil)
	refused("a byte less", c[:len(c)-1])
	refused("a byte more", append(slices.Clone(c), 0))
	refused("a byte before", append([]byte{0}, c...))
	refused("zeros", make([]byte, len(c)))
	refused("ones", bytes.Repeat([]byte{0xff}, len(c)))
	for bit := 0; bit < 8*len(c); bit += max(1, len(c)/32) {
		damaged := slices.Clone(c)
		damaged[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("bit %d flipped", bit), damaged)
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	for _, s := range specs {
		k := key(t, s)
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("made", "key", k)
		for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%+v %#v %x %q", k, k, k, k), k.String(), log.String()} {
			if !strings.Contains(text, "REDACTED") || strings.Contains(text, "impl") {
				t.Errorf("%s: printed as %s", s, text)
			}
		}
		if text, err := k.MarshalText(); err == nil {
			t.Errorf("%s: marshalled as %q", s, text)
		}
	}
}
