package keys

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"borealis/internal/seal"
)

func TestMessageKeyIsHKDF(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret")
		salt := rapid.SliceOfN(rapid.Byte(), saltSize, saltSize).Draw(t, "salt")
		want, err := hkdf.Key(sha256.New, secret, salt, "borealis kms v1 message", 32)
		if got := messageKey(secret, salt); err != nil || !bytes.Equal(got[:], want) {
			t.Fatalf("%x, want %x (%v)", got, want, err)
		}
	})
}

// Ciphertexts are kept for ever: one that was made long ago still opens.
func TestOldCiphertextOpens(t *testing.T) {
	const text = "0102020078abababababababababababababababababababababababababababababababab01c6215177dc6ad09b519defae2d9a8ea00000006b306906092a864886f70d010706a05c305a020100305506092a864886f70d010701301e060960864801650304012e3011040ce958099df78d3061a98bd2aa02011080284d5f2b8badde490ae35026222024cfd3d00e083c455079c75f15527953008b4062edb10f442fd3b3"
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	parsed, ok := parseBlob(b)
	if !ok || parsed.material != strings.Repeat("ab", 32) {
		t.Fatalf("parsed as %+v, %v", parsed, ok)
	}
	secret := seal.Plaintext(bytes.Repeat([]byte{7}, 32))
	got, ok := parsed.decrypt(secret, map[string]string{"app": "test", "a": ""})
	if !ok || string(got) != "kept for ever" {
		t.Errorf("opened as %q, %v", []byte(got), ok)
	}
}

func BenchmarkCiphertext(b *testing.B) {
	id, secret := strings.Repeat("ab", 32), seal.NewKey()
	context := map[string]string{"app": "bench", "row": "7"}
	b.ReportAllocs()
	for b.Loop() {
		sealed, err := encrypt(forDataKey, id, secret, secret, context)
		if err != nil {
			b.Fatal(err)
		}
		parsed, _ := parseBlob(sealed)
		if got, ok := parsed.decrypt(secret, context); !ok || !slices.Equal(got, secret) {
			b.Fatal("does not open")
		}
	}
}
