package share

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/smithy-go"
)

// Errors that a caller can act upon. They come wrapped in sentences.
var (
	// ErrUsage says that the request cannot be carried out as it was put: the
	// sentence around it says what to change.
	ErrUsage = errors.New("invalid request")
	// ErrNotOurs says that a name the workflow needs is taken by something that
	// this run did not make.
	ErrNotOurs = errors.New("taken by something else")
	// ErrChanged says that the world is no longer as the plan found it.
	ErrChanged = errors.New("changed since it was planned")
	// ErrFailed says that a copy or restore ended in the status "failed".
	ErrFailed = errors.New("ended in failure")
)

// A DeniedError is a refusal by KMS that the workflow looked into.
type DeniedError struct {
	Key   string // ARN of the key
	Cause string // one sentence
	Fix   string // one sentence, or ""
	Err   error  // what the service answered
}

func (e *DeniedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n  key    %s\n  cause  %s", e.Err, e.Key, e.Cause)
	if e.Fix != "" {
		fmt.Fprintf(&b, "\n  fix    %s", e.Fix)
	}
	return b.String()
}

// Unwrap returns what the service answered.
func (e *DeniedError) Unwrap() error { return e.Err }

// hasCode reports whether err is an answer of AWS with one of codes.
func hasCode(err error, codes ...string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	for _, c := range codes {
		if api.ErrorCode() == c {
			return true
		}
	}
	return false
}
