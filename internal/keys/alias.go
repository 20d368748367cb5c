package keys

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/policy"
)

// maxAliases is how many aliases one key may have.
const maxAliases = 50

var aliasCharacters = regexp.MustCompile(`^[a-zA-Z0-9/_-]+$`)

func (a Alias) id() string { return a.Name }

// checkAlias refuses a name that no customer's alias can have.
func checkAlias(name string) error {
	rest, ok := strings.CutPrefix(name, "alias/")
	switch {
	case !ok:
		return invalid(`Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`)
	case !aliasCharacters.MatchString(rest):
		return invalid("%s contains invalid characters for an alias", name)
	case reserved(name):
		return fail("NotAuthorizedException", "")
	}
	return nil
}

// checkAliasTarget refuses an alias where the key of an alias is to be named.
func checkAliasTarget(key string) error {
	if strings.HasPrefix(key, "alias/") || strings.Contains(key, ":alias/") {
		return invalid("Aliases must refer to keys. Not aliases")
	}
	return nil
}

// mayAlias decides about an action on the alias itself; on the key that it
// stands for, it has to be allowed too.
func (v *View) mayAlias(ctx context.Context, action, alias string) error {
	return v.allow(ctx, action, v.home().alias(alias), policy.Context{})
}

// alias is the alias of this name in the caller's account and Region.
func (v *View) alias(ctx context.Context, name string) (Alias, error) {
	var a Alias
	err := v.Store.View(ctx, func(tx Tx) (err error) {
		a, err = tx.Alias(v.home(), name)
		return err
	})
	if isNotFound(err) {
		return Alias{}, notFound("Alias %s is not found.", v.home().alias(name))
	}
	return a, err
}

