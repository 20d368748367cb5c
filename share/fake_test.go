package share_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/smithy-go"

	"borealis/share"
)

const (
	sourceID = "111122223333"
	targetID = "444455556666"
	region   = "eu-west-1"
)

// A world is what two accounts have, as far as a share touches it. Copies take
// three looks. Fault, if not nil, is asked before each request, as
// "source CopyDBClusterSnapshot".
type world struct {
	mu        sync.Mutex
	snapshots map[string]*rdstypes.DBClusterSnapshot // by ARN
	shared    map[string]bool                        // by ARN
	keys      map[string]*key                        // by ARN
	aliases   map[string]string                      // alias ARN to key ARN
	asked     []string
	Fault     func(ask string) error
	// Copying is asked for the status of a copy that is not available yet.
	Copying func(id string, looks int) (status string)
	looks   map[string]int
}

type key struct {
	meta   kmstypes.KeyMetadata
	tags   []kmstypes.Tag
	policy string
}

// newWorld has a snapshot "nightly" under aws/rds in the source account.
func newWorld() (*world, *share.Workflow) {
	w := &world{snapshots: map[string]*rdstypes.DBClusterSnapshot{}, shared: map[string]bool{}, keys: map[string]*key{}, aliases: map[string]string{}, looks: map[string]int{}}
	for _, account := range []string{sourceID, targetID} {
		arn := "arn:aws:kms:" + region + ":" + account + ":key/default"
		w.keys[arn] = &key{meta: kmstypes.KeyMetadata{Arn: &arn, KeyId: new("default"), KeyManager: kmstypes.KeyManagerTypeAws, KeyState: kmstypes.KeyStateEnabled, CreationDate: new(time.Now().Add(-time.Hour))}}
		w.aliases["arn:aws:kms:"+region+":"+account+":alias/aws/rds"] = arn
	}
	w.put(snapshot("nightly"))
	side := func(account, user string) share.Side {
		p := share.Party{Account: account, Region: region, Caller: "arn:aws:iam::" + account + ":user/" + user, Principal: "arn:aws:iam::" + account + ":user/" + user}
		name := map[string]string{sourceID: "source", targetID: "target"}[account]
		return share.Side{Party: p, RDS: &fakeRDS{w: w, p: p, name: name}, KMS: &fakeKMS{w: w, p: p, name: name}}
	}
	return w, &share.Workflow{Source: side(sourceID, "ann"), Target: side(targetID, "bob")}
}

// snapshot is one of the source account under aws/rds.
func snapshot(id string) rdstypes.DBClusterSnapshot {
	return rdstypes.DBClusterSnapshot{
		DBClusterSnapshotIdentifier: &id, DBClusterSnapshotArn: new("arn:aws:rds:" + region + ":" + sourceID + ":cluster-snapshot:" + id),
		Status: new("available"), StorageEncrypted: new(true), Engine: new("aurora-postgresql"), EngineVersion: new("16.4"),
		AllocatedStorage: new(int32(7)), SnapshotCreateTime: new(time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)),
		KmsKeyId: new("arn:aws:kms:" + region + ":" + sourceID + ":key/default"),
	}
}

func (w *world) put(s rdstypes.DBClusterSnapshot) { w.snapshots[*s.DBClusterSnapshotArn] = &s }

// ask notes a request, and says how it fails.
func (w *world) ask(ctx context.Context, side, op string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	w.asked = append(w.asked, side+" "+op)
	fault := w.Fault
	w.mu.Unlock()
	if fault != nil {
		return fault(side + " " + op)
	}
	return nil
}

// count is how often something was asked.
func (w *world) count(ask string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, a := range w.asked {
		if a == ask {
			n++
		}
	}
	return n
}

