package policy_test

import (
	"testing"

	"borealis/internal/policy"
)

func TestRemoveSame(t *testing.T) {
	e := policy.Entry{Sid: "Ours", Effect: "Allow", Principal: map[policy.PrincipalType]policy.Values{policy.AWS: {"arn:aws:iam::444455556666:root"}}, Action: policy.Values{"kms:DescribeKey"}, Resource: policy.Values{"*"}}
	for name, c := range map[string]struct {
		statement string
		removed   int
	}{
		"as written":          {`{"Sid":"Ours","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":"kms:DescribeKey","Resource":"*"}`, 1},
		"without Sid":         {`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":"kms:DescribeKey","Resource":"*"}`, 1},
		"in lists":            {`{"Resource":["*"],"Sid":"a","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::444455556666:root"]},"Action":["kms:DescribeKey"]}`, 1},
		"of somebody else":    {`{"Sid":"Ours","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::777788889999:root"},"Action":"kms:DescribeKey","Resource":"*"}`, 0},
		"with more actions":   {`{"Sid":"Ours","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":["kms:DescribeKey","kms:Decrypt"],"Resource":"*"}`, 0},
		"with more people":    {`{"Sid":"Ours","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::444455556666:root","arn:aws:iam::777788889999:root"]},"Action":"kms:DescribeKey","Resource":"*"}`, 0},
		"with a condition":    {`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":"kms:DescribeKey","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}`, 0},
		"that denies instead": {`{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":"kms:DescribeKey","Resource":"*"}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			const other = `{"Sid":"Theirs","Effect":"Allow","Principal":"*","Action":"kms:ListAliases","Resource":"*"}`
			d, err := policy.ParseDocument(`{"Version":"2012-10-17","Id":"x","Statement":[` + other + `,` + c.statement + `,` + other + `]}`)
			if err != nil {
				t.Fatal(err)
			}
			before := d.String()
			if n := d.RemoveSame(e); n != c.removed {
				t.Errorf("removed %d, want %d", n, c.removed)
			}
			if c.removed == 0 && d.String() != before || len(d.Sids()) < 2 {
				t.Errorf("it has become %s", d)
			}
		})
	}
}
