package keys_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/keys"
)

// asked is the last record of what a caller did.
func (l *eventLog) asked() audit.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.events) - 1; i >= 0; i-- {
		if !l.events[i].Unasked {
			return l.events[i]
		}
	}
	return audit.Event{}
}

// A parcel is an import token and the public key that goes with it.
type parcel struct {
	*kms.GetParametersForImportOutput
	key *string
}

// external makes a key without material.
func (p *person) external(in kms.CreateKeyInput) *string {
	p.w.t.Helper()
	in.Origin = types.OriginTypeExternal
	return must(p.CreateKey(p.w.t.Context(), &in))(p.w.t).KeyMetadata.Arn
}

// parcel asks for a wrapping key of the sort that is made fastest.
func (p *person) parcel(key *string) parcel {
	p.w.t.Helper()
	return p.parcelOf(key, types.AlgorithmSpecSm2pke, types.WrappingKeySpecSm2)
}

func (p *person) parcelOf(key *string, a types.AlgorithmSpec, s types.WrappingKeySpec) parcel {
	p.w.t.Helper()
	out := must(p.GetParametersForImport(p.w.t.Context(), &kms.GetParametersForImportInput{KeyId: key, WrappingAlgorithm: a, WrappingKeySpec: s}))(p.w.t)
	return parcel{out, key}
}

// wrap wraps a secret under the public key.
func (c parcel) wrap(t testing.TB, secret []byte) []byte {
	t.Helper()
	if public, err := x509.ParsePKIXPublicKey(c.PublicKey); err == nil {
		return must(rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), secret, nil))(t)
	}
	public := must(smx509.ParsePKIXPublicKey(c.PublicKey))(t)
	return must(sm2.EncryptASN1(rand.Reader, public.(*ecdsa.PublicKey), secret))(t)
}

// input is the request that imports secret for good.
func (c parcel) input(t testing.TB, secret []byte, change ...func(*kms.ImportKeyMaterialInput)) *kms.ImportKeyMaterialInput {
	t.Helper()
	in := &kms.ImportKeyMaterialInput{
		KeyId: c.key, ImportToken: c.ImportToken, EncryptedKeyMaterial: c.wrap(t, secret),
		ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
	}
	for _, fn := range change {
		fn(in)
	}
	return in
}

// bring imports secret and returns the material's id.
func (p *person) bring(c parcel, secret []byte, change ...func(*kms.ImportKeyMaterialInput)) (string, error) {
	p.w.t.Helper()
	out, err := p.ImportKeyMaterial(p.w.t.Context(), c.input(p.w.t, secret, change...))
	if err != nil || out.KeyMaterialId == nil {
		return "", err
	}
	return *out.KeyMaterialId, nil
}

// Changes of what input makes.

func anew(in *kms.ImportKeyMaterialInput) { in.ImportType = types.ImportTypeNewKeyMaterial }

func until(at time.Time) func(*kms.ImportKeyMaterialInput) {
	return func(in *kms.ImportKeyMaterialInput) {
		in.ExpirationModel, in.ValidTo = types.ExpirationModelTypeKeyMaterialExpires, &at
	}
}

func named(id string) func(*kms.ImportKeyMaterialInput) {
	return func(in *kms.ImportKeyMaterialInput) { in.KeyMaterialId = &id }
}

func described(as string) func(*kms.ImportKeyMaterialInput) {
	return func(in *kms.ImportKeyMaterialInput) { in.KeyMaterialDescription = &as }
}

func (p *person) takeAway(key *string, id ...string) (string, error) {
	in := &kms.DeleteImportedKeyMaterialInput{KeyId: key}
	if len(id) > 0 {
		in.KeyMaterialId = &id[0]
	}
	out, err := p.DeleteImportedKeyMaterial(p.w.t.Context(), in)
	if err != nil || out.KeyMaterialId == nil {
		return "", err
	}
	return *out.KeyMaterialId, nil
}

