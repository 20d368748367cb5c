package share

import (
	"context"
	"maps"
	"slices"
)

// A StepID names a step of the workflow.
type StepID string

// The steps, in the order in which they are done.
const (
	CreateKey       StepID = "create-key"
	CreateAlias     StepID = "create-alias"
	CopyUnderKey    StepID = "copy-under-key"
	ShareCopy       StepID = "share-copy"
	FindShared      StepID = "find-shared"
	CopyToTarget    StepID = "copy-to-target"
	RestoreCluster  StepID = "restore-cluster"
	RestoreInstance StepID = "restore-instance"
)

// A Change says what a step does to the world.
type Change string

// The kinds of change.
const (
	Creates  Change = "create"
	Modifies Change = "modify"
	Reads    Change = "read"
	Exists   Change = "exists" // found already done by this run
	Deletes  Change = "delete"
)

// A Step is one change in one account.
type Step struct {
	ID      StepID   `json:"id"`
	Change  Change   `json:"change"`
	Account string   `json:"account"`
	Kind    string   `json:"kind"` // "kms key", "snapshot copy"
	ARN     string   `json:"arn"`  // of what is made or changed; a new key's ends in "key/(new)"
	Detail  []string `json:"detail,omitempty"`
	GrantID string   `json:"grant_id,omitempty"` // of a grant on the key ARN
}

// addSteps lists the changes, telling which of them a former run has made. Where
// the target has its copy already, the source account is left as it is.
func (w *Workflow) addSteps(ctx context.Context, p *Plan) error {
	copied, err := w.ourSnapshot(ctx, w.Target, p, p.Request.CopyID)
	if err != nil {
		return err
	}
	if copied == nil {
		if err := w.addSourceSteps(ctx, p); err != nil {
			return err
		}
	} else if err := w.checkTargetCopy(ctx, p, copied); err != nil {
		return err
	}
	p.Steps = append(p.Steps, Step{ID: CopyToTarget, Change: createsUnless(copied != nil), Account: p.Target.Account, Kind: "snapshot copy",
		ARN: p.Target.snapshotARN(p.Request.CopyID), Detail: []string{"under the target's key " + p.Request.TargetKey}})
	return w.addRestoreSteps(ctx, p)
}

func (w *Workflow) addSourceSteps(ctx context.Context, p *Plan) error {
	key, gap, err := w.ourKey(ctx, p)
	if err != nil {
		return err
	}
	if gap != "" {
		p.Warnings = append(p.Warnings, gap)
	}
	mid, err := w.ourSnapshot(ctx, w.Source, p, p.sharedID())
	if err != nil {
		return err
	}
	shared := Modifies
	if mid != nil {
		if is, err := w.isShared(ctx, p); err != nil {
			return err
		} else if is {
			shared = Exists
		}
	}
	keyARN := p.Source.arn("kms", "key/(new)")
	if key != nil {
		keyARN = key.arn
	}
	copyARN := p.Source.snapshotARN(p.sharedID())
	p.Steps = append(p.Steps,
		Step{ID: CreateKey, Change: createsUnless(key != nil), Account: p.Source.Account, Kind: "kms key", ARN: keyARN, Detail: keyDetail(p)},
		Step{ID: CreateAlias, Change: createsUnless(key != nil && key.aliased), Account: p.Source.Account, Kind: "kms alias", ARN: p.Source.aliasARN(p.Request.Key.Alias)},
		Step{ID: CopyUnderKey, Change: createsUnless(mid != nil), Account: p.Source.Account, Kind: "snapshot copy", ARN: copyARN, Detail: []string{"from " + p.Snapshot.ARN, "under the new key"}},
		Step{ID: ShareCopy, Change: shared, Account: p.Source.Account, Kind: "snapshot attribute", ARN: copyARN, Detail: []string{"restore += " + p.Target.Account}},
		Step{ID: FindShared, Change: Reads, Account: p.Target.Account, Kind: "shared snapshot", ARN: copyARN})
	return nil
}

func (w *Workflow) addRestoreSteps(ctx context.Context, p *Plan) error {
	r := p.Request.Restore
	if r == nil {
		return nil
	}
	cluster, err := w.ourCluster(ctx, p)
	if err != nil {
		return err
	}
	instance, err := w.ourInstance(ctx, p)
	if err != nil {
		return err
	}
	p.Steps = append(p.Steps,
		Step{ID: RestoreCluster, Change: createsUnless(cluster != nil), Account: p.Target.Account, Kind: "db cluster", ARN: p.Target.arn("rds", "cluster:"+r.Cluster), Detail: []string{"from the target's own copy, under the target's own key"}},
		Step{ID: RestoreInstance, Change: createsUnless(instance != nil), Account: p.Target.Account, Kind: "db instance", ARN: p.Target.arn("rds", "db:"+r.Instance), Detail: []string{r.Class}})
	return nil
}

func createsUnless(exists bool) Change {
	if exists {
		return Exists
	}
	return Creates
}

// Changes reports whether carrying the plan out changes anything.
func (p *Plan) Changes() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Change == Creates || s.Change == Modifies })
}

func keyDetail(p *Plan) []string {
	k := p.Request.Key
	d := []string{
		"symmetric, customer managed: " + k.Description,
		p.Request.TargetPrincipal + " may: kms:DescribeKey, kms:CreateGrant (for RDS only)",
	}
	may := "may not delete it"
	if k.AdministratorsMayDelete {
		may = "may delete it"
	}
	for _, a := range k.Administrators {
		d = append(d, "administrator "+a+", who "+may)
	}
	all := p.tags()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		d = append(d, "tag "+name+"="+all[name])
	}
	return d
}

// isShared reports whether the copy in the source account is shared with the
// target.
func (w *Workflow) isShared(ctx context.Context, p *Plan) (bool, error) {
	with, err := w.sharedWith(ctx, p.sharedID())
	return slices.Contains(with, p.Target.Account), err
}
