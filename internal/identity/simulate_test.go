package identity_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/identity"
)

// keyA is a KMS key of account A.
const keyA = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// statement is a policy of one statement; ' stands for ".
func statement(text string) string {
	return strings.ReplaceAll(`{'Version':'2012-10-17','Statement':[`+text+`]}`, "'", `"`)
}

// said is a simulation's results, for reading: the action, the decision and what it
// is due to, and the same for each resource.
func said(results []types.EvaluationResult) string {
	var lines []string
	add := func(what string, d types.PolicyEvaluationDecisionType, matched []types.Statement, missing []string, b *types.PermissionsBoundaryDecisionDetail, details map[string]types.PolicyEvaluationDecisionType) {
		line := what + " " + string(d)
		for _, m := range matched {
			line += fmt.Sprintf(" %s@%d:%d", *m.SourcePolicyId, m.StartPosition.Line, m.StartPosition.Column)
		}
		if len(missing) > 0 {
			line += " missing " + strings.Join(missing, ",")
		}
		if b != nil {
			line += fmt.Sprint(" bounded ", b.AllowedByPermissionsBoundary)
		}
		if len(details) > 0 {
			line += fmt.Sprint(" ", details)
		}
		lines = append(lines, line)
	}
	for _, e := range results {
		add(*e.EvalActionName+" "+*e.EvalResourceName, e.EvalDecision, e.MatchedStatements, e.MissingContextValues, e.PermissionsBoundaryDecisionDetail, e.EvalDecisionDetails)
		if e.OrganizationsDecisionDetail != nil {
			lines[len(lines)-1] += fmt.Sprint(" organization ", e.OrganizationsDecisionDetail.AllowedByOrganizations)
		}
		for _, s := range e.ResourceSpecificResults {
			add("  "+*s.EvalResourceName, s.EvalResourceDecision, s.MatchedStatements, s.MissingContextValues, s.PermissionsBoundaryDecisionDetail, s.EvalDecisionDetails)
		}
	}
	return strings.Join(lines, "\n")
}

