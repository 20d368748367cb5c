//go:build !pkcs11

package hsm_test

import (
	"strings"
	"testing"

	"borealis/internal/hsm"
)

// A program without PKCS#11 says what to do to get one that has it.
func TestMissing(t *testing.T) {
	if _, err := hsm.Open("any.so"); err == nil || !strings.Contains(err.Error(), "-tags pkcs11") {
		t.Error(err)
	}
}
