package keys_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// What RDS does not use any more, or never did, is retired, however many pages
// of it there are, in whatever state its key is; what is not RDS's stays.
func TestAbandonedGrants(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	rds := func(key *string) string {
		const service = "rds.eu-west-1.amazonaws.com"
		in := grantTo(key, service, "Decrypt RetireGrant")
		in.RetiringPrincipal = new(service)
		return *ann.through("rds.amazonaws.com").grant(in).GrantId
	}
	one, disabled := ann.key(), ann.key()
	used := map[string]bool{rds(one): true, *ann.grant(grantTo(one, ann.caller.Principal, "Decrypt")).GrantId: false}
	for range 110 {
		rds(one)
	}
	rds(disabled)
	ann.may("disable a key", ann.disable(disabled))

	n, err := w.RetireAbandoned(t.Context(), "rds.amazonaws.com", used)
	if n != 111 || err != nil {
		t.Errorf("%d grants retired, %v", n, err)
	}
	if e := w.log.last(); e.Action != "kms:RetireGrant" || !e.Allowed || !strings.HasPrefix(e.Caller.Principal, "rds.") {
		t.Errorf("on record: %+v", e)
	}
	left := append(ann.grants(&kms.ListGrantsInput{KeyId: one}), ann.grants(&kms.ListGrantsInput{KeyId: disabled})...)
	if len(left) != 2 {
		t.Errorf("%d grants are left", len(left))
	}
	for _, g := range left {
		if _, kept := used[*g.GrantId]; !kept {
			t.Errorf("%s is left", *g.GrantId)
		}
	}
	if n, err := w.RetireAbandoned(t.Context(), "rds.amazonaws.com", used); n != 0 || err != nil {
		t.Errorf("again: %d grants retired, %v", n, err)
	}
}
