package policy_test

import (
	"strings"
	"testing"

	"borealis/internal/policy"
)

// applies reports whether an Allow with these elements covers action on resource.
func applies(t *testing.T, elements, action, resource string) bool {
	t.Helper()
	p := doc(t, "p", `{'Effect':'Allow',`+elements+`}`)
	return policy.Question{
		Caller: ann, Owner: home, Action: action, Resource: resource, Now: now,
		Identity: policy.Identity{Policies: []*policy.Policy{p}},
	}.Decide().Allowed
}

// IAM user guide, "Action", "NotAction": without regard to case, with wildcards.
func TestActions(t *testing.T) {
	for _, c := range []struct {
		element, action string
		want            bool
	}{
		{`'Action':'kms:Decrypt'`, "kms:Decrypt", true},
		{`'Action':'KMS:dEcRyPt'`, "kms:Decrypt", true},
		{`'Action':'kms:Decrypt'`, "KMS:DECRYPT", true},
		{`'Action':'kms:Decrypt'`, "kms:Decrypts", false},
		{`'Action':'kms:Decrypt'`, "kms:Encrypt", false},
		{`'Action':['kms:Encrypt','kms:Decrypt']`, "kms:Decrypt", true},
		{`'Action':'kms:GenerateDataKey*'`, "kms:GenerateDataKey", true},
		{`'Action':'kms:GenerateDataKey*'`, "kms:GenerateDataKeyWithoutPlaintext", true},
		{`'Action':'kms:Re?ncrypt*'`, "kms:ReEncryptFrom", true},
		{`'Action':'kms:*Key'`, "kms:DescribeKey", true},
		{`'Action':'kms:*Key'`, "kms:DescribeKeys", false},
		{`'Action':'*'`, "rds:CopyDBClusterSnapshot", true},
		{`'Action':'*:*'`, "rds:CopyDBClusterSnapshot", true},
		{`'Action':'kms:*'`, "rds:CopyDBClusterSnapshot", false},
		{`'NotAction':'kms:*'`, "rds:CopyDBClusterSnapshot", true},
		{`'NotAction':'kms:*'`, "kms:Decrypt", false},
		{`'NotAction':['kms:Encrypt','rds:*']`, "kms:Decrypt", true},
	} {

		if got := applies(t, c.element+`,'Resource':'*'`, c.action, keyARN); got != c.want {
			t.Errorf("%s on %s = %v", c.element, c.action, got)
		}
	}
}

// IAM user guide, "Resource", "NotResource": with regard to case, wildcards
// within each of the ARN's first five fields, past colons where they end one, and
// anywhere in the last; an ARN that is cut short is completed with wildcards.
func TestResources(t *testing.T) {
	const snapshot = "arn:aws:rds:eu-west-1:111122223333:cluster-snapshot:rds:nightly-2026"
	for _, c := range []struct {
		element, resource string
		want              bool
	}{
		{`'Resource':'*'`, snapshot, true},
		{`'Resource':'*'`, "*", true},
		{`'Resource':'` + snapshot + `'`, snapshot, true},
		{`'Resource':'` + snapshot + `'`, "*", false},
		{`'Resource':'arn:aws:rds:eu-west-1:111122223333:cluster-snapshot:RDS:nightly-2026'`, snapshot, false},
		{`'Resource':'arn:aws:rds:*:111122223333:cluster-snapshot:*'`, snapshot, true},
		{`'Resource':'arn:aws:rds:*:*:*'`, snapshot, true},
		{`'Resource':'arn:aws:rds:*'`, snapshot, true},
		{`'Resource':'arn:aws:rds'`, snapshot, true},
		{`'Resource':'arn:aws:kms'`, snapshot, false},
		// A * that ends a field reaches past colons; others do not.
		{`'Resource':'arn:aws:rds:*:nightly-2026'`, snapshot, true},
		{`'Resource':'arn:aws:rds:*:cluster-snapshot:rds:nightly-2026'`, snapshot, true},
		{`'Resource':'arn:aws:rds:eu-*:cluster-snapshot:rds:nightly-*'`, snapshot, true},
		{`'Resource':'arn:aws:rds:eu-*:rds:nightly-?026'`, snapshot, true},
		{`'Resource':'arn:aws:rds:*:*:nightly-2026'`, snapshot, true},
		{`'Resource':'arn:*:nightly-2026'`, snapshot, true},
		{`'Resource':'arn:*:cluster-snapshot:*:nightly-2026'`, snapshot, true},
		{`'Resource':'arn:*:cluster-snapshot:rds:nightly-2027'`, snapshot, false},
		{`'Resource':'arn:*:snapshot:rds:nightly-2026'`, snapshot, false},
		{`'Resource':'arn:aws:rds:us-*:nightly-2026'`, snapshot, false},
		{`'Resource':'arn:aws:rds:e*1:nightly-2026'`, snapshot, false},
		{`'Resource':'arn:aws:rds:e*3:cluster-snapshot:rds:nightly-2026'`, snapshot, false},
		{`'Resource':'arn:aws:rds:*:111122223333:*:*:cluster-snapshot:rds:nightly-2026'`, snapshot, false},
		{`'NotResource':'arn:aws:rds:*:nightly-2026'`, snapshot, false},
		{`'Resource':'arn:aws:rds:eu-west-?:1111????3333:*-2026'`, snapshot, true},
		{`'Resource':'arn:aws:rds::111122223333:cluster-snapshot:*'`, snapshot, false},
		{`'Resource':['arn:aws:kms:*:*:*','arn:aws:rds:*:*:cluster-snapshot:rds:*']`, snapshot, true},
		{`'Resource':'arn:aws:rds:*:*:cluster:*'`, snapshot, false},
		{`'NotResource':'arn:aws:kms:*:*:*'`, snapshot, true},
		{`'NotResource':'arn:aws:rds:*:*:cluster-snapshot:*'`, snapshot, false},
		{`'NotResource':'*'`, snapshot, false},
		{`'NotResource':'arn:aws:kms:*:*:*'`, "*", true},
	} {
		if got := applies(t, `'Action':'rds:*',`+c.element, "rds:CopyDBClusterSnapshot", c.resource); got != c.want {
			t.Errorf("%s on %s = %v", c.element, c.resource, got)
		}
	}
}

