package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// KMS runs out of disk while it makes and rotates keys: it refuses, and whatever
// it had answered is there when there is room again, and after a crash too.
func TestKMSFullDisk(t *testing.T) {
	nothing := t.TempDir()
	s := onSmallDisk(t, "40m", "--postgres-bin", nothing)
	ann, ctx := root(t, s, accountA), t.Context()
	d := &disk{t: t, ann: ann, filler: filepath.Join(s.Data(), "filler")}
	b := &bank{t: t, s: s, ann: ann, kept: map[string]*deposit{}}
	for _, room := range []uint64{256 << 10, 64 << 10, 0} {
		d.leave(room)
		for n := 0; ; n++ {
			made, err := ann.kms().CreateKey(ctx, &kms.CreateKeyInput{})
			if err == nil {
				b.keep(*made.KeyMetadata.Arn, func(*deposit) {})
				err = b.encrypt(ctx, made.KeyMetadata.Arn)
			}
			if err == nil {
				_, err = ann.kms().RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: made.KeyMetadata.Arn})
			}
			if err != nil {
				refused(t, "work on a full disk", err, "KMSInternalException")
				break
			}
			b.keep(*made.KeyMetadata.Arn, func(d *deposit) { d.rotated++ })
			if n == 5000 {
				t.Fatal("the disk never filled")
			}
		}
		ann.must("make room", os.Remove(d.filler))
		until(t, "the server to work again", func() string {
			_, err := ann.kms().CreateKey(ctx, &kms.CreateKeyInput{})
			return codeOf(err)
		})
		b.audit()
		s.Kill()
		start(t, s, "--postgres-bin", nothing)
		b.audit()
	}
	t.Logf("%d keys, %d ciphertexts", len(b.kept), b.blobs())
}
