package policy_test

import (
	"strings"
	"testing"

	"borealis/internal/policy"
)

func TestFindings(t *testing.T) {
	key := func(rest string) string {
		return `{'Effect':'Allow','Principal':{'AWS':'444455556666'},'Resource':'*',` + rest + `}`
	}
	for _, c := range []struct {
		name       string
		statements []string
		want       []string // "code: a part of the message"
	}{
		{"nothing amiss", []string{key(`'Action':['kms:Decrypt','kms:ReEncrypt*','kms:*'],'Condition':{'StringEquals':{'kms:ViaService':'rds.eu-west-1.amazonaws.com','aws:PrincipalOrgID':'o-1'}}`)}, nil},
		{"no such action", []string{key(`'Action':['kms:Decypt','kms:Reencryption*','s3:Whatever']`)}, []string{"UnknownAction: names kms:Decypt", "UnknownAction: names kms:Reencryption*"}},
		{"no such action in a NotAction", []string{`{'Effect':'Deny','NotAction':'rds:DescribeClusters','Resource':'*'}`}, []string{"UnknownAction: names rds:DescribeClusters"}},
		{"a key that one of the actions never has", []string{key(`'Action':['kms:CreateGrant','kms:DescribeKey'],'Condition':{'Bool':{'kms:GrantIsForAWSResource':'true'}}`)},
			[]string{"AbsentConditionKey: never applies to kms:DescribeKey: its requests have no kms:GrantIsForAWSResource"}},
		{"CreateGrant made useless", []string{key(`'Action':'kms:CreateGrant','Condition':{'StringEquals':{'kms:EncryptionAlgorithm':'SYMMETRIC_DEFAULT'}}`)},
			[]string{"AbsentConditionKey: never applies to kms:CreateGrant"}},
		{"keys with data in their names", []string{key(`'Action':'kms:Decrypt','Condition':{'StringEquals':{'kms:EncryptionContext:aws:rds:dbc-id':'c','aws:ResourceTag/x':'y'}}`)}, nil},
		{"it may be absent", []string{key(`'Action':'kms:DescribeKey','Condition':{'BoolIfExists':{'kms:GrantIsForAWSResource':'true'},'Null':{'kms:KeySpec':'true'},'StringNotEquals':{'kms:SigningAlgorithm':'x'},'ForAllValues:StringEquals':{'kms:GrantOperations':'Decrypt'}}`)}, nil},
		{"RDS itself", []string{`{'Effect':'Allow','Principal':{'Service':'rds.amazonaws.com'},'Action':'kms:*','Resource':'*'}`}, []string{"IdlePrincipal: lets in rds.amazonaws.com, which uses keys in the name"}},
		{"web identities", []string{`{'Effect':'Allow','Principal':{'Federated':'accounts.google.com'},'Action':'kms:Decrypt','Resource':'*'}`}, []string{"IdlePrincipal: lets in accounts.google.com, and KMS has no callers of type Federated"}},
		{"a condition beside an open door", []string{key(`'Action':['kms:Decrypt','kms:CreateGrant']`), key(`'Action':['kms:CreateGrant','kms:ListGrants'],'Condition':{'Bool':{'kms:GrantIsForAWSResource':'true'}}`)},
			[]string{"IdleCondition: limits kms:CreateGrant"}},
		{"the door is another's", []string{to("Allow", aws("777788889999")), key(`'Action':'kms:CreateGrant','Condition':{'Bool':{'kms:GrantIsForAWSResource':'true'}}`)}, nil},
		{"a trust policy", []string{`{'Effect':'Allow','Principal':{'AWS':'444455556666'},'Action':['sts:AssumeRole','sts:TagSession'],'Condition':{'StringEquals':{'sts:ExternalId':'x'}}}`}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := doc(t, "p", c.statements...).Findings()
			for i, f := range got {
				if i >= len(c.want) || !strings.HasPrefix(f.Code+": "+f.Message, c.want[i]) {
					t.Errorf("%d: %s: %s", i, f.Code, f)
				}
			}
			if len(got) < len(c.want) {
				t.Errorf("%d findings, want %q", len(got), c.want)
			}
		})
	}
}

// The tree shows the findings about the policies that it lists.
func TestExplanationHints(t *testing.T) {
	q := ask(t, ann, sides{identity: []string{`{'Sid':'Typo','Effect':'Allow','Action':'kms:Decypt','Resource':'*'}`}, resource: []string{toHome}})
	e := q.Explain()
	want := `  hint: statement 0 ("Typo") of identity names kms:Decypt, and there is no such action` + "\n"
	if len(e.Hints) != 1 || e.Hints[0].Code != policy.UnknownAction || !strings.HasSuffix(e.Tree(), want) {
		t.Errorf("%v\n%s", e.Hints, e.Tree())
	}
}