// brought is a key with imported material, and a request that imports it again:
// one in each world.
func (w *world) brought(owner *person) (*string, *kms.ImportKeyMaterialInput) {
	w.t.Helper()
	if w.theirs == nil {
		key := owner.external(kms.CreateKeyInput{})
		w.theirs = owner.parcel(key).input(w.t, make([]byte, 32))
	}
	must(owner.ImportKeyMaterial(w.t.Context(), w.theirs))(w.t)
	return w.theirs.KeyId, w.theirs
}

func secretOf(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// What AWS answered: radkawar/stackd, testdata/aws/kms/imports.json and
// imports_edges.json, recorded 2026-09-12. Ids, dates and secrets are ours, and a
// rotation is over at once.
func TestImport(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.external(kms.CreateKeyInput{})
	state := func(when, want string) {
		t.Helper()
		m := ann.metadata(key)
		got := string(m.KeyState)
		if m.ExpirationModel != "" {
			got += " " + string(m.ExpirationModel)
		}
		if m.ValidTo != nil {
			got += " " + m.ValidTo.Format(time.DateTime)
		}
		if got != want || m.Enabled != (m.KeyState == "Enabled") || m.Origin != "EXTERNAL" {
			t.Errorf("%s: %s, want %s (%+v)", when, got, want, m)
		}
	}
	history := func(when, want string) {
		t.Helper()
		if got := ann.history(key); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", when, got, want)
		}
	}
	const forever = "Enabled KEY_MATERIAL_DOES_NOT_EXPIRE"
	pending := "KMSInvalidStateException: " + *key + " is pending import."
	noPending := "KMSInvalidStateException: No available key material pending rotation for the key: " + *key + "."
	originRefused := "UnsupportedOperationException: " + *key + " origin is EXTERNAL which is not valid for this operation."

	state("new", "PendingImport")
	history("new", "")
	if ann.metadata(key).CurrentKeyMaterialId != nil {
		t.Error("a key without material has a current one")
	}
	if id, err := ann.takeAway(key); id != "" || err != nil {
		t.Errorf("delete nothing: %q, %v", id, err)
	}
	ann.mayNot("enable", pending, ann.enable(key))
	ann.mayNot("disable", pending, ann.disable(key))
	ann.mayNot("encrypt", pending, func() error { _, err := ann.encrypt(key, nil); return err }())
	ann.mayNot("rotate", pending, ann.rotate(key))
	ann.mayNot("have it rotated", originRefused, ann.enableRotation(key))
	ann.mayNot("not have it rotated", originRefused, ann.disableRotation(key))
	if got := ann.rotation(key); got != "none" {
		t.Error(got)
	}

	first, second := ann.parcel(key), ann.parcelOf(key, "RSAES_OAEP_SHA_256", "RSA_2048")
	if want := w.clock().Truncate(time.Millisecond).Add(day); !first.ParametersValidTo.Equal(want) || *first.KeyId != *key {
		t.Errorf("%+v", first)
	}
	refused := func(what, want string, secret []byte, change ...func(*kms.ImportKeyMaterialInput)) {
		t.Helper()
		_, err := ann.bring(first, secret, change...)
		ann.mayNot("import "+what, strings.ReplaceAll(want, "ARN", *key), err)
	}
	refused("without a date", "ValidationException: A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES", secretOf(1), func(in *kms.ImportKeyMaterialInput) { in.ExpirationModel = "" })
	refused("with a past date", "ValidationException: ValidTo must be in the future", secretOf(1), until(w.clock().Add(-time.Second)))
	refused("for this instant", "ValidationException: ValidTo must be in the future", secretOf(1), until(w.clock().Add(time.Millisecond)))
	refused("for more than a year", "ValidationException: ValidTo must be less than 365 days in the future", secretOf(1), until(w.clock().Add(365*day)))
	refused("a date and no end", "ValidationException: A validTo date cannot be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE", secretOf(1), func(in *kms.ImportKeyMaterialInput) { in.ValidTo = new(w.clock().Add(day)) })
	refused("31 bytes", "InvalidCiphertextException", make([]byte, 31))
	refused("garbage", "InvalidCiphertextException", secretOf(1), func(in *kms.ImportKeyMaterialInput) { in.EncryptedKeyMaterial[5] ^= 1 })
	refused("with a damaged token", "InvalidImportTokenException", secretOf(1), func(in *kms.ImportKeyMaterialInput) {
		in.ImportToken = append([]byte{0}, in.ImportToken...)
	})
	refused("with another key's token", "InvalidImportTokenException", secretOf(1), func(in *kms.ImportKeyMaterialInput) {
		in.ImportToken = ann.parcel(ann.external(kms.CreateKeyInput{})).ImportToken
	})
	refused("what was wrapped for another token", "InvalidCiphertextException", secretOf(1), func(in *kms.ImportKeyMaterialInput) { in.ImportToken = second.ImportToken })
	refused("again what never was", "ValidationException", secretOf(1), func(in *kms.ImportKeyMaterialInput) { in.ImportType = "EXISTING_KEY_MATERIAL" })
	state("after refusals", "PendingImport")
	history("after refusals", "")

	a := must(ann.bring(first, secretOf(1), described("first material")))(t)
	state("imported", forever)
	history("imported", `CURRENT IMPORTED KEY_MATERIAL_DOES_NOT_EXPIRE "first material"`)
	if got := *ann.metadata(key).CurrentKeyMaterialId; got != a || len(a) != 64 {
		t.Errorf("current %s, imported %s", got, a)
	}
	for _, c := range []parcel{first, second} {
		if id := must(ann.bring(c, secretOf(1)))(t); id != a {
			t.Errorf("the same material again is %s, was %s", id, a)
		}
	}
	refused("other material", "IncorrectKeyMaterialException: Imported key material does not have the expected identifier ("+a+").", secretOf(2))
	refused("the same as new", "IncorrectKeyMaterialException: Key material (id: "+a+") being imported as NEW_KEY_MATERIAL is already associated with KMS key ARN.", secretOf(1), anew)
	zero := strings.Repeat("0", 64)
	refused("under another id", "IncorrectKeyMaterialException: Imported key material does not have the expected identifier ("+zero+").", secretOf(1), named(zero))
	refused("new and named", "ValidationException: Input parameter keyMaterialId cannot be used with NEW_KEY_MATERIAL importType.", secretOf(1), anew, named(a))
	blob := must(ann.encrypt(key, nil))(t)
	ann.mayNot("have it rotated", originRefused, ann.enableRotation(key))
	ann.mayNot("not have it rotated", originRefused, ann.disableRotation(key))
	ann.mayNot("rotate to nothing", noPending, ann.rotate(key))

	b := must(ann.bring(first, secretOf(2), anew, described("pending second")))(t)
	history("with a second", `CURRENT IMPORTED KEY_MATERIAL_DOES_NOT_EXPIRE "first material"`+"\n"+`PENDING_ROTATION IMPORTED KEY_MATERIAL_DOES_NOT_EXPIRE "pending second"`)
	_, err := ann.bring(first, secretOf(3), anew)
	if got := said(err); !strings.HasPrefix(got, "KMSInvalidStateException: New key material (id: ") || !strings.HasSuffix(got, ") cannot be imported into KMS key "+*key+", because another key material (id: "+b+") is pending rotation.") {
		t.Errorf("a third: %s", got)
	}
	if id := must(ann.takeAway(key, b))(t); id != b {
		t.Errorf("deleted %s, want %s", id, b)
	}
	state("without the second", forever)
	history("without the second", `CURRENT IMPORTED KEY_MATERIAL_DOES_NOT_EXPIRE "first material"`)
	if id := must(ann.bring(first, secretOf(2), anew))(t); id != b {
		t.Errorf("the second again is %s, was %s", id, b)
	}
	w.wait(time.Minute)
	ann.may("rotate", ann.rotate(key))
	rotated := "CURRENT IMPORTED KEY_MATERIAL_DOES_NOT_EXPIRE ON_DEMAND 2026-11-23 10:01:00"
	history("rotated", `NON_CURRENT IMPORTED KEY_MATERIAL_DOES_NOT_EXPIRE "first material"`+"\n"+rotated)
	ann.may("decrypt what is old", ann.decrypt(blob, nil))
	ann.mayNot("rotate again", noPending, ann.rotate(key))

	must(ann.takeAway(key, a))(t)
	state("without the old", "PendingImport")
	if got := *ann.metadata(key).CurrentKeyMaterialId; got != b {
		t.Errorf("current %s, want %s", got, b)
	}
	ann.mayNot("encrypt without the old", pending, func() error { _, err := ann.encrypt(key, nil); return err }())
	ann.mayNot("decrypt with what was deleted", pending, ann.decrypt(blob, nil))
	history("without the old", `NON_CURRENT PENDING_IMPORT "first material"`+"\n"+rotated)
	must(ann.bring(first, secretOf(1), named(a)))(t)
	state("with the old", forever)
	ann.may("decrypt", ann.decrypt(blob, nil))

	ann.may("disable", ann.disable(key))
	must(ann.bring(ann.parcel(key), secretOf(2)))(t)
	state("imported into a disabled key", forever)

	end := w.clock().Add(40*time.Second + 300*time.Millisecond)
	must(ann.bring(first, secretOf(2), until(end)))(t)
	state("about to expire", "Enabled KEY_MATERIAL_EXPIRES 2026-11-23 10:01:40")
	w.wait(39 * time.Second)
	ann.may("use it to the last", ann.dataKey(key))
	w.wait(time.Second)
	state("expired", "PendingImport")
	ann.mayNot("use it", pending, ann.dataKey(key))
	ann.mayNot("decrypt", pending, ann.decrypt(blob, nil))
	ann.mayNot("enable it", pending, ann.enable(key))
	old := `NON_CURRENT IMPORTED KEY_MATERIAL_DOES_NOT_EXPIRE "first material"` + "\n"
	history("expired", old+"CURRENT IMPORTED KEY_MATERIAL_EXPIRES ON_DEMAND 2026-11-23 10:01:40 2026-11-23 10:01:00")
	if n := w.sweep(); n != 1 {
		t.Errorf("swept %d", n)
	}
	if e := w.log.last(); e.Action != "kms:DeleteImportedKeyMaterial" || !e.Unasked || e.Detail["keyMaterialId"] != b {
		t.Errorf("record: %+v", e)
	}
	history("swept", old+"CURRENT PENDING_IMPORT ON_DEMAND 2026-11-23 10:01:00")
	must(ann.bring(first, secretOf(2)))(t)
	state("imported after it expired", forever)

	for range 2 {
		if id := must(ann.takeAway(key))(t); id != b {
			t.Errorf("deleted %s, want %s", id, b)
		}
	}
	_, err = ann.takeAway(key, zero)
	ann.mayNot("delete what never was", "ValidationException: Key material (id: "+zero+") has never been imported into KMS key "+*key+".", err)
	ann.may("schedule its deletion", ann.schedule(key))
	_, err = ann.bring(first, secretOf(2))
	ann.mayNot("import into a key that is to be deleted", "KMSInvalidStateException: "+*key+" is pending deletion.", err)
	ann.may("cancel", ann.cancel(key))
	state("cancelled", "PendingImport")
	must(ann.bring(first, secretOf(2)))(t)
	ann.may("schedule its deletion with material", ann.schedule(key))
	must(ann.takeAway(key))(t)
	state("material deleted", "PendingDeletion")
	ann.may("cancel", ann.cancel(key))
	state("cancelled", "PendingImport")

	w.wait(day)
	_, err = ann.bring(first, secretOf(2))
	ann.mayNot("use a token of yesterday", "ExpiredImportTokenException", err)

	ours := ann.key()
	wrongOrigin := "UnsupportedOperationException: " + *ours + " origin is AWS_KMS which is not valid for this operation."
	_, err = ann.takeAway(ours)
	ann.mayNot("delete KMS's material", wrongOrigin, err)
	_, err = ann.bring(parcel{first.GetParametersForImportOutput, ours}, secretOf(2))
	ann.mayNot("import over KMS's material", wrongOrigin, err)
	_, err = ann.GetParametersForImport(t.Context(), &kms.GetParametersForImportInput{KeyId: ours, WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "RSA_2048"})
	ann.mayNot("ask to", wrongOrigin, err)
}

