package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"borealis/internal/policy"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Sentences of IAM, as recorded by clients of it.
const (
	syntax  = "Syntax errors in policy."
	legacy  = "The policy failed legacy parsing"
	actions = "Policy statement must contain actions."
	sources = "Policy statement must contain resources."
	vendors = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
	colons  = "Actions/Condition can contain only one colon."
	version = "Policy document must be version 2012-10-17 or greater."
	sids    = "Statement IDs (SID) in a single policy must be unique."
)

func sentence(err error) string {
	if err == nil {
		return ""
	}
	if m, ok := errors.AsType[*policy.Malformed](err); ok {
		return m.Sentence
	}
	return "not a *Malformed: " + err.Error()
}

// The form of a document: strict JSON, known elements, right types.
func TestSyntax(t *testing.T) {
	const ok = `'Effect':'Allow','Action':'s3:ListBucket','Resource':'arn:aws:s3:::b'`
	for _, c := range []struct{ text, want string }{
		{`{'Version':'2012-10-17','Statement':{` + ok + `}}`, ""},
		{`{'Version':'2012-10-17','Id':'x','Statement':[{` + ok + `},{` + ok + `}]}`, ""},
		{`{'Statement':{` + ok + `}}`, ""},
		{`this is not json`, syntax},
		{``, syntax},
		{`[]`, syntax},
		{`'x'`, syntax},
		{`{'Version':'2012-10-17'}`, syntax},
		{`{'Version':'2012-10-17','Statement':[]}`, syntax},
		{`{'Version':'2012-10-17','Statement':['x']}`, syntax},
		{`{'Version':'2012-10-17','Statement':'x'}`, syntax},
		{`{'Version':'2013-10-17','Statement':{` + ok + `}}`, syntax},
		{`{'Version':'','Statement':{` + ok + `}}`, syntax},
		{`{'Version':'2012-10-17','Id':['x'],'Statement':{` + ok + `}}`, syntax},
		{`{'Version':'2012-10-17','Statement':{` + ok + `},'Extra':1}`, syntax},
		{`{'Version':'2012-10-17','Statement':{` + ok + `}} {}`, syntax},
		{`{'Version':'2012-10-17','Statement':{` + ok + `},'Statement':{` + ok + `}}`, syntax},
		{`{'Statement':{` + ok + `,'Extra':'x'}}`, syntax},
		{`{'Statement':{` + ok + `,'Effect':'Deny'}}`, syntax},
		{`{'Statement':{` + ok + `,'effect':'Deny'}}`, syntax},
		{`{'Statement':{` + ok + `,'Sid':{}}}`, syntax},
		{`{'Statement':{` + ok + `,'Sid':7}}`, syntax},
		{`{'Statement':{` + ok + `,'NotAction':'s3:Get*'}}`, syntax},
		{`{'Statement':{` + ok + `,'NotResource':[]}}`, syntax},
		{`{'Statement':{` + ok + `,'Principal':'*','NotPrincipal':'*'}}`, syntax},
		{`{'Statement':{` + ok + `,'Condition':[]}}`, syntax},
		{`{'Statement':{` + ok + `,'Condition':'a'}}`, syntax},
		{`{'Statement':{` + ok + `,'Condition':{'a':'b'}}}`, syntax},
		{`{'Statement':{` + ok + `,'Condition':{'Bool':{'a':{}}}}}`, syntax},
		{`{'Statement':{` + ok + `,'Condition':{'Bool':{'a':[[]]}}}}`, syntax},
		{`{'Statement':{` + ok + `,'Condition':{'x':{'a':'1'}}}}`, syntax},
		{`{'Statement':{` + ok + `,'Condition':{'ForAnyValue::StringEquals':{'a':'1'}}}}`, syntax},
		{`{'Statement':{` + ok + `,'Condition':{'NullIfExists':{'a':'true'}}}}`, syntax},
		{`{'Statement':{` + ok + `,'Condition':{'NumericEquals':{'a':'one'}}}}`, syntax},
		{`{'Statement':{` + ok + `,'Condition':{'IpAddress':{'a':'1.2.3'}}}}`, syntax},
		{`{'Statement':{` + ok + `,'Condition':{'a':{}}}}`, ""},
		{`{'Statement':{` + ok + `,'Condition':{'Bool':{'a':[]}}}}`, ""},
		{`{'Statement':{` + ok + `,'Condition':{'Bool':{'a':true},'NumericEquals':{'a':[1,2.5]}}}}`, ""},
		{`{'Statement':{'Effect':'invalid','Action':'s3:List','Resource':'*'}}`, syntax},
		{`{'Statement':{'Action':'s3:List','Resource':'*'}}`, syntax},
		{`{'Statement':{'Effect':'Deny','Action':[[]],'Resource':'*'}}`, syntax},
		{`{'Statement':{'Effect':'Deny','Action':{},'Resource':'*'}}`, syntax},
		{`{'Statement':{'Effect':'Deny','Action':'*','Resource':{'a':'*'}}}`, syntax},
		{`{'Statement':{'Effect':'Deny','Action':'*','Resource':['x',{}]}}`, syntax},
		{`{'Version':'2012-10-17','Statement':{'Effect':'Deny','Action':'*','Resource':'arn:aws:s3:::${unclosed'}}`, syntax},
		{strings.Repeat(`[`, 100_000), syntax},
		{strings.Repeat(`{'Statement':`, 5000) + `1` + strings.Repeat(`}`, 5000), syntax},
		{"{'Id':'\xff','Statement':{" + ok + `}}`, syntax},
	} {
		_, err := policy.Parse("p", strings.ReplaceAll(c.text, "'", `"`))
		if got := sentence(err); got != c.want {
			t.Errorf("%.200s: %q, want %q (%v)", c.text, got, c.want, err)
		}
	}
}

