package share

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// A Request says what to share and how. The zero value of a field is the one to
// use unless its comment says otherwise.
type Request struct {
	// Snapshot is the identifier or ARN of a cluster snapshot of the source
	// account, manual or automated. Required.
	Snapshot string `json:"snapshot"`
	// TargetKey is the key of the target account that its copy is encrypted
	// under: id, ARN or alias. "alias/aws/rds" if empty, which makes a copy that
	// the target cannot share onward.
	TargetKey string `json:"target_key,omitempty"`
	// TargetPrincipal is the ARN that the key policy lets in. The target
	// account's root if empty, which leaves the choice to that account's IAM.
	TargetPrincipal string `json:"target_principal,omitempty"`
	// CopyID names the target's copy. The source snapshot's own name if empty
	// (without the "rds:" of automated ones).
	CopyID string `json:"copy_id,omitempty"`
	// Key is the customer managed key to create.
	Key KeyRequest `json:"key"`
	// Restore, if not nil, is the database to launch from the target's copy.
	Restore *Restore `json:"restore,omitempty"`
}

// A KeyRequest describes the customer managed key in the source account.
type KeyRequest struct {
	// Alias of the key. "alias/borealis-share-<run>" if empty.
	Alias string `json:"alias,omitempty"`
	// Description of the key. One that names snapshot and target if empty.
	Description string `json:"description,omitempty"`
	// Tags of the key and of the snapshot copies, beside "borealis:run".
	Tags map[string]string `json:"tags,omitempty"`
	// Administrators are ARNs of users and roles that may manage the key but not
	// use it. The source's own principal if empty.
	Administrators []string `json:"administrators,omitempty"`
	// AdministratorsMayDelete lets them schedule the key's deletion.
	AdministratorsMayDelete bool `json:"administrators_may_delete,omitempty"`
}

// A Restore is a database to launch in the target account.
type Restore struct {
	Cluster  string `json:"cluster"`         // identifier of the new cluster; required
	Instance string `json:"instance"`        // identifier of its instance; "<cluster>-1" if empty
	Class    string `json:"class,omitempty"` // instance class; "db.r6g.large" if empty
}

// A Plan is what Apply will do. It can be kept as JSON.
type Plan struct {
	Schema    int       `json:"schema"` // of this JSON form: 1
	Run       string    `json:"run"`    // names this run, the same for the same snapshot and target account
	Source    Party     `json:"source"`
	Target    Party     `json:"target"`
	Snapshot  Snapshot  `json:"snapshot"`
	Request   Request   `json:"request"` // with its defaults filled in
	KeyPolicy string    `json:"key_policy"`
	Steps     []Step    `json:"steps"`
	Warnings  []string  `json:"warnings,omitempty"`
	Made      time.Time `json:"made"`
}

// A Snapshot is what the plan knows of the snapshot to share.
type Snapshot struct {
	ID            string    `json:"id"`
	ARN           string    `json:"arn"`
	Created       time.Time `json:"created"`
	Engine        string    `json:"engine"`
	EngineVersion string    `json:"engine_version"`
	AllocatedGiB  int32     `json:"allocated_gib"`
	KeyARN        string    `json:"key_arn"`
	KeyManager    string    `json:"key_manager"` // "AWS" for aws/rds, "CUSTOMER"
}

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
)

// A Step is one change in one account.
type Step struct {
	ID      StepID   `json:"id"`
	Change  Change   `json:"change"`
	Account string   `json:"account"`
	Kind    string   `json:"kind"` // "kms key", "snapshot copy"
	ARN     string   `json:"arn"`  // of what is made or changed; a new key's ends in "key/(new)"
	Detail  []string `json:"detail,omitempty"`
}

// A Workflow shares snapshots of Source with Target. Its methods may be called
// concurrently for different snapshots.
type Workflow struct {
	Source, Target Side
	// Observe, if not nil, is told of everything that happens. It is called by
	// one goroutine at a time per Apply and must not block for long.
	Observe func(Event)
	// Propagation is how long a refusal by KMS is taken for a policy that has not
	// spread yet, where nothing else explains it. 5 minutes if zero, which is
	// what AWS gives; negative for not at all.
	Propagation time.Duration
}

// runTag is the tag that everything the workflow makes carries.
const runTag = "borealis:run"

// Plan finds out what sharing req needs, changing nothing. It fails with
// ErrUsage where the request cannot work and ErrNotOurs where a name is taken.
func (w *Workflow) Plan(ctx context.Context, req Request) (*Plan, error) {
	if err := w.checkSides(); err != nil {
		return nil, err
	}
	snap, err := w.findSource(ctx, req.Snapshot)
	if err != nil {
		return nil, err
	}
	p := &Plan{Schema: 1, Source: w.Source.Party, Target: w.Target.Party, Snapshot: snap, Made: time.Now().UTC().Truncate(time.Second)}
	p.Run = runID(snap, w.Target.Account)
	if p.Request, err = withDefaults(req, p); err != nil {
		return nil, err
	}
	if p.KeyPolicy, err = keyPolicy(p); err != nil {
		return nil, err
	}
	p.Warnings = warnings(p)
	if p.Steps, err = w.steps(ctx, p); err != nil {
		return nil, err
	}
	return p, nil
}

