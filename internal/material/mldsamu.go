package material

import (
	"bytes"
	"crypto/sha3"
	"encoding/binary"

	"filippo.io/mldsa"
)

// The library signs mu, but verifies messages only. This file verifies what
// was signed as mu: ML-DSA.Verify_internal of FIPS 204, section 6.3, from its
// step 8 on. Everything here is public, so nothing needs constant time.

const (
	mldsaQ = 8380417 // the modulus
	mldsaN = 256     // coefficients of a polynomial
	mldsaD = 13      // bits that the public key leaves out of t
)

// An mldsaForm is a parameter set of FIPS 204, table 1.
type mldsaForm struct {
	k, l       int // the dimensions of the matrix
	tau        int // coefficients of the challenge that are not 0
	zBits      int // gamma1 is 1 << (zBits-1)
	gamma2     uint32
	beta       uint32 // tau times eta
	omega      int    // hints at most
	wBits      int    // of a coefficient of w1
	hashLength int    // bytes of the challenge's hash, lambda/4
}

var mldsaForms = map[mldsa.Parameters]mldsaForm{
	mldsa.MLDSA44(): {k: 4, l: 4, tau: 39, zBits: 18, gamma2: (mldsaQ - 1) / 88, beta: 78, omega: 80, wBits: 6, hashLength: 32},
	mldsa.MLDSA65(): {k: 6, l: 5, tau: 49, zBits: 20, gamma2: (mldsaQ - 1) / 32, beta: 196, omega: 55, wBits: 4, hashLength: 48},
	mldsa.MLDSA87(): {k: 8, l: 7, tau: 60, zBits: 20, gamma2: (mldsaQ - 1) / 32, beta: 120, omega: 75, wBits: 4, hashLength: 64},
}

// A poly is a polynomial, or its transform, with coefficients below mldsaQ.
type poly [mldsaN]uint32

// verifyMu says whether signature is the public key's of mu.
func verifyMu(public *mldsa.PublicKey, mu, signature []byte) bool {
	p := mldsaForms[public.Parameters()]
	if len(signature) != public.Parameters().SignatureSize() {
		return false
	}
	hash, rest := signature[:p.hashLength], signature[p.hashLength:]
	zLength := mldsaN * p.zBits / 8
	z := make([]poly, p.l)
	for i := range z {
		if !p.unpackZ(&z[i], rest[i*zLength:(i+1)*zLength]) {
			return false
		}
		z[i].transform()
	}
	hints, ok := p.unpackHints(rest[p.l*zLength:])
	if !ok {
		return false
	}
	challenge := p.challenge(hash)
	challenge.transform()

	again := sha3.NewSHAKE256()
	_, _ = again.Write(mu)
	encoded := public.Bytes()
	for i := range p.k {
		w := product(encoded[:32], i, z)
		var t poly
		unpackT(&t, encoded[32+i*320:32+(i+1)*320])
		t.transform()
		for j := range w {
			w[j] = (w[j] + mldsaQ - mulQ(challenge[j], t[j])) % mldsaQ
		}
		w.inverse()
		_, _ = again.Write(p.packW(&w, &hints[i]))
	}
	sum := make([]byte, p.hashLength)
	_, _ = again.Read(sum)
	return bytes.Equal(sum, hash)
}

// bits reads little-endian numbers of size bits each.
func bits(packed []byte, size int, each func(i int, v uint32)) {
	var have, i int
	var window uint64
	for _, b := range packed {
		window |= uint64(b) << have
		for have += 8; have >= size; have -= size {
			each(i, uint32(window&(1<<size-1)))
			window >>= size
			i++
		}
	}
}

// unpackZ reads a polynomial of the response. It must be short enough.
func (p mldsaForm) unpackZ(z *poly, packed []byte) bool {
	gamma := uint32(1) << (p.zBits - 1)
	short := true
	bits(packed, p.zBits, func(i int, v uint32) {
		// The coefficient is gamma - v, and its absolute value less than gamma - beta.
		short = short && v > p.beta && v < 2*gamma-p.beta
		z[i] = (mldsaQ + gamma - v) % mldsaQ
	})
	return short
}

// unpackT reads a polynomial of the public key, and scales it.
func unpackT(t *poly, packed []byte) {
	bits(packed, 10, func(i int, v uint32) { t[i] = v << mldsaD })
}

// unpackHints reads where the hints are. There is one way only to write them.
func (p mldsaForm) unpackHints(packed []byte) ([][mldsaN]bool, bool) {
	hints := make([][mldsaN]bool, p.k)
	positions, ends := packed[:p.omega], packed[p.omega:]
	next := 0
	for i := range hints {
		first, end := next, int(ends[i])
		if end < first || end > p.omega {
			return nil, false
		}
		for ; next < end; next++ {
			if next > first && positions[next] <= positions[next-1] {
				return nil, false
			}
			hints[i][positions[next]] = true
		}
	}
	return hints, len(bytes.Trim(positions[next:], "\x00")) == 0
}

