// Package hsm keeps AES-256 keys in hardware security modules, and encrypts and
// decrypts with them there, through a PKCS#11 module: a shared library that the
// maker of the device supplies. Such a key never leaves its token.
//
// It calls C, so it is only in programs that were built for it, with the build
// tag pkcs11. In others Open says so.
package hsm

import (
	"log/slog"
)

// A Kind says what went wrong with a token.
type Kind string

// What can go wrong.
const (
	// NotFound: the module has no token of that name, or not any more.
	NotFound Kind = "NotFound"
	// NotActive: the token is not initialized, or the module is closed.
	NotActive Kind = "NotActive"
	// Unfit: the token cannot make AES keys, or not encrypt with AES-GCM.
	Unfit Kind = "Unfit"
	// WrongAnchor: the token holds certificates, and the one expected is not among them.
	WrongAnchor Kind = "WrongAnchor"
	// NoUser: the token has no user PIN yet.
	NoUser Kind = "NoUser"
	// WrongPassword: the PIN is not the token's. It is not tried again before Login.
	WrongPassword Kind = "WrongPassword"
	// LockedOut: a wrong PIN was tried too often.
	LockedOut Kind = "LockedOut"
	// LoggedIn: somebody else in this process is logged in to the token.
	LoggedIn Kind = "LoggedIn"
	// KeyNotFound: the token has no such key.
	KeyNotFound Kind = "KeyNotFound"
	// BadCiphertext: the ciphertext or its associated data is not what was made.
	BadCiphertext Kind = "BadCiphertext"
	// TimedOut: the token did not answer in time.
	TimedOut Kind = "TimedOut"
	// Broken: anything else that the module reports.
	Broken Kind = "Broken"
)

// An Error is why a token did not do what it was asked. Detail is for the
// operator's log.
type Error struct {
	Kind   Kind
	Detail string
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return "hardware security module: " + string(e.Kind)
	}
	return "hardware security module: " + string(e.Kind) + ": " + e.Detail
}

// A Token is a token and what opens it.
type Token struct {
	Label    string
	Password string // the user's PIN
}

// String names the token and keeps the PIN.
func (t Token) String() string { return "token " + t.Label }

// GoString is String.
func (t Token) GoString() string { return t.String() }

// LogValue is String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
