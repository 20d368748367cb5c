package keys_test

import (
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// Grants on a key whose material has just expired are listed and used while
// others revoke them.
func TestGrantsOfExpiredAtOnce(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	bob := w.person(home, "user/bob")
	key := ann.external(kms.CreateKeyInput{})
	must(ann.bring(ann.parcel(key), secretOf(1), func(in *kms.ImportKeyMaterialInput) {
		in.ExpirationModel, in.ValidTo = types.ExpirationModelTypeKeyMaterialExpires, new(w.clock().Add(time.Hour))
	}))(t)
	var ids []string
	for range 40 {
		out := must(ann.CreateGrant(t.Context(), &kms.CreateGrantInput{
			KeyId: key, GranteePrincipal: &bob.caller.ARN, Operations: []types.GrantOperation{"DescribeKey"},
		}))(t)
		ids = append(ids, *out.GrantId)
	}
	w.wait(2 * time.Hour)
	ann.may("describe", ann.describe(key)) // and have it in memory
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					must(ann.ListGrants(t.Context(), &kms.ListGrantsInput{KeyId: key}))(t)
				}
			}
		})
	}
	for _, id := range ids {
		_, err := ann.RevokeGrant(t.Context(), &kms.RevokeGrantInput{KeyId: key, GrantId: &id})
		ann.may("revoke", err)
	}
	close(done)
	wg.Wait()
	if out := must(ann.ListGrants(t.Context(), &kms.ListGrantsInput{KeyId: key}))(t); len(out.Grants) != 0 {
		t.Errorf("%d grants are left", len(out.Grants))
	}
}