// The details are ours, for whoever wrote the policy.
func TestMalformedSaysWhere(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{'Statement':[{'Effect':'Allow','Action':'*','Resource':'*'},{'Effect':'Allow','Act':'*'}]}`, `Syntax errors in policy. (statement 1: has an element "Act")`},
		{`{'Id':'a','Id':'b'}`, `Syntax errors in policy. (the document has "Id" twice)`},
		{`{'Statement':` + strings.Repeat(`[`, 20) + strings.Repeat(`]`, 20) + `}`, `Syntax errors in policy. (the document nests deeper than 12 levels)`},
		{`{'Statement':{'Effect':'Allow'}}`, actions},
	} {
		_, err := policy.Parse("p", strings.ReplaceAll(c.text, "'", `"`))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		}
	}
}

// What IAM says to managed policies, one mistake at a time and in its order
// when there are several.
func TestManagedPolicies(t *testing.T) {
	statement := func(s string) string { return `{'Version':'2012-10-17','Statement':[{` + s + `}]}` }
	allow := func(action, resource string) string {
		return statement(`'Effect':'Allow','Action':'` + action + `','Resource':'` + resource + `'`)
	}
	date := func(v string) string {
		return statement(`'Effect':'Allow','Action':'a:B','Resource':'*','Condition':{'DateGreaterThan':{'a':'` + v + `'}}`)
	}
	for _, c := range []struct{ text, want string }{
		{allow("s3:ListBucket", "arn:aws:s3:::b"), ""},
		{allow("*", "*"), ""},
		{allow("aaaaaadsf:ListBucket", "arn:aws:unknown:us-east-1::b"), ""},
		{allow("s3-s.x:List*", "arn:aws:iam:::user/x"), ""},
		{allow("s3:ListBucket", "arn:aws:fdsasf"), ""},
		{`{'Statement':[]}`, syntax},
		{`{'Statement':{'Effect':'denY','Action':'s3:L','Resource':'*'}}`, version},
		{`{'Version':'2008-10-17','Statement':{'Effect':'Allow','Action':'s3:L','Resource':'*'}}`, version},
		{statement(`'Effect':'aLLow','Action':'s3:L','Resource':'*'`), legacy},
		{date("sdfdsf"), legacy},
		{date("234-13"), legacy},
		{date("9223372036854775808"), legacy},
		{date("2019-07-01T13:20:15Z"), ""},
		{date("2016-12-13T21:20:37.593194+00:00"), ""},
		{date("1500000000"), ""},
		{statement(`'Effect':'Allow','Condition':{'DateGreaterThan':{'a':'x'}}`), legacy},
		{allow("s3:List", "arn:aws:s3::b"), legacy},
		{allow("s3:List", "arn:aws::::b"), legacy},
		{allow("s3:List", "arn:aws::fdsasf"), legacy},
		{statement(`'Effect':'Allow','Resource':'arn:aws:s3::b'`), legacy},
		{statement(`'Effect':'Allow','Resource':'*'`), actions},
		{statement(`'Effect':'Allow','Action':[],'Resource':'*'`), actions},
		{statement(`'Effect':'Allow'`), actions},
		{statement(`'Effect':'Allow','Action':'s3:L'`), sources},
		{statement(`'Effect':'Allow','Action':'s3:L','Resource':[]`), sources},
		{statement(`'Sid':'a','Effect':'Allow','Action':'s3:L','Resource':'*'},{'Sid':'a','Effect':'Allow'`), sids},
		{statement(`'Sid':'with space','Effect':'Allow','Action':'s3:L','Resource':'*'`), "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"},
		{statement(`'Effect':'Allow','Principal':'*','Action':'s3:L','Resource':'*'`), "Policy document should not specify a principal."},
		{allow("invalid", "*"), vendors},
		{allow("", "*"), vendors},
		{allow("a a:List", "*"), "Vendor a a is not valid"},
		{allow("s3:List:Bucket", "*"), colons},
		{allow("s3:List:Bucket", "sdfsadf"), `Resource sdfsadf must be in ARN format or "*".`},
		{allow("s3:List", ""), `Resource  must be in ARN format or "*".`},
		{allow("s3:List", "a:bsd"), `Partition "bsd" is not valid for resource "arn:bsd:*:*:*:*".`},
		{allow("s3:List", "a:b:cad"), `Partition "b" is not valid for resource "arn:b:cad:*:*:*".`},
		{allow("s3:List", "a:b:c:d:e:f:g:h"), `Partition "b" is not valid for resource "arn:b:c:d:e:f:g:h".`},
		{allow("s3:List", "aws:s3:::b"), `Partition "s3" is not valid for resource "arn:s3:::b:*".`},
		{allow("s3:List", "arn:aws"), "Resource vendor must be fully qualified and cannot contain regexes."},
		{allow("s3:List", "arn:aws:*:::b"), "Resource vendor must be fully qualified and cannot contain regexes."},
		{allow("s3:List", "arn:aws:iam:us-east-1::b"), "IAM resource arn:aws:iam:us-east-1::b cannot contain region information."},
		{allow("s3:List", "arn:aws:s3:us-east-1::b"), "Resource arn:aws:s3:us-east-1::b can not contain region information."},
		{allow("s3:List", "arn:aws:iam:::b"), `IAM resource path must either be "*" or start with user/, federated-user/, role/, group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.`},
	} {
		_, err := policy.ManagedKind.Parse("p", strings.ReplaceAll(c.text, "'", `"`))
		if got := sentence(err); got != c.want {
			t.Errorf("%s: %q, want %q (%v)", c.text, got, c.want, err)
		}
	}
}

