package keys_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// Conditions and an encryption context that are as many as they may be cost each
// other no product of their numbers.
func TestConditionsTimesContext(t *testing.T) {
	w := newWorld(t)
	var policies []string
	for p := range 10 {
		var b strings.Builder
		for i := 0; b.Len() < 5800; i++ {
			fmt.Fprintf(&b, `"kms:%d-%d":"x",`, p, i)
		}
		policies = append(policies, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{
			"StringEqualsIfExists":{`+strings.TrimSuffix(b.String(), ",")+`},"StringEquals":{"kms:none":"x"}}}}`)
	}
	ann := w.person(home, "user/ann", append(policies, allow("kms:*"))...)
	key := ann.key()
	c := map[string]string{}
	for i := range 2700 {
		c[fmt.Sprintf("%03x", i)] = ""
	}
	start := time.Now()
	for range 40 {
		must(ann.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key, KeySpec: "AES_256", EncryptionContext: c}))(t)
	}
	if took := time.Since(start); took > 3*time.Second { // it takes a tenth of that; twice as long, if each condition looks at each pair
		t.Errorf("40 requests took %v", took)
	}
}
