package keys

import (
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"borealis/internal/material"
	"borealis/internal/seal"
)

// AWS imports private keys of RSA and of curves in BER as well as in DER: lengths
// may be longer than they need be or left open, strings may come in pieces. Of
// Ed25519 it takes DER only.

const (
	maxDepth    = 8 // of elements in a private key; real ones have 4
	constructed = 0x20
	longTag     = 0x1f
	openLength  = 0x80
	octets      = 0x04
)

// takesBER says that AWS imports keys of this spec in BER.
func takesBER(s material.Spec) bool {
	return s.Asymmetric() && s != material.Ed25519
}

// derOf is a PKCS #8 private key in DER that is written in BER: the whole, and the
// key of its algorithm that an octet string in it holds. It reports false for what
// is no BER, or has anything after it.
func derOf(ber []byte) (seal.Plaintext, bool) {
	der, rest, ok := readBER(ber, 0, true)
	return der, ok && len(rest) == 0
}

// readBER takes one element off ber and returns it in DER, and what comes after it.
// If outer, an octet string directly below holds another element.
func readBER(ber []byte, depth int, outer bool) (der, rest []byte, ok bool) {
	if depth > maxDepth || len(ber) < 2 || ber[0]&longTag == longTag {
		return nil, nil, false
	}
	tag := ber[0]
	content, rest, open, ok := readLength(ber[1:])
	if !ok || open && tag&constructed == 0 {
		return nil, nil, false
	}
	if tag&constructed != 0 {
		if content, rest, ok = readParts(content, rest, open, tag == octets|constructed, depth+1, outer); !ok {
			return nil, nil, false
		}
		defer seal.Wipe(content)
	}
	if tag &^= pieces(tag); tag == octets && depth == 1 && outer {
		if inner, after, ok := readBER(content, 0, false); ok && len(after) == 0 {
			defer seal.Wipe(inner)
			content = inner
		}
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.Tag(tag), func(b *cryptobyte.Builder) { b.AddBytes(content) })
	der, err := b.Bytes()
	return der, rest, err == nil
}

// pieces is the bit that says of an octet string that it comes in pieces, which it
// does not in DER.
func pieces(tag byte) byte {
	if tag == octets|constructed {
		return constructed
	}
	return 0
}

// readLength reads a length and takes as much off in. If the length is open, the
// content is all there is.
func readLength(in []byte) (content, rest []byte, open, ok bool) {
	n, in := int(in[0]), in[1:]
	switch {
	case n == openLength:
		return in, nil, true, true
	case n > openLength:
		digits := n - openLength
		if digits > len(in) {
			return nil, nil, false, false
		}
		n = 0
		for _, d := range in[:digits] {
			if n = n<<8 | int(d); n > len(in) {
				return nil, nil, false, false
			}
		}
		in = in[digits:]
	}
	if n > len(in) {
		return nil, nil, false, false
	}
	return in[:n], in[n:], false, true
}

// readParts reads the elements in content, up to its end or, if the length was
// open, to the mark that ends it. The pieces of a string are put together.
func readParts(content, rest []byte, open, joined bool, depth int, outer bool) (out, after []byte, ok bool) {
	for len(content) > 0 {
		if open && len(content) >= 2 && content[0] == 0 && content[1] == 0 {
			return out, content[2:], true
		}
		var whole []byte
		if whole, content, ok = readBER(content, depth, outer); !ok {
			return nil, nil, false
		}
		part := whole
		if joined {
			var piece cryptobyte.String
			in := cryptobyte.String(whole)
			if !in.ReadASN1(&piece, cbasn1.OCTET_STRING) {
				return nil, nil, false
			}
			part = piece
		}
		out = append(out, part...)
		seal.Wipe(whole)
	}
	return out, rest, !open
}
