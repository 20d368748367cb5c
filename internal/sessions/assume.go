package sessions

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

const (
	defaultSession = time.Hour
	maxChained     = time.Hour // of a role session made with a session's credentials
	maxPolicy      = 2048      // characters of an inline session policy
	maxPolicyARNs  = 10
	maxPacked      = 2048 // bytes that packed policies and tags may take
)

// AssumeRole makes a session of a role. The role's trust policy and, unless it
// names the caller of the same account itself, the caller's policies must allow it.
func (v *View) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	if v.caller.Kind == cloud.Root {
		return nil, v.refused("sts:AssumeRole", *in.RoleArn, "Roles may not be assumed by root accounts.")
	}
	if len(in.ProvidedContexts) > 0 {
		return nil, &smithy.GenericAPIError{Code: "NotImplemented", Message: "ProvidedContexts is not supported.", Fault: smithy.FaultClient}
	}
	if v.caller.Kind == cloud.FederatedUser {
		return nil, v.refused("sts:AssumeRole", *in.RoleArn, "Cannot call AssumeRole with federated user credentials")
	}
	role, err := v.role(ctx, *in.RoleArn)
	if err != nil {
		return nil, err
	}
	s, err := v.newSession(in)
	if err != nil {
		return nil, err
	}
	// The role's trust policy may ask for a second factor; the role's session, as on
	// AWS, does not say that there was one.
	mfa, err := v.secondFactor(ctx, "sts:AssumeRole", role.ARN, in.SerialNumber, in.TokenCode)
	if err != nil {
		return nil, err
	}
	asking := v
	if mfa {
		c := v.caller
		c.MFA, c.TokenIssued = true, v.Now()
		asking = v.As(c)
	}
	if err := asking.authorizeAssume(ctx, "sts:AssumeRole", role, s, assumeContext(role, in, s)); err != nil {
		return nil, err
	}
	return v.assume(ctx, role, in, s, time.Time{})
}

// role is the role with an ARN.
func (v *View) role(ctx context.Context, arn string) (Role, error) {
	named, err := cloud.ParseARN(arn)
	if err != nil || named.Service != "iam" || !strings.HasPrefix(named.Resource, "role/") {
		return Role{}, validationError("%s is invalid", arn)
	}
	role, err := v.Principals.Role(ctx, arn)
	if errors.Is(err, cloud.ErrNotFound) {
		// It is refused as one that trusts nobody, so that no one learns which roles exist.
		return Role{ARN: arn, Account: named.Account}, nil
	}
	if err != nil {
		return Role{}, fmt.Errorf("assume role %s: %w", arn, err)
	}
	return role, nil
}

// refused puts on record, and returns, a refusal that no policy had a say in.
func (v *View) refused(action, on, why string) error {
	if err := v.record(action, on, v.caller.Account, false, "denied: "+why); err != nil {
		return err
	}
	return accessDenied("%s", why)
}

// newSession is the session that in asks for, as far as it says.
func (v *View) newSession(in *sts.AssumeRoleInput) (session, error) {
	s := session{Name: *in.RoleSessionName, Tags: map[string]string{}, SourceIdentity: v.caller.SourceIdentity}
	for _, key := range v.caller.TransitiveTags {
		s.Tags[key], s.Transitive = v.caller.Tags[key], append(s.Transitive, key)
	}
	asked, err := v.tags(in.Tags, s.Tags)
	if err != nil {
		return session{}, err
	}
	for _, key := range in.TransitiveTagKeys {
		if !asked[strings.ToLower(key)] {
			return session{}, invalidParameter("The specified transitive tag key must be included in the requested tags.")
		}
		s.Transitive = append(s.Transitive, key)
	}
	if in.SourceIdentity != nil {
		if strings.HasPrefix(strings.ToLower(*in.SourceIdentity), "aws:") {
			return session{}, validationError("Source identities that begin with 'aws:' are reserved for system use.")
		}
		if s.SourceIdentity != "" && s.SourceIdentity != *in.SourceIdentity {
			return session{}, v.refused("sts:SetSourceIdentity", *in.RoleArn, "The source identity of a session cannot be changed.")
		}
		s.SourceIdentity = *in.SourceIdentity
	}
	if in.Policy != nil {
		s.Policy = *in.Policy
	}
	s.PolicyARNs = arnsOf(in.PolicyArns)
	return s, nil
}

func arnsOf(list []types.PolicyDescriptorType) (all []string) {
	for _, p := range list {
		if p.Arn != nil {
			all = append(all, *p.Arn)
		}
	}
	return all
}

