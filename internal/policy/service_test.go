package policy_test

import (
	"strings"
	"testing"

	"borealis/internal/policy"
)

func TestSpeaksOf(t *testing.T) {
	for _, tt := range []struct {
		statement string
		want      bool
	}{
		{`'Effect':'Allow','Action':'*'`, true},
		{`'Effect':'Allow','Action':'KMS:Decrypt'`, true},
		{`'Effect':'Allow','Action':['rds:*','kms:*']`, true},
		{`'Effect':'Allow','Action':'kmsx:*'`, false},
		{`'Effect':'Allow','Action':'rds:*'`, false},
		{`'Effect':'Deny','Action':'kms:*'`, false},
		{`'Effect':'Allow','NotAction':'rds:*'`, true},
		{`'Effect':'Allow','NotAction':'kms:*'`, false},
		{`'Effect':'Allow','NotAction':'kms:Decrypt'`, true},
		{`'Effect':'Allow','NotAction':'*'`, false},
	} {
		text := strings.ReplaceAll(`{'Version':'2012-10-17','Statement':{`+tt.statement+`,'Resource':'*'}}`, "'", `"`)
		p, err := policy.Parse("p", text)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.SpeaksOf("kms"); got != tt.want {
			t.Errorf("%s speaks of kms: %t", tt.statement, got)
		}
	}
}
