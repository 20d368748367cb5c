// Package audit is the append-only log of every decision, allowed or denied.
// It knows who asked for what and the answer, and nothing of policies or keys.
package audit

import (
	"time"

	"borealis/internal/cloud"
)

// An Event is one decision. It never holds plaintext, ciphertext, passwords or
// key material: what may be logged of a request is named field by field.
type Event struct {
	Time     time.Time
	Caller   cloud.Caller
	Action   string          // "kms:Decrypt"
	Resource string          // ARN, or "*"
	Owner    cloud.AccountID // whose resource it is
	Allowed  bool
	// Reason says in one sentence which statement of which policy decided.
	Reason string
	// Detail is what else the service puts on record, such as the encryption
	// context. Never secrets.
	Detail map[string]string
}
