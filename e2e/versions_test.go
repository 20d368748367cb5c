package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// What was encrypted before a rotation decrypts after it, and after a crash.
func TestRotation(t *testing.T) {
	s := newServer(t, "--postgres-bin", t.TempDir())
	ann, ctx := root(t, s, accountA), t.Context()
	key := ann.newKey()
	_, err := ann.kms().EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: &key, RotationPeriodInDays: new(int32(89))})
	refused(t, "89 days", err, "ValidationException", "1 validation error detected: Value '89' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value greater than or equal to 90")
	_, err = ann.kms().EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: &key, RotationPeriodInDays: new(int32(90))})
	ann.must("EnableKeyRotation", err)
	status, err := ann.kms().GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: &key})
	ann.must("GetKeyRotationStatus", err)
	if next := time.Until(*status.NextRotationDate); !status.KeyRotationEnabled || *status.RotationPeriodInDays != 90 || next > 90*24*time.Hour || next < 89*24*time.Hour {
		t.Errorf("status: %+v", status)
	}
	var made [][]byte
	for range 3 {
		out, err := ann.kms().Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: []byte("secret")})
		ann.must("encrypt", err)
		made = append(made, out.CiphertextBlob)
		_, err = ann.kms().RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: &key})
		ann.must("rotate", err)
	}
	s.Kill()
	start(t, s, "--postgres-bin", t.TempDir())
	ids := map[string]bool{}
	for _, blob := range made {
		out, err := ann.kms().Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob})
		ann.must("decrypt", err)
		ids[*out.KeyMaterialId] = true
	}
	p := kms.NewListKeyRotationsPaginator(ann.kms(), &kms.ListKeyRotationsInput{KeyId: &key, IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial, Limit: new(int32(3))})
	var all []types.RotationsListEntry
	for p.HasMorePages() {
		out, err := p.NextPage(ctx)
		ann.must("ListKeyRotations", err)
		all = append(all, out.Rotations...)
	}
	if len(all) != 4 || len(ids) != 3 || all[0].RotationDate != nil || all[3].KeyMaterialState != types.KeyMaterialStateCurrent || all[3].RotationType != types.RotationTypeOnDemand {
		t.Errorf("%d materials decrypted; history: %+v", len(ids), all)
	}
}

// Imported material expires by the clock of the server.
func TestImportedKey(t *testing.T) {
	s := newServer(t, "--postgres-bin", t.TempDir())
	ann, ctx := root(t, s, accountA), t.Context()
	made, err := ann.kms().CreateKey(ctx, &kms.CreateKeyInput{Origin: types.OriginTypeExternal})
	ann.must("create key", err)
	key := made.KeyMetadata.Arn
	params, err := ann.kms().GetParametersForImport(ctx, &kms.GetParametersForImportInput{
		KeyId: key, WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048,
	})
	ann.must("GetParametersForImport", err)
	public, err := x509.ParsePKIXPublicKey(params.PublicKey)
	ann.must("read the wrapping key", err)
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), bytes.Repeat([]byte{7}, 32), nil)
	ann.must("wrap", err)
	bring := func(token []byte, until *time.Time) (*kms.ImportKeyMaterialOutput, error) {
		in := &kms.ImportKeyMaterialInput{KeyId: key, ImportToken: token, EncryptedKeyMaterial: wrapped, ValidTo: until}
		if until == nil {
			in.ExpirationModel = types.ExpirationModelTypeKeyMaterialDoesNotExpire
		}
		return ann.kms().ImportKeyMaterial(ctx, in)
	}
	_, err = bring(append([]byte{1}, params.ImportToken...), nil)
	refused(t, "a damaged token", err, "InvalidImportTokenException")
	first, err := bring(params.ImportToken, nil)
	ann.must("import", err)
	sealed, err := ann.kms().Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("secret")})
	ann.must("encrypt", err)

	end := time.Now().Add(3 * time.Second)
	again, err := bring(params.ImportToken, &end)
	ann.must("import until soon", err)
	m, err := ann.kms().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key})
	ann.must("describe", err)
	if *again.KeyMaterialId != *first.KeyMaterialId || !m.KeyMetadata.ValidTo.Equal(end.Truncate(time.Second)) {
		t.Errorf("imported %s, again %s; %+v", *first.KeyMaterialId, *again.KeyMaterialId, m.KeyMetadata)
	}
	pause(ctx, time.Until(end))
	_, err = ann.kms().Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	refused(t, "decrypt with what has expired", err, "KMSInvalidStateException", "is pending import.")
	s.Kill()
	start(t, s, "--postgres-bin", t.TempDir())
	_, err = ann.kms().Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	refused(t, "decrypt with what has expired, after a crash", err, "KMSInvalidStateException", "is pending import.")
	_, err = bring(params.ImportToken, nil)
	ann.must("import with the token of before the crash", err)
	_, err = ann.kms().Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	ann.must("decrypt", err)
	_, err = ann.kms().DeleteImportedKeyMaterial(ctx, &kms.DeleteImportedKeyMaterialInput{KeyId: key})
	ann.must("delete the material", err)
	_, err = ann.kms().Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("secret")})
	refused(t, "encrypt without material", err, "KMSInvalidStateException", "is pending import.")
}
