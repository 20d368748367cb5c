package keys

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/policy"
)

const (
	minPeriod     = 90 // days
	maxPeriod     = 2560
	defaultPeriod = 365
	// maxOnDemand is how often a key is rotated on demand.
	maxOnDemand = 25

	day = 24 * time.Hour
)

// rotates says that KMS is to rotate k when its schedule says so. It does not
// while the key is out of use; a rotation that was missed then happens at once
// when the key comes back.
func (k *Key) rotates() bool {
	return k.Rotation.Period > 0 && k.State == Enabled && !k.replica()
}

// every is a schedule that begins now.
func every(days int32, now time.Time) Rotation {
	return Rotation{Period: days, Next: now.Add(time.Duration(days) * day)}
}

// after is the schedule after a rotation at now: the next one is a period after
// the date of this one, or, if this one is late by more than a day, after now.
func (r Rotation) after(now time.Time) Rotation {
	if now.Sub(r.Next) > day {
		return every(r.Period, now)
	}
	return every(r.Period, r.Next)
}

// onlyOrigin refuses an operation that is not for keys of this one's origin.
func onlyOrigin(t target, origins ...string) error {
	if slices.Contains(origins, t.Origin) {
		return nil
	}
	return unsupported("%s origin is %s which is not valid for this operation.", t.arn, t.Origin)
}

// onlyPrimary refuses what is to be done to the primary of a family.
func onlyPrimary(t target, action string) error {
	if t.replica() {
		return unsupported("%s is a multi-region replica key which is not valid for %s.", t.arn, action)
	}
	return nil
}

// onlySymmetric refuses rotation of keys that cannot be rotated, without a
// message, as AWS does.
func onlySymmetric(t target) error {
	if !t.symmetric() {
		return &types.UnsupportedOperationException{}
	}
	return nil
}

// checkRange refuses a number that AWS's model refuses.
func checkRange(member string, n, least, most int32) error {
	const form = "1 validation error detected: Value '%d' at '%s' failed to satisfy constraint: Member must have value %s than or equal to %d"
	switch {
	case n < least:
		return invalid(form, n, member, "greater", least)
	case n > most:
		return invalid(form, n, member, "less", most)
	}
	return nil
}

