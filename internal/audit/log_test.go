package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"borealis/internal/audit"
	"borealis/internal/cloud"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var event = audit.Event{
	Time: time.Date(2026, 1, 5, 4, 10, 30, 123456789, time.FixedZone("", 3600)),
	Caller: cloud.Caller{
		Kind: cloud.AssumedRole, Account: "444455556666", ARN: "arn:aws:sts::444455556666:assumed-role/dev/bob",
		Principal: "arn:aws:iam::444455556666:role/dev", UserID: "AROAX:bob", AccessKeyID: "ASIAX", Region: "eu-west-1",
		RequestID: "r-1", SourceIP: "10.0.0.1", UserAgent: "aws-cli/2", Via: []string{"backup.amazonaws.com", "rds.amazonaws.com"},
		SessionPolicies: []string{"{}"}, Tags: map[string]string{"team": "x"},
	},
	Action:   "kms:Decrypt",
	Resource: "arn:aws:kms:eu-west-1:111122223333:key/k",
	Owner:    "111122223333",
	Reason:   "no key policy statement lets bob in",
	ID:       "e-1", EncryptionContext: map[string]string{"aws:rds:dbc-id": "cluster-1"},
}

func open(t *testing.T, path string, options ...audit.Option) *audit.Log {
	t.Helper()
	l, err := audit.Open(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// lines are the lines of a file, without the newlines.
func lines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestLinesAreAsCloudTrailHasThem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path)
	root := audit.Event{ID: "e-1", Time: event.Time, Caller: cloud.Caller{Kind: cloud.Root, Account: "111122223333", UserAgent: strings.Repeat("é", 2000)}, Action: "kms:ListKeys", Resource: "*", Owner: "111122223333", Allowed: true}
	if err := errors.Join(l.Record(event), l.Record(root), l.Close()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"version":1,"eventID":"e-1","eventTime":"2026-01-05T03:10:30.123456Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventType":"AwsApiCall","readOnly":true,"awsRegion":"eu-west-1","sourceIPAddress":"10.0.0.1","userAgent":"aws-cli/2","requestID":"r-1","userIdentity":{"type":"AssumedRole","principalId":"AROAX:bob","arn":"arn:aws:sts::444455556666:assumed-role/dev/bob","accountId":"444455556666","accessKeyId":"ASIAX","role":"arn:aws:iam::444455556666:role/dev","via":["backup.amazonaws.com","rds.amazonaws.com"]},"requestParameters":{"encryptionContext":{"aws:rds:dbc-id":"cluster-1"}},"decisions":[{"action":"kms:Decrypt","resource":"arn:aws:kms:eu-west-1:111122223333:key/k","owner":"111122223333","decision":"denied","reason":"no key policy statement lets bob in"}],"errorCode":"AccessDenied"}`,
		`{"version":1,"eventID":"e-1","eventTime":"2026-01-05T03:10:30.123456Z","eventSource":"kms.amazonaws.com","eventName":"ListKeys","eventType":"AwsApiCall","readOnly":true,"userAgent":"` + strings.Repeat("é", 256) + `…","userIdentity":{"type":"Root","accountId":"111122223333"},"decisions":[{"action":"kms:ListKeys","resource":"*","owner":"111122223333","decision":"allowed"}]}`,
	}
	if d := cmp.Diff(want, lines(t, path)); d != "" {
		t.Error(d)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestNewlinesStayInTheirEvent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path)
	e := event
	e.Caller.UserAgent, e.Reason = "a\n{\"decision\":\"allowed\"}\r\n", "\xff\x00\u2028"
	if err := errors.Join(l.Record(e), l.Close()); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, path); len(got) != 1 || !json.Valid([]byte(got[0])) {
		t.Errorf("%q", got)
	}
}

func TestBrokenTailIsTolerated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(path, []byte("{\"whole\":1}\n{\"half"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := open(t, path)
	if err := errors.Join(l.Record(event), l.Record(event), l.Close()); err != nil {
		t.Fatal(err)
	}
	got := lines(t, path)
	if len(got) != 4 || got[0] != `{"whole":1}` || got[1] != `{"half` || !json.Valid([]byte(got[2])) || !json.Valid([]byte(got[3])) {
		t.Errorf("%q", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestRotationKeepsTheNewest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	size := func() int64 {
		probe := filepath.Join(t.TempDir(), "one")
		l := open(t, probe)
		e := event
		e.Caller.RequestID = "r-00"
		if err := errors.Join(l.Record(e), l.Close()); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(probe)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}()
	for i := range 10 { // closed and opened again in between, too
		l := open(t, path, audit.Rotate(2*size, 3))
		e := event
		e.Caller.RequestID = fmt.Sprintf("r-%02d", i)
		if err := errors.Join(l.Record(e), l.Flush(), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, suffix := range []string{".3", ".2", ".1", ""} {
		for _, line := range lines(t, path+suffix) {
			var r struct{ RequestID string }
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			got = append(got, suffix+" "+r.RequestID)
		}
	}
	want := []string{".3 r-02", ".3 r-03", ".2 r-04", ".2 r-05", ".1 r-06", ".1 r-07", " r-08", " r-09"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := os.Stat(path + ".4"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a fourth old file: %v", err)
	}
}

// Who keeps fewer files than before gets rid of the others.
func TestFewerAreKeptThanBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for _, keep := range []int{6, 2} {
		l := open(t, path, audit.Rotate(1, keep))
		for range 8 {
			if err := errors.Join(l.Record(event), l.Written()); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(path + "*")
		if err != nil || len(files) != keep+1 {
			t.Errorf("of %d to keep there are %v, %v", keep, files, err)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path, audit.Rotate(1<<20, 100))
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 500 {
				e := event
				e.Caller.RequestID = fmt.Sprintf("%d-%d", w, i)
				if err := l.Record(e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		for _, line := range lines(t, f) {
			var r struct{ RequestID string }
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			seen[r.RequestID] = true
		}
	}
	if len(seen) != 4000 {
		t.Errorf("%d of 4000 events are there", len(seen))
	}
}

// What is recorded reaches the file without Flush or Close, within 100 ms.
func TestWritesByItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	synctest.Test(t, func(t *testing.T) {
		l, err := audit.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := l.Record(event); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); len(b) != 0 {
			t.Errorf("written at once: nothing is grouped")
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if b, _ := os.ReadFile(path); !bytes.HasSuffix(b, []byte("}\n")) {
			t.Errorf("after 100 ms the file holds %q", b)
		}
		time.Sleep(10 * time.Second) // syncs pass
	})
}

func TestClosed(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "audit.jsonl"))
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if err := l.Record(event); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("Record: %v", err)
	}
	if err := l.Flush(); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("Flush: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{"a directory": dir, "no directory": filepath.Join(dir, "none", "x"), "a device": os.DevNull} {
		if l, err := audit.Open(path); err == nil {
			l.Close()
			t.Errorf("%s was opened", name)
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v does not name the file", name, err)
		}
	}
}

// A call of the hot path: one decision, small parameters.
func BenchmarkCall(b *testing.B) {
	l, err := audit.Open(filepath.Join(b.TempDir(), "audit.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	in := &kms.DecryptInput{
		CiphertextBlob: make([]byte, 200), EncryptionContext: map[string]string{"tenant": "42"},
		KeyId: new("arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
	}
	e := event
	e.ID, e.Allowed, e.Reason = "", true, "allowed by statement Bob of the key policy"
	b.ReportAllocs()
	for b.Loop() {
		call := &audit.Call{Service: "kms", Operation: "Decrypt", Caller: event.Caller, Time: event.Time, Input: in}
		e.Caller.Call = call
		if err := errors.Join(l.Record(e), l.Finish(call, audit.Outcome{Output: in})); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	l, err := audit.Open(filepath.Join(b.TempDir(), "audit.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Record(event); err != nil {
				b.Fatal(err)
			}
		}
	})
}