// The simulator answers for users with what they have from everywhere.
func TestSimulatePrincipalPolicy(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	policyARN := func(name string) *string { return new("arn:aws:iam::111122223333:policy/" + name) }
	made := func(name, text string) {
		must(v.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: &text}))(t)
	}
	made("reads", statement(`{'Effect':'Allow','Action':'kms:Describe*','Resource':'*'}`))
	made("bounds", statement(`{'Effect':'Allow','Action':'kms:*','Resource':'*'}`))
	w.user(accountA, "ann", statement(`{'Effect':'Allow','Action':'kms:Decrypt','Resource':'`+keyA+`','Condition':{'Bool':{'aws:MultiFactorAuthPresent':'true'}}}`))
	must(v.TagUser(ctx, &iam.TagUserInput{UserName: new("ann"), Tags: tags("team", "red")}))(t)
	must(v.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("ann"), PolicyArn: policyARN("reads")}))(t)
	must(v.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("crew")}))(t)
	must(v.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: new("crew"), PolicyName: new("denies"), PolicyDocument: new(statement(`{'Effect':'Deny','Action':'kms:DescribeKey','Resource':'` + keyA + `'}`))}))(t)
	must(v.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("crew"), UserName: new("ann")}))(t)
	must(v.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("job"), Path: new("/jobs/"), AssumeRolePolicyDocument: new(trustsA)}))(t)
	must(v.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: new("job"), PolicyArn: new(admin)}))(t)
	must(v.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: new("job"), PermissionsBoundary: policyARN("bounds")}))(t)

	ann, crew, job := "arn:aws:iam::111122223333:user/ann", "arn:aws:iam::111122223333:group/crew", "arn:aws:iam::111122223333:role/jobs/job"
	mfa := types.ContextEntry{ContextKeyName: new("aws:multifactorauthpresent"), ContextKeyType: "boolean", ContextKeyValues: []string{"true"}}
	forBob := statement(`{'Effect':'Allow','Principal':{'AWS':'arn:aws:iam::444455556666:user/bob'},'Action':'s3:Get*','Resource':'*'}`)
	ours := "arn:aws:s3:::ours/x"
	for _, tt := range []struct {
		name string
		in   iam.SimulatePrincipalPolicyInput
		want string
	}{
		{"without a resource", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ann, ActionNames: []string{"kms:DescribeKey", "kms:CreateKey"}}, `
kms:DescribeKey * allowed reads@1:38
kms:CreateKey * implicitDeny`},
		{"a key, two actions", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ann, ActionNames: []string{"kms:DescribeKey", "kms:Decrypt"}, ResourceArns: []string{keyA}}, `
kms:DescribeKey arn:${Partition}:kms:${Region}:${Account}:key/${KeyId} explicitDeny group_crew_denies@1:38
  ` + keyA + ` explicitDeny group_crew_denies@1:38
kms:Decrypt arn:${Partition}:kms:${Region}:${Account}:key/${KeyId} implicitDeny missing aws:MultiFactorAuthPresent
  ` + keyA + ` implicitDeny missing aws:MultiFactorAuthPresent`},
		{"the context is given", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ann, ActionNames: []string{"kms:Decrypt"}, ResourceArns: []string{keyA, "*"}, ContextEntries: []types.ContextEntry{mfa}}, `
kms:Decrypt arn:${Partition}:kms:${Region}:${Account}:key/${KeyId} implicitDeny user_ann_p@1:38
  ` + keyA + ` allowed user_ann_p@1:38
  * implicitDeny`},
		{"leaving out a group's inline policy", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ann, ActionNames: []string{"kms:DescribeKey"}, ResourceArns: []string{keyA},
			PolicyExclusionList: []types.PolicyIdentifier{&types.PolicyIdentifierMemberInlinePolicyIdentifier{Value: types.InlinePolicyIdentifierType{AttachmentType: "group", AttachmentName: new("c?e*"), PolicyName: new("denies")}}}}, `
kms:DescribeKey arn:${Partition}:kms:${Region}:${Account}:key/${KeyId} allowed reads@1:38
  ` + keyA + ` allowed reads@1:38`},
		{"leaving out by ARN and type", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ann, ActionNames: []string{"kms:DescribeKey"},
			PolicyExclusionList: []types.PolicyIdentifier{&types.PolicyIdentifierMemberPolicyArn{Value: "arn:aws:iam::111122223333:policy/r*s"}, &types.PolicyIdentifierMemberPolicyType{Value: "inline"}}}, `
kms:DescribeKey * implicitDeny`},
		{"a group", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &crew, ActionNames: []string{"kms:DescribeKey"}, PolicyInputList: []string{anything}}, `
kms:DescribeKey * allowed PolicyInputList.1@1:38`},
		{"a role and its boundary", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &job, ActionNames: []string{"kms:Encrypt", "s3:GetObject"}}, `
kms:Encrypt * allowed AdministratorAccess@3:19 bounded true
s3:GetObject * implicitDeny bounded false`},
		{"another boundary", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &job, ActionNames: []string{"s3:GetObject"}, PermissionsBoundaryPolicyInputList: []string{anything}}, `
s3:GetObject * allowed AdministratorAccess@3:19 bounded true`},
		{"no boundary", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &job, ActionNames: []string{"s3:GetObject"}, PolicyExclusionList: []types.PolicyIdentifier{&types.PolicyIdentifierMemberPolicyType{Value: "permission-boundary"}}}, `
s3:GetObject * allowed AdministratorAccess@3:19`},
		{"as somebody else of another account", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ann, ActionNames: []string{"s3:GetObject"}, ResourceArns: []string{ours},
			PolicyInputList: []string{anything}, CallerArn: new("arn:aws:iam::444455556666:user/bob"), ResourceOwner: new("111122223333"), ResourcePolicy: &forBob}, `
s3:GetObject * allowed PolicyInputList.1@1:38 ResourcePolicy@1:38 map[IAM Policy:allowed Resource Policy:allowed]
  ` + ours + ` allowed PolicyInputList.1@1:38 ResourcePolicy@1:38 map[IAM Policy:allowed Resource Policy:allowed]`},
		{"of another account, without an identity policy", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ann, ActionNames: []string{"s3:GetObject"}, ResourceArns: []string{ours},
			CallerArn: new("arn:aws:iam::444455556666:user/bob"), ResourceOwner: new("111122223333"), ResourcePolicy: &forBob}, `
s3:GetObject * implicitDeny map[IAM Policy:implicitDeny Resource Policy:allowed]
  ` + ours + ` implicitDeny map[IAM Policy:implicitDeny Resource Policy:allowed]`},
		{"a tag of the user", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ann, ActionNames: []string{"s3:GetObject"},
			PolicyInputList: []string{statement(`{'Effect':'Allow','Action':'s3:*','Resource':'*','Condition':{'StringEquals':{'aws:PrincipalTag/team':'red','aws:username':'ann'}}}`)}}, `
s3:GetObject * allowed PolicyInputList.1@1:38`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := must(v.SimulatePrincipalPolicy(ctx, &tt.in))(t)
			if got := "\n" + said(out.EvaluationResults); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
	keys := must(v.GetContextKeysForPrincipalPolicy(ctx, &iam.GetContextKeysForPrincipalPolicyInput{PolicySourceArn: &ann, PolicyInputList: []string{statement(`{'Effect':'Allow','Action':'*','Resource':'arn:aws:s3:::x/${aws:username}'}`)}}))(t)
	if want := []string{"aws:MultiFactorAuthPresent", "aws:username"}; !slices.Equal(keys.ContextKeyNames, want) {
		t.Errorf("context keys %q, want %q", keys.ContextKeyNames, want)
	}
}

