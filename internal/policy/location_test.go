package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"borealis/internal/policy"
)

// where puts locations in a line each: the path, and line:column(offset) of both ends.
func where(f policy.Finding) string {
	var all []string
	for _, l := range f.Locations {
		var path []string
		for _, s := range l.Path {
			switch {
			case s.Index != nil:
				path = append(path, fmt.Sprint(*s.Index))
			case s.Key != "":
				path = append(path, s.Key+"?")
			default:
				path = append(path, s.Value)
			}
		}
		a, b := l.Span.Start, l.Span.End
		all = append(all, fmt.Sprintf("%s %d:%d(%d)-%d:%d(%d)", strings.Join(path, "."), a.Line, a.Column, a.Offset, b.Line, b.Column, b.Offset))
	}
	return f.Code + " " + strings.Join(all, " ")
}

// The AWS CLI's reference has the answer for this document ("validate-policy", examples).
func TestLocations(t *testing.T) {
	const text = `{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "",
            "Effect": "Allow",
            "Principal": {
                "Federated": "cognito-identity.amazonaws.com"
            },
            "Action": [
                "sts:AssumeRole",
                "sts:TagSession"
            ],
            "Condition": {
                "StringEquals": {
                    "cognito-identity.amazonaws.com:aud": "us-west-2_EXAMPLE"
                }
            }
        }
    ]
}`
	var got []string
	for _, f := range policy.TrustKind.Validate("p", text) {
		got = append(got, where(f))
	}
	want := []string{
		"EMPTY_SID_VALUE Statement.0.Sid 5:19(79)-5:21(81)",
		"MISMATCHED_ACTION_FOR_PRINCIPAL Statement.0.Action.0 11:16(258)-11:32(274) Statement.0.Principal.Federated 8:29(170)-8:61(202)",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-AWS's +ours:\n%s", d)
	}
}

func TestLocationsOfOtherParts(t *testing.T) {
	for text, want := range map[string]string{
		"{":                                    "JSON_SYNTAX_ERROR  1:0(0)-1:1(1)",
		"{]}":                                  "JSON_SYNTAX_ERROR  1:1(1)-1:2(2)",
		"":                                     "JSON_SYNTAX_ERROR  1:0(0)-1:0(0)",
		" [1]":                                 "DATA_TYPE_MISMATCH  1:1(1)-1:4(4)",
		`{"Version":"2012-10-17","Version":1}`: "JSON_SYNTAX_ERROR  1:24(24)-1:33(33)",
		"{\"Version\":\"2012-10-17\",\n\"Ä\":1,\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"kms:Decrypt\",\"Resource\":\"*\"}}":                "INVALID_POLICY_ELEMENT Ä? 2:0(25)-2:3(28)",
		"{\"Version\":\"2012-10-17\",\"Id\":\"ä\",\"Statement\":{\"Effect\":\"Alow\",\"Action\":\"kms:Decrypt\",\"Resource\":\"*\"}}":              "INVALID_EFFECT Statement.Effect 1:55(55)-1:61(61)",
		`{"Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}}`:                                                                   "MISSING_VERSION  1:0(0)-1:70(70)",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"aws:x":"a"}}}}`: "INVALID_GLOBAL_CONDITION_KEY Statement.Condition.StringEquals.aws:x? 1:121(121)-1:128(128)",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Resource":"*"}}`:                                                                   "MISSING_ACTION Statement 1:36(36)-1:69(69)",
	} {
		found := policy.InlineKind.Validate("p", text)
		if len(found) != 1 || where(found[0]) != want {
			t.Errorf("%s\n got %v\nwant %s", text, found, want)
			for _, f := range found {
				t.Error(where(f))
			}
		}
	}
}

