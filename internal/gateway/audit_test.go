package gateway_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"borealis/internal/audit"
)

// Every call to an operation that is served is on record once, with how it
// ended; what is refused before it is known to be one is not.
func TestCallsAreOnRecord(t *testing.T) {
	tests := []struct {
		key, code, says string
		answered        bool
	}{
		{key: "mine", answered: true},
		{key: "missing", code: "NotFoundException", says: "Key 'missing' does not exist"},
		{key: "denied", code: "AccessDeniedException", says: "User: ann is not authorized"},
		{key: "boom", code: "KMSInternalException"},
		{key: "panic", code: "KMSInternalException"},
		{key: "", code: "ValidationException", says: "1 validation error detected: Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1"},
	}
	for _, tt := range tests {
		t.Run("key "+tt.key, func(t *testing.T) {
			w := newWorld(t)
			_, err := kms.NewFromConfig(w.ann()).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &tt.key})
			if (err == nil) != tt.answered {
				t.Fatal(err)
			}
			if len(w.audit.calls) != 1 {
				t.Fatalf("%d calls on record", len(w.audit.calls))
			}
			f := w.audit.calls[0]
			if f.call.Operation != "DescribeKey" || f.call.Service != "kms" || f.call.Caller.RequestID == "" || (f.Output != nil) != tt.answered {
				t.Errorf("%+v of %+v", f.Outcome, f.call)
			}
			if f.ErrorCode != tt.code || tt.says != "" && f.ErrorMessage != tt.says {
				t.Errorf("%s: %s", f.ErrorCode, f.ErrorMessage)
			}
		})
	}
	w := newWorld(t)
	resp, err := http.Get(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(w.audit.calls) != 0 {
		t.Errorf("an unsigned request is on record: %+v", w.audit.calls[0].call)
	}
}

func TestWhatIsNotOnRecordIsNotTold(t *testing.T) {
	w := newWorld(t)
	w.audit.err = audit.ErrClosed
	out, err := kms.NewFromConfig(w.ann(), func(o *kms.Options) { o.RetryMaxAttempts = 1 }).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("mine")})
	if err == nil {
		t.Fatalf("told %+v", out)
	}
	if f, ok := errors.AsType[smithy.APIError](err); !ok || f.ErrorCode() != "KMSInternalException" {
		t.Errorf("%v", err)
	}
}
