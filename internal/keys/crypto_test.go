package keys_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"pgregory.net/rapid"

	"borealis/internal/cloud"
)

func TestCiphertextLooksLikeAWSs(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	material := *must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key}))(t).KeyMetadata.CurrentKeyMaterialId
	e := must(ann.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key, Plaintext: make([]byte, 32)}))(t)
	d := must(ann.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key, KeySpec: "AES_256"}))(t)
	for prefix, blob := range map[string][]byte{"AQICAH": e.CiphertextBlob, "AQIDAH": d.CiphertextBlob} {
		if text := base64.StdEncoding.EncodeToString(blob); !strings.HasPrefix(text, prefix) || len(blob) != 32+152 || hex.EncodeToString(blob[5:37]) != material {
			t.Errorf("%s, %d bytes, material %x of %s", text, len(blob), blob[5:37], material)
		}
	}
	if *e.KeyId != *key || *d.KeyId != *key || *d.KeyMaterialId != material || len(d.Plaintext) != 32 {
		t.Errorf("%+v\n%+v", e, d)
	}
	out := must(ann.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: d.CiphertextBlob}))(t)
	if !bytes.Equal(out.Plaintext, d.Plaintext) || *out.KeyId != *key || *out.KeyMaterialId != material || out.EncryptionAlgorithm != "SYMMETRIC_DEFAULT" {
		t.Errorf("%+v", out)
	}
}

var ignoreCiphertext = []types.DryRunModifierType{types.DryRunModifierTypeIgnoreCiphertext}

func contexts() *rapid.Generator[map[string]string] {
	return rapid.MapOfN(rapid.String(), rapid.String(), 0, 4)
}

// What goes in comes out, under the same context and no other; and there is no
// byte of a ciphertext that could be another.
func TestEncryptDecrypt(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "plain")
		if rapid.IntRange(0, 9).Draw(t, "long") == 0 {
			plain = bytes.Repeat(plain, 4096/len(plain))
		}
		context := contexts().Draw(t, "context")
		e, err := ann.Encrypt(w.t.Context(), &kms.EncryptInput{KeyId: key, Plaintext: plain, EncryptionContext: context})
		if err != nil {
			t.Fatal(err)
		}
		open := func(blob []byte, context map[string]string) ([]byte, string) {
			out, err := ann.Decrypt(w.t.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: context})
			if err != nil {
				return nil, said(err)
			}
			return out.Plaintext, ""
		}
		if got, err := open(e.CiphertextBlob, context); err != "" || !bytes.Equal(got, plain) {
			t.Fatalf("Decrypt: %q, %x", err, got)
		}
		other := contexts().Draw(t, "other")
		if !sameMap(context, other) {
			if _, err := open(e.CiphertextBlob, other); err != "InvalidCiphertextException" {
				t.Fatalf("Decrypt under %q, not %q: %q", other, context, err)
			}
		}
		i := rapid.IntRange(0, len(e.CiphertextBlob)-1).Draw(t, "byte")
		bad := bytes.Clone(e.CiphertextBlob)
		bad[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		for _, bad := range [][]byte{bad, e.CiphertextBlob[:i], append(bytes.Clone(e.CiphertextBlob), 0)} {
			if _, err := open(bad, context); err != "InvalidCiphertextException" {
				t.Fatalf("Decrypt of a damaged blob (byte %d): %q", i, err)
			}
		}
	})
}

// Contexts that are easily taken for each other.
func TestContextsDiffer(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	all := []map[string]string{
		nil, {"a": "1"}, {"a": "2"}, {"b": "1"}, {"A": "1"}, {"a1": ""}, {"": "a1"}, {"a": "1", "b": ""}, {"a": "", "b": "1"},
		{"a": "x", "b": "y"}, {"a": "y", "b": "x"}, {"a": "1\x00b"},
	}
	for i, context := range all {
		blob := must(ann.encrypt(key, context))(t)
		for j, other := range all {
			want := "InvalidCiphertextException"
			if i == j {
				want = ""
			}
			if got := said(ann.decrypt(blob, other)); got != want {
				t.Errorf("made under %q, opened under %q: %q", context, other, got)
			}
		}
	}
}

func sameMap(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

func TestWrongKey(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	one, two := ann.key(), ann.key()
	blob := must(ann.encrypt(one, nil))(t)
	with := func(p *person, key *string, blob []byte) error {
		_, err := p.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, KeyId: key})
		return err
	}
	ann.may("name the key", with(ann, one, blob))
	ann.mayNot("name another", "IncorrectKeyException: The key ID in the request does not identify a CMK that can perform this operation.", with(ann, two, blob))
	ann.mayNot("decrypt nonsense", "InvalidCiphertextException", with(ann, two, []byte("nonsense")))
	ann.mayNot("name none", "NotFoundException: Invalid keyId 'x'", with(ann, new("x"), blob))
	other := ann.with(func(c *cloud.Caller) { c.Region = "us-east-1" })
	other.mayNot("decrypt in another Region", "AccessDeniedException: User: arn:aws:iam::111122223333:user/ann is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access", other.decrypt(blob, nil))
}

