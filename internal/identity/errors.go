package identity

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// accessDenied is IAM's refusal. It is cloud.ErrDenied too.
type accessDenied struct{ smithy.GenericAPIError }

func (*accessDenied) Unwrap() error { return cloud.ErrDenied }

// denied words decision d as IAM does.
func (r *request) denied(action string, on resource, d policy.Decision) error {
	said := on.said
	if said == "" {
		said = on.arn
	}
	msg := fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", r.caller.ARN, action, said, d.Because())
	return &accessDenied{apiError("AccessDenied", msg)}
}

func noSuchEntity(format string, args ...any) error {
	return &types.NoSuchEntityException{Message: new(fmt.Sprintf(format, args...))}
}

func alreadyExists(format string, args ...any) error {
	return &types.EntityAlreadyExistsException{Message: new(fmt.Sprintf(format, args...))}
}

func deleteConflict(msg string) error {
	return &types.DeleteConflictException{Message: &msg}
}

func limitExceeded(format string, args ...any) error {
	return &types.LimitExceededException{Message: new(fmt.Sprintf(format, args...))}
}

func malformedPolicy(format string, args ...any) error {
	return &types.MalformedPolicyDocumentException{Message: new(fmt.Sprintf(format, args...))}
}

func invalidInput(format string, args ...any) error {
	return &types.InvalidInputException{Message: new(fmt.Sprintf(format, args...))}
}

func validationError(format string, args ...any) error {
	return new(apiError("ValidationError", fmt.Sprintf(format, args...)))
}

func apiError(code, msg string) smithy.GenericAPIError {
	return smithy.GenericAPIError{Code: code, Message: msg, Fault: smithy.FaultClient}
}

func passwordViolation(msg string) error {
	return &types.PasswordPolicyViolationException{Message: &msg}
}

// orNoSuch says a look-up's cloud.ErrNotFound in IAM's words.
func orNoSuch(err error, format string, args ...any) error {
	if errors.Is(err, cloud.ErrNotFound) {
		return noSuchEntity(format, args...)
	}
	return err
}