// EnableKeyRotation has a key rotated every so many days from now on. Said again
// without another period it changes nothing.
func (v *View) EnableKeyRotation(ctx context.Context, in *kms.EnableKeyRotationInput) (*kms.EnableKeyRotationOutput, error) {
	period := int32(defaultPeriod)
	if in.RotationPeriodInDays != nil {
		period = *in.RotationPeriodInDays
	}
	_, err := v.update(ctx, ask{
		action: "EnableKeyRotation", key: str(in.KeyId),
		context: policy.Context{"kms:RotationPeriodInDays": []string{strconv.Itoa(int(period))}},
	}, func(t target) (apply, error) {
		if err := onlyOrigin(t, defaultOrigin); err != nil {
			return nil, err
		}
		if err := onlyPrimary(t, "EnableKeyRotation"); err != nil {
			return nil, err
		}
		if err := onlySymmetric(t); err != nil {
			return nil, err
		}
		if err := checkRange("rotationPeriodInDays", period, minPeriod, maxPeriod); err != nil {
			return nil, err
		}
		return func(tx *change, k *Key) error {
			if old := k.Rotation.Period; old != 0 && (in.RotationPeriodInDays == nil || period == old) {
				return nil
			}
			schedule := every(period, v.now())
			return v.share(tx, *k, v.now(), func(m *Key) { m.Rotation = schedule })
		}, nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.EnableKeyRotationOutput{}, nil
}

// DisableKeyRotation ends automatic rotation. What was rotated stays.
func (v *View) DisableKeyRotation(ctx context.Context, in *kms.DisableKeyRotationInput) (*kms.DisableKeyRotationOutput, error) {
	_, err := v.update(ctx, ask{action: "DisableKeyRotation", key: str(in.KeyId)}, func(t target) (apply, error) {
		if err := onlyOrigin(t, defaultOrigin); err != nil {
			return nil, err
		}
		if err := onlyPrimary(t, "DisableKeyRotation"); err != nil {
			return nil, err
		}
		return func(tx *change, k *Key) error {
			return v.share(tx, *k, v.now(), func(m *Key) { m.Rotation = Rotation{} })
		}, nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.DisableKeyRotationOutput{}, nil
}

// GetKeyRotationStatus answers with the schedule of a key. Of AWS managed keys it
// says, as AWS does, that they have none.
func (v *View) GetKeyRotationStatus(ctx context.Context, in *kms.GetKeyRotationStatusInput) (*kms.GetKeyRotationStatusOutput, error) {
	t, err := v.open(ctx, ask{action: "GetKeyRotationStatus", key: str(in.KeyId)})
	if err != nil {
		return nil, err
	}
	out := &kms.GetKeyRotationStatusOutput{KeyId: new(t.arn)}
	if t.Rotation.Period > 0 && t.Manager == Customer && t.State != PendingDeletion {
		out.KeyRotationEnabled = true
		out.RotationPeriodInDays, out.NextRotationDate = new(t.Rotation.Period), new(t.Rotation.Next)
	}
	return out, nil
}

// RotateKeyOnDemand rotates a key now. The rotation is over when it is answered.
// Imported keys take the material that was imported to be next.
func (v *View) RotateKeyOnDemand(ctx context.Context, in *kms.RotateKeyOnDemandInput) (*kms.RotateKeyOnDemandOutput, error) {
	t, err := v.update(ctx, ask{action: "RotateKeyOnDemand", key: str(in.KeyId)}, func(t target) (apply, error) {
		if err := onlyOrigin(t, defaultOrigin, imported); err != nil {
			return nil, err
		}
		if err := onlyPrimary(t, "RotateKeyOnDemand"); err != nil {
			return nil, err
		}
		if err := onlySymmetric(t); err != nil {
			return nil, err
		}
		if t.rotatedOnDemand() >= maxOnDemand {
			return nil, limitExceeded("The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: %s", t.arn)
		}
		if t.Origin == imported {
			return v.promote, nil
		}
		to, err := v.newVersion(ctx, &t.Key)
		return func(tx *change, k *Key) error {
			return v.rotate(tx, *k, to, types.RotationTypeOnDemand, v.now())
		}, err
	})
	if err != nil {
		return nil, err
	}
	return &kms.RotateKeyOnDemandOutput{KeyId: new(t.arn)}, nil
}

// rotatedOnDemand is how often k was rotated on demand.
func (k *Key) rotatedOnDemand() (n int) {
	for _, m := range k.Materials {
		if m.Rotation == types.RotationTypeOnDemand {
			n++
		}
	}
	return n
}

// rotate makes versions, from newVersion, the current materials of k and its
// family.
func (s *Service) rotate(tx *change, k Key, versions map[Ref]Material, how types.RotationType, now time.Time) error {
	next := k.Rotation
	if how == types.RotationTypeAutomatic {
		next = next.after(now)
	}
	if err := s.recordRotation(k, versions[k.Ref].ID, how, now); err != nil {
		return err
	}
	return s.share(tx, k, now, func(m *Key) {
		version := versions[m.Ref]
		version.Rotated, version.Rotation = now, how
		m.addMaterial(version)
		m.Rotation = next
	})
}

// promote makes the pending material of an imported key, and of its family, the
// current one.
func (s *Service) promote(tx *change, k *Key) error {
	now := s.now()
	members, err := tx.members(*k)
	if err != nil {
		return err
	}
	if k.pending() == nil {
		return &types.KMSInvalidStateException{Message: new("No available key material pending rotation for the key: " + k.ARN() + ".")}
	}
	if len(members) > 1 && !everywhere(members) {
		return &types.KMSInvalidStateException{Message: new("Cannot perform key material rotation: Key material has not been imported for replicas of the Multi-Region key.")}
	}
	if err := s.recordRotation(*k, k.pending().ID, types.RotationTypeOnDemand, now); err != nil {
		return err
	}
	return s.share(tx, *k, now, func(m *Key) {
		p := m.pending()
		p.Rotated, p.Rotation = now, types.RotationTypeOnDemand
		m.Current = p.ID
		m.settle(now)
	})
}

// everywhere says that the pending material of a family was imported into every
// key of it.
func everywhere(members []Key) bool {
	for _, m := range members {
		if p := m.pending(); p == nil || p.Sealed == nil {
			return false
		}
	}
	return true
}

func (s *Service) recordRotation(k Key, to string, how types.RotationType, now time.Time) error {
	reason := "RotateKeyOnDemand asked for it"
	if how == types.RotationTypeAutomatic {
		reason = "the key's rotation period is over"
	}
	return s.unasked(now, &k, "RotateKey", reason, map[string]string{
		"keyId": k.ID, "keyOrigin": k.Origin, "rotationType": string(how),
		"previousKeyMaterialId": k.Current, "currentKeyMaterialId": to,
	})
}

// ListKeyRotations lists the rotations of a key, or all of its materials, the
// oldest first.
func (v *View) ListKeyRotations(ctx context.Context, in *kms.ListKeyRotationsInput) (*kms.ListKeyRotationsOutput, error) {
	t, err := v.open(ctx, ask{action: "ListKeyRotations", key: str(in.KeyId)})
	if err != nil {
		return nil, err
	}
	if in.IncludeKeyMaterial != "" && !t.symmetric() {
		return nil, invalid("Input parameter includeKeyMaterial can only be used with symmetric keys.")
	}
	p, err := newPage("rotations "+t.ID, in.Limit, in.Marker, 100, 1000)
	if err != nil {
		return nil, err
	}
	rest := t.Materials
	if in.Marker != nil {
		i := t.version(p.after)
		if i < 0 {
			return nil, &types.InvalidMarkerException{}
		}
		rest = rest[i+1:]
	}
	ready, err := v.pendingState(ctx, &t.Key)
	if err != nil {
		return nil, err
	}
	out := &kms.ListKeyRotationsOutput{Rotations: []types.RotationsListEntry{}}
	for i := range rest {
		m := &rest[i]
		if !m.Rotated.IsZero() || in.IncludeKeyMaterial == types.IncludeKeyMaterialAllKeyMaterial {
			out.Rotations = append(out.Rotations, t.rotation(m, ready))
		}
	}
	out.Rotations, out.NextMarker = cut(p, out.Rotations, func(e types.RotationsListEntry) string { return *e.KeyMaterialId })
	out.Truncated = out.NextMarker != nil
	return out, nil
}

// rotation says m, one of k's materials, in KMS's words; pending is the state of
// one that waits.
func (k *Key) rotation(m *Material, pending types.KeyMaterialState) types.RotationsListEntry {
	e := types.RotationsListEntry{KeyId: new(k.ARN()), KeyMaterialId: new(m.ID), KeyMaterialState: types.KeyMaterialStateNonCurrent}
	switch {
	case m.ID == k.Current:
		e.KeyMaterialState = types.KeyMaterialStateCurrent
	case k.pending() != nil && m.ID == k.pending().ID:
		e.KeyMaterialState = pending
	}
	if !m.Rotated.IsZero() {
		e.RotationDate, e.RotationType = new(m.Rotated), m.Rotation
	}
	if k.Origin != imported {
		return e
	}
	if m.Description != "" {
		e.KeyMaterialDescription = new(m.Description)
	}
	e.ImportState = types.ImportStatePendingImport
	if m.Sealed != nil {
		e.ImportState = types.ImportStateImported
		e.ExpirationModel, e.ValidTo = expiration(m)
	}
	return e
}

// pendingState is the state of k's pending material: whether the family has it
// everywhere.
func (v *View) pendingState(ctx context.Context, k *Key) (types.KeyMaterialState, error) {
	state := types.KeyMaterialStatePendingRotation
	if k.pending() == nil || k.MultiRegion == nil {
		return state, nil
	}
	err := v.Store.View(ctx, func(tx Tx) error {
		primary, err := tx.Key(Ref{Place{k.Account, k.MultiRegion.Primary}, k.ID})
		if err != nil {
			return err
		}
		members, err := (&change{Tx: tx}).members(primary)
		if err == nil && !everywhere(members) {
			state = types.KeyMaterialStatePendingMultiRegionImportAndRotation
		}
		return err
	})
	return state, err
}
