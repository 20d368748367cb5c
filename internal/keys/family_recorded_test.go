package keys_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// shape says a key's metadata in one line: what differs among a family.
func shape(m *types.KeyMetadata) string {
	s := fmt.Sprintf("%s %t %q", m.KeyState, m.Enabled, *m.Description)
	if c := m.MultiRegionConfiguration; c != nil {
		s += fmt.Sprintf(" %s of %s", c.MultiRegionKeyType, *c.PrimaryKey.Region)
		for _, r := range c.ReplicaKeys {
			s += " " + *r.Region
		}
	}
	if m.CurrentKeyMaterialId == nil {
		s += ", no material"
	}
	if m.DeletionDate != nil {
		s += ", deletion " + m.DeletionDate.Format("2006-01-02")
	}
	if m.PendingDeletionWindowInDays != nil {
		s += fmt.Sprintf(", window %d", *m.PendingDeletionWindowInDays)
	}
	return s
}

// The story that the project stackd recorded of AWS on 2026-09-12
// (testdata/aws/kms/multi_region.json), under its names of the cases. A wanted
// line that begins with "=" is a key's shape; others are what a client hears.
// What AWS says of a Region that does not exist is said of what is no Region's
// name; AWS's Creating and Updating are over at once.
func TestFamilyRecorded(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	east := w.person(home, "user/ann", allow("kms:*")).at("us-east-1")
	west, hongKong := east.at("us-west-2"), east.at("ap-east-1")
	created := must(east.CreateKey(ctx, &kms.CreateKeyInput{MultiRegion: new(true), Description: new("stackd multi-Region primary")}))(t).KeyMetadata
	key := created.Arn
	there := inRegion(key, "us-west-2")
	far := inRegion(key, "ap-east-1")
	if err := east.alias("alias/primary", key); err != nil {
		t.Fatal(err)
	}
	looks := func(p *person, of *string) string { return "=" + shape(p.metadata(of)) }
	replicated := func(region string) string {
		out, err := east.ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: key, ReplicaRegion: &region})
		if err != nil {
			return said(err)
		}
		if !strings.Contains(*out.ReplicaPolicy, `"Id" : "key-default-1"`) || out.ReplicaTags != nil {
			return *out.ReplicaPolicy
		}
		return "=" + shape(out.ReplicaKeyMetadata)
	}
	rotates := func(p *person, of *string) string { return fmt.Sprint(p.rotation(of) != "none") }
	scheduled := func(p *person, of *string) string {
		out, err := p.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: of, PendingWindowInDays: new(int32(7))})
		if err != nil {
			return said(err)
		}
		return fmt.Sprintf("%s %s %d %t", (*out.KeyId)[12:21], out.KeyState, *out.PendingWindowInDays, out.DeletionDate != nil)
	}
	tag := func(p *person, of *string) string {
		_, err := p.TagResource(ctx, &kms.TagResourceInput{KeyId: of, Tags: []types.Tag{{TagKey: new("a"), TagValue: new("b")}}})
		return said(err)
	}
	untag := func(p *person, of *string) string {
		_, err := p.UntagResource(ctx, &kms.UntagResourceInput{KeyId: of, TagKeys: []string{"a"}})
		return said(err)
	}
	var blob []byte
	decrypt := func(p *person, name *string) string {
		_, err := p.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob, KeyId: name})
		return said(err)
	}
	const unsupported = "UnsupportedOperationException: WEST is a multi-region replica key which is not valid for "
	const both = ` of us-east-1 ap-east-1 us-west-2`
	const led = ` of us-west-2 ap-east-1 us-east-1`
	for _, c := range []struct {
		name string
		do   func() string
		want string // EAST and WEST stand for the ARNs there, KEYID for the key's id
	}{
		{"primary_initial", func() string { return looks(east, key) }, `=Enabled true "stackd multi-Region primary" PRIMARY of us-east-1`},
		{"replicate_region_us-east-1", func() string { return replicated("us-east-1") }, "ValidationException: us-east-1 cannot have a replica because it contains the primary."},
		{"replicate_region_cn-north-1", func() string { return replicated("cn-north-1") }, "ValidationException: The replica key Region must be in the same AWS partition as the primary key Region."},
		{"replicate_region_us-invalid-1", func() string { return replicated("us-invalid") }, "ValidationException: Region us-invalid is not a valid Region or multi-Region keys are not supported in Region us-invalid."},
		{"replicate_region_ap-east-1", func() string { return replicated("ap-east-1") }, `=Creating false "" REPLICA of us-east-1 ap-east-1, no material`},
		{"enable_rotation_primary", func() string { return said(east.enableRotation(key, 90)) }, ""},
		{"encrypt_primary_before", func() string { var err error; blob, err = east.encrypt(key, nil); return said(err) }, ""},
		{"replicate_west", func() string { return replicated("us-west-2") }, `=Creating false "" REPLICA` + both + ", no material"},
		{"primary_after_replicate", func() string { return looks(east, key) }, `=Enabled true "stackd multi-Region primary" PRIMARY` + both},
		{"replica_ready_poll", func() string { return looks(west, there) }, `=Enabled true "" REPLICA` + both},
		{"replica_rotation", func() string { return fmt.Sprint(west.rotation(there) == east.rotation(key)) + rotates(west, there) }, "truetrue"},
		{"replica_tags", func() string {
			return fmt.Sprint(len(must(west.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: there}))(t).Tags))
		}, "0"},
		{"replica_enable-key-rotation", func() string { return said(west.enableRotation(there, 90)) }, unsupported + "EnableKeyRotation."},
		{"replica_disable-key-rotation", func() string { return said(west.disableRotation(there)) }, unsupported + "DisableKeyRotation."},
		{"replica_rotate-key-on-demand", func() string { return said(west.rotate(there)) }, unsupported + "RotateKeyOnDemand."},
		{"replicate_existing", func() string { return replicated("us-west-2") }, "AlreadyExistsException: You can create only one replica of each primary key in each AWS Region."},
		{"replicate_replica", func() string { return said(west.replicate(there, "eu-west-1")) }, "UnsupportedOperationException: WEST is not a multi-region primary key."},
		{"decrypt_replica_implicit", func() string { return decrypt(west, nil) }, ""},
		{"decrypt_replica_id", func() string { return decrypt(west, created.KeyId) }, ""},
		{"decrypt_replica_replica_arn", func() string { return decrypt(west, there) }, ""},
		{"decrypt_replica_primary_arn", func() string { return decrypt(west, key) }, "IncorrectKeyException: The key ID in the request does not identify a CMK that can perform this operation."},
		{"replica_reencrypt_same", func() string {
			out, err := west.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: there})
			if err != nil {
				return said(err)
			}
			return fmt.Sprint(*out.SourceKeyId == *there, *out.KeyId == *there, *out.SourceKeyMaterialId == *out.DestinationKeyMaterialId)
		}, "true true true"},
		{"disable_primary", func() string { return said(east.disable(key)) }, ""},
		{"decrypt_replica_primary_disabled", func() string { return decrypt(west, nil) }, ""},
		{"replicate_disabled_primary", func() string { return replicated("eu-west-1") }, "DisabledException: EAST is disabled."},
		{"enable_primary", func() string { return said(east.enable(key)) }, ""},
		{"alias_replicate-key", func() string { return said(east.replicate(new("alias/primary"), "eu-west-1")) }, "InvalidArnException: Key Aliases are not supported for this operation."},
		{"alias_update-primary-region", func() string { return said(east.lead(new("alias/primary"), "us-west-2")) }, "InvalidArnException: Key Aliases are not supported for this operation."},
		{"update_primary_same", func() string { return said(east.lead(key, "us-east-1")) }, ""},
		{"update_primary_missing", func() string { return said(east.lead(key, "eu-west-1")) }, "ValidationException: KEYID does not have a replica key in the specified Region."},
		{"update_from_replica", func() string { return said(west.lead(there, "us-east-1")) }, "KMSInvalidStateException: WEST is not a multi-Region primary key."},
		{"rotate_primary", func() string { return said(east.rotate(key)) }, ""},
		{"replica_rotation_sync_poll", func() string {
			return fmt.Sprint(*west.metadata(there).CurrentKeyMaterialId == *east.metadata(key).CurrentKeyMaterialId, *east.metadata(key).CurrentKeyMaterialId == *created.CurrentKeyMaterialId)
		}, "true false"},
		{"replica_rotation_history", func() string { return fmt.Sprint(west.history(there) == east.history(key)) }, "true"},
		{"replica_decrypt_old_material", func() string { return decrypt(west, nil) }, ""},
		{"promote_replica", func() string { return said(east.lead(key, "us-west-2")) }, ""},
		{"former_primary_final", func() string { return looks(east, key) }, `=Enabled true "stackd multi-Region primary" REPLICA` + led},
		{"primary_change_poll", func() string { return looks(west, there) }, `=Enabled true "" PRIMARY` + led},
		{"new_primary_rotation", func() string { return rotates(west, there) }, "true"},
		{"new_primary_decrypt_old", func() string { return decrypt(west, nil) }, ""},
		{"delete_primary_with_replica", func() string { return scheduled(west, there) }, "us-west-2 PendingReplicaDeletion 7 false"},
		{"primary_waiting_replicas", func() string { return looks(west, there) }, `=PendingReplicaDeletion false "" PRIMARY` + led + ", window 7"},
		{"replica_with_deleting_primary", func() string { return decrypt(east, nil) }, ""},
		{"primary_cancel_replica_wait", func() string { return said(west.cancel(there)) }, ""},
		{"primary_after_cancel", func() string { return looks(west, there) }, `=Disabled false "" PRIMARY` + led},
		{"primary_enable_after_cancel", func() string { return said(west.enable(there)) }, ""},
		{"replica_schedule_delete", func() string { return scheduled(east, key) }, "us-east-1 PendingDeletion 7 true"},
		{"primary_with_deleting_replica", func() string { return looks(west, there) }, `=Enabled true "" PRIMARY` + led},
		{"replicate_deleting_replica", func() string { return said(west.replicate(there, "us-east-1")) }, "AlreadyExistsException: You can create only one replica of each primary key in each AWS Region."},
		{"promote_deleting_replica", func() string { return said(west.lead(there, "us-east-1")) }, "KMSInvalidStateException: EAST is pending deletion."},
		{"cancel_for_disabled_replica", func() string { return said(east.cancel(key)) }, ""},
		{"promote_disabled_replica", func() string { return said(west.lead(there, "us-east-1")) }, "DisabledException: EAST is disabled."},
		{"disable for disabled primary", func() string { return said(west.disable(there)) }, ""},
		{"promote_disabled_primary", func() string { return said(west.lead(there, "us-east-1")) }, "DisabledException: WEST is disabled."},
		{"enable_replica_before_cleanup", func() string { return said(east.enable(key)) }, ""},
		{"cleanup_supplement_us-east-1", func() string { return scheduled(east, key) }, "us-east-1 PendingDeletion 7 true"},
		{"cleanup_supplement_us-west-2", func() string { return scheduled(west, there) }, "us-west-2 PendingReplicaDeletion 7 false"},
		{"deleting_rotation_us-east-1", func() string { return rotates(east, key) }, "false"},
		{"put_deleting_policy_us-east-1", func() string { return said(east.putPolicy(key, delegating(home, "kms:*"))) }, ""},
		{"tag_deleting_us-east-1", func() string { return tag(east, key) }, "KMSInvalidStateException: EAST is pending deletion."},
		{"untag_deleting_us-east-1", func() string { return untag(east, key) }, "KMSInvalidStateException: EAST is pending deletion."},
		{"deleting_rotation_us-west-2", func() string { return rotates(west, there) }, "true"},
		{"put_deleting_policy_us-west-2", func() string { return said(west.putPolicy(there, delegating(home, "kms:*"))) }, ""},
		{"tag_deleting_us-west-2", func() string { return tag(west, there) }, "KMSInvalidStateException: WEST is pending replica deletion."},
		{"untag_deleting_us-west-2", func() string { return untag(west, there) }, "KMSInvalidStateException: WEST is pending replica deletion."},
		{"cleanup ap-east-1", func() string { return scheduled(hongKong, far) }, "ap-east-1 PendingDeletion 7 true"},
		{"cleanup_followup", func() string {
			w.wait(7 * day)
			w.sweep()
			return said(east.describe(key)) + looks(west, there)
		}, `NotFoundException: Key 'EAST' does not exist=PendingDeletion false "" PRIMARY of us-west-2, deletion 2026-12-07`},
	} {
		want := strings.NewReplacer("EAST", *key, "WEST", *there, "KEYID", *created.KeyId).Replace(c.want)
		if got := c.do(); got != want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, want)
		}
	}
}