func TestReEncrypt(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	bob := w.person(abroad, "user/bob", allow("kms:*"))
	theirs, mine := ann.key(delegating(abroad, "kms:ReEncryptFrom")), bob.key()
	blob := must(ann.encrypt(theirs, map[string]string{"a": "1"}))(t)
	out := must(bob.ReEncrypt(t.Context(), &kms.ReEncryptInput{
		CiphertextBlob: blob, SourceEncryptionContext: map[string]string{"a": "1"},
		DestinationKeyId: mine, DestinationEncryptionContext: map[string]string{"b": "2"},
	}))(t)
	if *out.SourceKeyId != *theirs || *out.KeyId != *mine || *out.SourceKeyMaterialId == *out.DestinationKeyMaterialId {
		t.Errorf("%+v", out)
	}
	bob.may("decrypt it under his key", bob.decrypt(out.CiphertextBlob, map[string]string{"b": "2"}))
	bob.mayNot("decrypt the source", "AccessDeniedException", bob.decrypt(blob, map[string]string{"a": "1"}))
	_, err := bob.ReEncrypt(t.Context(), &kms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: mine})
	bob.mayNot("re-encrypt without the context", "InvalidCiphertextException", err)
}

func TestCryptoParameters(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	ctx, key := t.Context(), ann.key()
	blob := must(ann.encrypt(key, nil))(t)
	data := func(in *kms.GenerateDataKeyInput) error {
		in.KeyId = key
		_, err := ann.GenerateDataKey(ctx, in)
		return err
	}
	encrypt := func(in *kms.EncryptInput) error {
		in.KeyId = key
		_, err := ann.Encrypt(ctx, in)
		return err
	}
	decrypt := func(in *kms.DecryptInput) error { _, err := ann.Decrypt(ctx, in); return err }
	random := func(n *int32) error {
		_, err := ann.GenerateRandom(ctx, &kms.GenerateRandomInput{NumberOfBytes: n})
		return err
	}
	const dry = "DryRunOperationException: The request would have succeeded, but the DryRun option is set."
	for what, c := range map[string]struct {
		err  error
		want string
	}{
		"no size":         {data(&kms.GenerateDataKeyInput{}), "ValidationException: Please specify either number of bytes or key spec."},
		"two sizes":       {data(&kms.GenerateDataKeyInput{KeySpec: "AES_128", NumberOfBytes: new(int32(1))}), "ValidationException: Please specify either number of bytes or key spec."},
		"1024 bytes":      {data(&kms.GenerateDataKeyInput{NumberOfBytes: new(int32(1024))}), ""},
		"1025 bytes":      {data(&kms.GenerateDataKeyInput{NumberOfBytes: new(int32(1025))}), "ValidationException: 1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024"},
		"dry data key":    {data(&kms.GenerateDataKeyInput{KeySpec: "AES_128", DryRun: new(true)}), dry},
		"4096 bytes":      {encrypt(&kms.EncryptInput{Plaintext: make([]byte, 4096)}), ""},
		"4097 bytes":      {encrypt(&kms.EncryptInput{Plaintext: make([]byte, 4097)}), "ValidationException: 1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		"nothing":         {encrypt(&kms.EncryptInput{}), "ValidationException: 1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		"RSA":             {encrypt(&kms.EncryptInput{Plaintext: []byte("x"), EncryptionAlgorithm: "RSAES_OAEP_SHA_256"}), "InvalidKeyUsageException: Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT."},
		"long context":    {encrypt(&kms.EncryptInput{Plaintext: []byte("x"), EncryptionContext: map[string]string{"a": strings.Repeat("é", 8191)}}), ""},
		"longer context":  {encrypt(&kms.EncryptInput{Plaintext: []byte("x"), EncryptionContext: map[string]string{"a": strings.Repeat("é", 8192)}}), "ValidationException: The encryption context is longer than 8192 characters."},
		"dry encrypt":     {encrypt(&kms.EncryptInput{Plaintext: []byte("x"), DryRun: new(true)}), dry},
		"dry decrypt":     {decrypt(&kms.DecryptInput{CiphertextBlob: blob, DryRun: new(true)}), dry},
		"dry and wrong":   {decrypt(&kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"a": "b"}, DryRun: new(true)}), "InvalidCiphertextException"},
		"dry, no blob":    {decrypt(&kms.DecryptInput{KeyId: key, DryRun: new(true), DryRunModifiers: ignoreCiphertext}), dry},
		"no random":       {random(nil), "ValidationException: NumberOfBytes is required."},
		"random":          {random(new(int32(1024))), ""},
		"much randomness": {random(new(int32(1025))), "ValidationException: 1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024"},
	} {
		if got := said(c.err); got != c.want {
			t.Errorf("%s: got %q, want %q", what, got, c.want)
		}
	}
}