// What each kind of policy must hold and must not.
func TestKinds(t *testing.T) {
	const (
		inline   = `{'Effect':'Allow','Action':'kms:*','Resource':'*'}`
		resource = `{'Sid':'Enable IAM User Permissions','Effect':'Allow','Principal':{'AWS':'arn:aws:iam::111122223333:root'},'Action':'kms:*','Resource':'*'}`
		trust    = `{'Effect':'Allow','Principal':{'AWS':'111122223333','Service':['rds.amazonaws.com']},'Action':['sts:AssumeRole','sts:TagSession']}`
		star     = `{'Effect':'Allow','Principal':'*','Action':'sts:AssumeRole'}`
		named    = `{'Sid':'a','Effect':'Allow','Principal':{'AWS':'*'},'Action':'sts:AssumeRole','Resource':'*'}`
		noAction = `{'Effect':'Allow','Principal':{'AWS':'*'},'Action':'kms:*'}`
	)
	for _, c := range []struct {
		kind       policy.Kind
		text, want string
	}{
		{policy.AnyKind, inline, ""},
		{policy.AnyKind, resource, ""},
		{policy.AnyKind, trust, ""},
		{policy.InlineKind, inline, ""},
		{policy.InlineKind, resource, "Policy document should not specify a principal."},
		{policy.ResourceKind, resource, ""},
		{policy.ResourceKind, inline, "Missing required field Principal"},
		{policy.ResourceKind, trust, sources},
		{policy.TrustKind, trust, ""},
		{policy.TrustKind, inline, "Missing required field Principal"},
		{policy.ResourceKind, named + "," + named, ""},
		{policy.TrustKind, named + "," + named, sids},
		{policy.TrustKind, star, `AssumeRolepolicy contained an invalid principal: "STAR":"*".`},
		{policy.TrustKind, noAction, "AssumeRole policy may only specify STS AssumeRole actions."},
		{policy.TrustKind, `{'Effect':'Allow','Principal':{'AWS':'*'},'Action':'sts:AssumeRole','Resource':'*'}`, "Has prohibited field Resource"},
	} {
		_, err := c.kind.Parse("p", document(c.text))
		if got := sentence(err); got != c.want {
			t.Errorf("kind %d: %s: %q, want %q", c.kind, c.text, got, c.want)
		}
	}
}

