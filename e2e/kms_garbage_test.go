package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// Every member of every operation of KMS is sent what it is not: each is refused
// or taken for nothing, none as the server's fault, and the server stays well.
func TestKMSGarbage(t *testing.T) {
	s := newServer(t, "--postgres-bin", t.TempDir())
	ann := root(t, s, accountA)
	key := ann.newKey()
	client := reflect.TypeFor[*kms.Client]()
	sent := 0
	for i := range client.NumMethod() {
		m := client.Method(i)
		if m.Type.NumIn() != 4 || !strings.HasSuffix(m.Type.In(2).String(), m.Name+"Input") {
			continue
		}
		for body := range garbage(m.Type.In(2).Elem(), key) {
			status, said := ann.post(m.Name, body)
			if sent++; status >= 500 || status != 200 && !strings.Contains(said, `"__type"`) {
				t.Errorf("%s %.200s: %d %.200s", m.Name, body, status, said)
			}
		}
	}
	t.Logf("%d requests", sent)
	key = ann.newKey() // some of what is taken for nothing may well have deleted the other one
	sealed := ok(ann.kms().Encrypt(t.Context(), &kms.EncryptInput{KeyId: &key, Plaintext: []byte("x")}))(t)
	ok(ann.kms().Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob}))(t)
	if log := tail(ok(os.ReadFile(s.LogFile()))(t), 4000); bytes.Contains(log, []byte("panic")) {
		t.Errorf("the server panicked:\n%s", log)
	}
}

// garbage yields bodies in which one member of an input is wrong: of another
// type, of a huge size, deep, or no text at all. The others that there are name
// the key, so that what is wrong is not the first thing to be missing.
func garbage(input reflect.Type, key string) func(yield func([]byte) bool) {
	name, _ := json.Marshal(key)
	huge := `"` + strings.Repeat("A", 200_000) + `"`
	wrong := []string{
		`null`, `true`, `-1`, `1e400`, `99999999999999999999`, `"%"`, `"\ud800"`, huge, `[]`, `[null]`, `{"":null}`, `{"a":{"b":[1,"x"]}}`,
		strings.Repeat("[", 5000) + strings.Repeat("]", 5000), strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000),
	}
	return func(yield func([]byte) bool) {
		for i := range input.NumField() {
			f := input.Field(i)
			if !f.IsExported() || f.Name == "ResultMetadata" {
				continue
			}
			for _, w := range wrong {
				body := `{"` + f.Name + `":` + w
				if _, has := input.FieldByName("KeyId"); has && f.Name != "KeyId" {
					body += `,"KeyId":` + string(name)
				}
				if !yield([]byte(body + "}")) {
					return
				}
			}
		}
	}
}
