package identity

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"borealis/internal/cloud"
)

// The first four characters of a unique id say what it names.
const (
	userPrefix   = "AIDA"
	rolePrefix   = "AROA"
	groupPrefix  = "AGPA"
	policyPrefix = "ANPA"
	keyPrefix    = "AKIA"

	sshKeyPrefix     = "APKA"
	serviceKeyPrefix = "ACCA"
	serverCertPrefix = "ASCA"
)

var idPrefix = map[Kind]string{User: userPrefix, Role: rolePrefix, Group: groupPrefix}

// random is n random bytes. crypto/rand does not fail.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// newID is a fresh unique id: the prefix and 17 characters.
func newID(prefix string) string {
	return prefix + base32.StdEncoding.EncodeToString(random(15))[:17]
}

// newKeyID is a fresh access key id of account a.
func newKeyID(a cloud.AccountID) string {
	return cloud.AccessKeyID(keyPrefix, a, [10]byte(random(10)))
}

// newSecret is a fresh secret access key of 40 characters.
func newSecret() string { return base64.StdEncoding.EncodeToString(random(30)) }

// newAccountID is a random account number.
func newAccountID() cloud.AccountID {
	const first, count = 100000000000, 900000000000
	return cloud.AccountID(strconv.FormatUint(first+binary.BigEndian.Uint64(random(8))%count, 10))
}