// IAM user guide, "Principal": what can be one, and what cannot.
func TestPrincipals(t *testing.T) {
	p := doc(t, "p",
		to("Allow", `{'AWS':['*','111122223333','`+ann.ARN+`','`+app.ARN+`'],'Service':'rds.amazonaws.com'}`),
		to("Deny", `{'AWS':['arn:aws:iam::444455556666:root','AROAEXAMPLE00000APP'],'CanonicalUser':'79a59df9'}`),
		`{'Effect':'Deny','NotPrincipal':{'AWS':'arn:aws:sts::111122223333:federated-user/x'},'Action':'*','Resource':'*'}`)
	want := []policy.Principal{
		{Type: policy.AWS, Value: "*"},
		{Type: policy.AWS, Value: "111122223333", Account: home},
		{Type: policy.AWS, Value: ann.ARN, Account: home},
		{Type: policy.AWS, Value: app.ARN, Account: home},
		{Type: policy.AWSService, Value: "rds.amazonaws.com"},
		{Type: policy.AWS, Value: "arn:aws:iam::444455556666:root", Account: abroad},
		{Type: policy.AWS, Value: "AROAEXAMPLE00000APP"},
		{Type: policy.CanonicalUser, Value: "79a59df9"},
		{Type: policy.AWS, Value: "arn:aws:sts::111122223333:federated-user/x", Account: home},
	}
	if d := cmp.Diff(want, p.Principals(), cmpopts.IgnoreUnexported(policy.Principal{})); d != "" {
		t.Error(d)
	}
	if !p.Principals()[1].Whole() || p.Principals()[2].Whole() {
		t.Error("Whole tells accounts from users wrongly")
	}
	for _, c := range []struct{ principal, want string }{
		{`{'AWS':'nobody'}`, `Invalid principal in policy: "AWS":"nobody"`},
		{`{'AWS':''}`, `Invalid principal in policy: "AWS":""`},
		{`{'AWS':'arn:aws:iam::111122223333:user/*'}`, `Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:user/*"`},
		{`{'AWS':'arn:aws:iam::111122223333:user/'}`, `Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:user/"`},
		{`{'AWS':'arn:aws:iam::111122223333:group/g'}`, `Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:group/g"`},
		{`{'AWS':'arn:aws:sts::111122223333:assumed-role/r'}`, `Invalid principal in policy: "AWS":"arn:aws:sts::111122223333:assumed-role/r"`},
		{`{'AWS':'arn:aws:iam::1234:root'}`, `Invalid principal in policy: "AWS":"arn:aws:iam::1234:root"`},
		{`{'Service':'rds'}`, `Invalid principal in policy: "SERVICE":"rds"`},
		{`{'AWS':[]}`, syntax},
		{`{'AWS':{}}`, syntax},
		{`{'Aws':'*'}`, syntax},
		{`{}`, syntax},
		{`'x'`, syntax},
		{`[]`, syntax},
	} {
		_, err := policy.Parse("p", document(to("Allow", c.principal)))
		if got := sentence(err); got != c.want {
			t.Errorf("%s: %q, want %q", c.principal, got, c.want)
		}
	}
}

func TestParseKeepsTheText(t *testing.T) {
	text := " " + document(toAnn) + "\n"
	p, err := policy.Parse("key policy", text)
	if err != nil {
		t.Fatal(err)
	}
	if p.Text != text || p.Name != "key policy" || p.Version != "2012-10-17" || len(p.Statements) != 1 {
		t.Errorf("%+v", p)
	}
}

