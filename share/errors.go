package share

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
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

// A DeniedError is a refusal that the workflow looked into.
type DeniedError struct {
	Resource string // ARN of the key, or of what else access was refused to; or "*"
	Cause    string // one sentence
	Fix      string // one sentence, or ""
	Err      error  // what the service answered
}

func (e *DeniedError) Error() string {
	var b strings.Builder
	label := "on   "
	if strings.Contains(e.Resource, ":kms:") {
		label = "key  "
	}
	fmt.Fprintf(&b, "%v\n  %s  %s\n  cause  %s", e.Err, label, e.Resource, e.Cause)
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

// isDenied reports whether a policy stands behind err.
func isDenied(err error) bool { return hasCode(err, "AccessDenied", "AccessDeniedException") }

// mayPass reports whether err is one that the same question may not get again:
// a lost connection, a throttled or a failing service.
func mayPass(err error) bool {
	return retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}

// message is what a service said, without the SDK's words around it.
func message(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorMessage()
	}
	return ""
}

// refusal matches what AWS says when a policy does not let a caller in.
var refusal = regexp.MustCompile(`User: (\S+) is not authorized to perform: (\S+) on (?:resource: (\S+)|this resource) (.*)`)

// explain makes a *DeniedError of an answer that says access was denied, unless
// it is one already.
func (w *Workflow) explain(err error) error {
	if _, known := errors.AsType[*DeniedError](err); known || !isDenied(err) {
		return err
	}
	m := refusal.FindStringSubmatch(message(err))
	if m == nil {
		return err
	}
	who, action, resource, because := m[1], m[2], or(m[3], "*"), strings.TrimSuffix(m[4], ".")
	side, name := w.Source, "source"
	if strings.Contains(who, ":"+w.Target.Account+":") {
		side, name = w.Target, "target"
	}
	d := &DeniedError{Resource: resource, Err: err, Cause: "in the " + name + " account " + side.Account + ", " + action + " is refused " + because}
	if !strings.Contains(because, "explicit deny") {
		d.Fix = "allow " + action + " on " + resource + " to " + or(side.Principal, side.Caller)
	}
	return d
}
