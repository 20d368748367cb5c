package identity

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/policy"
)

// severity orders decisions: what is more restrictive comes later.
var severity = []types.PolicyEvaluationDecisionType{
	types.PolicyEvaluationDecisionTypeAllowed, types.PolicyEvaluationDecisionTypeImplicitDeny, types.PolicyEvaluationDecisionTypeExplicitDeny,
}

// worse is the more restrictive of two decisions; "" is none.
func worse(a, b types.PolicyEvaluationDecisionType) types.PolicyEvaluationDecisionType {
	if slices.Index(severity, b) > slices.Index(severity, a) {
		return b
	}
	return a
}

// An outcome is what a simulation comes to for one action and one resource, or for
// all of its resources.
type outcome struct {
	decision types.PolicyEvaluationDecisionType
	matched  []policy.Match
	missing  []string
	details  map[string]types.PolicyEvaluationDecisionType // nil for none
	bounded  *bool                                         // whether the boundary allows it; nil if there is none
	inside   *bool                                         // whether the organization allows it; nil if there is none
}

// action simulates an action on all of the simulation's resources.
func (s *simulation) action(r *request, action string) types.EvaluationResult {
	var whole outcome
	var each []types.ResourceSpecificResult
	onARN := false
	for _, arn := range s.resources {
		o := s.decide(s.question(r, action, arn))
		if arn != "*" {
			onARN = true
			if o.details == nil {
				o.details = map[string]types.PolicyEvaluationDecisionType{}
			}
		}
		each = append(each, types.ResourceSpecificResult{
			EvalResourceName: &arn, EvalResourceDecision: o.decision, EvalDecisionDetails: o.details,
			MatchedStatements: s.statements(o.matched), MissingContextValues: append([]string{}, o.missing...), PermissionsBoundaryDecisionDetail: o.boundary(),
		})
		whole.add(o)
	}
	out := types.EvaluationResult{
		EvalActionName: &action, EvalResourceName: new(resourceTemplate(action)), EvalDecision: whole.decision, EvalDecisionDetails: whole.details,
		MatchedStatements: s.statements(whole.matched), MissingContextValues: append([]string{}, whole.missing...),
		PermissionsBoundaryDecisionDetail: whole.boundary(),
	}
	if whole.inside != nil {
		out.OrganizationsDecisionDetail = &types.OrganizationsDecisionDetail{AllowedByOrganizations: *whole.inside}
	}
	if onARN {
		out.ResourceSpecificResults = each
	} else {
		out.EvalResourceName = new("*")
	}
	return out
}

// decide answers one question.
func (s *simulation) decide(q policy.Question) outcome {
	d := q.Decide()
	o := outcome{decision: types.PolicyEvaluationDecisionTypeImplicitDeny}
	switch {
	case d.Allowed:
		o.decision = types.PolicyEvaluationDecisionTypeAllowed
	case d.Explicit:
		o.decision = types.PolicyEvaluationDecisionTypeExplicitDeny
	}
	if len(q.ServiceControl.Levels) > 0 {
		o.inside = new(withinOrganization(q))
	}
	if o.inside != nil && !*o.inside {
		return o // what else there is has no say
	}
	o.missing = q.Missing()
	sides := map[policy.Side]types.PolicyEvaluationDecisionType{
		policy.IdentityBased: types.PolicyEvaluationDecisionTypeImplicitDeny, policy.ResourceBased: types.PolicyEvaluationDecisionTypeImplicitDeny,
		policy.Boundary: types.PolicyEvaluationDecisionTypeImplicitDeny,
	}
	for _, m := range q.Matches() {
		switch {
		case m.Deny:
			sides[m.Side] = types.PolicyEvaluationDecisionTypeExplicitDeny
		case sides[m.Side] == types.PolicyEvaluationDecisionTypeImplicitDeny:
			sides[m.Side] = types.PolicyEvaluationDecisionTypeAllowed
		}
		if m.Side != policy.Boundary && (d.Allowed || d.Explicit && m.Deny) {
			o.matched = append(o.matched, m)
		}
	}
	if q.Identity.Boundary != nil {
		o.bounded = new(sides[policy.Boundary] == types.PolicyEvaluationDecisionTypeAllowed)
	}
	if d.CrossAccount {
		o.details = map[string]types.PolicyEvaluationDecisionType{identityType: sides[policy.IdentityBased], resourceType: sides[policy.ResourceBased]}
		if q.Identity.Boundary != nil {
			o.details[boundaryType] = sides[policy.Boundary]
		}
	}
	return o
}

