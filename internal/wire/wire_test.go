package wire_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/internal/wire"
)

// Unknown members, null, escapes and order make no difference to what arrives.
func TestDecodeJSON(t *testing.T) {
	var in kms.GenerateDataKeyInput
	body := `{"Nonsense":[1,{"a":null}],"KeyId":"alias/\u0061ws\/rds","NumberOfBytes":null,"KeySpec":"AES_256","EncryptionContext":{"k":"\ud83d\ude00"}}`
	if err := wire.KMS.Decode("GenerateDataKey", []byte(body), &in); err != nil {
		t.Fatal(err)
	}
	if *in.KeyId != "alias/aws/rds" || in.NumberOfBytes != nil || in.KeySpec != "AES_256" || in.EncryptionContext["k"] != "😀" {
		t.Errorf("decoded %+v", in)
	}
}
