package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

// NewAccount is what an operator says of an account to be.
type NewAccount struct {
	ID   cloud.AccountID // 12 digits; chosen at random if empty
	Name string          // a name for people; the id if empty
	// Root is the root user's access key; a new one if empty. An id of one's own
	// is "AKIA" and 16 capitals and digits, a secret 40 characters.
	Root RootKey
}

var rootKeyID = regexp.MustCompile(`^AKIA[A-Z0-9]{16}$`)

// A RootKey is an access key of an account's root user. The secret is to be
// shown once, deliberately: printing a RootKey does not show it.
type RootKey struct {
	AccessKeyID     string
	SecretAccessKey string
}

// Format prints the key without its secret, whatever the verb.
func (k RootKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.AccessKeyID) }

// LogValue is the key without its secret.
func (k RootKey) LogValue() slog.Value { return slog.StringValue(k.AccessKeyID) }

// CreateAccount signs up an account and makes an access key for its root user.
// It is cloud.ErrExists if there is an account with that id. It is for the
// server's operator; no API reaches it.
func (s *Service) CreateAccount(ctx context.Context, in NewAccount) (Account, RootKey, error) {
	a := Account{ID: in.ID, Name: in.Name, Created: s.Now().UTC()}
	if a.ID != "" {
		if _, err := cloud.ParseAccountID(string(a.ID)); err != nil {
			return Account{}, RootKey{}, fmt.Errorf("create account: %w", err)
		}
	}
	if strings.ContainsFunc(a.Name, unicode.IsControl) {
		return Account{}, RootKey{}, fmt.Errorf("create account: the name %q has characters that cannot be shown", a.Name)
	}
	if k := in.Root; k != (RootKey{}) && (!rootKeyID.MatchString(k.AccessKeyID) || len(k.SecretAccessKey) != 40) {
		return Account{}, RootKey{}, fmt.Errorf("create account %s: its root key needs an id of AKIA and 16 capitals and digits, and a secret of 40 characters", a.ID)
	}
	var key RootKey
	err := s.update(ctx, func(tx Tx) (err error) {
		if in.ID == "" {
			a.ID = newAccountID()
		}
		if in.Name == "" {
			a.Name = string(a.ID)
		}
		if err := tx.AddAccount(a); err != nil {
			return err
		}
		if key = in.Root; key != (RootKey{}) {
			return s.addKey(tx, AccessKey{ID: key.AccessKeyID, Account: a.ID, Owner: string(a.ID), Active: true, Created: a.Created}, key.SecretAccessKey)
		}
		key, err = s.newRootKey(tx, a.ID)
		return err
	})
	if err != nil {
		return Account{}, RootKey{}, fmt.Errorf("create account %s: %w", a.ID, err)
	}
	return a, key, nil
}

func (s *Service) newRootKey(tx Tx, a cloud.AccountID) (RootKey, error) {
	k, secret, err := s.newKey(tx, a, string(a))
	return RootKey{k.ID, secret}, err
}

// CreateRootKey makes another access key for the root user of account a, for an
// operator whose users have lost theirs. If it has two already, the older one
// is deleted. It is cloud.ErrNotFound if there is no such account.
func (s *Service) CreateRootKey(ctx context.Context, a cloud.AccountID) (RootKey, error) {
	var key RootKey
	err := s.update(ctx, func(tx Tx) error {
		if _, err := tx.Account(a); err != nil {
			return err
		}
		keys, err := tx.Keys(string(a))
		if err != nil {
			return err
		}
		if len(keys) >= maxKeys {
			older := keys[0]
			if keys[1].Created.Before(older.Created) {
				older = keys[1]
			}
			if err := tx.DeleteKey(older.ID); err != nil {
				return err
			}
		}
		key, err = s.newRootKey(tx, a)
		return err
	})
	if err != nil {
		return RootKey{}, fmt.Errorf("create root key of account %s: %w", a, err)
	}
	return key, nil
}

// rootEntity is an account's root user as far as passwords go.
func rootEntity(a cloud.AccountID) Entity { return Entity{Account: a, ID: string(a), Name: "root"} }

