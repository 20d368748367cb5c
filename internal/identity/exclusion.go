package identity

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// An exclusion is the policies that a simulation leaves out.
type exclusion struct {
	types   []types.PolicyIdentifierPolicyType
	arns    []policy.Wildcard
	inlines []inlineExclusion
}

type inlineExclusion struct {
	kind Kind
	of   policy.Wildcard
	name string
}

// newExclusion reads what a request wants to be left out.
func newExclusion(list []types.PolicyIdentifier) (exclusion, error) {
	var x exclusion
	for _, one := range list {
		switch id := one.(type) {
		case *types.PolicyIdentifierMemberPolicyType:
			x.types = append(x.types, id.Value)
		case *types.PolicyIdentifierMemberPolicyArn:
			name := id.Value[strings.LastIndex(id.Value, "/")+1:]
			if before := strings.TrimSuffix(id.Value, name); !isPolicyARN(id.Value) || strings.ContainsAny(before, "*?") || strings.Count(name, "*") > 1 {
				return x, invalidInput("ARN %s is not valid.", id.Value)
			}
			x.arns = append(x.arns, policy.ParseWildcard(id.Value))
		case *types.PolicyIdentifierMemberInlinePolicyIdentifier:
			v := id.Value
			if strings.Count(text(v.AttachmentName), "*") > 1 || strings.ContainsAny(text(v.PolicyName), "*?") {
				return x, invalidInput("The inline policy identifier %s of %s is not valid.", text(v.PolicyName), text(v.AttachmentName))
			}
			x.inlines = append(x.inlines, inlineExclusion{Kind(strings.ToLower(string(v.AttachmentType))), policy.ParseWildcard(text(v.AttachmentName)), text(v.PolicyName)})
		}
	}
	return x, nil
}

// has says whether a policy is left out.
func (x exclusion) has(o origin) bool {
	if o.inline != "" {
		return x.hasType(types.PolicyIdentifierPolicyTypeInline) ||
			slices.ContainsFunc(x.inlines, func(i inlineExclusion) bool {
				return i.kind == o.of.Kind && i.of.Matches(o.of.Name) && i.name == o.inline
			})
	}
	kind := types.PolicyIdentifierPolicyTypeUserManaged
	if a, err := cloud.ParseARN(o.arn); err == nil && a.Account == awsManaged {
		kind = types.PolicyIdentifierPolicyTypeAwsManaged
	}
	return x.hasType(kind) || x.hasARN(o.arn)
}

// hasBoundary says whether a permissions boundary is left out.
func (x exclusion) hasBoundary(arn string) bool {
	return x.hasType(types.PolicyIdentifierPolicyTypePermissionBoundary) || x.hasARN(arn)
}

func (x exclusion) hasARN(arn string) bool {
	return slices.ContainsFunc(x.arns, func(w policy.Wildcard) bool { return w.Matches(arn) })
}

func (x exclusion) hasType(t types.PolicyIdentifierPolicyType) bool {
	return slices.Contains(x.types, t)
}
