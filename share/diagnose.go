package share

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/policy"
)

// RDS says of a key only that it "does not exist, is not enabled or you do not
// have permissions to access it". What is behind that, a diagnosis finds out from
// both accounts: what the key's policy says, what state the key is in, and what
// KMS answers when it is asked directly.
type diagnosis func(ctx context.Context, refused error) (*DeniedError, hope)

// hope says whether it is worth waiting for a refusal to pass.
type hope int

const (
	none   hope = iota // the cause is seen, and will not pass
	little             // the key's policy is seen to be in force; only an IAM policy can be late
	some               // the key's policy may not have spread through KMS
)

// outlast calls do until it succeeds or fails for another reason than a key that
// is not accessible. Such a refusal soon after the key was made may mean only
// that its policy has not spread through KMS ("usually less than five minutes"),
// so it is tried again for as long as why leaves hope.
func (r *run) outlast(ctx context.Context, why diagnosis, do func() error) error {
	began := time.Now()
	for wait := time.Second; ; wait = min(2*wait, mostPoll) {
		err := do()
		if !hasCode(err, "KMSKeyNotAccessibleFault") {
			return err
		}
		d, h := why(ctx, err)
		left := r.left(h, began)
		if left <= 0 {
			return d
		}
		r.say(Waiting, fmt.Sprintf("KMS refuses the key; a policy may not have spread yet, so trying for %s more", left.Round(time.Second)))
		if err := pause(ctx, min(wait, left)); err != nil {
			return errors.Join(err, d)
		}
	}
}

// left is how long to go on trying what was first refused at began.
func (r *run) left(h hope, began time.Time) time.Duration {
	spread := r.Propagation
	if spread == 0 {
		spread = 5 * time.Minute
	}
	left := spread - time.Since(r.keyMade)
	switch h {
	case none:
		return 0
	case little:
		left = min(left, spread/10-time.Since(began))
	}
	return left
}

// namedKey is the key that a KMSKeyNotAccessibleFault names.
var namedKey = regexp.MustCompile(`\[([^\]]+)\]`)

func refusedKey(refused error) string {
	if m := namedKey.FindStringSubmatch(message(refused)); m != nil {
		return m[1]
	}
	return ""
}

// diagnoseSource explains a refusal of the source's copy: by the new key, or by
// the one that the snapshot is under.
func (r *run) diagnoseSource(ctx context.Context, refused error) (*DeniedError, hope) {
	key, h := r.result.KeyARN, some
	if named := refusedKey(refused); named == r.plan.Snapshot.KeyARN {
		key, h = named, none
	}
	d := &DeniedError{Resource: key, Err: refused}
	return d, min(h, r.ask(ctx, r.Source, d))
}

// diagnoseTarget explains a refusal of the target's copy: by the source's key or
// by the target's.
func (r *run) diagnoseTarget(ctx context.Context, refused error) (*DeniedError, hope) {
	if named := refusedKey(refused); named != r.result.KeyARN {
		return r.diagnoseTargetKey(ctx, refused)
	}
	d := &DeniedError{Resource: r.result.KeyARN, Err: refused}
	if r.keyIsUnusable(ctx, r.Source, d) || r.keyPolicyKeepsOut(ctx, d) {
		return d, none
	}
	return d, r.ask(ctx, r.Target, d)
}

// diagnoseTargetKey explains a refusal by the target's own key. That key is not
// new, so there is nothing to wait for.
func (r *run) diagnoseTargetKey(ctx context.Context, refused error) (*DeniedError, hope) {
	d := &DeniedError{Resource: r.Target.keyARN(or(refusedKey(refused), r.plan.Request.TargetKey)), Err: refused}
	r.ask(ctx, r.Target, d)
	return d, none
}

// orRefusedTargetKey explains err if it is a refusal by the target's own key.
func (r *run) orRefusedTargetKey(ctx context.Context, err error) error {
	if !hasCode(err, "KMSKeyNotAccessibleFault") {
		return err
	}
	d, _ := r.diagnoseTargetKey(ctx, err)
	return d
}

// orKeyLost adds to the error of a copy that ended in failure that its key is
// not usable any more, if so: AWS does not say why a copy failed.
func (r *run) orKeyLost(ctx context.Context, err error) error {
	if !errors.Is(err, ErrFailed) || r.result.KeyARN == "" {
		return err
	}
	d := &DeniedError{Resource: r.result.KeyARN, Err: err}
	if r.keyIsUnusable(ctx, r.Source, d) {
		return d
	}
	return err
}

