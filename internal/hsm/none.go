//go:build !pkcs11

package hsm

import (
	"context"
	"errors"
)

// Missing says what this program lacks to use hardware security modules, and what
// to do about it; it is "" if nothing.
const Missing = "this borealis was built without PKCS#11; build it with CGO_ENABLED=1 go build -tags pkcs11"

// A Module is what this program does not have. There is no way to get one.
type Module struct{}

var errMissing = errors.New(Missing)

// Open says what is missing.
func Open(string) (*Module, error) { return nil, errMissing }

// Close does nothing.
func (*Module) Close() error { return nil }

// Check is Open's error.
func (*Module) Check(context.Context, string, []byte) error { return errMissing }

// Login is Open's error.
func (*Module) Login(context.Context, Token) error { return errMissing }

// Logout is Open's error.
func (*Module) Logout(string) error { return errMissing }

// Generate is Open's error.
func (*Module) Generate(context.Context, Token, string) error { return errMissing }

// Destroy is Open's error.
func (*Module) Destroy(context.Context, Token, string) error { return errMissing }

// Encrypt is Open's error.
func (*Module) Encrypt(context.Context, Token, string, []byte, []byte) ([]byte, error) {
	return nil, errMissing
}

// Decrypt is Open's error.
func (*Module) Decrypt(context.Context, Token, string, []byte, []byte) ([]byte, error) {
	return nil, errMissing
}

// Random is Open's error.
func (*Module) Random(context.Context, Token, int) ([]byte, error) { return nil, errMissing }
