package sessions

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/policy"
)

const (
	// messageVersion is the first byte of an encoded message.
	messageVersion = 1
	maxMessage     = 10240 // characters of an encoded message
)

// messageContext binds an encoded message to its purpose.
var messageContext = []byte("borealis authorization message v1")

// A message is what is sealed in an encoded message.
type message struct {
	Account cloud.AccountID // whose caller was denied
	Text    string
}

// An items is a list, as AWS writes lists there.
type items[T any] struct {
	Items []T `json:"items"`
}

// A denial is the text of a message, by AWS's names.
type denial struct {
	Allowed           bool          `json:"allowed"`
	ExplicitDeny      bool          `json:"explicitDeny"`
	MatchedStatements items[string] `json:"matchedStatements"`
	Failures          items[string] `json:"failures"`
	Context           struct {
		Principal struct {
			ID   string `json:"id"`
			Name string `json:"name,omitempty"`
			ARN  string `json:"arn"`
		} `json:"principal"`
		Action     string       `json:"action"`
		Resource   string       `json:"resource"`
		Conditions items[keyed] `json:"conditions"`
	} `json:"context"`
}

// A keyed is a condition key with its values.
type keyed struct {
	Key    string       `json:"key"`
	Values items[value] `json:"values"`
}

type value struct {
	Value string `json:"value"`
}

// Encode is the encoded message of a call that was denied, which
// DecodeAuthorizationMessage decodes; "" if it was not, or if that is too long.
func (s *Service) Encode(call *audit.Call) (string, error) {
	action, resource, reason, ok := call.Denied()
	if !ok {
		return "", nil
	}
	c := &call.Caller
	var d denial
	d.MatchedStatements.Items, d.Failures.Items = []string{}, []string{}
	d.ExplicitDeny = strings.HasPrefix(reason, "denied by ")
	d.Context.Principal.ID, d.Context.Principal.Name, d.Context.Principal.ARN = c.UserID, c.UserName, c.ARN
	d.Context.Action, d.Context.Resource, d.Context.Conditions.Items = action, resource, conditions(c)
	text, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("write authorization message: %w", err)
	}
	if text, err = json.Marshal(message{c.Account, string(text)}); err != nil {
		return "", fmt.Errorf("write authorization message: %w", err)
	}
	sealed, err := s.Sealer.Seal(text, messageContext)
	if err != nil {
		return "", fmt.Errorf("seal authorization message: %w", err)
	}
	encoded := base64.RawURLEncoding.EncodeToString(append([]byte{messageVersion}, sealed...))
	if len(encoded) > maxMessage {
		return "", nil
	}
	return encoded, nil
}

// conditions are the condition keys that follow from who calls and how.
func conditions(c *cloud.Caller) []keyed {
	all := map[string]string{
		"aws:PrincipalArn": c.Principal, "aws:PrincipalAccount": string(c.Account), "aws:userid": c.UserID, "aws:username": c.UserName,
		"aws:SourceIp": c.SourceIP, "aws:RequestedRegion": string(c.Region), "aws:SourceIdentity": c.SourceIdentity,
		"aws:FederatedProvider": c.Provider, "aws:SecureTransport": strconv.FormatBool(c.SecureTransport),
	}
	if !c.TokenIssued.IsZero() {
		all["aws:TokenIssueTime"], all["aws:MultiFactorAuthPresent"] = c.TokenIssued.UTC().Format(time.RFC3339), strconv.FormatBool(c.MFA)
	}
	list := []keyed{}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if all[k] != "" {
			list = append(list, keyed{k, items[value]{[]value{{all[k]}}}})
		}
	}
	return list
}

// DecodeAuthorizationMessage shows what was denied to a caller of the same account.
func (v *View) DecodeAuthorizationMessage(ctx context.Context, in *sts.DecodeAuthorizationMessageInput) (*sts.DecodeAuthorizationMessageOutput, error) {
	if err := v.noUserSession("DecodeAuthorizationMessage"); err != nil {
		return nil, err
	}
	err := v.authorize(ctx, policy.Question{Action: "sts:DecodeAuthorizationMessage", Resource: "*", Owner: v.caller.Account})
	if err != nil {
		return nil, err
	}
	m, err := v.decode(*in.EncodedMessage)
	if err != nil || m.Account != v.caller.Account {
		return nil, &types.InvalidAuthorizationMessageException{Message: new("Message is not valid")}
	}
	return &sts.DecodeAuthorizationMessageOutput{DecodedMessage: &m.Text}, nil
}

func (s *Service) decode(encoded string) (m message, err error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(sealed) == 0 || sealed[0] != messageVersion {
		return m, errors.New("not an authorization message")
	}
	text, err := s.Sealer.Open(sealed[1:], messageContext)
	if err != nil {
		return m, fmt.Errorf("open authorization message: %w", err)
	}
	return m, json.Unmarshal(text, &m)
}
