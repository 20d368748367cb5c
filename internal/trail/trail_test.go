package trail_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/policy"
	"borealis/internal/trail"
)

const (
	accountA = cloud.AccountID("111122223333")
	accountB = cloud.AccountID("444455556666")
	key      = "arn:aws:kms:eu-west-1:111122223333:key/k"
)

var now = time.Date(2026, 1, 5, 4, 0, 0, 0, time.UTC)

// policies are one for everybody, by the name of the user.
type policies map[string]string

func (p policies) Complete(_ context.Context, q *policy.Question) error {
	text, ok := p[q.Caller.UserName]
	if !ok {
		return nil
	}
	d, err := policy.Parse("p", text)
	q.Identity.Policies = []*policy.Policy{d}
	return err
}

type world struct {
	t   *testing.T
	log *audit.Log
	*trail.Service
}

func newWorld(t *testing.T, options ...audit.Option) *world {
	t.Helper()
	l, err := audit.Open(filepath.Join(t.TempDir(), "audit.jsonl"), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	may := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"cloudtrail:LookupEvents","Resource":"*"}}`
	return &world{t, l, trail.New(policies{"ann": may, "bob": may}, l, func() time.Time { return now })}
}

func user(a cloud.AccountID, name string) cloud.Caller {
	return cloud.Caller{
		Kind: cloud.User, Account: a, UserName: name, UserID: "AIDA" + strings.ToUpper(name), AccessKeyID: "AKIA" + strings.ToUpper(name),
		ARN: "arn:aws:iam::" + string(a) + ":user/" + name, Region: "eu-west-1", SourceIP: "10.0.0.1", UserAgent: "test",
	}
}

func (w *world) record(e audit.Event) {
	w.t.Helper()
	if err := w.log.Record(e); err != nil {
		w.t.Fatal(err)
	}
}

// records are the records of events that c finds, newest first, but for those of
// its own looking.
func (w *world) records(c cloud.Caller) []string {
	w.t.Helper()
	out, err := w.As(c).LookupEvents(w.t.Context(), &cloudtrail.LookupEventsInput{})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, e := range out.Events {
		if *e.EventSource != "cloudtrail.amazonaws.com" {
			all = append(all, *e.CloudTrailEvent)
		}
	}
	return all
}

// Every operation is refused to a stranger, and the refusal is on record.
func TestStrangers(t *testing.T) {
	for name, op := range trail.Ops {
		w := newWorld(t)
		_, err := op.Run(t.Context(), w.As(user(accountA, "eve")), op.New())
		if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != "AccessDeniedException" || !errors.Is(err, cloud.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
		r, err := w.log.Read()
		if err != nil {
			t.Fatal(err)
		}
		e, _, err := r.Next(nil)
		if err != nil || !e.Denied() || e.Name != name {
			t.Errorf("%s: on record is %+v, %v", name, e, err)
		}
		r.Close()
	}
}

// The records of events that a test with real clients does not come by.
func TestRecords(t *testing.T) {
	ann := user(accountA, "ann")
	session := cloud.Caller{
		Kind: cloud.AssumedRole, Account: accountA, ARN: "arn:aws:sts::111122223333:assumed-role/dev/x", Principal: "arn:aws:iam::111122223333:role/a/dev",
		UserID: "AROAX:x", AccessKeyID: "ASIAX", Region: "eu-west-1", TokenIssued: now, MFA: true, SourceIdentity: "dora", SourceIP: "10.0.0.1", UserAgent: "test",
	}
	tests := map[string]struct {
		e    audit.Event
		want string
	}{
		"by a service in the caller's name": {
			audit.Event{ID: "e-1", Time: now, Caller: ann.Through("rds.amazonaws.com"), Action: "kms:DescribeKey", Resource: key, Owner: accountA, Allowed: true, Reason: "because"},
			`{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDAANN","arn":"arn:aws:iam::111122223333:user/ann","accountId":"111122223333","accessKeyId":"AKIAANN","userName":"ann","invokedBy":"rds.amazonaws.com"},"eventTime":"2026-01-05T04:00:00Z","eventSource":"kms.amazonaws.com","eventName":"DescribeKey","awsRegion":"eu-west-1","sourceIPAddress":"rds.amazonaws.com","userAgent":"rds.amazonaws.com","requestParameters":null,"responseElements":null,"additionalEventData":{"decisions":[{"action":"kms:DescribeKey","resource":"arn:aws:kms:eu-west-1:111122223333:key/k","owner":"111122223333","decision":"allowed","reason":"because"}]},"eventID":"e-1","readOnly":true,"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"arn:aws:kms:eu-west-1:111122223333:key/k"}],"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}`,
		},
		"by a service in its own name": {
			audit.Event{ID: "e-1", Time: now, Caller: cloud.ServiceCaller("rds.amazonaws.com", "eu-west-1"), Action: "kms:Decrypt", Resource: key, Owner: accountA, Allowed: true},
			`{"eventVersion":"1.11","userIdentity":{"type":"AWSService","invokedBy":"rds.amazonaws.com"},"eventTime":"2026-01-05T04:00:00Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"eu-west-1","sourceIPAddress":"rds.amazonaws.com","userAgent":"rds.amazonaws.com","requestParameters":{"encryptionAlgorithm":"SYMMETRIC_DEFAULT"},"responseElements":null,"additionalEventData":{"decisions":[{"action":"kms:Decrypt","resource":"arn:aws:kms:eu-west-1:111122223333:key/k","owner":"111122223333","decision":"allowed"}]},"eventID":"e-1","readOnly":true,"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"arn:aws:kms:eu-west-1:111122223333:key/k"}],"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}`,
		},
		"by the service itself": {
			audit.Event{ID: "e-1", Time: now, Caller: cloud.Caller{Kind: cloud.Service, ARN: "kms.amazonaws.com", Region: "eu-west-1"}, Action: "kms:RotateKey", Resource: key, Owner: accountA, Allowed: true, Unasked: true, Detail: map[string]string{"rotationType": "AUTOMATIC"}},
			`{"eventVersion":"1.11","userIdentity":{"accountId":"111122223333","invokedBy":"AWS Internal"},"eventTime":"2026-01-05T04:00:00Z","eventSource":"kms.amazonaws.com","eventName":"RotateKey","awsRegion":"eu-west-1","sourceIPAddress":"AWS Internal","userAgent":"AWS Internal","requestParameters":null,"responseElements":null,"additionalEventData":{"decisions":[{"action":"kms:RotateKey","resource":"arn:aws:kms:eu-west-1:111122223333:key/k","owner":"111122223333","decision":"allowed"}]},"eventID":"e-1","readOnly":false,"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"arn:aws:kms:eu-west-1:111122223333:key/k"}],"eventType":"AwsServiceEvent","serviceEventDetails":{"rotationType":"AUTOMATIC"},"managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}`,
		},
		"a session": {
			audit.Event{ID: "e-1", Time: now, Caller: session, Action: "kms:ListKeys", Resource: "*", Owner: accountA, Allowed: true},
			`{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAX:x","arn":"arn:aws:sts::111122223333:assumed-role/dev/x","accountId":"111122223333","accessKeyId":"ASIAX","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAX","arn":"arn:aws:iam::111122223333:role/a/dev","accountId":"111122223333","userName":"dev"},"attributes":{"creationDate":"2026-01-05T04:00:00Z","mfaAuthenticated":"true"},"sourceIdentity":"dora"}},"eventTime":"2026-01-05T04:00:00Z","eventSource":"kms.amazonaws.com","eventName":"ListKeys","awsRegion":"eu-west-1","sourceIPAddress":"10.0.0.1","userAgent":"test","requestParameters":null,"responseElements":null,"additionalEventData":{"decisions":[{"action":"kms:ListKeys","resource":"*","owner":"111122223333","decision":"allowed"}]},"eventID":"e-1","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.record(tt.e)
			got := w.records(ann)
			if d := cmp.Diff([]string{tt.want}, got); d != "" {
				t.Error(d)
			}
			if !json.Valid([]byte(got[0])) {
				t.Error("it is not JSON")
			}
		})
	}
}

// What policies and request were compared is the operator's to see: the policies
// may be an organization's.
func TestRecordsSayNothingOfOthersPolicies(t *testing.T) {
	w, ann := newWorld(t), user(accountA, "ann")
	w.record(audit.Event{ID: "e-1", Time: now, Caller: ann, Action: "kms:ListKeys", Resource: "*", Owner: accountA, Reason: "denied", Explanation: []byte(`{"sentence":"hidden"}`)})
	if got := w.records(ann); len(got) != 1 || strings.Contains(got[0], "hidden") || !strings.Contains(got[0], `"reason":"denied"`) {
		t.Errorf("%s", got)
	}
}

// Events older than 90 days are not found, though they are on record.
func TestHistoryEnds(t *testing.T) {
	w := newWorld(t)
	ann := user(accountA, "ann")
	for i, age := range []time.Duration{91 * 24 * time.Hour, 89 * 24 * time.Hour, 0} {
		w.record(audit.Event{ID: fmt.Sprintf("e-%d", i), Time: now.Add(-age), Caller: ann, Action: "kms:ListKeys", Owner: accountA, Allowed: true})
	}
	if n := len(w.records(ann)); n != 2 {
		t.Errorf("%d events", n)
	}
}

// A page that begins in a file which has been rotated away is the last.
func TestTokenOfWhatIsGone(t *testing.T) {
	w := newWorld(t, audit.Rotate(1, 2))
	ann := user(accountA, "ann")
	add := func(n int) {
		w.record(audit.Event{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), Time: now, Caller: ann, Action: "kms:ListKeys", Owner: accountA, Allowed: true})
		if err := w.log.Written(); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 3 {
		add(n)
	}
	in := &cloudtrail.LookupEventsInput{MaxResults: new(int32(1)), LookupAttributes: []types.LookupAttribute{{AttributeKey: "EventName", AttributeValue: new("ListKeys")}}}
	out, err := w.As(ann).LookupEvents(t.Context(), in)
	if err != nil || len(out.Events) != 1 || out.NextToken == nil {
		t.Fatalf("%+v, %v", out, err)
	}
	other := *in
	other.NextToken, other.LookupAttributes = out.NextToken, nil
	if _, err := w.As(ann).LookupEvents(t.Context(), &other); !errors.As(err, new(*types.InvalidNextTokenException)) {
		t.Errorf("with other parameters: %v", err)
	}
	if _, err := w.As(user(accountB, "bob")).LookupEvents(t.Context(), &cloudtrail.LookupEventsInput{NextToken: out.NextToken, LookupAttributes: in.LookupAttributes}); !errors.As(err, new(*types.InvalidNextTokenException)) {
		t.Errorf("in another account: %v", err)
	}
	for n := range 5 {
		add(10 + n)
	}
	in.NextToken = out.NextToken
	out, err = w.As(ann).LookupEvents(t.Context(), in)
	if err != nil || len(out.Events) != 0 || out.NextToken != nil {
		t.Errorf("%+v, %v", out, err)
	}
}

// A slowLog lets nobody read before it is told to.
type slowLog struct {
	trail.Log
	asked chan struct{}
	ready chan struct{}
}

func (l *slowLog) Read() (*audit.Reader, error) {
	l.asked <- struct{}{}
	<-l.ready
	return l.Log.Read()
}

// However much one account looks up, the others get their turn.
func TestTurns(t *testing.T) {
	w := newWorld(t)
	slow := &slowLog{w.log, make(chan struct{}), make(chan struct{})}
	s := trail.New(w.Policies, slow, func() time.Time { return now })
	var wg sync.WaitGroup
	look := func(c cloud.Caller) {
		wg.Go(func() {
			if _, err := s.As(c).LookupEvents(t.Context(), &cloudtrail.LookupEventsInput{}); err != nil {
				t.Error(err)
			}
		})
	}
	for range 10 {
		look(user(accountA, "ann"))
	}
	<-slow.asked // one of ann's reads
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.As(user(accountA, "ann")).LookupEvents(ctx, &cloudtrail.LookupEventsInput{}); !errors.Is(err, context.Canceled) {
		t.Errorf("who hangs up while others of the account read: %v", err)
	}
	select {
	case <-slow.asked:
		t.Fatal("an account reads twice at once")
	case <-time.After(50 * time.Millisecond):
	}
	look(user(accountB, "bob"))
	<-slow.asked // and bob too, while she does
	go func() {
		for range slow.asked {
		}
	}()
	close(slow.ready)
	wg.Wait()
	close(slow.asked)
}

// FuzzToken: no token makes a request fail in another way than AWS's.
func FuzzToken(f *testing.F) {
	f.Add("")
	f.Add("eyJmIjoiMDAiLCJvIjozLCJhIjoieCJ9")
	l, err := audit.Open(filepath.Join(f.TempDir(), "audit.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	s := trail.New(policies{"ann": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`}, l, func() time.Time { return now })
	f.Fuzz(func(t *testing.T, token string) {
		_, err := s.As(user(accountA, "ann")).LookupEvents(t.Context(), &cloudtrail.LookupEventsInput{NextToken: &token})
		if err != nil && !errors.As(err, new(*types.InvalidNextTokenException)) {
			t.Error(err)
		}
	})
}
