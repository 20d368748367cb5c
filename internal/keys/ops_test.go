package keys_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/keys"
)

// An input is a request that would succeed if its caller might make it. key is
// the ARN of an enabled key, as keyFor makes it for the operation.
func (w *world) inputs(owner *person, key *string) map[string]any {
	w.t.Helper()
	ctx := w.t.Context()
	var blob []byte
	if must(owner.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key}))(w.t).KeyMetadata.KeySpec == "SYMMETRIC_DEFAULT" {
		blob = must(owner.encrypt(key, nil))(w.t)
	}
	if err := owner.alias("alias/there", key); err != nil {
		w.t.Fatal(err)
	}
	grantee := w.person(home, "role/grantee").caller.Principal
	grant := must(owner.CreateGrant(ctx, &kms.CreateGrantInput{
		KeyId: key, GranteePrincipal: &grantee, Operations: []types.GrantOperation{"DescribeKey"},
	}))(w.t)
	brought, parcel := w.brought(owner)
	shared := owner.family("us-east-1")
	owner.dropStores()
	store := must(owner.CreateCustomKeyStore(ctx, externalStore("store", "https://example.com")))(w.t).CustomKeyStoreId
	tags := []types.Tag{{TagKey: new("k"), TagValue: new("v")}}
	in := map[string]any{
		"CancelKeyDeletion":               &kms.CancelKeyDeletionInput{KeyId: key},
		"ConnectCustomKeyStore":           &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: store},
		"CreateAlias":                     &kms.CreateAliasInput{AliasName: new("alias/new"), TargetKeyId: key},
		"CreateCustomKeyStore":            externalStore("another", "https://other.test"),
		"CreateGrant":                     &kms.CreateGrantInput{KeyId: key, GranteePrincipal: &grantee, Operations: []types.GrantOperation{"Encrypt"}},
		"CreateKey":                       &kms.CreateKeyInput{Tags: tags},
		"Decrypt":                         &kms.DecryptInput{CiphertextBlob: blob},
		"DeleteAlias":                     &kms.DeleteAliasInput{AliasName: new("alias/there")},
		"DeleteImportedKeyMaterial":       &kms.DeleteImportedKeyMaterialInput{KeyId: brought},
		"DeleteCustomKeyStore":            &kms.DeleteCustomKeyStoreInput{CustomKeyStoreId: store},
		"DescribeCustomKeyStores":         &kms.DescribeCustomKeyStoresInput{},
		"DisconnectCustomKeyStore":        &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: store},
		"DescribeKey":                     &kms.DescribeKeyInput{KeyId: key},
		"DisableKey":                      &kms.DisableKeyInput{KeyId: key},
		"DisableKeyRotation":              &kms.DisableKeyRotationInput{KeyId: key},
		"EnableKey":                       &kms.EnableKeyInput{KeyId: key},
		"EnableKeyRotation":               &kms.EnableKeyRotationInput{KeyId: key},
		"Encrypt":                         &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")},
		"GenerateDataKey":                 &kms.GenerateDataKeyInput{KeyId: key, KeySpec: "AES_256"},
		"GenerateDataKeyWithoutPlaintext": &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: key, NumberOfBytes: new(int32(64))},
		"GenerateRandom":                  &kms.GenerateRandomInput{NumberOfBytes: new(int32(8))},
		"GetKeyPolicy":                    &kms.GetKeyPolicyInput{KeyId: key},
		"GetKeyRotationStatus":            &kms.GetKeyRotationStatusInput{KeyId: key},
		"GetParametersForImport":          &kms.GetParametersForImportInput{KeyId: brought, WrappingAlgorithm: "SM2PKE", WrappingKeySpec: "SM2"},
		"ImportKeyMaterial":               parcel,
		"ListAliases":                     &kms.ListAliasesInput{KeyId: key},
		"ListGrants":                      &kms.ListGrantsInput{KeyId: key},
		"ListKeyPolicies":                 &kms.ListKeyPoliciesInput{KeyId: key},
		"ListKeyRotations":                &kms.ListKeyRotationsInput{KeyId: key},
		"ListKeys":                        &kms.ListKeysInput{},
		"ListResourceTags":                &kms.ListResourceTagsInput{KeyId: key},
		"ListRetirableGrants":             &kms.ListRetirableGrantsInput{RetiringPrincipal: &grantee},
		"PutKeyPolicy":                    &kms.PutKeyPolicyInput{KeyId: key, Policy: keyPolicy(delegating(home, "kms:*"))},
		"ReEncrypt":                       &kms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: key},
		"ReplicateKey":                    &kms.ReplicateKeyInput{KeyId: shared, ReplicaRegion: new("us-west-2"), Tags: tags},
		"RetireGrant":                     &kms.RetireGrantInput{KeyId: key, GrantId: grant.GrantId},
		"RevokeGrant":                     &kms.RevokeGrantInput{KeyId: key, GrantId: grant.GrantId},
		"RotateKeyOnDemand":               &kms.RotateKeyOnDemandInput{KeyId: key},
		"ScheduleKeyDeletion":             &kms.ScheduleKeyDeletionInput{KeyId: key},
		"TagResource":                     &kms.TagResourceInput{KeyId: key, Tags: tags},
		"UntagResource":                   &kms.UntagResourceInput{KeyId: key, TagKeys: []string{"k"}},
		"UpdateAlias":                     &kms.UpdateAliasInput{AliasName: new("alias/there"), TargetKeyId: key},
		"UpdateCustomKeyStore":            &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: store, NewCustomKeyStoreName: new("renamed")},
		"UpdatePrimaryRegion":             &kms.UpdatePrimaryRegionInput{KeyId: shared, PrimaryRegion: new("us-east-1")},
		"UpdateKeyDescription":            &kms.UpdateKeyDescriptionInput{KeyId: key, Description: new("d")},
	}
	owner.sortInputs(in, key)
	return in
}

