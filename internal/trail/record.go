package trail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"borealis/internal/audit"
	"borealis/internal/cloud"
)

// A record is CloudTrail's JSON of an event.
type record struct {
	EventVersion        string            `json:"eventVersion"`
	UserIdentity        userIdentity      `json:"userIdentity"`
	EventTime           string            `json:"eventTime"`
	EventSource         string            `json:"eventSource"`
	EventName           string            `json:"eventName"`
	AWSRegion           string            `json:"awsRegion"`
	SourceIPAddress     string            `json:"sourceIPAddress"`
	UserAgent           string            `json:"userAgent"`
	ErrorCode           string            `json:"errorCode,omitempty"`
	ErrorMessage        string            `json:"errorMessage,omitempty"`
	RequestParameters   json.RawMessage   `json:"requestParameters"`
	ResponseElements    json.RawMessage   `json:"responseElements"`
	AdditionalEventData *additional       `json:"additionalEventData,omitempty"`
	RequestID           string            `json:"requestID,omitempty"`
	EventID             string            `json:"eventID"`
	ReadOnly            bool              `json:"readOnly"`
	Resources           []resource        `json:"resources,omitempty"`
	EventType           string            `json:"eventType"`
	ServiceEventDetails map[string]string `json:"serviceEventDetails,omitempty"`
	ManagementEvent     bool              `json:"managementEvent"`
	RecipientAccountID  cloud.AccountID   `json:"recipientAccountId"`
	SharedEventID       string            `json:"sharedEventID,omitempty"`
	EventCategory       string            `json:"eventCategory"`
}

type userIdentity struct {
	Type           string          `json:"type,omitempty"`
	PrincipalID    string          `json:"principalId,omitempty"`
	ARN            string          `json:"arn,omitempty"`
	AccountID      cloud.AccountID `json:"accountId,omitempty"`
	AccessKeyID    string          `json:"accessKeyId,omitempty"`
	UserName       string          `json:"userName,omitempty"`
	SessionContext *sessionContext `json:"sessionContext,omitempty"`
	InvokedBy      string          `json:"invokedBy,omitempty"`
}

type sessionContext struct {
	SessionIssuer  *sessionIssuer `json:"sessionIssuer,omitempty"`
	Attributes     attributes     `json:"attributes"`
	SourceIdentity string         `json:"sourceIdentity,omitempty"`
}

type sessionIssuer struct {
	Type        string          `json:"type"`
	PrincipalID string          `json:"principalId"`
	ARN         string          `json:"arn"`
	AccountID   cloud.AccountID `json:"accountId"`
	UserName    string          `json:"userName"`
}

type attributes struct {
	CreationDate     string `json:"creationDate"`
	MFAAuthenticated string `json:"mfaAuthenticated"`
}

// additional is what CloudTrail has no member for: which statements decided.
type additional struct {
	Decisions []audit.Decision `json:"decisions"`
}

type resource struct {
	AccountID cloud.AccountID `json:"accountId,omitempty"`
	Type      string          `json:"type,omitempty"`
	ARN       string          `json:"ARN"`
}

// internally stands for addresses and agents of what a service does by itself.
const internally = "AWS Internal"

// event is e as an event of the caller's account.
func (v *View) event(e *audit.Entry) (types.Event, error) {
	r := recordOf(e, v.caller.Account)
	text, err := json.Marshal(r)
	if err != nil {
		return types.Event{}, fmt.Errorf("event %s: %w", e.ID, err)
	}
	out := types.Event{
		EventId: &r.EventID, EventName: &r.EventName, EventSource: &r.EventSource, EventTime: new(e.Time.Truncate(time.Second)),
		ReadOnly: new(strconv.FormatBool(r.ReadOnly)), CloudTrailEvent: new(string(text)), Resources: []types.Resource{},
	}
	if r.UserIdentity.AccessKeyID != "" {
		out.AccessKeyId = &r.UserIdentity.AccessKeyID
	}
	if name := userName(&r.UserIdentity); name != "" {
		out.Username = &name
	}
	for _, x := range r.Resources {
		shown := types.Resource{ResourceName: new(nameOf(x))}
		if x.Type != "" {
			shown.ResourceType = new(x.Type)
		}
		out.Resources = append(out.Resources, shown)
	}
	return out, nil
}

