package keys

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/material"
	"borealis/internal/seal"
)

// A ciphertext of a key in a custom key store has the same head as every other,
// and another byte after it:
//
//	01 02 TT 00 78 | 32 bytes: key material id | 02 |
//	1 byte: length of the initialization vector, and the vector |
//	16 bytes: tag | 1 byte: length of the proxy's metadata, and the metadata |
//	the rest: what the external key has encrypted, which is a whole ciphertext
//	of KMS's own material
//
//	01 02 TT 00 78 | 32 bytes: key material id | 03 |
//	the rest: what the hardware security module has made
//
// The module's associated data is the head, with that byte, and the encryption
// context, as in other ciphertexts.
const (
	fromKMS      byte = 1
	fromExternal byte = 2
	fromHSM      byte = 3

	headSize = 5 + materialSize + 1
)

// maxAssociated is how much associated data a proxy takes.
const maxAssociated = 8192

// inStore says that the request is for a key in a custom key store, or refuses a
// request that half is.
func inStore(in *kms.CreateKeyInput) (bool, error) {
	origin := string(in.Origin)
	switch {
	case origin != external && origin != cloudHSM:
		if in.CustomKeyStoreId != nil || in.XksKeyId != nil {
			return false, invalid("CustomKeyStoreId and XksKeyId are valid only for keys of origin AWS_CLOUDHSM and EXTERNAL_KEY_STORE.")
		}
		return false, nil
	case in.CustomKeyStoreId == nil:
		return false, invalid("CustomKeyStoreId is required for keys of origin %s.", origin)
	case origin == external && in.XksKeyId == nil:
		return false, invalid("XksKeyId is required for keys of origin EXTERNAL_KEY_STORE.")
	case origin == cloudHSM && in.XksKeyId != nil:
		return false, invalid("XksKeyId is valid only for keys of origin EXTERNAL_KEY_STORE.")
	}
	return true, plainSymmetric(in)
}

// plainSymmetric refuses keys of other sorts than a custom key store can have.
func plainSymmetric(in *kms.CreateKeyInput) error {
	for _, spec := range []string{string(in.KeySpec), string(in.CustomerMasterKeySpec)} { //nolint:staticcheck // old clients send it
		if spec != "" && spec != string(material.SymmetricDefault) {
			return unsupported("KeySpec %s is not supported in a custom key store.", spec)
		}
	}
	if isSet(in.MultiRegion) {
		return unsupported("Multi-Region keys are not supported in a custom key store.")
	}
	return nil
}

// materialFor makes the material of k, which is not stored yet, in a custom key
// store if in names one. The caller calls abandon if k may not be stored after all.
func (v *View) materialFor(ctx context.Context, k *Key, in *kms.CreateKeyInput) (Material, error) {
	if in.CustomKeyStoreId == nil {
		return v.newMaterial(ctx, k)
	}
	s, err := v.keyStore(ctx, *in.CustomKeyStoreId)
	if err != nil {
		return Material{}, err
	}
	k.StoreID, k.XksKeyID, k.Store = s.ID, str(in.XksKeyId), &s
	switch {
	case s.Type != k.Origin:
		return Material{}, invalid("Custom key store %s is of type %s, and cannot have keys of origin %s.", s.ID, s.Type, k.Origin)
	case s.Connection != Connected && s.Type == external:
		return Material{}, &types.CustomKeyStoreInvalidStateException{Message: new(notConnectedText)}
	case s.Connection != Connected:
		return Material{}, storeState(&s)
	}
	b, err := v.openStore(s)
	if err != nil {
		return Material{}, err
	}
	if s.Type == external {
		if err := v.claimExternal(ctx, k, b); err != nil {
			return Material{}, err
		}
		return v.newMaterial(ctx, k)
	}
	if missing := v.missingHSM(); missing != "" {
		return Material{}, noHSM(missing)
	}
	if err := v.HSMs.Generate(ctx, b.Cluster, string(b.secret), k.ARN()); err != nil {
		return Material{}, hsmCryptoError("CloudHSM cluster "+b.Cluster, err)
	}
	return Material{ID: newID(), Created: v.now()}, nil // KMS has none of its own
}

// claimExternal makes sure that k may have its external key, and can.
func (v *View) claimExternal(ctx context.Context, k *Key, b *backing) error {
	if err := v.Store.View(ctx, func(tx Tx) error { return externalIsFree(tx, k) }); err != nil {
		return err
	}
	found, err := v.Proxies.Describe(ctx, b.proxy(), k.XksKeyID, v.proxyCall("CreateKey", ""))
	if err != nil {
		return proxyCreateKeyError(err)
	}
	return suitable(found)
}

