package main

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// The world of the cases is small, so that policies often hit: two accounts, a few
// principals, resources and keys.
const (
	home   = "111122223333"
	abroad = "444455556666"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// A who is a principal that makes requests.
type who struct {
	kind, principal, account string
	role                     string // of a session
	id, name                 string
}

var callers = []who{
	{kind: "User", principal: "arn:aws:iam::" + home + ":user/ann", account: home, id: "AIDAEXAMPLE00000ANN", name: "ann"},
	{kind: "User", principal: "arn:aws:iam::" + abroad + ":user/team/bob", account: abroad, id: "AIDAEXAMPLE00000BOB", name: "bob"},
	{kind: "AssumedRole", principal: "arn:aws:sts::" + home + ":assumed-role/app/i-1", account: home, role: "arn:aws:iam::" + home + ":role/app", id: "AROAEXAMPLE00000APP:i-1"},
	{kind: "AssumedRole", principal: "arn:aws:sts::" + abroad + ":assumed-role/far/i-2", account: abroad, role: "arn:aws:iam::" + abroad + ":role/far", id: "AROAEXAMPLE00000FAR:i-2"},
	{kind: "Root", principal: "arn:aws:iam::" + home + ":root", account: home, role: "arn:aws:iam::" + home + ":root", id: home},
	{kind: "Root", principal: "arn:aws:iam::" + abroad + ":root", account: abroad, role: "arn:aws:iam::" + abroad + ":root", id: abroad},
	{kind: "Service", principal: "backup.amazonaws.com"},
}

// names are what Principal elements name.
var names = func() []string {
	all := []string{"*", "*", home, abroad, "arn:aws:iam::" + home + ":root", "arn:aws:iam::" + abroad + ":root", "backup.amazonaws.com", "sns.amazonaws.com"}
	for _, w := range callers {
		if w.kind != "Service" {
			all = append(all, w.principal)
		}
		if w.kind == "AssumedRole" {
			all = append(all, w.role)
		}
	}
	return all
}()

// A what is a service's resource and the actions on it.
type what struct {
	actions   []string
	resource  string
	patterns  []string // of resources
	mustAllow bool
	policy    bool // it can have one
	control   bool // resource control policies guard it
}

var resources = []what{
	{
		actions: []string{"sqs:SendMessage", "sqs:ReceiveMessage"}, resource: "arn:aws:sqs:eu-west-1:" + home + ":orders", policy: true, control: true,
		patterns: []string{"arn:aws:sqs:*:*:*", "arn:aws:sqs:eu-west-1:" + home + ":ord*s", "arn:aws:sqs:*:" + home + ":o?ders", "arn:aws:sqs:us-*:*:orders", "arn:aws:sqs:eu-west-1:" + home + ":${aws:PrincipalTag/team}", "arn:aws:sqs:*:*:${aws:PrincipalTag/none, 'orders'}"},
	},
	{
		actions: []string{"kms:Decrypt", "kms:GenerateDataKey"}, resource: "arn:aws:kms:eu-west-1:" + home + ":key/1234abcd-12ab-34cd-56ef-1234567890ab", mustAllow: true, policy: true, control: true,
		patterns: []string{"arn:aws:kms:*:*:key/*", "arn:aws:kms:*:" + home + ":key/1234*", "arn:aws:kms:*:*:alias/*", "arn:aws:kms:*:${aws:PrincipalAccount}:*"},
	},
	{
		actions: []string{"sts:AssumeRole"}, resource: "arn:aws:iam::" + home + ":role/orders", mustAllow: true, policy: true, control: true,
		patterns: []string{"arn:aws:iam::*:role/*", "arn:aws:iam::" + home + ":role/orders", "arn:aws:iam::" + home + ":*", "arn:aws:iam::" + home + ":role/${aws:username}"},
	},
	{
		actions: []string{"rds:DescribeDBClusters", "rds:DeleteDBCluster"}, resource: "arn:aws:rds:eu-west-1:" + home + ":cluster:orders",
		patterns: []string{"arn:aws:rds:*:*:cluster:*", "arn:aws:rds:*:*:cluster*", "arn:aws:rds:*:*:db:orders", "arn:aws:rds:*:*:cluster:${*}", "arn:aws:rds:eu-west-1:" + home + ":cluster:o*d*s"},
	},
	{
		actions: []string{"s3:GetObject", "s3:PutObject"}, resource: "arn:aws:s3:::bucket/path/${*}/file", policy: true, control: true,
		patterns: []string{"arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/path/${$}{${*}}/file", "arn:aws:s3:::buck?t/*/file", "arn:aws:s3:::*", "arn:aws:s3:::bucket"},
	},
}

// A subject is a condition key with the values that requests and policies give it,
// and the operators that fit it.
type subject struct {
	key       string
	requests  []texts // nil is an absent key
	policies  []string
	operators []string
}

var (
	stringOperators  = []string{"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike"}
	numericOperators = []string{"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals"}
	dateOperators    = []string{"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"}
	addressOperators = []string{"IpAddress", "NotIpAddress"}
	arnOperators     = []string{"ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"}
)

var subjects = []subject{
	{"aws:RequestTag/team", []texts{nil, {"blue"}, {"Blue"}, {"blue*"}, {""}}, []string{"blue", "Blue", "bl*", "b?ue", "*", "", "${aws:PrincipalTag/team}", "${aws:PrincipalTag/none, 'blue'}", "blue${*}", "${aws:PrincipalTag/none}"}, stringOperators},
	{"aws:ResourceTag/team", []texts{nil, {"blue"}, {"red"}}, []string{"blue", "red", "?ed", "${aws:RequestTag/team}"}, stringOperators},
	{"aws:TagKeys", []texts{nil, {}, {"team"}, {"team", "cost"}, {"team", "cost", "Team"}}, []string{"team", "cost", "t*", "TEAM"}, stringOperators},
	{"kms:EncryptionContextKeys", []texts{nil, {"a"}, {"a", "b"}}, []string{"a", "b", "?"}, stringOperators},
	{"s3:max-keys", []texts{nil, {"10"}, {"10.0"}, {"-3"}, {"ten"}, {"1e1"}}, []string{"10", "9.5", "-3", "1e1", "11"}, numericOperators},
	{"s3:object-lock-retain-until-date", []texts{nil, {"2026-11-23T12:00:00Z"}, {"2026-11-23T13:00:00+01:00"}, {"2026-11-24"}, {"tomorrow"}, {"1795435200"}}, []string{"2026-11-23T12:00:00Z", "2026-11-23", "2026-11-23T14:00:00+02:00", "1795435200", "2027-01-01T00:00:00Z"}, dateOperators},
	{"kms:GrantIsForAWSResource", []texts{nil, {"true"}, {"false"}, {"TRUE"}, {"maybe"}}, []string{"true", "false", "TRUE"}, []string{"Bool"}},
	{"kms:ReEncryptOnSameKey", []texts{nil, {"true"}, {"false"}}, []string{"true", "false"}, []string{"Bool", "StringEquals", "StringNotEquals"}},
	{"x:Digest", []texts{nil, {"QUJD"}, {"QUJE"}, {"ABC"}}, []string{"QUJD", "QUJE"}, []string{"BinaryEquals"}},
	{"aws:VpcSourceIp", []texts{nil, {"203.0.113.7"}, {"10.1.2.3"}, {"2001:db8::1"}, {"::ffff:10.1.2.3"}, {"somewhere"}}, []string{"203.0.113.0/24", "203.0.113.7", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "2001:DB8:0:0::1/128", "::/0"}, addressOperators},
	{"aws:SourceVpcArn", []texts{nil, {"arn:aws:ec2:eu-west-1:" + home + ":vpc/vpc-1"}, {"arn:aws:sns:eu-west-1:" + abroad + ":a:b"}, {"no-arn"}}, []string{"arn:aws:ec2:*:*:vpc/*", "arn:aws:ec2:eu-west-1:" + home + ":vpc/vpc-1", "arn:aws:sns:*:" + abroad + ":*", "arn:aws:sns:*:*:a", "arn:aws:*:*:*:*", "arn:aws:ec2:eu-west-?:*:vpc/${aws:PrincipalTag/none, 'vpc-1'}"}, arnOperators},
	{"aws:PrincipalArn", nil, []string{"arn:aws:iam::" + home + ":user/*", "arn:aws:iam::*:role/*", "arn:aws:iam::" + home + ":role/app", "arn:aws:iam::" + abroad + ":*"}, append(append([]string{}, arnOperators...), "StringLike", "StringEquals")},
	{"aws:PrincipalAccount", nil, []string{home, abroad}, stringOperators[:2]},
	{"aws:PrincipalTag/team", nil, []string{"orders", "blue", "o*"}, stringOperators},
	{"aws:username", nil, []string{"ann", "bob", "A*"}, stringOperators},
	{"aws:userid", nil, []string{"AROAEXAMPLE00000APP:*", "AIDAEXAMPLE00000ANN", home}, stringOperators},
	{"aws:SourceIp", nil, []string{"203.0.113.0/24", "10.0.0.0/8"}, addressOperators},
	{"aws:SecureTransport", nil, []string{"true", "false"}, []string{"Bool"}},
	{"aws:CurrentTime", nil, []string{"2026-11-23T12:00:00Z", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"}, dateOperators},
	{"aws:MultiFactorAuthPresent", nil, []string{"true", "false"}, []string{"Bool"}},
	{"aws:PrincipalOrgID", nil, []string{"o-a1b2c3d4e5", "o-*"}, stringOperators},
	{"aws:PrincipalIsAWSService", nil, []string{"true", "false"}, []string{"Bool"}},
}

// A generator draws cases. Equal seeds and numbers give equal cases.
type generator struct{ *rand.Rand }

func generate(seed uint64, id int) testCase {
	g := generator{rand.New(rand.NewPCG(seed, uint64(id)))}
	w, r := pick(g, callers), pick(g, resources)
	c := testCase{
		ID: id, Kind: w.kind, Principal: w.principal, Account: w.account, Action: pick(g, r.actions), Resource: r.resource, Owner: home,
		MustAllow: r.mustAllow, Context: g.context(w),
	}
	if r.mustAllow || r.policy && g.one(5, 6) {
		c.ResourcePolicy = g.document(r, true)
	}
	if r.control {
		c.ResourceControl = g.levels(r, true)
	}
	if w.kind != "Service" {
		g.own(&c, w, r)
	}
	return c
}

// own draws what the caller's own account says.
func (g generator) own(c *testCase, w who, r what) {
	c.ServiceControl = g.levels(r, false)
	if w.kind == "Root" {
		c.Identity = []document{{Version: "2012-10-17", Statement: []statement{{Effect: "Allow", Action: []string{"*"}, Resource: []string{"*"}}}}}
		return
	}
	for range g.IntN(3) {
		c.Identity = append(c.Identity, *g.document(r, false))
	}
	if g.one(1, 4) {
		c.Boundary = g.document(r, false)
	}
	if w.kind == "AssumedRole" && g.one(1, 3) {
		c.Session = g.document(r, false)
	}
}

// one is true n times out of m.
func (g generator) one(n, m int) bool { return g.IntN(m) < n }

func pick[T any](g generator, of []T) T { return of[g.IntN(len(of))] }

func some(g generator, of []string) (out []string) {
	for range 1 + g.IntN(6)/4 {
		out = append(out, pick(g, of))
	}
	return out
}

// context draws the condition keys of a request by w.
func (g generator) context(w who) map[string]texts {
	c := map[string]texts{}
	for _, s := range subjects {
		if s.requests == nil {
			continue
		}
		if v := pick(g, s.requests); v != nil {
			c[s.key] = v
		}
	}
	set := func(name, value string) { c[name] = texts{value} }
	set("aws:CurrentTime", now.Format(time.RFC3339))
	set("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	set("aws:SecureTransport", strconv.FormatBool(g.one(2, 3)))
	set("aws:RequestedRegion", "eu-west-1")
	set("aws:ResourceAccount", home)
	set("aws:ViaAWSService", "false")
	set("aws:PrincipalIsAWSService", strconv.FormatBool(w.kind == "Service"))
	if g.one(2, 3) {
		set("aws:SourceIp", pick(g, []string{"203.0.113.7", "10.1.2.3", "2001:db8::1"}))
	}
	if w.kind == "Service" {
		set("aws:PrincipalServiceName", w.principal)
		return c
	}
	g.principal(w, set)
	return c
}

// principal draws the keys about the principal.
func (g generator) principal(w who, set func(name, value string)) {
	arn, kind := w.principal, w.kind
	if w.role != "" {
		arn = w.role
	}
	if kind == "Root" {
		kind = "Account"
	}
	set("aws:PrincipalArn", arn)
	set("aws:PrincipalType", kind)
	set("aws:PrincipalAccount", w.account)
	set("aws:userid", w.id)
	if w.name != "" {
		set("aws:username", w.name)
	}
	if w.kind == "AssumedRole" {
		set("aws:TokenIssueTime", now.Add(-time.Hour).Format(time.RFC3339))
		set("aws:MultiFactorAuthPresent", "false")
	}
	if g.one(1, 2) {
		set("aws:PrincipalTag/team", pick(g, []string{"orders", "blue", "o*"}))
	}
	if g.one(1, 2) {
		set("aws:PrincipalOrgID", "o-a1b2c3d4e5")
	}
}

// document draws a policy about r; one of a resource names principals.
func (g generator) document(r what, principal bool) *document {
	d := &document{Version: "2012-10-17"}
	if g.one(1, 20) {
		d.Version = "2008-10-17"
	}
	for range 1 + g.IntN(3) {
		d.Statement = append(d.Statement, g.statement(r, principal))
	}
	return d
}

func (g generator) statement(r what, principal bool) statement {
	s := statement{Effect: "Allow"}
	if g.one(1, 4) {
		s.Effect = "Deny"
	}
	patterns := g.actions(r)
	trust := principal && r.actions[0] == "sts:AssumeRole"
	if trust {
		patterns = []string{"sts:AssumeRole", "sts:*", "STS:Assume*", "sts:TagSession"}
	}
	if g.one(1, 6) {
		s.NotAction = some(g, patterns)
	} else {
		s.Action = some(g, patterns)
	}
	covers := append([]string{"*", "*", strings.ReplaceAll(r.resource, "${*}", "?*")}, r.patterns...)
	switch {
	case trust:
	case g.one(1, 6):
		s.NotResource = some(g, covers)
	default:
		s.Resource = some(g, covers)
	}
	who := principals(some(g, names))
	if trust && len(who) == 1 && who[0] == "*" {
		who[0] = home // IAM refuses trust policies for "*"
	}
	switch {
	case principal && s.Effect == "Deny" && g.one(1, 6):
		s.NotPrincipal = who
	case principal:
		s.Principal = who
	}
	for range g.IntN(5) / 2 {
		g.condition(&s)
	}
	return s
}

// actions are patterns of which most fit one of r's actions.
func (g generator) actions(r what) []string {
	a := pick(g, r.actions)
	service, name, _ := strings.Cut(a, ":")
	return []string{
		"*", a, a, strings.ToLower(a), strings.ToUpper(service) + ":" + name, service + ":*", service + ":" + name[:3] + "*",
		service + ":?" + name[1:], service + ":*" + name[len(name)-3:], "ec2:*", service + ":Other",
	}
}

func (g generator) condition(s *statement) {
	sub := pick(g, subjects)
	op := pick(g, sub.operators)
	wanted := some(g, sub.policies)
	if g.one(1, 8) {
		op, wanted = "Null", []string{pick(g, []string{"true", "false"})}
	} else {
		switch g.IntN(8) {
		case 0:
			op = "ForAllValues:" + op
		case 1:
			op = "ForAnyValue:" + op
		}
		if g.one(1, 4) {
			op += "IfExists"
		}
	}
	key := sub.key
	if g.one(1, 10) {
		key = strings.ToUpper(key)
	}
	if s.Condition == nil {
		s.Condition = conditions{}
	}
	if s.Condition[op] == nil {
		s.Condition[op] = map[string]values{}
	}
	s.Condition[op][key] = wanted
}

// levels draws the policies of an organization's levels, most of which allow.
func (g generator) levels(r what, resource bool) (out [][]document) {
	if g.one(1, 2) {
		return nil
	}
	for range 1 + g.IntN(3) {
		full := document{Version: "2012-10-17", Statement: []statement{{Effect: "Allow", Action: []string{"*"}, Resource: []string{"*"}}}}
		if resource {
			full.Statement[0].Principal = principals{"*"}
		}
		var level []document
		if resource || g.one(5, 6) {
			level = append(level, full)
		}
		if g.one(1, 3) {
			d := g.document(r, false)
			for i := range d.Statement {
				if resource {
					d.Statement[i].Effect, d.Statement[i].Principal = "Deny", principals{"*"}
				}
			}
			level = append(level, *d)
		}
		if len(level) > 0 {
			out = append(out, level)
		}
	}
	return out
}
