package material

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"runtime"
)

// rsaSlots lets half of the processors make RSA keys: making one takes up to
// seconds, and others have work to do meanwhile.
var rsaSlots = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// rsaFamily are RSA keys of two primes.
type rsaFamily struct{}

type rsaKey struct{ *rsa.PrivateKey }

func (rsaFamily) generate(s Spec) ([]byte, error) {
	k, err := rsa.GenerateKey(rand.Reader, kinds[s].size)
	if err != nil {
		return nil, err
	}
	return rsaKey{k}.encoding()
}

// The exponents that FIPS 186-5, section A.1.1, allows and the library has.
const minExponent = 1<<16 + 1

func (rsaFamily) load(s Spec, encoded []byte) (any, bool) {
	p, ok := parsePrivate(encoded, oidRSA)
	if !ok || !p.null() {
		return nil, false
	}
	k, err := x509.ParsePKCS1PrivateKey(p.key)
	if err != nil || k.N.BitLen() != kinds[s].size || k.E < minExponent || len(k.Primes) != 2 {
		return nil, false
	}
	for _, prime := range k.Primes {
		if prime.BitLen() != kinds[s].size/2 || !prime.ProbablyPrime(0) {
			return nil, false
		}
	}
	// FIPS 186-5, section A.1.1: a smaller private exponent can be found.
	if k.D.Cmp(new(big.Int).Lsh(big.NewInt(1), uint(kinds[s].size/2))) <= 0 {
		return nil, false
	}
	return rsaKey{k}, true
}

func (k rsaKey) public() ([]byte, error) { return x509.MarshalPKIXPublicKey(&k.PublicKey) }

func (k rsaKey) encoding() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.PrivateKey) }

// wipe overwrites what the library shows of the key.
func (k rsaKey) wipe() {
	for _, n := range append(k.Primes, k.D, k.Precomputed.Dp, k.Precomputed.Dq, k.Precomputed.Qinv) {
		clear(n.Bits())
	}
}

func pss(a Algorithm) *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hashes[a]}
}

func isPSS(a Algorithm) bool { return a == PSSSHA256 || a == PSSSHA384 || a == PSSSHA512 }

func (k rsaKey) sign(a Algorithm, t MessageType, message []byte) ([]byte, error) {
	sum := digest(hashes[a], t, message)
	if isPSS(a) {
		return rsa.SignPSS(rand.Reader, k.PrivateKey, hashes[a], sum, pss(a))
	}
	return rsa.SignPKCS1v15(rand.Reader, k.PrivateKey, hashes[a], sum)
}

func (k rsaKey) verify(a Algorithm, t MessageType, message, signature []byte) bool {
	sum := digest(hashes[a], t, message)
	if isPSS(a) {
		return rsa.VerifyPSS(&k.PublicKey, hashes[a], sum, signature, pss(a)) == nil
	}
	return rsa.VerifyPKCS1v15(&k.PublicKey, hashes[a], sum, signature) == nil
}

func (k rsaKey) encrypt(a Algorithm, plaintext []byte) ([]byte, error) {
	return rsa.EncryptOAEP(hashes[a].New(), rand.Reader, &k.PublicKey, plaintext, nil)
}

func (k rsaKey) decrypt(a Algorithm, ciphertext []byte) ([]byte, error) {
	return rsa.DecryptOAEP(hashes[a].New(), rand.Reader, k.PrivateKey, ciphertext, nil)
}
