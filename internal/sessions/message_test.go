package sessions_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"borealis/internal/audit"
	"borealis/internal/cloud"
)

// denied is a call of ann's that was denied.
func (w *world) denied(ann cloud.Caller, action, reason string) *audit.Call {
	w.t.Helper()
	call := &audit.Call{Service: "kms", Operation: "ListKeys", Caller: ann}
	log := must(audit.Open(w.t.TempDir() + "/log"))(w.t)
	w.t.Cleanup(func() { log.Close() })
	ann.Call = call
	if err := log.Record(audit.Event{Caller: ann, Action: action, Resource: "arn:aws:kms:eu-west-1:111122223333:key/k", Owner: accountA, Reason: reason}); err != nil {
		w.t.Fatal(err)
	}
	return call
}

func TestDecodeAuthorizationMessage(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann, bob := w.user(accountA, "ann"), w.user(accountA, "bob", "sts:DecodeAuthorizationMessage")
	eve := w.user(accountB, "eve", "sts:*")
	encoded := must(w.Encode(w.denied(ann, "kms:Decrypt", "denied by statement 0 of p")))(t)
	decode := func(c cloud.Caller, text string) (string, error) {
		out, err := w.As(c).DecodeAuthorizationMessage(ctx, &sts.DecodeAuthorizationMessageInput{EncodedMessage: &text})
		if err != nil {
			return "", err
		}
		return *out.DecodedMessage, nil
	}
	var got struct {
		Allowed, ExplicitDeny bool
		Context               struct {
			Principal        struct{ ID, Name, ARN string }
			Action, Resource string
			Conditions       struct {
				Items []struct {
					Key    string
					Values struct{ Items []struct{ Value string } }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(must(decode(bob, encoded))(t)), &got); err != nil {
		t.Fatal(err)
	}
	c := got.Context
	if got.Allowed || !got.ExplicitDeny || c.Principal.ARN != ann.ARN || c.Principal.Name != "ann" || c.Principal.ID != ann.UserID || c.Action != "kms:Decrypt" || !strings.HasSuffix(c.Resource, ":key/k") {
		t.Errorf("%+v", got)
	}
	if k := c.Conditions.Items[0]; k.Key != "aws:PrincipalAccount" || k.Values.Items[0].Value != string(accountA) {
		t.Errorf("%+v", c.Conditions)
	}
	const invalid = "InvalidAuthorizationMessageException: "
	last := encoded[:len(encoded)-4] + "AAAA"
	for name, tt := range map[string]struct {
		who        cloud.Caller
		text, want string
	}{
		"without permission":     {ann, encoded, "AccessDenied: User: " + ann.ARN},
		"from another account":   {eve, encoded, invalid},
		"changed":                {bob, last, invalid},
		"nonsense":               {bob, "nonsense!", invalid},
		"empty":                  {bob, "", invalid},
		"of another version":     {bob, "Ag" + encoded[2:], invalid},
		"a session's token also": {bob, *must(w.As(ann).GetSessionToken(ctx, &sts.GetSessionTokenInput{}))(t).Credentials.SessionToken, invalid},
	} {
		if _, err := decode(tt.who, tt.text); !strings.HasPrefix(code(err), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	if text := must(w.Encode(&audit.Call{Caller: ann}))(t); text != "" {
		t.Errorf("the message of a call that was not denied: %q", text)
	}
	if implicit := must(decode(bob, must(w.Encode(w.denied(ann, "kms:Decrypt", "denied because no policy")))(t)))(t); strings.Contains(implicit, `"explicitDeny":true`) {
		t.Error("an implicit denial is explicit")
	}
}
