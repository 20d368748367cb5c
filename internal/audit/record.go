package audit

import (
	"cmp"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"borealis/internal/cloud"
)

// A record is an Event as a line of the log. The names are CloudTrail's where
// CloudTrail has one; decision and reason are ours.
type record struct {
	EventID         string            `json:"eventID"`
	EventTime       string            `json:"eventTime"` // RFC 3339, UTC, to the microsecond
	EventSource     string            `json:"eventSource"`
	EventName       string            `json:"eventName"`
	AWSRegion       cloud.Region      `json:"awsRegion,omitempty"`
	SourceIPAddress string            `json:"sourceIPAddress,omitempty"`
	UserAgent       string            `json:"userAgent,omitempty"`
	UserIdentity    userIdentity      `json:"userIdentity"`
	Resources       []resource        `json:"resources,omitempty"`
	Recipient       cloud.AccountID   `json:"recipientAccountId,omitempty"`
	RequestID       string            `json:"requestID,omitempty"`
	Action          string            `json:"action,omitempty"`    // that was decided about, if it is not called as the operation is
	Decision        string            `json:"decision"`            // "allowed" or "denied"
	ErrorCode       string            `json:"errorCode,omitempty"` // "AccessDenied" if denied
	Reason          string            `json:"reason,omitempty"`
	Context         map[string]string `json:"encryptionContext,omitempty"`
	Detail          map[string]string `json:"detail,omitempty"`
}

type userIdentity struct {
	Type        string          `json:"type"`
	PrincipalID string          `json:"principalId,omitempty"`
	ARN         string          `json:"arn,omitempty"`
	AccountID   cloud.AccountID `json:"accountId,omitempty"`
	AccessKeyID string          `json:"accessKeyId,omitempty"`
	UserName    string          `json:"userName,omitempty"`
	// InvokedBy is the service that passed the request on in the caller's name.
	InvokedBy string `json:"invokedBy,omitempty"`
}

type resource struct {
	ARN       string          `json:"ARN"`
	AccountID cloud.AccountID `json:"accountId,omitempty"`
}

// types are CloudTrail's words for kinds of principal.
var types = map[cloud.PrincipalKind]string{
	cloud.Root:        "Root",
	cloud.User:        "IAMUser",
	cloud.AssumedRole: "AssumedRole",
	cloud.Service:     "AWSService",
}

// maxText bounds what a client can write into the log with one header.
const maxText = 512

// line is e as JSON, with the newline that ends it.
func line(e Event) ([]byte, error) {
	service, name, _ := strings.Cut(e.Action, ":")
	c := e.Caller
	r := record{
		EventID:         cmp.Or(e.ID, uuid.NewString()),
		EventTime:       e.Time.UTC().Format("2006-01-02T15:04:05.000000Z07:00"),
		EventSource:     service + ".amazonaws.com",
		EventName:       name,
		AWSRegion:       c.Region,
		SourceIPAddress: c.SourceIP,
		UserAgent:       cut(c.UserAgent),
		UserIdentity: userIdentity{
			Type: types[c.Kind], PrincipalID: c.UserID, ARN: c.ARN, AccountID: c.Account,
			AccessKeyID: c.AccessKeyID, UserName: c.UserName,
		},
		Recipient: e.Owner,
		RequestID: c.RequestID,
		Decision:  "allowed",
		Reason:    e.Reason,
		ErrorCode: e.ErrorCode,
		Context:   e.EncryptionContext,
		Detail:    e.Detail,
	}
	if c.Operation != "" && c.Operation != name {
		r.EventName, r.Action = c.Operation, e.Action
	}
	if n := len(c.Via); n > 0 {
		r.UserIdentity.InvokedBy = c.Via[n-1]
	}
	if e.Resource != "" && e.Resource != "*" {
		r.Resources = []resource{{ARN: e.Resource, AccountID: e.Owner}}
	}
	if !e.Allowed {
		r.Decision, r.ErrorCode = "denied", "AccessDenied"
	}
	b, err := json.Marshal(r)
	return append(b, '\n'), err
}

func cut(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
