package keys_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// While RSA keys are made, which takes seconds, others are served, and who gives
// up waiting for one gets none.
func TestSlowKeysHoldNobodyUp(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	ctx, cancel := context.WithCancel(t.Context())
	var makers sync.WaitGroup
	for range 4 {
		makers.Go(func() {
			for ctx.Err() == nil {
				_, err := ann.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: "RSA_4096", KeyUsage: "SIGN_VERIFY"})
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				_, err = ann.GenerateDataKeyPair(ctx, &kms.GenerateDataKeyPairInput{KeyId: key, KeyPairSpec: "RSA_4096"})
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	made := 0
	var slowest time.Duration
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); made++ {
		ann.key()
		at := time.Now()
		ann.may("make a data key", ann.dataKey(key))
		slowest = max(slowest, time.Since(at))
	}
	cancel()
	makers.Wait()
	// An RSA-4096 key takes seconds; what is asserted leaves room for a busy machine.
	if slowest > 500*time.Millisecond || made < 5 {
		t.Errorf("a data key took %s, and in two seconds %d symmetric keys were made", slowest, made)
	}
}