// What the simulator says of a user is what is decided when the user asks.
func TestSimulationAgrees(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	ann := w.user(accountA, "ann", statement(`{'Effect':'Allow','NotAction':['iam:Delete*','kms:*'],'Resource':'*'},{'Effect':'Deny','Action':'iam:*','Resource':'*','Condition':{'StringEquals':{'aws:username':'ann'},'StringLike':{'aws:PrincipalArn':'*/ann'}}}`))
	actions := []string{"iam:GetUser", "iam:DeleteUser", "kms:Decrypt", "rds:CreateDBCluster"}
	out := must(v.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ann.ARN, ActionNames: actions, ResourceArns: []string{ann.ARN}}))(t)
	for i, action := range actions {
		if got, want := out.EvaluationResults[i].EvalDecision == "allowed", w.allowed(ctx, ann, action, ann.ARN); got != want {
			t.Errorf("%s: simulated %v, decided %v", action, got, want)
		}
	}
}

func TestSimulateCustomPolicy(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	fullAccess, noKMS := anything, statement(`{'Effect':'Allow','NotAction':'kms:*','Resource':'*'}`)
	bob := "arn:aws:iam::444455556666:user/bob"
	keyPolicy := statement(`{'Effect':'Allow','Principal':{'AWS':'444455556666'},'Action':'kms:*','Resource':'*'}`)
	for _, tt := range []struct {
		name string
		in   iam.SimulateCustomPolicyInput
		want string
	}{
		{"two policies, one denies", iam.SimulateCustomPolicyInput{ActionNames: []string{"s3:GetObject"}, PolicyInputList: []string{anything, statement(`{'Effect':'Deny','Action':'s3:*','Resource':'*'}`)}}, `
s3:GetObject * explicitDeny PolicyInputList.2@1:38`},
		{"within an organization", iam.SimulateCustomPolicyInput{ActionNames: []string{"kms:Decrypt", "s3:GetObject"}, PolicyInputList: []string{anything},
			OrderedOrganizationPolicyInputList: []types.OrderedOrganizationPolicyType{{ServiceControlPolicyInputList: []string{fullAccess}}, {ServiceControlPolicyInputList: []string{noKMS}}}}, `
kms:Decrypt * implicitDeny organization false
s3:GetObject * allowed PolicyInputList.1@1:38 organization true`},
		{"a key needs its own policy, if one is given", iam.SimulateCustomPolicyInput{ActionNames: []string{"kms:Decrypt"}, PolicyInputList: []string{anything}, CallerArn: new("arn:aws:iam::111122223333:user/ann"),
			ResourceArns: []string{keyA}, ResourcePolicy: &keyPolicy}, `
kms:Decrypt arn:${Partition}:kms:${Region}:${Account}:key/${KeyId} implicitDeny
  ` + keyA + ` implicitDeny`},
		{"a key of another account", iam.SimulateCustomPolicyInput{ActionNames: []string{"kms:Decrypt"}, PolicyInputList: []string{anything}, CallerArn: &bob, ResourceArns: []string{keyA}, ResourcePolicy: &keyPolicy}, `
kms:Decrypt arn:${Partition}:kms:${Region}:${Account}:key/${KeyId} allowed PolicyInputList.1@1:38 ResourcePolicy@1:38 map[IAM Policy:allowed Resource Policy:allowed]
  ` + keyA + ` allowed PolicyInputList.1@1:38 ResourcePolicy@1:38 map[IAM Policy:allowed Resource Policy:allowed]`},
		{"a list of addresses", iam.SimulateCustomPolicyInput{ActionNames: []string{"s3:GetObject"}, PolicyInputList: []string{statement(`{'Effect':'Allow','Action':'*','Resource':'*','Condition':{'ForAllValues:IpAddress':{'aws:SourceIp':'10.0.0.0/8'}}}`)},
			ContextEntries: []types.ContextEntry{{ContextKeyName: new("aws:SourceIp"), ContextKeyType: "ipList", ContextKeyValues: []string{"10.1.2.3", "10.2.3.4"}}}}, `
s3:GetObject * allowed PolicyInputList.1@1:38`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := must(v.SimulateCustomPolicy(ctx, &tt.in))(t)
			if got := "\n" + said(out.EvaluationResults); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestSimulationMistakes(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	w.user(accountA, "ann", "")
	ann := new("arn:aws:iam::111122223333:user/ann")
	entry := func(name string, kind types.ContextKeyTypeEnum, values ...string) []types.ContextEntry {
		return []types.ContextEntry{{ContextKeyName: &name, ContextKeyType: kind, ContextKeyValues: values}}
	}
	get, whole := []string{"s3:GetObject"}, []string{anything}
	for _, tt := range []struct {
		name string
		in   any
		want string // up to "…"
	}{
		{"an assumed role", &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new("arn:aws:sts::111122223333:assumed-role/r/s"), ActionNames: get}, "InvalidInput: Invalid Entity Arn: arn:aws:sts::111122223333:assumed-role/r/s does not clearly define entity type and name."},
		{"nobody", &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new("arn:aws:iam::111122223333:user/none"), ActionNames: get}, "NoSuchEntity: The user with name none cannot be found."},
		{"another path", &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new("arn:aws:iam::111122223333:user/x/ann"), ActionNames: get}, "NoSuchEntity: …"},
		{"another account", &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new("arn:aws:iam::444455556666:user/ann"), ActionNames: get}, "AccessDenied: …"},
		{"an action with wildcards", &iam.SimulatePrincipalPolicyInput{PolicySourceArn: ann, ActionNames: []string{"s3:Get*"}}, "InvalidInput: Invalid Action: s3:Get*"},
		{"no action of a service", &iam.SimulateCustomPolicyInput{PolicyInputList: whole, ActionNames: []string{"Get"}}, "InvalidInput: Invalid Action: Get"},
		{"no ARN", &iam.SimulateCustomPolicyInput{PolicyInputList: whole, ActionNames: get, ResourceArns: []string{"x"}}, `InvalidInput: Resource x must be in ARN format or "*".`},
		{"no policy", &iam.SimulateCustomPolicyInput{PolicyInputList: []string{"{}"}, ActionNames: get}, "InvalidInput: PolicyInputList.1: Syntax errors in policy.…"},
		{"no boundary", &iam.SimulateCustomPolicyInput{PolicyInputList: whole, ActionNames: get, PermissionsBoundaryPolicyInputList: []string{"{}"}}, "InvalidInput: …"},
		{"two boundaries", &iam.SimulateCustomPolicyInput{PolicyInputList: whole, ActionNames: get, PermissionsBoundaryPolicyInputList: []string{anything, anything}}, "InvalidInput: Only one permissions boundary policy can be specified."},
		{"a resource policy for nobody", &iam.SimulateCustomPolicyInput{PolicyInputList: whole, ActionNames: get, ResourcePolicy: new(anything)}, "InvalidInput: CallerArn is required when ResourcePolicy is specified."},
		{"no resource policy", &iam.SimulateCustomPolicyInput{PolicyInputList: whole, ActionNames: get, CallerArn: ann, ResourcePolicy: new(anything)}, "InvalidInput: ResourcePolicy: Missing required field Principal"},
		{"no caller", &iam.SimulateCustomPolicyInput{PolicyInputList: whole, ActionNames: get, CallerArn: new("ann")}, "InvalidInput: Invalid Entity Arn: ann does not clearly define entity type and name."},
		{"an option there is not", &iam.SimulateCustomPolicyInput{PolicyInputList: whole, ActionNames: get, ResourceHandlingOption: new("EC2")}, "InvalidInput: …"},
		{"an option that lacks a resource", &iam.SimulateCustomPolicyInput{PolicyInputList: whole, ActionNames: get, ResourceHandlingOption: new("EC2-VPC-EBS"), ResourceArns: []string{"arn:aws:ec2:eu-west-1:111122223333:instance/i"}}, "InvalidInput: ResourceHandlingOption EC2-VPC-EBS requires a resource of type image."},
		{"no date", &iam.SimulateCustomPolicyInput{PolicyInputList: whole, ActionNames: get, ContextEntries: entry("aws:CurrentTime", "date", "soon")}, "InvalidInput: Context key aws:CurrentTime: soon is not a value of type date."},
		{"two values of one", &iam.SimulateCustomPolicyInput{PolicyInputList: whole, ActionNames: get, ContextEntries: entry("aws:TagKeys", "string", "a", "b")}, "InvalidInput: …"},
		{"a key twice", &iam.SimulateCustomPolicyInput{PolicyInputList: whole, ActionNames: get, ContextEntries: append(entry("aws:a", "string", "a"), entry("AWS:A", "string", "b")...)}, "InvalidInput: Context key AWS:A is specified more than once."},
		{"a wildcard in an account", &iam.SimulatePrincipalPolicyInput{PolicySourceArn: ann, ActionNames: get, PolicyExclusionList: []types.PolicyIdentifier{&types.PolicyIdentifierMemberPolicyArn{Value: "arn:aws:iam::*:policy/x"}}}, "InvalidInput: ARN arn:aws:iam::*:policy/x is not valid."},
		{"no policy to look for keys in", &iam.GetContextKeysForCustomPolicyInput{PolicyInputList: []string{"x"}}, "InvalidInput: PolicyInputList.1: …"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			op := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", tt.in), "*iam."), "Input")
			_, err := identity.Ops[op].Run(ctx, v, tt.in)
			want, open := strings.CutSuffix(tt.want, "…")
			if got := code(err); got != want && !(open && strings.HasPrefix(got, want)) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// Pages have the actions in the order in which they were asked for, repetitions
// included, and a page with many resources is shorter.
func TestSimulationPages(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	var actions, resources []string
	for i := range 9 {
		actions = append(actions, fmt.Sprintf("s3:Action%d", (i*4)%9%7))
	}
	in := iam.SimulateCustomPolicyInput{ActionNames: actions, PolicyInputList: []string{anything}}
	got := walk(t, "SimulateCustomPolicy", func(marker *string, items *int32) (names []string, _ *string, _ bool) {
		in.Marker, in.MaxItems = marker, items
		out := must(v.SimulateCustomPolicy(ctx, &in))(t)
		for _, e := range out.EvaluationResults {
			names = append(names, *e.EvalActionName)
		}
		return names, out.Marker, out.IsTruncated
	})
	if !slices.Equal(got, actions) {
		t.Errorf("%v, want %v", got, actions)
	}
	for i := range 4000 {
		resources = append(resources, fmt.Sprintf("arn:aws:s3:::b/%d", i))
	}
	out := must(v.SimulateCustomPolicy(ctx, &iam.SimulateCustomPolicyInput{ActionNames: actions, ResourceArns: resources, PolicyInputList: []string{anything}}))(t)
	if len(out.EvaluationResults) != 2 || len(out.EvaluationResults[0].ResourceSpecificResults) != 4000 || !out.IsTruncated {
		t.Errorf("a page of %d, truncated %v", len(out.EvaluationResults), out.IsTruncated)
	}
}
