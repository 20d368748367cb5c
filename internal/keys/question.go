package keys

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// Question completes q, the caller's about the KMS key that q.Resource names by
// its ARN, with what the key's side has to say: its policy, grants and condition
// keys, as a request would meet them. It is for the operator: nothing is decided
// or recorded. A key that is not there is cloud.ErrNotFound.
func (v *View) Question(ctx context.Context, q *policy.Question) error {
	arn, err := cloud.ParseARN(q.Resource)
	id, isKey := strings.CutPrefix(arn.Resource, "key/")
	if err != nil || !isKey {
		return fmt.Errorf("%s is not the ARN of a key: %w", q.Resource, cloud.ErrNotFound)
	}
	t, err := v.findKey(ctx, target{ref: Ref{Place{arn.Account, arn.Region}, id}, arn: q.Resource})
	if _, missing := errors.AsType[*types.NotFoundException](err); missing || err == nil && t.loaded == nil {
		return fmt.Errorf("there is no key %s: %w", q.Resource, cloud.ErrNotFound)
	}
	if err != nil {
		return err
	}
	_, action, _ := strings.Cut(q.Action, ":")
	a := ask{action: action, context: q.Context, encryption: encryptionIn(q.Context)}
	if err := v.addTrailing(ctx, t, &a); err != nil {
		return err
	}
	text, err := v.showPolicy(ctx, t.Policy)
	if err != nil {
		return fmt.Errorf("show policy of %s: %w", t.arn, err)
	}
	if q.ResourcePolicy, err = policy.Parse("key policy of "+t.arn, text); err != nil {
		return fmt.Errorf("key policy of %s: %w", t.arn, err)
	}
	q.Fixed, q.Grants, q.More = t.Manager != Customer, v.grantsFor(t, a), v.conditions(t, a)
	return nil
}

// encryptionIn is the encryption context that condition keys speak of.
func encryptionIn(c policy.Context) map[string]string {
	const prefix = "kms:EncryptionContext:"
	all := map[string]string{}
	for name, values := range c {
		if len(name) > len(prefix) && policy.EqualFold(name[:len(prefix)], prefix) && len(values) == 1 {
			all[name[len(prefix):]] = values[0]
		}
	}
	return all
}
