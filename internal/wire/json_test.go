package wire_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"borealis/internal/wire"
)

// Unknown members, null, escapes and repetition, and what arrives.
func TestDecodeJSON(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       kms.GenerateDataKeyInput
	}{
		{"plain", `{"KeyId":"k","NumberOfBytes":32}`, kms.GenerateDataKeyInput{KeyId: new("k"), NumberOfBytes: new(int32(32))}},
		{"unknown members", `{"No":[1,-2.5e+3,{"a":[null,true,false,"\n"]}],"KeyId":"k","keyId":"no"}`, kms.GenerateDataKeyInput{KeyId: new("k")}},
		{"null is absent", `{"KeyId":"k","NumberOfBytes":null,"KeySpec":null,"GrantTokens":null,"EncryptionContext":null}`, kms.GenerateDataKeyInput{KeyId: new("k")}},
		{"the last counts", `{"KeyId":"a","KeyId":"k","EncryptionContext":{"a":"1"},"EncryptionContext":{"b":"2","b":"3"}}`,
			kms.GenerateDataKeyInput{KeyId: new("k"), EncryptionContext: map[string]string{"b": "3"}}},
		{"escapes", `{"KeyId":"\u0061\/\\\"\t\ud83d\ude00\ud83d\u00e4\udc00"}`, kms.GenerateDataKeyInput{KeyId: new("a/\\\"\t😀\uFFFDä\uFFFD")}},
		{"white space", " \r\n{ \"KeyId\"\t: \"k\" , \"GrantTokens\" : [ ] } \n", kms.GenerateDataKeyInput{KeyId: new("k"), GrantTokens: []string{}}},
		{"whole numbers", `{"KeyId":"k","NumberOfBytes":3.2e1}`, kms.GenerateDataKeyInput{KeyId: new("k"), NumberOfBytes: new(int32(32))}},
	} {
		var in kms.GenerateDataKeyInput
		if err := wire.KMS.Decode("GenerateDataKey", []byte(tt.body), &in); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if d := cmp.Diff(tt.want, in, exactly); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
	for _, body := range []string{"", " \n", "{}"} {
		if err := wire.KMS.Decode("ListKeys", []byte(body), new(kms.ListKeysInput)); err != nil {
			t.Errorf("body %q: %v", body, err)
		}
	}
}

func TestRefuseJSON(t *testing.T) {
	const syntax = "The request is not valid JSON."
	for _, tt := range []struct{ body, want string }{
		{`{"KeyId":7}`, "NUMBER_VALUE can not be converted to a String"},
		{`{"KeyId":true}`, "TRUE_VALUE can not be converted to a String"},
		{`{"KeyId":{"a":1}}`, "Start of structure or map found where not expected."},
		{`{"KeyId":["k"]}`, "Start of list found where not expected."},
		{`{"NumberOfBytes":"32"}`, "STRING_VALUE can not be converted to an Integer"},
		{`{"NumberOfBytes":1.5}`, "NUMBER_VALUE can not be converted to an Integer"},
		{`{"NumberOfBytes":2147483648}`, "NUMBER_VALUE can not be converted to an Integer"},
		{`{"NumberOfBytes":1` + strings.Repeat("0", 400) + `}`, "NUMBER_VALUE can not be converted to an Integer"},
		{`{"DryRun":"yes"}`, "STRING_VALUE can not be converted to a Boolean"},
		{`{"GrantTokens":"x"}`, "Unexpected scalar value where a list, structure or map was expected."},
		{`{"GrantTokens":[null]}`, "Null found in a list where not expected."},
		{`{"EncryptionContext":{"a":null}}`, "Null found in a map where not expected."},
		{`{"EncryptionContext":["a"]}`, "Start of list found where not expected."},
		{`{"KeyId":"k"} x`, syntax},
		{`{"KeyId":"k"}` + "\x00", syntax},
		{"\x00", syntax},
		{`["KeyId"]`, syntax},
		{`"KeyId"`, syntax},
		{`{"KeyId":"k"`, syntax},
		{`{"KeyId":"k",}`, syntax},
		{`{"KeyId"}`, syntax},
		{`{"KeyId":"k`, syntax},
		{`{"KeyId":"\x"}`, syntax},
		{`{"KeyId":"\u00g0"}`, syntax},
		{"{\"KeyId\":\"\n\"}", syntax},
		{"{\"KeyId\":\"\xff\"}", syntax},
		{"{\"KeyId\":\"\\n\xff\"}", syntax},
		{`{"NumberOfBytes":032}`, syntax},
		{`{"NumberOfBytes":.5}`, syntax},
		{`{"NumberOfBytes":1.}`, syntax},
		{`{"NumberOfBytes":-}`, syntax},
		{`{"x":nul}`, syntax},
		{`{"x":` + strings.Repeat("[", 100000), syntax},
		{strings.Repeat(`{"x":`, 65) + "1" + strings.Repeat("}", 65), syntax},
	} {
		err := wire.KMS.Decode("GenerateDataKey", []byte(tt.body), new(kms.GenerateDataKeyInput))
		expect(t, err, "SerializationException", tt.want, tt.body)
	}
}