// Whatever the text, Parse answers and does not crash, and what it accepts can
// be put to a question and edited.
func FuzzParse(f *testing.F) {
	f.Add(document(allowAll, denyDecrypt, toRole))
	f.Add(document(`{'Effect':'Allow','NotPrincipal':'*','NotAction':['a:?','b:*'],'NotResource':'arn:aws:s3:::${aws:username, @x@}*','Condition':{'ForAnyValue:ArnLikeIfExists':{'aws:PrincipalArn':'arn:aws:*:::${*}'},'IpAddress':{'aws:SourceIp':'::1/8'}}}`))
	f.Add(`{"Statement":{"Effect":"Deny","Action":"*","Resource":"arn:aws:kms","Condition":{"Null":{"x":[]},"DateLessThan":{"aws:CurrentTime":"2026"}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []policy.Kind{policy.AnyKind, policy.InlineKind, policy.ManagedKind, policy.ResourceKind, policy.TrustKind, policy.ServiceControlKind, policy.ResourceControlKind} {
			checkLocations(t, text, kind.Validate("p", text))
			p, err := kind.Parse("p", text)
			if err != nil {
				if _, ok := errors.AsType[*policy.Malformed](err); !ok || p != nil {
					t.Errorf("kind %d: %v, %v", kind, p, err)
				}
				continue
			}
			q := policy.Question{
				Caller: app, Action: "kms:Decrypt", Resource: keyARN, Owner: home, ResourcePolicy: p, ResourceMustAllow: true, Now: now,
				Identity: policy.Identity{Policies: []*policy.Policy{p}, Session: []*policy.Policy{p}},
				Context:  policy.Context{"x": {"y"}},
			}
			if e := q.Explain(); e.Decision != q.Decide() || e.Tree() == "" || e.String() == "" {
				t.Errorf("explanation differs from decision: %s", e)
			}
			if same, err := policy.ReplacePrincipals(text, func(p policy.Principal) string { return p.Value }); same != text {
				t.Errorf("replacing nothing changes the text: %v\n%s", err, same)
			}
			d, err := policy.ParseDocument(text)
			if err != nil {
				t.Fatalf("Parse accepts, ParseDocument does not: %v", err)
			}
			again, err := kind.Parse("p", d.String())
			if err != nil {
				t.Fatalf("does not survive writing: %v\n%s", err, d)
			}
			q.ResourcePolicy = again
			if q.Decide().Allowed != (policy.Question{Caller: q.Caller, Action: q.Action, Resource: q.Resource, Owner: q.Owner, ResourcePolicy: p, ResourceMustAllow: true, Now: now, Identity: q.Identity, Context: q.Context}).Decide().Allowed {
				t.Errorf("decides differently after writing:\n%s", d)
			}
		}
	})
}

// The policies of organizations leave things out that others have.
func TestControlKinds(t *testing.T) {
	const unfit = "The provided policy document does not meet the requirements of the specified policy type."
	for _, c := range []struct {
		name       string
		kind       policy.Kind
		text, want string
	}{
		{"deny", policy.ServiceControlKind, `{'Version':'2012-10-17','Statement':{'Sid':'no sharing','Effect':'Deny','NotAction':'iam:*','NotResource':'*','Condition':{'Bool':{'aws:SecureTransport':'true'}}}}`, ""},
		{"allow", policy.ServiceControlKind, `{'Version':'2012-10-17','Statement':{'Effect':'Allow','Action':'*','Resource':'*'}}`, ""},
		{"old version", policy.ServiceControlKind, `{'Version':'2008-10-17','Statement':{'Effect':'Allow','Action':'*','Resource':'*'}}`, unfit},
		{"no version", policy.ServiceControlKind, `{'Statement':{'Effect':'Allow','Action':'*','Resource':'*'}}`, unfit},
		{"id", policy.ServiceControlKind, `{'Version':'2012-10-17','Id':'x','Statement':{'Effect':'Allow','Action':'*','Resource':'*'}}`, unfit},
		{"principal", policy.ServiceControlKind, `{'Version':'2012-10-17','Statement':{'Effect':'Deny','Principal':'*','Action':'*','Resource':'*'}}`, "Policy document should not specify a principal."},
		{"resource: deny", policy.ResourceControlKind, `{'Version':'2012-10-17','Statement':{'Effect':'Deny','Principal':'*','Action':['kms:*','s3:Get*'],'NotResource':'arn:aws:s3:::b'}}`, ""},
		{"resource: allow", policy.ResourceControlKind, `{'Version':'2012-10-17','Statement':{'Effect':'Allow','Principal':'*','Action':'kms:*','Resource':'*'}}`, unfit},
		{"resource: no principal", policy.ResourceControlKind, `{'Version':'2012-10-17','Statement':{'Effect':'Deny','Action':'kms:*','Resource':'*'}}`, unfit},
		{"resource: an account", policy.ResourceControlKind, `{'Version':'2012-10-17','Statement':{'Effect':'Deny','Principal':{'AWS':'111122223333'},'Action':'kms:*','Resource':'*'}}`, unfit},
		{"resource: not a principal", policy.ResourceControlKind, `{'Version':'2012-10-17','Statement':{'Effect':'Deny','NotPrincipal':'*','Action':'kms:*','Resource':'*'}}`, unfit},
		{"resource: not an action", policy.ResourceControlKind, `{'Version':'2012-10-17','Statement':{'Effect':'Deny','Principal':'*','NotAction':'kms:*','Resource':'*'}}`, unfit},
		{"resource: all actions", policy.ResourceControlKind, `{'Version':'2012-10-17','Statement':{'Effect':'Deny','Principal':'*','Action':['kms:*','*'],'Resource':'*'}}`, unfit},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.kind.Parse("p", strings.ReplaceAll(c.text, "'", `"`))
			if got := sentence(err); got != c.want {
				t.Errorf("%q (%v), want %q", got, err, c.want)
			}
		})
	}
}