// CreateAlias gives a key another name.
func (v *View) CreateAlias(ctx context.Context, in *kms.CreateAliasInput) (*kms.CreateAliasOutput, error) {
	alias, key := str(in.AliasName), str(in.TargetKeyId)
	if err := checkAlias(alias); err != nil {
		return nil, err
	}
	if err := checkAliasTarget(key); err != nil {
		return nil, err
	}
	if err := v.mayAlias(ctx, "CreateAlias", alias); err != nil {
		return nil, err
	}
	_, err := v.update(ctx, ask{action: "CreateAlias", key: key}, func(target) (apply, error) {
		return func(tx *change, k *Key) error {
			_, err := tx.Alias(k.Place, alias)
			switch {
			case err == nil:
				return &types.AlreadyExistsException{Message: new("An alias with the name " + k.alias(alias) + " already exists")}
			case !isNotFound(err):
				return err
			}
			if err := tx.roomForAlias(k.Ref); err != nil {
				return err
			}
			now := v.now()
			return tx.PutAlias(Alias{Place: k.Place, Name: alias, KeyID: k.ID, Created: now, Updated: now})
		}, nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.CreateAliasOutput{}, nil
}

func (c *change) roomForAlias(r Ref) error {
	some, err := c.Aliases(r.Place, r.ID, "", maxAliases)
	if err == nil && len(some) == maxAliases {
		return limitExceeded("The key %s has %d aliases already.", r.ARN(), maxAliases)
	}
	return err
}

// UpdateAlias makes an alias stand for another key.
func (v *View) UpdateAlias(ctx context.Context, in *kms.UpdateAliasInput) (*kms.UpdateAliasOutput, error) {
	name, key := str(in.AliasName), str(in.TargetKeyId)
	if err := checkAlias(name); err != nil {
		return nil, err
	}
	if err := checkAliasTarget(key); err != nil {
		return nil, err
	}
	for {
		old, err := v.aliasToChange(ctx, "UpdateAlias", name)
		if err != nil {
			return nil, err
		}
		_, err = v.update(ctx, ask{action: "UpdateAlias", key: key}, func(target) (apply, error) {
			return func(tx *change, k *Key) error { return tx.moveAlias(old, k, v.now) }, nil
		})
		switch {
		case errors.Is(err, errAliasMoved):
			continue
		case err != nil:
			return nil, err
		}
		return &kms.UpdateAliasOutput{}, nil
	}
}

// aliasToChange is the alias of this name, if the caller may do action to it and
// to the key that it stands for.
func (v *View) aliasToChange(ctx context.Context, action, name string) (Alias, error) {
	a, err := v.alias(ctx, name)
	if err != nil {
		return Alias{}, err
	}
	if err := v.mayAlias(ctx, action, name); err != nil {
		return Alias{}, err
	}
	t, err := v.findKey(ctx, target{ref: Ref{a.Place, a.KeyID}})
	if err != nil {
		return Alias{}, err
	}
	return a, v.authorize(ctx, &t, ask{action: action})
}

// DeleteAlias takes a name away from a key.
func (v *View) DeleteAlias(ctx context.Context, in *kms.DeleteAliasInput) (*kms.DeleteAliasOutput, error) {
	name := str(in.AliasName)
	if err := checkAlias(name); err != nil {
		return nil, err
	}
	for {
		old, err := v.aliasToChange(ctx, "DeleteAlias", name)
		if err != nil {
			return nil, err
		}
		err = v.write(ctx, func(tx *change) error {
			if err := tx.unmoved(old); err != nil {
				return err
			}
			return tx.DeleteAlias(old)
		})
		switch {
		case errors.Is(err, errAliasMoved):
			continue
		case err != nil:
			return nil, err
		}
		return &kms.DeleteAliasOutput{}, nil
	}
}

// errAliasMoved says that an alias stands for another key than the caller was
// authorized for.
var errAliasMoved = errors.New("the alias moved meanwhile")

func (c *change) unmoved(old Alias) error {
	a, err := c.Alias(old.Place, old.Name)
	if isNotFound(err) || err == nil && a.KeyID != old.KeyID {
		return errAliasMoved
	}
	return err
}

// moveAlias makes alias old stand for k, if programs that use the alias can use
// k as they used the key before.
func (c *change) moveAlias(old Alias, k *Key, now func() time.Time) error {
	if err := c.unmoved(old); err != nil {
		return err
	}
	if old.KeyID != k.ID {
		before, err := c.Key(Ref{old.Place, old.KeyID})
		if err != nil {
			return err
		}
		if before.Usage != k.Usage || before.Spec.Asymmetric() != k.Spec.Asymmetric() {
			return invalid("The alias %s cannot move from a key of spec %s and usage %s to one of spec %s and usage %s: both must be symmetric, asymmetric or HMAC keys of the same usage.",
				old.Name, before.Spec, before.Usage, k.Spec, k.Usage)
		}
		if err := c.roomForAlias(k.Ref); err != nil {
			return err
		}
	}
	if err := c.DeleteAlias(old); err != nil { // the old key hears of it
		return err
	}
	return c.PutAlias(Alias{Place: k.Place, Name: old.Name, KeyID: k.ID, Created: old.Created, Updated: now()})
}

// ListAliases lists the aliases in the caller's account and Region, or those of
// one key.
func (v *View) ListAliases(ctx context.Context, in *kms.ListAliasesInput) (*kms.ListAliasesOutput, error) {
	if err := v.allow(ctx, "ListAliases", "*", policy.Context{}); err != nil {
		return nil, err
	}
	of, err := v.ownKey(ctx, in.KeyId)
	if err != nil {
		return nil, err
	}
	p, err := newPage("aliases "+of, in.Limit, in.Marker, 50, 100)
	if err != nil {
		return nil, err
	}
	var list []Alias
	err = v.Store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Aliases(v.home(), of, p.after, p.limit+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &kms.ListAliasesOutput{Aliases: []types.AliasListEntry{}}
	list, out.NextMarker = cut(p, list, Alias.id)
	out.Truncated = out.NextMarker != nil
	for _, a := range list {
		out.Aliases = append(out.Aliases, types.AliasListEntry{
			AliasName: new(a.Name), AliasArn: new(a.alias(a.Name)), TargetKeyId: new(a.KeyID),
			CreationDate: new(a.Created), LastUpdatedDate: new(a.Updated),
		})
	}
	return out, nil
}

// ownKey is the id of the key that name names, which must be the caller's
// account's; "" if there is no name.
func (v *View) ownKey(ctx context.Context, name *string) (string, error) {
	if name == nil {
		return "", nil
	}
	t, err := v.find(ctx, "ListAliases", *name)
	switch {
	case err != nil:
		return "", err
	case t.ref.Account != v.caller.Account:
		return "", v.authorize(ctx, &target{ref: t.ref, arn: t.arn}, ask{action: "ListAliases"})
	}
	return t.ID, nil
}
