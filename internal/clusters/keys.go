package clusters

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
)

const (
	rdsName    = "rds.amazonaws.com"
	defaultKey = "alias/aws/rds" // made by KMS when it is first asked for
	dataKeyLen = 32
	// contextKey names, in the encryption context, the cluster that data belongs to.
	contextKey = "aws:rds:dbc-id"
)

// errKeyLost says that a key that an operation needs cannot be used any more.
var errKeyLost = errors.New("a KMS key cannot be used")

// grantOperations are what RDS may do under the grants it asks for.
var grantOperations = []kmstypes.GrantOperation{
	kmstypes.GrantOperationDecrypt, kmstypes.GrantOperationEncrypt,
	kmstypes.GrantOperationGenerateDataKey, kmstypes.GrantOperationGenerateDataKeyWithoutPlaintext,
	kmstypes.GrantOperationReEncryptFrom, kmstypes.GrantOperationReEncryptTo,
	kmstypes.GrantOperationCreateGrant, kmstypes.GrantOperationRetireGrant, kmstypes.GrantOperationDescribeKey,
}

// A key is a KMS key that the caller may use through RDS.
type key struct {
	arn       string
	isDefault bool // managed by AWS for the account: alias/aws/rds
}

// throughRDS is KMS in Region r in the caller's name, as RDS asks for them.
func (v *View) throughRDS(r cloud.Region) Keys {
	return v.Keys(v.caller.In(r).Through(rdsName))
}

// asRDS is KMS in Region r in RDS's own name: what its grants let it.
func (s *Service) asRDS(r cloud.Region) Keys { return s.Keys(cloud.ServiceCaller(rdsName, r)) }

// describeKey resolves id in the caller's name, and makes sure that RDS can use
// the key: enabled, and for symmetric encryption. subject is how a fault names it.
func (v *View) describeKey(ctx context.Context, r cloud.Region, subject, id string) (key, error) {
	out, err := v.throughRDS(r).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id})
	if err != nil {
		return key{}, v.keyError(ctx, subject, id, "describe", err)
	}
	m := out.KeyMetadata
	if m.KeyState != kmstypes.KeyStateEnabled || m.KeyUsage != kmstypes.KeyUsageTypeEncryptDecrypt || m.KeySpec != kmstypes.KeySpecSymmetricDefault {
		return key{}, v.keyError(ctx, subject, id, "use", unusableError{m.KeyState, m.KeySpec})
	}
	return key{arn: *m.Arn, isDefault: m.KeyManager == kmstypes.KeyManagerTypeAws}, nil
}

// errForeignDefault says that a default key was about to open another account's door.
var errForeignDefault = errors.New("the default key of another account")

// An unusableError says that a key is there and of no use to RDS.
type unusableError struct {
	state kmstypes.KeyState
	spec  kmstypes.KeySpec
}

func (e unusableError) Error() string {
	return fmt.Sprintf("the key is %s, of spec %s", e.state, e.spec)
}

// keyError words a refusal by KMS as RDS does, and logs what RDS does not tell.
func (v *View) keyError(ctx context.Context, subject, id, doing string, err error) error {
	_, unusable := errors.AsType[unusableError](err)
	if !unusable && !refused(err) && !errors.Is(err, errForeignDefault) {
		return fmt.Errorf("%s KMS key %s: %w", doing, id, err)
	}
	v.log().InfoContext(ctx, "KMS key refused", "request", v.caller.RequestID, "caller", v.caller.ARN, "key", id, "doing", doing, "cause", err)
	return keyFault(subject, id, fmt.Errorf("%s KMS key %s: %w", doing, id, err))
}

// grant lets RDS use a key for the data of one lineage, in the caller's name.
// It checks the key first. Whoever calls it sees to it that the grant is
// written down, or given back with release.
func (v *View) grant(ctx context.Context, r cloud.Region, subject string, k key, named, lineage string) (Grant, error) {
	principal := cloud.ServiceCaller(rdsName, r).Principal
	out, err := v.throughRDS(r).CreateGrant(ctx, &kms.CreateGrantInput{
		KeyId: &k.arn, GranteePrincipal: &principal, RetiringPrincipal: &principal, Operations: grantOperations,
		Constraints: &kmstypes.GrantConstraints{EncryptionContextSubset: encryptionContext(lineage)},
	})
	if err != nil {
		return Grant{}, v.keyError(ctx, subject, named, "create a grant on", err)
	}
	return Grant{KeyARN: k.arn, ID: *out.GrantId, Token: *out.GrantToken}, nil
}

// obtain is describeKey and grant in one.
func (v *View) obtain(ctx context.Context, r cloud.Region, subject, id, lineage string) (key, Grant, error) {
	k, err := v.describeKey(ctx, r, subject, id)
	if err != nil {
		return key{}, Grant{}, err
	}
	g, err := v.grant(ctx, r, subject, k, id, lineage)
	return k, g, err
}

