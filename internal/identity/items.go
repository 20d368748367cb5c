package identity

import (
	"encoding/json"
	"errors"
	"fmt"

	"borealis/internal/cloud"
)

// An ItemKind says what an Item is.
type ItemKind string

// The kinds of items, and what their ids are.
const (
	LoginItem          ItemKind = "login"             // a user's unique id
	PasswordPolicyItem ItemKind = "password-policy"   // the account's id
	DeviceItem         ItemKind = "mfa"               // the serial number, which is an ARN
	ProfileItem        ItemKind = "instance-profile"  // the name in lower case
	OIDCItem           ItemKind = "oidc-provider"     // the ARN
	SAMLItem           ItemKind = "saml-provider"     // the ARN
	ReportItem         ItemKind = "credential-report" // the account's id
	AccessItem         ItemKind = "access-report"     // the job's id
	DeletionItem       ItemKind = "role-deletion"     // the task's id
	SSHKeyItem         ItemKind = "ssh-public-key"    // APKA…
	SigningItem        ItemKind = "signing-cert"      // 32 characters
	ServiceItem        ItemKind = "service-password"  // ACCA…
	SAMLKeyItem        ItemKind = "saml-private-key"  // 32 characters; its owner is the provider's unique id
	ServerCertItem     ItemKind = "server-cert"       // the name in lower case
)

// An Item is what belongs to an account and is neither principal nor key nor
// policy. Of what it is, this package knows one struct for each kind, which is
// stored as Body and so changes only with a migration.
type Item struct {
	Account cloud.AccountID
	Kind    ItemKind
	ID      string // unique by Account and Kind
	Owner   string // a principal's unique id, or the account's for its root user; "" if it is nobody's
	Body    []byte // JSON
	Sealed  []byte // a secret of it, sealed under the server's root key
}

// itemContext binds a sealed secret to its purpose and to the item it belongs to.
func itemContext(i Item) []byte {
	return []byte("borealis identity item v1\x00" + string(i.Account) + "\x00" + string(i.Kind) + "\x00" + i.ID)
}

// body reads what an item is.
func body[T any](i Item) (v T, err error) {
	if err := json.Unmarshal(i.Body, &v); err != nil {
		return v, fmt.Errorf("read %s %s: %w", i.Kind, i.ID, err)
	}
	return v, nil
}

// with is the item with v as its body.
func (i Item) with(v any) (Item, error) {
	var err error
	i.Body, err = json.Marshal(v)
	return i, err
}

// findItem finds an item and what it is.
func findItem[T any](tx Tx, a cloud.AccountID, k ItemKind, id string) (v T, i Item, err error) {
	if i, err = tx.Item(a, k, id); err != nil {
		return v, i, err
	}
	v, err = body[T](i)
	return v, i, err
}

// addItem keeps a new item that is v.
func addItem(tx Tx, i Item, v any) error {
	i, err := i.with(v)
	if err != nil {
		return err
	}
	return tx.AddItem(i)
}

// A limit is how many of something there may be, and what IAM calls the quota.
type limit struct {
	max  int
	name string
}

// addCounted keeps one more item of the caller's account, which may have as many of
// its kind as the limit says. The error is exists if there is one with its id.
func (r *request) addCounted(i Item, v any, most limit, exists error) error {
	i.Account = r.caller.Account
	all, err := r.Items(i.Account, i.Kind)
	if err != nil {
		return err
	}
	if len(all) >= most.max {
		return limitExceeded("Cannot exceed quota for %s: %d", most.name, most.max)
	}
	err = addItem(r, i, v)
	if errors.Is(err, cloud.ErrExists) {
		return exists
	}
	return err
}

// putItem keeps v in place of what the item was.
func putItem(tx Tx, i Item, v any) error {
	i, err := i.with(v)
	if err != nil {
		return err
	}
	return tx.PutItem(i)
}
