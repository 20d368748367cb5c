package share

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"borealis/internal/cloud"
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
	statements = append(statements, targetStatements(p.Request.TargetPrincipal, p.Source.Region, p.Target.Account)...)
	var d policy.Document
	for _, s := range statements {
		if err := d.Append(s); err != nil {
			return "", fmt.Errorf("write key policy: %w", errors.Join(err, ErrUsage))
		}
	}
	return d.String(), nil
}

// targetStatements let a principal of the target account look at the key, and make
// grants on it for RDS alone. DescribeKey carries no kms:ViaService, so that the
// target can look at the key itself when something does not work.
func targetStatements(who, region, account string) []policy.Entry {
	return []policy.Entry{{
		Sid: "TargetDescribesKey", Effect: "Allow", Principal: principal(who), Action: policy.Values{"kms:DescribeKey"}, Resource: everything,
	}, {
		Sid: "TargetGrantsToRDSOnly", Effect: "Allow", Principal: principal(who), Action: policy.Values{"kms:CreateGrant"}, Resource: everything,
		Condition: map[string]map[string]policy.Values{
			"Bool":         {"kms:GrantIsForAWSResource": {"true"}},
			"StringEquals": {"kms:ViaService": {rdsIn(region)}, "kms:CallerAccount": {account}},
		},
	}}
}

// withoutTarget takes out of a key's policy the statements that let in principals
// of the target account as targetStatements do, and no others. removed is how many
// those are.
func withoutTarget(text, region, account string) (without string, removed int, err error) {
	d, err := policy.ParseDocument(text)
	if err != nil {
		return "", 0, fmt.Errorf("read the key policy: %w", err)
	}
	for _, who := range d.AWSPrincipals() {
		if !isOf(account, who) {
			continue
		}
		for _, e := range targetStatements(who, region, account) {
			removed += d.RemoveSame(e)
		}
	}
	return d.String(), removed, nil
}

// isOf reports whether who, as policies and grants name principals, is the account or
// somebody there.
func isOf(account, who string) bool {
	f := strings.SplitN(who, ":", 6)
	return who == account || len(f) == 6 && f[4] == account
}

// everything is the Resource of every statement of a key policy: the key.
var everything = policy.Values{"*"}

func principal(arns ...string) map[policy.PrincipalType]policy.Values {
	return map[policy.PrincipalType]policy.Values{policy.AWS: arns}
}

// rdsIn is RDS, as kms:ViaService names it, in a Region.
func rdsIn(region string) string { return "rds." + region + ".amazonaws.com" }

// targetAsks is the question that KMS decides when RDS comes in the target's
// name, supposing that the target's own policies allow everything.
func (w *Workflow) targetAsks(key *policy.Policy, action, arn string) policy.Question {
	t := w.Target
	caller := cloud.Caller{
		Kind: cloud.User, Account: cloud.AccountID(t.Account), ARN: t.Caller, Principal: or(t.Principal, "arn:"+t.partition()+":iam::"+t.Account+":role/"+roleName(t.Caller)),
		Region: cloud.Region(t.Region), Via: []string{"rds.amazonaws.com"}, SecureTransport: true,
	}
	switch {
	case t.Caller == t.root():
		caller.Kind = cloud.Root
	case roleName(t.Caller) != "":
		caller.Kind = cloud.AssumedRole
	}
	return policy.Question{
		Caller:            caller,
		Identity:          policy.Identity{Policies: []*policy.Policy{everythingAllowed()}},
		Action:            action,
		Resource:          arn,
		Owner:             cloud.AccountID(w.Source.Account),
		ResourcePolicy:    key,
		ResourceMustAllow: true,
		Context: policy.Context{
			"kms:ViaService":            {rdsIn(t.Region)},
			"kms:CallerAccount":         {t.Account},
			"kms:GrantIsForAWSResource": {"true"},
		},
		Now: time.Now(),
	}
}

func everythingAllowed() *policy.Policy {
	p, err := policy.Parse("the target's own policies", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	if err != nil {
		panic(err) // the text above is constant
	}
	return p
}

// checkKeyPolicy makes sure that the policy to be given to the key lets in the
// target as which the copy will be made, and nobody of another account.
func (w *Workflow) checkKeyPolicy(p *Plan) error {
	who := p.Request.TargetPrincipal
	if who != p.Target.Account && !strings.HasPrefix(who, "arn:"+p.Target.partition()+":iam::"+p.Target.Account+":") {
		return usagef("%q is not the ARN of a principal of the target account %s", who, p.Target.Account)
	}
	doc, err := policy.Parse("the key policy", p.KeyPolicy)
	if err != nil {
		return fmt.Errorf("read the key policy back: %w", err)
	}
	if p.Target.Principal == "" {
		return nil // a role whose path is not known: it may be let in or not
	}
	q := w.targetAsks(doc, "kms:CreateGrant", p.Source.arn("kms", "key/new"))
	if !q.Decide().Allowed {
		return usagef("the key policy would let in %s, but the target's credentials are those of %s, which could not make its copy", who, p.Target.Principal)
	}
	return nil
}
