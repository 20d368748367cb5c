package policy_test

import (
	"slices"
	"strings"
	"testing"

	"borealis/internal/policy"

	"github.com/google/go-cmp/cmp"
)

// Where IAM's simulator was seen to find the statements of policies of these forms.
func TestSpans(t *testing.T) {
	at := func(a, b, c, d int) policy.Span {
		return policy.Span{Start: policy.Position{Line: a, Column: b}, End: policy.Position{Line: c, Column: d}}
	}
	for _, tt := range []struct {
		name, text string
		want       []policy.Span
	}{
		{"list", "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\n      \"Effect\": \"Allow\",\n      \"Action\": \"*\",\n      \"Resource\": \"*\"\n    }\n  ]\n}", []policy.Span{at(3, 17, 8, 6)}},
		{"alone", "{\n  \"Version\":\"2012-10-17\",\n  \"Statement\":{\n    \"Effect\":\"Allow\",\n    \"Action\":\"s3:PutObject\",\n    \"Resource\":\"arn:aws:s3:::my-test-bucket\"\n  }\n}", []policy.Span{at(3, 16, 7, 4)}},
		{"one line", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"a:B","Resource":"*"}]}`, []policy.Span{at(1, 38, 1, 84), at(1, 85, 1, 132)}},
		{"letters of several bytes", `{"Id":"éé","Statement":[{"Sid":"é","Effect":"Allow","Action":"*","Resource":"*"} , {"Effect":"Allow","Action":"*","Resource":"*"}]}`, []policy.Span{at(1, 25, 1, 81), at(1, 83, 1, 130)}},
		{"a Statement that is none", `{"Id":"Statement","Statement":{"Effect":"Allow","Action":["*"],"Resource":"*"}}`, []policy.Span{at(1, 32, 1, 79)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := policy.Parse("p", tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, p.Spans()); d != "" {
				t.Error(d)
			}
		})
	}
}

// What parses has a place for each of its statements, inside of the text, in order.
func FuzzSpans(f *testing.F) {
	f.Add(document(`{'Effect':'Allow','Action':'*','Resource':'*'}`, `{'Effect':'Deny','Action':'a:b','Resource':'*'}`))
	f.Add("{\"Statement\":\n{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\",\"Sid\":\"\\\"},{\"}}")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := policy.Parse("p", text)
		if err != nil {
			return
		}
		spans := p.Spans()
		if len(spans) != len(p.Statements) {
			t.Fatalf("%d statements, %d spans", len(p.Statements), len(spans))
		}
		before := policy.Position{}
		for _, s := range spans {
			for _, at := range []policy.Position{s.Start, s.End} {
				if at.Line < before.Line || at.Line == before.Line && at.Column <= before.Column || at.Line > strings.Count(text, "\n")+1 {
					t.Errorf("%v after %v", at, before)
				}
				before = at
			}
		}
	})
}

func TestContextKeys(t *testing.T) {
	p := doc(t, "p",
		`{'Effect':'Allow','Action':'dynamodb:*','Resource':'arn:aws:dynamodb:eu-west-1:111122223333:table/${aws:username}','Condition':{'DateGreaterThan':{'aws:CurrentTime':'2015-08-16T12:00:00Z'}}}`,
		`{'Effect':'Deny','Action':'*','Resource':'*','Condition':{'StringNotEquals':{'AWS:CURRENTTIME':'x','aws:PrincipalTag/team':'${aws:ResourceTag/team}'}}}`)
	want := []string{"aws:username", "aws:CurrentTime", "aws:PrincipalTag/team", "aws:ResourceTag/team"}
	if got := p.ContextKeys(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A hypothetical question has the condition keys that it is given, and no others.
func TestHypothetical(t *testing.T) {
	secure := doc(t, "secure", `{'Effect':'Allow','Action':'kms:*','Resource':'*','Condition':{'Bool':{'aws:SecureTransport':'true'},'StringEquals':{'aws:username':'${kms:Who}'}}}`)
	other := doc(t, "other", `{'Effect':'Deny','Action':'s3:*','Resource':'*','Condition':{'Bool':{'s3:Key':'true'}}}`)
	q := policy.Question{
		Caller: user(home, "ann"), Owner: home, Action: "kms:Decrypt", Resource: keyARN, Now: now,
		Identity: policy.Identity{Policies: []*policy.Policy{secure, other}}, Hypothetical: true,
	}
	for _, tt := range []struct {
		name    string
		context policy.Context
		allowed bool
		missing []string
	}{
		{"nothing given", nil, false, []string{"aws:SecureTransport", "aws:username", "kms:Who"}},
		{"one given", policy.Context{"AWS:securetransport": {"true"}}, false, []string{"aws:username", "kms:Who"}},
		{"all given", policy.Context{"aws:SecureTransport": {"true"}, "aws:userName": {"bob"}, "kms:Who": {"bob"}}, true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := q
			q.Context = tt.context
			if got := q.Decide().Allowed; got != tt.allowed {
				t.Errorf("allowed: %v", got)
			}
			if got := q.Missing(); !slices.Equal(got, tt.missing) {
				t.Errorf("missing: %q, want %q", got, tt.missing)
			}
			if got := len(q.Matches()) > 0; got != tt.allowed {
				t.Errorf("matches: %v", q.Matches())
			}
		})
	}
}

func TestMatches(t *testing.T) {
	allow := doc(t, "allow", `{'Effect':'Allow','Action':'kms:D*','Resource':'*'}`, `{'Effect':'Allow','Action':'kms:Encrypt','Resource':'*'}`, `{'Effect':'Deny','Action':'*','Resource':'*'}`)
	bounds := doc(t, "bounds", `{'Effect':'Allow','NotAction':'s3:*','Resource':'*'}`)
	q := policy.Question{
		Caller: user(home, "ann"), Owner: home, Action: "kms:Decrypt", Resource: keyARN, Now: now,
		Identity: policy.Identity{Policies: []*policy.Policy{allow}, Boundary: bounds},
	}
	want := []policy.Match{
		{Side: policy.IdentityBased, Policy: allow, Index: 0}, {Side: policy.IdentityBased, Policy: allow, Index: 2, Deny: true}, {Side: policy.Boundary, Policy: bounds, Index: 0},
	}
	if got := q.Matches(); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestValidValue(t *testing.T) {
	for _, tt := range []struct {
		kind, good, bad string
	}{
		{"numeric", "1.5", "x"}, {"boolean", "TRUE", "1"}, {"ip", "203.0.113.0/24", "203.0.113"}, {"binary", "QUJD", "*"}, {"date", "2026-11-23T12:00:00Z", "today"},
	} {
		if !policy.ValidValue(tt.kind, tt.good) || policy.ValidValue(tt.kind, tt.bad) {
			t.Errorf("%s: %q or %q", tt.kind, tt.good, tt.bad)
		}
	}
	if !policy.ValidValue("string", "") || policy.ValidValue("else", "") {
		t.Error("string, or what is no type")
	}
}

func TestWildcard(t *testing.T) {
	for pattern, s := range map[string]string{"a*c?": "a/b/cd", "": "", "*": "x", "plain": "plain"} {
		if !policy.ParseWildcard(pattern).Matches(s) || policy.ParseWildcard(pattern+"Z").Matches(s) {
			t.Errorf("%q and %q", pattern, s)
		}
	}
}
