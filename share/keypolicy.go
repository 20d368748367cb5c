package share

import (
	"errors"
	"fmt"
	"slices"

	"borealis/internal/policy"
)

// administrator is what the KMS console lets key administrators do.
// https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
var administrator = policy.Values{
	"kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*", "kms:Revoke*",
	"kms:Disable*", "kms:Get*", "kms:Delete*", "kms:TagResource", "kms:UntagResource",
}

// keyPolicy writes the smallest key policy that lets the target copy a snapshot
// under the key: to look at the key, and to make grants on it for RDS alone. RDS
// does the rest under those grants.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Overview.Encryption.Keys.html
func keyPolicy(p *Plan) (string, error) {
	statements := []policy.Entry{{
		Sid: "Enable IAM User Permissions", Effect: "Allow", Principal: principal(p.Source.root()), Action: policy.Values{"kms:*"}, Resource: everything,
	}}
	if admins := p.Request.Key.Administrators; len(admins) > 0 {
		actions := administrator
		if p.Request.Key.AdministratorsMayDelete {
			actions = append(slices.Clip(actions), "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion")
		}
		statements = append(statements, policy.Entry{
			Sid: "Allow access for Key Administrators", Effect: "Allow", Principal: principal(admins...), Action: actions, Resource: everything,
		})
	}
	// DescribeKey carries no kms:ViaService, so that the target can look at the
	// key itself when something does not work.
	statements = append(statements, policy.Entry{
		Sid: "TargetDescribesKey", Effect: "Allow", Principal: principal(p.Request.TargetPrincipal), Action: policy.Values{"kms:DescribeKey"}, Resource: everything,
	}, policy.Entry{
		Sid: "TargetGrantsToRDSOnly", Effect: "Allow", Principal: principal(p.Request.TargetPrincipal), Action: policy.Values{"kms:CreateGrant"}, Resource: everything,
		Condition: map[string]map[string]policy.Values{
			"Bool":         {"kms:GrantIsForAWSResource": {"true"}},
			"StringEquals": {"kms:ViaService": {"rds." + p.Source.Region + ".amazonaws.com"}, "kms:CallerAccount": {p.Target.Account}},
		},
	})
	var d policy.Document
	for _, s := range statements {
		if err := d.Append(s); err != nil {
			return "", fmt.Errorf("write key policy: %w", errors.Join(err, ErrUsage))
		}
	}
	return d.String(), nil
}

// everything is the Resource of every statement of a key policy: the key.
var everything = policy.Values{"*"}

func principal(arns ...string) map[policy.PrincipalType]policy.Values {
	return map[policy.PrincipalType]policy.Values{policy.AWS: arns}
}
