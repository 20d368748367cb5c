package wire

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
)

// commonStatus are the statuses of codes that no model declares: those that
// every query service has.
var commonStatus = map[string]int{
	"AccessDenied":                http.StatusForbidden,
	"AccessDeniedException":       http.StatusForbidden,
	"ExpiredToken":                http.StatusForbidden,
	"IncompleteSignature":         http.StatusBadRequest,
	"InternalError":               http.StatusInternalServerError,
	"InternalFailure":             http.StatusInternalServerError,
	"InvalidAction":               http.StatusBadRequest,
	"InvalidClientTokenId":        http.StatusForbidden,
	"MissingAuthenticationToken":  http.StatusForbidden,
	"NotImplemented":              http.StatusNotImplemented,
	"OptInRequired":               http.StatusForbidden,
	"RequestExpired":              http.StatusBadRequest,
	"RequestEntityTooLarge":       http.StatusRequestEntityTooLarge,
	"ServiceUnavailable":          http.StatusServiceUnavailable,
	"SignatureDoesNotMatch":       http.StatusForbidden,
	"Throttling":                  http.StatusBadRequest,
	"UnrecognizedClientException": http.StatusForbidden,
}

// status is the HTTP status of err's code: the model's, or the one common to
// all services, or that of its fault. A JSON service says 400 to all that is
// the client's fault, and else 500, except that what is not implemented is 501.
func (s *Service) status(err smithy.APIError) int {
	code := err.ErrorCode()
	if f := find(s.tables.faults, code, func(f *fault) string { return f.code }); f != nil {
		return f.status
	}
	status := commonStatus[code]
	switch {
	case s.Protocol == JSON && (status == 0 || status < 500 && status != http.StatusRequestEntityTooLarge):
		status = 0
	case s.Protocol == Query && status == 0 && strings.Contains(code, "NotFound"):
		status = http.StatusNotFound
	}
	switch {
	case status != 0:
		return status
	case err.ErrorFault() == smithy.FaultServer:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// UnknownOperation is the service's answer to an operation that AWS does not
// have.
func (s *Service) UnknownOperation(op string) smithy.APIError {
	if s.Protocol == JSON {
		return &smithy.GenericAPIError{Code: "UnknownOperationException", Fault: smithy.FaultClient}
	}
	message := fmt.Sprintf("Could not find operation %s for version %s", op, s.Version)
	return &smithy.GenericAPIError{Code: "InvalidAction", Message: message, Fault: smithy.FaultClient}
}

// NotImplemented is the answer to an operation that AWS has and we do not.
func (s *Service) NotImplemented(op string) smithy.APIError {
	message := fmt.Sprintf("The operation %s:%s is not implemented.", s.Name, op)
	return &smithy.GenericAPIError{Code: "NotImplemented", Message: message, Fault: smithy.FaultServer}
}
