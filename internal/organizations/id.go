package organizations

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"strings"

	"borealis/internal/cloud"
)

// random is n random characters of ids. crypto/rand does not fail.
func random(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	for i := range b {
		for { // as many bytes as it takes for all letters to be as likely
			rand.Read(b[i : i+1])
			if b[i] < 252 {
				break
			}
		}
		b[i] = letters[b[i]%36]
	}
	return string(b)
}

// unitID is a fresh id of a unit below root.
func unitID(root string) string { return "ou-" + strings.TrimPrefix(root, "r-") + "-" + random(8) }

// policyID is a fresh id of a policy. In lists it comes after those of AWS's own.
func policyID() string {
	for {
		if id := random(8); id[0] >= 'a' {
			return "p-" + id
		}
	}
}

// accountID is a random account number.
func accountID() cloud.AccountID {
	const first, count = 100000000000, 900000000000
	var b [8]byte
	rand.Read(b[:])
	return cloud.AccountID(strconv.FormatUint(first+binary.BigEndian.Uint64(b[:])%count, 10))
}
