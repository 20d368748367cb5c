package keys_test

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// Whatever is imported: the key has the material that was wrapped, or none.
func FuzzImportKeyMaterial(f *testing.F) {
	w := newWorld(f)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.external(kms.CreateKeyInput{})
	p := ann.parcel(key)
	good := p.input(f, secretOf(1))
	id := must(ann.bring(p, secretOf(1)))(f)
	f.Add(good.ImportToken, good.EncryptedKeyMaterial)
	f.Add(good.ImportToken, p.wrap(f, secretOf(2)))
	f.Add(good.ImportToken, p.wrap(f, make([]byte, 31)))
	f.Add(good.ImportToken[:len(good.ImportToken)-1], good.EncryptedKeyMaterial)
	f.Add(good.ImportToken, []byte{0x30, 0x80})
	f.Add([]byte{1}, []byte{})
	f.Fuzz(func(t *testing.T, token, wrapped []byte) {
		out, err := ann.ImportKeyMaterial(t.Context(), &kms.ImportKeyMaterialInput{
			KeyId: key, ImportToken: token, EncryptedKeyMaterial: wrapped, ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
		})
		switch got := code(err); {
		case err == nil && (*out.KeyMaterialId != id || !bytes.Equal(token, good.ImportToken)):
			t.Errorf("imported %s with a token of %x", *out.KeyMaterialId, token)
		case err == nil, got == "InvalidImportTokenException", got == "InvalidCiphertextException", got == "IncorrectKeyMaterialException":
		default:
			t.Errorf("%v", err)
		}
	})
}
