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

// Schema is the version of the JSON forms of Plan, Event and Result. Within a
// version fields are only added.
const Schema = 1

// A Plan is what Apply will do. It can be kept as JSON.
type Plan struct {
	Schema    int       `json:"schema"`
	Run       string    `json:"run"` // names this run, the same for the same snapshot and target account
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
	// KeyManager is "AWS" for aws/rds, "CUSTOMER", or empty if the source may not
	// describe the key, which sharing does not need.
	KeyManager string `json:"key_manager,omitempty"`
}

// A Workflow shares snapshots of Source with Target. Its methods may be called
// concurrently, also for the same snapshot.
type Workflow struct {
	Source, Target Side
	// Observe, if not nil, is told of everything that happens. It is called by
	// one goroutine at a time per Apply and must not block for long.
	Observe func(Event)
	// Propagation is how long after a key was made KMS may refuse it because its
	// policy has not spread yet, and such a refusal is waited out. 5 minutes if
	// zero, which is what AWS gives; negative for not at all. A refusal that is
	// seen to have another cause is never waited out.
	Propagation time.Duration
}

// Plan finds out what sharing req needs, changing nothing. It fails with
// ErrUsage where the request cannot work, ErrNotOurs where a name is taken,
// ErrFailed where the copy of a former run has failed, and with a *DeniedError
// where it may not look.
func (w *Workflow) Plan(ctx context.Context, req Request) (*Plan, error) {
	p, err := w.plan(ctx, req)
	if err != nil {
		return nil, w.explain(err)
	}
	return p, nil
}

func (w *Workflow) plan(ctx context.Context, req Request) (*Plan, error) {
	if err := w.checkSides(); err != nil {
		return nil, err
	}
	snap, err := w.findSource(ctx, req.Snapshot)
	if err != nil {
		return nil, err
	}
	p := &Plan{Schema: Schema, Source: w.Source.Party, Target: w.Target.Party, Snapshot: snap, Made: time.Now().UTC().Truncate(time.Second)}
	p.Run = runID(snap, w.Target.Account)
	if p.Request, err = withDefaults(req, p); err != nil {
		return nil, err
	}
	if p.KeyPolicy, err = keyPolicy(p); err != nil {
		return nil, err
	}
	if err := w.checkKeyPolicy(p); err != nil {
		return nil, err
	}
	p.Warnings = warnings(p)
	if err := w.checkTargetKey(ctx, p); err != nil {
		return nil, err
	}
	if err := w.addSteps(ctx, p); err != nil {
		return nil, err
	}
	return p, nil
}

func (w *Workflow) checkSides() error {
	s, t := w.Source, w.Target
	switch {
	case s.Account == t.Account:
		return usagef("source and target are the same account, %s", s.Account)
	case s.Region != t.Region:
		return usagef("source is in %s and target in %s: a snapshot is shared within one Region; copy it to %s first", s.Region, t.Region, t.Region)
	}
	return nil
}

// findSource reads the snapshot to share and its key, and refuses what cannot be
// shared.
func (w *Workflow) findSource(ctx context.Context, id string) (Snapshot, error) {
	if id == "" {
		return Snapshot{}, usagef("no snapshot named")
	}
	if f := strings.SplitN(id, ":", 6); f[0] == "arn" && (len(f) != 6 || f[2] != "rds" || f[3] != w.Source.Region || f[4] != w.Source.Account) {
		return Snapshot{}, usagef("%s is not the ARN of a cluster snapshot of the source account %s in %s; a snapshot is shared by the account that owns it, in its own Region", id, w.Source.Account, w.Source.Region)
	}
	s, err := describeSnapshot(ctx, w.Source, id)
	switch {
	case err != nil:
		return Snapshot{}, fmt.Errorf("look up snapshot %s in account %s: %w", id, w.Source.Account, err)
	case s == nil:
		return Snapshot{}, usagef("account %s has no cluster snapshot %s in %s", w.Source.Account, id, w.Source.Region)
	case !aws.ToBool(s.StorageEncrypted):
		return Snapshot{}, usagef("snapshot %s is not encrypted, so it can be shared as it is (aws rds modify-db-cluster-snapshot-attribute)", id)
	case aws.ToString(s.Status) != "available":
		return Snapshot{}, usagef("snapshot %s is %s, not available", id, aws.ToString(s.Status))
	}
	snap := Snapshot{
		ID: aws.ToString(s.DBClusterSnapshotIdentifier), ARN: aws.ToString(s.DBClusterSnapshotArn),
		Created: aws.ToTime(s.SnapshotCreateTime).UTC(), Engine: aws.ToString(s.Engine), EngineVersion: aws.ToString(s.EngineVersion),
		AllocatedGiB: aws.ToInt32(s.AllocatedStorage), KeyARN: aws.ToString(s.KmsKeyId),
	}
	key, err := w.Source.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &snap.KeyARN})
	switch {
	case isDenied(err):
		return snap, nil // RDS comes to aws/rds by another way, and will say if it cannot use the key
	case err != nil:
		return Snapshot{}, fmt.Errorf("describe the snapshot's key: %w", err)
	case key.KeyMetadata.KeyState != kmstypes.KeyStateEnabled:
		return Snapshot{}, usagef("the key of snapshot %s, %s, is %s", id, snap.KeyARN, key.KeyMetadata.KeyState)
	}
	snap.KeyARN, snap.KeyManager = aws.ToString(key.KeyMetadata.Arn), string(key.KeyMetadata.KeyManager)
	return snap, nil
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

