//go:build !pkcs11

package rootkey

import (
	"errors"

	"borealis/internal/seal"
)

var errNoPKCS11 = errors.New("this borealis was built without PKCS#11; use one that was built with -tags pkcs11 (and cgo)")

func tokenWrap(string, seal.Plaintext, string) ([]byte, error) { return nil, errNoPKCS11 }

func tokenUnwrap(string, []byte, string) (seal.Plaintext, error) { return nil, errNoPKCS11 }
