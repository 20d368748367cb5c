package keys

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
	"borealis/internal/seal"
)

// A family is the keys of one multi-Region key: the primary, and its replicas in
// other Regions. They share their id, their materials and the schedule of their
// rotation, and each holds a copy of who belongs to the family. What changes any
// of this changes it in all of them, in one transaction.

// found makes k, which is new, the primary key of a family that it is alone in.
func (k *Key) found() {
	k.ID = "mrk-" + strings.ReplaceAll(k.ID, "-", "")
	k.MultiRegion = &MultiRegion{Primary: k.Region}
}

// primary says that k is the primary key of a family.
func (k *Key) primary() bool { return k.MultiRegion != nil && k.MultiRegion.Primary == k.Region }

// hasReplicas says that k is a primary key that cannot be deleted yet.
func (k *Key) hasReplicas() bool { return k.primary() && len(k.MultiRegion.Replicas) > 0 }

// with is m with another replica.
func (m *MultiRegion) with(r cloud.Region) *MultiRegion {
	replicas := append(slices.Clone(m.Replicas), r)
	slices.Sort(replicas)
	return &MultiRegion{Primary: m.Primary, Replicas: replicas}
}

// without is m when a replica is gone.
func (m *MultiRegion) without(r cloud.Region) *MultiRegion {
	return &MultiRegion{
		Primary:  m.Primary,
		Replicas: slices.DeleteFunc(slices.Clone(m.Replicas), func(e cloud.Region) bool { return e == r }),
	}
}

// ledBy is m when the replica in r is the primary, and the primary a replica.
func (m *MultiRegion) ledBy(r cloud.Region) *MultiRegion {
	out := m.without(r).with(m.Primary)
	out.Primary = r
	return out
}

// describeFamily adds to k's metadata what is said of multi-Region keys only.
func (k *Key) describeFamily(m *types.KeyMetadata) {
	if k.MultiRegion == nil {
		return
	}
	member := func(r cloud.Region) types.MultiRegionKey {
		return types.MultiRegionKey{Arn: new(Place{k.Account, r}.key(k.ID)), Region: new(string(r))}
	}
	c := &types.MultiRegionConfiguration{
		MultiRegionKeyType: types.MultiRegionKeyTypeReplica,
		PrimaryKey:         new(member(k.MultiRegion.Primary)),
		ReplicaKeys:        []types.MultiRegionKey{},
	}
	if k.primary() {
		c.MultiRegionKeyType = types.MultiRegionKeyTypePrimary
	}
	for _, r := range k.MultiRegion.Replicas {
		c.ReplicaKeys = append(c.ReplicaKeys, member(r))
	}
	m.MultiRegionConfiguration = c
	if k.State == PendingReplicaDeletion {
		m.PendingDeletionWindowInDays = new(k.Window)
	}
}

// share changes what k's family shares.
func (s *Service) share(tx *change, k Key, now time.Time, fn func(*Key)) error {
	if err := s.recordSharing(&k, now); err != nil {
		return err
	}
	return tx.editFamily(k, fn)
}

// recordSharing puts on record that KMS brings the replicas of k's family, if it
// has any, up to date. The record names the primary key, as AWS's does.
func (s *Service) recordSharing(k *Key, now time.Time) error {
	if k.MultiRegion == nil || len(k.MultiRegion.Replicas) == 0 {
		return nil
	}
	primary := &Key{Ref: Ref{Place{k.Account, k.MultiRegion.Primary}, k.ID}}
	return s.unasked(now, primary, "SynchronizeMultiRegionKey", "what multi-Region keys share has changed", map[string]string{"keyId": k.ID})
}

// in is v's caller in another Region. What is decided there is an event of its
// own, in that Region.
func (v *View) in(r cloud.Region) *View {
	c := v.caller.In(r)
	c.Call = nil
	return v.As(c)
}

