package sessions

import (
	"context"
	"maps"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// GetFederationToken makes a session of a federated user, who may do what both the
// caller, a user or the root user, and the session policies allow.
func (v *View) GetFederationToken(ctx context.Context, in *sts.GetFederationTokenInput) (*sts.GetFederationTokenOutput, error) {
	if err := v.longTerm("GetFederationToken"); err != nil {
		return nil, err
	}
	s := session{
		Principal: v.caller.UserID, MadeBy: v.caller.AccessKeyID, Federated: true, Name: *in.Name,
		Tags: map[string]string{}, PolicyARNs: arnsOf(in.PolicyArns),
	}
	if in.Policy != nil {
		s.Policy = *in.Policy
	}
	if _, err := v.tags(in.Tags, s.Tags); err != nil {
		return nil, err
	}
	arn := federatedARN(v.caller.Account, s.Name)
	q := policy.Question{Action: "sts:GetFederationToken", Resource: arn, Owner: v.caller.Account, Context: tagContext(s)}
	if err := v.authorize(ctx, q); err != nil {
		return nil, err
	}
	if q.Action = "sts:TagSession"; len(s.Tags) > 0 {
		if err := v.authorize(ctx, q); err != nil {
			return nil, err
		}
	}
	credentials, percent, err := v.federate(ctx, s, in.DurationSeconds)
	if err != nil {
		return nil, err
	}
	return &sts.GetFederationTokenOutput{
		Credentials: credentials, PackedPolicySize: percent,
		FederatedUser: &types.FederatedUser{Arn: &arn, FederatedUserId: new(string(v.caller.Account) + ":" + s.Name)},
	}, nil
}

// federate makes the federated user's session s, which the caller may make.
func (v *View) federate(ctx context.Context, s session, seconds *int32) (*types.Credentials, *int32, error) {
	duration, err := v.ownDuration(seconds)
	if err != nil {
		return nil, nil, err
	}
	if err := v.checkSessionPolicies(ctx, v.caller.Account, s); err != nil {
		return nil, nil, err
	}
	percent, err := packed(s)
	if err != nil {
		return nil, nil, err
	}
	credentials, err := v.issue(v.caller.Account, s, duration)
	return credentials, percent, err
}

// vouched is the service in the name of c, whom an identity provider vouches for
// in the request that v's caller, who may be nobody, has made. The call is on
// record as c's.
func (v *View) vouched(c cloud.Caller) *View {
	from := v.caller
	c.Region, c.RequestID, c.Call = from.Region, from.RequestID, from.Call
	c.SourceIP, c.UserAgent, c.SecureTransport = from.SourceIP, from.UserAgent, from.SecureTransport
	c.ARN, c.Principal = c.UserID, c.UserID
	named(c)
	return v.As(c)
}

// assumeVouched makes a session of a role for v's caller, whom an identity provider
// vouches for: by action, in a request with more condition keys than the session is
// to have, and no longer than until end, if that is not zero.
func (v *View) assumeVouched(ctx context.Context, action string, role Role, in *sts.AssumeRoleInput, more policy.Context, end time.Time) (*sts.AssumeRoleOutput, error) {
	if err := checkGiven(in); err != nil {
		return nil, v.rejected(action, role, err)
	}
	s, err := v.newSession(in)
	if err != nil {
		return nil, err
	}
	s.Provider, s.Keys = v.caller.Provider, v.caller.Session
	keys := assumeContext(role, in, s)
	maps.Copy(keys, more)
	if err := v.authorizeAssume(ctx, action, role, s, keys); err != nil {
		return nil, err
	}
	return v.assume(ctx, role, in, s, end)
}

// What may be in the tags that an identity provider gives, as in those of requests.
var (
	tagKey   = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,128}$`)
	tagValue = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$`)
)

const maxTags = 50

// checkGiven refuses tags and names from an identity provider that a request could
// not have.
func checkGiven(in *sts.AssumeRoleInput) error {
	if len(in.Tags) > maxTags || len(in.TransitiveTagKeys) > maxTags {
		return invalidToken("The identity provider gives more than %d tags", maxTags)
	}
	for _, t := range in.Tags {
		if !tagKey.MatchString(*t.Key) || !tagValue.MatchString(*t.Value) {
			return invalidToken("The identity provider gives a tag that is not valid")
		}
	}
	if in.SourceIdentity != nil && !sessionName.MatchString(*in.SourceIdentity) {
		return invalidToken(`Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"`)
	}
	return nil
}
