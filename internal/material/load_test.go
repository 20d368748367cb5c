package material_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"hash"
	"math/big"
	"slices"
	"testing"

	"github.com/tink-crypto/tink-go/v2/kwp/subtle"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"borealis/internal/material"
)

func refuse(t *testing.T, s material.Spec, what string, encoded []byte) {
	t.Helper()
	if k, err := material.Load(s, encoded); !errors.Is(err, material.ErrEncoding) || k != nil {
		t.Errorf("%s: %s: %v, want ErrEncoding", s, what, err)
	}
}

func TestLoadRefusesDamage(t *testing.T) {
	for _, s := range specs {
		good := encoding(t, key(t, s))
		refuse(t, s, "nothing", nil)
		refuse(t, s, "a byte less", good[:len(good)-1])
		refuse(t, s, "a byte more", append(slices.Clone(good), 0))
		if !s.Asymmetric() {
			continue
		}
		refuse(t, s, "half", good[:len(good)/2])
		refuse(t, s, "twice", append(slices.Clone(good), good...))
		refuse(t, s, "its public key", public(t, key(t, s)))
		refuse(t, s, "zeros", make([]byte, len(good)))
	}
}

// wrapPKCS8 is a PKCS #8 private key of an algorithm, with whatever after it.
func wrapPKCS8(algorithm []byte, version int64, key []byte, after ...byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(version)
		b.AddBytes(algorithm)
		b.AddASN1OctetString(key)
		b.AddBytes(after)
	})
	return b.BytesOrPanic()
}

// unwrapPKCS8 is the algorithm and the key in it.
func unwrapPKCS8(t testing.TB, encoded []byte) (algorithm, key []byte) {
	t.Helper()
	var outer, id, inner cryptobyte.String
	in := cryptobyte.String(encoded)
	if !in.ReadASN1(&outer, asn1.SEQUENCE) || !outer.SkipASN1(asn1.INTEGER) || !outer.ReadASN1Element(&id, asn1.SEQUENCE) ||
		!outer.ReadASN1(&inner, asn1.OCTET_STRING) {
		t.Fatalf("not PKCS #8: %d bytes", len(encoded))
	}
	return id, inner
}

