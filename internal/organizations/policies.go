package organizations

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// summary is p in the words of lists.
func (o Organization) summary(p Policy) *types.PolicySummary {
	return &types.PolicySummary{
		Id: &p.ID, Arn: new(p.arn(o)), Name: &p.Name, Description: &p.Description,
		Type: types.PolicyType(p.Type), AwsManaged: p.Organization == "",
	}
}

func (o Organization) policy(p Policy) *types.Policy {
	return &types.Policy{PolicySummary: o.summary(p), Content: &p.Content}
}

// findPolicy is the organization's policy called id, or AWS's, as a resource; the
// zero Policy if there is none.
func (r *request) findPolicy(id string) (Policy, resource, error) {
	p, ok := builtin(id)
	if !ok {
		var err error
		if p, err = r.Policy(r.org.ID, id); err != nil && !errors.Is(err, cloud.ErrNotFound) {
			return p, resource{}, err
		}
	}
	if p.ID == "" { // of whatever type
		return p, resource{arn: r.org.arn("policy/" + r.org.ID + "/" + strings.ToLower(string(ServiceControl)) + "/" + id)}, nil
	}
	return p, resource{arn: p.arn(r.org), context: with(tagged(nil, p.Tags), "organizations:PolicyType", string(p.Type))}, nil
}

// policy is findPolicy for an operation on one policy.
func (r *request) policy(action string, who standing, id string) (Policy, error) {
	p, on, err := r.findPolicy(id)
	if err != nil {
		return p, err
	}
	if err := r.authorize(action, who, on); err != nil {
		return p, err
	}
	switch {
	case p.ID == "":
		return p, noPolicy()
	case p.Organization == "" && who == management:
		return p, immutable()
	}
	return p, nil
}

func immutable() error {
	return invalidInput(types.InvalidInputExceptionReasonImmutablePolicy, "You specified a policy that is managed by AWS and can't be modified.")
}

// check refuses what is no policy of p's type.
func (p Policy) check() error {
	r := rules[p.Type]
	if utf8.RuneCountInString(p.Content) > r.size {
		return constraint(types.ConstraintViolationExceptionReasonPolicyContentLimitExceeded, "You have exceeded the maximum policy size.")
	}
	_, err := r.kind.Parse("policy", p.Content)
	if m, ok := errors.AsType[*policy.Malformed](err); ok {
		return malformed(m)
	}
	return err
}

// CreatePolicy makes a policy, attached to nothing.
func (v *View) CreatePolicy(ctx context.Context, in *organizations.CreatePolicyInput) (*organizations.CreatePolicyOutput, error) {
	out := &organizations.CreatePolicyOutput{}
	return out, v.change(ctx, func(r *request) error {
		tags, bad := newTags(in.Tags)
		p := Policy{
			ID: policyID(), Organization: r.org.ID, Type: PolicyType(in.Type), Name: *in.Name, Description: *in.Description,
			Content: *in.Content, Tags: tags,
		}
		// There is no ARN yet.
		on := resource{arn: "*", context: with(asked(nil, tags), "organizations:PolicyType", string(in.Type))}
		if err := r.authorizeNew("organizations:CreatePolicy", management, tags, on); err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		if _, served := rules[p.Type]; !served || !r.org.AllFeatures {
			return unavailable()
		}
		if err := p.check(); err != nil {
			return err
		}
		count, err := r.CountPolicies(r.org.ID, p.Type)
		if err != nil {
			return err
		}
		if count >= rules[p.Type].all {
			return constraint(types.ConstraintViolationExceptionReasonPolicyNumberLimitExceeded, "You have exceeded the number of policies that are allowed in the organization.")
		}
		if p.Name == rules[p.Type].full.Name {
			return duplicatePolicy()
		}
		out.Policy = r.org.policy(p)
		return or(r.AddPolicy(p), cloud.ErrExists, duplicatePolicy())
	})
}

// UpdatePolicy replaces what is given of a policy, everywhere at once.
func (v *View) UpdatePolicy(ctx context.Context, in *organizations.UpdatePolicyInput) (*organizations.UpdatePolicyOutput, error) {
	out := &organizations.UpdatePolicyOutput{}
	return out, v.change(ctx, func(r *request) error {
		p, err := r.policy("organizations:UpdatePolicy", management, *in.PolicyId)
		if err != nil {
			return err
		}
		for to, from := range map[*string]*string{&p.Name: in.Name, &p.Description: in.Description, &p.Content: in.Content} {
			if from != nil {
				*to = *from
			}
		}
		if err := p.check(); err != nil {
			return err
		}
		if p.Name == rules[p.Type].full.Name {
			return duplicatePolicy()
		}
		out.Policy = r.org.policy(p)
		return or(r.PutPolicy(p), cloud.ErrExists, duplicatePolicy())
	})
}