// ReplicateKey makes a replica of a primary key in another Region. It is ready
// when it is answered, although the answer says, as AWS's does, that it is being
// made. It takes kms:ReplicateKey on the primary and what CreateKey takes in the
// other Region.
func (v *View) ReplicateKey(ctx context.Context, in *kms.ReplicateKeyInput) (*kms.ReplicateKeyOutput, error) {
	var out *kms.ReplicateKeyOutput
	_, err := v.update(ctx, ask{
		action: "ReplicateKey", key: str(in.KeyId), context: policy.Context{"kms:ReplicaRegion": []string{str(in.ReplicaRegion)}},
	}, func(t target) (apply, error) {
		region, err := replicaRegion(t, str(in.ReplicaRegion))
		if err != nil {
			return nil, err
		}
		r, err := v.in(region).replicaOf(ctx, t, in)
		if err != nil {
			return nil, err
		}
		if out, err = v.replicated(ctx, r, in); err != nil {
			return nil, err
		}
		return func(tx *change, k *Key) error { return v.addReplica(tx, *k, r) }, nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// replicaRegion is where a replica of t is to be, or why there can be none.
func replicaRegion(t target, name string) (cloud.Region, error) {
	if !t.primary() {
		return "", unsupported("%s is not a multi-region primary key.", t.arn)
	}
	r, err := cloud.ParseRegion(name)
	switch {
	case err != nil:
		return "", invalid("Region %s is not a valid Region or multi-Region keys are not supported in Region %s.", name, name)
	case r == t.Region:
		return "", invalid("%s cannot have a replica because it contains the primary.", r)
	case partitionOf(r) != partitionOf(t.Region):
		return "", invalid("The replica key Region must be in the same AWS partition as the primary key Region.")
	case slices.Contains(t.MultiRegion.Replicas, r):
		return "", &types.AlreadyExistsException{Message: new("You can create only one replica of each primary key in each AWS Region.")}
	}
	return r, nil
}

// partitionOf is the partition that AWS has a Region of this name in.
func partitionOf(r cloud.Region) string {
	for _, p := range []struct{ prefix, partition string }{
		{"cn-", "aws-cn"}, {"us-gov-", "aws-us-gov"}, {"us-isob-", "aws-iso-b"}, {"us-isof-", "aws-iso-f"}, {"us-iso-", "aws-iso"}, {"eu-isoe-", "aws-iso-e"},
	} {
		if strings.HasPrefix(string(r), p.prefix) {
			return p.partition
		}
	}
	return cloud.Partition
}

// replicaOf makes the replica of t in the caller's Region, if the caller may. It
// is not stored yet.
func (v *View) replicaOf(ctx context.Context, t target, in *kms.ReplicateKeyInput) (Key, error) {
	k := Key{
		Ref:     Ref{v.home(), t.ID},
		Created: v.now(), State: Enabled, Manager: t.Manager, Description: str(in.Description),
		Spec: t.Spec, Usage: t.Usage, Origin: t.Origin,
		MultiRegion: t.MultiRegion.with(v.caller.Region), Rotation: t.Rotation,
		Current: t.Current,
	}
	c := specContext(k.Spec, k.Usage, k.Origin, true)
	c["kms:MultiRegionKeyType"] = []string{string(types.MultiRegionKeyTypeReplica)}
	maps.Copy(c, tagContext(in.Tags))
	c["kms:BypassPolicyLockoutSafetyCheck"] = []string{strconv.FormatBool(in.BypassPolicyLockoutSafetyCheck)}
	if err := v.allow(ctx, "CreateKey", "*", c); err != nil {
		return Key{}, err
	}
	if err := v.equip(ctx, &k, in.Tags, in.Policy, in.BypassPolicyLockoutSafetyCheck); err != nil {
		return Key{}, err
	}
	if k.Origin == imported {
		k.State = PendingImport
	}
	return k, v.copyMaterials(&k, t)
}

// copyMaterials gives k, a replica of t, what it has of t's materials: all of
// them, but of imported ones no more than their names.
func (v *View) copyMaterials(k *Key, t target) error {
	for _, m := range t.Materials {
		if k.Origin == imported {
			m.Sealed, m.ValidTo = nil, time.Time{}
			k.Materials = append(k.Materials, m)
			continue
		}
		secret, err := t.secretOf(m.ID).Encoding()
		if err != nil {
			return fmt.Errorf("read material %s of %s: %w", m.ID, t.arn, err)
		}
		m.Sealed, err = v.Sealer.Seal(secret, materialContext(k.Ref, m.ID))
		seal.Wipe(secret)
		if err != nil {
			return fmt.Errorf("seal material of %s: %w", k.ARN(), err)
		}
		k.Materials = append(k.Materials, m)
	}
	return nil
}

// replicated is the answer about r, which is to be made.
func (v *View) replicated(ctx context.Context, r Key, in *kms.ReplicateKeyInput) (*kms.ReplicateKeyOutput, error) {
	text, err := v.showPolicy(ctx, r.Policy)
	if err != nil {
		return nil, fmt.Errorf("show policy of %s: %w", r.ARN(), err)
	}
	r.State, r.Current = Creating, ""
	m := r.metadata()
	if r.Origin == imported {
		m.ExpirationModel = types.ExpirationModelTypeKeyMaterialDoesNotExpire
	}
	return &kms.ReplicateKeyOutput{ReplicaKeyMetadata: m, ReplicaPolicy: &text, ReplicaTags: in.Tags}, nil
}

// addReplica stores r, and tells the family of primary, a key as it is in this
// transaction, of it.
func (s *Service) addReplica(tx *change, primary, r Key) error {
	if err := s.recordSharing(&r, r.Created); err != nil {
		return err
	}
	r.Naming = primary.Naming // as it is sealed now
	if err := tx.addKey(r); err != nil {
		return err
	}
	return tx.editFamily(primary, func(m *Key) { m.MultiRegion = r.MultiRegion })
}

// UpdatePrimaryRegion makes a replica the primary key, and the primary a replica.
// The change is over when it is answered.
func (v *View) UpdatePrimaryRegion(ctx context.Context, in *kms.UpdatePrimaryRegionInput) (*kms.UpdatePrimaryRegionOutput, error) {
	to := cloud.Region(str(in.PrimaryRegion))
	a := ask{action: "UpdatePrimaryRegion", key: str(in.KeyId), context: policy.Context{"kms:PrimaryRegion": []string{string(to)}}}
	_, err := v.update(ctx, a, func(t target) (apply, error) {
		switch {
		case !t.primary():
			return nil, &types.KMSInvalidStateException{Message: new(t.arn + " is not a multi-Region primary key.")}
		case to == t.Region:
			return func(*change, *Key) error { return nil }, nil
		case !slices.Contains(t.MultiRegion.Replicas, to):
			return nil, invalid("%s does not have a replica key in the specified Region.", t.ID)
		}
		next, err := v.in(to).open(ctx, ask{action: a.action, key: t.ID, context: a.context})
		return func(tx *change, k *Key) error {
			if _, err := tx.current(next); err != nil {
				return err
			}
			led := k.MultiRegion.ledBy(to)
			return tx.editFamily(*k, func(m *Key) { m.MultiRegion = led })
		}, err
	})
	if err != nil {
		return nil, err
	}
	return &kms.UpdatePrimaryRegionOutput{}, nil
}

// leave takes k, which is deleted at now, from its family. The waiting period of
// a primary key that waits for its replicas begins when the last of them is gone.
func (c *change) leave(k Key, now time.Time) error {
	if !k.replica() {
		return nil
	}
	rest := k.MultiRegion.without(k.Region)
	return c.editFamily(k, func(m *Key) {
		m.MultiRegion = rest
		if m.State == PendingReplicaDeletion && !m.hasReplicas() {
			m.State, m.Deletion = PendingDeletion, now.UTC().Truncate(time.Millisecond).Add(time.Duration(m.Window)*day)
		}
	})
}

// relative names the key of the caller's Region that would be of the family of
// the multi-Region key of another Region that s, a KeyId parameter, names by its
// ARN. It says whether s does.
func (v *View) relative(s string) (Ref, bool) {
	if !strings.Contains(s, ":key/mrk-") {
		return Ref{}, false
	}
	arn, err := cloud.ParseARN(s)
	id, isKey := strings.CutPrefix(arn.Resource, "key/")
	if err != nil || arn.Partition != cloud.Partition || arn.Service != "kms" || arn.Region == v.caller.Region || !isKey || !isKeyID(id) {
		return Ref{}, false
	}
	return Ref{Place{arn.Account, v.caller.Region}, id}, true
}
