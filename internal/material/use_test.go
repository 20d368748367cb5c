package material_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"borealis/internal/material"
)

// agreeing are the specs whose keys agree on secrets.
var agreeing = []material.Spec{"ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "SM2"}

func public(t testing.TB, k *material.Key) []byte {
	t.Helper()
	der, err := k.Public()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestBothSidesAgree(t *testing.T) {
	for _, s := range agreeing {
		ann := key(t, s)
		bob, err := fresh(s)
		if err != nil {
			t.Fatal(err)
		}
		one, err := ann.Agree(public(t, bob))
		other, err2 := bob.Agree(public(t, ann))
		if err != nil || err2 != nil || !bytes.Equal(one, other) || len(one) == 0 {
			t.Errorf("%s: %d and %d bytes, %v, %v", s, len(one), len(other), err, err2)
		}
	}
}

func TestAgreeRefuses(t *testing.T) {
	for _, s := range agreeing {
		t.Run(string(s), func(t *testing.T) {
			k := key(t, s)
			refused := func(what string, der []byte) {
				t.Helper()
				if _, err := k.Agree(der); !errors.Is(err, material.ErrPublicKey) {
					t.Errorf("%s: %v, want ErrPublicKey", what, err)
				}
			}
			spki := func(point []byte) []byte {
				t.Helper()
				der, err := material.MarshalPeer(s, point)
				if err != nil {
					t.Fatal(err)
				}
				return der
			}
			point := publicBytes(t, k)
			half := len(point) / 2
			off := slices.Clone(point)
			off[len(off)-1] ^= 1
			refused("nothing", nil)
			refused("bare point", point)
			refused("private key", encoding(t, k))
			refused("a byte after it", append(public(t, k), 0))
			refused("truncated", public(t, k)[:20])
			refused("off the curve", spki(off))
			refused("point at infinity", spki([]byte{0}))
			refused("zeros", spki(append([]byte{4}, make([]byte, 2*half)...)))
			refused("coordinates of the field's size", spki(append([]byte{4}, bytes.Repeat([]byte{0xff}, 2*half)...)))
			refused("compressed", spki(append([]byte{2 + point[len(point)-1]&1}, point[1:1+half]...)))
			refused("hybrid", spki(append([]byte{6 + point[len(point)-1]&1}, point[1:]...)))
			refused("short point", spki(point[:len(point)-1]))
			refused("empty point", spki(nil))
			for _, other := range specs {
				if other.Asymmetric() && other != s {
					refused(string(other), public(t, key(t, other)))
				}
			}
		})
	}
}

func TestBothSidesEncapsulate(t *testing.T) {
	for _, s := range []material.Spec{"ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"} {
		t.Run(string(s), func(t *testing.T) {
			k := key(t, s)
			ciphertext, shared, err := k.Encapsulate()
			if err != nil || len(shared) != 32 {
				t.Fatalf("%d bytes, %v", len(shared), err)
			}
			if got, err := k.Decapsulate(ciphertext); err != nil || !bytes.Equal(got, shared) {
				t.Errorf("another secret, or %v", err)
			}
			ciphertext[7] ^= 1
			if got, err := k.Decapsulate(ciphertext); err != nil || bytes.Equal(got, shared) {
				t.Errorf("the ciphertext was changed: the same secret, or %v", err)
			}
			for _, c := range [][]byte{nil, ciphertext[1:], append(slices.Clone(ciphertext), 0)} {
				if _, err := k.Decapsulate(c); !errors.Is(err, material.ErrCiphertext) {
					t.Errorf("%d bytes: %v, want ErrCiphertext", len(c), err)
				}
			}
		})
	}
}

// What a spec does not do it refuses, with every algorithm of every other.
func TestForeignAlgorithms(t *testing.T) {
	all := map[material.Algorithm]bool{"": true, "RSAES_PKCS1_V1_5": true}
	for _, s := range specs {
		for _, u := range s.Usages() {
			for _, a := range s.Algorithms(u) {
				all[a] = true
			}
		}
	}
	for _, s := range specs {
		k := key(t, s)
		for a := range all {
			check := func(what string, may bool, err error) {
				t.Helper()
				if !may && !errors.Is(err, material.ErrAlgorithm) {
					t.Errorf("%s with %s: %s: %v, want ErrAlgorithm", s, a, what, err)
				}
			}
			has := func(u material.Usage) bool { return slices.Contains(s.Algorithms(u), a) }
			_, err := k.Sign(a, "RAW", []byte("m"))
			check("sign", has("SIGN_VERIFY"), err)
			check("verify", has("SIGN_VERIFY"), k.Verify(a, "RAW", []byte("m"), []byte("s")))
			_, err = k.MAC(a, []byte("m"))
			check("MAC", has("GENERATE_VERIFY_MAC"), err)
			_, err = k.Encrypt(a, []byte("m"))
			check("encrypt", has("ENCRYPT_DECRYPT") && s.Asymmetric(), err)
			_, err = k.Decrypt(a, []byte("m"))
			check("decrypt", has("ENCRYPT_DECRYPT") && s.Asymmetric(), err)
			_, err = material.Unwrap(k, a, []byte("m"))
			check("unwrap", has("ENCRYPT_DECRYPT") && s.Asymmetric(), err)
		}
		if _, err := k.Agree(public(t, key(t, "ECC_NIST_P256"))); !slices.Contains(agreeing, s) && !errors.Is(err, material.ErrAlgorithm) {
			t.Errorf("%s: agree: %v, want ErrAlgorithm", s, err)
		}
		isKEM := s.Algorithms("ENCAPSULATE_DECAPSULATE") != nil
		if _, _, err := k.Encapsulate(); (err == nil) != isKEM {
			t.Errorf("%s: encapsulate: %v", s, err)
		}
		if _, err := k.Decapsulate(nil); errors.Is(err, material.ErrAlgorithm) == isKEM {
			t.Errorf("%s: decapsulate: %v", s, err)
		}
	}
}

// Signatures of ECDSA and SM2 that say the same in another way, or nothing.
func TestSignaturesAreStrict(t *testing.T) {
	orders := map[material.Spec]string{
		"ECC_NIST_P256":   "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
		"ECC_NIST_P384":   "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
		"ECC_NIST_P521":   "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
		"ECC_SECG_P256K1": "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
		"SM2":             "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123",
	}
	for s, order := range orders {
		t.Run(string(s), func(t *testing.T) {
			k, a, m := key(t, s), s.Algorithms("SIGN_VERIFY")[0], []byte("m")
			n := new(big.Int).SetBytes(unhex(t, order))
			sig, err := k.Sign(a, "RAW", m)
			if err != nil {
				t.Fatal(err)
			}
			r, sv := ints(t, sig)
			refused := func(what string, sig []byte) {
				t.Helper()
				if err := k.Verify(a, "RAW", m, sig); !errors.Is(err, material.ErrSignature) {
					t.Errorf("%s: %v, want ErrSignature", what, err)
				}
			}
			zero, one := new(big.Int), big.NewInt(1)
			for _, v := range []*big.Int{zero, one, n, new(big.Int).Sub(n, one), new(big.Int).Add(n, one), new(big.Int).Neg(one), new(big.Int).Lsh(n, 600)} {
				refused(fmt.Sprintf("r = %x", v), derInts(t, v, sv))
				refused(fmt.Sprintf("s = %x", v), derInts(t, r, v))
				refused(fmt.Sprintf("r = s = %x", v), derInts(t, v, v))
			}
			refused("r+n", derInts(t, new(big.Int).Add(r, n), sv))
			refused("s+n", derInts(t, r, new(big.Int).Add(sv, n)))
			refused("r and s changed round", derInts(t, sv, r))
			refused("a zero before r", slices.Concat([]byte{sig[0], sig[1] + 1, 2, sig[3] + 1, 0}, sig[4:]))
			refused("the length of the sequence in two bytes", slices.Concat([]byte{0x30, 0x81}, sig[1:]))
			refused("indefinite length", slices.Concat([]byte{0x30, 0x80}, sig[2:], []byte{0, 0}))
			refused("bare r and s", append(r.Bytes(), sv.Bytes()...))
			refused("a third integer", slices.Concat([]byte{sig[0], sig[1] + 3}, sig[2:], []byte{2, 1, 1}))
			// In ECDSA n-s is as good as s.
			other := derInts(t, r, new(big.Int).Sub(n, sv))
			if err := k.Verify(a, "RAW", m, other); (err == nil) != (s != "SM2") {
				t.Errorf("n-s: %v", err)
			}
		})
	}
}

// ints are r and s of a signature in DER.
func ints(t testing.TB, sig []byte) (r, s *big.Int) {
	t.Helper()
	at := 2
	if sig[1] == 0x81 { // P-521
		at = 3
	}
	length := int(sig[at+1])
	return new(big.Int).SetBytes(sig[at+2 : at+2+length]), new(big.Int).SetBytes(sig[at+2+length+2:])
}

// Of the ciphertexts of one byte, one in 256 is zero.
func TestShortSM2Ciphertexts(t *testing.T) {
	k := key(t, "SM2")
	var zeros int
	for range 3000 {
		c, err := k.Encrypt("SM2PKE", []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		if p, err := k.Decrypt("SM2PKE", c); err != nil || string(p) != "m" {
			t.Fatalf("%x: %q, %v", c, []byte(p), err)
		}
		if c[len(c)-1] == 0 {
			zeros++
			c[len(c)-4] ^= 1 // in the hash
			if _, err := k.Decrypt("SM2PKE", c); !errors.Is(err, material.ErrCiphertext) {
				t.Errorf("damaged: %v", err)
			}
		}
	}
	if zeros == 0 { // once in 100,000
		t.Error("no ciphertext was zero")
	}
}

// KMS gives secp256k1 signatures with small and large s.
func TestLargeAndSmallS(t *testing.T) {
	half, _ := new(big.Int).SetString("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0", 16)
	k := key(t, "ECC_SECG_P256K1")
	var large int
	for range 64 {
		sig, err := k.Sign("ECDSA_SHA_256", "RAW", []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		if _, s := ints(t, sig); s.Cmp(half) > 0 {
			large++
		}
	}
	if large == 0 || large == 64 { // once in 2^63
		t.Errorf("%d of 64 signatures have a large s", large)
	}
}

func TestUseByManyAtOnce(t *testing.T) {
	for _, s := range specs {
		k := key(t, s)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := useAll(k); err != nil {
					t.Errorf("%s: %v", s, err)
				}
			})
		}
		wg.Wait()
	}
}

// useAll does once everything that the key can do.
func useAll(k *material.Key) error {
	s := k.Spec()
	for _, a := range s.Algorithms("SIGN_VERIFY") {
		for _, mt := range s.MessageTypes() {
			if !signs(s, a, mt) {
				continue
			}
			sig, err := k.Sign(a, mt, message(a, mt))
			if err != nil {
				return err
			}
			if err := k.Verify(a, mt, message(a, mt), sig); err != nil {
				return err
			}
		}
	}
	for _, a := range s.Algorithms("ENCRYPT_DECRYPT") {
		if !s.Asymmetric() {
			continue
		}
		c, err := k.Encrypt(a, []byte("m"))
		if err != nil {
			return err
		}
		if p, err := k.Decrypt(a, c); err != nil || string(p) != "m" {
			return fmt.Errorf("decrypted something else, or: %w", err)
		}
	}
	for _, a := range s.Algorithms("GENERATE_VERIFY_MAC") {
		if _, err := k.MAC(a, []byte("m")); err != nil {
			return err
		}
	}
	if slices.Contains(agreeing, s) {
		der, err := k.Public()
		if err != nil {
			return err
		}
		if _, err := k.Agree(der); err != nil {
			return err
		}
	}
	if s.Algorithms("ENCAPSULATE_DECAPSULATE") != nil {
		c, _, err := k.Encapsulate()
		if err != nil {
			return err
		}
		if _, err := k.Decapsulate(c); err != nil {
			return err
		}
	}
	_, err := k.Encoding()
	return err
}

func TestWipe(t *testing.T) {
	for _, s := range specs {
		if s == "RSA_3072" || s == "RSA_4096" {
			continue // as RSA_2048, and slow
		}
		k := load(t, s, encoding(t, key(t, s)))
		secret := k.Secret()
		k.Wipe()
		if len(secret) > 0 && !bytes.Equal(secret, make([]byte, len(secret))) {
			t.Errorf("%s: the secret is still there", s)
		}
		if s == "ECC_NIST_EDWARDS25519" {
			if zero := load(t, s, append(encoding(t, key(t, s))[:16], make([]byte, 32)...)); !bytes.Equal(encoding(t, k), encoding(t, zero)) {
				t.Errorf("%s: the seed is still there", s)
			}
		}
		if err := useAll(key(t, s)); err != nil {
			t.Errorf("%s: wiping one key harmed another: %v", s, err)
		}
	}
}

// RSA keys are made one after the other, and nobody else waits for them.
func TestGenerateWaitsItsTurn(t *testing.T) {
	free := material.FillRSASlots()
	ctx, cancel := context.WithCancelCause(t.Context())
	made := make(chan error, 1)
	go func() {
		_, err := material.Generate(ctx, "RSA_2048")
		made <- err
	}()
	if _, err := material.Generate(ctx, "ECC_NIST_P256"); err != nil {
		t.Errorf("P-256 meanwhile: %v", err)
	}
	select {
	case err := <-made:
		t.Fatalf("did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	gone := errors.New("the caller has gone")
	cancel(gone)
	if err := <-made; !errors.Is(err, gone) {
		t.Errorf("cancelled: %v", err)
	}
	free()
	if _, err := material.Generate(t.Context(), "RSA_2048"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := material.Generate(ctx, "HMAC_256"); !errors.Is(err, gone) {
		t.Errorf("for a caller who has gone: %v", err)
	}
}

func TestGenerateUnknownSpec(t *testing.T) {
	if _, err := material.Generate(t.Context(), "RSA_1024"); !errors.Is(err, material.ErrEncoding) {
		t.Errorf("Generate: %v", err)
	}
	if _, err := material.Load("RSA_1024", nil); !errors.Is(err, material.ErrEncoding) {
		t.Errorf("Load: %v", err)
	}
}