func refuse(code, format string, args ...any) error {
	return &smithy.GenericAPIError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// fakeRDS is RDS for one side. Operations that it does not have panic.
type fakeRDS struct {
	share.RDS
	w    *world
	p    share.Party
	name string
}

func (f *fakeRDS) arn(id string) string {
	if strings.HasPrefix(id, "arn:") {
		return id
	}
	return "arn:aws:rds:" + f.p.Region + ":" + f.p.Account + ":cluster-snapshot:" + id
}

func (f *fakeRDS) DescribeDBClusterSnapshots(ctx context.Context, in *rds.DescribeDBClusterSnapshotsInput, _ ...func(*rds.Options)) (*rds.DescribeDBClusterSnapshotsOutput, error) {
	if err := f.w.ask(ctx, f.name, "DescribeDBClusterSnapshots"); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	out := &rds.DescribeDBClusterSnapshotsOutput{}
	if aws.ToString(in.SnapshotType) == "shared" {
		for _, arn := range slices.Sorted(maps.Keys(f.w.shared)) {
			out.DBClusterSnapshots = append(out.DBClusterSnapshots, *f.w.snapshots[arn])
		}
		return out, nil
	}
	s := f.w.snapshots[f.arn(*in.DBClusterSnapshotIdentifier)]
	if s == nil {
		return nil, refuse("DBClusterSnapshotNotFoundFault", "DBClusterSnapshot not found: %s", *in.DBClusterSnapshotIdentifier)
	}
	if *s.Status == "copying" {
		f.w.looks[*s.DBClusterSnapshotArn]++
		looks := f.w.looks[*s.DBClusterSnapshotArn]
		status := "copying"
		if looks == 3 {
			status = "available"
		}
		if f.w.Copying != nil {
			status = f.w.Copying(*s.DBClusterSnapshotIdentifier, looks)
		}
		if status == "" {
			delete(f.w.snapshots, *s.DBClusterSnapshotArn)
			return nil, refuse("DBClusterSnapshotNotFoundFault", "DBClusterSnapshot not found")
		}
		s.Status, s.PercentProgress = &status, new(int32(min(looks*33, 100)))
	}
	out.DBClusterSnapshots = []rdstypes.DBClusterSnapshot{*s}
	return out, nil
}

func (f *fakeRDS) CopyDBClusterSnapshot(ctx context.Context, in *rds.CopyDBClusterSnapshotInput, _ ...func(*rds.Options)) (*rds.CopyDBClusterSnapshotOutput, error) {
	err := f.w.ask(ctx, f.name, "CopyDBClusterSnapshot")
	if err != nil && !isLost(err) {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	from := f.w.snapshots[f.arn(*in.SourceDBClusterSnapshotIdentifier)]
	arn := f.arn(*in.TargetDBClusterSnapshotIdentifier)
	if from == nil {
		return nil, refuse("DBClusterSnapshotNotFoundFault", "DBClusterSnapshot not found")
	}
	if f.w.snapshots[arn] != nil {
		return nil, refuse("DBClusterSnapshotAlreadyExistsFault", "it exists")
	}
	made := *from
	made.DBClusterSnapshotIdentifier, made.DBClusterSnapshotArn, made.Status, made.TagList = in.TargetDBClusterSnapshotIdentifier, &arn, new("copying"), in.Tags
	k := *in.KmsKeyId
	if !strings.HasPrefix(k, "arn:") {
		k = f.w.aliases["arn:aws:kms:"+region+":"+f.p.Account+":"+k]
	}
	made.KmsKeyId = &k
	f.w.put(made)
	return &rds.CopyDBClusterSnapshotOutput{}, err
}

func (f *fakeRDS) DescribeDBClusterSnapshotAttributes(ctx context.Context, in *rds.DescribeDBClusterSnapshotAttributesInput, _ ...func(*rds.Options)) (*rds.DescribeDBClusterSnapshotAttributesOutput, error) {
	if err := f.w.ask(ctx, f.name, "DescribeDBClusterSnapshotAttributes"); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	var values []string
	if f.w.shared[f.arn(*in.DBClusterSnapshotIdentifier)] {
		values = []string{targetID}
	}
	return &rds.DescribeDBClusterSnapshotAttributesOutput{DBClusterSnapshotAttributesResult: &rdstypes.DBClusterSnapshotAttributesResult{
		DBClusterSnapshotAttributes: []rdstypes.DBClusterSnapshotAttribute{{AttributeName: new("restore"), AttributeValues: values}}}}, nil
}

func (f *fakeRDS) ModifyDBClusterSnapshotAttribute(ctx context.Context, in *rds.ModifyDBClusterSnapshotAttributeInput, _ ...func(*rds.Options)) (*rds.ModifyDBClusterSnapshotAttributeOutput, error) {
	if err := f.w.ask(ctx, f.name, "ModifyDBClusterSnapshotAttribute"); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.shared[f.arn(*in.DBClusterSnapshotIdentifier)] = true
	return &rds.ModifyDBClusterSnapshotAttributeOutput{}, nil
}

// A lostAnswerError is that of a request that was carried out all the same.
type lostAnswerError struct{ error }

func isLost(err error) bool {
	_, is := errors.AsType[lostAnswerError](err)
	return is
}

// fakeKMS is KMS for one side.
type fakeKMS struct {
	share.KMS
	w    *world
	p    share.Party
	name string
}

// find is the key that a KeyId means.
func (f *fakeKMS) find(id string) (*key, error) {
	arn := id
	switch {
	case strings.HasPrefix(id, "alias/"):
		arn = f.w.aliases["arn:aws:kms:"+region+":"+f.p.Account+":"+id]
	case !strings.HasPrefix(id, "arn:"):
		arn = "arn:aws:kms:" + region + ":" + f.p.Account + ":key/" + id
	}
	if k := f.w.keys[arn]; k != nil {
		return k, nil
	}
	return nil, refuse("NotFoundException", "%s is not found.", id)
}

func (f *fakeKMS) DescribeKey(ctx context.Context, in *kms.DescribeKeyInput, _ ...func(*kms.Options)) (*kms.DescribeKeyOutput, error) {
	if err := f.w.ask(ctx, f.name, "DescribeKey"); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	k, err := f.find(*in.KeyId)
	if err != nil {
		return nil, err
	}
	return &kms.DescribeKeyOutput{KeyMetadata: new(k.meta)}, nil
}

func (f *fakeKMS) ListKeys(ctx context.Context, _ *kms.ListKeysInput, _ ...func(*kms.Options)) (*kms.ListKeysOutput, error) {
	if err := f.w.ask(ctx, f.name, "ListKeys"); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	out := &kms.ListKeysOutput{}
	for _, arn := range slices.Sorted(maps.Keys(f.w.keys)) {
		if strings.Contains(arn, f.p.Account) {
			out.Keys = append(out.Keys, kmstypes.KeyListEntry{KeyArn: &arn, KeyId: f.w.keys[arn].meta.KeyId})
		}
	}
	return out, nil
}

func (f *fakeKMS) ListAliases(ctx context.Context, _ *kms.ListAliasesInput, _ ...func(*kms.Options)) (*kms.ListAliasesOutput, error) {
	if err := f.w.ask(ctx, f.name, "ListAliases"); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	out := &kms.ListAliasesOutput{}
	for alias, arn := range f.w.aliases {
		if strings.Contains(alias, f.p.Account) {
			out.Aliases = append(out.Aliases, kmstypes.AliasListEntry{AliasArn: &alias, TargetKeyId: f.w.keys[arn].meta.KeyId})
		}
	}
	return out, nil
}

func (f *fakeKMS) ListResourceTags(ctx context.Context, in *kms.ListResourceTagsInput, _ ...func(*kms.Options)) (*kms.ListResourceTagsOutput, error) {
	if err := f.w.ask(ctx, f.name, "ListResourceTags"); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	k, err := f.find(*in.KeyId)
	if err != nil {
		return nil, err
	}
	return &kms.ListResourceTagsOutput{Tags: k.tags}, nil
}

func (f *fakeKMS) CreateKey(ctx context.Context, in *kms.CreateKeyInput, _ ...func(*kms.Options)) (*kms.CreateKeyOutput, error) {
	err := f.w.ask(ctx, f.name, "CreateKey")
	if err != nil && !isLost(err) {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return &kms.CreateKeyOutput{KeyMetadata: new(f.w.newKey(in.Tags, *in.Policy).meta)}, err
}

// newKey makes a key of the source account.
func (w *world) newKey(tags []kmstypes.Tag, policy string) *key {
	id := fmt.Sprint("key-", len(w.keys))
	arn := "arn:aws:kms:" + region + ":" + sourceID + ":key/" + id
	w.keys[arn] = &key{tags: tags, policy: policy, meta: kmstypes.KeyMetadata{Arn: &arn, KeyId: &id, KeyManager: kmstypes.KeyManagerTypeCustomer, KeyState: kmstypes.KeyStateEnabled, CreationDate: new(time.Now())}}
	return w.keys[arn]
}

func (f *fakeKMS) CreateAlias(ctx context.Context, in *kms.CreateAliasInput, _ ...func(*kms.Options)) (*kms.CreateAliasOutput, error) {
	if err := f.w.ask(ctx, f.name, "CreateAlias"); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	alias := "arn:aws:kms:" + region + ":" + f.p.Account + ":" + *in.AliasName
	if _, taken := f.w.aliases[alias]; taken {
		return nil, refuse("AlreadyExistsException", "it exists")
	}
	f.w.aliases[alias] = *in.TargetKeyId
	return &kms.CreateAliasOutput{}, nil
}

func (f *fakeKMS) GetKeyPolicy(ctx context.Context, in *kms.GetKeyPolicyInput, _ ...func(*kms.Options)) (*kms.GetKeyPolicyOutput, error) {
	if err := f.w.ask(ctx, f.name, "GetKeyPolicy"); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	k, err := f.find(*in.KeyId)
	if err != nil {
		return nil, err
	}
	return &kms.GetKeyPolicyOutput{Policy: &k.policy}, nil
}

func (f *fakeKMS) CreateGrant(ctx context.Context, in *kms.CreateGrantInput, _ ...func(*kms.Options)) (*kms.CreateGrantOutput, error) {
	if !aws.ToBool(in.DryRun) {
		panic("a grant is made")
	}
	if err := f.w.ask(ctx, f.name, "CreateGrant"); err != nil {
		return nil, err
	}
	return nil, refuse("DryRunOperationException", "it would have worked")
}

func (f *fakeKMS) ScheduleKeyDeletion(ctx context.Context, in *kms.ScheduleKeyDeletionInput, _ ...func(*kms.Options)) (*kms.ScheduleKeyDeletionOutput, error) {
	if err := f.w.ask(ctx, f.name, "ScheduleKeyDeletion"); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	k, err := f.find(*in.KeyId)
	if err == nil {
		k.meta.KeyState = kmstypes.KeyStatePendingDeletion
	}
	return &kms.ScheduleKeyDeletionOutput{}, err
}
