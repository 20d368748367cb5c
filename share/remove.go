package share

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// The steps of a Removal, in the order in which they are done.
const (
	Unshare     StepID = "unshare"
	CloseKey    StepID = "close-key"
	RevokeGrant StepID = "revoke-grant"
	DeleteCopy  StepID = "delete-copy"
	DeleteKey   StepID = "delete-key"
	DeleteAlias StepID = "delete-alias" // last: by it the key is found again
)

// A Removal is what taking back a run changes, all of it in the source account.
type Removal struct {
	Schema int    `json:"schema"`
	Run    string `json:"run"`
	Source Party  `json:"source"`
	Target Party  `json:"target"`
	Steps  []Step `json:"steps"`
	// Kept says, in sentences, what stays although one might want it gone, and why.
	Kept []string  `json:"kept,omitempty"`
	Made time.Time `json:"made"`
	// PendingDays is how many days KMS waits before it deletes the key.
	PendingDays int32 `json:"pending_days,omitempty"`
}

// DefaultPendingDays is how many days KMS waits by default before it deletes a key.
const DefaultPendingDays = 30

// PlanRevoke plans to take away the target's access to what a run shares with it:
// the share itself, the statements of the key's policy that let the target in (and
// nobody else's, whatever their Sid), and the target's grants on the key. A key that
// something in the target account is under keeps its grants, for that would become
// inaccessible; Kept says so. Nothing is deleted, and what the target has copied
// under a key of its own stays the target's.
func (w *Workflow) PlanRevoke(ctx context.Context, run string) (*Removal, error) {
	r, err := w.Find(ctx, run)
	if err != nil {
		return nil, err
	}
	p := w.newRemoval(r.ID)
	p.addUnshare(r)
	if err := w.addCloseKey(ctx, p, r); err != nil {
		return nil, w.explain(err)
	}
	return p, nil
}

// PlanCleanup plans to delete what a run has left in the source account, when the
// target has a copy of its own: the share, the source's copy, the key's alias, and
// the key, which KMS deletes after pendingDays days (7 to 30). A run that the target
// has no copy of is ErrUsage, unless it is to be abandoned. A key that another cluster
// or cluster snapshot of the two accounts is under stays, and so does a copy that
// somebody has shared with further accounts; Kept says so.
func (w *Workflow) PlanCleanup(ctx context.Context, run string, pendingDays int, abandon bool) (*Removal, error) {
	if pendingDays < 7 || pendingDays > 30 {
		return nil, usagef("KMS waits 7 to 30 days before it deletes a key, not %d", pendingDays)
	}
	r, err := w.Find(ctx, run)
	if err != nil {
		return nil, err
	}
	if !abandon && r.State != Complete && r.State != CleanedUp {
		return nil, usagef("run %s is not done (%s): account %s has no available copy of its own; finish it, or give it up with --abandon", r.ID, r.State, w.Target.Account)
	}
	p := w.newRemoval(r.ID)
	p.PendingDays = int32(pendingDays)
	p.addUnshare(r)
	others := slices.DeleteFunc(slices.Clone(r.SharedWith), func(a string) bool { return a == w.Target.Account })
	if len(others) > 0 {
		p.keep("%s and its key stay: somebody has shared it with %s, too", r.SharedCopy.ARN, strings.Join(others, ", "))
		return p, nil
	}
	if c := r.SharedCopy; c != nil && c.Status != "deleting" {
		p.add(DeleteCopy, Deletes, "snapshot copy", c.ARN, fmt.Sprintf("%d GiB volume, under %s", c.AllocatedGiB, c.KeyARN))
	}
	if err := w.addDeleteKey(ctx, p, r); err != nil {
		return nil, w.explain(err)
	}
	return p, nil
}

func (w *Workflow) newRemoval(run string) *Removal {
	return &Removal{Schema: Schema, Run: run, Source: w.Source.Party, Target: w.Target.Party, Made: time.Now().UTC().Truncate(time.Second)}
}

func (p *Removal) add(id StepID, change Change, kind, arn string, detail ...string) {
	p.Steps = append(p.Steps, Step{ID: id, Change: change, Account: p.Source.Account, Kind: kind, ARN: arn, Detail: detail})
}

func (p *Removal) keep(format string, args ...any) {
	p.Kept = append(p.Kept, fmt.Sprintf(format, args...))
}

func (p *Removal) addUnshare(r *Run) {
	if r.SharedCopy != nil && slices.Contains(r.SharedWith, p.Target.Account) {
		p.add(Unshare, Modifies, "snapshot attribute", r.SharedCopy.ARN, "restore -= "+p.Target.Account)
	}
}

