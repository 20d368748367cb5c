package keys

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/material"
	"borealis/internal/policy"
	"borealis/internal/seal"
)

// maxValidity is how far ahead the end of imported material may be.
const maxValidity = 365 * day

// takesImports says that keys of this spec may have imported material.
func takesImports(s material.Spec) bool {
	switch s {
	case material.MLDSA44, material.MLDSA65, material.MLDSA87, material.MLKEM512, material.MLKEM768, material.MLKEM1024:
		return false
	}
	return s.Known()
}

// awaitImport makes k, which is new, a key whose material is imported.
func (s *Service) awaitImport(k *Key) error {
	k.Origin, k.State = imported, PendingImport
	secret := seal.NewKey()
	defer seal.Wipe(secret)
	var err error
	k.Naming, err = s.Sealer.Seal(secret, namingContext(k))
	return err
}

// namingContext is that of Key.Naming. It holds no Region: a family shares it.
func namingContext(k *Key) []byte {
	return seal.Context("kms names of imported material v1", string(k.Account), k.ID)
}

// importedID is the id of a material, in its encoding, that is imported into k or
// its family. The same material always has the same id, which says nothing about
// it to anybody who does not have k.Naming's secret.
func (s *Service) importedID(k *Key, encoded seal.Plaintext) (string, error) {
	secret, err := s.Sealer.Open(k.Naming, namingContext(k))
	if err != nil {
		return "", fmt.Errorf("open what names the materials of %s: %w", k.ARN(), err)
	}
	defer seal.Wipe(secret)
	h := hmac.New(sha256.New, secret)
	h.Write(encoded)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// wraps says that material of a key of this spec may be imported under a wrapping
// key of that spec with algorithm a.
func wraps(a material.Algorithm, wrapping, spec material.Spec) bool {
	isRSA := func(s material.Spec) bool {
		return s == material.RSA2048 || s == material.RSA3072 || s == material.RSA4096
	}
	switch a {
	case material.SM2PKE:
		return wrapping == material.SM2 && !isRSA(spec)
	case material.AESKeyWrapSHA1, material.AESKeyWrapSHA256:
		return isRSA(wrapping) && spec.Asymmetric()
	case material.OAEPSHA1, material.OAEPSHA256:
		tooLong := wrapping == material.RSA2048 && spec == material.P521
		return isRSA(wrapping) && !isRSA(spec) && !tooLong
	}
	return false
}

// GetParametersForImport makes a key pair under whose public key material may be
// wrapped for ImportKeyMaterial, and a token with the private key, which only this
// service reads. Making an RSA key takes up to seconds: nothing is locked meanwhile.
func (v *View) GetParametersForImport(ctx context.Context, in *kms.GetParametersForImportInput) (*kms.GetParametersForImportOutput, error) {
	t, err := v.open(ctx, ask{
		action: "GetParametersForImport", key: str(in.KeyId),
		context: policy.Context{
			"kms:WrappingAlgorithm": []string{string(in.WrappingAlgorithm)},
			"kms:WrappingKeySpec":   []string{string(in.WrappingKeySpec)},
		},
	})
	if err != nil {
		return nil, err
	}
	if err := onlyOrigin(t, imported); err != nil {
		return nil, err
	}
	w := wrapping{
		Algorithm: material.Algorithm(in.WrappingAlgorithm), Spec: material.Spec(in.WrappingKeySpec),
		Until: v.now().Add(day),
	}
	if !wraps(w.Algorithm, w.Spec, t.Spec) {
		return nil, invalid("Wrapping algorithm %s and wrapping key spec %s cannot be used to import a %s key.", w.Algorithm, w.Spec, t.Spec)
	}
	if w.Key, err = material.Generate(ctx, w.Spec); err != nil {
		return nil, fmt.Errorf("make a wrapping key: %w", err)
	}
	defer seal.Wipe(w.Key)
	token, public, err := v.sealToken(t.Ref, w)
	if err != nil {
		return nil, err
	}
	return &kms.GetParametersForImportOutput{KeyId: new(t.arn), ImportToken: token, PublicKey: public, ParametersValidTo: &w.Until}, nil
}

// ImportKeyMaterial gives an imported key material: its first, one to rotate to,
// or again one that it has had.
func (v *View) ImportKeyMaterial(ctx context.Context, in *kms.ImportKeyMaterialInput) (*kms.ImportKeyMaterialOutput, error) {
	model := in.ExpirationModel
	if model == "" {
		model = types.ExpirationModelTypeKeyMaterialExpires
	}
	c := policy.Context{"kms:ExpirationModel": []string{string(model)}}
	if in.ValidTo != nil {
		c["kms:ValidTo"] = []string{strconv.FormatInt(in.ValidTo.Unix(), 10)}
	}
	out := new(kms.ImportKeyMaterialOutput)
	t, err := v.update(ctx, ask{action: "ImportKeyMaterial", key: str(in.KeyId), context: c}, func(t target) (apply, error) {
		if err := onlyOrigin(t, imported); err != nil {
			return nil, err
		}
		if err := v.checkImport(t, in, model); err != nil {
			return nil, err
		}
		m, err := v.unwrap(t, in)
		if err != nil {
			return nil, err
		}
		if t.symmetric() {
			out.KeyMaterialId = &m.ID
		}
		return func(tx *change, k *Key) error { return v.receive(tx, *k, m, in) }, nil
	})
	if err != nil {
		return nil, err
	}
	out.KeyId = new(t.arn)
	return out, nil
}

// checkImport refuses parameters that do not go with each other or with the key.
func (v *View) checkImport(t target, in *kms.ImportKeyMaterialInput, model types.ExpirationModelType) error {
	if !t.symmetric() {
		const form = "Input parameter %s cannot be used with %s imported keys."
		switch {
		case in.ImportType != "":
			return invalid(form, "importType", t.Spec)
		case in.KeyMaterialId != nil:
			return invalid(form, "keyMaterialId", t.Spec)
		case in.KeyMaterialDescription != nil:
			return invalid(form, "keyMaterialDescription", t.Spec)
		}
	}
	anew := in.ImportType == types.ImportTypeNewKeyMaterial
	expires := model == types.ExpirationModelTypeKeyMaterialExpires
	switch {
	case anew && in.KeyMaterialId != nil:
		return invalid("Input parameter keyMaterialId cannot be used with NEW_KEY_MATERIAL importType.")
	case anew && t.replica():
		return invalid("Input parameter ImportType NEW_KEY_MATERIAL cannot be used on replica Multi-Region keys")
	case in.KeyMaterialDescription != nil && t.replica():
		return invalid("Key material description can only be specified on primary Multi-Region keys")
	case expires && in.ValidTo == nil:
		return invalid("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
	case !expires && in.ValidTo != nil:
		return invalid("A validTo date cannot be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE")
	case expires && !validTo(in).After(v.Now()):
		return invalid("ValidTo must be in the future")
	case expires && !in.ValidTo.Before(v.Now().Add(maxValidity)):
		return invalid("ValidTo must be less than 365 days in the future")
	}
	return nil
}

// validTo is when the material expires that in imports: KMS keeps whole seconds.
// It is zero if it does not expire.
func validTo(in *kms.ImportKeyMaterialInput) time.Time {
	if in.ValidTo == nil {
		return time.Time{}
	}
	return in.ValidTo.UTC().Truncate(time.Second)
}

// unwrap is the material that in brings, sealed for t.
func (v *View) unwrap(t target, in *kms.ImportKeyMaterialInput) (Material, error) {
	wrapped, err := v.openToken(t.Ref, in.ImportToken)
	if err != nil {
		return Material{}, err
	}
	defer seal.Wipe(wrapped.Key)
	encoded, err := wrapped.unwrap(t.Spec, in.EncryptedKeyMaterial)
	if err != nil {
		return Material{}, err
	}
	defer seal.Wipe(encoded)
	id, err := v.importedID(&t.Key, encoded)
	if err != nil {
		return Material{}, err
	}
	if err := admit(&t.Key, in, id); err != nil {
		return Material{}, err
	}
	m, err := v.sealMaterial(&t.Key, id, encoded)
	m.ValidTo, m.Description = validTo(in), str(in.KeyMaterialDescription)
	return m, err
}

// isNew says that in brings material that k is not to have had before.
func isNew(k *Key, in *kms.ImportKeyMaterialInput) bool {
	if in.ImportType == "" {
		return len(k.Materials) == 0 && in.KeyMaterialId == nil
	}
	return in.ImportType == types.ImportTypeNewKeyMaterial
}

// admit refuses material, by its id, that is not what in says it is.
func admit(k *Key, in *kms.ImportKeyMaterialInput, id string) error {
	incorrect := func(format string, args ...any) error {
		return &types.IncorrectKeyMaterialException{Message: new(fmt.Sprintf(format, args...))}
	}
	const unexpected = "Imported key material does not have the expected identifier (%s)."
	wanted, known := str(in.KeyMaterialId), k.version(id) >= 0
	switch {
	case isNew(k, in) && known:
		return incorrect("Key material (id: %s) being imported as NEW_KEY_MATERIAL is already associated with KMS key %s.", id, k.ARN())
	case isNew(k, in) && k.pending() != nil:
		return &types.KMSInvalidStateException{Message: new(fmt.Sprintf("New key material (id: %s) cannot be imported into KMS key %s, because another key material (id: %s) is pending rotation.", id, k.ARN(), k.pending().ID))}
	case isNew(k, in):
		return nil
	case wanted != "" && wanted != id:
		return incorrect(unexpected, wanted)
	case !known && (wanted != "" || k.Current == ""):
		return neverImported(k, id)
	case !known:
		return incorrect(unexpected, k.Current)
	}
	return nil
}

func neverImported(k *Key, id string) error {
	return invalid("Key material (id: %s) has never been imported into KMS key %s.", id, k.ARN())
}

// receive puts m, which was admitted, into k. The rest of the family learns of
// material that is new, and of its description, but not of the secret.
func (s *Service) receive(tx *change, k Key, m Material, in *kms.ImportKeyMaterialInput) error {
	now := s.now()
	return tx.editFamily(k, func(e *Key) {
		i := e.version(m.ID)
		if i < 0 {
			i = len(e.Materials)
			e.Materials = append(e.Materials[:i:i], Material{ID: m.ID, Created: m.Created})
			if e.Current == "" {
				e.Current = m.ID
			}
		}
		have := &e.Materials[i]
		if in.KeyMaterialDescription != nil {
			have.Description = m.Description
		}
		if e.Ref != k.Ref {
			return
		}
		have.Sealed, have.ValidTo = m.Sealed, m.ValidTo
		if e.State == PendingImport || e.State == Disabled {
			e.State = Enabled
		}
		e.settle(now)
	})
}

// DeleteImportedKeyMaterial destroys the secret of a material, the current one if
// none is named, and with it the use of the key until it is imported again. A
// material that waits for rotation is forgotten altogether.
func (v *View) DeleteImportedKeyMaterial(ctx context.Context, in *kms.DeleteImportedKeyMaterialInput) (*kms.DeleteImportedKeyMaterialOutput, error) {
	out := new(kms.DeleteImportedKeyMaterialOutput)
	t, err := v.update(ctx, ask{action: "DeleteImportedKeyMaterial", key: str(in.KeyId)}, func(t target) (apply, error) {
		if err := onlyOrigin(t, imported); err != nil {
			return nil, err
		}
		id := t.Current
		if in.KeyMaterialId != nil {
			id = *in.KeyMaterialId
		}
		switch {
		case in.KeyMaterialId != nil && !t.symmetric():
			return nil, invalid("Input parameter keyMaterialId cannot be used with %s imported keys.", t.Spec)
		case id == "":
			return func(*change, *Key) error { return nil }, nil
		case t.version(id) < 0:
			return nil, neverImported(&t.Key, id)
		}
		if t.symmetric() {
			out.KeyMaterialId = &id
		}
		return func(tx *change, k *Key) error { return v.remove(tx, *k, id) }, nil
	})
	if err != nil {
		return nil, err
	}
	out.KeyId = new(t.arn)
	return out, nil
}

// remove destroys the secret of k's material. One that is pending in a primary
// goes from the whole family.
func (s *Service) remove(tx *change, k Key, id string) error {
	if p := k.pending(); p != nil && p.ID == id && !k.replica() {
		return tx.editFamily(k, func(e *Key) { e.Materials = e.Materials[:len(e.Materials)-1] })
	}
	k.forget(id)
	k.settle(s.now())
	return tx.PutKey(k)
}

// forget takes the secret from a material of k.
func (k *Key) forget(id string) {
	m := &k.Materials[k.version(id)]
	m.Sealed, m.ValidTo = nil, time.Time{}
}

// expiration says in KMS's words how long m's secret is good.
func expiration(m *Material) (types.ExpirationModelType, *time.Time) {
	if m.ValidTo.IsZero() {
		return types.ExpirationModelTypeKeyMaterialDoesNotExpire, nil
	}
	return types.ExpirationModelTypeKeyMaterialExpires, new(m.ValidTo)
}

// describeImport adds to k's metadata what is said of imported keys only, and
// only while they have their material.
func (k *Key) describeImport(m *types.KeyMetadata) {
	i := k.version(k.Current)
	if k.Origin != imported || k.State == PendingImport || i < 0 || k.Materials[i].Sealed == nil {
		return
	}
	m.ExpirationModel, m.ValidTo = expiration(&k.Materials[i])
}

// unwrap opens what was wrapped under w, material of this spec. The answer is its
// one encoding, whatever the spelling that was wrapped.
func (w *wrapping) unwrap(spec material.Spec, wrapped []byte) (seal.Plaintext, error) {
	private, err := material.Load(w.Spec, w.Key)
	if err != nil {
		return nil, fmt.Errorf("read wrapping key of import token: %w", err)
	}
	defer private.Wipe()
	raw, err := material.Unwrap(private, w.Algorithm, wrapped)
	if err != nil {
		return nil, badCiphertext()
	}
	defer seal.Wipe(raw)
	k, err := loadImported(spec, raw)
	if err != nil {
		return nil, badCiphertext()
	}
	defer k.Wipe()
	return k.Encoding()
}

// loadImported is material.Load, and takes BER where AWS does.
func loadImported(spec material.Spec, raw []byte) (*material.Key, error) {
	k, err := material.Load(spec, raw)
	if err == nil || !takesBER(spec) {
		return k, err
	}
	der, ok := derOf(raw)
	if !ok {
		return nil, err
	}
	defer seal.Wipe(der)
	return material.Load(spec, der)
}