// What expires while it waits for rotation: imports_rotation_expiry.json of the
// same source.
func TestPendingMaterialExpires(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.external(kms.CreateKeyInput{})
	p := ann.parcel(key)
	must(ann.bring(p, secretOf(1)))(t)
	blob := must(ann.encrypt(key, nil))(t)
	must(ann.bring(p, secretOf(2), anew, until(w.clock().Add(10*time.Second))))(t)
	for _, swept := range []bool{false, true} {
		w.wait(time.Minute)
		if swept {
			w.sweep()
		}
		ann.may("encrypt, with the current material", ann.dataKey(key))
		_, err := ann.bring(p, secretOf(2), anew)
		ann.mayNot("import it as new", "IncorrectKeyMaterialException", err)
	}
	ann.may("rotate to it", ann.rotate(key))
	ann.mayNot("encrypt", "KMSInvalidStateException: "+*key+" is pending import.", ann.dataKey(key))
	ann.mayNot("decrypt what is old", "KMSInvalidStateException", ann.decrypt(blob, nil))
	must(ann.bring(p, secretOf(2)))(t)
	ann.may("encrypt", ann.dataKey(key))
	ann.may("decrypt what is old", ann.decrypt(blob, nil))
}

// Every state of a key, for the operations on imported material.
func TestImportStates(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	deleting := "KMSInvalidStateException: %s is pending deletion."
	for name, want := range map[string][4]string{ // Enabled, Disabled, PendingDeletion, PendingImport
		"DeleteImportedKeyMaterial": {},
		"GetParametersForImport":    {"", "", deleting, ""},
		"ImportKeyMaterial":         {"", "", deleting, ""},
	} {
		for state, want := range want {
			key := ann.external(kms.CreateKeyInput{})
			in := ann.parcel(key).input(t, secretOf(1))
			if state < 3 {
				must(ann.ImportKeyMaterial(t.Context(), in))(t)
			}
			switch state {
			case 1:
				ann.may("disable", ann.disable(key))
			case 2:
				ann.may("schedule deletion", ann.schedule(key))
			}
			_, err := keys.Ops[name].Run(t.Context(), ann.View, map[string]any{
				"DeleteImportedKeyMaterial": &kms.DeleteImportedKeyMaterialInput{KeyId: key},
				"GetParametersForImport":    &kms.GetParametersForImportInput{KeyId: key, WrappingAlgorithm: "SM2PKE", WrappingKeySpec: "SM2"},
				"ImportKeyMaterial":         in,
			}[name])
			if want := strings.ReplaceAll(want, "%s", *key); said(err) != want {
				t.Errorf("%s in state %d: got %q, want %q", name, state, said(err), want)
			}
		}
	}
}

