package policy_test

import (
	"strings"
	"testing"

	"borealis/internal/policy"
)

// What has no effect, and what looks alike and has some.
func TestValidateEffect(t *testing.T) {
	const us, they = `{'AWS':'444455556666'}`, `{'AWS':'777788889999'}`
	to := func(who, rest string) string {
		return `{'Effect':'Allow','Principal':` + who + `,'Resource':'*',` + rest + `}`
	}
	deny := func(who, rest string) string { return strings.Replace(to(who, rest), "Allow", "Deny", 1) }
	const forServices = `'Action':'kms:CreateGrant','Condition':{'Bool':{'kms:GrantIsForAWSResource':'true'}}`
	for _, c := range []struct {
		name       string
		statements []string
		want       string // codes
	}{
		{"nothing amiss", []string{to(us, `'Action':['kms:Decrypt','kms:ReEncrypt*'],'Condition':{'StringEquals':{'kms:ViaService':'rds.eu-west-1.amazonaws.com','aws:PrincipalOrgID':'o-1'}}`)}, ""},
		{"a key that one of the actions never has", []string{to(us, `'Action':['kms:CreateGrant','kms:DescribeKey'],'Condition':{'Bool':{'kms:GrantIsForAWSResource':'true'}}`)}, "UNSUPPORTED_ACTION_FOR_CONDITION_KEY"},
		{"CreateGrant with a key that it never has", []string{to(us, `'Action':'kms:CreateGrant','Condition':{'StringEquals':{'kms:EncryptionAlgorithm':'SYMMETRIC_DEFAULT'}}`)}, "UNSUPPORTED_ACTION_FOR_CONDITION_KEY"},
		{"keys with data in their names", []string{to(us, `'Action':'kms:Decrypt','Condition':{'StringEquals':{'kms:EncryptionContext:aws:rds:dbc-id':'c','aws:ResourceTag/x':'y'}}`)}, ""},
		{"it may be absent", []string{to(us, `'Action':'kms:DescribeKey','Condition':{'BoolIfExists':{'kms:GrantIsForAWSResource':'true'},'Null':{'kms:KeySpec':'true'}}`)}, ""},
		{"RDS itself", []string{to(`{'Service':'rds.amazonaws.com'}`, `'Action':'kms:*'`)}, policy.PrincipalWithoutEffect},
		{"RDS itself, beside another service", []string{to(`{'Service':['rds.eu-west-1.amazonaws.com','backup.amazonaws.com']}`, `'Action':'kms:*','Condition':{'StringEquals':{'aws:SourceAccount':'111122223333'}}`)}, policy.PrincipalWithoutEffect},
		{"a group", []string{to(`{'AWS':'arn:aws:iam::111122223333:group/staff'}`, `'Action':'kms:*'`)}, policy.PrincipalWithoutEffect},
		{"an instance profile", []string{to(`{'AWS':'arn:aws:iam::111122223333:instance-profile/app'}`, `'Action':'kms:*'`)}, policy.PrincipalWithoutEffect},
		{"a name", []string{to(`{'AWS':'ann'}`, `'Action':'kms:*'`)}, policy.PrincipalWithoutEffect},
		{"a canonical user", []string{to(`{'CanonicalUser':'79a59df900b949e5'}`, `'Action':'kms:*'`)}, policy.PrincipalWithoutEffect},
		{"web identities", []string{to(`{'Federated':'accounts.google.com'}`, `'Action':'kms:Decrypt'`)}, "FEDERATED_PRINCIPAL_NOT_SUPPORTED"},
		{"a condition beside an open door", []string{to(us, `'Action':['kms:Decrypt','kms:CreateGrant']`), to(us, forServices)}, policy.ConditionWithoutEffect},
		{"a condition of many actions beside an open door", []string{to(us, `'Action':'kms:CreateGrant'`), to(us, `'Action':['kms:*Grant'],'Condition':{'BoolIfExists':{'kms:GrantIsForAWSResource':'true'}}`)}, policy.ConditionWithoutEffect},
		{"a condition beside everyone's door", []string{to(`'*'`, `'Action':'kms:*'`), to(us, forServices)}, policy.ConditionWithoutEffect},
		{"the door is another's", []string{to(they, `'Action':'kms:CreateGrant'`), to(us, forServices)}, ""},
		{"the door is to another action", []string{to(us, `'Action':'kms:Create?'`), to(us, forServices)}, "INVALID_ACTION"},
		{"the door has a condition", []string{to(us, forServices), to(us, `'Action':'kms:CreateGrant','Condition':{'StringEquals':{'kms:CallerAccount':'444455556666'}}`)}, ""},
		{"CreateGrant denied to all", []string{to(us, forServices), deny(`{'AWS':'*'}`, `'Action':'kms:*Grant*'`)}, policy.AllowWithoutEffect},
		{"CreateGrant denied under the same condition", []string{to(us, forServices), deny(us, forServices)}, policy.AllowWithoutEffect},
		{"CreateGrant denied under the opposite", []string{to(us, forServices), deny(`'*'`, strings.Replace(forServices, `:'true'`, `:'false'`, 1))}, ""},
		{"CreateGrant denied to others", []string{to(us, forServices), deny(they, forServices)}, ""},
		{"CreateGrant denied to all but some", []string{to(us, forServices), `{'Effect':'Deny','NotPrincipal':` + us + `,'Action':'kms:*','Resource':'*'}`}, ""},
		{"a service without its Region", []string{to(us, `'Action':'kms:CreateGrant','Condition':{'StringEquals':{'kms:ViaService':'rds.amazonaws.com'}}`)}, policy.ValueWithoutEffect},
		{"any service", []string{to(us, `'Action':'kms:CreateGrant','Condition':{'StringLike':{'kms:ViaService':'rds.*'}}`)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkCodes(t, policy.ResourceKind, document(strings.Join(c.statements, ",")), c.want)
		})
	}
	checkCodes(t, policy.InlineKind, document(`{'Effect':'Allow','Action':['kms:Encrypt','kms:Decrypt'],'Resource':'arn:aws:kms:eu-west-1:111122223333:key/k'},{'Effect':'Deny','Action':'kms:D*','Resource':'arn:aws:kms:*:*:key/k'}`), "")
	checkCodes(t, policy.InlineKind, document(`{'Effect':'Allow','Action':['kms:Encrypt','kms:Decrypt'],'Resource':'arn:aws:kms:eu-west-1:111122223333:key/k'},{'Effect':'Deny','Action':'kms:D*','Resource':'arn:aws:kms:eu-west-1:*'}`), policy.AllowWithoutEffect)
	checkCodes(t, policy.TrustKind, document(`{'Effect':'Allow','Principal':{'AWS':['444455556666','777788889999']},'Action':['sts:AssumeRole','sts:TagSession'],'Condition':{'StringEquals':{'sts:ExternalId':'x'}}},{'Effect':'Deny','Principal':{'AWS':'777788889999'},'Action':'sts:AssumeRole'}`), "")
}

// The tree shows the findings about the policies that it lists.
func TestExplanationHints(t *testing.T) {
	q := ask(t, ann, sides{identity: []string{`{'Sid':'Typo','Effect':'Allow','Action':'kms:Decypt','Resource':'*'}`}, resource: []string{toHome}})
	e := q.Explain()
	want := `  hint: statement 0 ("Typo") of identity: ERROR INVALID_ACTION: The action kms:Decypt does not exist. Did you mean kms:Decrypt?` + "\n"
	if len(e.Hints) != 1 || e.Hints[0].Locations != nil || !strings.HasSuffix(e.Tree(), want) {
		t.Errorf("%v\n%s", e.Hints, e.Tree())
	}
}