func TestBlobs(t *testing.T) {
	for _, body := range []string{`{"Plaintext":"****","KeyId":"k"}`, `{"Plaintext":"YQ","KeyId":"k"}`, `{"Plaintext":"YR==","KeyId":"k"}`} {
		err := wire.KMS.Decode("Encrypt", []byte(body), new(kms.EncryptInput))
		expect(t, err, "SerializationException", "A blob is not valid base64.", body)
	}
	var in kms.EncryptInput
	if err := wire.KMS.Decode("Encrypt", []byte(`{"Plaintext":"YW\/i","KeyId":"k"}`), &in); err != nil || string(in.Plaintext) != "ao\xe2" {
		t.Errorf("escaped base64: %q, %v", in.Plaintext, err)
	}
}

// A time arrives to the millisecond, however its fraction is rounded in binary.
func TestDecodeEpochs(t *testing.T) {
	for ms := int64(1593622000000); ms < 1593622002000; ms++ {
		body := fmt.Sprintf(`{"KeyId":"k","ImportToken":"YQ==","EncryptedKeyMaterial":"YQ==","ValidTo":%d.%03d}`, ms/1000, ms%1000)
		var in kms.ImportKeyMaterialInput
		if err := wire.KMS.Decode("ImportKeyMaterial", []byte(body), &in); err != nil || in.ValidTo.UnixMilli() != ms {
			t.Fatalf("%s: %v, %v", body, in.ValidTo, err)
		}
	}
	for _, s := range []string{"1e300", "-1e300", "253402300800"} {
		err := wire.KMS.Decode("ImportKeyMaterial", []byte(`{"ValidTo":`+s+`}`), new(kms.ImportKeyMaterialInput))
		expect(t, err, "SerializationException", "NUMBER_VALUE can not be converted to milliseconds since epoch", s)
	}
}

// What the input holds survives the buffer that it came in.
func TestDecodeCopies(t *testing.T) {
	body := []byte(`{"KeyId":"key-1","Plaintext":"YWJj","EncryptionContext":{"a":"b"}}`)
	var in kms.EncryptInput
	if err := wire.KMS.Decode("Encrypt", body, &in); err != nil {
		t.Fatal(err)
	}
	clear(body)
	if *in.KeyId != "key-1" || string(in.Plaintext) != "abc" || in.EncryptionContext["a"] != "b" {
		t.Errorf("changed to %v", in)
	}
}

