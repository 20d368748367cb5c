package wire_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/google/go-cmp/cmp"

	"borealis/internal/wire"
)

// Whatever a client sends as JSON is decoded or refused; and what the standard
// library does not take for a JSON object is refused.
func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(`{"KeyId":"k","Operations":["Decrypt"],"Constraints":{"EncryptionContextEquals":{"a":"\u00e4\ud83d\ude00"}},"x":[1e5,{}]}`))
	f.Add([]byte(`{"KeyId":"k","ValidTo":1.5e9,"EncryptedKeyMaterial":"AAECAw==","DryRun":true,"NumberOfBytes":-0}`))
	f.Add([]byte("{\"\\u0000\xff\":0}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		ins := []any{new(kms.CreateGrantInput), new(kms.ImportKeyMaterialInput), new(kms.GenerateDataKeyInput)}
		for _, in := range ins {
			op := strings.TrimSuffix(reflect.TypeOf(in).Elem().Name(), "Input")
			if err := wire.KMS.DecodeUnchecked(op, body, in); err != nil {
				continue
			}
			if strings.TrimSpace(string(body)) != "" && !json.Valid(body) {
				t.Errorf("%s took %q", op, body)
			}
			_ = wire.KMS.Decode(op, body, reflect.New(reflect.TypeOf(in).Elem()).Interface())
		}
	})
}

// Whatever a client sends as a form is decoded, always in the same way, or
// refused.
func FuzzDecodeQuery(f *testing.F) {
	f.Add([]byte("Action=X&Filters.Filter.1.Name=a&Filters.Filter.1.Values.Value.2=%41+&MaxRecords=1&Filters.1=&Filters="))
	f.Add([]byte("EncryptionContext.entry.1.key=a&EncryptionContext.entry.1.value=b&Tags.member.2.Key=&Tags.Tag.1.Value=x&EngineMode..=1"))
	f.Fuzz(func(t *testing.T, body []byte) {
		ins := []any{new(rds.DescribeDBClustersInput), new(rds.CreateIntegrationInput), new(rds.CreateDBClusterInput)}
		for _, in := range ins {
			typ := reflect.TypeOf(in).Elem()
			op := strings.TrimSuffix(typ.Name(), "Input")
			again := reflect.New(typ).Interface()
			err, err2 := wire.RDS.Decode(op, body, in), wire.RDS.Decode(op, body, again)
			if (err == nil) != (err2 == nil) || err == nil && !cmp.Equal(in, again, exactly) {
				t.Errorf("%s of %q: once %v, %v, and again %v, %v", op, body, in, err, again, err2)
			}
		}
		wire.Action(body)
	})
}
