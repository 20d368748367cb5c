package inquiry_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/inquiry"
	"borealis/internal/policy"
)

const (
	key  = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	ann  = "arn:aws:iam::111122223333:user/team/ann"
	bob  = "arn:aws:iam::444455556666:role/deploy/bob"
	full = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// text is JSON in which ' stands for ".
func text(s string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(strings.ReplaceAll(s, "'", `"`))}
}

// quoted is such JSON as a JSON string.
func quoted(s string) string {
	return strconv.Quote(strings.ReplaceAll(s, "'", `"`))
}

// dir is the files of two accounts, as AWS's commands write them.
func dir() fstest.MapFS {
	return fstest.MapFS{
		"home.json": text(`{
			'UserDetailList': [{'Path':'/team/','UserName':'ann','UserId':'AIDAEXAMPLE000000ANN','Arn':'` + ann + `','GroupList':['admins'],
				'AttachedManagedPolicies':[],'Tags':[{'Key':'team','Value':'red'}],
				'PermissionsBoundary':{'PermissionsBoundaryType':'Policy','PermissionsBoundaryArn':'arn:aws:iam::111122223333:policy/bounds'}}],
			'GroupDetailList': [{'GroupName':'admins','Arn':'arn:aws:iam::111122223333:group/admins',
				'GroupPolicyList':[{'PolicyName':'keys','PolicyDocument':{'Version':'2012-10-17','Statement':[{'Sid':'Keys','Effect':'Allow','Action':'kms:*','Resource':'*'}]}}],
				'AttachedManagedPolicies':[]}],
			'RoleDetailList': [], 'Policies': [{'PolicyName':'bounds','Arn':'arn:aws:iam::111122223333:policy/bounds','DefaultVersionId':'v2','PolicyVersionList':[
				{'VersionId':'v2','IsDefaultVersion':true,'Document':{'Version':'2012-10-17','Statement':[{'Effect':'Allow','NotAction':'iam:*','Resource':'*'}]}},
				{'VersionId':'v1','IsDefaultVersion':false,'Document':{'Version':'2012-10-17','Statement':[{'Effect':'Allow','Action':'iam:*','Resource':'*'}]}}]}],
			'IsTruncated': false}`),
		"abroad.json": text(`{'RoleDetailList': [{'Path':'/deploy/','RoleName':'bob','RoleId':'AROAEXAMPLE000000BOB','Arn':'` + bob + `',
			'AssumeRolePolicyDocument':'%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22AWS%22%3A%22444455556666%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%7D',
			'RolePolicyList':[{'PolicyName':'use','PolicyDocument':{'Version':'2012-10-17','Statement':[{'Effect':'Allow','Action':'kms:CreateGrant','Resource':'` + key + `'}]}}],
			'AttachedManagedPolicies':[]}]}`),
		"keys/1234abcd-12ab-34cd-56ef-1234567890ab.json": text(`{'Policy':` + quoted(`{'Version':'2012-10-17','Id':'k','Statement':[
			{'Sid':'Own','Effect':'Allow','Principal':{'AWS':'arn:aws:iam::111122223333:root'},'Action':'kms:*','Resource':'*'},
			{'Sid':'Share','Effect':'Allow','Principal':{'AWS':'arn:aws:iam::444455556666:root'},'Action':'kms:CreateGrant','Resource':'*','Condition':{'Bool':{'kms:GrantIsForAWSResource':'true'}}}]}`) + `,
			'PolicyName':'default'}`),
		"keys/arn_aws_kms_eu-west-1_111122223333_key_aws.json": text(`{'Version':'2012-10-17','Id':'auto-rds-2','Statement':[{'Effect':'Allow','Principal':{'AWS':'*'},'Action':'kms:*','Resource':'*',
			'Condition':{'StringEquals':{'kms:CallerAccount':'111122223333','kms:ViaService':'rds.eu-west-1.amazonaws.com'}}}]}`),
	}
}

func put(t *testing.T, f fstest.MapFS, a inquiry.Ask) (inquiry.Answer, error) {
	t.Helper()
	src, err := inquiry.OpenFiles(f)
	if err != nil {
		t.Fatal(err)
	}
	return inquiry.Put(t.Context(), src, a, now)
}