// checkLocations holds the locations of findings to the document that they are in.
func checkLocations(t *testing.T, text string, found []policy.Finding) {
	t.Helper()
	if len(found) > 1000 {
		t.Errorf("%d findings", len(found))
	}
	most := utf8.RuneCountInString(text)
	for _, f := range found {
		for _, l := range f.Locations {
			a, b := l.Span.Start, l.Span.End
			if a.Offset < 0 || a.Offset > b.Offset || b.Offset > most || a.Line < 1 || b.Line < a.Line || a.Column < 0 || b.Column < 0 {
				t.Errorf("%s: %s", where(f), text)
			}
		}
		if len(f.Locations) == 0 {
			t.Errorf("%s is nowhere", f)
		}
	}
}

// No document takes long to look through, however many of its parts could be compared.
func TestValidateIsQuick(t *testing.T) {
	many := func(part string) string { return strings.TrimSuffix(strings.Repeat(part, (64<<10)/len(part)), ",") }
	statement := func(rest string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},` + rest + `}]}`
	}
	numbered := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	for name, text := range map[string]string{
		"patterns of actions":     statement(`"Action":[` + numbered(`"kms:*?*%d*",`, 4000) + `],"Resource":"*"`),
		"misspelt actions":        statement(`"Action":[` + numbered(`"rds:DescribeDBClus%d",`, 3000) + `],"Resource":"*"`),
		"the same action":         statement(`"Action":[` + many(`"kms:Decrypt",`) + `],"Resource":"*"`),
		"empty texts":             statement(`"Action":[` + many(`"",`) + `],"Resource":"*"`),
		"patterns of resources":   statement(`"Action":"kms:Decrypt","Resource":[` + numbered(`"arn:aws:kms:*:*:*?*?%d",`, 2500) + `]`),
		"one long pattern":        statement(`"Action":"kms:Decrypt","Resource":["` + strings.Repeat("*a?", 10000) + `","` + strings.Repeat("a", 30000) + `"]`),
		"conditions and actions":  statement(`"Action":[` + numbered(`"iam:*%d*",`, 2000) + `,"iam:*"],"Resource":"*","Condition":{"StringEquals":{` + numbered(`"iam:x%d":"",`, 2000) + `}}`),
		"conditions that tags":    statement(`"Action":[` + numbered(`"rds:*?%d","rds:*",`, 1000) + `],"Resource":"*","Condition":{"StringEquals":{` + numbered(`"rds:cluster-tag/%d":"",`, 1000) + `}}`),
		"statements":              `{"Version":"2012-10-17","Statement":[` + numbered(`{"Sid":"s%d","Effect":"Allow","Action":"kms:*","Resource":"*"},{"Effect":"Deny","Action":"kms:*","Resource":"*"},`, 550) + `]}`,
		"principals":              statement(`"Action":"sts:AssumeRole","NotPrincipal":{"Federated":[` + numbered(`"ci%d.example",`, 3500) + `]},"Resource":"*"`),
		"findings on one line":    statement(`"Action":[` + many(`"ä",`) + `],"Resource":"*"`),
		"empty objects":           `{"Version":"2012-10-17","Statement":[` + many(`{},`) + `]}`,
		"assumed roles":           statement(`"Action":"sts:AssumeRole","NotPrincipal":{"AWS":[` + numbered(`"arn:aws:sts::111122223333:assumed-role/r/%d",`, 1300) + `]}`),
		"blocks of one condition": statement(`"Action":"kms:Decrypt","Resource":"*","Condition":{` + numbered(`"a%d":{"aws:username":[]},`, 2300) + `}`),
	} {
		for _, k := range []policy.Kind{policy.InlineKind, policy.ResourceKind, policy.TrustKind, policy.ServiceControlKind, policy.ResourceControlKind} {
			begun := time.Now()
			found := k.Validate("p", text)
			// It takes some ms; on a busy machine with the race detector two seconds.
			// What is quadratic takes minutes.
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("%s: %d bytes took %v, %d findings", name, len(text), took, len(found))
			} else if testing.Verbose() {
				t.Logf("%-24s %6d bytes %10v %4d findings", name, len(text), took, len(found))
			}
			checkLocations(t, text, found)
		}
	}
}
