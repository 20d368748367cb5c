package cloud_test

import (
	"testing"

	"borealis/internal/cloud"
)

func FuzzARN(f *testing.F) {
	f.Add("arn:aws:rds:us-east-1:111122223333:cluster-snapshot:nightly:7")
	f.Add("arn:aws:iam::111122223333:role/a/b")
	f.Add("arn:aws:iam::aws:policy/ReadOnlyAccess")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := cloud.ParseARN(s)
		if err != nil {
			return // refusing is fine; panicking is not
		}
		if got := a.String(); got != s {
			t.Errorf("ParseARN(%q).String() = %q", s, got)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{"", "12345678901", "1234567890123", "12345678901a", "123456789012\n"} {
		if _, err := cloud.ParseAccountID(s); err == nil {
			t.Errorf("ParseAccountID(%q) accepted", s)
		}
	}
	for _, s := range []string{"", "us", "us-east", "US-EAST-1", "us-east-1a", "us-east-1\n", "us-1", "us--1", "us-east--1", "us-east-", "us-east-123", "usa-east-1", "us-e1st-1", "-east-1"} {
		if _, err := cloud.ParseRegion(s); err == nil {
			t.Errorf("ParseRegion(%q) accepted", s)
		}
	}
	for _, s := range []string{"", "arn", "arn:aws:rds:r:a", "arn:aws:rds:r:a:", "arn::rds:r:a:x", "ARN:aws:rds:r:a:x"} {
		if _, err := cloud.ParseARN(s); err == nil {
			t.Errorf("ParseARN(%q) accepted", s)
		}
	}
}

func TestThroughCopies(t *testing.T) {
	ann := cloud.Caller{Via: make([]string, 0, 4)}
	a, b := ann.Through("rds.amazonaws.com"), ann.Through("backup.amazonaws.com")
	if len(ann.Via) != 0 || a.Via[0] != "rds.amazonaws.com" || b.Via[0] != "backup.amazonaws.com" {
		t.Errorf("Through shares memory: %v %v %v", ann.Via, a.Via, b.Via)
	}
}

func TestServiceCaller(t *testing.T) {
	c := cloud.ServiceCaller("rds.amazonaws.com", "eu-west-1")
	if c.Principal != "rds.eu-west-1.amazonaws.com" || c.Kind != cloud.Service || c.Account != "" {
		t.Errorf("ServiceCaller: %+v", c)
	}
}
