package policy_test

import (
	"testing"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

const (
	home   = cloud.AccountID("111122223333")
	abroad = cloud.AccountID("444455556666")
	key    = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func parse(t testing.TB, name, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(name, text)
	if err != nil {
		t.Fatalf("Parse(%s): %v", name, err)
	}
	return p
}

func user(a cloud.AccountID, name string) cloud.Caller {
	arn := "arn:aws:iam::" + string(a) + ":user/" + name
	return cloud.Caller{Kind: cloud.User, Account: a, ARN: arn, Principal: arn, UserID: "AIDAEXAMPLE000" + name, UserName: name, Region: "eu-west-1"}
}

func TestKeyPolicyDelegates(t *testing.T) {
	kp := parse(t, "key policy", `{"Version":"2012-10-17","Statement":{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}}`)
	q := policy.Question{Caller: user(home, "ann"), Action: "kms:Decrypt", Resource: key, Owner: home, ResourcePolicy: kp, ResourceMustAllow: true, Now: now}
	if d := q.Decide(); d.Allowed || d.Because() != "because no identity-based policy allows the kms:Decrypt action" {
		t.Errorf("without identity policy: %v", d)
	}
	q.Identity.Policies = []*policy.Policy{parse(t, "inline policy x of user/ann", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:De*","Resource":"arn:aws:kms:*:111122223333:key/*"}]}`)}
	if d := q.Decide(); !d.Allowed {
		t.Errorf("with identity policy: %v", d)
	} else {
		t.Log(d)
	}
	q.Caller = user(abroad, "bob")
	if d := q.Decide(); d.Allowed || !d.CrossAccount || d.Side != policy.ResourceBased {
		t.Errorf("abroad: %v", d)
	}
}