// release gives grants back that turned out not to be needed. What was to be
// reported is err; a failure to release joins it.
func (s *Service) release(ctx context.Context, err error, grants ...Grant) error {
	return errors.Join(err, s.retire(context.WithoutCancel(ctx), grants))
}

// retire gives grants back. One that KMS refuses to know is gone already, by
// an earlier try or by the key's administrator: there is nothing left to do.
func (s *Service) retire(ctx context.Context, grants []Grant) error {
	for _, g := range grants {
		if g.ID == "" {
			continue
		}
		a, err := cloud.ParseARN(g.KeyARN)
		if err != nil {
			return err
		}
		_, err = s.asRDS(a.Region).RetireGrant(ctx, &kms.RetireGrantInput{KeyId: &g.KeyARN, GrantId: &g.ID})
		if err != nil && refused(err) {
			s.log().InfoContext(ctx, "grant not retired", "grant", g.ID, "key", g.KeyARN, "cause", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("retire grant %s on %s: %w", g.ID, g.KeyARN, err)
		}
	}
	return nil
}

func encryptionContext(lineage string) map[string]string {
	return map[string]string{contextKey: lineage}
}

// openDataKey opens the data key of id, in RDS's own name under grant g. If
// there is none yet and create is true, it makes one and keeps its wrapped form.
// The caller wipes the key.
func (s *Service) openDataKey(ctx context.Context, id DataKeyID, g Grant, create bool) (PlainKey, []byte, error) {
	kept, err := s.keptDataKey(ctx, id)
	if errors.Is(err, cloud.ErrNotFound) && create {
		kept, err = s.makeDataKey(ctx, id, g)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("data key of %s under %s: %w", id.Lineage, id.KeyARN, err)
	}
	if id.KeyARN == "" {
		return PlainKey(append([]byte(nil), kept.Wrapped...)), nil, nil
	}
	plain, err := s.unwrap(ctx, kept, g)
	return plain, kept.Wrapped, err
}

func (s *Service) keptDataKey(ctx context.Context, id DataKeyID) (k DataKey, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		k, err = tx.DataKey(id)
		return err
	})
	return k, err
}

// makeDataKey makes and keeps a data key. If another did so meanwhile, that one
// is kept and returned: data of one id is all under one key.
func (s *Service) makeDataKey(ctx context.Context, id DataKeyID, g Grant) (DataKey, error) {
	k := DataKey{DataKeyID: id}
	if id.KeyARN == "" {
		k.Wrapped = make([]byte, dataKeyLen)
		rand.Read(k.Wrapped)
	} else {
		a, err := cloud.ParseARN(id.KeyARN)
		if err != nil {
			return k, err
		}
		out, err := s.asRDS(a.Region).GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
			KeyId: &id.KeyARN, KeySpec: kmstypes.DataKeySpecAes256,
			EncryptionContext: encryptionContext(id.Lineage), GrantTokens: tokens(g),
		})
		if err != nil {
			return k, lost(id.KeyARN, err)
		}
		clear(out.Plaintext) // what is used is what the row opens to
		k.Wrapped = out.CiphertextBlob
	}
	err := s.Store.Update(ctx, func(tx Tx) error { return tx.AddDataKey(k) })
	if err != nil {
		return k, err
	}
	return s.keptDataKey(ctx, id)
}

// unwrap opens a wrapped data key.
func (s *Service) unwrap(ctx context.Context, k DataKey, g Grant) (PlainKey, error) {
	a, err := cloud.ParseARN(k.KeyARN)
	if err != nil {
		return nil, err
	}
	out, err := s.asRDS(a.Region).Decrypt(ctx, &kms.DecryptInput{
		CiphertextBlob: k.Wrapped, KeyId: &k.KeyARN,
		EncryptionContext: encryptionContext(k.Lineage), GrantTokens: tokens(g),
	})
	if err != nil {
		return nil, lost(k.KeyARN, err)
	}
	return out.Plaintext, nil
}

// checkDataKey makes sure that a data key can still be opened.
func (s *Service) checkDataKey(ctx context.Context, id DataKeyID, g Grant) error {
	plain, _, err := s.openDataKey(ctx, id, g, false)
	clear(plain)
	return err
}

func tokens(g Grant) []string {
	if g.Token == "" {
		return nil
	}
	return []string{g.Token}
}

// lost marks a refusal by KMS, so that it ends the operation that needs the key.
func lost(arn string, err error) error {
	if refused(err) {
		return fmt.Errorf("%w: %s: %w", errKeyLost, arn, err)
	}
	return fmt.Errorf("use KMS key %s: %w", arn, err)
}
