package keys

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"borealis/internal/cloud"
	"borealis/internal/material"
	"borealis/internal/policy"
)

// reserved says that an alias name is AWS's to give.
func reserved(alias string) bool { return strings.HasPrefix(alias, "alias/aws/") }

// mayBear says that a request for an alias which is not there makes the managed
// key that it is the alias of: DescribeKey does, and so do the service's
// requests that encrypt. For others there is nothing yet that they could want.
func (v *View) mayBear(action string, n name) bool {
	m, ok := managedKeys[n.alias]
	if !ok || n.Account != v.caller.Account {
		return false
	}
	switch action {
	case "DescribeKey":
		return true
	case "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext":
		via := v.caller.Via
		return len(via) > 0 && via[len(via)-1] == m.service
	}
	return false
}

// unborn is the managed key that n names, made up but not stored: the caller is
// authorized against it before anything is changed.
func (v *View) unborn(n name) (target, error) {
	k := v.newKey(n.Place, material.SymmetricDefault, material.EncryptDecrypt)
	m := managedKeys[n.alias]
	k.Manager, k.Description, k.Policy = AWS, m.description, m.policyText(n.Place)
	k.Rotation = every(defaultPeriod, k.Created)
	l := &loaded{Key: k, aliases: []string{n.alias}, grants: newGrants(nil)}
	var err error
	if l.policy, err = policy.Parse("key policy of "+k.ARN(), k.Policy); err != nil {
		return target{}, fmt.Errorf("policy of %s: %w", n.alias, err)
	}
	return target{loaded: l, ref: k.Ref, arn: k.ARN(), alias: n.alias, unborn: true}, nil
}

// bear stores an unborn key, with a material, unless another request was
// quicker: there is exactly one.
func (v *View) bear(ctx context.Context, t target) error {
	k := t.Key
	m, err := v.newMaterial(ctx, &k)
	if err != nil {
		return err
	}
	k.addMaterial(m)
	return v.write(ctx, func(tx *change) error {
		_, err := tx.Alias(t.Place, t.alias)
		if !errors.Is(err, cloud.ErrNotFound) {
			return err
		}
		if err := tx.PutKey(k); err != nil {
			return err
		}
		return tx.PutAlias(Alias{Place: t.Place, Name: t.alias, KeyID: t.ID, Created: t.Created, Updated: t.Created})
	})
}
