package policy_test

import (
	"strings"
	"testing"

	"borealis/internal/policy"

	"github.com/google/go-cmp/cmp"
)

// The key policy of KMS's own making, as KMS prints it.
const defaultKeyPolicy = `{
  "Id" : "key-default-1",
  "Version" : "2012-10-17",
  "Statement" : [ {
    "Effect" : "Allow",
    "Sid" : "Enable IAM User Permissions",
    "Principal" : { "AWS" : "arn:aws:iam::111122223333:root" },
    "Action" : "kms:*",
    "Resource" : [ "*" ]
  } ]
}`

func TestDocumentKeepsWhatItDoesNotTouch(t *testing.T) {
	d, err := policy.ParseDocument(defaultKeyPolicy)
	if err != nil {
		t.Fatal(err)
	}
	share := policy.Entry{
		Sid: "TargetGrantsToRdsOnly", Effect: "Allow",
		Principal: map[policy.PrincipalType]policy.Values{policy.AWS: {"444455556666"}},
		Action:    policy.Values{"kms:CreateGrant", "kms:DescribeKey"}, Resource: policy.Values{"*"},
		Condition: map[string]map[string]policy.Values{"Bool": {"kms:GrantIsForAWSResource": {"true"}}},
	}
	if err := d.Append(share); err != nil {
		t.Fatal(err)
	}
	want := `{
  "Id": "key-default-1",
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Sid": "Enable IAM User Permissions",
      "Principal": {
        "AWS": "arn:aws:iam::111122223333:root"
      },
      "Action": "kms:*",
      "Resource": [
        "*"
      ]
    },
    {
      "Sid": "TargetGrantsToRdsOnly",
      "Effect": "Allow",
      "Principal": {
        "AWS": "444455556666"
      },
      "Action": [
        "kms:CreateGrant",
        "kms:DescribeKey"
      ],
      "Resource": "*",
      "Condition": {
        "Bool": {
          "kms:GrantIsForAWSResource": "true"
        }
      }
    }
  ]
}`
	if diff := cmp.Diff(want, d.String()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"Enable IAM User Permissions", "TargetGrantsToRdsOnly"}, d.Sids()); diff != "" {
		t.Error(diff)
	}
	if n := d.Remove("TargetGrantsToRdsOnly"); n != 1 {
		t.Errorf("removed %d statements", n)
	}
	before, err := policy.ParseDocument(defaultKeyPolicy)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.String(), d.String()); diff != "" {
		t.Errorf("adding and removing leaves a trace:\n%s", diff)
	}
}

func TestDocumentFromNothing(t *testing.T) {
	var d policy.Document
	if err := d.Append(policy.Entry{Effect: "Allow", Action: policy.Values{"rds:<&>*"}, Resource: policy.Values{"*"}}); err != nil {
		t.Fatal(err)
	}
	p, err := policy.ManagedKind.Parse("p", d.String())
	if err != nil || len(p.Statements) != 1 || !strings.Contains(d.String(), "rds:<&>*") {
		t.Errorf("%v\n%s", err, d.String())
	}
}

// Without a Version a document is of the older one, which has no variables: it
// must not become a newer one by being edited.
func TestDocumentKeepsItsVersion(t *testing.T) {
	d, err := policy.ParseDocument(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${"}}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Append(policy.Entry{Effect: "Deny", Action: policy.Values{"*"}, Resource: policy.Values{"*"}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(d.String(), "Version") {
		t.Error(d.String())
	}
}

func TestDocumentRefuses(t *testing.T) {
	d, err := policy.ParseDocument(document(`{'Sid':'One','Effect':'Allow','Action':'*','Resource':'*'}`))
	if err != nil {
		t.Fatal(err)
	}
	before := d.String()
	for _, c := range []struct {
		entry policy.Entry
		want  string
	}{
		{policy.Entry{Sid: "One", Effect: "Allow", Action: policy.Values{"*"}, Resource: policy.Values{"*"}}, sids},
		{policy.Entry{Effect: "Allow", Resource: policy.Values{"*"}}, actions},
		{policy.Entry{Effect: "Maybe", Action: policy.Values{"*"}, Resource: policy.Values{"*"}}, syntax},
		{policy.Entry{Effect: "Allow", Principal: map[policy.PrincipalType]policy.Values{policy.AWS: {"x"}}, Action: policy.Values{"*"}}, `Invalid principal in policy: "AWS":"x"`},
	} {
		if got := sentence(d.Append(c.entry)); got != c.want {
			t.Errorf("%+v: %q, want %q", c.entry, got, c.want)
		}
		if d.String() != before {
			t.Errorf("%+v was refused and left its trace:\n%s", c.entry, d)
		}
	}
	if n := d.Remove("Two"); n != 0 || d.String() != before {
		t.Errorf("removed %d", n)
	}
	if _, err := policy.ParseDocument("{}"); sentence(err) != syntax {
		t.Errorf("ParseDocument of no policy: %v", err)
	}
}
