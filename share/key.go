package share

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"golang.org/x/sync/errgroup"
)

// A foundKey is the key of a former run.
type foundKey struct {
	arn     string
	made    time.Time
	aliased bool // the alias that was asked for leads to it
}

// ourKey finds the key that a former run made; nil if there is none. It goes by
// the alias; where there is none, by the copy that the former run made under the
// key; and where there is none either, that run may have died between making the
// key and its alias, and the key is searched for by its tag. gap says what kept
// the search from being complete.
func (w *Workflow) ourKey(ctx context.Context, p *Plan) (k *foundKey, gap string, err error) {
	if k, err = w.keyNamed(ctx, p, p.Request.Key.Alias); k != nil || err != nil {
		return k, "", err
	}
	mid, err := w.ourSnapshot(ctx, w.Source, p, p.sharedID())
	if err != nil {
		return nil, "", err
	}
	if mid != nil {
		k, err = w.keyNamed(ctx, p, aws.ToString(mid.KmsKeyId))
		return k, "", err
	}
	return w.searchKey(ctx, p)
}

// keyNamed looks a key up by its alias or ARN. A key without the run's tag is
// ErrNotOurs.
func (w *Workflow) keyNamed(ctx context.Context, p *Plan, name string) (*foundKey, error) {
	out, err := w.Source.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &name})
	if hasCode(err, "NotFoundException") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", name, err)
	}
	m := out.KeyMetadata
	k := &foundKey{arn: aws.ToString(m.Arn), made: aws.ToTime(m.CreationDate), aliased: name == p.Request.Key.Alias}
	ours, err := w.isTagged(ctx, p.Run, k.arn)
	switch {
	case err != nil:
		return nil, err
	case !ours:
		return nil, fmt.Errorf("%s is key %s, which this run did not make; choose another alias: %w", name, k.arn, ErrNotOurs)
	case m.KeyState != kmstypes.KeyStateEnabled:
		return nil, usagef("key %s of a former run is %s; make it usable again (aws kms cancel-key-deletion, enable-key) and run again", k.arn, m.KeyState)
	}
	return k, nil
}

func (w *Workflow) isTagged(ctx context.Context, run, key string) (bool, error) {
	pages := kms.NewListResourceTagsPaginator(w.Source.KMS, &kms.ListResourceTagsInput{KeyId: &key})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return false, fmt.Errorf("read the tags of %s: %w", key, err)
		}
		if slices.ContainsFunc(out.Tags, func(t kmstypes.Tag) bool {
			return aws.ToString(t.TagKey) == runTag && aws.ToString(t.TagValue) == run
		}) {
			return true, nil
		}
	}
	return false, nil
}

// searchMost bounds the search for a key that has lost its way: so many keys
// without an alias are looked at, several at a time.
const (
	searchMost    = 500
	searchAtATime = 8
)

// searchKey looks for a key with the run's tag among those that have no alias at
// all. What it may not list or look at it passes over: gap then says so.
func (w *Workflow) searchKey(ctx context.Context, p *Plan) (*foundKey, string, error) {
	arns, err := w.withoutAlias(ctx)
	switch {
	case isDenied(err):
		return nil, "if a former run died just when it had made the key, that key is not found: kms:ListKeys and kms:ListAliases are not allowed", nil
	case err != nil:
		return nil, "", err
	}
	gap := ""
	if len(arns) > searchMost {
		gap = fmt.Sprintf("account %s has %d keys without an alias; %d of them were searched for one that a former run may have left", w.Source.Account, len(arns), searchMost)
		arns = arns[:searchMost]
	}
	var mu sync.Mutex
	var best *foundKey
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(searchAtATime)
	for _, arn := range arns {
		g.Go(func() error {
			k, err := w.ifOurs(ctx, p, arn)
			if err != nil || k == nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			// Of several, every run takes the same one.
			if best == nil || k.made.Before(best.made) || k.made.Equal(best.made) && k.arn < best.arn {
				best = k
			}
			return nil
		})
	}
	return best, gap, g.Wait()
}

// withoutAlias lists the keys of the source account that have no alias.
func (w *Workflow) withoutAlias(ctx context.Context) ([]string, error) {
	aliased := map[string]bool{}
	aliases := kms.NewListAliasesPaginator(w.Source.KMS, &kms.ListAliasesInput{Limit: new(int32(100))})
	for aliases.HasMorePages() {
		out, err := aliases.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list aliases: %w", err)
		}
		for _, a := range out.Aliases {
			aliased[aws.ToString(a.TargetKeyId)] = true
		}
	}
	var arns []string
	keys := kms.NewListKeysPaginator(w.Source.KMS, &kms.ListKeysInput{Limit: new(int32(1000))})
	for keys.HasMorePages() {
		out, err := keys.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		for _, k := range out.Keys {
			if !aliased[aws.ToString(k.KeyId)] {
				arns = append(arns, aws.ToString(k.KeyArn))
			}
		}
	}
	return arns, nil
}

