package policy_test

import (
	"strings"
	"testing"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// The world of these tests: account home owns a key and a role, account abroad
// is somebody else's.
const (
	home   = cloud.AccountID("111122223333")
	abroad = cloud.AccountID("444455556666")
	keyARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func user(a cloud.AccountID, name string) cloud.Caller {
	arn := "arn:aws:iam::" + string(a) + ":user/" + name
	return cloud.Caller{
		Kind: cloud.User, Account: a, ARN: arn, Principal: arn, UserID: "AIDAEXAMPLE00000" + strings.ToUpper(name),
		UserName: name, Region: "eu-west-1", SourceIP: "203.0.113.7", SecureTransport: true,
	}
}

// session is a session of role path/name, called after its last part.
func session(a cloud.AccountID, role, name string) cloud.Caller {
	short := role[strings.LastIndex(role, "/")+1:]
	return cloud.Caller{
		Kind: cloud.AssumedRole, Account: a, Region: "eu-west-1", TokenIssued: now.Add(-time.Hour),
		ARN:       "arn:aws:sts::" + string(a) + ":assumed-role/" + short + "/" + name,
		Principal: "arn:aws:iam::" + string(a) + ":role/" + role,
		UserID:    "AROAEXAMPLE00000" + strings.ToUpper(short) + ":" + name,
	}
}

func root(a cloud.AccountID) cloud.Caller {
	arn := a.Root().String()
	return cloud.Caller{Kind: cloud.Root, Account: a, ARN: arn, Principal: arn, UserID: string(a), Region: "eu-west-1"}
}

// doc is a policy of the statements given, each a JSON object in which ' stands
// for ", named for error messages.
func doc(t testing.TB, name string, statements ...string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(name, document(statements...))
	if err != nil {
		t.Fatalf("Parse(%s): %v", name, err)
	}
	return p
}

func document(statements ...string) string {
	return strings.ReplaceAll(`{'Version':'2012-10-17','Statement':[`+strings.Join(statements, ",")+`]}`, "'", `"`)
}

// Statements that many tests use.
const (
	allowDecrypt = `{'Sid':'MayDecrypt','Effect':'Allow','Action':'kms:Decrypt','Resource':'*'}`
	allowAll     = `{'Effect':'Allow','Action':'*','Resource':'*'}`
	allowOther   = `{'Effect':'Allow','Action':'kms:Encrypt','Resource':'*'}`
	denyDecrypt  = `{'Sid':'Never','Effect':'Deny','Action':'kms:Decrypt','Resource':'*'}`
)

// to is a statement of a resource policy for the given principals, as JSON.
func to(effect, principal string) string {
	return `{'Effect':'` + effect + `','Principal':` + principal + `,'Action':'kms:Decrypt','Resource':'*'}`
}

func aws(value string) string { return `{'AWS':'` + value + `'}` }

// sides are the policies of a question, as statements.
type sides struct {
	identity, boundary, session, resource []string
}

// ask builds the question whether c may decrypt with home's key.
func ask(t testing.TB, c cloud.Caller, s sides) policy.Question {
	t.Helper()
	q := policy.Question{Caller: c, Action: "kms:Decrypt", Resource: keyARN, Owner: home, ResourceMustAllow: true, Now: now}
	if s.identity != nil {
		q.Identity.Policies = []*policy.Policy{doc(t, "identity", s.identity...)}
	}
	if s.boundary != nil {
		q.Identity.Boundary = doc(t, "boundary", s.boundary...)
	}
	if s.session != nil {
		q.Identity.Session = []*policy.Policy{doc(t, "session", s.session...)}
	}
	if s.resource != nil {
		q.ResourcePolicy = doc(t, "key policy", s.resource...)
	}
	return q
}
