package keys

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// policyName is the name of the only policy that a key has.
const policyName = "default"

// maxPolicy is how many bytes a key policy may have.
const maxPolicy = 32 << 10

// defaultPolicy is the policy of a key that was made without one: it leaves the
// key to its account's identity policies.
func defaultPolicy(a cloud.AccountID) string {
	return fmt.Sprintf(`{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "%s"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`, a.Root())
}

// keepPolicy checks a policy that the caller wants k to have: its form, its
// principals, and, unless bypass is set, that the caller may still replace it.
// It returns the policy as it is kept, with unique ids in place of the ARNs of
// users and roles: whoever takes a dead principal's name is not let in.
func (v *View) keepPolicy(ctx context.Context, k *Key, text string, bypass bool) (string, error) {
	if len(text) > maxPolicy {
		return "", limitExceeded("The key policy is longer than %d bytes.", maxPolicy)
	}
	if !json.Valid([]byte(text)) {
		return "", &types.MalformedPolicyDocumentException{}
	}
	if _, err := policy.ResourceKind.Parse("key policy", text); err != nil {
		return "", malformedPolicy(sentence(err))
	}
	var refused error
	kept, err := policy.ReplacePrincipals(text, func(who policy.Principal) string {
		id, err := v.idOf(ctx, who)
		refused = cmp.Or(refused, err)
		return id
	})
	if err := cmp.Or(refused, err); err != nil {
		return "", err
	}
	if bypass {
		return kept, nil
	}
	return kept, v.checkLockout(ctx, k, kept)
}

// checkLockout refuses a policy that does not let the caller put another. It
// decides about the future, so it is no decision to put on record.
func (v *View) checkLockout(ctx context.Context, k *Key, kept string) error {
	p, err := policy.Parse("key policy", kept)
	if err != nil {
		return fmt.Errorf("policy of %s: %w", k.ARN(), err)
	}
	q := policy.Question{
		Caller: v.caller, Action: "kms:PutKeyPolicy", Resource: k.ARN(), Owner: k.Account,
		ResourcePolicy: p, ResourceMustAllow: true, Context: (&loaded{Key: *k}).conditions(), Now: v.Now(),
	}
	v.addCaller(q.Context)
	if err := v.Policies.Complete(ctx, &q); err != nil {
		return fmt.Errorf("policies of %s: %w", v.caller.ARN, err)
	}
	if !q.Decide().Allowed {
		return malformedPolicy("The new key policy will not allow you to update the key policy in the future.")
	}
	return nil
}

// sentence is what AWS says of a text that is not a policy.
func sentence(err error) string {
	if m, ok := errors.AsType[*policy.Malformed](err); ok {
		return m.Sentence
	}
	return err.Error()
}

// idOf is what a kept policy has in place of a principal: the unique id of a
// user, role or session; accounts, services and "*" are themselves. It refuses
// principals that do not exist.
func (v *View) idOf(ctx context.Context, who policy.Principal) (string, error) {
	if who.Type != policy.AWS || who.Value == "*" {
		return who.Value, nil
	}
	id, err := v.Principals.PrincipalID(ctx, who.Value)
	if isNotFound(err) && who.Account == "" { // perhaps it is an id already
		id = who.Value
		_, err = v.Principals.PrincipalARN(ctx, id)
	}
	switch {
	case isNotFound(err):
		return "", malformedPolicy("Policy contains a statement with one or more invalid principals.")
	case who.Whole():
		id = who.Value
	}
	return id, err
}

// showPolicy is a kept policy as it is shown: as it was put, with living
// principals by the ARNs that they have now and dead ones by their ids.
func (v *View) showPolicy(ctx context.Context, kept string) (string, error) {
	var broken error
	text, err := policy.ReplacePrincipals(kept, func(who policy.Principal) string {
		if who.Type != policy.AWS || who.Account != "" || who.Value == "*" {
			return who.Value // only ids are anything but what was put
		}
		arn, err := v.Principals.PrincipalARN(ctx, who.Value)
		if isNotFound(err) {
			return who.Value
		}
		broken = cmp.Or(broken, err)
		return arn
	})
	return text, cmp.Or(broken, err)
}

// GetKeyPolicy answers with the key policy as it was put.
func (v *View) GetKeyPolicy(ctx context.Context, in *kms.GetKeyPolicyInput) (*kms.GetKeyPolicyOutput, error) {
	t, err := v.open(ctx, ask{action: "GetKeyPolicy", key: str(in.KeyId)})
	if err != nil {
		return nil, err
	}
	if in.PolicyName != nil && *in.PolicyName != policyName {
		return nil, notFound("No such policy exists")
	}
	text, err := v.showPolicy(ctx, t.Policy)
	if err != nil {
		return nil, fmt.Errorf("show policy of %s: %w", t.arn, err)
	}
	return &kms.GetKeyPolicyOutput{Policy: &text, PolicyName: new(policyName)}, nil
}

// ListKeyPolicies lists the names of a key's policies: the one.
func (v *View) ListKeyPolicies(ctx context.Context, in *kms.ListKeyPoliciesInput) (*kms.ListKeyPoliciesOutput, error) {
	t, err := v.open(ctx, ask{action: "ListKeyPolicies", key: str(in.KeyId)})
	if err != nil {
		return nil, err
	}
	if _, err := newPage("policies "+t.ID, in.Limit, nil, 100, 1000); err != nil {
		return nil, err
	}
	if in.Marker != nil { // one name is never more than a page
		return nil, &types.InvalidMarkerException{}
	}
	return &kms.ListKeyPoliciesOutput{PolicyNames: []string{policyName}}, nil
}

// PutKeyPolicy replaces the key policy.
func (v *View) PutKeyPolicy(ctx context.Context, in *kms.PutKeyPolicyInput) (*kms.PutKeyPolicyOutput, error) {
	bypass := in.BypassPolicyLockoutSafetyCheck
	_, err := v.update(ctx, ask{
		action: "PutKeyPolicy", key: str(in.KeyId),
		context: policy.Context{"kms:BypassPolicyLockoutSafetyCheck": []string{strconv.FormatBool(bypass)}},
	}, func(t target) (apply, error) {
		if in.PolicyName != nil && *in.PolicyName != policyName {
			return nil, notFound("No such policy exists")
		}
		kept, err := v.keepPolicy(ctx, &t.Key, str(in.Policy), bypass)
		return edit(func(k *Key) { k.Policy = kept }), err
	})
	if err != nil {
		return nil, err
	}
	return &kms.PutKeyPolicyOutput{}, nil
}