// SetRootPassword gives the root user of account a a password for the console, in
// place of any other. It is for the server's operator; no API reaches it. It is
// cloud.ErrNotFound if there is no such account.
func (s *Service) SetRootPassword(ctx context.Context, a cloud.AccountID, password string) error {
	root := rootEntity(a)
	var l login
	var i Item
	err := s.Store.View(ctx, func(tx Tx) error {
		if _, err := tx.Account(a); err != nil {
			return err
		}
		var err error
		l, i, _, err = readLogin(tx, root)
		return err
	})
	if err == nil {
		now := s.Now().UTC()
		if l.Created.IsZero() {
			l.Created = now
		}
		if l, err = l.change(nil, password, now); err == nil {
			err = s.writeLogin(ctx, root, i, l)
		}
	}
	if err != nil {
		return fmt.Errorf("set the password of the root user of account %s: %w", a, err)
	}
	return nil
}

// Accounts lists the accounts by id.
func (s *Service) Accounts(ctx context.Context) ([]Account, error) {
	var all []Account
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		all, err = tx.AllAccounts()
		return err
	})
	return all, err
}

// own is the caller's account if the caller may do action to it as a whole.
func (r *request) own(action string) (Account, error) {
	if err := r.authorize(action, resource{arn: "*"}); err != nil {
		return Account{}, err
	}
	return r.Account(r.caller.Account)
}

// CreateAccountAlias gives the account a name of its own in place of any other.
func (v *View) CreateAccountAlias(ctx context.Context, in *iam.CreateAccountAliasInput) (*iam.CreateAccountAliasOutput, error) {
	return &iam.CreateAccountAliasOutput{}, v.change(ctx, func(r *request) error {
		a, err := r.own("iam:CreateAccountAlias")
		if err != nil {
			return err
		}
		a.Alias = *in.AccountAlias
		err = r.PutAccount(a)
		if errors.Is(err, cloud.ErrExists) {
			return alreadyExists("The account alias %s already exists.", *in.AccountAlias)
		}
		return err
	})
}

// ListAccountAliases lists the account's alias, if it has one.
func (v *View) ListAccountAliases(ctx context.Context, _ *iam.ListAccountAliasesInput) (*iam.ListAccountAliasesOutput, error) {
	out := &iam.ListAccountAliasesOutput{AccountAliases: []string{}}
	return out, v.read(ctx, func(r *request) error {
		a, err := r.own("iam:ListAccountAliases")
		if err == nil && a.Alias != "" {
			out.AccountAliases = []string{a.Alias}
		}
		return err
	})
}

// DeleteAccountAlias takes the account's alias away.
func (v *View) DeleteAccountAlias(ctx context.Context, in *iam.DeleteAccountAliasInput) (*iam.DeleteAccountAliasOutput, error) {
	return &iam.DeleteAccountAliasOutput{}, v.change(ctx, func(r *request) error {
		a, err := r.own("iam:DeleteAccountAlias")
		if err != nil {
			return err
		}
		if a.Alias == "" || !strings.EqualFold(a.Alias, *in.AccountAlias) {
			return noSuchEntity("The account alias %s cannot be found.", *in.AccountAlias)
		}
		a.Alias = ""
		return r.PutAccount(a)
	})
}

// SetSecurityTokenServicePreferences says which tokens the global endpoint gives out.
// Here all are good in every Region.
func (v *View) SetSecurityTokenServicePreferences(ctx context.Context, in *iam.SetSecurityTokenServicePreferencesInput) (*iam.SetSecurityTokenServicePreferencesOutput, error) {
	return &iam.SetSecurityTokenServicePreferencesOutput{}, v.change(ctx, func(r *request) error {
		a, err := r.own("iam:SetSecurityTokenServicePreferences")
		if err != nil {
			return err
		}
		a.AnyRegion = in.GlobalEndpointTokenVersion == types.GlobalEndpointTokenVersionV2Token
		return r.PutAccount(a)
	})
}