// keyIsUnusable asks KMS, as side s, for the state of the key of d and completes
// d if that explains everything.
func (r *run) keyIsUnusable(ctx context.Context, s Side, d *DeniedError) bool {
	out, err := s.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &d.Resource})
	if err != nil || out.KeyMetadata.KeyState == kmstypes.KeyStateEnabled {
		return false
	}
	d.Cause, d.Fix = "the key is "+string(out.KeyMetadata.KeyState), "aws kms enable-key --key-id "+d.Resource
	if out.KeyMetadata.KeyState == kmstypes.KeyStatePendingDeletion {
		d.Fix = "aws kms cancel-key-deletion, and then " + d.Fix
	}
	return true
}

// ask completes d with what KMS answers when side s asks it about the key
// directly: first to describe it, then, as a dry run, to make a grant on it. Of
// the latter only an explicit deny means anything, for the policies allow it
// through RDS alone.
func (r *run) ask(ctx context.Context, s Side, d *DeniedError) hope {
	who := or(s.Principal, s.Caller)
	d.Fix = "in account " + s.Account + ", allow " + who + " kms:DescribeKey and kms:CreateGrant on " + d.Resource
	_, err := s.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &d.Resource})
	switch said := message(err); {
	case hasCode(err, "NotFoundException"):
		d.Cause, d.Fix = "account "+s.Account+" has no such key", ""
		return none
	case strings.Contains(said, "explicit deny"):
		d.Cause, d.Fix = "a policy denies it: "+said, "remove the denial of kms:DescribeKey"
		return none
	case strings.Contains(said, "no identity-based policy allows"), strings.Contains(said, "no permissions boundary allows"),
		strings.Contains(said, "no session policy allows"), strings.Contains(said, "no service control policy allows"):
		d.Cause = "kms:DescribeKey is refused to " + who + because(said)
		return none
	case err != nil:
		d.Cause = "KMS does not let " + who + " look at the key (kms:DescribeKey); neither its policy nor its state explains it, so either it has not spread yet or it keeps them out"
		return some
	}
	if r.keyIsUnusable(ctx, s, d) {
		return none
	}
	if said := r.tryGrant(ctx, s, d.Resource); strings.Contains(said, "explicit deny") {
		d.Cause, d.Fix = "a policy denies it: "+said, "remove the denial of kms:CreateGrant"
		return none
	}
	d.Cause = who + " can describe the key, and the key's policy is not what refuses: so the IAM policies in account " + s.Account + " do not allow kms:CreateGrant on it through RDS"
	return little
}

// because is the reason that KMS gives at the end of a refusal.
func because(said string) string {
	if at := strings.Index(said, " because "); at >= 0 {
		return said[at:]
	}
	return ""
}

// tryGrant is what KMS says to a grant on the key that side s would make itself.
func (r *run) tryGrant(ctx context.Context, s Side, key string) string {
	_, err := s.KMS.CreateGrant(ctx, &kms.CreateGrantInput{
		KeyId: &key, GranteePrincipal: new(s.root()), DryRun: new(true),
		Operations: []kmstypes.GrantOperation{kmstypes.GrantOperationDescribeKey},
	})
	return message(err)
}

// keyPolicyKeepsOut reads the key's policy as it is now and completes d if it
// does not let the target in.
func (r *run) keyPolicyKeepsOut(ctx context.Context, d *DeniedError) bool {
	if r.Target.Principal == "" && r.plan.Request.TargetPrincipal != r.Target.root() {
		return false // whom the policy names, and whether that is us, is not known
	}
	out, err := r.Source.KMS.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &r.result.KeyARN, PolicyName: new("default")})
	if err != nil {
		return false
	}
	doc, err := policy.Parse("the key policy", aws.ToString(out.Policy))
	if err != nil {
		return false
	}
	for _, action := range []string{"kms:DescribeKey", "kms:CreateGrant"} {
		q := r.targetAsks(doc, action, r.result.KeyARN)
		if q.Decide().Allowed {
			continue
		}
		d.Cause = fmt.Sprintf("the key policy does not let %s do %s: %s", r.Target.Caller, action, why(q))
		d.Fix = fmt.Sprintf("in account %s, give the key the policy of the plan again (aws kms put-key-policy --key-id %s): %s needs kms:DescribeKey, and kms:CreateGrant for RDS", r.Source.Account, r.result.KeyARN, r.plan.Request.TargetPrincipal)
		return true
	}
	return false
}

// why is the evaluator's reason for refusing q.
func why(q policy.Question) string {
	e := q.Explain()
	if near, ok := e.NearMiss(); ok {
		return "nearest to allowing it is " + near
	}
	return e.Decision.String()
}
