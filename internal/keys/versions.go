package keys

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/material"
	"borealis/internal/seal"
)

// imported is the origin of keys whose material their owners bring.
const imported = string(types.OriginTypeExternal)

// expired says that m may not be used any more.
func (m *Material) expired(now time.Time) bool {
	return !m.ValidTo.IsZero() && !now.Before(m.ValidTo)
}

// version is the place of the material that has this id among k's, or -1.
func (k *Key) version(id string) int {
	return slices.IndexFunc(k.Materials, func(m Material) bool { return m.ID == id })
}

// pending is the material that waits until a rotation makes it the current one,
// or nil. There is at most one, and it comes after the current one.
func (k *Key) pending() *Material {
	n := len(k.Materials)
	if n == 0 || k.Materials[n-1].ID == k.Current {
		return nil
	}
	return &k.Materials[n-1]
}

// complete says that every material of k is there, but for one that is pending.
// A key of which an old material is missing does not even encrypt.
func (k *Key) complete(now time.Time) bool {
	current := k.version(k.Current)
	for i := range k.Materials[:current+1] {
		if m := &k.Materials[i]; m.Sealed == nil || m.expired(now) {
			return false
		}
	}
	return current >= 0
}

// settle puts a key that should be of use, and lacks imported material, into
// PendingImport.
func (k *Key) settle(now time.Time) {
	if k.Origin == imported && (k.State == Enabled || k.State == Disabled) && !k.complete(now) {
		k.State = PendingImport
	}
}

// expires is when the first of k's materials expires, or zero.
func (k *Key) expires() time.Time {
	var first time.Time
	for _, m := range k.Materials {
		first = earlier(first, m.ValidTo)
	}
	return first
}

// earlier is the earlier of two times; zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// at is l as it is at now: what has expired is not there, whether it was swept
// or not.
func (l *loaded) at(now time.Time) *loaded {
	if l.Origin != imported {
		return l
	}
	if first := l.expires(); first.IsZero() || now.Before(first) {
		return l
	}
	rest := *l
	rest.secrets = slices.Clone(l.secrets)
	for i := range l.Materials {
		if m := &l.Materials[i]; m.expired(now) {
			rest.secrets[i] = nil
		}
	}
	rest.settle(now)
	return &rest
}

// family is the names of the keys that have k's id and share its materials, k's
// own first.
func (k *Key) family() []Ref {
	refs := []Ref{k.Ref}
	if k.MultiRegion == nil {
		return refs
	}
	for _, r := range append([]cloud.Region{k.MultiRegion.Primary}, k.MultiRegion.Replicas...) {
		if r != k.Region {
			refs = append(refs, Ref{Place{k.Account, r}, k.ID})
		}
	}
	return refs
}

// replica says that k is a replica of a multi-Region key.
func (k *Key) replica() bool { return k.MultiRegion != nil && k.MultiRegion.Primary != k.Region }

// members reads the family of k, a key as it is in this transaction; k is first.
func (c *change) members(k Key) ([]Key, error) {
	all := []Key{k}
	for _, r := range k.family()[1:] {
		m, err := c.Key(r)
		if err != nil {
			return nil, fmt.Errorf("read %s of the family of %s: %w", r.Region, k.ARN(), err)
		}
		all = append(all, m)
	}
	return all, nil
}

// editFamily changes k and every other key of its family in one transaction.
func (c *change) editFamily(k Key, fn func(*Key)) error {
	members, err := c.members(k)
	if err != nil {
		return err
	}
	for _, m := range members {
		fn(&m)
		if err := c.PutKey(m); err != nil {
			return err
		}
	}
	return nil
}

// newVersion generates a material for the whole family of k, sealed for each key
// of it: the same secret and id, and none is in use yet. See newMaterial.
func (s *Service) newVersion(ctx context.Context, k *Key) (map[Ref]Material, error) {
	secret, err := material.Generate(ctx, k.Spec)
	if err != nil {
		return nil, fmt.Errorf("generate material of %s: %w", k.ARN(), err)
	}
	defer seal.Wipe(secret)
	id, versions := newID(), make(map[Ref]Material)
	for _, r := range k.family() {
		if versions[r], err = s.sealMaterial(&Key{Ref: r}, id, secret); err != nil {
			return nil, err
		}
	}
	return versions, nil
}

// unasked puts on record what KMS does to a key by itself.
func (s *Service) unasked(now time.Time, k *Key, action, reason string, detail map[string]string) error {
	return s.Audit.Record(audit.Event{
		Time:   now,
		Caller: cloud.Caller{Kind: cloud.Service, ARN: "kms.amazonaws.com", Service: "kms.amazonaws.com", Region: k.Region},
		Action: "kms:" + action, Resource: k.ARN(), Owner: k.Account, Allowed: true, Unasked: true,
		Reason: reason, Detail: detail,
	})
}