// withinOrganization says whether the service control policies leave the request
// to the caller's account.
func withinOrganization(q policy.Question) bool {
	all, err := allowAll()
	q.Identity, q.ResourcePolicy, q.ResourceMustAllow, q.Owner = policy.Identity{Policies: []*policy.Policy{all}}, nil, false, q.Caller.Account
	return err == nil && q.Decide().Allowed
}

// add makes o the outcome of one more resource.
func (o *outcome) add(one outcome) {
	o.decision = worse(o.decision, one.decision)
	for _, m := range one.matched {
		if !slices.Contains(o.matched, m) {
			o.matched = append(o.matched, m)
		}
	}
	for _, k := range one.missing {
		if !slices.ContainsFunc(o.missing, func(has string) bool { return strings.EqualFold(has, k) }) {
			o.missing = append(o.missing, k)
		}
	}
	for side, d := range one.details {
		if o.details == nil {
			o.details = map[string]types.PolicyEvaluationDecisionType{}
		}
		o.details[side] = worse(o.details[side], d)
	}
	if o.details == nil && one.details != nil {
		o.details = one.details
	}
	o.bounded, o.inside = both(o.bounded, one.bounded), both(o.inside, one.inside)
}

// both says whether two things are so; nil is nothing.
func both(a, b *bool) *bool {
	if a == nil || b != nil && !*b {
		return b
	}
	return a
}

func (o *outcome) boundary() *types.PermissionsBoundaryDecisionDetail {
	if o.bounded == nil {
		return nil
	}
	return &types.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: *o.bounded}
}

// statements are what matched, in IAM's words, each once.
func (s *simulation) statements(matched []policy.Match) []types.Statement {
	out := []types.Statement{}
	for i, m := range matched {
		id, known := s.ids[m.Policy]
		if !known || slices.Contains(matched[:i], m) {
			continue // an organization's, or one that comes from two groups
		}
		spans, ok := s.spans[m.Policy]
		if !ok {
			if s.spans == nil {
				s.spans = map[*policy.Policy][]policy.Span{}
			}
			spans = m.Policy.Spans()
			s.spans[m.Policy] = spans
		}
		kind := types.PolicySourceType(identityType)
		if m.Side == policy.ResourceBased {
			kind = resourceType
		}
		at := spans[m.Index]
		out = append(out, types.Statement{
			SourcePolicyId: &id, SourcePolicyType: kind,
			StartPosition: position(at.Start), EndPosition: position(at.End),
		})
	}
	return out
}

func position(p policy.Position) *types.Position {
	return &types.Position{Line: int32(p.Line), Column: int32(p.Column)}
}

// templates are the forms of ARNs of the resources of services, by their types.
var templates = map[string]map[string]string{
	"kms": {"key": "key/${KeyId}", "alias": "alias/${Alias}"},
	"sts": {"role": "role/${RoleNameWithPath}"},
	"iam": {
		"user": "user/${UserNameWithPath}", "role": "role/${RoleNameWithPath}", "group": "group/${GroupNameWithPath}", "policy": "policy/${PolicyNameWithPath}",
		"instance-profile": "instance-profile/${InstanceProfileNameWithPath}", "mfa": "mfa/${MfaTokenIdWithPath}",
		"oidc-provider": "oidc-provider/${OidcProviderName}", "saml-provider": "saml-provider/${SamlProviderName}", "server-certificate": "server-certificate/${CertificateNameWithPath}",
	},
	"rds": {
		"cluster": "cluster:${DbClusterInstanceName}", "db": "db:${DbInstanceName}", "cluster-snapshot": "cluster-snapshot:${ClusterSnapshotName}",
		"snapshot": "snapshot:${SnapshotName}", "cluster-pg": "cluster-pg:${ClusterParameterGroupName}", "pg": "pg:${ParameterGroupName}", "subgrp": "subgrp:${SubnetGroupName}",
	},
}

// resourceTemplate is the form of the ARNs of an action's resources; "*" where none
// is known.
func resourceTemplate(action string) string {
	service, _, _ := strings.Cut(strings.ToLower(action), ":")
	for _, kind := range policy.ResourceTypes(action) {
		form, ok := templates[service][kind]
		switch {
		case !ok:
		case service == "iam" || service == "sts":
			return "arn:${Partition}:iam::${Account}:" + form
		default:
			return "arn:${Partition}:" + service + ":${Region}:${Account}:" + form
		}
	}
	return "*"
}
