package keys

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"borealis/internal/cloud"
)

// A failure is an error of KMS that its model has no type for. It is a
// smithy.APIError like those that have.
type failure struct {
	smithy.GenericAPIError
	is error // the sentinel it stands for, or nil
}

func (f *failure) Unwrap() error { return f.is }

func fail(code, message string) error {
	return &failure{GenericAPIError: smithy.GenericAPIError{Code: code, Message: message, Fault: smithy.FaultClient}}
}

func accessDenied(message string) error {
	return &failure{smithy.GenericAPIError{Code: "AccessDeniedException", Message: message, Fault: smithy.FaultClient}, cloud.ErrDenied}
}

func invalid(format string, args ...any) error {
	return fail("ValidationException", fmt.Sprintf(format, args...))
}

func notFound(format string, args ...any) error {
	return &types.NotFoundException{Message: new(fmt.Sprintf(format, args...))}
}

func unsupported(format string, args ...any) error {
	return &types.UnsupportedOperationException{Message: new(fmt.Sprintf(format, args...))}
}

func invalidARN(format string, args ...any) error {
	return &types.InvalidArnException{Message: new(fmt.Sprintf(format, args...))}
}

func malformedPolicy(message string) error {
	return &types.MalformedPolicyDocumentException{Message: &message}
}

func limitExceeded(format string, args ...any) error {
	return &types.LimitExceededException{Message: new(fmt.Sprintf(format, args...))}
}

func tagError(message string) error {
	return &types.TagException{Message: &message}
}

// badCiphertext is the answer for a ciphertext that is damaged, belongs to
// another encryption context, or was not made here. It has no message.
func badCiphertext() error { return &types.InvalidCiphertextException{} }

// incorrectKey is the answer for a ciphertext of another key than was named.
func incorrectKey() error {
	return &types.IncorrectKeyException{Message: new("The key ID in the request does not identify a CMK that can perform this operation.")}
}

// dryRun is how a request with DryRun succeeds.
func dryRun() error {
	return &types.DryRunOperationException{Message: new("The request would have succeeded, but the DryRun option is set.")}
}
