package keys

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/material"
	"borealis/internal/policy"
)

// CreateKey makes a key, whatever its spec. The slow part, RSA's search for
// primes, comes last, when nothing but the database can go wrong.
func (v *View) CreateKey(ctx context.Context, in *kms.CreateKeyInput) (*kms.CreateKeyOutput, error) {
	spec, usage, err := sortOf(in)
	if err != nil {
		return nil, err
	}
	if err := offered(in); err != nil {
		return nil, err
	}
	if string(in.Origin) == imported && !takesImports(spec) {
		return nil, invalid("KeySpec %s is not supported for Origin EXTERNAL", spec)
	}
	if err := v.mayCreate(ctx, in, spec, usage); err != nil {
		return nil, err
	}
	k := v.newKey(v.home(), spec, usage)
	k.Origin = cmp.Or(string(in.Origin), defaultOrigin)
	k.Description = str(in.Description)
	if isSet(in.MultiRegion) {
		k.found()
	}
	if err := v.equip(ctx, &k, in.Tags, in.Policy, in.BypassPolicyLockoutSafetyCheck); err != nil {
		return nil, err
	}
	if err := v.supply(ctx, &k, in); err != nil {
		return nil, err
	}
	if err := v.write(ctx, func(tx *change) error { return tx.putNewKey(&k) }); err != nil {
		return nil, errors.Join(err, v.abandon(context.WithoutCancel(ctx), &k))
	}
	return &kms.CreateKeyOutput{KeyMetadata: k.metadata()}, nil
}

// equip gives k, which is new, its tags and its key policy: the default one if
// text is nil.
func (v *View) equip(ctx context.Context, k *Key, tags []types.Tag, text *string, bypass bool) (err error) {
	if len(tags) > 0 {
		// There is no key policy yet that could speak about the tags.
		if err := v.allow(ctx, "TagResource", k.ARN(), tagContext(tags)); err != nil {
			return err
		}
		if k.Tags, err = mergeTags(nil, tags); err != nil {
			return err
		}
	}
	k.Policy = defaultPolicy(k.Account)
	if text != nil {
		k.Policy, err = v.keepPolicy(ctx, k, *text, bypass)
	}
	return err
}

// supply gives k, which is new, its first material, if that does not come from
// outside.
func (v *View) supply(ctx context.Context, k *Key, in *kms.CreateKeyInput) error {
	if string(in.Origin) == imported {
		return v.awaitImport(k)
	}
	m, err := v.materialFor(ctx, k, in)
	if err == nil {
		k.addMaterial(m)
	}
	return err
}

// sortOf is what sort of key is asked for.
func sortOf(in *kms.CreateKeyInput) (material.Spec, material.Usage, error) {
	spec := string(in.KeySpec)
	if old := string(in.CustomerMasterKeySpec); old != "" { //nolint:staticcheck // old clients send it
		if spec != "" && spec != old {
			return "", "", invalid("You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
		}
		spec = old
	}
	s := cmp.Or(material.Spec(spec), material.SymmetricDefault)
	usage := material.Usage(in.KeyUsage)
	if usage == "" && s == material.SymmetricDefault {
		usage = material.EncryptDecrypt
	}
	switch {
	case usage == "":
		return "", "", invalid("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	case !slices.Contains(s.Usages(), usage):
		return "", "", invalid("KeyUsage %s is not compatible with KeySpec %s", usage, s)
	}
	return s, usage, nil
}

// offered refuses the sorts of key that this server does not have.
func offered(in *kms.CreateKeyInput) error {
	switch ours, err := inStore(in); {
	case ours || err != nil:
		return err
	case !slices.Contains([]string{"", defaultOrigin, imported}, string(in.Origin)):
		return unsupported("This server does not offer keys of origin %s yet.", in.Origin)
	}
	return nil
}

func (v *View) mayCreate(ctx context.Context, in *kms.CreateKeyInput, spec material.Spec, usage material.Usage) error {
	c := specContext(spec, usage, cmp.Or(string(in.Origin), defaultOrigin), isSet(in.MultiRegion))
	if isSet(in.MultiRegion) {
		c["kms:MultiRegionKeyType"] = []string{string(types.MultiRegionKeyTypePrimary)}
	}
	maps.Copy(c, tagContext(in.Tags))
	c["kms:BypassPolicyLockoutSafetyCheck"] = []string{strconv.FormatBool(in.BypassPolicyLockoutSafetyCheck)}
	return v.allow(ctx, "CreateKey", "*", c)
}

// DescribeKey answers with a key's metadata. Asked for the alias of an AWS
// managed key that does not exist yet, it makes the key.
func (v *View) DescribeKey(ctx context.Context, in *kms.DescribeKeyInput) (*kms.DescribeKeyOutput, error) {
	t, err := v.open(ctx, ask{action: "DescribeKey", key: str(in.KeyId), tokens: in.GrantTokens})
	if err != nil {
		return nil, err
	}
	return &kms.DescribeKeyOutput{KeyMetadata: t.metadata()}, nil
}

// ListKeys lists the caller's account's keys in the Region.
func (v *View) ListKeys(ctx context.Context, in *kms.ListKeysInput) (*kms.ListKeysOutput, error) {
	if err := v.allow(ctx, "ListKeys", "*", policy.Context{}); err != nil {
		return nil, err
	}
	p, err := newPage("keys", in.Limit, in.Marker, 100, 1000)
	if err != nil {
		return nil, err
	}
	var ids []string
	err = v.Store.View(ctx, func(tx Tx) (err error) {
		ids, err = tx.Keys(v.home(), p.after, p.limit+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &kms.ListKeysOutput{Keys: []types.KeyListEntry{}}
	ids, out.NextMarker = cut(p, ids, func(id string) string { return id })
	out.Truncated = out.NextMarker != nil
	for _, id := range ids {
		out.Keys = append(out.Keys, types.KeyListEntry{KeyId: new(id), KeyArn: new(v.home().key(id))})
	}
	return out, nil
}
