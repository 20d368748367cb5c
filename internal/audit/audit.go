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
	// ID is the event's own: a UUID. Record makes one if it is empty; who sets it
	// can refer to the event.
	ID       string
	Time     time.Time
	Caller   cloud.Caller
	Action   string          // "kms:Decrypt"
	Resource string          // ARN, or "*"
	Owner    cloud.AccountID // whose resource it is
	Allowed  bool
	// Reason says in one sentence which statement of which policy decided.
	Reason string
	// ErrorCode and ErrorMessage say why nothing comes of what is allowed, if that
	// is known already: "DisabledException" and the key's state, in AWS's words. Of
	// a denial they are known anyway.
	ErrorCode, ErrorMessage string
	// EncryptionContext is KMS's. It is not secret.
	EncryptionContext map[string]string
	// Unasked says that the service did it by itself and nobody called: the
	// deletion of a key whose day has come, the rotation of one. Action names it:
	// "kms:RotateKey".
	Unasked bool
	// Detail is what else the service puts on record of what it did Unasked, by
	// CloudTrail's names of it. Never secrets.
	Detail map[string]string
}
