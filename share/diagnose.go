package share

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// A diagnosis looks into why RDS could not use a key. permanent says that waiting
// will not help.
type diagnosis func(ctx context.Context, refused error) (d *DeniedError, permanent bool)

// insist calls do until it succeeds or fails for another reason than a key that
// is not accessible. Such a refusal right after a key was made may mean only
// that its policy has not spread through KMS ("usually less than five minutes"),
// so it is tried again for the time of Propagation unless why finds a cause that
// will not pass.
func (r *run) insist(ctx context.Context, why diagnosis, do func() error) error {
	spread := r.Propagation
	if spread == 0 {
		spread = 5 * time.Minute
	}
	deadline := time.Now().Add(spread)
	for wait := time.Second; ; wait = min(2*wait, 20*time.Second) {
		err := do()
		if err == nil || !hasCode(err, "KMSKeyNotAccessibleFault") {
			return err
		}
		d, permanent := why(ctx, err)
		if permanent || time.Now().Add(wait).After(deadline) {
			return d
		}
		r.say(Waiting, 0, "KMS refuses the key; its policy may not have spread yet")
		if err := pause(ctx, wait); err != nil {
			return errors.Join(err, d)
		}
	}
}

// diagnoseOwnKey explains a refusal of the source's copy under the new key.
func (r *run) diagnoseOwnKey(ctx context.Context, refused error) (*DeniedError, bool) {
	d := &DeniedError{Key: r.result.KeyARN, Err: refused, Cause: "the source's IAM policies do not allow kms:DescribeKey and kms:CreateGrant on the key",
		Fix: "allow both to " + r.Source.Principal}
	return d, r.stateOf(ctx, r.Source, d)
}

// diagnoseTargetCopy explains a refusal of the target's copy: by the source's key
// or by the target's.
func (r *run) diagnoseTargetCopy(ctx context.Context, refused error) (*DeniedError, bool) {
	if !strings.Contains(refused.Error(), r.result.KeyARN) {
		d := &DeniedError{Key: r.plan.Request.TargetKey, Err: refused,
			Cause: "the target may not use its own key: " + r.Target.Principal + " needs kms:DescribeKey and kms:CreateGrant on it",
			Fix:   "allow both, or name another key"}
		return d, true
	}
	d := &DeniedError{Key: r.result.KeyARN, Err: refused}
	if cause := r.keyPolicyLetsIn(ctx); cause != "" {
		d.Cause, d.Fix = cause, "let account "+r.Target.Account+" use the key: kms:DescribeKey and kms:CreateGrant"
		return d, true
	}
	d.Cause = "the key policy lets the target in, so the target's own IAM policies do not allow kms:DescribeKey and kms:CreateGrant on the key, or a policy has not spread yet"
	d.Fix = "in account " + r.Target.Account + ", allow " + r.Target.Principal + " kms:DescribeKey and kms:CreateGrant on " + r.result.KeyARN
	return d, r.stateOf(ctx, r.Target, d)
}

// stateOf asks KMS about the key as side s and completes d with what it says. It
// reports whether that settles the matter.
func (r *run) stateOf(ctx context.Context, s Side, d *DeniedError) bool {
	out, err := s.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &d.Key})
	switch {
	case err == nil && out.KeyMetadata.KeyState != kmstypes.KeyStateEnabled:
		d.Cause, d.Fix = "the key is "+string(out.KeyMetadata.KeyState), "enable it"
		return true
	case err != nil && strings.Contains(err.Error(), "no identity-based policy allows"):
		d.Cause = "the IAM policies of " + s.Principal + " do not allow kms:DescribeKey on the key"
		return true
	case err != nil && strings.Contains(err.Error(), "explicit deny"):
		d.Cause, d.Fix = fmt.Sprintf("a policy denies it: %v", err), ""
		return true
	}
	return false
}

// keyPolicyLetsIn reads the key's policy as it is now and says what it lacks for
// the target; "" if it lets the target in, or cannot be read.
func (r *run) keyPolicyLetsIn(ctx context.Context) string {
	out, err := r.Source.KMS.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &r.result.KeyARN, PolicyName: new("default")})
	if err != nil {
		return ""
	}
	doc, err := policy.Parse("key policy", aws.ToString(out.Policy))
	if err != nil {
		return ""
	}
	for _, action := range []string{"kms:DescribeKey", "kms:CreateGrant"} {
		if d := r.targetAsks(doc, action).Decide(); !d.Allowed {
			return fmt.Sprintf("the key policy does not give account %s %s (%s)", r.Target.Account, action, d)
		}
	}
	return ""
}

// targetAsks is the question that KMS decides when RDS comes in the target's
// name, supposing that the target's own policies allow everything.
func (r *run) targetAsks(key *policy.Policy, action string) policy.Question {
	service := "rds." + r.Source.Region + ".amazonaws.com"
	all, err := policy.Parse("the target's own policies", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	if err != nil {
		panic(err) // the text above is constant
	}
	return policy.Question{
		Caller: cloud.Caller{
			Kind: cloud.User, Account: cloud.AccountID(r.Target.Account), ARN: r.Target.Principal,
			Principal: principalOf(r.Target.Principal), Region: cloud.Region(r.Target.Region),
			Via: []string{"rds.amazonaws.com"}, SecureTransport: true,
		},
		Identity:          policy.Identity{Policies: []*policy.Policy{all}},
		Action:            action,
		Resource:          r.result.KeyARN,
		Owner:             cloud.AccountID(r.Source.Account),
		ResourcePolicy:    key,
		ResourceMustAllow: true,
		Context: policy.Context{
			"kms:ViaService":            {service},
			"kms:CallerAccount":         {r.Target.Account},
			"kms:GrantIsForAWSResource": {"true"},
		},
		Now: time.Now(),
	}
}