// addCloseKey plans to shut the target out of the run's key.
func (w *Workflow) addCloseKey(ctx context.Context, p *Removal, r *Run) error {
	if r.Key == nil || r.Key.State == string(kmstypes.KeyStatePendingDeletion) {
		return nil // nobody can use it
	}
	_, removed, err := w.closedPolicy(ctx, r.Key.ARN)
	if err != nil {
		return err
	}
	if removed > 0 {
		p.add(CloseKey, Modifies, "kms key policy", r.Key.ARN, fmt.Sprintf("- %d statements that let account %s in", removed, p.Target.Account))
	}
	grants, err := w.targetGrants(ctx, r.Key.ARN)
	if err != nil || len(grants) == 0 {
		return err
	}
	users, err := w.under(ctx, w.Target, r.Key.ARN)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		p.keep("%d grants on %s stay: account %s has %s under it, which would become inaccessible; copy or delete that first", len(grants), r.Key.ARN, p.Target.Account, users[0])
		return nil
	}
	for _, g := range grants {
		p.add(RevokeGrant, Deletes, "kms grant", r.Key.ARN, aws.ToString(g.GrantId), "made by "+aws.ToString(g.IssuingAccount)+" for "+aws.ToString(g.GranteePrincipal))
		p.Steps[len(p.Steps)-1].GrantID = aws.ToString(g.GrantId)
	}
	return nil
}

// closedPolicy is the policy of a key without what lets the target in, and how many
// statements that takes out.
func (w *Workflow) closedPolicy(ctx context.Context, key string) (string, int, error) {
	out, err := w.Source.KMS.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &key, PolicyName: new("default")})
	if err != nil {
		return "", 0, fmt.Errorf("read the policy of %s: %w", key, err)
	}
	return withoutTarget(aws.ToString(out.Policy), w.Source.Region, w.Target.Account)
}

// targetGrants lists the grants on a key of the source that principals of the target
// account have made, or have.
func (w *Workflow) targetGrants(ctx context.Context, key string) (grants []kmstypes.GrantListEntry, err error) {
	pages := kms.NewListGrantsPaginator(w.Source.KMS, &kms.ListGrantsInput{KeyId: &key, Limit: new(int32(100))})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the grants on %s: %w", key, err)
		}
		for _, g := range out.Grants {
			if isOf(w.Target.Account, aws.ToString(g.IssuingAccount)) || isOf(w.Target.Account, aws.ToString(g.GranteePrincipal)) {
				grants = append(grants, g)
			}
		}
	}
	return grants, nil
}

// addDeleteKey plans to delete the run's key, unless something else than the run's
// own copy is under it.
func (w *Workflow) addDeleteKey(ctx context.Context, p *Removal, r *Run) error {
	if r.Key == nil {
		return nil
	}
	if r.Key.State == string(kmstypes.KeyStatePendingDeletion) {
		p.addDeleteAlias(r)
		return nil
	}
	for _, s := range []Side{w.Source, w.Target} {
		users, err := w.under(ctx, s, r.Key.ARN)
		if err != nil {
			return err
		}
		users = slices.DeleteFunc(users, func(arn string) bool { return r.SharedCopy != nil && arn == r.SharedCopy.ARN })
		if len(users) > 0 {
			p.keep("key %s stays: account %s has %s under it", r.Key.ARN, s.Account, strings.Join(users, ", "))
			return nil
		}
	}
	p.add(DeleteKey, Deletes, "kms key", r.Key.ARN, fmt.Sprintf("after %d days, in which aws kms cancel-key-deletion takes it back", p.PendingDays))
	p.addDeleteAlias(r)
	return nil
}

// addDeleteAlias frees the name of the run's key for a run that begins anew.
func (p *Removal) addDeleteAlias(r *Run) {
	if r.Key.Alias != "" {
		p.add(DeleteAlias, Deletes, "kms alias", p.Source.aliasARN(r.Key.Alias))
	}
}

// under lists the ARNs of the clusters and cluster snapshots of a side, automated ones
// too, that are encrypted under a key.
func (w *Workflow) under(ctx context.Context, s Side, key string) (arns []string, err error) {
	err = eachCluster(ctx, s, func(c *rdstypes.DBCluster) {
		if aws.ToString(c.KmsKeyId) == key {
			arns = append(arns, aws.ToString(c.DBClusterArn))
		}
	})
	if err != nil {
		return nil, err
	}
	return arns, eachSnapshot(ctx, s, func(snap *rdstypes.DBClusterSnapshot) {
		if aws.ToString(snap.KmsKeyId) == key {
			arns = append(arns, aws.ToString(snap.DBClusterSnapshotArn))
		}
	})
}