// multi_region_permissions.json of the same day: kms:CreateKey alone suffices, for
// the default policy is not checked to leave its creator a say.
func TestFamilyRecordedPermissions(t *testing.T) {
	w := newWorld(t)
	eve := w.person(home, "user/eve", allow("kms:CreateKey"))
	m := must(eve.CreateKey(t.Context(), &kms.CreateKeyInput{MultiRegion: new(true)}))(t).KeyMetadata
	if got := shape(m); got != `Enabled true "" PRIMARY of eu-west-1` || !strings.HasPrefix(*m.KeyId, "mrk-") || len(*m.KeyId) != 36 || !*m.MultiRegion {
		t.Errorf("%s %s", *m.KeyId, got)
	}
}

// imports_multi_region.json of the same day, as far as ReplicateKey goes.
func TestImportedFamilyRecorded(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.external(kms.CreateKeyInput{MultiRegion: new(true)})
	west, there := ann.at("us-west-2"), inRegion(key, "us-west-2")
	if got := shape(ann.metadata(key)); got != `PendingImport false "" PRIMARY of eu-west-1, no material` {
		t.Errorf("multi_create: %s", got)
	}
	ann.mayNot("replicate_pending_import", "KMSInvalidStateException: "+*key+" is pending import.", ann.replicate(key, "us-west-2"))
	id := must(ann.bring(ann.parcel(key), secretOf(1), described("primary first")))(t)
	m := must(ann.ReplicateKey(t.Context(), &kms.ReplicateKeyInput{KeyId: key, ReplicaRegion: new("us-west-2")}))(t).ReplicaKeyMetadata
	if got := shape(m); got != `Creating false "" REPLICA of eu-west-1 us-west-2, no material` || m.ExpirationModel != "KEY_MATERIAL_DOES_NOT_EXPIRE" || m.Origin != "EXTERNAL" {
		t.Errorf("replicate_imported_primary: %s %s", got, m.ExpirationModel)
	}
	m = west.metadata(there)
	if got := shape(m); got != `PendingImport false "" REPLICA of eu-west-1 us-west-2` || *m.CurrentKeyMaterialId != id || m.ExpirationModel != "" {
		t.Errorf("replica_pending_poll: %s %s", got, m.ExpirationModel)
	}
	if got := west.history(there); got != `CURRENT PENDING_IMPORT "primary first"` {
		t.Errorf("replica_missing_first_history: %s", got)
	}
	q := west.parcel(there)
	_, err := west.bring(q, secretOf(2))
	west.mayNot("replica_wrong_first", "IncorrectKeyMaterialException: Imported key material does not have the expected identifier ("+id+").", err)
	blob := must(ann.encrypt(key, nil))(t)
	west.mayNot("decrypt before the import", "KMSInvalidStateException: "+*there+" is pending import.", west.decrypt(blob, nil))
	must(west.bring(q, secretOf(1)))(t)
	west.may("decrypt after it", west.decrypt(blob, nil))

	must(ann.bring(ann.parcel(key), secretOf(2), anew))(t)
	ann.may("replicate with material that waits", ann.replicate(key, "ap-east-1"))
	const refused = "KMSInvalidStateException: Cannot perform key material rotation: Key material has not been imported for replicas of the Multi-Region key."
	ann.mayNot("rotate_before_replica_import", refused, ann.rotate(key))
	ann.may("make another primary", ann.lead(key, "us-west-2"))
	west.mayNot("rotate to what the new primary does not have either", refused, west.rotate(there))
	must(west.bring(q, secretOf(2)))(t)
	asia, farther := ann.at("ap-east-1"), inRegion(key, "ap-east-1")
	r := asia.parcel(farther)
	must(asia.bring(r, secretOf(1)))(t)
	must(asia.bring(r, secretOf(2)))(t)
	west.may("rotate what is everywhere", west.rotate(there))
	for _, p := range []*person{ann, west, asia} {
		p.may("decrypt what is older", p.decrypt(blob, nil))
	}
}
