package identity

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Passwords are kept as Argon2id hashes (RFC 9106) with the least costs that
// OWASP recommends: some 20 milliseconds of one processor and 19 MiB each.
const (
	hashTime    = 2
	hashMemory  = 19 << 10 // KiB
	hashThreads = 1
	hashSize    = 32 // bytes
	saltSize    = 16 // bytes
)

// hashPrefix begins a hash and says how it was made. A hash that begins otherwise
// is of no password.
var hashPrefix = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, hashMemory, hashTime, hashThreads)

// hashing bounds how many passwords are hashed at once, for the memory it takes.
var hashing = make(chan struct{}, runtime.GOMAXPROCS(0))

func derive(password string, salt []byte) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(password), salt, hashTime, hashMemory, hashThreads, hashSize)
}

// hashPassword is a password as it is kept.
func hashPassword(password string) string {
	salt := make([]byte, saltSize)
	rand.Read(salt) // does not fail
	b64 := base64.RawStdEncoding
	return hashPrefix + b64.EncodeToString(salt) + "$" + b64.EncodeToString(derive(password, salt))
}

// matches says whether hash is of password. It takes as long for what is no hash,
// and whatever the password.
func matches(hash, password string) bool {
	rest, known := strings.CutPrefix(hash, hashPrefix)
	first, second, _ := strings.Cut(rest, "$")
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(first)
	want, err2 := base64.RawStdEncoding.Strict().DecodeString(second)
	if !known || err1 != nil || err2 != nil {
		salt, want = make([]byte, saltSize), nil
	}
	return subtle.ConstantTimeCompare(derive(password, salt), want) == 1
}

// A passwordPolicy is what an account asks of its users' passwords. It is
// stored, so its fields change only with a migration.
type passwordPolicy struct {
	MinLength  int
	Upper      bool
	Lower      bool
	Numbers    bool
	Symbols    bool
	MayChange  bool  // users may change their own passwords without permission
	MaxAge     int   `json:",omitempty"` // days; 0 if passwords do not expire
	Reuse      int   `json:",omitempty"` // how many last passwords may not be used again
	HardExpiry *bool `json:",omitempty"`
}

// How long passwords are in accounts without a policy, and how many of the four
// kinds of characters they have.
const (
	defaultMinLength = 8
	defaultKinds     = 3
)

// passwordKinds are the kinds of characters that a policy may ask for.
var passwordKinds = []struct {
	name  string
	asked func(passwordPolicy) bool
	has   func(rune) bool
}{
	{"uppercase letter", func(p passwordPolicy) bool { return p.Upper }, func(c rune) bool { return 'A' <= c && c <= 'Z' }},
	{"lowercase letter", func(p passwordPolicy) bool { return p.Lower }, func(c rune) bool { return 'a' <= c && c <= 'z' }},
	{"number", func(p passwordPolicy) bool { return p.Numbers }, func(c rune) bool { return '0' <= c && c <= '9' }},
	{"symbol", func(p passwordPolicy) bool { return p.Symbols }, func(c rune) bool { return strings.ContainsRune("!@#$%^&*()_+-=[]{}|'", c) }},
}

// check refuses a password that p does not allow; nil is the policy of accounts
// that have none.
func (p *passwordPolicy) check(password string) error {
	length := defaultMinLength
	if p != nil {
		length = p.MinLength
	}
	var faults, missing []string
	if utf8.RuneCountInString(password) < length {
		faults = append(faults, fmt.Sprintf("Password should have a minimum length of %d", length))
	}
	for _, k := range passwordKinds {
		if strings.ContainsFunc(password, k.has) {
			continue
		}
		fault := "Password should have at least one " + k.name
		if p == nil {
			missing = append(missing, fault)
		} else if k.asked(*p) {
			faults = append(faults, fault)
		}
	}
	if more := len(missing) - (len(passwordKinds) - defaultKinds); more > 0 {
		faults = append(faults, fmt.Sprintf("Password should meet %d more of the following requirements: %s", more, strings.Join(missing, ", ")))
	}
	if len(faults) > 0 {
		return passwordViolation(strings.Join(faults, ", "))
	}
	return nil
}