// DescribePolicy describes a policy.
func (v *View) DescribePolicy(ctx context.Context, in *organizations.DescribePolicyInput) (*organizations.DescribePolicyOutput, error) {
	out := &organizations.DescribePolicyOutput{}
	return out, v.read(ctx, func(r *request) error {
		p, err := r.policy("organizations:DescribePolicy", delegate, *in.PolicyId)
		out.Policy = r.org.policy(p)
		return err
	})
}

// DeletePolicy deletes a policy that is attached to nothing.
func (v *View) DeletePolicy(ctx context.Context, in *organizations.DeletePolicyInput) (*organizations.DeletePolicyOutput, error) {
	return &organizations.DeletePolicyOutput{}, v.change(ctx, func(r *request) error {
		p, err := r.policy("organizations:DeletePolicy", management, *in.PolicyId)
		if err != nil {
			return err
		}
		used, err := r.TargetsOf(r.org.ID, p.ID, "", 1)
		if err != nil {
			return err
		}
		if len(used) > 0 {
			return &types.PolicyInUseException{Message: new("The policy is attached to one or more entities. You must detach it from all roots, OUs, and accounts before performing this operation.")}
		}
		return r.Tx.DeletePolicy(r.org.ID, p.ID)
	})
}

// ListPolicies lists the policies of a type, AWS's own first.
func (v *View) ListPolicies(ctx context.Context, in *organizations.ListPoliciesInput) (*organizations.ListPoliciesOutput, error) {
	out := &organizations.ListPoliciesOutput{Policies: []types.PolicySummary{}}
	return out, v.read(ctx, func(r *request) error {
		p, bad := newPage("policies "+string(in.Filter), in.NextToken, in.MaxResults)
		on := resource{arn: "*", context: with(nil, "organizations:PolicyType", string(in.Filter))}
		if err := r.authorize("organizations:ListPolicies", delegate, on); err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		all, err := r.PoliciesOf(r.org.ID, PolicyType(in.Filter), p.after, p.limit+1)
		// AWS's own come first: their ids begin with a capital.
		if full := rules[PolicyType(in.Filter)].full; full.ID > p.after && r.org.AllFeatures {
			all = append([]Policy{full}, all...)
		}
		all, out.NextToken = cut(p, all, func(p Policy) string { return p.ID })
		for _, p := range all {
			out.Policies = append(out.Policies, *r.org.summary(p))
		}
		return err
	})
}

// attachment finds a policy and a node, for an operation that puts one at the
// other.
func (r *request) attachment(action, policyID, target string) (Policy, Node, error) {
	p, onPolicy, err := r.findPolicy(policyID)
	if err != nil {
		return p, Node{}, err
	}
	n, onNode, err := r.find(target)
	if err != nil {
		return p, n, err
	}
	onNode.context = with(onNode.context, "organizations:PolicyType", string(p.Type))
	err = r.authorize(action, management, onPolicy, onNode)
	switch {
	case err != nil:
		return p, n, err
	case p.ID == "":
		return p, n, noPolicy()
	case n.ID == "":
		return p, n, noTarget()
	}
	return p, n, nil
}

// AttachPolicy puts a policy at a node, in force with the next request.
func (v *View) AttachPolicy(ctx context.Context, in *organizations.AttachPolicyInput) (*organizations.AttachPolicyOutput, error) {
	return &organizations.AttachPolicyOutput{}, v.change(ctx, func(r *request) error {
		p, n, err := r.attachment("organizations:AttachPolicy", *in.PolicyId, *in.TargetId)
		if err != nil {
			return err
		}
		root, err := rootOf(r, r.org.ID)
		if err != nil {
			return err
		}
		if !slices.Contains(root.Enabled, p.Type) {
			return notEnabled()
		}
		there, err := r.AttachedTo(n.ID, p.Type)
		switch {
		case err != nil:
			return err
		case slices.ContainsFunc(there, func(a Attachment) bool { return a.Policy == p.ID }):
			return &types.DuplicatePolicyAttachmentException{Message: new("A policy with the specified name and type already exists.")}
		case len(there) >= rules[p.Type].each:
			return constraint(types.ConstraintViolationExceptionReasonMaxPolicyTypeAttachmentLimitExceeded, "You have attached the maximum number of policies to the specified target.")
		}
		return r.Attach(Attachment{r.org.ID, n.ID, p.ID, p.Type})
	})
}