func (w *Workflow) checkSides() error {
	s, t := w.Source, w.Target
	switch {
	case s.Account == t.Account:
		return fmt.Errorf("source and target are the same account, %s: %w", s.Account, ErrUsage)
	case s.Region != t.Region:
		return fmt.Errorf("source is in %s and target in %s: a snapshot is shared within one Region; copy it to %s first: %w", s.Region, t.Region, t.Region, ErrUsage)
	}
	return nil
}

// findSource reads the snapshot to share and its key's manager.
func (w *Workflow) findSource(ctx context.Context, id string) (Snapshot, error) {
	if id == "" {
		return Snapshot{}, fmt.Errorf("no snapshot named: %w", ErrUsage)
	}
	s, err := describeSnapshot(ctx, w.Source, id)
	if err != nil {
		return Snapshot{}, fmt.Errorf("look up snapshot %s in account %s: %w", id, w.Source.Account, err)
	}
	if s == nil {
		return Snapshot{}, fmt.Errorf("account %s has no cluster snapshot %s in %s: %w", w.Source.Account, id, w.Source.Region, ErrUsage)
	}
	if !aws.ToBool(s.StorageEncrypted) {
		return Snapshot{}, fmt.Errorf("snapshot %s is not encrypted, so it can be shared as it is (aws rds modify-db-cluster-snapshot-attribute): %w", id, ErrUsage)
	}
	if st := aws.ToString(s.Status); st != "available" {
		return Snapshot{}, fmt.Errorf("snapshot %s is %s, not available: %w", id, st, ErrUsage)
	}
	key, err := w.Source.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: s.KmsKeyId})
	if err != nil {
		return Snapshot{}, fmt.Errorf("describe the snapshot's key: %w", err)
	}
	return Snapshot{
		ID: aws.ToString(s.DBClusterSnapshotIdentifier), ARN: aws.ToString(s.DBClusterSnapshotArn),
		Created: aws.ToTime(s.SnapshotCreateTime).UTC(), Engine: aws.ToString(s.Engine), EngineVersion: aws.ToString(s.EngineVersion),
		AllocatedGiB: aws.ToInt32(s.AllocatedStorage), KeyARN: aws.ToString(key.KeyMetadata.Arn), KeyManager: string(key.KeyMetadata.KeyManager),
	}, nil
}

// describeSnapshot returns nil where there is no such snapshot.
func describeSnapshot(ctx context.Context, s Side, id string) (*rdstypes.DBClusterSnapshot, error) {
	out, err := s.RDS.DescribeDBClusterSnapshots(ctx, &rds.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: &id})
	if hasCode(err, "DBClusterSnapshotNotFoundFault") || err == nil && len(out.DBClusterSnapshots) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &out.DBClusterSnapshots[0], nil
}

// runID is the same whenever the same snapshot is shared with the same account,
// so that a second run finds what the first one made.
func runID(s Snapshot, target string) string {
	h := sha256.Sum256([]byte(s.ARN + "\x00" + s.Created.Format(time.RFC3339Nano) + "\x00" + target))
	return hex.EncodeToString(h[:4])
}

