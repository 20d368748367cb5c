package policy_test

import (
	"strings"
	"testing"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// A conditionCase is a Condition block and the requests' keys it is put to.
type conditionCase struct {
	condition string // with ' for "
	context   policy.Context
	want      bool
}

func ctx(name string, values ...string) policy.Context {
	if values == nil {
		values = []string{}
	}
	return policy.Context{name: values}
}

// holds reports whether a statement with the condition applies.
func holds(t *testing.T, version, condition string, q policy.Question) bool {
	t.Helper()
	text := `{'Version':'` + version + `','Statement':{'Effect':'Allow','Action':'*','Resource':'*','Condition':` + condition + `}}`
	p, err := policy.Parse("p", strings.ReplaceAll(text, "'", `"`))
	if err != nil {
		t.Fatalf("Parse(%s): %v", condition, err)
	}
	q.Identity.Policies = []*policy.Policy{p}
	return q.Decide().Allowed
}

func holdAll(t *testing.T, cases []conditionCase) {
	t.Helper()
	for _, c := range cases {
		q := policy.Question{Caller: ann, Owner: home, Action: "x:Do", Resource: "*", Now: now, Context: c.context}
		if got := holds(t, "2012-10-17", c.condition, q); got != c.want {
			t.Errorf("%s with %v = %v", c.condition, c.context, got)
		}
	}
}

// IAM user guide, "Condition operators": string.
func TestStringOperators(t *testing.T) {
	holdAll(t, []conditionCase{
		{`{'StringEquals':{'x:k':'v'}}`, ctx("x:k", "v"), true},
		{`{'StringEquals':{'x:k':'v'}}`, ctx("x:k", "V"), false},
		{`{'StringEquals':{'x:k':['u','v']}}`, ctx("x:k", "v"), true},
		{`{'StringEquals':{'x:k':'v*'}}`, ctx("x:k", "vw"), false},
		{`{'StringEquals':{'x:k':'v*'}}`, ctx("x:k", "v*"), true},
		{`{'StringEquals':{'x:k':[]}}`, ctx("x:k", "v"), false},
		{`{'StringEquals':{'X:K':'v'}}`, ctx("x:k", "v"), true},
		{`{'StringEquals':{'x:k':true}}`, ctx("x:k", "true"), true},
		{`{'StringEquals':{'x:k':12}}`, ctx("x:k", "12"), true},
		{`{'StringNotEquals':{'x:k':'v'}}`, ctx("x:k", "v"), false},
		{`{'StringNotEquals':{'x:k':['u','v']}}`, ctx("x:k", "v"), false},
		{`{'StringNotEquals':{'x:k':['u','v']}}`, ctx("x:k", "w"), true},
		{`{'StringEqualsIgnoreCase':{'x:k':'äV'}}`, ctx("x:k", "Äv"), true},
		{`{'StringNotEqualsIgnoreCase':{'x:k':'v'}}`, ctx("x:k", "V"), false},
		{`{'StringLike':{'x:k':'a*c?'}}`, ctx("x:k", "abbcd"), true},
		{`{'StringLike':{'x:k':'a*c?'}}`, ctx("x:k", "abbc"), false},
		{`{'StringLike':{'x:k':'a?c'}}`, ctx("x:k", "aüc"), true},
		{`{'StringLike':{'x:k':'A*'}}`, ctx("x:k", "abc"), false},
		{`{'StringLike':{'x:k':'*'}}`, ctx("x:k", ""), true},
		{`{'StringNotLike':{'x:k':'a*'}}`, ctx("x:k", "abc"), false},
		{`{'StringNotLike':{'x:k':'a*'}}`, ctx("x:k", "bcd"), true},
		// Every operator and every key must hold.
		{`{'StringEquals':{'x:k':'v','x:l':'w'}}`, policy.Context{"x:k": {"v"}, "x:l": {"w"}}, true},
		{`{'StringEquals':{'x:k':'v','x:l':'w'}}`, policy.Context{"x:k": {"v"}, "x:l": {"u"}}, false},
		{`{'StringEquals':{'X:K':'v','X:L':'w'}}`, policy.Context{"x:k": {"v"}, "x:l": {"w"}}, true},
		{`{'StringEquals':{'X:K':'v','X:L':'v'}}`, policy.Context{"x:k": {"v"}, "x:l": {"w"}}, false},
		{`{'StringEquals':{'x:k':'v'},'StringLike':{'x:k':'u*'}}`, ctx("x:k", "v"), false},
		{`{}`, nil, true},
		{`{'StringEquals':{}}`, nil, true},
	})
}

// IAM user guide, "Condition operators": numeric, date, Boolean, binary, IP.
func TestTypedOperators(t *testing.T) {
	holdAll(t, []conditionCase{
		{`{'NumericEquals':{'x:n':'365'}}`, ctx("x:n", "365"), true},
		{`{'NumericEquals':{'x:n':'365.0'}}`, ctx("x:n", "365"), true},
		{`{'NumericEquals':{'x:n':'1'}}`, ctx("x:n", "one"), false},
		{`{'NumericNotEquals':{'x:n':'1'}}`, ctx("x:n", "2"), true},
		{`{'NumericLessThan':{'x:n':'10'}}`, ctx("x:n", "9"), true},
		{`{'NumericLessThan':{'x:n':'10'}}`, ctx("x:n", "10"), false},
		{`{'NumericLessThanEquals':{'x:n':'10'}}`, ctx("x:n", "10"), true},
		{`{'NumericLessThanEquals':{'x:n':['1','10']}}`, ctx("x:n", "7"), true},
		{`{'NumericGreaterThan':{'x:n':'-1.5'}}`, ctx("x:n", "-1.25"), true},
		{`{'NumericGreaterThanEquals':{'x:n':'7'}}`, ctx("x:n", "6.99"), false},
		{`{'DateEquals':{'x:d':'2026-11-23T12:00:00Z'}}`, ctx("x:d", "2026-11-23T13:00:00+01:00"), true},
		{`{'DateNotEquals':{'x:d':'2026-11-23T12:00:00Z'}}`, ctx("x:d", "2026-11-23T12:00:00Z"), false},
		{`{'DateLessThan':{'x:d':'2026-11-24'}}`, ctx("x:d", "2026-11-23T23:59:59Z"), true},
		{`{'DateLessThan':{'x:d':'1795500000'}}`, ctx("x:d", "2026-11-23T12:00:00Z"), true},
		{`{'DateLessThanEquals':{'x:d':'2026-11'}}`, ctx("x:d", "2026-11-01T00:00:00Z"), true},
		{`{'DateGreaterThan':{'x:d':'2026'}}`, ctx("x:d", "2025-12-31T23:59:59Z"), false},
		{`{'DateGreaterThanEquals':{'x:d':'2026'}}`, ctx("x:d", "2026-01-01T00:00:00Z"), true},
		{`{'DateGreaterThan':{'x:d':'2026'}}`, ctx("x:d", "yesterday"), false},
		{`{'Bool':{'x:b':'true'}}`, ctx("x:b", "true"), true},
		{`{'Bool':{'x:b':true}}`, ctx("x:b", "TRUE"), true},
		{`{'Bool':{'x:b':'false'}}`, ctx("x:b", "true"), false},
		{`{'Bool':{'x:b':'false'}}`, ctx("x:b", "no"), false},
		{`{'BinaryEquals':{'x:b':'QUJD'}}`, ctx("x:b", "QUJD"), true},
		{`{'BinaryEquals':{'x:b':'QUJD'}}`, ctx("x:b", "ABC"), false},
		{`{'IpAddress':{'x:i':'203.0.113.0/24'}}`, ctx("x:i", "203.0.113.255"), true},
		{`{'IpAddress':{'x:i':'203.0.113.0/24'}}`, ctx("x:i", "203.0.114.0"), false},
		{`{'IpAddress':{'x:i':'203.0.113.9'}}`, ctx("x:i", "203.0.113.9"), true},
		{`{'IpAddress':{'x:i':'203.0.113.0/24'}}`, ctx("x:i", "::ffff:203.0.113.1"), true},
		{`{'IpAddress':{'x:i':['10.0.0.0/8','2001:DB8:1234:5678::/64']}}`, ctx("x:i", "2001:db8:1234:5678::1"), true},
		{`{'IpAddress':{'x:i':'10.0.0.0/8'}}`, ctx("x:i", "rds.amazonaws.com"), false},
		{`{'NotIpAddress':{'x:i':'10.0.0.0/8'}}`, ctx("x:i", "10.1.2.3"), false},
		{`{'NotIpAddress':{'x:i':'10.0.0.0/8'}}`, ctx("x:i", "11.1.2.3"), true},
	})
}

// IAM user guide, "Condition operators": each of an ARN's six fields is
// compared by itself, and may hold wildcards, for ArnEquals and ArnLike alike.
func TestARNOperators(t *testing.T) {
	const topic = "arn:aws:sns:eu-west-1:111122223333:a:b"
	holdAll(t, []conditionCase{
		{`{'ArnEquals':{'x:a':'` + topic + `'}}`, ctx("x:a", topic), true},
		{`{'ArnEquals':{'x:a':'arn:aws:sns:*:111122223333:a*'}}`, ctx("x:a", topic), true},
		{`{'ArnLike':{'x:a':'arn:aws:sns:*:1111*:*'}}`, ctx("x:a", topic), true},
		{`{'ArnLike':{'x:a':'arn:aws:*:a:b'}}`, ctx("x:a", topic), false},
		{`{'ArnLike':{'x:a':'arn:aws:sns:*:a:b'}}`, ctx("x:a", topic), false},
		{`{'ArnLike':{'x:a':'*'}}`, ctx("x:a", topic), true},
		{`{'ArnLike':{'x:a':'arn:aws:sns:*:*:*'}}`, ctx("x:a", "not an arn"), false},
		{`{'ArnLike':{'x:a':'arn:aws:SNS:*:*:*'}}`, ctx("x:a", topic), false},
		{`{'ArnNotEquals':{'x:a':'` + topic + `'}}`, ctx("x:a", topic), false},
		{`{'ArnNotLike':{'x:a':'arn:aws:sqs:*:*:*'}}`, ctx("x:a", topic), true},
	})
}

// IAM user guide, "Condition operators": keys that are absent, IfExists, Null.
func TestAbsentKeys(t *testing.T) {
	holdAll(t, []conditionCase{
		{`{'StringEquals':{'x:k':'v'}}`, nil, false},
		{`{'StringNotEquals':{'x:k':'v'}}`, nil, true},
		{`{'StringLike':{'x:k':'*'}}`, nil, false},
		{`{'NumericNotEquals':{'x:k':'1'}}`, nil, true},
		{`{'NotIpAddress':{'x:k':'10.0.0.0/8'}}`, nil, true},
		{`{'ArnNotLike':{'x:k':'*'}}`, nil, true},
		{`{'Bool':{'x:k':'false'}}`, nil, false},
		{`{'StringEqualsIfExists':{'x:k':'v'}}`, nil, true},
		{`{'StringEqualsIfExists':{'x:k':'v'}}`, ctx("x:k", "w"), false},
		{`{'StringNotEqualsIfExists':{'x:k':'v'}}`, ctx("x:k", "v"), false},
		{`{'BoolIfExists':{'x:k':'false'}}`, nil, true},
		{`{'StringEqualsIfExists':{'x:k':'v'}}`, ctx("x:k"), false},
		{`{'Null':{'x:k':'true'}}`, nil, true},
		{`{'Null':{'x:k':'true'}}`, ctx("x:k", "v"), false},
		{`{'Null':{'x:k':'true'}}`, ctx("x:k"), true},
		{`{'Null':{'x:k':'false'}}`, ctx("x:k", "v"), true},
		{`{'Null':{'x:k':'false'}}`, nil, false},
		{`{'Null':{'x:k':['true','false']}}`, nil, true},
	})
}

// IAM user guide, "Set operators for multivalued context keys".
func TestSetOperators(t *testing.T) {
	holdAll(t, []conditionCase{
		{`{'ForAllValues:StringEquals':{'aws:TagKeys':['a','b']}}`, ctx("aws:TagKeys", "a"), true},
		{`{'ForAllValues:StringEquals':{'aws:TagKeys':['a','b']}}`, ctx("aws:TagKeys", "a", "b"), true},
		{`{'ForAllValues:StringEquals':{'aws:TagKeys':['a','b']}}`, ctx("aws:TagKeys", "a", "c"), false},
		{`{'ForAllValues:StringEquals':{'aws:TagKeys':'a'}}`, nil, true},
		{`{'ForAllValues:StringEquals':{'aws:TagKeys':'a'}}`, ctx("aws:TagKeys"), true},
		{`{'ForAllValues:StringNotEquals':{'aws:TagKeys':'a'}}`, ctx("aws:TagKeys", "b", "c"), true},
		{`{'ForAllValues:StringNotEquals':{'aws:TagKeys':'a'}}`, ctx("aws:TagKeys", "a", "c"), false},
		{`{'ForAnyValue:StringEquals':{'aws:TagKeys':['a','b']}}`, ctx("aws:TagKeys", "c", "b"), true},
		{`{'ForAnyValue:StringEquals':{'aws:TagKeys':['a','b']}}`, ctx("aws:TagKeys", "c"), false},
		{`{'ForAnyValue:StringEquals':{'aws:TagKeys':'a'}}`, nil, false},
		{`{'ForAnyValue:StringNotEquals':{'aws:TagKeys':'a'}}`, nil, false},
		{`{'ForAnyValue:StringNotEquals':{'aws:TagKeys':'a'}}`, ctx("aws:TagKeys", "a", "b"), true},
		{`{'ForAnyValue:StringNotEquals':{'aws:TagKeys':'a'}}`, ctx("aws:TagKeys", "a"), false},
		{`{'ForAnyValue:StringLike':{'aws:TagKeys':'te*'}}`, ctx("aws:TagKeys", "x", "team"), true},
		{`{'ForAllValues:StringEqualsIfExists':{'aws:TagKeys':'a'}}`, nil, true},
		{`{'ForAnyValue:StringEqualsIfExists':{'aws:TagKeys':'a'}}`, nil, true},
		{`{'ForAllValues:StringEquals':{'kms:GrantOperations':['Encrypt','Decrypt']}}`, ctx("kms:GrantOperations", "Decrypt", "CreateGrant"), false},
	})
}

// The data part of kms:EncryptionContext:<key> and tag keys is compared without
// regard to case, so a Deny cannot be dodged by another spelling beside.
func TestKeysThatDifferInCase(t *testing.T) {
	holdAll(t, []conditionCase{
		{`{'StringEquals':{'kms:EncryptionContext:Dept':'IT'}}`, ctx("kms:EncryptionContext:dept", "IT"), true},
		{`{'StringEquals':{'kms:EncryptionContext:Dept':'it'}}`, ctx("kms:EncryptionContext:dept", "IT"), false},
		{`{'StringEquals':{'kms:EncryptionContext:Dept':'HR'}}`, policy.Context{"kms:EncryptionContext:Dept": {"IT"}, "kms:EncryptionContext:dept": {"HR"}}, true},
		{`{'StringEquals':{'aws:ResourceTag/Team':'a'}}`, ctx("aws:ResourceTag/team", "a"), true},
	})
}

// IAM user guide, "AWS global condition context keys": which requests have which.
func TestGlobalKeys(t *testing.T) {
	tagged := session(home, "team/app", "i-1")
	tagged.Tags = map[string]string{"Team": "blue"}
	mfa := session(home, "team/app", "i-1")
	mfa.MFA = true
	rds := cloud.ServiceCaller("rds.amazonaws.com", "eu-west-1")
	for _, c := range []struct {
		who       cloud.Caller
		condition string
		want      bool
	}{
		{ann, `{'ArnEquals':{'aws:PrincipalArn':'arn:aws:iam::111122223333:user/ann'}}`, true},
		{app, `{'ArnEquals':{'aws:PrincipalArn':'arn:aws:iam::111122223333:role/team/app'}}`, true},
		{root(home), `{'ArnEquals':{'aws:PrincipalArn':'arn:aws:iam::111122223333:root'}}`, true},
		{rds, `{'Null':{'aws:PrincipalArn':'true'}}`, true},
		{ann, `{'StringEquals':{'aws:PrincipalAccount':'111122223333'}}`, true},
		{ann, `{'StringEquals':{'aws:PrincipalType':'User'}}`, true},
		{app, `{'StringEquals':{'aws:PrincipalType':'AssumedRole'}}`, true},
		{root(home), `{'StringEquals':{'aws:PrincipalType':'Account'}}`, true},
		{ann, `{'Bool':{'aws:PrincipalIsAWSService':'false'}}`, true},
		{rds, `{'Bool':{'aws:PrincipalIsAWSService':'true'}}`, true},
		{rds, `{'StringEquals':{'aws:PrincipalServiceName':'rds.eu-west-1.amazonaws.com'}}`, true},
		{rds, `{'ForAnyValue:StringEquals':{'aws:PrincipalServiceNamesList':'rds.amazonaws.com'}}`, true},
		{tagged, `{'StringEquals':{'aws:PrincipalTag/team':'blue'}}`, true},
		{tagged, `{'Null':{'aws:PrincipalTag/other':'true'}}`, true},
		{app, `{'StringLike':{'aws:userid':'AROAEXAMPLE00000APP:*'}}`, true},
		{ann, `{'StringEquals':{'aws:username':'ann'}}`, true},
		{app, `{'Null':{'aws:username':'true'}}`, true},
		{ann, `{'IpAddress':{'aws:SourceIp':'203.0.113.0/24'}}`, true},
		{ann.Through("rds.amazonaws.com"), `{'Null':{'aws:SourceIp':'true'}}`, true},
		{ann, `{'Bool':{'aws:SecureTransport':'true'}}`, true},
		{root(home), `{'Bool':{'aws:SecureTransport':'false'}}`, true},
		{root(home).Through("rds.amazonaws.com"), `{'Bool':{'aws:SecureTransport':'true'}}`, true},
		{ann.Through("rds.amazonaws.com"), `{'StringEquals':{'aws:UserAgent':'rds.amazonaws.com'}}`, true},
		{ann, `{'DateEquals':{'aws:CurrentTime':'2026-11-23T12:00:00Z'}}`, true},
		{ann, `{'DateGreaterThan':{'aws:EpochTime':'1700000000'}}`, true},
		{ann, `{'NumericEquals':{'aws:EpochTime':'1795435200'}}`, true},
		{ann, `{'StringEquals':{'aws:RequestedRegion':'eu-west-1'}}`, true},
		{bob, `{'StringEquals':{'aws:ResourceAccount':'111122223333'}}`, true},
		{ann, `{'Bool':{'aws:ViaAWSService':'false'}}`, true},
		{ann.Through("rds.amazonaws.com"), `{'Bool':{'aws:ViaAWSService':'true'}}`, true},
		{ann.Through("backup.amazonaws.com").Through("rds.amazonaws.com"), `{'ForAnyValue:StringEquals':{'aws:CalledVia':'rds.amazonaws.com'}}`, true},
		{ann.Through("backup.amazonaws.com").Through("rds.amazonaws.com"), `{'StringEquals':{'aws:CalledViaFirst':'backup.amazonaws.com','aws:CalledViaLast':'rds.amazonaws.com'}}`, true},
		{ann, `{'Null':{'aws:CalledVia':'true','aws:CalledViaFirst':'true','aws:CalledViaLast':'true'}}`, true},
		{ann, `{'Null':{'aws:TokenIssueTime':'true','aws:MultiFactorAuthPresent':'true','aws:MultiFactorAuthAge':'true'}}`, true},
		{ann, `{'BoolIfExists':{'aws:MultiFactorAuthPresent':'false'}}`, true},
		{app, `{'Bool':{'aws:MultiFactorAuthPresent':'false'}}`, true},
		{app, `{'Null':{'aws:MultiFactorAuthAge':'true'}}`, true},
		{mfa, `{'Bool':{'aws:MultiFactorAuthPresent':'true'},'NumericLessThan':{'aws:MultiFactorAuthAge':'3601'}}`, true},
		{mfa, `{'NumericLessThan':{'aws:MultiFactorAuthAge':'3600'}}`, false},
		{app, `{'DateLessThan':{'aws:TokenIssueTime':'2026-11-23T11:00:01Z'}}`, true},
		{ann, `{'Null':{'aws:SourceAccount':'true','aws:SourceArn':'true'}}`, true},
	} {
		text := `{'Effect':'Allow','Principal':'*','Action':'*','Resource':'*','Condition':` + c.condition + `}`
		q := ask(t, c.who, sides{identity: []string{allowAll}, resource: []string{text}})
		if got := q.Decide().Allowed; got != c.want {
			t.Errorf("%s for %s = %v", c.condition, c.who.ARN, got)
		}
	}
}

// What follows from the request is not the Context's to say.
func TestContextCannotForge(t *testing.T) {
	q := policy.Question{Caller: ann, Owner: home, Action: "x:Do", Resource: "*", Now: now,
		Context: policy.Context{"aws:username": {"eve"}, "AWS:CurrentTime": {"2001-01-01T00:00:00Z"}}}
	if holds(t, "2012-10-17", `{'StringEquals':{'aws:username':'eve'}}`, q) {
		t.Error("aws:username taken from the context")
	}
	if holds(t, "2012-10-17", `{'DateLessThan':{'aws:CurrentTime':'2002-01-01T00:00:00Z'}}`, q) {
		t.Error("aws:CurrentTime taken from the context")
	}
}

// IAM user guide, "Variables and tags".
func TestVariables(t *testing.T) {
	team := ann
	team.Tags = map[string]string{"team": "blue", "wild": "*", "colon": "a:b"}
	for _, c := range []struct {
		who                          cloud.Caller
		version, condition, resource string
		want                         bool
	}{
		{team, "2012-10-17", `{'StringEquals':{'x:k':'home/${aws:username}'}}`, "", true},
		{team, "2008-10-17", `{'StringEquals':{'x:k':'home/${aws:username}'}}`, "", false},
		{team, "2012-10-17", `{'StringEquals':{'x:k':'home/${AWS:UserName}'}}`, "", true},
		{team, "2012-10-17", `{'StringLike':{'x:k':'*/${aws:username}'}}`, "", true},
		{team, "2012-10-17", `{'StringNotEquals':{'x:k':'home/${aws:username}'}}`, "", false},
		{app, "2012-10-17", `{'StringLike':{'x:k':'home/${aws:username}*'}}`, "", false},
		{app, "2012-10-17", `{'StringLike':{'x:k':'home/${aws:username, 'ann'}'}}`, "", true},
		{app, "2012-10-17", `{'StringLike':{'x:k':'home/${aws:username,'*'}'}}`, "", false},
		{team, "2012-10-17", `{'StringEquals':{'x:k':'home/${aws:username, 'eve'}'}}`, "", true},
		{team, "2012-10-17", `{'StringEquals':{'x:dollar':'${$}{*}'}}`, "", true},
		{team, "2012-10-17", `{'StringLike':{'x:star':'${*}'}}`, "", true},
		{team, "2012-10-17", `{'StringLike':{'x:k':'${*}'}}`, "", false},
		{team, "2012-10-17", `{'StringLike':{'x:star':'${?}'}}`, "", false},
		{team, "2012-10-17", `{'StringLike':{'x:k':'${aws:PrincipalTag/wild}'}}`, "", false},
		{team, "2012-10-17", `{'StringLike':{'x:star':'${aws:PrincipalTag/wild}'}}`, "", true},
		{team, "2012-10-17", `{'StringEquals':{'x:k':'${x:many}'}}`, "", false},
		{team, "2012-10-17", `{'ArnLike':{'x:arn':'arn:aws:s3:::${aws:PrincipalTag/team}/*'}}`, "", true},
		{team, "2012-10-17", `{}`, "arn:aws:s3:::bucket/${aws:username}/*", true},
		{team, "2012-10-17", `{}`, "arn:aws:s3:::bucket/${aws:PrincipalTag/team}/*", false},
		{app, "2012-10-17", `{}`, "arn:aws:s3:::bucket/${aws:username}/*", false},
		{team, "2008-10-17", `{}`, "arn:aws:s3:::bucket/${aws:username}/*", false},
	} {
		resource := c.resource
		if resource == "" {
			resource = "*"
		}
		quoted := strings.NewReplacer(`, 'ann'}`, `, @ann@}`, `,'*'}`, `,@*@}`, `, 'eve'}`, `, @eve@}`).Replace(c.condition)
		text := `{'Version':'` + c.version + `','Statement':{'Effect':'Allow','Action':'*','Resource':'` + resource + `','Condition':` + quoted + `}}`
		text = strings.NewReplacer("'", `"`, "@", "'").Replace(text)
		p, err := policy.Parse("p", text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		q := policy.Question{
			Caller: c.who, Owner: home, Action: "x:Do", Resource: "arn:aws:s3:::bucket/ann/photo", Now: now,
			Identity: policy.Identity{Policies: []*policy.Policy{p}},
			Context:  policy.Context{"x:k": {"home/ann"}, "x:dollar": {"${*}"}, "x:star": {"*"}, "x:many": {"home/ann", "b"}, "x:arn": {"arn:aws:s3:::blue/a"}},
		}
		if got := q.Decide().Allowed; got != c.want {
			t.Errorf("%s %s %q for %s = %v\n%s", c.version, c.condition, c.resource, c.who.ARN, got, q.Explain().Tree())
		}
	}
}

// A date in a policy forgets nothing: access ends with it.
func TestAccessThatExpires(t *testing.T) {
	until := `{'Effect':'Allow','Principal':{'AWS':'` + ann.ARN + `'},'Action':'kms:*','Resource':'*','Condition':{'DateLessThan':{'aws:CurrentTime':'2026-11-24T00:00:00Z'}}}`
	q := ask(t, ann, sides{resource: []string{until}})
	if !q.Decide().Allowed {
		t.Error("refused before its end")
	}
	q.Now = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	if q.Decide().Allowed {
		t.Error("allowed at its end")
	}
}

// IAM user guide, "Condition operators", "Condition": forms of values and names that
// are easily read otherwise.
func TestFormsOfConditions(t *testing.T) {
	holdAll(t, []conditionCase{
		// Names of keys are compared without regard to case, values with it.
		{`{'StringEquals':{'AWS:requestTAG/Team':'a'}}`, ctx("aws:RequestTag/team", "a"), true},
		{`{'StringEquals':{'aws:RequestTag/team':'A'}}`, ctx("aws:RequestTag/team", "a"), false},
		// Every operator has IfExists but Null, and both set operators.
		{`{'ForAllValues:StringLikeIfExists':{'x:k':'a*'}}`, ctx("x:k", "ab", "ac"), true},
		{`{'ForAnyValue:NumericLessThan':{'x:k':'2'}}`, ctx("x:k", "3", "1"), true},
		{`{'ForAllValues:NumericLessThan':{'x:k':'2'}}`, ctx("x:k", "3", "1"), false},
		{`{'ForAllValues:IpAddress':{'x:k':'10.0.0.0/8'}}`, ctx("x:k", "10.1.1.1", "11.1.1.1"), false},
		{`{'ForAnyValue:ArnLike':{'x:k':'arn:aws:sns:*:*:a*'}}`, ctx("x:k", "arn:aws:sns:::b", "arn:aws:sns:::ab"), true},
		{`{'ForAllValues:Bool':{'x:k':'true'}}`, ctx("x:k", "true", "false"), false},
		{`{'ForAllValues:DateLessThan':{'x:k':'2026'}}`, ctx("x:k"), true},
		{`{'ForAnyValue:DateLessThan':{'x:k':'2026'}}`, ctx("x:k"), false},
		{`{'ForAllValues:StringNotEquals':{'x:k':'a'}}`, nil, true},
		{`{'ForAllValues:StringEquals':{'x:k':[]}}`, nil, true},
		{`{'ForAllValues:StringEquals':{'x:k':[]}}`, ctx("x:k", "a"), false},
		{`{'ForAnyValue:StringEquals':{'x:k':[]}}`, ctx("x:k", "a"), false},
		{`{'BinaryEqualsIfExists':{'x:k':'QUJD'}}`, nil, true},
		{`{'IpAddressIfExists':{'x:k':'10.0.0.0/8'}}`, ctx("x:k", "11.0.0.1"), false},
		{`{'Null':{'x:k':true}}`, nil, true},
		{`{'Null':{'x:k':'TRUE'}}`, nil, true},
		// Dates: the W3C's profile of ISO 8601, whole, in part, or seconds since 1970.
		{`{'DateEquals':{'x:d':'2026-11-23T12:00:00.000Z'}}`, ctx("x:d", "1795435200"), true},
		{`{'DateEquals':{'x:d':1795435200}}`, ctx("x:d", "2026-11-23T12:00Z"), true},
		{`{'DateEquals':{'x:d':'2026-11-23T12:00:00-00:00'}}`, ctx("x:d", "2026-11-23T14:00:00+02:00"), true},
		{`{'DateEquals':{'x:d':'2026-11-23'}}`, ctx("x:d", "2026-11-23T00:00:00Z"), true},
		{`{'DateLessThan':{'x:d':'2026'}}`, ctx("x:d", "0"), true},
		{`{'DateGreaterThan':{'x:d':'0'}}`, ctx("x:d", "-1"), false},
		// Numbers: integers and decimals, of any sign and length.
		{`{'NumericEquals':{'x:n':5}}`, ctx("x:n", "5.000"), true},
		{`{'NumericEquals':{'x:n':'+5'}}`, ctx("x:n", "5"), true},
		{`{'NumericEquals':{'x:n':-0.5}}`, ctx("x:n", "-.5"), true},
		{`{'NumericLessThan':{'x:n':'99999999999999999999'}}`, ctx("x:n", "99999999999"), true},
		{`{'NumericEquals':{'x:n':'5'}}`, ctx("x:n", "0x5"), false},
		{`{'NumericEquals':{'x:n':'5'}}`, ctx("x:n", " 5"), false},
		{`{'NumericEquals':{'x:n':'5'}}`, ctx("x:n", ""), false},
		{`{'NumericGreaterThan':{'x:n':'5'}}`, ctx("x:n", "Infinity"), false},
		// IPv6, in every way to write it.
		{`{'IpAddress':{'x:i':'2001:0db8:0000:0000:0000:0000:0000:0001'}}`, ctx("x:i", "2001:db8::1"), true},
		{`{'IpAddress':{'x:i':'2001:db8::/33'}}`, ctx("x:i", "2001:db8:8000::1"), false},
		{`{'IpAddress':{'x:i':'::/0'}}`, ctx("x:i", "10.0.0.1"), false},
		{`{'IpAddress':{'x:i':'0.0.0.0/0'}}`, ctx("x:i", "2001:db8::1"), false},
		{`{'IpAddress':{'x:i':'0.0.0.0/0'}}`, ctx("x:i", "10.0.0.1"), true},
		{`{'IpAddress':{'x:i':'203.0.113.77/24'}}`, ctx("x:i", "203.0.113.1"), true},
		// ARNs: a * stays within its field, but for the last.
		{`{'ArnLike':{'x:a':'arn:aws:sns:*:b'}}`, ctx("x:a", "arn:aws:sns:eu-west-1:111122223333:b"), false},
		{`{'ArnLike':{'x:a':'arn:aws:s?s:*:*:?'}}`, ctx("x:a", "arn:aws:sns:::b"), true},
		{`{'ArnEquals':{'x:a':'arn:aws:sns:*:*:${aws:username}:*'}}`, ctx("x:a", "arn:aws:sns:::ann:x:y"), true},
		// Variables: defaults, escapes, and those without a value.
		{`{'StringEquals':{'x:k':'${aws:PrincipalTag/no, \u0027d e\u0027}'}}`, ctx("x:k", "d e"), true},
		{`{'StringEquals':{'x:k':'${aws:username, \u0027d\u0027}'}}`, ctx("x:k", "ann"), true},
		{`{'StringLike':{'x:k':'${aws:PrincipalTag/no, \u0027d*\u0027}'}}`, ctx("x:k", "dx"), false},
		{`{'StringLike':{'x:k':'${*}${?}${$}*'}}`, ctx("x:k", "*?$z"), true},
		{`{'StringLike':{'x:k':'${*}'}}`, ctx("x:k", "z"), false},
		{`{'StringEquals':{'x:k':'${aws:PrincipalTag/no}'}}`, ctx("x:k", ""), false},
		{`{'StringNotEquals':{'x:k':'${aws:PrincipalTag/no}'}}`, ctx("x:k", "a"), true},
		{`{'StringLike':{'x:k':'${x:w}'}}`, policy.Context{"x:k": {"ab"}, "x:w": {"a*"}}, false},
		{`{'StringEquals':{'x:k':'${x:w}'}}`, policy.Context{"x:k": {"a"}, "x:w": {"a", "b"}}, false},
	})
	q := policy.Question{Caller: ann, Owner: home, Action: "x:Do", Resource: "*", Now: now, Context: ctx("x:k", "${aws:username}")}
	if !holds(t, "2008-10-17", `{'StringEquals':{'x:k':'${aws:username}'}}`, q) || holds(t, "2012-10-17", `{'StringEquals':{'x:k':'${aws:username}'}}`, q) {
		t.Error("a variable in 2008-10-17 is plain text, in 2012-10-17 it is not")
	}
}