func TestPKCS8(t *testing.T) {
	for _, s := range specs {
		if !s.Asymmetric() {
			continue
		}
		k := key(t, s)
		algorithm, inner := unwrapPKCS8(t, encoding(t, k))
		point := append([]byte{0}, publicBytes(t, k)...)
		withPublic := func(b []byte) []byte {
			var c cryptobyte.Builder
			c.AddASN1(asn1.Tag(1).ContextSpecific(), func(c *cryptobyte.Builder) { c.AddBytes(b) })
			return c.BytesOrPanic()
		}
		for what, good := range map[string][]byte{
			"attributes": wrapPKCS8(algorithm, 0, inner, 0xa0, 0),
			"version 2":  wrapPKCS8(algorithm, 1, inner),
			"public key": wrapPKCS8(algorithm, 1, inner, withPublic(point)...),
		} {
			again, err := material.Load(s, good)
			if s == "RSA_2048" || s == "RSA_3072" || s == "RSA_4096" {
				// Its public key is in the private key; another one in PKCS #8 is not looked at.
				if err != nil {
					t.Errorf("%s: %s: %v", s, what, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(encoding(t, again), encoding(t, k)) {
				t.Errorf("%s: %s: read as another key, or %v", s, what, err)
			}
		}
		refuse(t, s, "version 3", wrapPKCS8(algorithm, 2, inner))
		refuse(t, s, "public key in version 1", wrapPKCS8(algorithm, 0, inner, withPublic(point)...))
		refuse(t, s, "something after the key", wrapPKCS8(algorithm, 0, inner, 5, 0))
		refuse(t, s, "nothing in it", wrapPKCS8(algorithm, 0, nil))
		refuse(t, s, "something after the inner key", wrapPKCS8(algorithm, 0, append(slices.Clone(inner), 0)))
		refuse(t, s, "other parameters", wrapPKCS8(slices.Concat([]byte{0x30, algorithm[1] + 3}, algorithm[2:], []byte{2, 1, 0}), 0, inner))
		if s != "RSA_2048" && s != "RSA_3072" && s != "RSA_4096" {
			wrong := slices.Clone(point)
			wrong[len(wrong)-1] ^= 1
			refuse(t, s, "another's public key", wrapPKCS8(algorithm, 1, inner, withPublic(wrong)...))
		}
	}
}

func TestCurveKeys(t *testing.T) {
	for _, s := range []material.Spec{"ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "SM2"} {
		k := key(t, s)
		point := publicBytes(t, k)
		size := (len(point) - 1) / 2
		bob, err := fresh(s)
		if err != nil {
			t.Fatal(err)
		}
		encode := func(scalar, public []byte) []byte {
			encoded, err := material.MarshalPoint(s, scalar, public)
			if err != nil {
				t.Fatal(err)
			}
			return encoded
		}
		scalar := make([]byte, size)
		refuse(t, s, "scalar 0", encode(scalar, point))
		refuse(t, s, "scalar of the order or more", encode(bytes.Repeat([]byte{0xff}, size), point))
		refuse(t, s, "short scalar", encode(scalar[1:], point))
		refuse(t, s, "long scalar", encode(append(scalar, 1), point))
		_, inner := unwrapPKCS8(t, encoding(t, k))
		algorithm, foreign := unwrapPKCS8(t, encoding(t, bob))
		damaged := slices.Replace(slices.Clone(inner), len(inner)-len(point), len(inner), publicBytes(t, bob)...)
		refuse(t, s, "another's public key", wrapPKCS8(algorithm, 0, damaged))
		if _, err := material.Load(s, wrapPKCS8(algorithm, 0, foreign)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	// The largest scalars: n-1 is a key of ECDSA, and none of SM2, which divides by 1+d.
	refuse(t, "SM2", "n-1", must(material.MarshalPoint("SM2",
		unhex(t, "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54122"),
		unhex(t, "0432c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c743c8c95c0b098863a642311c9496deac2f56788239d5b8c0fd20cd1adec60f5f"))))
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestRSAKeys(t *testing.T) {
	algorithm, _ := unwrapPKCS8(t, encoding(t, key(t, "RSA_2048")))
	good, err := x509.ParsePKCS8PrivateKey(encoding(t, key(t, "RSA_2048")))
	if err != nil {
		t.Fatal(err)
	}
	k := good.(*rsa.PrivateKey)
	p, q := k.Primes[0], k.Primes[1]
	e := big.NewInt(int64(k.E))
	one := big.NewInt(1)
	encode := func(ints ...*big.Int) []byte {
		var b cryptobyte.Builder
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(0)
			for _, i := range ints {
				b.AddASN1BigInt(i)
			}
		})
		return wrapPKCS8(algorithm, 0, b.BytesOrPanic())
	}
	mod := func(x, y *big.Int) *big.Int { return new(big.Int).Mod(x, new(big.Int).Sub(y, one)) }
	parts := func(n, e, d, p, q *big.Int) []*big.Int {
		inverse := new(big.Int).ModInverse(q, p)
		if inverse == nil {
			inverse = one
		}
		return []*big.Int{n, e, d, p, q, mod(d, p), mod(d, q), inverse}
	}
	all := parts(k.N, e, k.D, p, q)
	if _, err := material.Load("RSA_2048", encode(all...)); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	for i, name := range []string{"n", "e", "d", "p", "q", "dp", "dq", "qinv"} {
		for what, change := range map[string]func(*big.Int) *big.Int{
			"0":         func(*big.Int) *big.Int { return new(big.Int) },
			"1":         func(*big.Int) *big.Int { return one },
			"negative":  func(x *big.Int) *big.Int { return new(big.Int).Neg(x) },
			"2 more":    func(x *big.Int) *big.Int { return new(big.Int).Add(x, big.NewInt(2)) },
			"too large": func(x *big.Int) *big.Int { return new(big.Int).Lsh(x, 4096) },
		} {
			changed := slices.Clone(all)
			changed[i] = change(all[i])
			refuse(t, "RSA_2048", name+" "+what, encode(changed...))
		}
	}
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	for _, small := range []int64{3, 17, 257, 65535} {
		e := big.NewInt(small)
		if d := new(big.Int).ModInverse(e, phi); d != nil {
			refuse(t, "RSA_2048", "exponent "+e.String(), encode(parts(k.N, e, d, p, q)...))
		}
	}
	square := new(big.Int).Mul(p, p)
	if d := new(big.Int).ModInverse(e, new(big.Int).Mul(p, new(big.Int).Sub(p, one))); d != nil {
		refuse(t, "RSA_2048", "p twice", encode(parts(square, e, d, p, p)...))
	}
	// A modulus of a small and a large prime.
	small, err := rand.Prime(rand.Reader, 512)
	if err != nil {
		t.Fatal(err)
	}
	large, err := rand.Prime(rand.Reader, 1536)
	if err != nil {
		t.Fatal(err)
	}
	n := new(big.Int).Mul(small, large)
	phi.Mul(new(big.Int).Sub(small, one), new(big.Int).Sub(large, one))
	if d := new(big.Int).ModInverse(e, phi); d != nil {
		refuse(t, "RSA_2048", "primes of 512 and 1536 bits", encode(parts(n, e, d, large, small)...))
	}
	// A factor that is no prime, though all else fits: (p-1)(q-1) is of no use then.
	factor := new(big.Int).Mul(mustPrime(t, 512), mustPrime(t, 512))
	if factor.BitLen() == 1024 {
		n := new(big.Int).Mul(p, factor)
		phi.Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(factor, one))
		if d := new(big.Int).ModInverse(e, phi); d != nil && n.BitLen() == 2048 {
			refuse(t, "RSA_2048", "a factor that is no prime", encode(parts(n, e, d, p, factor)...))
		}
	}
}

// mustPrime is a prime whose square has twice as many bits.
func mustPrime(t *testing.T, bits int) *big.Int {
	t.Helper()
	p, err := rand.Prime(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestUnwrap(t *testing.T) {
	k := key(t, "RSA_2048")
	pub := must(k.Public())
	parsed, err := x509.ParsePKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	oaep := func(h hash.Hash, m []byte, label string) []byte {
		return must(rsa.EncryptOAEP(h, rand.Reader, parsed.(*rsa.PublicKey), m, []byte(label)))
	}
	secret := bytes.Repeat([]byte{3}, 1200)
	aesKey := bytes.Repeat([]byte{5}, 32)
	kwp, err := subtle.NewKWP(aesKey)
	if err != nil {
		t.Fatal(err)
	}
	wrapped := must(kwp.Wrap(secret))
	const a = "RSA_AES_KEY_WRAP_SHA_256"
	good := append(oaep(sha256.New(), aesKey, ""), wrapped...)
	if got, err := material.Unwrap(k, a, good); err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("other material, or %v", err)
	}
	for what, bad := range map[string][]byte{
		"nothing":                    nil,
		"no material":                good[:256],
		"half a key":                 good[:100],
		"an AES key of 16 bytes":     append(oaep(sha256.New(), aesKey[:16], ""), wrapped...),
		"an AES key of 24 bytes":     append(oaep(sha256.New(), aesKey[:24], ""), wrapped...),
		"no AES key":                 append(oaep(sha256.New(), nil, ""), wrapped...),
		"another AES key":            append(oaep(sha256.New(), secret[:32], ""), wrapped...),
		"a label":                    append(oaep(sha256.New(), aesKey, "label"), wrapped...),
		"another hash":               append(oaep(sha1.New(), aesKey, ""), wrapped...),
		"the parts changed round":    append(slices.Clone(wrapped), good[:256]...),
		"truncated material":         good[:len(good)-8],
		"a byte more":                append(slices.Clone(good), 0),
		"a block more":               append(slices.Clone(good), make([]byte, 8)...),
		"only the integrity's block": good[:256+8],
		"material without bounds":    append(slices.Clone(good[:256]), make([]byte, 1<<20)...),
	} {
		if _, err := material.Unwrap(k, a, bad); !errors.Is(err, material.ErrCiphertext) {
			t.Errorf("%s: %v, want ErrCiphertext", what, err)
		}
	}
	for bit := 0; bit < 8*len(good); bit += 97 {
		damaged := slices.Clone(good)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, err := material.Unwrap(k, a, damaged); !errors.Is(err, material.ErrCiphertext) {
			t.Errorf("bit %d flipped: %v, want ErrCiphertext", bit, err)
		}
	}
	for _, a := range []material.Algorithm{"RSAES_PKCS1_V1_5", "RSAES_OAEP_SHA_512", "", "SM2PKE", "ECDH"} {
		if _, err := material.Unwrap(k, a, good); !errors.Is(err, material.ErrAlgorithm) {
			t.Errorf("%q: %v, want ErrAlgorithm", a, err)
		}
	}
	for _, s := range []material.Spec{"SM2", "ECC_NIST_P256", "SYMMETRIC_DEFAULT"} {
		if _, err := material.Unwrap(key(t, s), a, good); !errors.Is(err, material.ErrAlgorithm) {
			t.Errorf("%s: %v, want ErrAlgorithm", s, err)
		}
	}
	sm2 := key(t, "SM2")
	c := must(sm2.Encrypt("SM2PKE", secret[:32]))
	if got, err := material.Unwrap(sm2, "SM2PKE", c); err != nil || !bytes.Equal(got, secret[:32]) {
		t.Errorf("SM2PKE: other material, or %v", err)
	}
}

// The salt of PSS is as long as the digest: others' signatures with another salt
// are not KMS's.
func TestPSSSaltLength(t *testing.T) {
	parsed, err := x509.ParsePKCS8PrivateKey(encoding(t, key(t, "RSA_2048")))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("m"))
	for salt, good := range map[int]bool{32: true, 31: false, 33: false, 64: false, 0: false, 222: false} {
		opts := &rsa.PSSOptions{SaltLength: salt}
		if salt == 0 {
			opts.SaltLength = 1 // 0 means the longest
		}
		sig := must(rsa.SignPSS(rand.Reader, parsed.(*rsa.PrivateKey), 5, sum[:], opts))
		if err := key(t, "RSA_2048").Verify("RSASSA_PSS_SHA_256", "RAW", []byte("m"), sig); (err == nil) != good {
			t.Errorf("salt of %d bytes: %v", opts.SaltLength, err)
		}
	}
}

func TestGeneratedEncodingsAreKMSs(t *testing.T) {
	for s, size := range map[material.Spec]int{ // PrivateKeyPlaintextBytes of radkawar/stackd, testdata/aws/kms/ecc.json
		"ECC_NIST_P521": 250, "ECC_SECG_P256K1": 144, "ECC_NIST_EDWARDS25519": 48,
	} {
		encoded, err := material.Generate(context.Background(), s)
		if err != nil || len(encoded) != size {
			t.Errorf("%s: %d bytes, %v", s, len(encoded), err)
		}
	}
}