// GetAccountSummary counts what there is in the account, and says its quotas.
func (v *View) GetAccountSummary(ctx context.Context, _ *iam.GetAccountSummaryInput) (*iam.GetAccountSummaryOutput, error) {
	out := &iam.GetAccountSummaryOutput{}
	return out, v.read(ctx, func(r *request) error {
		a, err := r.own("iam:GetAccountSummary")
		if err != nil {
			return err
		}
		out.SummaryMap, err = r.summary(a.ID)
		if err != nil {
			return err
		}
		out.SummaryMap["GlobalEndpointTokenVersion"] = 1
		if a.AnyRegion {
			out.SummaryMap["GlobalEndpointTokenVersion"] = 2
		}
		return nil
	})
}

func (r *request) summary(a cloud.AccountID) (map[string]int32, error) {
	m := map[string]int32{
		"AccessKeysPerUserQuota": maxKeys, "PolicySizeQuota": maxPolicySize, "PoliciesQuota": maxPolicies,
		"VersionsPerPolicyQuota": maxVersions, "AssumeRolePolicySizeQuota": maxTrust,
		"UserPolicySizeQuota": int32(maxInline[User]), "RolePolicySizeQuota": int32(maxInline[Role]), "GroupPolicySizeQuota": int32(maxInline[Group]),
		"AttachedPoliciesPerUserQuota": int32(maxAttached[User].max), "AttachedPoliciesPerRoleQuota": int32(maxAttached[Role].max), "AttachedPoliciesPerGroupQuota": int32(maxAttached[Group].max),
		"AccountSigningCertificatesPresent": 0, "AccountPasswordPresent": 0, "AccountMFAEnabled": 0,
		"GroupsPerUserQuota": maxGroups, "InstanceProfilesQuota": maxProfiles, "PolicyVersionsInUseQuota": 10000,
		"ServerCertificates": 0, "ServerCertificatesQuota": maxServerCerts, "SigningCertificatesPerUserQuota": int32(signingCerts.max), "AccountAccessKeysPresent": 0,
		"UsersQuota": int32(quota[User].max), "RolesQuota": int32(quota[Role].max), "GroupsQuota": int32(quota[Group].max),
	}
	for k, name := range map[Kind]string{User: "Users", Role: "Roles", Group: "Groups"} {
		n, err := r.CountEntities(a, k)
		if err != nil {
			return nil, err
		}
		m[name] = int32(n)
	}
	policies, err := r.Policies(a)
	if err != nil {
		return nil, err
	}
	m["Policies"], m["PolicyVersionsInUse"] = int32(len(policies)), 0
	for _, p := range policies {
		m["PolicyVersionsInUse"] += int32(len(p.Versions))
	}
	if err := r.countItems(a, m); err != nil {
		return nil, err
	}
	return m, r.countRoot(a, m)
}

// countRoot says which credentials an account's root user has.
func (r *request) countRoot(a cloud.AccountID, m map[string]int32) error {
	keys, err := r.Keys(string(a))
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		m["AccountAccessKeysPresent"] = 1
	}
	for k, name := range map[ItemKind]string{LoginItem: "AccountPasswordPresent", DeviceItem: "AccountMFAEnabled", SigningItem: "AccountSigningCertificatesPresent"} {
		all, err := r.ItemsOf(string(a), k)
		if err != nil {
			return err
		}
		if len(all) > 0 {
			m[name] = 1
		}
	}
	return nil
}

// countItems counts what there is beside principals, keys and policies.
func (r *request) countItems(a cloud.AccountID, m map[string]int32) error {
	m["MFADevicesInUse"], m["Providers"] = 0, 0
	for k, name := range map[ItemKind]string{DeviceItem: "MFADevices", ProfileItem: "InstanceProfiles", OIDCItem: "Providers", SAMLItem: "Providers", ServerCertItem: "ServerCertificates"} {
		all, err := r.Items(a, k)
		if err != nil {
			return err
		}
		m[name] += int32(len(all))
		for _, i := range all {
			if k == DeviceItem && i.Owner != "" {
				m["MFADevicesInUse"]++
			}
		}
	}
	return nil
}