// suitable refuses an external key that KMS cannot use.
func suitable(k ExternalKey) error {
	says := func(format string, args ...any) error {
		return &types.XksKeyInvalidConfigurationException{Message: new(fmt.Sprintf(format, args...))}
	}
	switch {
	case k.Spec != "AES_256":
		return says("The key spec of the external key must be AES_256. The key spec of specified external key is %s.", k.Spec)
	case k.Status != "ENABLED":
		return says("The status of the external key must be ENABLED. The status of specified external key is %s.", k.Status)
	case !slices.Contains(k.Usage, "ENCRYPT") || !slices.Contains(k.Usage, "DECRYPT"):
		return says("The key usage of the external key must include ENCRYPT and DECRYPT. The key use of specified external key is %s.", strings.Join(k.Usage, ", "))
	}
	return nil
}

// externalIsFree refuses a key whose external key is another's.
func externalIsFree(tx Tx, k *Key) error {
	_, err := tx.KeyOfExternal(k.Place, k.StoreID, k.XksKeyID)
	switch {
	case isNotFound(err):
		return nil
	case err != nil:
		return err
	}
	return &types.XksKeyAlreadyInUseException{Message: new(fmt.Sprintf("External key %s is associated with another KMS key in this external key store.", k.XksKeyID))}
}

// putNewKey stores k, which is new, if its custom key store is still connected and
// nobody has its external key.
func (c *change) putNewKey(k *Key) error {
	if k.Store != nil {
		now, err := c.KeyStore(k.Place, k.StoreID)
		switch {
		case isNotFound(err):
			return noStore(k.StoreID)
		case err != nil:
			return err
		case now.Connection != Connected:
			return storeState(&now)
		}
		if k.XksKeyID != "" {
			if err := externalIsFree(c.Tx, k); err != nil {
				return err
			}
		}
	}
	return c.addKey(*k)
}

// abandon is dropFromStore for a key of which it is not known whether it is stored:
// a commit that failed may have happened all the same.
func (s *Service) abandon(ctx context.Context, k *Key) error {
	if k.Store == nil {
		return nil
	}
	err := s.Store.View(ctx, func(tx Tx) error {
		_, err := tx.Key(k.Ref)
		return err
	})
	if isNotFound(err) {
		return s.dropFromStore(ctx, k)
	}
	return err
}

// dropFromStore deletes k's key from its hardware security module, if that can be
// done now.
func (s *Service) dropFromStore(ctx context.Context, k *Key) error {
	if k.Store == nil || k.Store.Type != cloudHSM || k.Store.Connection != Connected || s.missingHSM() != "" {
		return nil
	}
	b, err := s.openStore(*k.Store)
	if err != nil {
		return err
	}
	return s.HSMs.Destroy(ctx, b.Cluster, string(b.secret), k.ARN())
}

// addStore says in KMS's words which custom key store k is in.
func (k *Key) addStore(m *types.KeyMetadata) {
	if k.Store == nil {
		return
	}
	m.CustomKeyStoreId = new(k.StoreID)
	if k.Store.Type == cloudHSM {
		m.CloudHsmClusterId = new(k.Store.Cluster)
		return
	}
	m.XksKeyConfiguration = &types.XksKeyConfigurationType{Id: new(k.XksKeyID)}
}

// available says that the store of k, if it has one, is connected.
func (k *Key) available() bool { return k.Store == nil || k.Store.Connection == Connected }

// shownState is k's state as KMS shows it.
func (k *Key) shownState() State {
	if k.available() || k.State != Enabled && k.State != Disabled {
		return k.State
	}
	return Unavailable
}

// operation is KMS's operation that t is used for.
func (t target) operation() string {
	if strings.HasPrefix(t.asked, "ReEncrypt") {
		return "ReEncrypt"
	}
	return t.asked
}

// sealInStore is seal for a key in a custom key store.
func (v *View) sealInStore(ctx context.Context, t target, use byte, plaintext []byte, encryption map[string]string) ([]byte, error) {
	id, err := hex.DecodeString(t.Current)
	if err != nil {
		return nil, err
	}
	head := append([]byte{1, 2, use, 0, 0x78}, id...)
	if t.backing.Type == cloudHSM {
		return v.sealInHSM(ctx, t, append(head, fromHSM), plaintext, encryption)
	}
	inner, err := encrypt(use, t.Current, t.secretOf(t.Current).Secret(), plaintext, encryption)
	if err != nil {
		return nil, err
	}
	associated, err := proxyAssociated(encryption)
	if err != nil {
		return nil, err
	}
	m, err := v.Proxies.Encrypt(ctx, t.backing.proxy(), t.XksKeyID, v.proxyCall(t.operation(), t.arn), inner, associated)
	if err != nil {
		return nil, proxyCryptoError(err)
	}
	return appendMessage(append(head, fromExternal), m), nil
}

func (v *View) sealInHSM(ctx context.Context, t target, head, plaintext []byte, encryption map[string]string) ([]byte, error) {
	if v.missingHSM() != "" {
		return nil, hsmCryptoError(t.arn, &Fault{Kind: FaultNoCluster})
	}
	b := t.backing
	sealed, err := v.HSMs.Encrypt(ctx, b.Cluster, string(b.secret), t.arn, plaintext, associated(head, encryption))
	if err != nil {
		return nil, hsmCryptoError(t.arn, err)
	}
	return append(head, sealed...), nil
}

