package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/aws/smithy-go"

	"borealis/internal/cloud"
	"borealis/internal/sigv4"
	"borealis/internal/wire"
)

// A refusalError is an answer of the gateway's own, in both protocols' words.
type refusalError struct {
	status     int    // of query services
	jsonStatus int    // of JSON services; 0 if it is the same
	query      string // the code in XML
	json       string // the code in JSON
	message    string
	jsonSays   string // the message in JSON, where it is another
	fault      smithy.ErrorFault
}

// Error makes a refusal an error that run can return.
func (r *refusalError) Error() string { return r.query + ": " + r.message }

// in is the refusal as service w says it.
func (r *refusalError) in(w *wire.Service) (int, *smithy.GenericAPIError) {
	if w.Protocol != wire.JSON {
		return r.status, &smithy.GenericAPIError{Code: r.query, Message: r.message, Fault: r.fault}
	}
	e := &smithy.GenericAPIError{Code: r.json, Message: r.message, Fault: r.fault}
	if r.jsonSays != "" {
		e.Message = r.jsonSays
	}
	if r.jsonStatus != 0 {
		return r.jsonStatus, e
	}
	return r.status, e
}

// unauthenticated words the kinds of sigv4's errors. JSON services answer all of
// them with 400.
var unauthenticated = map[error]refusalError{
	sigv4.ErrMissing: {
		query: "MissingAuthenticationToken", json: "MissingAuthenticationTokenException", status: http.StatusForbidden,
		message: "Request is missing Authentication Token", jsonSays: "Missing Authentication Token",
	},
	sigv4.ErrIncomplete: {
		query: "IncompleteSignature", json: "IncompleteSignatureException", status: http.StatusBadRequest,
		message: "The request signature does not conform to AWS standards.",
	},
	sigv4.ErrUnknown: {
		query: "InvalidClientTokenId", json: "UnrecognizedClientException", status: http.StatusForbidden,
		message: "The security token included in the request is invalid.",
	},
	sigv4.ErrExpired: {
		query: "ExpiredToken", json: "ExpiredTokenException", status: http.StatusForbidden,
		message: "The security token included in the request is expired",
	},
	sigv4.ErrMismatch: {
		query: "SignatureDoesNotMatch", json: "InvalidSignatureException", status: http.StatusForbidden,
		message: "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
	},
}

// What is refused for its form rather than its signature.
var (
	errMethod = &refusalError{
		query: "MethodNotAllowed", json: "MethodNotAllowedException", status: http.StatusMethodNotAllowed,
		message: "The HTTP method of this request is not supported. Use POST.",
	}
	errOnlyPost = &refusalError{
		query: "MethodNotAllowed", json: "MethodNotAllowedException", status: http.StatusMethodNotAllowed,
		message: "The HTTP method of this request is not supported by this service. Use POST.",
	}
	errTooLarge = &refusalError{
		query: "RequestEntityTooLarge", json: "RequestEntityTooLargeException", status: http.StatusRequestEntityTooLarge,
		message: "The request body is larger than " + strconv.Itoa(MaxBody) + " bytes.",
	}
	errTruncated = &refusalError{
		query: "IncompleteBody", json: "SerializationException", status: http.StatusBadRequest,
		message: "The request body ended before it was complete.",
	}
	errMissingAction = &refusalError{
		query: "MissingAction", json: "UnknownOperationException", status: http.StatusBadRequest,
		message: "The request is missing an action or a required parameter.",
	}
	// Of this one, JSON services send the code alone.
	errUnknownOperation = &refusalError{query: "InvalidAction", json: "UnknownOperationException", status: http.StatusBadRequest}
)

func unknownAction(action, version string) *refusalError {
	if version == "" {
		version = "NO_VERSION_SPECIFIED"
	}
	return &refusalError{
		query: "InvalidAction", json: "UnknownOperationException", status: http.StatusBadRequest,
		message: fmt.Sprintf("Could not find operation %.128s for version %.32s", action, version),
	}
}

// wrongService refuses a request that is signed for another service than the
// right one ("" if it cannot be told).
func wrongService(right string) *refusalError {
	r := unauthenticated[sigv4.ErrMismatch]
	r.jsonStatus = http.StatusBadRequest
	r.message = "Credential should be scoped to correct service."
	if right != "" {
		r.message = "Credential should be scoped to correct service: '" + right + "'."
	}
	return &r
}

// internal are the codes of services that have one of their own for what is the
// server's fault.
var internal = map[string]string{"kms": "KMSInternalException", "iam": "ServiceFailure"}

// A panicError is a panic as an error, for the log.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// fail is the answer for err: in the service's own words if it has some, else
// the caller gets a number to quote and the operator, in the log, the cause.
func (x *exchange) fail(err error) answer {
	status, e := x.word(err)
	answered, contentType, body := x.wire.EncodeError(x.id, e)
	if status == 0 {
		status = answered
	}
	a := answer{status: status, contentType: contentType, body: body, code: e.ErrorCode(), says: e.ErrorMessage(), err: err}
	if status == http.StatusMethodNotAllowed {
		a.allow = http.MethodPost
		if x.wire.Protocol != wire.JSON {
			a.allow = "GET, POST"
		}
	}
	return a
}

// word finds the words for err, and the HTTP status if it is not for the
// service's tables to say.
func (x *exchange) word(err error) (int, smithy.APIError) {
	if s, ok := errors.AsType[*sigv4.Error](err); ok {
		r := unauthenticated[s.Kind]
		r.jsonStatus = http.StatusBadRequest
		if s.Detail != "" {
			r.message, r.jsonSays = s.Detail, ""
		}
		return r.in(x.wire)
	}
	if r, ok := errors.AsType[*refusalError](err); ok {
		return r.in(x.wire)
	}
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return 0, e
	}
	code := "InternalFailure"
	if own := internal[x.wire.Name]; own != "" {
		code = own
	}
	return http.StatusInternalServerError, &smithy.GenericAPIError{
		Code:    code,
		Message: "The request processing has failed because of an unknown error, exception or failure. Request id: " + x.id,
		Fault:   smithy.FaultServer,
	}
}

// encoded is err with an encoded authorization message, if it is a denial and
// those have one.
func (g *Gateway) encoded(x *exchange, err error) error {
	denial, ok := errors.AsType[smithy.APIError](err)
	if g.encode == nil || !ok || !errors.Is(err, cloud.ErrDenied) || x.call.Caller.Account == "" {
		return err
	}
	text, failed := g.encode(&x.call)
	if failed != nil {
		return failed
	}
	if text == "" {
		return err
	}
	return &smithy.GenericAPIError{
		Code: denial.ErrorCode(), Fault: denial.ErrorFault(),
		Message: denial.ErrorMessage() + " Encoded authorization failure message: " + text,
	}
}
