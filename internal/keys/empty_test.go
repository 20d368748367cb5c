package keys_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// A list without elements is there all the same: clients take the missing for
// another answer than the empty.
func TestEmptyListsAreThere(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	there := func(what string, err error, missing bool) {
		ann.may(what, err)
		if missing {
			t.Errorf("%s: there is no list", what)
		}
	}
	keys, err := ann.ListKeys(t.Context(), &kms.ListKeysInput{})
	there("list keys", err, keys.Keys == nil)
	aliases, err := ann.ListAliases(t.Context(), &kms.ListAliasesInput{})
	there("list aliases", err, aliases.Aliases == nil)
	key := ann.key()
	grants, err := ann.ListGrants(t.Context(), &kms.ListGrantsInput{KeyId: key})
	there("list grants", err, grants.Grants == nil)
	retirable, err := ann.ListRetirableGrants(t.Context(), &kms.ListRetirableGrantsInput{RetiringPrincipal: &ann.caller.ARN})
	there("list retirable grants", err, retirable.Grants == nil)
	tags, err := ann.ListResourceTags(t.Context(), &kms.ListResourceTagsInput{KeyId: key})
	there("list tags", err, tags.Tags == nil)
}