// checkTargetKey looks at the key that the target's copy will be under. One that
// AWS manages is made by its first use and so is not looked at; one that the
// target may not describe directly may still be described through RDS.
func (w *Workflow) checkTargetKey(ctx context.Context, p *Plan) error {
	key := p.Request.TargetKey
	if strings.Contains(key, "alias/aws/") {
		return nil
	}
	out, err := w.Target.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key})
	switch {
	case isDenied(err):
		p.Warnings = append(p.Warnings, "the target may not describe its key "+key+" directly; whether it is allowed through RDS will show when the copy is made")
		return nil
	case hasCode(err, "NotFoundException"):
		return usagef("account %s has no key %s in %s", w.Target.Account, key, w.Target.Region)
	case err != nil:
		return fmt.Errorf("describe the target's key %s: %w", key, err)
	case out.KeyMetadata.KeyState != kmstypes.KeyStateEnabled:
		return usagef("the target's key %s is %s", key, out.KeyMetadata.KeyState)
	case out.KeyMetadata.KeySpec != kmstypes.KeySpecSymmetricDefault || out.KeyMetadata.KeyUsage != kmstypes.KeyUsageTypeEncryptDecrypt:
		return usagef("the target's key %s is of spec %s for %s; RDS needs a symmetric encryption key", key, out.KeyMetadata.KeySpec, out.KeyMetadata.KeyUsage)
	}
	return nil
}

// runID is the same whenever the same snapshot is shared with the same account,
// so that a second run finds what the first one made.
func runID(s Snapshot, target string) string {
	h := sha256.Sum256([]byte(s.ARN + "\x00" + s.Created.Format(time.RFC3339Nano) + "\x00" + target))
	return hex.EncodeToString(h[:4])
}

func warnings(p *Plan) []string {
	var w []string
	if p.Snapshot.KeyManager == "CUSTOMER" {
		w = append(w, "the snapshot is under a customer managed key already; it is copied under a new one all the same, so that the target gets no access to the old one")
	}
	if strings.Contains(p.Request.TargetKey, defaultKey) {
		w = append(w, "the target's copy will be under its default key aws/rds, so the target cannot share it onward; it can have a key of its own choice (--target-key)")
	}
	if p.Target.Caller == p.Target.root() {
		w = append(w, "the target's credentials are those of the account's root user; AWS refuses root users the use of another account's key, so use a user or a role there")
	}
	switch {
	case len(p.Request.Key.Administrators) > 0:
	case p.Source.Principal == "":
		w = append(w, "the role of "+p.Source.Caller+" cannot be looked up (iam:GetRole), so the new key's policy names no administrators beside the account; name some with --key-admin")
	default:
		w = append(w, "the new key's policy will name no administrators beside the source account itself")
	}
	return w
}

// sharedID names the intermediate copy in the source account.
func (p *Plan) sharedID() string { return shorten(sharedPrefix(p.Run) + plainName(p.Snapshot.ID)) }

// sharedPrefix begins the names of a run's intermediate copies.
func sharedPrefix(run string) string { return "share-" + run + "-" }

// tags are those of everything that the run makes.
func (p *Plan) tags() map[string]string {
	t := map[string]string{}
	maps.Copy(t, p.Request.Key.Tags)
	t[runTag] = p.Run
	return t
}

func (p *Plan) rdsTags() []rdstypes.Tag {
	all, tags := p.tags(), []rdstypes.Tag(nil)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		tags = append(tags, rdstypes.Tag{Key: new(k), Value: new(all[k])})
	}
	return tags
}

func (p *Plan) kmsTags() []kmstypes.Tag {
	all, tags := p.tags(), []kmstypes.Tag(nil)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		tags = append(tags, kmstypes.Tag{TagKey: new(k), TagValue: new(all[k])})
	}
	return tags
}

// madeBy reports whether RDS tags say that run made what carries them.
func madeBy(run string, tags []rdstypes.Tag) bool {
	return slices.ContainsFunc(tags, func(t rdstypes.Tag) bool {
		return aws.ToString(t.Key) == runTag && aws.ToString(t.Value) == run
	})
}