// tags adds session tags to all, and returns their keys in lower case.
func (v *View) tags(list []types.Tag, all map[string]string) (map[string]bool, error) {
	asked := map[string]bool{}
	for _, t := range list {
		k := strings.ToLower(*t.Key)
		switch {
		case asked[k]:
			return nil, invalidParameter("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		case strings.HasPrefix(k, "aws:"):
			return nil, invalidParameter("Tag keys that begin with 'aws:' are reserved for system use.")
		case containsFold(v.caller.TransitiveTags, k):
			return nil, invalidParameter("One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		asked[k] = true
		all[*t.Key] = *t.Value
	}
	return asked, nil
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(x string) bool { return strings.EqualFold(x, s) })
}

func invalidParameter(msg string) error {
	return &smithy.GenericAPIError{Code: "InvalidParameterValue", Message: msg, Fault: smithy.FaultClient}
}

// authorizeAssume decides whether the caller may make session s of role by action,
// in a request with these condition keys.
func (v *View) authorizeAssume(ctx context.Context, action string, role Role, s session, keys policy.Context) error {
	q := policy.Question{
		Action: action, Resource: role.ARN, Owner: role.Account,
		ResourcePolicy: role.Trust, ResourceMustAllow: true, Context: keys,
	}
	if err := v.authorize(ctx, q); err != nil {
		return err
	}
	if len(s.Tags) > 0 {
		q.Action = "sts:TagSession"
		if err := v.authorize(ctx, q); err != nil {
			return err
		}
	}
	if s.SourceIdentity != "" {
		q.Action = "sts:SetSourceIdentity"
		if err := v.authorize(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// assumeContext are the condition keys of a request to assume a role.
func assumeContext(role Role, in *sts.AssumeRoleInput, s session) policy.Context {
	c := policy.Context{"sts:RoleSessionName": {s.Name}}
	if in.ExternalId != nil {
		c["sts:ExternalId"] = []string{*in.ExternalId}
	}
	if s.SourceIdentity != "" {
		c["sts:SourceIdentity"] = []string{s.SourceIdentity}
	}
	maps.Copy(c, tagContext(s))
	for k, value := range role.Tags {
		c["aws:ResourceTag/"+k] = []string{value}
		c["iam:ResourceTag/"+k] = []string{value}
	}
	return c
}

// tagContext are the condition keys of a request for session s that its tags are.
func tagContext(s session) policy.Context {
	c := policy.Context{}
	if len(s.Transitive) > 0 {
		c["sts:TransitiveTagKeys"] = s.Transitive
	}
	if len(s.Tags) > 0 {
		c["aws:TagKeys"] = slices.Sorted(maps.Keys(s.Tags))
	}
	for k, value := range s.Tags {
		c["aws:RequestTag/"+k] = []string{value}
	}
	return c
}

// assume makes the session s of role, which the caller may assume. It ends at end
// at the latest, if that is not zero.
func (v *View) assume(ctx context.Context, role Role, in *sts.AssumeRoleInput, s session, end time.Time) (*sts.AssumeRoleOutput, error) {
	duration, err := v.duration(role, in.DurationSeconds)
	if err != nil {
		return nil, err
	}
	if !end.IsZero() {
		duration = min(duration, end.Sub(v.Now()))
	}
	if err := v.checkSessionPolicies(ctx, role.Account, s); err != nil {
		return nil, err
	}
	percent, err := packed(s)
	if err != nil {
		return nil, err
	}
	s.Principal = role.ID
	credentials, err := v.issue(role.Account, s, duration)
	if err != nil {
		return nil, err
	}
	out := &sts.AssumeRoleOutput{
		Credentials: credentials, PackedPolicySize: percent,
		AssumedRoleUser: &types.AssumedRoleUser{
			Arn:           new(cloud.NewARN("sts", "", role.Account, "assumed-role/"+role.Name+"/"+s.Name).String()),
			AssumedRoleId: new(role.ID + ":" + s.Name),
		},
	}
	if s.SourceIdentity != "" {
		out.SourceIdentity = &s.SourceIdentity
	}
	return out, nil
}

// duration is how long the session is to last.
func (v *View) duration(role Role, seconds *int32) (time.Duration, error) {
	if seconds == nil {
		return defaultSession, nil
	}
	d := time.Duration(*seconds) * time.Second
	switch {
	case d < shortest:
		return 0, tooShort(*seconds)
	case d > role.MaxSession:
		return 0, validationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	case d > maxChained && v.caller.Kind == cloud.AssumedRole:
		return 0, validationError("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	return d, nil
}

func (v *View) checkSessionPolicies(ctx context.Context, a cloud.AccountID, s session) error {
	if len(s.Policy) > maxPolicy {
		return tooLarge(100 * len(s.Policy) / maxPolicy)
	}
	if s.Policy != "" {
		if _, err := policy.InlineKind.Parse("session policy", s.Policy); err != nil {
			return &types.MalformedPolicyDocumentException{Message: new(err.Error())}
		}
	}
	if len(s.PolicyARNs) > maxPolicyARNs {
		return validationError("1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to %d", maxPolicyARNs)
	}
	for _, arn := range s.PolicyARNs {
		_, err := v.Principals.PolicyDocument(ctx, a, arn)
		if errors.Is(err, cloud.ErrNotFound) {
			return validationError("Policy %s does not exist or is not attachable.", arn)
		}
		if err != nil {
			return fmt.Errorf("session policy %s: %w", arn, err)
		}
	}
	return nil
}

// packed is how much of the room for session policies and tags s takes, in
// percent; nil if it has neither.
func packed(s session) (*int32, error) {
	if s.Policy == "" && len(s.PolicyARNs) == 0 && len(s.Tags) == 0 {
		return nil, nil
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("pack session policy: %w", err)
	}
	write := func(text string) { fmt.Fprint(w, text, "\x00") } // memory takes all there is
	write(s.Policy)
	for _, arn := range s.PolicyARNs {
		write(arn)
	}
	for _, k := range slices.Sorted(maps.Keys(s.Tags)) {
		write(k)
		write(s.Tags[k])
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack session policy: %w", err)
	}
	percent := (100*out.Len() + maxPacked - 1) / maxPacked
	if percent > 100 {
		return nil, tooLarge(percent)
	}
	return new(int32(percent)), nil
}

func tooLarge(percent int) error {
	return &types.PackedPolicyTooLargeException{Message: new(fmt.Sprintf("Packed policy consumes %d%% of allotted space, please use smaller policy.", percent))}
}