// What is made to break a reader is refused, or read, in no time.
func TestHostileDocuments(t *testing.T) {
	const big = 10 << 20
	allow := func(action, resource string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":` + action + `,"Resource":` + resource + `}}`
	}
	for name, c := range map[string]struct {
		text  string
		valid bool
	}{
		"nothing":               {"", false},
		"white space":           {strings.Repeat(" ", big), false},
		"a byte order mark":     {"\ufeff" + document(allowAll), false},
		"UTF-16":                {"\xff\xfe{\x00}\x00", false},
		"invalid UTF-8":         {allow("\"kms:\xc3\"", `"*"`), false},
		"NUL":                   {allow(`"kms:*"`, `"*"`) + "\x00", false},
		"an escaped NUL":        {allow(`"kms:\u0000"`, `"*"`), true},
		"half a surrogate pair": {allow(`"kms:\ud800"`, `"*"`), true},
		"two documents":         {document(allowAll) + document(allowAll), false},
		"a comment":             {"/* */" + document(allowAll), false},
		"lists in lists":        {strings.Repeat("[", big/2) + strings.Repeat("]", big/2), false},
		"objects in objects":    {strings.Repeat(`{"a":`, big/6) + "1" + strings.Repeat("}", big/6), false},
		"deep inside":           {`{"Statement":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}", false},
		"a name twice":          {`{"Statement":[],"Statement":[]}`, false},
		"a name twice, escaped": {`{"Version":"2012-10-17","\u0056ersion":"2008-10-17","Statement":[]}`, false},
		"a name in lower case":  {`{"statement":[]}`, false},
		"a huge number":         {`{"Version":1` + strings.Repeat("0", big) + `,"Statement":[]}`, false},
		"a huge exponent":       {allow(`"a:b"`, `"*","Condition":{"NumericLessThan":{"x:n":1e999999999}}`), false},
		"a long text":           {allow(`"kms:*"`, `"arn:aws:s3:::`+strings.Repeat("a", big)+`"`), true},
		"many stars":            {allow(`"kms:*"`, `"`+strings.Repeat("*", 1_000_000)+`"`), true},
		"many statements":       {`{"Statement":[` + strings.Repeat(`{"Effect":"Allow","Action":"a:b","Resource":"*"},`, 50_000) + `1]}`, false},
		"many variables":        {allow(`"a:b"`, `"arn:aws:s3:::`+strings.Repeat("${aws:username}", 100_000)+`"`), true},
		"open variables":        {allow(`"a:b"`, `"arn:aws:s3:::`+strings.Repeat("${", 1_000_000)+`"`), false},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			p, err := policy.Parse("p", c.text)
			if (err == nil) != c.valid || (p != nil) != c.valid {
				t.Errorf("valid: %v, want %v: %.200v", err == nil, c.valid, err)
			}
			if p != nil {
				q := policy.Question{Caller: ann, Owner: home, Action: "kms:Decrypt", Resource: keyARN, Now: now, Identity: policy.Identity{Policies: []*policy.Policy{p}}}
				q.Decide()
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}