// ifOurs is the key if this run made it and it is of use. A key that is older
// than the snapshot is not asked for its tags; one that we may not look at is
// not ours.
func (w *Workflow) ifOurs(ctx context.Context, p *Plan, arn string) (*foundKey, error) {
	out, err := w.Source.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &arn})
	if isDenied(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at key %s: %w", arn, err)
	}
	m := out.KeyMetadata
	made := aws.ToTime(m.CreationDate)
	if m.KeyManager != kmstypes.KeyManagerTypeCustomer || m.KeyState != kmstypes.KeyStateEnabled || made.Before(p.Snapshot.Created) {
		return nil, nil
	}
	ours, err := w.isTagged(ctx, p.Run, arn)
	if isDenied(err) || err == nil && !ours {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &foundKey{arn: arn, made: made}, nil
}

func (r *run) createKey(ctx context.Context) error {
	key, _, err := r.ourKey(ctx, r.plan)
	if err != nil {
		return err
	}
	if key != nil {
		r.useKey(key, Found)
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, cancel := shield(ctx)
	defer cancel()
	out, err := r.Source.KMS.CreateKey(ctx, &kms.CreateKeyInput{
		Description: &r.plan.Request.Key.Description,
		KeySpec:     kmstypes.KeySpecSymmetricDefault,
		KeyUsage:    kmstypes.KeyUsageTypeEncryptDecrypt,
		Policy:      &r.plan.KeyPolicy,
		Tags:        r.plan.kmsTags(),
	}, atMostOnce)
	if err != nil {
		return r.explainCreate(fmt.Errorf("create the key: %w", err))
	}
	r.madeKey = true
	r.useKey(&foundKey{arn: aws.ToString(out.KeyMetadata.Arn), made: time.Now()}, Done)
	return nil
}

// explainCreate says what KMS has against the policy of a new key, if that is it.
func (r *run) explainCreate(err error) error {
	if !hasCode(err, "MalformedPolicyDocumentException") {
		return err
	}
	who := or(r.Source.Principal, r.Source.Caller)
	d := &DeniedError{Resource: r.step.ARN, Err: err, Cause: "the key's policy names a user or role that does not exist (--key-admin, --target-principal); the ARN of a role has the role's path"}
	if strings.Contains(message(err), "update the key policy") {
		d.Cause = who + " could not change the policy of the key it makes (kms:PutKeyPolicy), which KMS insists on"
		d.Fix = "make " + who + " an administrator of the key (--key-admin), or allow it kms:PutKeyPolicy on keys in account " + r.Source.Account
	}
	return d
}

// atMostOnce keeps the SDK from asking again where the first request may have
// been carried out and only its answer lost: creating a key twice makes two. The
// next run finds the key.
func atMostOnce(o *kms.Options) {
	o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
		o.Retryables = []retry.IsErrorRetryable{retry.RetryableErrorCode{Codes: retry.DefaultThrottleErrorCodes}}
	})
}

func (r *run) useKey(k *foundKey, s State) {
	r.result.KeyARN, r.keyMade = k.arn, k.made
	r.finished(s, k.arn)
}

func (r *run) createAlias(ctx context.Context) error {
	ctx, cancel := shield(ctx)
	defer cancel()
	alias, tries := r.plan.Request.Key.Alias, 0
	err := r.poll(ctx, func() (bool, error) {
		_, err := r.Source.KMS.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: &r.result.KeyARN})
		if tries++; hasCode(err, "NotFoundException") && r.madeKey && tries < unseen {
			return false, nil // the key has not spread through KMS
		}
		return true, err
	})
	switch {
	case err == nil:
		r.finished(Done, r.step.ARN)
		return nil
	case hasCode(err, "AlreadyExistsException"):
		return r.yield(ctx)
	}
	return fmt.Errorf("create alias %s: %w", alias, err)
}

// yield is for an alias that exists: it leads to our key, or to the key of a run
// for the same snapshot beside this one, which was faster. Then our key, that
// nothing has used, is given up for that one.
func (r *run) yield(ctx context.Context) error {
	alias := r.plan.Request.Key.Alias
	key, err := r.keyNamed(ctx, r.plan, alias)
	if err != nil {
		return err
	}
	if key == nil {
		return fmt.Errorf("alias %s comes and goes; run again: %w", alias, ErrChanged)
	}
	if key.arn != r.result.KeyARN && r.madeKey {
		spare := r.result.KeyARN
		_, err := r.Source.KMS.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &spare, PendingWindowInDays: new(int32(7))})
		if err != nil {
			return fmt.Errorf("another run for the same snapshot made key %s meanwhile; delete this run's %s, which nothing uses, and run again: %w", key.arn, spare, err)
		}
		r.say(Waiting, "another run made the key meanwhile; "+spare+", which nothing uses, will be deleted")
	}
	r.madeKey, r.result.KeyARN, r.keyMade = false, key.arn, key.made
	r.finished(Found, r.step.ARN)
	return nil
}