// IAM user guide, "Variables and tags": a variable stands in an ARN's last field only,
// and one without a value matches no resource, in NotResource too.
func TestVariablesInResources(t *testing.T) {
	for _, c := range []struct {
		element, resource string
		want              bool
	}{
		{`'Resource':'arn:aws:s3:::b/${aws:username}/*'`, "arn:aws:s3:::b/ann/x", true},
		{`'Resource':'arn:aws:sns:*:*:${aws:username}-*'`, "arn:aws:sns:eu-west-1:111122223333:ann-1", true},
		{`'Resource':'arn:aws:sns:*:${aws:username}'`, "arn:aws:sns:eu-west-1:111122223333:ann", false},
		{`'Resource':'arn:aws:sns:*:${aws:PrincipalAccount}:*'`, "arn:aws:sns:eu-west-1:111122223333:ann", false},
		{`'NotResource':'arn:aws:sns:*:${aws:PrincipalAccount}:*'`, "arn:aws:sns:eu-west-1:111122223333:ann", true},
		{`'Resource':'arn:aws:sns:${aws:RequestedRegion}:*:*'`, "arn:aws:sns:eu-west-1:111122223333:ann", false},
		{`'Resource':'arn:aws:s3:::b/${aws:PrincipalTag/none}'`, "arn:aws:s3:::b/", false},
		{`'NotResource':'arn:aws:s3:::b/${aws:PrincipalTag/none}'`, "arn:aws:s3:::b/", true},
		{`'Resource':'arn:aws:s3:::b/${aws:PrincipalTag/none, @x@}'`, "arn:aws:s3:::b/x", true},
		{`'Resource':'arn:aws:s3:::b/${aws:PrincipalTag/none, @x*@}'`, "arn:aws:s3:::b/xy", false},
		{`'Resource':'arn:aws:s3:::b/${AWS:USERNAME}'`, "arn:aws:s3:::b/ann", true},
		{`'Resource':'arn:aws:s3:::b/${*}${?}${$}'`, "arn:aws:s3:::b/*?$", true},
		{`'Resource':'arn:aws:s3:::b/${*}'`, "arn:aws:s3:::b/x", false},
		{`'Resource':'arn:aws:s3:::b/${$}{aws:username}'`, "arn:aws:s3:::b/${aws:username}", true},
		{`'Resource':'arn:aws:s3:::b/$x'`, "arn:aws:s3:::b/$x", true},
	} {
		if got := applies(t, `'Action':'a:*',`+strings.ReplaceAll(c.element, "@", `\u0027`), "a:B", c.resource); got != c.want {
			t.Errorf("%s on %s = %v", c.element, c.resource, got)
		}
	}
}