// allInputs are inputs for every operation of Ops, and thus about several keys.
// The alias is key's.
func (w *world) allInputs(owner *person, key *string) map[string]any {
	w.t.Helper()
	all := make(map[string]any)
	for name := range keysFor {
		all[name] = w.inputs(owner, owner.keyFor(name))[name]
		owner.dropAliases()
	}
	for name, in := range w.inputs(owner, key) {
		if all[name] == nil {
			all[name] = in
		}
	}
	return all
}

// A stranger may do nothing: not somebody of another account, not somebody of
// the key's account without policies, not nobody, not a service. New operations
// join this test by being in Ops.
func TestEveryOperationIsAuthorized(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	inputs := w.allInputs(ann, key)
	before := must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key}))(t).KeyMetadata
	strangers := map[string]*person{
		"another account's":  w.person(far, "user/eve", allow("kms:List*")).with(func(c *cloud.Caller) { c.ARN = "eve" }),
		"the same account's": w.person(home, "user/mallory"),
		"nobody":             w.person(home, "user/nobody").with(func(c *cloud.Caller) { *c = cloud.Caller{Account: home, Region: region} }),
		"a service":          w.person(home, "user/x").with(func(c *cloud.Caller) { *c = cloud.ServiceCaller("rds.amazonaws.com", region) }),
	}
	w.setPolicies("arn:aws:iam::999999999999:user/eve") // none after all
	for who, p := range strangers {
		for name, op := range keys.Ops {
			in := inputs[name]
			if in == nil {
				t.Fatalf("%s has no input in this test", name)
			}
			records := len(w.log.events)
			_, err := op.Run(t.Context(), p.View, in)
			own := p.caller.Account == home
			named := name == "DeleteAlias" || name == "UpdateAlias"
			switch {
			case errors.Is(err, cloud.ErrDenied):
			case named && !own && strings.HasPrefix(said(err), "NotFoundException: Alias"):
				continue // an alias name means the caller's own account, which has none
			default:
				t.Errorf("%s as %s: got %q, want AccessDeniedException", name, who, said(err))
			}
			if len(w.log.events) != records+1 || w.log.last().Allowed {
				t.Errorf("%s as %s: %d records of the refusal: %+v", name, who, len(w.log.events)-records, w.log.last())
			}
		}
	}
	after := must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key}))(t).KeyMetadata
	if !reflect.DeepEqual(before, after) {
		t.Errorf("strangers changed the key:\n%+v\n%+v", before, after)
	}
}