// challenge is the polynomial with tau coefficients of 1 or -1 that follows from
// hash.
func (p mldsaForm) challenge(hash []byte) poly {
	var c poly
	xof := sha3.NewSHAKE256()
	_, _ = xof.Write(hash)
	var first [8]byte
	_, _ = xof.Read(first[:])
	signs := binary.LittleEndian.Uint64(first[:])
	for i := mldsaN - p.tau; i < mldsaN; i++ {
		var j [1]byte
		for _, _ = xof.Read(j[:]); int(j[0]) > i; {
			_, _ = xof.Read(j[:])
		}
		c[i] = c[j[0]]
		c[j[0]] = 1
		if signs&1 == 1 {
			c[j[0]] = mldsaQ - 1
		}
		signs >>= 1
	}
	return c
}

// product is row i of the matrix that follows from seed, times the vector z:
// all of them transforms.
func product(seed []byte, i int, z []poly) poly {
	var sum poly
	for j := range z {
		a := element(seed, i, j)
		for n := range sum {
			sum[n] = (sum[n] + mulQ(a[n], z[j][n])) % mldsaQ
		}
	}
	return sum
}

// element is the matrix's polynomial in row i and column j.
func element(seed []byte, i, j int) poly {
	var a poly
	xof := sha3.NewSHAKE128()
	_, _ = xof.Write(seed)
	_, _ = xof.Write([]byte{byte(j), byte(i)})
	var block [168]byte
	for n := 0; ; {
		_, _ = xof.Read(block[:])
		for b := block[:]; len(b) > 0; b = b[3:] {
			v := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2]&0x7f)<<16
			if v >= mldsaQ {
				continue
			}
			a[n] = v
			if n++; n == mldsaN {
				return a
			}
		}
	}
}

// packW writes the high bits of w as the hints correct them.
func (p mldsaForm) packW(w *poly, hints *[mldsaN]bool) []byte {
	packed := make([]byte, mldsaN*p.wBits/8)
	for i, r := range w {
		v := p.high(r, hints[i])
		at := i * p.wBits
		packed[at/8] |= byte(v << (at % 8))
		if at%8+p.wBits > 8 {
			packed[at/8+1] |= byte(v >> (8 - at%8))
		}
	}
	return packed
}

// high is UseHint of FIPS 204, algorithm 40.
func (p mldsaForm) high(r uint32, hint bool) uint32 {
	step := 2 * p.gamma2
	count := (mldsaQ - 1) / step
	high, low := r/step, r%step
	positive := low > 0 && low <= p.gamma2
	if low > p.gamma2 {
		high++ // and low is less than 0
	}
	if high == count {
		high, positive = 0, false
	}
	switch {
	case !hint:
		return high
	case positive:
		return (high + 1) % count
	}
	return (high + count - 1) % count
}

// mulQ is a*b modulo mldsaQ.
func mulQ(a, b uint32) uint32 { return uint32(uint64(a) * uint64(b) % mldsaQ) }

// mldsaZetas are the powers of the root of unity 1753 in the order in which the
// transform uses them: by their exponents' bits in reverse.
var mldsaZetas = func() (zetas [mldsaN]uint32) {
	power := uint32(1)
	for exponent := range mldsaN {
		var reversed int
		for bit := range 8 {
			reversed |= exponent >> bit & 1 << (7 - bit)
		}
		zetas[reversed] = power
		power = mulQ(power, 1753)
	}
	return zetas
}()

// transform is NTT of FIPS 204, algorithm 41.
func (w *poly) transform() {
	m := 0
	for length := mldsaN / 2; length >= 1; length /= 2 {
		for start := 0; start < mldsaN; start += 2 * length {
			m++
			for j := start; j < start+length; j++ {
				t := mulQ(mldsaZetas[m], w[j+length])
				w[j], w[j+length] = (w[j]+t)%mldsaQ, (w[j]+mldsaQ-t)%mldsaQ
			}
		}
	}
}

// inverse undoes transform: algorithm 42.
func (w *poly) inverse() {
	m := mldsaN
	for length := 1; length < mldsaN; length *= 2 {
		for start := 0; start < mldsaN; start += 2 * length {
			m--
			for j := start; j < start+length; j++ {
				a, b := w[j], w[j+length]
				w[j], w[j+length] = (a+b)%mldsaQ, mulQ(mldsaQ-mldsaZetas[m], (a+mldsaQ-b)%mldsaQ)
			}
		}
	}
	const inverseOfN = 8347681
	for j := range w {
		w[j] = mulQ(w[j], inverseOfN)
	}
}
