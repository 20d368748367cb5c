package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"borealis/internal/cloud"
)

// An Entry is a line of the log as it is read: one call with all the decisions
// about it, or one thing that a service did by itself. The names are CloudTrail's
// where CloudTrail has one.
type Entry struct {
	Version    int       `json:"version"`
	ID         string    `json:"eventID"` // a UUID
	Time       time.Time `json:"eventTime"`
	Source     string    `json:"eventSource"` // "kms.amazonaws.com"
	Name       string    `json:"eventName"`   // the operation: "ReEncrypt"
	Type       string    `json:"eventType"`   // "AwsApiCall" or "AwsServiceEvent"
	ReadOnly   bool      `json:"readOnly"`
	Region     string    `json:"awsRegion,omitempty"`
	SourceIP   string    `json:"sourceIPAddress,omitempty"`
	UserAgent  string    `json:"userAgent,omitempty"`
	RequestID  string    `json:"requestID,omitempty"`
	Identity   Identity  `json:"userIdentity"`
	Parameters Object    `json:"requestParameters,omitempty"`
	Elements   Object    `json:"responseElements,omitempty"`
	// Detail is what a service says of what it did by itself.
	Detail    map[string]string `json:"serviceEventDetails,omitempty"`
	Decisions []Decision        `json:"decisions,omitempty"`
	// ErrorCode and ErrorMessage are the answer of a call that failed.
	ErrorCode    string `json:"errorCode,omitempty"`
	ErrorMessage string `json:"errorMessage,omitempty"`
}

// An Object is a JSON object as it stands in the log.
type Object = json.RawMessage

// An Identity is who called.
type Identity struct {
	Type        string          `json:"type"` // Root, IAMUser, AssumedRole, AWSService
	PrincipalID string          `json:"principalId,omitempty"`
	ARN         string          `json:"arn,omitempty"`
	Account     cloud.AccountID `json:"accountId,omitempty"`
	AccessKeyID string          `json:"accessKeyId,omitempty"`
	UserName    string          `json:"userName,omitempty"`
	Role        string          `json:"role,omitempty"`  // the ARN of a session's role
	Maker       string          `json:"maker,omitempty"` // the ARN of who made a federated user's session
	// Provider is the ARN of the identity provider that vouched for it.
	Provider       string     `json:"identityProvider,omitempty"`
	SourceIdentity string     `json:"sourceIdentity,omitempty"`
	SessionStarted *time.Time `json:"sessionStarted,omitempty"`
	MFA            bool       `json:"mfa,omitempty"`
	// Via are the services that passed the call on in the caller's name.
	Via []string `json:"via,omitempty"`
}

// A Decision is one about a call.
type Decision struct {
	Action   string          `json:"action"` // "kms:ReEncryptFrom"
	Resource string          `json:"resource,omitempty"`
	Owner    cloud.AccountID `json:"owner,omitempty"`
	Decision string          `json:"decision"` // "allowed" or "denied"
	Reason   string          `json:"reason,omitempty"`
	// Explanation says more of a denial, as policies and request were then.
	Explanation Object `json:"explanation,omitempty"`
	// ID is that of the event in the owner's account, if it has one of its own.
	ID string `json:"eventID,omitempty"`
}

// ErrDamaged says that a line is not one that this program has written.
var ErrDamaged = errors.New("the line is damaged")

var lineStart = []byte(`{"version":`)

// parse reads a line, without its newline.
func parse(line []byte) (*Entry, error) {
	e := new(Entry)
	if err := json.Unmarshal(line, e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if e.Version != Version || e.ID == "" || e.Name == "" || e.Time.IsZero() {
		return nil, fmt.Errorf("%w: it is of version %d, or lacks an id, a name or a time", ErrDamaged, e.Version)
	}
	return e, nil
}

// whole says whether a line looks like one that was written to its end.
func whole(line []byte) bool {
	return bytes.HasPrefix(line, lineStart) && line[len(line)-1] == '}'
}

// Denied says whether any decision was to deny.
func (e *Entry) Denied() bool {
	for _, d := range e.Decisions {
		if d.Decision == "denied" {
			return true
		}
	}
	return false
}

// Accounts are those whose event e is: the caller's, and the owners' of what was
// asked for, each once.
func (e *Entry) Accounts() []cloud.AccountID {
	var out []cloud.AccountID
	add := func(a cloud.AccountID) {
		if _, err := cloud.ParseAccountID(string(a)); err != nil {
			return // AWS's own
		}
		for _, have := range out {
			if have == a {
				return
			}
		}
		out = append(out, a)
	}
	add(e.Identity.Account)
	for _, d := range e.Decisions {
		add(d.Owner)
	}
	return out
}

// IDIn is the id of e as account a's event. The events of several accounts about
// one call have ids of their own, and a shared one.
func (e *Entry) IDIn(a cloud.AccountID) string {
	if len(e.Decisions) == 0 || e.Decisions[0].Owner == a {
		return e.ID
	}
	for _, d := range e.Decisions {
		if d.Owner == a && d.ID != "" {
			return d.ID
		}
	}
	return e.derived(string(a))
}

// SharedID joins the events of several accounts about one call. It is "" if e
// is the event of one account.
func (e *Entry) SharedID() string {
	if len(e.Accounts()) < 2 {
		return ""
	}
	return e.derived("shared")
}

func (e *Entry) derived(what string) string {
	sum := sha256.Sum256([]byte("borealis event " + e.ID + " " + what))
	return string(appendAsUUID(nil, [16]byte(sum[:16]), 8))
}

// Resources are the ARNs of what was asked for, each once, with its owner, and
// of a key that was made.
func (e *Entry) Resources() []Decision {
	var out []Decision
	seen := map[string]bool{"": true, "*": true}
	for _, d := range e.Decisions {
		if !seen[d.Resource] {
			seen[d.Resource] = true
			out = append(out, d)
		}
	}
	if arn := keyOf(e.Elements); !seen[arn] && len(e.Decisions) > 0 {
		made := e.Decisions[0]
		made.Resource = arn
		out = append(out, made)
	}
	return out
}

// Service is the short name of the service: "kms".
func (e *Entry) Service() string {
	s, _, _ := strings.Cut(e.Source, ".")
	return s
}