func TestFilesAnswer(t *testing.T) {
	scp := func(f fstest.MapFS) {
		f["scp/444455556666/1-root/FullAWSAccess.json"] = text(full)
		f["scp/444455556666/2-account/no-grants.json"] = text(`{'Policy':{'PolicySummary':{'Name':'no-grants'},'Content':` + quoted(`{'Version':'2012-10-17','Statement':{'Effect':'Deny','Action':'kms:CreateGrant','Resource':'*'}}`) + `}}`)
	}
	for _, c := range []struct {
		name   string
		ask    inquiry.Ask
		change func(fstest.MapFS)
		want   string // a part of the decision's sentence
	}{
		{"a user, by the group's policy", inquiry.Ask{Principal: ann, Action: "kms:Decrypt", Resource: key}, nil, `allowed by statement 0 ("Keys") of inline policy keys of group/admins, let in by statement 0 ("Own")`},
		{"the boundary's default version", inquiry.Ask{Principal: ann, Action: "iam:GetUser", Resource: ann}, nil, "because no identity-based policy allows"},
		{"a role, directly", inquiry.Ask{Principal: bob, Action: "kms:CreateGrant", Resource: key}, nil, "because no resource-based policy allows the kms:CreateGrant action"},
		{"a role, through RDS", inquiry.Ask{Principal: bob, Action: "kms:CreateGrant", Resource: key, Via: "rds.eu-west-1.amazonaws.com"}, nil, `let in by statement 1 ("Share")`},
		{"a session by its ARN, through RDS", inquiry.Ask{Principal: "arn:aws:sts::444455556666:assumed-role/bob/job", Action: "kms:CreateGrant", Resource: key, Via: "rds"}, nil, "allowed by statement 0 of inline policy use of role/bob"},
		{"a service control policy", inquiry.Ask{Principal: bob, Action: "kms:CreateGrant", Resource: key, Via: "rds"}, scp, "denied by statement 0 of no-grants, with an explicit deny in a service control policy"},
		{"AWS managed key, through its service", inquiry.Ask{Principal: ann, Action: "kms:CreateGrant", Resource: "arn:aws:kms:eu-west-1:111122223333:key/aws", Via: "rds"}, nil, "allowed by statement 0 of key policy"},
		{"AWS managed key, from abroad", inquiry.Ask{Principal: bob, Action: "kms:CreateGrant", Resource: "arn:aws:kms:eu-west-1:111122223333:key/aws", Via: "rds"}, nil, "because no resource-based policy allows"},
		{"what no other account can do", inquiry.Ask{Principal: bob, Action: "kms:PutKeyPolicy", Resource: key}, nil, "because no resource-based policy allows"},
		{"assuming a role", inquiry.Ask{Principal: "arn:aws:iam::444455556666:root", Action: "sts:AssumeRole", Resource: bob}, nil, "allowed by statement 0 of trust policy of " + bob},
		{"a service", inquiry.Ask{Principal: "rds.amazonaws.com", Action: "kms:Decrypt", Resource: key}, nil, "because no resource-based policy allows"},
		{"the principal's tag", inquiry.Ask{Principal: ann, Action: "kms:ListKeys", Resource: "*"}, func(f fstest.MapFS) {
			f["home.json"].Data = []byte(strings.Replace(string(f["home.json"].Data), `"Sid":"Keys",`, `"Sid":"Keys","Condition":{"StringEquals":{"aws:PrincipalTag/team":"red"}},`, 1))
		}, `allowed by statement 0 ("Keys")`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := dir()
			if c.change != nil {
				c.change(f)
			}
			a, err := put(t, f, c.ask)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(a.Sentence, c.want) {
				t.Errorf("%s\nwant %s", a.Text(), c.want)
			}
			if d := a.Explanation.Decision; !d.Allowed && (len(a.Advice.Ways) == 0) == (a.Advice.Hopeless == "") {
				t.Errorf("advice: %+v", a.Advice)
			}
		})
	}
}

// Context is set where it belongs, and what follows from the question is not set.
func TestContext(t *testing.T) {
	conditions := func(c string) func(fstest.MapFS) {
		return func(f fstest.MapFS) {
			f["home.json"].Data = []byte(strings.Replace(string(f["home.json"].Data), `"Sid":"Keys",`, strings.ReplaceAll(`'Condition':`+c+`,`, "'", `"`), 1))
		}
	}
	for _, c := range []struct {
		condition, key, value string
		allowed               bool
	}{
		{`{'IpAddress':{'aws:SourceIp':'203.0.113.0/24'}}`, "aws:SourceIp", "203.0.113.9", true},
		{`{'Bool':{'aws:MultiFactorAuthPresent':'true'}}`, "aws:MultiFactorAuthPresent", "true", true},
		{`{'Bool':{'aws:MultiFactorAuthPresent':'true'}}`, "aws:multifactorauthpresent", "false", false},
		{`{'DateGreaterThan':{'aws:CurrentTime':'2030-01-01T00:00:00Z'}}`, "aws:CurrentTime", "2031-01-01T00:00:00Z", true},
		{`{'Bool':{'aws:SecureTransport':'false'}}`, "aws:SecureTransport", "false", true},
		{`{'StringEquals':{'aws:RequestedRegion':'us-west-2'}}`, "aws:RequestedRegion", "us-west-2", true},
		{`{'StringEquals':{'aws:PrincipalTag/team':'blue'}}`, "aws:PrincipalTag/team", "blue", true},
		{`{'StringEquals':{'kms:EncryptionContext:a':'b'}}`, "kms:EncryptionContext:a", "b", true},
		{`{'StringEquals':{'aws:ResourceTag/x':'y'}}`, "aws:ResourceTag/x", "z", false},
	} {
		t.Run(c.key+" "+c.value, func(t *testing.T) {
			f := dir()
			conditions(c.condition)(f)
			a, err := put(t, f, inquiry.Ask{Principal: ann, Action: "kms:Decrypt", Resource: key, Context: policy.Context{c.key: {c.value}}})
			if err != nil || a.Explanation.Decision.Allowed != c.allowed {
				t.Errorf("%v\n%s", err, a.Text())
			}
		})
	}
}