func TestImportConditions(t *testing.T) {
	deny := func(action, condition string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"kms:` + action + `","Resource":"*","Condition":` + condition + `}}`
	}
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.external(kms.CreateKeyInput{})
	p := ann.parcel(key)
	end := w.clock().Add(48 * time.Hour)
	for name, c := range map[string]struct {
		policy string
		change func(*kms.ImportKeyMaterialInput)
		denied bool
	}{
		"no end":        {deny("ImportKeyMaterial", `{"StringEquals":{"kms:ExpirationModel":"KEY_MATERIAL_DOES_NOT_EXPIRE"}}`), func(*kms.ImportKeyMaterialInput) {}, true},
		"an end":        {deny("ImportKeyMaterial", `{"StringEquals":{"kms:ExpirationModel":"KEY_MATERIAL_DOES_NOT_EXPIRE"}}`), until(end), false},
		"usual model":   {deny("ImportKeyMaterial", `{"StringEquals":{"kms:ExpirationModel":"KEY_MATERIAL_EXPIRES"}}`), func(in *kms.ImportKeyMaterialInput) { in.ExpirationModel = ""; in.ValidTo = &end }, true},
		"too far":       {deny("ImportKeyMaterial", `{"NumericGreaterThan":{"kms:ValidTo":"1795600000"}}`), until(end), true},
		"near":          {deny("ImportKeyMaterial", `{"DateGreaterThan":{"kms:ValidTo":"2026-11-26T00:00:00Z"}}`), until(end), false},
		"too far, date": {deny("ImportKeyMaterial", `{"DateGreaterThan":{"kms:ValidTo":"2026-11-25T00:00:00Z"}}`), until(end), true},
	} {
		bob := w.person(home, "user/bob", allow("kms:*"), c.policy)
		_, err := bob.bring(p, secretOf(1), c.change)
		if got := code(err); c.denied != (got == "AccessDeniedException") || !c.denied && got != "" {
			t.Errorf("%s: %s", name, said(err))
		}
	}
	for name, condition := range map[string]string{
		"algorithm": `{"StringEquals":{"kms:WrappingAlgorithm":"SM2PKE"}}`, "spec": `{"StringEquals":{"kms:WrappingKeySpec":"SM2"}}`,
	} {
		bob := w.person(home, "user/bob", allow("kms:*"), deny("GetParametersForImport", condition))
		_, err := bob.GetParametersForImport(t.Context(), &kms.GetParametersForImportInput{KeyId: key, WrappingAlgorithm: "SM2PKE", WrappingKeySpec: "SM2"})
		bob.mayNot("wrap with this "+name, "AccessDeniedException", err)
	}
}

// Keys that are not symmetric keep one material for life: imports_families.json of
// the same source.
func TestImportHMAC(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.external(kms.CreateKeyInput{KeySpec: "HMAC_224", KeyUsage: "GENERATE_VERIFY_MAC"})
	p := ann.parcel(key)
	_, err := ann.bring(p, make([]byte, 27))
	ann.mayNot("import 27 bytes", "InvalidCiphertextException", err)
	if id := must(ann.bring(p, make([]byte, 28)))(t); id != "" {
		t.Errorf("it has an id: %s", id)
	}
	if m := ann.metadata(key); m.CurrentKeyMaterialId != nil || m.KeyState != "Enabled" || m.ExpirationModel != "KEY_MATERIAL_DOES_NOT_EXPIRE" {
		t.Errorf("%+v", m)
	}
	for name, change := range map[string]func(*kms.ImportKeyMaterialInput){
		"importType":             func(in *kms.ImportKeyMaterialInput) { in.ImportType = "EXISTING_KEY_MATERIAL" },
		"keyMaterialId":          named(strings.Repeat("0", 64)),
		"keyMaterialDescription": described("x"),
	} {
		_, err := ann.bring(p, make([]byte, 28), change)
		ann.mayNot("say "+name, "ValidationException: Input parameter "+name+" cannot be used with HMAC_224 imported keys.", err)
	}
	_, err = ann.takeAway(key)
	ann.may("delete it", err)
	_, err = ann.bring(p, bytes.Repeat([]byte{7}, 28))
	if got := said(err); !strings.HasPrefix(got, "IncorrectKeyMaterialException: Imported key material does not have the expected identifier (") {
		t.Errorf("another material: %s", got)
	}
	_, err = ann.bring(p, make([]byte, 28))
	ann.may("import it again", err)
	for _, spec := range []types.KeySpec{"ML_DSA_44", "ML_DSA_87"} {
		_, err := ann.CreateKey(t.Context(), &kms.CreateKeyInput{Origin: "EXTERNAL", KeySpec: spec, KeyUsage: "SIGN_VERIFY"})
		ann.mayNot("bring "+string(spec), "ValidationException: KeySpec "+string(spec)+" is not supported for Origin EXTERNAL", err)
	}
}

// Which material is wrapped how.
func TestWrappings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	usage := map[types.KeySpec]types.KeyUsageType{"SYMMETRIC_DEFAULT": "ENCRYPT_DECRYPT", "HMAC_256": "GENERATE_VERIFY_MAC"}
	refused := map[types.KeySpec]string{ // wrapping algorithms, each with "!" and the only spec that is refused
		"SYMMETRIC_DEFAULT":     "RSAES_PKCS1_V1_5 RSA_AES_KEY_WRAP_SHA_1 RSA_AES_KEY_WRAP_SHA_256",
		"HMAC_256":              "RSAES_PKCS1_V1_5 RSA_AES_KEY_WRAP_SHA_1 RSA_AES_KEY_WRAP_SHA_256",
		"RSA_2048":              "RSAES_PKCS1_V1_5 RSAES_OAEP_SHA_1 RSAES_OAEP_SHA_256 SM2PKE",
		"ECC_NIST_P256":         "RSAES_PKCS1_V1_5",
		"ECC_NIST_P521":         "RSAES_PKCS1_V1_5 RSAES_OAEP_SHA_1 RSAES_OAEP_SHA_256",
		"ECC_NIST_EDWARDS25519": "RSAES_PKCS1_V1_5",
		"SM2":                   "RSAES_PKCS1_V1_5",
	}
	for spec, bad := range refused {
		u := usage[spec]
		if u == "" {
			u = "SIGN_VERIFY"
		}
		key := ann.external(kms.CreateKeyInput{KeySpec: spec, KeyUsage: u})
		for _, a := range types.AlgorithmSpec("").Values() {
			wrapping := types.WrappingKeySpecRsa2048
			if a == types.AlgorithmSpecSm2pke {
				wrapping = types.WrappingKeySpecSm2
			}
			out, err := ann.GetParametersForImport(t.Context(), &kms.GetParametersForImportInput{KeyId: key, WrappingAlgorithm: a, WrappingKeySpec: wrapping})
			want := ""
			if has(strings.Fields(bad), string(a)) {
				want = "ValidationException: Wrapping algorithm " + string(a) + " and wrapping key spec " + string(wrapping) + " cannot be used to import a " + string(spec) + " key."
			}
			if said(err) != want {
				t.Errorf("%s with %s: %q, want %q", spec, a, said(err), want)
			}
			if err == nil && (len(out.ImportToken) > 6144 || len(out.PublicKey) == 0) {
				t.Errorf("%s with %s: token of %d bytes", spec, a, len(out.ImportToken))
			}
		}
	}
	key := ann.external(kms.CreateKeyInput{KeySpec: "ECC_NIST_P521", KeyUsage: "SIGN_VERIFY"})
	_, err := ann.GetParametersForImport(t.Context(), &kms.GetParametersForImportInput{KeyId: key, WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "SM2"})
	ann.mayNot("mix them", "ValidationException", err)
}

// A family of imported keys: imports_multi_region.json and
// imports_rotation_replica.json of the same source.
func TestImportIntoFamily(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.external(kms.CreateKeyInput{MultiRegion: new(true)})
	a := must(ann.bring(ann.parcel(key), secretOf(1), described("primary first")))(t)
	ann.may("replicate", ann.replicate(key, "us-west-2"))
	west := ann.at("us-west-2")
	there := new(strings.Replace(*key, "eu-west-1", "us-west-2", 1))
	p, q := ann.parcel(key), west.parcel(there)
	histories := func(when, primary, replica string) {
		t.Helper()
		if got := ann.history(key); got != primary {
			t.Errorf("%s, primary:\n%s\nwant\n%s", when, got, primary)
		}
		if got := west.history(there); got != replica {
			t.Errorf("%s, replica:\n%s\nwant\n%s", when, got, replica)
		}
	}
	const forever = "IMPORTED KEY_MATERIAL_DOES_NOT_EXPIRE"
	const waiting = "\nPENDING_MULTI_REGION_IMPORT_AND_ROTATION "
	histories("replicated", `CURRENT `+forever+` "primary first"`, `CURRENT PENDING_IMPORT "primary first"`)
	west.mayNot("use it", "KMSInvalidStateException: "+*there+" is pending import.", west.dataKey(there))

	_, err := west.bring(q, secretOf(2))
	west.mayNot("import something else", "IncorrectKeyMaterialException: Imported key material does not have the expected identifier ("+a+").", err)
	_, err = west.bring(q, secretOf(1), described("replica first"))
	west.mayNot("describe it", "ValidationException: Key material description can only be specified on primary Multi-Region keys", err)
	_, err = west.bring(q, secretOf(2), anew)
	west.mayNot("import something new", "ValidationException: Input parameter ImportType NEW_KEY_MATERIAL cannot be used on replica Multi-Region keys", err)
	_, err = west.bring(parcel{p.GetParametersForImportOutput, there}, secretOf(1))
	west.mayNot("use the primary's token", "InvalidImportTokenException", err)
	if id := must(west.bring(q, secretOf(1)))(t); id != a {
		t.Errorf("%s in the replica is %s", a, id)
	}
	old := must(ann.encrypt(key, nil))(t)
	west.may("decrypt", west.decrypt(old, nil))

	b := must(ann.bring(p, secretOf(2), anew))(t)
	histories("a second", `CURRENT `+forever+` "primary first"`+waiting+forever, `CURRENT `+forever+` "primary first"`+waiting+"PENDING_IMPORT")
	ann.mayNot("rotate", "KMSInvalidStateException: Cannot perform key material rotation: Key material has not been imported for replicas of the Multi-Region key.", ann.rotate(key))
	must(west.bring(q, secretOf(2)))(t)
	histories("a second in both", `CURRENT `+forever+` "primary first"`+"\nPENDING_ROTATION "+forever, `CURRENT `+forever+` "primary first"`+"\nPENDING_ROTATION "+forever)
	must(west.takeAway(there, b))(t)
	histories("taken from the replica", `CURRENT `+forever+` "primary first"`+waiting+forever, `CURRENT `+forever+` "primary first"`+waiting+"PENDING_IMPORT")
	must(west.bring(q, secretOf(2)))(t)
	must(ann.takeAway(key, b))(t)
	histories("taken from the primary", `CURRENT `+forever+` "primary first"`, `CURRENT `+forever+` "primary first"`)
	must(ann.bring(p, secretOf(2), anew))(t)
	must(west.bring(q, secretOf(2)))(t)
	ann.may("rotate", ann.rotate(key))
	rotated := "\nCURRENT " + forever + " ON_DEMAND 2026-11-23 10:00:00"
	histories("rotated", `NON_CURRENT `+forever+` "primary first"`+rotated, `NON_CURRENT `+forever+` "primary first"`+rotated)
	for _, blob := range [][]byte{old, must(ann.encrypt(key, nil))(t)} {
		west.may("decrypt", west.decrypt(blob, nil))
	}
	must(west.takeAway(there, a))(t)
	if got := ann.metadata(key).KeyState + west.metadata(there).KeyState; got != "EnabledPendingImport" {
		t.Errorf("the replica lost a material: %s", got)
	}
	must(west.bring(q, secretOf(1)))(t)
	must(ann.bring(p, secretOf(2), until(w.clock().Add(time.Minute))))(t)
	w.wait(time.Hour)
	w.sweep()
	if got := ann.metadata(key).KeyState + west.metadata(there).KeyState; got != "PendingImportEnabled" {
		t.Errorf("the primary's expired: %s", got)
	}
	west.may("decrypt what the primary cannot", west.decrypt(old, nil))
}

// Once material was taken away or is over, not even the root key and the disk
// bring it back.
func TestImportedMaterialIsGoneFromDisk(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	sealedOf := func(key *string) []byte {
		arn := must(cloud.ParseARN(*key))(t)
		var k keys.Key
		err := w.Store.View(t.Context(), func(tx keys.Tx) (err error) {
			k, err = tx.Key(keys.Ref{Place: keys.Place{Account: home, Region: region}, ID: strings.TrimPrefix(arn.Resource, "key/")})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return k.Materials[0].Sealed
	}
	for name, c := range map[string]struct {
		change func(*kms.ImportKeyMaterialInput)
		end    func(key *string)
	}{
		"deleted": {func(*kms.ImportKeyMaterialInput) {}, func(key *string) { must(ann.takeAway(key))(t) }},
		"expired": {until(w.clock().Add(time.Minute)), func(*string) { w.wait(time.Minute); w.sweep() }},
	} {
		ann = ann.again()
		key := ann.external(kms.CreateKeyInput{})
		must(ann.bring(ann.parcel(key), secretOf(9), c.change))(t)
		sealed := sealedOf(key)
		onDisk := func() bool {
			w.reopen()
			ann = ann.again()
			return bytes.Contains(must(os.ReadFile(w.path))(t), sealed[:40])
		}
		if !onDisk() {
			t.Fatal("the test does not find sealed material where it is")
		}
		c.end(key)
		if onDisk() {
			t.Errorf("%s material is still on disk", name)
		}
	}
}