// withDefaults fills in what the request leaves open.
func withDefaults(req Request, p *Plan) (Request, error) {
	name := strings.ReplaceAll(strings.TrimPrefix(p.Snapshot.ID, "rds:"), ":", "-")
	req.Snapshot = p.Snapshot.ARN
	req.TargetKey = or(req.TargetKey, "alias/aws/rds")
	req.TargetPrincipal = or(req.TargetPrincipal, p.Target.root())
	req.CopyID = or(req.CopyID, name)
	req.Key.Alias = or(req.Key.Alias, "alias/borealis-share-"+p.Run)
	req.Key.Description = or(req.Key.Description, "Shares snapshot "+name+" with account "+p.Target.Account)
	if !strings.HasPrefix(req.Key.Alias, "alias/") || strings.HasPrefix(req.Key.Alias, "alias/aws/") {
		return Request{}, fmt.Errorf("key alias %q must begin with alias/ and not with alias/aws/: %w", req.Key.Alias, ErrUsage)
	}
	if len(req.Key.Administrators) == 0 && p.Source.Principal != p.Source.root() {
		req.Key.Administrators = []string{principalOf(p.Source.Principal)}
	}
	if r := req.Restore; r != nil {
		if r.Cluster == "" {
			return Request{}, fmt.Errorf("no identifier for the cluster to restore: %w", ErrUsage)
		}
		req.Restore = &Restore{Cluster: r.Cluster, Instance: or(r.Instance, r.Cluster+"-1"), Class: or(r.Class, "db.r6g.large")}
	}
	return req, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// principalOf is the ARN to name in a policy for a caller: a role for its
// sessions. (The path of a role is not in its sessions' ARNs; whoever uses paths
// names the administrators.)
func principalOf(caller string) string {
	f := strings.SplitN(caller, ":", 6)
	if len(f) == 6 && f[2] == "sts" {
		if role := strings.Split(f[5], "/"); len(role) == 3 && role[0] == "assumed-role" {
			return "arn:" + f[1] + ":iam::" + f[4] + ":role/" + role[1]
		}
	}
	return caller
}

func warnings(p *Plan) []string {
	var w []string
	if strings.HasSuffix(p.Request.TargetKey, "alias/aws/rds") {
		w = append(w, "the target's copy will be under its default key aws/rds, so the target cannot share it onward; name another key with TargetKey")
	}
	if p.Target.Principal == p.Target.root() {
		w = append(w, "the target's credentials are those of the account's root user; AWS refuses root users the use of another account's key, so use a user or a role there")
	}
	if len(p.Request.Key.Administrators) == 0 {
		w = append(w, "the new key will have no administrators but the source account itself")
	}
	return w
}

// steps lists the changes, telling which of them a former run has made.
func (w *Workflow) steps(ctx context.Context, p *Plan) ([]Step, error) {
	key, err := w.ourKey(ctx, p)
	if err != nil {
		return nil, err
	}
	mid, err := w.ourSnapshot(ctx, w.Source, p, p.sharedID())
	if err != nil {
		return nil, err
	}
	copied, err := w.ourSnapshot(ctx, w.Target, p, p.Request.CopyID)
	if err != nil {
		return nil, err
	}
	keyARN, keyChange := p.Source.arn("kms", "key/(new)"), Creates
	if key != nil {
		keyARN, keyChange = aws.ToString(key.Arn), Exists
	}
	change := func(s *rdstypes.DBClusterSnapshot) Change {
		if s != nil {
			return Exists
		}
		return Creates
	}
	steps := []Step{
		{ID: CreateKey, Change: keyChange, Account: p.Source.Account, Kind: "kms key", ARN: keyARN, Detail: keyDetail(p)},
		{ID: CreateAlias, Change: keyChange, Account: p.Source.Account, Kind: "kms alias", ARN: p.Source.aliasARN(p.Request.Key.Alias)},
		{ID: CopyUnderKey, Change: change(mid), Account: p.Source.Account, Kind: "snapshot copy", ARN: p.Source.snapshotARN(p.sharedID()), Detail: []string{"from " + p.Snapshot.ARN, "under the new key"}},
		{ID: ShareCopy, Change: Modifies, Account: p.Source.Account, Kind: "snapshot attribute", ARN: p.Source.snapshotARN(p.sharedID()), Detail: []string{"restore += " + p.Target.Account}},
		{ID: FindShared, Change: Reads, Account: p.Target.Account, Kind: "shared snapshot", ARN: p.Source.snapshotARN(p.sharedID())},
		{ID: CopyToTarget, Change: change(copied), Account: p.Target.Account, Kind: "snapshot copy", ARN: p.Target.snapshotARN(p.Request.CopyID), Detail: []string{"under the target's key " + p.Request.TargetKey}},
	}
	if r := p.Request.Restore; r != nil {
		steps = append(steps,
			Step{ID: RestoreCluster, Change: Creates, Account: p.Target.Account, Kind: "db cluster", ARN: p.Target.arn("rds", "cluster:"+r.Cluster), Detail: []string{"from the target's own copy, under the target's own key"}},
			Step{ID: RestoreInstance, Change: Creates, Account: p.Target.Account, Kind: "db instance", ARN: p.Target.arn("rds", "db:"+r.Instance), Detail: []string{r.Class}})
	}
	return steps, nil
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
	for _, name := range slices.Sorted(maps.Keys(p.tags())) {
		d = append(d, "tag "+name+"="+p.tags()[name])
	}
	return d
}

// sharedID names the intermediate copy in the source account. RDS allows 63
// characters.
func (p *Plan) sharedID() string {
	id := "share-" + p.Run + "-" + strings.ReplaceAll(strings.TrimPrefix(p.Snapshot.ID, "rds:"), ":", "-")
	if len(id) > 63 {
		id = strings.TrimRight(id[:63], "-")
	}
	return id
}

// tags are those of everything that the run makes.
func (p *Plan) tags() map[string]string {
	t := map[string]string{runTag: p.Run}
	for k, v := range p.Request.Key.Tags {
		t[k] = v
	}
	return t
}

func (p *Plan) rdsTags() []rdstypes.Tag {
	var tags []rdstypes.Tag
	for _, k := range slices.Sorted(maps.Keys(p.tags())) {
		tags = append(tags, rdstypes.Tag{Key: new(k), Value: new(p.tags()[k])})
	}
	return tags
}

func (p *Plan) kmsTags() []kmstypes.Tag {
	var tags []kmstypes.Tag
	for _, k := range slices.Sorted(maps.Keys(p.tags())) {
		tags = append(tags, kmstypes.Tag{TagKey: new(k), TagValue: new(p.tags()[k])})
	}
	return tags
}