func TestEncodeJSON(t *testing.T) {
	for _, tt := range []struct {
		op, want string
		out      any
	}{
		{"ListKeys", `{"Truncated":false}`, &kms.ListKeysOutput{}},
		{"ListKeys", `{"Keys":[],"Truncated":true}`, &kms.ListKeysOutput{Keys: []types.KeyListEntry{}, Truncated: true}},
		{"Decrypt", `{"KeyId":"","Plaintext":""}`, &kms.DecryptOutput{KeyId: new(""), Plaintext: []byte{}}},
		{"ConnectCustomKeyStore", `{}`, &kms.ConnectCustomKeyStoreOutput{}},
		{"EnableKey", ``, &kms.EnableKeyOutput{}},
		{"EnableKey", ``, nil},
		{"ScheduleKeyDeletion", `{"DeletionDate":1593622000.191}`, &kms.ScheduleKeyDeletionOutput{DeletionDate: new(time.UnixMilli(1593622000191))}},
		{"ScheduleKeyDeletion", `{"DeletionDate":1593622000}`, &kms.ScheduleKeyDeletionOutput{DeletionDate: new(time.Unix(1593622000, 999))}},
		{"ScheduleKeyDeletion", `{"DeletionDate":-1.007}`, &kms.ScheduleKeyDeletionOutput{DeletionDate: new(time.UnixMilli(-1007))}},
		{"GetKeyPolicy", `{"Policy":"\"\\\n\u0001` + "ä\uFFFD" + `"}`, &kms.GetKeyPolicyOutput{Policy: new("\"\\\n\x01ä\xff")}},
	} {
		contentType, body, err := wire.KMS.Encode(tt.op, "r", tt.out)
		if err != nil || string(body) != tt.want || contentType != "application/x-amz-json-1.1" {
			t.Errorf("%s: %s of type %s, %v; want %s", tt.op, body, contentType, err, tt.want)
		}
	}
}

// Giving the codec what is not the operation's is an error, never a panic.
func TestWrongTypes(t *testing.T) {
	for _, v := range []any{nil, 7, kms.EncryptInput{}, (*kms.EncryptInput)(nil), new(kms.DecryptInput), new(int)} {
		if err := wire.KMS.Decode("Encrypt", []byte("{}"), v); err == nil {
			t.Errorf("decoded into %T", v)
		}
		if _, _, err := wire.KMS.Encode("Encrypt", "r", v); err == nil {
			t.Errorf("encoded %T", v)
		}
	}
	if _, _, err := wire.RDS.Encode("Encrypt", "r", nil); err == nil {
		t.Error("RDS encoded an answer of Encrypt")
	}
	expect(t, wire.KMS.Decode("Nonsense", nil, nil), "UnknownOperationException", "", "Nonsense")
	expect(t, wire.IAM.Decode("Nonsense", nil, nil), "InvalidAction", "Could not find operation Nonsense for version 2010-05-08", "Nonsense")
}

// expect compares an error with what is wanted.
func expect(t *testing.T, err error, code, message, what string) {
	t.Helper()
	if len(what) > 80 {
		what = what[:80] + "…"
	}
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		t.Errorf("%s: got %v, want %s", what, err, code)
		return
	}
	if e.ErrorCode() != code || e.ErrorMessage() != message {
		t.Errorf("%s:\n got %s: %s\nwant %s: %s", what, e.ErrorCode(), e.ErrorMessage(), code, message)
	}
}

func BenchmarkGenerateDataKey(b *testing.B) {
	body := []byte(`{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","KeySpec":"AES_256","EncryptionContext":{"aws:rds:dbc-id":"cluster-ABC"}}`)
	out := &kms.GenerateDataKeyOutput{CiphertextBlob: make([]byte, 184), Plaintext: make([]byte, 32), KeyId: new("arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")}
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := wire.KMS.Decode("GenerateDataKey", body, new(kms.GenerateDataKeyInput)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := wire.KMS.Encode("GenerateDataKey", "r", out); err != nil {
				b.Fatal(err)
			}
		}
	})
}