// Remove carries out p. Like Apply it may be repeated: what is gone already is no
// error. It fails with ErrChanged if it is not for the workflow's accounts.
func (w *Workflow) Remove(ctx context.Context, p *Removal) error {
	if w.Source.Account != p.Source.Account || w.Target.Account != p.Target.Account || w.Source.Region != p.Source.Region {
		return fmt.Errorf("this is for accounts %s and %s in %s: %w", p.Source.Account, p.Target.Account, p.Source.Region, ErrChanged)
	}
	do := map[StepID]func(context.Context, *Removal, Step) error{
		Unshare: w.unshare, CloseKey: w.closeKey, RevokeGrant: w.revokeGrant,
		DeleteCopy: w.deleteCopy, DeleteAlias: w.deleteAlias, DeleteKey: w.deleteKey,
	}
	for _, s := range p.Steps {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("stopped before %s: %w", s.ID, err)
		}
		if do[s.ID] == nil {
			return usagef("there is no step %q", s.ID)
		}
		began := time.Now()
		w.tell(p.Run, s, began, Event{State: Started})
		if err := do[s.ID](ctx, p, s); err != nil {
			err = w.explain(err)
			w.tell(p.Run, s, began, Event{State: Failed, Message: err.Error()})
			return fmt.Errorf("%s: %w", s.ID, err)
		}
		w.tell(p.Run, s, began, Event{State: Done})
	}
	return nil
}

func (w *Workflow) unshare(ctx context.Context, p *Removal, s Step) error {
	_, err := w.Source.RDS.ModifyDBClusterSnapshotAttribute(ctx, &rds.ModifyDBClusterSnapshotAttributeInput{
		DBClusterSnapshotIdentifier: new(snapshotID(s.ARN)), AttributeName: new("restore"), ValuesToRemove: []string{p.Target.Account},
	})
	return unlessCode(err, "DBClusterSnapshotNotFoundFault")
}

func (w *Workflow) closeKey(ctx context.Context, _ *Removal, s Step) error {
	text, removed, err := w.closedPolicy(ctx, s.ARN)
	if err != nil || removed == 0 {
		return err
	}
	_, err = w.Source.KMS.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &s.ARN, PolicyName: new("default"), Policy: &text})
	return err
}

func (w *Workflow) revokeGrant(ctx context.Context, _ *Removal, s Step) error {
	_, err := w.Source.KMS.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: &s.ARN, GrantId: &s.GrantID})
	return unlessCode(err, "NotFoundException")
}

func (w *Workflow) deleteCopy(ctx context.Context, p *Removal, s Step) error {
	id := snapshotID(s.ARN)
	// Between the plan and now a snapshot of somebody's may have taken the name.
	snap, err := describeSnapshot(ctx, w.Source, id)
	switch {
	case err != nil:
		return fmt.Errorf("look up snapshot %s: %w", id, err)
	case snap == nil:
		return nil
	case !madeBy(p.Run, snap.TagList):
		return fmt.Errorf("snapshot %s: %w", id, ErrNotOurs)
	}
	_, err = w.Source.RDS.DeleteDBClusterSnapshot(ctx, &rds.DeleteDBClusterSnapshotInput{DBClusterSnapshotIdentifier: &id})
	return unlessCode(err, "DBClusterSnapshotNotFoundFault")
}

func (w *Workflow) deleteAlias(ctx context.Context, _ *Removal, s Step) error {
	_, err := w.Source.KMS.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: new(s.ARN[strings.LastIndex(s.ARN, ":")+1:])})
	return unlessCode(err, "NotFoundException")
}

func (w *Workflow) deleteKey(ctx context.Context, p *Removal, s Step) error {
	ours, err := w.isTagged(ctx, p.Run, s.ARN)
	if err != nil {
		return err
	}
	if !ours {
		return fmt.Errorf("key %s: %w", s.ARN, ErrNotOurs)
	}
	out, err := w.Source.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &s.ARN})
	if err != nil || out.KeyMetadata.KeyState == kmstypes.KeyStatePendingDeletion {
		return err
	}
	_, err = w.Source.KMS.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &s.ARN, PendingWindowInDays: &p.PendingDays})
	return err
}

// unlessCode is err, or nil if that is an answer of AWS with the code.
func unlessCode(err error, code string) error {
	if hasCode(err, code) {
		return nil
	}
	return err
}
