package identity

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

// leastLength is how long passwords are if a policy does not say.
const leastLength = 6

// passwordPolicyOf is the password policy of an account; nil if it has none.
func passwordPolicyOf(tx Tx, a cloud.AccountID) (*passwordPolicy, error) {
	p, _, err := findItem[passwordPolicy](tx, a, PasswordPolicyItem, string(a))
	if errors.Is(err, cloud.ErrNotFound) {
		return nil, nil
	}
	return &p, err
}

// number is p as IAM shows it: not at all if it is 0.
func number(n int) *int32 {
	if n == 0 {
		return nil
	}
	return new(int32(n))
}

// GetAccountPasswordPolicy says what the account asks of passwords.
func (v *View) GetAccountPasswordPolicy(ctx context.Context, _ *iam.GetAccountPasswordPolicyInput) (*iam.GetAccountPasswordPolicyOutput, error) {
	out := &iam.GetAccountPasswordPolicyOutput{}
	return out, v.read(ctx, func(r *request) error {
		p, err := passwordPolicyOf(r, r.caller.Account)
		if err != nil {
			return err
		}
		if p != nil && p.MayChange && r.caller.Kind == cloud.User {
			r.given = "allowed by the account's password policy"
		}
		a, err := r.own("iam:GetAccountPasswordPolicy")
		if err != nil {
			return err
		}
		if p == nil {
			return noSuchEntity("The Password Policy with domain name %s cannot be found.", a.ID)
		}
		out.PasswordPolicy = &types.PasswordPolicy{
			MinimumPasswordLength: number(p.MinLength), RequireUppercaseCharacters: p.Upper, RequireLowercaseCharacters: p.Lower,
			RequireNumbers: p.Numbers, RequireSymbols: p.Symbols, AllowUsersToChangePassword: p.MayChange,
			ExpirePasswords: p.MaxAge > 0, MaxPasswordAge: number(p.MaxAge), PasswordReusePrevention: number(p.Reuse), HardExpiry: p.HardExpiry,
		}
		return nil
	})
}

// UpdateAccountPasswordPolicy replaces the account's password policy: what is not
// given goes back to what it is without. Passwords that exist stay good.
func (v *View) UpdateAccountPasswordPolicy(ctx context.Context, in *iam.UpdateAccountPasswordPolicyInput) (*iam.UpdateAccountPasswordPolicyOutput, error) {
	p := passwordPolicy{
		MinLength: leastLength, Upper: in.RequireUppercaseCharacters, Lower: in.RequireLowercaseCharacters, Numbers: in.RequireNumbers,
		Symbols: in.RequireSymbols, MayChange: in.AllowUsersToChangePassword, HardExpiry: in.HardExpiry,
	}
	for to, from := range map[*int]*int32{&p.MinLength: in.MinimumPasswordLength, &p.MaxAge: in.MaxPasswordAge, &p.Reuse: in.PasswordReusePrevention} {
		if from != nil {
			*to = int(*from)
		}
	}
	p.Reuse = min(p.Reuse, maxReuse)
	return &iam.UpdateAccountPasswordPolicyOutput{}, v.change(ctx, func(r *request) error {
		a, err := r.own("iam:UpdateAccountPasswordPolicy")
		if err != nil {
			return err
		}
		i := Item{Account: a.ID, Kind: PasswordPolicyItem, ID: string(a.ID)}
		err = putItem(r, i, p)
		if errors.Is(err, cloud.ErrNotFound) {
			err = addItem(r, i, p)
		}
		return err
	})
}

// DeleteAccountPasswordPolicy takes the account's password policy away.
func (v *View) DeleteAccountPasswordPolicy(ctx context.Context, _ *iam.DeleteAccountPasswordPolicyInput) (*iam.DeleteAccountPasswordPolicyOutput, error) {
	return &iam.DeleteAccountPasswordPolicyOutput{}, v.change(ctx, func(r *request) error {
		a, err := r.own("iam:DeleteAccountPasswordPolicy")
		if err != nil {
			return err
		}
		if _, err := r.Item(a.ID, PasswordPolicyItem, string(a.ID)); err != nil {
			return orNoSuch(err, "The account policy with name PasswordPolicy cannot be found.")
		}
		return r.DeleteItem(a.ID, PasswordPolicyItem, string(a.ID))
	})
}
