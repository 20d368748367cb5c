package identity

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what authenticator apps compute (RFC 6238)
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"time"
)

// One-time codes are those of RFC 6238 as authenticator apps compute them: six
// digits of an HMAC with SHA-1, others every thirty seconds.
const (
	codeStep   = 30 // seconds
	codeDigits = 6
	codeModulo = 1_000_000
	// codeDrift is by how many steps a device's clock may be off from when it was
	// last synchronized, and syncDrift by how many it may be when that is done.
	codeDrift = 1
	syncDrift = 20
)

// stepAt is the number of the step that t is in.
func stepAt(t time.Time) int64 { return t.Unix() / codeStep }

// codeOf is the code of a seed in a step.
func codeOf(seed []byte, step int64) string {
	mac := hmac.New(sha1.New, seed)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%0*d", codeDigits, binary.BigEndian.Uint32(sum[at:])&0x7fffffff%codeModulo)
}

// isCode says whether code is a seed's in a step, in constant time.
func isCode(seed []byte, step int64, code string) bool {
	return subtle.ConstantTimeCompare([]byte(codeOf(seed, step)), []byte(code)) == 1
}

// synchronize finds the step of the second of two codes in a row, around now.
func synchronize(seed []byte, now time.Time, first, second string) (step int64, ok bool) {
	middle := stepAt(now)
	for s := middle - syncDrift; s <= middle+syncDrift; s++ {
		if isCode(seed, s, first) && isCode(seed, s+1, second) {
			return s + 1, true
		}
	}
	return 0, false
}
