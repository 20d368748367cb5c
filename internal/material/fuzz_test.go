package material_test

import (
	"bytes"
	"testing"

	"borealis/internal/material"
)

// quick are the specs whose keys are made at once, and one RSA spec.
var quick = []material.Spec{
	"RSA_2048", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519", "SM2",
	"ML_DSA_44", "ML_DSA_65", "ML_DSA_87", "ML_KEM_512", "ML_KEM_768", "ML_KEM_1024", "SYMMETRIC_DEFAULT", "HMAC_512",
}

// What is read is a key that works and is written in one way.
func FuzzLoad(f *testing.F) {
	for i, s := range quick {
		f.Add(byte(i), encoding(f, key(f, s)))
	}
	f.Fuzz(func(t *testing.T, i byte, encoded []byte) {
		s := quick[int(i)%len(quick)]
		k, err := material.Load(s, encoded)
		if err != nil {
			return
		}
		written := encoding(t, k)
		again := load(t, s, written)
		if !bytes.Equal(encoding(t, again), written) {
			t.Errorf("%s: written in two ways", s)
		}
		if err := useAll(k); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	})
}

func FuzzVerify(f *testing.F) {
	for i, s := range quick {
		for j, a := range s.Algorithms("SIGN_VERIFY") {
			mt := s.MessageTypes()[len(s.MessageTypes())-1]
			if sig, err := key(f, s).Sign(a, mt, message(a, mt)); err == nil {
				f.Add(byte(i), byte(j), false, sig)
			}
		}
	}
	f.Fuzz(func(t *testing.T, i, j byte, raw bool, signature []byte) {
		s := quick[int(i)%len(quick)]
		as := s.Algorithms("SIGN_VERIFY")
		if as == nil {
			return
		}
		a := as[int(j)%len(as)]
		mt := s.MessageTypes()[len(s.MessageTypes())-1]
		if raw {
			mt = material.Raw
		}
		_ = key(t, s).Verify(a, mt, message(a, mt), signature)
	})
}

func FuzzAgree(f *testing.F) {
	for i, s := range agreeing {
		f.Add(byte(i), public(f, key(f, s)))
	}
	f.Fuzz(func(t *testing.T, i byte, der []byte) {
		if shared, err := key(t, agreeing[int(i)%len(agreeing)]).Agree(der); err == nil && len(shared) == 0 {
			t.Error("nothing shared")
		}
	})
}

func FuzzUnwrapAndDecrypt(f *testing.F) {
	ways := []struct {
		spec      material.Spec
		algorithm material.Algorithm
	}{
		{"RSA_2048", "RSAES_OAEP_SHA_1"}, {"RSA_2048", "RSAES_OAEP_SHA_256"}, {"SM2", "SM2PKE"},
		{"RSA_2048", "RSA_AES_KEY_WRAP_SHA_1"}, {"RSA_2048", "RSA_AES_KEY_WRAP_SHA_256"},
	}
	for i, w := range ways[:3] {
		f.Add(byte(i), must(key(f, w.spec).Encrypt(w.algorithm, []byte("m"))))
	}
	f.Add(byte(4), append(must(key(f, "RSA_2048").Encrypt("RSAES_OAEP_SHA_256", make([]byte, 32))), make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, i byte, wrapped []byte) {
		w := ways[int(i)%len(ways)]
		_, _ = material.Unwrap(key(t, w.spec), w.algorithm, wrapped)
		_, _ = key(t, w.spec).Decrypt(w.algorithm, wrapped)
		_, _ = material.UnwrapAES(make([]byte, 32), wrapped)
	})
}

func FuzzDecapsulate(f *testing.F) {
	kems := []material.Spec{"ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"}
	for i, s := range kems {
		c, _, err := key(f, s).Encapsulate()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), c)
	}
	f.Fuzz(func(t *testing.T, i byte, ciphertext []byte) {
		_, _ = key(t, kems[int(i)%len(kems)]).Decapsulate(ciphertext)
	})
}
