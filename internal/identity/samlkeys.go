package identity

import (
	"context"
	"crypto/rsa"
	"encoding/base32"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

const maxSAMLKeys = 2 // of one provider

// A samlKey is a private key for the assertions that a provider encrypts; the item's
// secret is the key in PEM. It is stored, so its fields change only with a migration.
type samlKey struct{ Added time.Time }

// SAMLPrivateKeys are the keys that open what a provider has encrypted, which is one
// of any account, by its ARN. It is cloud.ErrNotFound if there is no such provider.
func (s *Service) SAMLPrivateKeys(ctx context.Context, arn string) ([]*rsa.PrivateKey, error) {
	p, err := s.SAMLProvider(ctx, arn)
	if err != nil {
		return nil, err
	}
	var all []*rsa.PrivateKey
	err = s.Store.View(ctx, func(tx Tx) error {
		all = nil
		items, err := tx.ItemsOf(p.ID, SAMLKeyItem)
		if err != nil {
			return err
		}
		for _, i := range items {
			key, err := s.openSAMLKey(i)
			if err != nil {
				return fmt.Errorf("open private key %s of %s: %w", i.ID, arn, err)
			}
			all = append(all, key)
		}
		return nil
	})
	return all, err
}

func (s *Service) openSAMLKey(i Item) (*rsa.PrivateKey, error) {
	text, err := s.Sealer.Open(i.Sealed, itemContext(i))
	if err != nil {
		return nil, err
	}
	defer clear(text)
	return parseSAMLKey(string(text))
}

// parseSAMLKey reads an RSA key in PEM: no other kind transports keys in XML
// Encryption as AWS has it.
func parseSAMLKey(text string) (*rsa.PrivateKey, error) {
	key, err := parsePrivateKey(text)
	private, ok := key.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, invalidInput("Unable to parse private key")
	}
	return private, nil
}

// samlKeys are a provider's private keys in IAM's words, by id.
func (r *request) samlKeys(p SAMLProvider) ([]types.SAMLPrivateKey, error) {
	out := []types.SAMLPrivateKey{}
	items, err := r.ItemsOf(p.ID, SAMLKeyItem)
	if err != nil {
		return nil, err
	}
	return out, eachBody(items, func(i Item, k samlKey) {
		out = append(out, types.SAMLPrivateKey{KeyId: &i.ID, Timestamp: &k.Added})
	})
}

// changeSAMLKeys removes and adds a private key, sets whether assertions must be
// encrypted, each where it is given, and keeps the provider.
func (r *request) changeSAMLKeys(p *SAMLProvider, arn string, add, remove *string, mode types.AssertionEncryptionModeType) error {
	a, err := cloud.ParseARN(arn)
	if err != nil {
		return err
	}
	if remove != nil {
		if err := r.removeSAMLKey(*p, a.Account, *remove); err != nil {
			return err
		}
	}
	if add != nil {
		if err := r.addSAMLKey(*p, a.Account, *add); err != nil {
			return err
		}
	}
	if mode != "" {
		p.Encryption = string(mode)
	}
	left, err := r.ItemsOf(p.ID, SAMLKeyItem)
	if err != nil {
		return err
	}
	if len(left) == 0 && p.Encryption == string(types.AssertionEncryptionModeTypeRequired) {
		return invalidInput("A provider whose assertions must be encrypted must have a private key.")
	}
	return putItem(r, Item{Account: a.Account, Kind: SAMLItem, ID: arn}, *p)
}

func (r *request) removeSAMLKey(p SAMLProvider, a cloud.AccountID, id string) error {
	i, err := r.Item(a, SAMLKeyItem, id)
	if err == nil && i.Owner != p.ID {
		err = cloud.ErrNotFound
	}
	if err != nil {
		return orNoSuch(err, "Private key %s cannot be found.", id)
	}
	return r.DeleteItem(a, SAMLKeyItem, id)
}

func (r *request) addSAMLKey(p SAMLProvider, a cloud.AccountID, text string) error {
	if _, err := parseSAMLKey(text); err != nil {
		return err
	}
	has, err := r.ItemsOf(p.ID, SAMLKeyItem)
	if err != nil {
		return err
	}
	if len(has) >= maxSAMLKeys {
		return limitExceeded("Cannot exceed quota for PrivateKeysPerSAMLProvider: %d", maxSAMLKeys)
	}
	i := Item{Account: a, Kind: SAMLKeyItem, ID: base32.StdEncoding.EncodeToString(random(20)), Owner: p.ID}
	if i.Sealed, err = r.Sealer.Seal([]byte(text), itemContext(i)); err != nil {
		return fmt.Errorf("seal private key of SAML provider %s: %w", p.Name, err)
	}
	return addItem(r, i, samlKey{r.Now().UTC()})
}
