// Package audit is the append-only log of every call and of the decisions about
// it, allowed or denied. It knows who asked for what and the answer, and nothing
// of policies or keys.
package audit

import (
	"sync"
	"time"

	"borealis/internal/cloud"
)

// An Event is one decision. It never holds plaintext, ciphertext, passwords or
// key material: what may be logged of a request is named field by field.
type Event struct {
	// ID is the event's own: a UUID. One is made if it is empty; who sets it can
	// refer to the event.
	ID       string
	Time     time.Time
	Caller   cloud.Caller
	Action   string          // "kms:Decrypt"
	Resource string          // ARN, or "*"
	Owner    cloud.AccountID // whose resource it is
	Allowed  bool
	// Reason says in one sentence which statement of which policy decided.
	Reason string
	// Explanation says more of a denial: which statements decided or came nearest. It
	// is a JSON object of a few KiB at most; nil if there is none.
	Explanation []byte
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

// A Call is one request to the API, from when it is decoded until it is
// answered. It is one event, with all the decisions that were taken about it:
// Record adds them, and Finish puts the event on record. It is the Call of the
// Caller in whose name the request runs.
type Call struct {
	Service   string // "kms"
	Operation string // "ReEncrypt"
	Caller    cloud.Caller
	Time      time.Time
	// Input is the decoded input, a pointer to the SDK's struct, of which the log
	// takes what it knows to be no secret.
	Input any

	mu        sync.Mutex
	decisions []decision
	first     [2]decision // room for the usual number
	finished  bool
}

// A decision is what is particular about one of a call's.
type decision struct {
	id, action, resource, reason string
	owner                        cloud.AccountID
	allowed                      bool
	code, message                string
	context                      map[string]string
	explanation                  []byte
}

func (e *Event) decision() decision {
	return decision{
		id: e.ID, action: e.Action, resource: e.Resource, reason: e.Reason, owner: e.Owner, allowed: e.Allowed,
		code: e.ErrorCode, message: e.ErrorMessage, context: e.EncryptionContext,
		explanation: e.Explanation,
	}
}

// add adds a decision to the call, but once if it is taken again. It reports
// whether the call was still waiting for decisions.
func (c *Call) add(d decision) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return false
	}
	if c.decisions == nil {
		c.decisions = c.first[:0]
	}
	for i := range c.decisions {
		if b := &c.decisions[i]; b.action == d.action && b.resource == d.resource && b.allowed == d.allowed && b.code == d.code {
			return true
		}
	}
	c.decisions = append(c.decisions, d)
	return true
}

// Denied is the last decision about the call that was a denial: what was denied,
// on what, and why; ok is false if there was none.
func (c *Call) Denied() (action, resource, reason string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.decisions) - 1; i >= 0; i-- {
		if d := &c.decisions[i]; !d.allowed {
			return d.action, d.resource, d.reason, true
		}
	}
	return "", "", "", false
}

// finish ends the wait for decisions.
func (c *Call) finish() []decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished = true
	return c.decisions
}

// An Outcome is how a call ended.
type Outcome struct {
	// Output is the operation's output, of which the log takes what it knows to be
	// no secret; nil if the call failed.
	Output any
	// ErrorCode and ErrorMessage are the answer of a call that failed.
	ErrorCode, ErrorMessage string
}