// proxyAssociated is the additional authenticated data that a proxy gets: nothing
// without an encryption context, else the context as a JSON object with its keys
// in order, so that the owner of the external key can read it in the proxy's log;
// or, where that is more than a proxy takes, the SHA-256 of it in hex.
func proxyAssociated(encryption map[string]string) ([]byte, error) {
	if len(encryption) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(encryption)
	if err != nil {
		return nil, err
	}
	if len(text) > maxAssociated {
		sum := sha256.Sum256(text)
		text = []byte(hex.EncodeToString(sum[:]))
	}
	return text, nil
}

// appendMessage writes m after head.
func appendMessage(head []byte, m ProxyMessage) []byte {
	out := append(head, byte(len(m.IV)))
	out = append(out, m.IV...)
	out = append(out, m.Tag...)
	out = append(out, byte(len(m.Metadata)))
	out = append(out, m.Metadata...)
	return append(out, m.Ciphertext...)
}

// parseMessage reads what appendMessage wrote.
func parseMessage(b []byte) (m ProxyMessage, ok bool) {
	take := func(n int) (part []byte) {
		if ok = ok && n <= len(b); ok {
			part, b = b[:n], b[n:]
		}
		return part
	}
	length := func() int {
		if n := take(1); ok {
			return int(n[0])
		}
		return 0
	}
	ok = true
	m.IV = take(length())
	m.Tag = take(tagSize)
	m.Metadata = take(length())
	m.Ciphertext = b
	return m, ok && (len(m.IV) == 12 || len(m.IV) == 16) && len(m.Metadata) <= 20 && len(b) > 0
}

// parseStoreBlob takes a ciphertext apart that a key in a custom key store has made.
func parseStoreBlob(b []byte) (blob, bool) {
	out := blob{material: hex.EncodeToString(b[5 : headSize-1]), head: b[:headSize], body: b[headSize:], from: b[headSize-1]}
	if out.from == fromExternal {
		_, ok := parseMessage(out.body)
		return out, ok
	}
	return out, out.from == fromHSM && len(out.body) > 0
}

// unsealInStore opens b, whose material is that of t, a key in a custom key store.
func (v *View) unsealInStore(ctx context.Context, t target, b blob, encryption map[string]string) (seal.Plaintext, error) {
	s := t.backing
	switch {
	case s.Type == cloudHSM && b.from == fromHSM:
		if v.missingHSM() != "" {
			return nil, hsmCryptoError(t.arn, &Fault{Kind: FaultNoCluster})
		}
		plaintext, err := v.HSMs.Decrypt(ctx, s.Cluster, string(s.secret), t.arn, b.body, associated(b.head, encryption))
		if err != nil {
			return nil, hsmCryptoError(t.arn, err)
		}
		return plaintext, nil
	case s.Type == external && b.from == fromExternal:
		return v.unsealExternal(ctx, t, b, encryption)
	}
	return nil, badCiphertext()
}

func (v *View) unsealExternal(ctx context.Context, t target, b blob, encryption map[string]string) (seal.Plaintext, error) {
	m, ok := parseMessage(b.body)
	if !ok {
		return nil, badCiphertext()
	}
	associated, err := proxyAssociated(encryption)
	if err != nil {
		return nil, err
	}
	text, err := v.Proxies.Decrypt(ctx, t.backing.proxy(), t.XksKeyID, v.proxyCall(t.operation(), t.arn), m, associated)
	if err != nil {
		return nil, proxyCryptoError(err)
	}
	inner, ok := parseBlob(text)
	if ok && inner.from == fromKMS && inner.material == b.material && inner.head[2] == b.head[2] {
		if plaintext, ok := inner.decrypt(t.secretOf(b.material).Secret(), encryption); ok {
			return plaintext, nil
		}
	}
	return nil, proxyCryptoError(&Fault{Kind: FaultInner})
}

// random is n random bytes, of a CloudHSM key store's making if store names one.
func (v *View) random(ctx context.Context, store *string, n int) (seal.Plaintext, error) {
	if store != nil {
		return v.randomFrom(ctx, *store, n)
	}
	out := make(seal.Plaintext, n)
	rand.Read(out)
	return out, nil
}

// randomFrom is n random bytes that a CloudHSM key store has made.
func (v *View) randomFrom(ctx context.Context, id string, n int) (seal.Plaintext, error) {
	k, err := v.keyStore(ctx, id)
	if err != nil {
		return nil, err
	}
	if k.Type != cloudHSM {
		return nil, unsupported("Custom key store %s is an external key store, which does not generate random bytes.", id)
	}
	if missing := v.missingHSM(); missing != "" {
		return nil, noHSM(missing)
	}
	if k.Connection != Connected {
		return nil, storeState(&k)
	}
	b, err := v.openStore(k)
	if err != nil {
		return nil, err
	}
	out, err := v.HSMs.Random(ctx, b.Cluster, string(b.secret), n)
	if err != nil {
		return nil, hsmCryptoError("CloudHSM cluster "+b.Cluster, err)
	}
	return out, nil
}
