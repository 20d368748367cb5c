package e2e

import (
	"bytes"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// A multi-Region key as SDK clients of three Regions see it, across a crash.
func TestMultiRegionKey(t *testing.T) {
	s := newServer(t, "--postgres-bin", t.TempDir())
	east, ctx := root(t, s, accountA), t.Context()
	west, tokyo := east.in("us-west-2"), east.in("ap-northeast-1")
	made, err := east.kms().CreateKey(ctx, &kms.CreateKeyInput{MultiRegion: new(true)})
	east.must("create key", err)
	id, key := made.KeyMetadata.KeyId, made.KeyMetadata.Arn
	replica, err := east.kms().ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: id, ReplicaRegion: new("us-west-2"), Tags: []types.Tag{{TagKey: new("a"), TagValue: new("b")}}})
	east.must("replicate", err)
	m := replica.ReplicaKeyMetadata
	if m.KeyState != types.KeyStateCreating || *m.Arn != strings.Replace(*key, "us-east-1", "us-west-2", 1) || len(replica.ReplicaTags) != 1 || !strings.Contains(*replica.ReplicaPolicy, "key-default-1") {
		t.Errorf("replica: %+v", replica)
	}
	for region, words := range map[string]string{"us-east-1": "cannot have a replica because it contains the primary.", "us-gov-west-1": "same AWS partition", "us_west": "Member must satisfy regular expression pattern", "": "Member must"} {
		_, err = east.kms().ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: id, ReplicaRegion: &region})
		refused(t, "replicate to "+region, err, "ValidationException", words)
	}
	_, err = east.kms().ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: id, ReplicaRegion: new("us-west-2")})
	refused(t, "replicate twice", err, "AlreadyExistsException")

	var blobs [][]byte
	seal := func(p *person) {
		t.Helper()
		out, err := p.kms().Encrypt(ctx, &kms.EncryptInput{KeyId: id, Plaintext: []byte("secret"), EncryptionContext: map[string]string{"a": "b"}})
		p.must("encrypt", err)
		blobs = append(blobs, out.CiphertextBlob)
	}
	opens := func(when string, all ...*person) {
		t.Helper()
		for _, p := range all {
			for i, b := range blobs {
				out, err := p.kms().Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: b, EncryptionContext: map[string]string{"a": "b"}})
				p.must("decrypt", err)
				if !bytes.Equal(out.Plaintext, []byte("secret")) || !strings.Contains(*out.KeyId, p.region) {
					t.Errorf("%s, ciphertext %d in %s: %q with %s", when, i, p.region, out.Plaintext, *out.KeyId)
				}
			}
		}
	}
	seal(east)
	seal(west)
	opens("replicated", east, west)
	_, err = tokyo.kms().Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blobs[0], EncryptionContext: map[string]string{"a": "b"}})
	refused(t, "decrypt where there is no replica", err, "AccessDeniedException")
	_, err = west.kms().Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blobs[0], KeyId: key, EncryptionContext: map[string]string{"a": "b"}})
	refused(t, "decrypt with the primary's ARN", err, "IncorrectKeyException")

	_, err = east.kms().RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: id})
	east.must("rotate", err)
	seal(west)
	_, err = east.kms().UpdatePrimaryRegion(ctx, &kms.UpdatePrimaryRegionInput{KeyId: id, PrimaryRegion: new("us-west-2")})
	east.must("change the primary Region", err)
	_, err = east.kms().ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: id, ReplicaRegion: new("ap-northeast-1")})
	refused(t, "replicate what is a replica now", err, "UnsupportedOperationException", "is not a multi-region primary key.")
	s.Kill()
	start(t, s, "--postgres-bin", t.TempDir())
	_, err = west.kms().ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: id, ReplicaRegion: new("ap-northeast-1")})
	west.must("replicate the new primary", err)
	seal(tokyo)
	opens("everywhere", east, west, tokyo)

	_, err = west.kms().ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: id, PendingWindowInDays: new(int32(7))})
	west.must("schedule the primary's deletion", err)
	d, err := west.kms().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: id})
	west.must("describe", err)
	if c := d.KeyMetadata.MultiRegionConfiguration; d.KeyMetadata.KeyState != types.KeyStatePendingReplicaDeletion || *d.KeyMetadata.PendingDeletionWindowInDays != 7 || d.KeyMetadata.DeletionDate != nil || *c.PrimaryKey.Region != "us-west-2" || len(c.ReplicaKeys) != 2 {
		t.Errorf("primary: %+v %+v", d.KeyMetadata, c)
	}
	opens("the primary waits", east, tokyo)

	if e, body := west.one("CreateKey"); !strings.HasSuffix(*e.Username, "root") || body["awsRegion"] != "us-west-2" {
		t.Errorf("CreateKey in the replica's Region: %v", body)
	}
	if _, body := west.one("SynchronizeMultiRegionKey"); body["eventType"] != "AwsServiceEvent" || body["awsRegion"] != "us-west-2" {
		t.Errorf("SynchronizeMultiRegionKey: %v", body)
	}
}
