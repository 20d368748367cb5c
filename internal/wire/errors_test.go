package wire_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/smithy-go"

	"borealis/internal/wire"
)

// Every error that an operation declares arrives as the SDK's type for it, with
// its code, message, status and request id.
func TestEveryErrorArrives(t *testing.T) {
	for _, l := range loops() {
		t.Run(l.service.Name, func(t *testing.T) {
			t.Parallel()
			types := exceptions(t, l.service.Name)
			for op, codes := range declared(t, l) {
				for _, code := range codes {
					l.refuse(t, op, code, types[code])
				}
			}
		})
	}
}

func (l *loop) refuse(t *testing.T, op, code, typ string) {
	t.Helper()
	const message = "Kein Schlüssel <a&b> \"c\" \x00."
	const arrives = "Kein Schlüssel <a&b> \"c\" \uFFFD."
	l.refusal = &smithy.GenericAPIError{Code: code, Message: message}
	in, _ := l.types(op)
	_, err := l.call(op, reflect.New(in.Elem()).Interface())
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		t.Errorf("%s: %s arrives as %v", op, code, err)
		return
	}
	if got := reflect.TypeOf(e).Elem().Name(); got != typ {
		t.Errorf("%s: %s arrives as a %s, want a %s", op, code, got, typ)
	}
	if m := e.ErrorMessage(); e.ErrorCode() != code || m != arrives && m != message {
		t.Errorf("%s: %s %q arrives as %s %q", op, code, message, e.ErrorCode(), m)
	}
	resp, ok := errors.AsType[*awshttp.ResponseError](err)
	if want := l.service.Faults()[code]; !ok || resp.HTTPStatusCode() != want {
		t.Errorf("%s: %s has status %v, want %d", op, code, resp, want)
	}
	if l.service.Protocol == wire.Query && resp.ServiceRequestID() != "req-1" {
		t.Errorf("%s: %s has request id %q", op, code, resp.ServiceRequestID())
	}
}

// exceptions are the SDK's error types by their codes.
func exceptions(t *testing.T, service string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleDir(t, service), "types", "errors.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`(?s)func \(e \*(\w+)\) ErrorCode\(\) string \{.*?return "([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
		out[m[2]] = m[1]
	}
	return out
}

// declared are the codes that each operation's deserializer knows; for KMS,
// where every operation knows all, those of DescribeKey.
func declared(t *testing.T, l *loop) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	if l.service.Protocol == wire.JSON {
		any := l.operations()[0]
		for code := range l.service.Faults() {
			out[any] = append(out[any], code)
		}
		return out
	}
	text, err := os.ReadFile(filepath.Join(moduleDir(t, l.service.Name), "deserializers.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fn := range strings.Split(string(text), "\nfunc awsAwsquery_deserializeOpError")[1:] {
		op, body, _ := strings.Cut(fn, "(")
		body, _, _ = strings.Cut(body, "\n}\n")
		for _, m := range regexp.MustCompile(`EqualFold\("([^"]+)", errorCode\)`).FindAllStringSubmatch(body, -1) {
			out[op] = append(out[op], m[1])
		}
	}
	return out
}

func TestErrorStatus(t *testing.T) {
	client, server := smithy.FaultClient, smithy.FaultServer
	for _, tt := range []struct {
		service *wire.Service
		code    string
		fault   smithy.ErrorFault
		want    int
	}{
		{wire.RDS, "DBClusterNotFoundFault", client, 404},
		{wire.RDS, "DBInstanceNotFound", client, 404},
		{wire.RDS, "DBClusterSnapshotAlreadyExistsFault", client, 400},
		{wire.RDS, "DBClusterQuotaExceededFault", client, 403},
		{wire.RDS, "KMSKeyNotAccessibleFault", client, 400},
		{wire.RDS, "InvalidParameterValue", client, 400},
		{wire.RDS, "AccessDenied", client, 403},
		{wire.RDS, "Throttling", client, 400},
		{wire.RDS, "InternalFailure", server, 500},
		{wire.RDS, "SomethingElse", server, 500},
		{wire.RDS, "SomethingElse", client, 400},
		{wire.IAM, "NoSuchEntity", client, 404},
		{wire.IAM, "EntityAlreadyExists", client, 409},
		{wire.IAM, "LimitExceeded", client, 409},
		{wire.IAM, "DeleteConflict", client, 409},
		{wire.IAM, "MalformedPolicyDocument", client, 400},
		{wire.IAM, "ServiceFailure", server, 500},
		{wire.IAM, "ValidationError", client, 400},
		{wire.STS, "ExpiredToken", client, 403},
		{wire.STS, "RegionDisabledException", client, 403},
		{wire.STS, "SignatureDoesNotMatch", client, 403},
		{wire.STS, "NotImplemented", server, 501},
		{wire.KMS, "NotFoundException", client, 400},
		{wire.KMS, "AccessDeniedException", client, 400},
		{wire.KMS, "UnrecognizedClientException", client, 400},
		{wire.KMS, "KMSInternalException", server, 500},
		{wire.KMS, "KeyUnavailableException", server, 500},
		{wire.KMS, "DependencyTimeoutException", server, 500},
		{wire.KMS, "InternalFailure", server, 500},
		{wire.KMS, "NotImplemented", server, 501},
	} {
		status, _, _ := tt.service.EncodeError("r", &smithy.GenericAPIError{Code: tt.code, Fault: tt.fault})
		if status != tt.want {
			t.Errorf("%s %s: status %d, want %d", tt.service.Name, tt.code, status, tt.want)
		}
	}
}

func TestErrorBodies(t *testing.T) {
	for _, tt := range []struct {
		service *wire.Service
		err     smithy.APIError
		want    string
	}{
		{wire.KMS, &smithy.GenericAPIError{Code: "NotFoundException", Message: "no \"key\""}, `{"__type":"NotFoundException","message":"no \"key\""}`},
		{wire.KMS, &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no"}, `{"__type":"AccessDeniedException","Message":"no"}`},
		{wire.KMS, &smithy.GenericAPIError{Code: "InvalidCiphertextException"}, `{"__type":"InvalidCiphertextException"}`},
		{wire.RDS, &rdstypes.DBInstanceNotFoundFault{Message: new("DBInstance <x> not found.")},
			`<ErrorResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><Error><Type>Sender</Type><Code>DBInstanceNotFound</Code><Message>DBInstance &lt;x&gt; not found.</Message></Error><RequestId>r</RequestId></ErrorResponse>`},
		{wire.STS, &smithy.GenericAPIError{Code: "InternalFailure", Fault: smithy.FaultServer},
			`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Receiver</Type><Code>InternalFailure</Code><Message></Message></Error><RequestId>r</RequestId></ErrorResponse>`},
	} {
		if _, _, body := tt.service.EncodeError("r", tt.err); string(body) != tt.want {
			t.Errorf("got  %s\nwant %s", body, tt.want)
		}
	}
}