// One who may do everything can do everything, and all of it goes on record.
func TestEveryOperationWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	for name, op := range keys.Ops {
		t.Run(name, func(t *testing.T) {
			w.log.fail = nil
			ann.dropAliases()
			key := ann.keyFor(name)
			in := w.inputs(ann, key)[name]
			if name == "CancelKeyDeletion" {
				must(ann.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key}))(t)
			}
			if name == "DisconnectCustomKeyStore" {
				must(ann.ConnectCustomKeyStore(t.Context(), &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: in.(*kms.DisconnectCustomKeyStoreInput).CustomKeyStoreId}))(t)
			}
			ann.may(name, func() error { _, err := op.Run(t.Context(), ann.View, in); return err }())
			if e := w.log.asked(); !e.Allowed || e.Caller.ARN != ann.caller.ARN || e.Reason == "" || !e.Time.Equal(w.now) {
				t.Errorf("record: %+v", e)
			}

			w.log.fail = errors.New("disk full")
			if _, err := op.Run(t.Context(), ann.View, in); !errors.Is(err, w.log.fail) && said(err) == "" {
				t.Errorf("%s went on without a record: %v", name, err)
			}
		})
	}
}

// Which operations reach a key of another account that lets it do everything,
// and which accept an alias there.
func TestWhatCrossesAccounts(t *testing.T) {
	t.Parallel()
	aliases := strings.Fields("Decapsulate DeriveSharedSecret DescribeKey Encapsulate Encrypt GenerateDataKey GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext GenerateDataKeyWithoutPlaintext GenerateMac GetPublicKey ReEncrypt Sign Verify VerifyMac")
	crosses := append(strings.Fields("CreateGrant Decrypt GetKeyRotationStatus ListGrants RevokeGrant"), aliases...)
	// These do not name a key, or (RetireGrant) the key policy has no say.
	alone := strings.Fields("CreateKey ConnectCustomKeyStore CreateCustomKeyStore DeleteCustomKeyStore DescribeCustomKeyStores DisconnectCustomKeyStore UpdateCustomKeyStore GenerateRandom ListKeys ListRetirableGrants DeleteAlias UpdateAlias RetireGrant")
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	bob := w.person(abroad, "user/bob", allow("kms:*"))
	for name, op := range keys.Ops {
		ann.dropAliases()
		key := ann.keyFor(name, delegating(abroad, "kms:*"))
		in := w.inputs(ann, key)[name]
		run := func(p *person, in any) string {
			_, err := op.Run(t.Context(), p.View, in)
			return said(err)
		}
		if has(alone, name) {
			continue
		}
		byID := reflect.New(reflect.TypeOf(in).Elem())
		byID.Elem().Set(reflect.ValueOf(in).Elem())
		got := run(bob, in)
		if has(crosses, name) != (got == "") || got != "" && !strings.HasPrefix(got, "AccessDeniedException: User: arn:aws:iam::444455556666:user/bob is not authorized to perform: kms:"+name+" on this resource because the resource does not exist") {
			t.Errorf("%s across accounts: %q", name, got)
		}
		for _, field := range []string{"KeyId", "TargetKeyId", "DestinationKeyId"} {
			f := byID.Elem().FieldByName(field)
			if !f.IsValid() || f.IsNil() {
				continue
			}
			f.Set(reflect.ValueOf(new((*key)[strings.LastIndex(*key, "/")+1:])))
			if got := run(bob, byID.Interface()); !strings.HasPrefix(got, "NotFoundException: Key 'arn:aws:kms:eu-west-1:444455556666:key/") {
				t.Errorf("%s by a bare id: %q", name, got)
			}
			f.Set(reflect.ValueOf(new("arn:aws:kms:eu-west-1:111122223333:alias/there")))
			switch got := run(bob, byID.Interface()); {
			case has(aliases, name) && got != "":
				t.Errorf("%s by alias ARN: %q", name, got)
			case !has(aliases, name) && got != "InvalidArnException: Key Aliases are not supported for this operation." && name != "CreateAlias":
				t.Errorf("%s by alias ARN: %q", name, got)
			}
		}
	}
}

// dropAliases deletes the aliases that inputs makes and uses.
func (p *person) dropAliases() {
	for _, a := range []string{"alias/there", "alias/new"} {
		_, err := p.DeleteAlias(p.w.t.Context(), &kms.DeleteAliasInput{AliasName: &a})
		if err != nil && !strings.HasPrefix(said(err), "NotFoundException") {
			p.w.t.Fatal(err)
		}
	}
}

func has(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}