// recordOf is e as account sees it. Of an event of two accounts neither sees the
// other's policies; the owner of what was used sees of the caller no more than
// its account and unique id; and who was refused sees of the resource no more
// than it named.
func recordOf(e *audit.Entry, account cloud.AccountID) record {
	shared := e.SharedID()
	r := record{
		EventVersion: "1.11", UserIdentity: identityOf(e, account),
		EventTime: e.Time.UTC().Format(time.RFC3339), EventSource: e.Source, EventName: e.Name, AWSRegion: e.Region,
		SourceIPAddress: e.SourceIP, UserAgent: e.UserAgent,
		ErrorCode: e.ErrorCode, ErrorMessage: e.ErrorMessage,
		RequestParameters: parametersOf(e), ResponseElements: e.Elements,
		RequestID: e.RequestID, EventID: e.IDIn(account), ReadOnly: e.ReadOnly,
		EventType: e.Type, ServiceEventDetails: e.Detail, ManagementEvent: true,
		RecipientAccountID: account, SharedEventID: shared, EventCategory: "Management",
	}
	if r.ErrorCode == "AccessDeniedException" {
		r.ErrorCode = "AccessDenied"
	}
	switch via := r.UserIdentity.InvokedBy; {
	case e.Type == "AwsServiceEvent":
		r.SourceIPAddress, r.UserAgent = internally, internally
	case via != "":
		r.SourceIPAddress, r.UserAgent = via, via
	}
	if shared == "" && len(e.Decisions) > 0 {
		r.AdditionalEventData = &additional{unexplained(e.Decisions)}
	}
	for _, d := range e.Resources() {
		if d.Owner != account && d.Decision == "denied" && !bytes.Contains(e.Parameters, []byte(d.Resource)) {
			continue
		}
		r.Resources = append(r.Resources, resource{AccountID: d.Owner, Type: typeOf(d.Resource), ARN: d.Resource})
	}
	return r
}

// identityOf is who called, as account sees it.
func identityOf(e *audit.Entry, account cloud.AccountID) userIdentity {
	i := &e.Identity
	if e.Type == "AwsServiceEvent" {
		return userIdentity{AccountID: account, InvokedBy: internally}
	}
	if i.Type == "AWSService" {
		name, _, _ := strings.Cut(i.ARN, ".")
		return userIdentity{Type: i.Type, InvokedBy: name + ".amazonaws.com"}
	}
	u := userIdentity{Type: i.Type, PrincipalID: i.PrincipalID, AccountID: i.Account}
	if len(i.Via) > 0 {
		u.InvokedBy = i.Via[len(i.Via)-1]
	}
	if i.Account != account {
		u.Type = "AWSAccount"
		return u
	}
	u.ARN, u.AccessKeyID, u.UserName = i.ARN, i.AccessKeyID, i.UserName
	if i.SessionStarted == nil {
		return u
	}
	u.SessionContext = &sessionContext{SourceIdentity: i.SourceIdentity, Attributes: attributes{
		CreationDate: i.SessionStarted.UTC().Format(time.RFC3339), MFAAuthenticated: strconv.FormatBool(i.MFA),
	}}
	if i.Role != "" {
		id, _, _ := strings.Cut(i.PrincipalID, ":")
		u.SessionContext.SessionIssuer = &sessionIssuer{
			Type: "Role", PrincipalID: id, ARN: i.Role, AccountID: i.Account, UserName: i.Role[strings.LastIndexByte(i.Role, '/')+1:],
		}
	}
	return u
}

// userName is what CloudTrail calls who called: a user's name, a session's, root.
func userName(u *userIdentity) string {
	switch u.Type {
	case "Root":
		return "root"
	case "AssumedRole":
		_, session, _ := strings.Cut(u.PrincipalID, ":")
		return session
	}
	return u.UserName
}

// parametersOf are the parameters that e was asked with. CloudTrail always names
// the algorithm of Encrypt and Decrypt.
func parametersOf(e *audit.Entry) json.RawMessage {
	if e.Source != "kms.amazonaws.com" || e.Name != "Encrypt" && e.Name != "Decrypt" || bytes.Contains(e.Parameters, []byte(`"encryptionAlgorithm":`)) {
		return e.Parameters
	}
	const algorithm = `{"encryptionAlgorithm":"SYMMETRIC_DEFAULT"`
	if len(e.Parameters) < len(`{"":0}`) {
		return json.RawMessage(algorithm + "}")
	}
	return json.RawMessage(algorithm + "," + string(e.Parameters[1:]))
}

// kinds are CloudTrail's types of resources, by the service and the beginning of
// the resource's part of an ARN.
var kinds = map[string]string{
	"kms:key": "AWS::KMS::Key", "kms:alias": "AWS::KMS::Alias",
	"rds:cluster": "AWS::RDS::DBCluster", "rds:cluster-snapshot": "AWS::RDS::DBClusterSnapshot", "rds:db": "AWS::RDS::DBInstance",
	"iam:user": "AWS::IAM::User", "iam:role": "AWS::IAM::Role", "iam:group": "AWS::IAM::Group", "iam:policy": "AWS::IAM::Policy",
}

func typeOf(arn string) string {
	a, err := cloud.ParseARN(arn)
	if err != nil {
		return ""
	}
	kind := a.Resource[:strings.IndexAny(a.Resource+"/", ":/")]
	return kinds[a.Service+":"+kind]
}

// nameOf is what a resource is looked up by: a key's and an alias's ARN, and the
// names of others.
func nameOf(r resource) string {
	a, err := cloud.ParseARN(r.ARN)
	if err != nil || a.Service == "kms" {
		return r.ARN
	}
	if i := strings.LastIndexAny(a.Resource, "/:"); a.Service == "iam" || a.Service == "rds" {
		return a.Resource[i+1:]
	}
	return r.ARN
}

// unexplained are decisions without what the operator alone may know of them: the
// conditions of policies that are not the account's, such as its organization's.
func unexplained(all []audit.Decision) []audit.Decision {
	out := slices.Clone(all)
	for i := range out {
		out[i].Explanation = nil
	}
	return out
}
