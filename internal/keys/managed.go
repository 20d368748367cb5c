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

// A managed key is one that AWS makes and keeps in each account and Region for
// a service, the first time that it is needed.
type managed struct {
	service     string // in whose requests naming the alias makes the key
	description string
	policyID    string
	sid         string
}

// managedKeys are the AWS managed keys, by their aliases.
var managedKeys = map[string]managed{
	"alias/aws/rds": {
		service:     "rds.amazonaws.com",
		description: "Default key that protects my RDS database volumes when no other key is defined",
		policyID:    "auto-rds-2",
		sid:         "Allow access through RDS for all principals in the account that are authorized to use RDS",
	},
}

// policyText is the policy of the managed key at p. It lets in whoever comes
// through the service from the key's own account, and so nobody of another; and
// it lets nobody change it.
func (m managed) policyText(p Place) string {
	service, _, _ := strings.Cut(m.service, ".")
	return fmt.Sprintf(`{
  "Version" : "2012-10-17",
  "Id" : "%s",
  "Statement" : [ {
    "Sid" : "%s",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "*"
    },
    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:ListGrants", "kms:DescribeKey" ],
    "Resource" : "*",
    "Condition" : {
      "StringEquals" : {
        "kms:ViaService" : "%s.%s.amazonaws.com",
        "kms:CallerAccount" : "%s"
      }
    }
  }, {
    "Sid" : "Allow direct access to key metadata to the account",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "%s"
    },
    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant" ],
    "Resource" : "*"
  } ]
}`, m.policyID, m.sid, service, p.Region, p.Account, p.Account.Root())
}

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
	l := &loaded{Key: k, context: keyContext(&k, []Alias{{Name: n.alias}})}
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