// DetachPolicy takes a policy from a node, which keeps one of its type at least.
func (v *View) DetachPolicy(ctx context.Context, in *organizations.DetachPolicyInput) (*organizations.DetachPolicyOutput, error) {
	return &organizations.DetachPolicyOutput{}, v.change(ctx, func(r *request) error {
		p, n, err := r.attachment("organizations:DetachPolicy", *in.PolicyId, *in.TargetId)
		if err != nil {
			return err
		}
		there, err := r.AttachedTo(n.ID, p.Type)
		switch {
		case err != nil:
			return err
		case !slices.ContainsFunc(there, func(a Attachment) bool { return a.Policy == p.ID }):
			return &types.PolicyNotAttachedException{Message: new("The policy isn't attached to the specified target in the specified root.")}
		case p.Organization == "" && rules[p.Type].kept:
			return invalidInput(types.InvalidInputExceptionReasonNonDetachablePolicy, "You can't detach this AWS managed policy.")
		case len(there) == 1:
			return constraint(types.ConstraintViolationExceptionReasonMinPolicyTypeAttachmentLimitExceeded, "You cannot remove the last policy attached to the specified target. You must have at least one attached at all times.")
		}
		return r.Detach(Attachment{r.org.ID, n.ID, p.ID, p.Type})
	})
}

// ListPoliciesForTarget lists the policies of a type at a node itself, AWS's own
// first; not those above it.
func (v *View) ListPoliciesForTarget(ctx context.Context, in *organizations.ListPoliciesForTargetInput) (*organizations.ListPoliciesForTargetOutput, error) {
	out := &organizations.ListPoliciesForTargetOutput{Policies: []types.PolicySummary{}}
	return out, v.read(ctx, func(r *request) error {
		p, bad := newPage("attached "+string(in.Filter)+" "+*in.TargetId, in.NextToken, in.MaxResults)
		n, on, err := r.find(*in.TargetId)
		if err != nil {
			return err
		}
		on.context = with(on.context, "organizations:PolicyType", string(in.Filter))
		err = r.authorize("organizations:ListPoliciesForTarget", delegate, on)
		switch {
		case err != nil || bad != nil:
			return cmp.Or(err, bad)
		case n.ID == "":
			return noTarget()
		}
		all, err := r.AttachedTo(n.ID, PolicyType(in.Filter))
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(a Attachment) bool { return a.Policy <= p.after })
		all, out.NextToken = cut(p, all, func(a Attachment) string { return a.Policy })
		for _, a := range all {
			p, _, err := r.findPolicy(a.Policy)
			if err != nil {
				return err
			}
			out.Policies = append(out.Policies, *r.org.summary(p))
		}
		return nil
	})
}

// ListTargetsForPolicy lists what a policy is attached to.
func (v *View) ListTargetsForPolicy(ctx context.Context, in *organizations.ListTargetsForPolicyInput) (*organizations.ListTargetsForPolicyOutput, error) {
	out := &organizations.ListTargetsForPolicyOutput{Targets: []types.PolicyTargetSummary{}}
	return out, v.read(ctx, func(r *request) error {
		page, bad := newPage("targets "+*in.PolicyId, in.NextToken, in.MaxResults)
		p, err := r.policy("organizations:ListTargetsForPolicy", delegate, *in.PolicyId)
		if err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		all, err := r.TargetsOf(r.org.ID, p.ID, page.after, page.limit+1)
		if err != nil {
			return err
		}
		all, out.NextToken = cut(page, all, func(a Attachment) string { return a.Target })
		for _, a := range all {
			n, err := r.Node(a.Target)
			if err != nil {
				return err
			}
			out.Targets = append(out.Targets, types.PolicyTargetSummary{TargetId: &n.ID, Arn: new(r.org.arnOf(n.ID)), Name: &n.Name, Type: types.TargetType(n.Kind)})
		}
		return nil
	})
}
