package sessions

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

const (
	shortest      = 15 * time.Minute // that any session may last
	longestUser   = 36 * time.Hour   // that a user's session may last
	defaultUser   = 12 * time.Hour
	longestAsRoot = time.Hour // that a root user's session lasts, whatever it asks for
)

func tooShort(seconds int32) error {
	return validationError("1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to %d", seconds, int(shortest/time.Second))
}

// GetCallerIdentity says who the caller is. It needs no permission.
func (v *View) GetCallerIdentity(context.Context, *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	if err := v.free("sts:GetCallerIdentity"); err != nil {
		return nil, err
	}
	return &sts.GetCallerIdentityOutput{
		Account: new(string(v.caller.Account)), Arn: &v.caller.ARN, UserId: &v.caller.UserID,
	}, nil
}

// GetSessionToken makes a session of the user or root user that the caller is,
// with a second factor if the caller shows a code of its MFA device. It needs no
// permission; it needs long-term credentials.
func (v *View) GetSessionToken(ctx context.Context, in *sts.GetSessionTokenInput) (*sts.GetSessionTokenOutput, error) {
	if err := v.longTerm("GetSessionToken"); err != nil {
		return nil, err
	}
	duration, err := v.ownDuration(in.DurationSeconds)
	if err != nil {
		return nil, err
	}
	mfa, err := v.secondFactor(ctx, "sts:GetSessionToken", "*", in.SerialNumber, in.TokenCode)
	if err != nil {
		return nil, err
	}
	if err := v.free("sts:GetSessionToken"); err != nil {
		return nil, err
	}
	credentials, err := v.issue(v.caller.Account, session{Principal: v.caller.UserID, MFA: mfa, MadeBy: v.caller.AccessKeyID}, duration)
	if err != nil {
		return nil, err
	}
	return &sts.GetSessionTokenOutput{Credentials: credentials}, nil
}

// longTerm refuses an operation to whoever signs with a session's credentials.
func (v *View) longTerm(operation string) error {
	if v.caller.TokenIssued.IsZero() && v.caller.Kind != cloud.AssumedRole && v.caller.Kind != cloud.FederatedUser {
		return nil
	}
	return v.refused("sts:"+operation, "*", "Cannot call "+operation+" with session credentials")
}

// noUserSession refuses an operation to sessions of users, which may only assume
// roles and ask who they are.
func (v *View) noUserSession(operation string) error {
	if v.caller.Kind == cloud.AssumedRole {
		return nil
	}
	return v.longTerm(operation)
}

// secondFactor says whether the caller shows a second factor. What is shown and
// wrong is refused.
func (v *View) secondFactor(ctx context.Context, action, on string, serial, code *string) (bool, error) {
	switch {
	case serial == nil && code == nil:
		return false, nil
	case serial == nil || code == nil:
		return false, v.refused(action, on, "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code. ")
	}
	good, err := v.Principals.SecondFactor(ctx, v.caller.UserID, *serial, *code)
	if err == nil && !good {
		err = v.refused(action, on, "MultiFactorAuthentication failed with invalid MFA one time pass code. ")
	}
	return good, err
}

// ownDuration is how long a session of the caller itself is to last.
func (v *View) ownDuration(seconds *int32) (time.Duration, error) {
	d := defaultUser
	if seconds != nil {
		d = time.Duration(*seconds) * time.Second
	}
	switch {
	case d < shortest:
		return 0, tooShort(*seconds)
	case d > longestUser:
		return 0, validationError("1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value less than or equal to %d", *seconds, int(longestUser/time.Second))
	case v.caller.Kind == cloud.Root:
		return min(d, longestAsRoot), nil
	}
	return d, nil
}

// GetAccessKeyInfo says which account an access key id belongs to, which the id
// itself tells. That the key exists it does not say.
func (v *View) GetAccessKeyInfo(ctx context.Context, in *sts.GetAccessKeyInfoInput) (*sts.GetAccessKeyInfoOutput, error) {
	if err := v.noUserSession("GetAccessKeyInfo"); err != nil {
		return nil, err
	}
	err := v.authorize(ctx, policy.Question{Action: "sts:GetAccessKeyInfo", Resource: "*", Owner: v.caller.Account})
	if err != nil {
		return nil, err
	}
	account, err := cloud.AccountOfKey(*in.AccessKeyId)
	if err == nil {
		_, err = v.Principals.Caller(ctx, string(account))
		if err != nil && !errors.Is(err, cloud.ErrNotFound) {
			return nil, err
		}
	}
	if err != nil {
		return nil, validationError("The access key ID %s is not valid.", *in.AccessKeyId)
	}
	return &sts.GetAccessKeyInfoOutput{Account: new(string(account))}, nil
}
