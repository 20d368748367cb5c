package keys

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/kms"

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

// checkPolicy checks a policy that the caller wants k to have: its form, its
// principals, and, unless bypass is set, that the caller may still replace it.
func (v *View) checkPolicy(ctx context.Context, k *Key, text string, bypass bool) error {
	if len(text) > maxPolicy {
		return limitExceeded("The key policy is longer than %d bytes.", maxPolicy)
	}
	p, err := policy.ResourceKind.Parse("key policy of "+k.ARN(), text)
	if err != nil {
		return malformedPolicy(sentence(err))
	}
	for _, who := range p.Principals() {
		if err := v.checkPrincipal(ctx, who); err != nil {
			return err
		}
	}
	if bypass {
		return nil
	}
	identity, err := v.Policies.IdentityOf(ctx, v.caller)
	if err != nil {
		return fmt.Errorf("policies of %s: %w", v.caller.ARN, err)
	}
	// This decides about the future, so it is no decision to put on record.
	q := policy.Question{
		Caller: v.caller, Identity: identity, Action: "kms:PutKeyPolicy", Resource: k.ARN(), Owner: k.Account,
		ResourcePolicy: p, ResourceMustAllow: true, Context: keyContext(k, nil), Now: v.Now(),
	}
	v.addCaller(q.Context)
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

// checkPrincipal refuses a principal that does not exist.
func (v *View) checkPrincipal(ctx context.Context, who policy.Principal) error {
	if who.Type != policy.AWS || who.Value == "*" {
		return nil
	}
	_, err := v.Principals.PrincipalID(ctx, who.Value)
	if isNotFound(err) && who.Account == "" { // perhaps it is a unique id
		_, err = v.Principals.PrincipalARN(ctx, who.Value)
	}
	if isNotFound(err) {
		return malformedPolicy("Policy contains a statement with one or more invalid principals.")
	}
	return err
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
	return &kms.GetKeyPolicyOutput{Policy: new(t.Policy), PolicyName: new(policyName)}, nil
}

// ListKeyPolicies lists the names of a key's policies: the one.
func (v *View) ListKeyPolicies(ctx context.Context, in *kms.ListKeyPoliciesInput) (*kms.ListKeyPoliciesOutput, error) {
	if _, err := v.open(ctx, ask{action: "ListKeyPolicies", key: str(in.KeyId)}); err != nil {
		return nil, err
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
		if err := v.checkPolicy(ctx, &t.Key, str(in.Policy), bypass); err != nil {
			return nil, err
		}
		return edit(func(k *Key) { k.Policy = *in.Policy }), nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.PutKeyPolicyOutput{}, nil
}
