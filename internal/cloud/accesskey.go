package cloud

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strconv"
)

// AccessKeyID makes an access key id of account a from random bytes. As on AWS
// it tells whose it is: the 16 characters after the prefix ("AKIA" for a
// long-term key, "ASIA" for a session's) are 80 bits in base32, of which the
// first is set, the next 40 are the account's number and the rest is random.
func AccessKeyID(prefix string, a AccountID, random [10]byte) string {
	n, _ := strconv.ParseUint(string(a), 10, 40) // an AccountID is 12 digits
	low := binary.BigEndian.Uint64(random[:]) & (1<<23 - 1)
	binary.BigEndian.PutUint64(random[:], 1<<63|n<<23|low)
	return prefix + base32.StdEncoding.EncodeToString(random[:])
}

// AccountOfKey reads the account from an access key id that AccessKeyID made.
func AccountOfKey(id string) (AccountID, error) {
	if len(id) != 20 {
		return "", fmt.Errorf("%q is not an access key id", id)
	}
	b, err := base32.StdEncoding.DecodeString(id[4:])
	if err != nil || b[0] < 1<<7 {
		return "", fmt.Errorf("%q is not an access key id", id)
	}
	n := binary.BigEndian.Uint64(b) >> 23 & (1<<40 - 1)
	return ParseAccountID(fmt.Sprintf("%012d", n))
}
