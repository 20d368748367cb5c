package keys_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/internal/api"
	"borealis/internal/cloud"
	"borealis/internal/keys"
)

// Every operation has a quota, counted by account, Region and sort of key.
func TestQuotas(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	sue := w.person(home, "user/sue", allow("kms:*"))
	bob := w.person(abroad, "user/bob", allow("kms:*"))
	elsewhere := ann.with(func(c *cloud.Caller) { c.Region = "eu-north-1" })
	const throttled = "ThrottlingException: You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
	for _, c := range []struct {
		operation string
		in, other any // other is of another group
		factor    float64
		burst     int
	}{
		{"ListKeys", &kms.ListKeysInput{}, nil, 0.01, 5},
		{"CreateKey", &kms.CreateKeyInput{Origin: "NONE"}, nil, 1, 5},
		{"GetParametersForImport", &kms.GetParametersForImportInput{}, nil, 1, 1},
		{"GetParametersForImport", &kms.GetParametersForImportInput{}, nil, 0.1, 1},
		{"GenerateDataKeyPair", &kms.GenerateDataKeyPairInput{KeyPairSpec: "RSA_3072"}, &kms.GenerateDataKeyPairInput{KeyPairSpec: "ECC_NIST_P256"}, 1, 4},
		{"Sign", &kms.SignInput{SigningAlgorithm: "RSASSA_PSS_SHA_256"}, &kms.SignInput{SigningAlgorithm: "ECDSA_SHA_256"}, 0.01, 10},
		{"Encrypt", &kms.EncryptInput{EncryptionAlgorithm: "RSAES_OAEP_SHA_256"}, &kms.EncryptInput{}, 0.01, 10},
		{"GenerateRandom", &kms.GenerateRandomInput{NumberOfBytes: new(int32(1))}, nil, 0.0001, 10},
	} {
		t.Run(fmt.Sprintf("%s at %v", c.operation, c.factor), func(t *testing.T) {
			ops := keys.NewQuotas(c.factor, w.clock).Limit(keys.Ops)
			do := func(p *person, in any) bool {
				_, err := ops[c.operation].Run(t.Context(), p.View, in)
				if code(err) == "ThrottlingException" && said(err) != throttled {
					t.Errorf("refused with %s", said(err))
				}
				return code(err) != "ThrottlingException"
			}
			for i := range c.burst {
				if !do([]*person{ann, sue}[i%2], c.in) {
					t.Fatalf("request %d of %d is refused", i+1, c.burst)
				}
			}
			if do(ann, c.in) {
				t.Error("one too many is answered")
			}
			if !do(bob, c.in) || !do(elsewhere, c.in) {
				t.Error("another account or Region is refused")
			}
			if c.other != nil && !do(ann, c.other) {
				t.Error("another group is refused")
			}
			w.wait(10 * time.Second)
			if !do(ann, c.in) {
				t.Error("ten seconds later it is refused")
			}
		})
	}
}

// All operations that there are have a quota.
func TestEveryOperationHasAQuota(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann")
	for name := range keys.Ops {
		ops := keys.NewQuotas(1e-9, w.clock).Limit(keys.Ops)
		for i, want := range []string{"", "ThrottlingException"} {
			_, err := ops[name].Run(t.Context(), ann.View, keys.Ops[name].New())
			if got := code(err); (got == "ThrottlingException") != (want != "") {
				t.Errorf("%s, request %d: %s", name, i+1, got)
			}
		}
	}
}

// However many Regions a client makes up, what is counted stays small.
func TestQuotasAreForgotten(t *testing.T) {
	w := newWorld(t)
	ops := keys.NewQuotas(1, w.clock).Limit(map[string]api.Op[*keys.View]{
		"DescribeKey": {Run: func(context.Context, *keys.View, any) (any, error) { return nil, nil }},
	})
	before := heap()
	for i := range 200_000 {
		v := w.As(cloud.Caller{Kind: cloud.User, Account: home, Region: cloud.Region(fmt.Sprintf("xx-none-%d", i))})
		if _, err := ops["DescribeKey"].Run(t.Context(), v, &kms.DescribeKeyInput{}); err != nil {
			t.Fatal(err)
		}
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
