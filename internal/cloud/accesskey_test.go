package cloud_test

import (
	"testing"

	"borealis/internal/cloud"
)

func TestAccessKeyIDTellsTheAccount(t *testing.T) {
	for _, a := range []cloud.AccountID{"000000000000", "000000000001", "111122223333", "999999999999"} {
		for _, random := range [][10]byte{{}, {255, 255, 255, 255, 255, 255, 255, 255, 255, 255}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}} {
			id := cloud.AccessKeyID("AKIA", a, random)
			if got, err := cloud.AccountOfKey(id); got != a || err != nil || len(id) != 20 || id[:4] != "AKIA" {
				t.Errorf("AccountOfKey(%s) = %s, %v, want %s", id, got, err, a)
			}
		}
	}
	// An id of AWS's own, whose account is public.
	if got, err := cloud.AccountOfKey("ASIAY34FZKBOKMUTVV7A"); got != "609629065308" || err != nil {
		t.Errorf("AccountOfKey of AWS's id = %s, %v", got, err)
	}
	for _, id := range []string{"", "AKIA", "AKIAIOSFODNN7EXAMPLE1", "AKIA1111111111111111", "AKIA77777777777777777", "AKIA7777777777777777", "AKIAAAAAAAAAAAAAAAAA"} {
		if a, err := cloud.AccountOfKey(id); err == nil {
			t.Errorf("AccountOfKey(%q) = %s, want an error", id, a)
		}
	}
}
