package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

const (
	maxPolicySize = 6144
	maxPolicies   = 1500 // that an account makes itself
)

// findPolicy finds a managed policy, be it AWS's or an account's own.
func findPolicy(tx Tx, arn string) (ManagedPolicy, error) {
	if p, ok := builtin(arn); ok {
		return p, nil
	}
	return tx.Policy(arn)
}

// policyPath is the path in a managed policy's ARN.
func policyPath(arn string) string {
	path := arn[strings.Index(arn, ":policy/")+len(":policy"):]
	return path[:strings.LastIndex(path, "/")+1]
}

// policyName is the name in a managed policy's ARN.
func policyName(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// isPolicyARN says whether arn names a managed policy.
func isPolicyARN(arn string) bool {
	a, err := cloud.ParseARN(arn)
	return err == nil && a.Service == "iam" && strings.HasPrefix(a.Resource, "policy/")
}

// usable is the managed policy arn if the caller's account may attach it.
func (r *request) usable(arn string) (ManagedPolicy, error) {
	if !isPolicyARN(arn) {
		return ManagedPolicy{}, invalidInput("ARN %s is not valid.", arn)
	}
	p, err := findPolicy(r, arn)
	if err == nil && p.Account != r.caller.Account && p.Account != awsManaged {
		return ManagedPolicy{}, fmt.Errorf("policy %s: %w", arn, cloud.ErrNotFound)
	}
	return p, err
}

// policy returns the managed policy arn if the caller may do action to it. That
// an account's policies exist is not told to other accounts.
func (r *request) policy(action, arn string, add more) (ManagedPolicy, error) {
	if !isPolicyARN(arn) {
		return ManagedPolicy{}, invalidInput("ARN %s is not valid.", arn)
	}
	p, err := findPolicy(r, arn)
	missing := errors.Is(err, cloud.ErrNotFound)
	if err != nil && !missing {
		return ManagedPolicy{}, err
	}
	on := resource{arn: arn, said: "policy " + arn, context: tagged(p.Tags)}
	named, _ := cloud.ParseARN(arn) // isPolicyARN has
	if on.owner = named.Account; on.owner == awsManaged && onlyReads[action] {
		on.owner = "" // AWS's policies are everybody's to read
	}
	if add != nil {
		on.context = add(on.context)
	}
	if err := r.authorize(action, on); err != nil {
		return ManagedPolicy{}, err
	}
	if missing {
		return ManagedPolicy{}, noSuchEntity("Policy %s was not found.", arn)
	}
	return p, nil
}

// onlyReads are the actions on managed policies that change none.
var onlyReads = map[string]bool{
	"iam:GetPolicy": true, "iam:GetPolicyVersion": true, "iam:ListPolicyVersions": true,
	"iam:ListPolicyTags": true, "iam:ListEntitiesForPolicy": true,
	"iam:GenerateServiceLastAccessedDetails": true,
}

// uses counts to how many entities of the caller's account p is attached, and
// how many it bounds.
func (r *request) uses(p ManagedPolicy) (attached, bounds int, err error) {
	a, err := r.LinksTo(r.caller.Account, p.ARN(), Attached)
	if err != nil {
		return 0, 0, err
	}
	b, err := r.LinksTo(r.caller.Account, p.ARN(), Boundary)
	return len(a), len(b), err
}

// managedPolicy is p in IAM's words, as lists show it.
func (r *request) managedPolicy(p ManagedPolicy) (*types.Policy, error) {
	attached, bounds, err := r.uses(p)
	return &types.Policy{
		PolicyName: &p.Name, PolicyId: &p.ID, Arn: new(p.ARN()), Path: &p.Path,
		DefaultVersionId: new(versionID(p.Default)), IsAttachable: true,
		AttachmentCount: new(int32(attached)), PermissionsBoundaryUsageCount: new(int32(bounds)),
		CreateDate: &p.Created, UpdateDate: &p.Updated,
	}, err
}

// wholePolicy is p with what lists leave out.
func (r *request) wholePolicy(p ManagedPolicy) (*types.Policy, error) {
	said, err := r.managedPolicy(p)
	said.Tags = awsTags(p.Tags)
	if p.Description != "" {
		said.Description = &p.Description
	}
	return said, err
}

// CreatePolicy makes a managed policy with one version.
func (v *View) CreatePolicy(ctx context.Context, in *iam.CreatePolicyInput) (*iam.CreatePolicyOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	out := &iam.CreatePolicyOutput{}
	return out, v.change(ctx, func(r *request) error {
		now := r.Now().UTC()
		p := ManagedPolicy{
			Account: r.caller.Account, Name: *in.PolicyName, ID: newID(policyPrefix), Path: orRoot(in.Path),
			Description: text(in.Description), Created: now, Updated: now,
			Versions: []Version{{1, *in.PolicyDocument, now}}, Default: 1, Last: 1,
		}
		err := r.authorize("iam:CreatePolicy", resource{arn: p.ARN(), said: "policy " + p.Name, context: asked(nil, tags)})
		if err != nil {
			return err
		}
		if err := r.checkManaged(*in.PolicyDocument); err != nil {
			return err
		}
		if p.Tags, err = merge(nil, tags); err != nil {
			return err
		}
		if err := r.addPolicy(p); err != nil {
			return err
		}
		out.Policy, err = r.wholePolicy(p)
		return err
	})
}

func (r *request) checkManaged(document string) error {
	if size(document) > maxPolicySize {
		return limitExceeded("Cannot exceed quota for PolicySize: %d", maxPolicySize)
	}
	return checkPolicy(policy.ManagedKind, document)
}

// addPolicy keeps the new policy p.
func (r *request) addPolicy(p ManagedPolicy) error {
	all, err := r.Policies(p.Account)
	if err != nil {
		return err
	}
	if len(all) >= maxPolicies {
		return limitExceeded("Cannot exceed quota for PoliciesPerAccount: %d", maxPolicies)
	}
	err = r.AddPolicy(p)
	if errors.Is(err, cloud.ErrExists) {
		return alreadyExists("A policy called %s already exists. Duplicate names are not allowed.", p.Name)
	}
	return err
}

// GetPolicy describes a managed policy, but for its text.
func (v *View) GetPolicy(ctx context.Context, in *iam.GetPolicyInput) (*iam.GetPolicyOutput, error) {
	out := &iam.GetPolicyOutput{}
	return out, v.read(ctx, func(r *request) error {
		p, err := r.policy("iam:GetPolicy", *in.PolicyArn, nil)
		if err != nil {
			return err
		}
		out.Policy, err = r.wholePolicy(p)
		return err
	})
}

// ListPolicies lists the account's managed policies and AWS's by name.
func (v *View) ListPolicies(ctx context.Context, in *iam.ListPoliciesInput) (*iam.ListPoliciesOutput, error) {
	page, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListPoliciesOutput{Policies: []types.Policy{}}
	return out, v.read(ctx, func(r *request) error {
		prefix := orRoot(in.PathPrefix)
		err := r.authorize("iam:ListPolicies", resource{
			arn:  cloud.NewARN("iam", "", r.caller.Account, "policy"+prefix).String(),
			said: "policy path " + prefix,
		})
		if err != nil {
			return err
		}
		all, err := r.listed(in.Scope, prefix)
		if err != nil {
			return err
		}
		if in.OnlyAttached || in.PolicyUsageFilter != "" {
			if all, err = r.inUse(all, in.PolicyUsageFilter); err != nil {
				return err
			}
		}
		all, next := cut(page, all, func(p ManagedPolicy) string { return listKey(p) })
		out.Marker, out.IsTruncated = next, next != nil
		for _, p := range all {
			said, err := r.managedPolicy(p)
			if err != nil {
				return err
			}
			out.Policies = append(out.Policies, *said)
		}
		return nil
	})
}

// listKey orders policies by name, an account's own before AWS's of that name.
func listKey(p ManagedPolicy) string { return strings.ToLower(p.Name) + " " + string(p.Account) }

// listed are the policies under prefix that a scope covers, ordered by listKey.
func (r *request) listed(scope types.PolicyScopeType, prefix string) ([]ManagedPolicy, error) {
	var all []ManagedPolicy
	if scope != types.PolicyScopeTypeAws {
		own, err := r.Policies(r.caller.Account)
		if err != nil {
			return nil, err
		}
		all = own
	}
	if scope != types.PolicyScopeTypeLocal {
		all = append(all, builtins()...)
	}
	all = slices.DeleteFunc(all, func(p ManagedPolicy) bool { return !strings.HasPrefix(p.Path, prefix) })
	slices.SortFunc(all, func(a, b ManagedPolicy) int { return strings.Compare(listKey(a), listKey(b)) })
	return all, nil
}

// inUse are those of all that are attached to, or bound, an entity of the account.
func (r *request) inUse(all []ManagedPolicy, as types.PolicyUsageType) ([]ManagedPolicy, error) {
	var used []ManagedPolicy
	for _, p := range all {
		attached, bounds, err := r.uses(p)
		if err != nil {
			return nil, err
		}
		if attached > 0 && as != types.PolicyUsageTypePermissionsBoundary || bounds > 0 && as != types.PolicyUsageTypePermissionsPolicy {
			used = append(used, p)
		}
	}
	return used, nil
}

// DeletePolicy removes a managed policy that has one version and no use.
func (v *View) DeletePolicy(ctx context.Context, in *iam.DeletePolicyInput) (*iam.DeletePolicyOutput, error) {
	return &iam.DeletePolicyOutput{}, v.change(ctx, func(r *request) error {
		p, err := r.policy("iam:DeletePolicy", *in.PolicyArn, nil)
		if err != nil {
			return err
		}
		attached, bounds, err := r.uses(p)
		switch {
		case err != nil:
			return err
		case attached+bounds > 0:
			return deleteConflict("Cannot delete a policy attached to entities.")
		case len(p.Versions) > 1:
			return deleteConflict("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		return r.DeletePolicy(p.ARN())
	})
}