func TestWrongAsks(t *testing.T) {
	good := inquiry.Ask{Principal: ann, Action: "kms:Decrypt", Resource: key}
	for _, c := range []struct {
		name   string
		change func(*inquiry.Ask)
		kind   error
		want   string
	}{
		{"no principal", func(a *inquiry.Ask) { a.Principal = "" }, inquiry.ErrAsk, "name who asks"},
		{"a principal of no form", func(a *inquiry.Ask) { a.Principal = "ann smith" }, inquiry.ErrAsk, "a principal is an ARN"},
		{"a principal who is not there", func(a *inquiry.Ask) { a.Principal = ann + "2" }, cloud.ErrNotFound, "not in the accounts' details"},
		{"an action without service", func(a *inquiry.Ask) { a.Action = "Decrypt" }, inquiry.ErrAsk, "an action is"},
		{"a pattern", func(a *inquiry.Ask) { a.Action = "kms:*" }, inquiry.ErrAsk, "an action is"},
		{"a bare key id", func(a *inquiry.Ask) { a.Resource = "1234abcd" }, inquiry.ErrAsk, "a resource is an ARN"},
		{"a key that is not there", func(a *inquiry.Ask) { a.Resource += "0" }, cloud.ErrNotFound, "neither in keys/arn_aws_kms"},
		{"a key outside the directory", func(a *inquiry.Ask) { a.Resource = "arn:aws:kms:eu-west-1:111122223333:key/../../home" }, cloud.ErrNotFound, "neither in"},
		{"no service", func(a *inquiry.Ask) { a.Via = "rds.example.com" }, inquiry.ErrAsk, "a service that passes requests on"},
		{"no Region", func(a *inquiry.Ask) { a.Via = "rds.here.amazonaws.com" }, inquiry.ErrAsk, "not the name of a Region"},
		{"a key that follows", func(a *inquiry.Ask) { a.Context = policy.Context{"aws:PrincipalArn": {"x"}} }, inquiry.ErrAsk, "follows from --principal"},
		{"a value that cannot be", func(a *inquiry.Ask) { a.Context = policy.Context{"aws:CurrentTime": {"noon"}} }, inquiry.ErrAsk, "aws:CurrentTime cannot be noon"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := good
			c.change(&a)
			if _, err := put(t, dir(), a); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestWrongFiles(t *testing.T) {
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"nothing":      {fstest.MapFS{}, "there is no *.json"},
		"not JSON":     {fstest.MapFS{"a.json": text("{")}, "a.json"},
		"nobody":       {fstest.MapFS{"a.json": text("{}")}, "no user and no role"},
		"another type": {fstest.MapFS{"a.json": text(`{'UserDetailList':{}}`)}, "a.json"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := inquiry.OpenFiles(c.files); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// Whatever the files hold, they are read or refused.
func FuzzFiles(f *testing.F) {
	d := dir()
	f.Add(d["home.json"].Data, d["keys/1234abcd-12ab-34cd-56ef-1234567890ab.json"].Data)
	f.Add(d["abroad.json"].Data, d["keys/arn_aws_kms_eu-west-1_111122223333_key_aws.json"].Data)
	f.Add([]byte(`{"UserDetailList":[{"Arn":"`+ann+`","UserPolicyList":[{"PolicyDocument":"%7"}]}]}`), []byte(`{"Policy":{"Content":null}}`))
	f.Fuzz(func(t *testing.T, details, policy []byte) {
		src, err := inquiry.OpenFiles(fstest.MapFS{"a.json": {Data: details}, "keys/1234abcd-12ab-34cd-56ef-1234567890ab.json": {Data: policy}, "scp/111122223333/1-root/p.json": {Data: policy}})
		if err != nil {
			return
		}
		for _, who := range []string{ann, bob} {
			a, err := inquiry.Put(t.Context(), src, inquiry.Ask{Principal: who, Action: "kms:Decrypt", Resource: key}, now)
			if err == nil && a.Text() == "" {
				t.Error("no answer")
			}
		}
	})
}
