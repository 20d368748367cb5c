package attestation

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"

	"borealis/internal/seal"
)

// The names of what an envelope is made with (RFC 5652, 4055, 3565).
var (
	oidEnveloped = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
	oidData      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidOAEP      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}
	oidMGF1      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidSHA256    = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidAES256CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// Envelope encrypts plaintext so that only the holder of d's public key can read
// it: as a CMS EnvelopedData with one recipient, RSAES-OAEP with SHA-256, and
// AES-256 in CBC mode. Its bytes are laid out as KMS lays them out, which its
// clients rely on: the outer elements are of indefinite length, the recipient is
// named by the SHA-256 of its key.
func (d *Document) Envelope(plaintext []byte) ([]byte, error) {
	key := seal.NewKey()
	defer seal.Wipe(key)
	iv := make([]byte, aes.BlockSize)
	rand.Read(iv)
	content, err := encryptCBC(key, iv, plaintext)
	if err != nil {
		return nil, fmt.Errorf("encrypt for an attestation document: %w", err)
	}
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, d.key, key, nil)
	if err != nil {
		return nil, fmt.Errorf("encrypt for an attestation document: %w", err)
	}
	recipients, err := d.recipients(wrapped)
	if err != nil {
		return nil, fmt.Errorf("write envelope: %w", err)
	}
	encrypted, err := contentInfo(iv, content)
	if err != nil {
		return nil, fmt.Errorf("write envelope: %w", err)
	}
	name, err := asn1.Marshal(oidEnveloped)
	if err != nil {
		return nil, fmt.Errorf("write envelope: %w", err)
	}
	version := []byte{2, 1, 2}
	return open(sequence, name, open(context0, open(sequence, version, recipients, encrypted))), nil
}

// encryptCBC encrypts with AES in CBC mode, with the padding of PKCS #7.
func encryptCBC(key, iv, plaintext []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	n := aes.BlockSize - len(plaintext)%aes.BlockSize
	out := make([]byte, 0, len(plaintext)+n)
	out = append(append(out, plaintext...), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, out)
	return out, nil
}

// Tags of elements that have elements inside.
const (
	sequence = 0x30
	context0 = 0xa0
)

// open is an element of indefinite length.
func open(tag byte, parts ...[]byte) []byte {
	out := append([]byte{tag, 0x80}, bytes.Join(parts, nil)...)
	return append(out, 0, 0)
}

// recipients is the set of the one recipient, with the content's key.
func (d *Document) recipients(wrapped []byte) ([]byte, error) {
	id := sha256.Sum256(d.spki)
	var b cryptobyte.Builder
	b.AddASN1(tags.SET, func(b *cryptobyte.Builder) {
		b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(2)
			b.AddASN1(tags.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(id[:]) })
			b.AddASN1(tags.SEQUENCE, addOAEP)
			b.AddASN1OctetString(wrapped)
		})
	})
	return b.Bytes()
}

// addOAEP adds RSAES-OAEP with SHA-256, also in its mask.
func addOAEP(b *cryptobyte.Builder) {
	digest := func(b *cryptobyte.Builder) {
		b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidSHA256)
			b.AddASN1NULL()
		})
	}
	b.AddASN1ObjectIdentifier(oidOAEP)
	b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(tags.Tag(0).ContextSpecific().Constructed(), digest)
		b.AddASN1(tags.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidMGF1)
				digest(b)
			})
		})
	})
}

// contentInfo is the encrypted content and how it was encrypted.
func contentInfo(iv, content []byte) ([]byte, error) {
	var algorithm, octets cryptobyte.Builder
	algorithm.AddASN1ObjectIdentifier(oidData)
	algorithm.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidAES256CBC)
		b.AddASN1OctetString(iv)
	})
	octets.AddASN1OctetString(content)
	how, err := algorithm.Bytes()
	if err != nil {
		return nil, err
	}
	what, err := octets.Bytes()
	if err != nil {
		return nil, err
	}
	return open(sequence, how, open(context0, what)), nil
}
