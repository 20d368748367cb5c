// Package wire speaks the two protocols of the services, awsJson1.1 (KMS, CloudTrail, Organizations) and
// awsQuery with XML answers (RDS, IAM, STS), over the SDK's own input and
// output structs. It owns the names, shapes and constraints on the wire and the
// words in which a malformed request is refused. It knows nothing of HTTP
// connections, signatures, callers or what an operation does.
//
// Nothing here is generated but tables (*_gen.go): what the API models and the
// SDK's sources say and its Go types do not. The codec walks the Go types by
// reflection, with a plan per type that is made once.
//
// The models, but for those of our own in models/, are not part of the repository. "go generate ./internal/wire"
// looks for them in ../shared/models beside the checkout, or where the
// environment's BOREALIS_MODELS says; "go test -run UpToDate ./internal/wire"
// checks that the tables are what comes of them.
package wire

//go:generate go run ./gen -models ../../../shared/models

import (
	"fmt"
	"reflect"

	"github.com/aws/smithy-go"
)

// A Protocol is a way to write requests and answers.
type Protocol string

// The protocols that services speak.
const (
	JSON  Protocol = "json"  // awsJson1.1: the operation is named by the X-Amz-Target header
	Query Protocol = "query" // awsQuery: form-encoded requests, XML answers; the operation is the parameter Action
)

// A Service is one AWS service as it is seen on the wire. Its methods may be
// called concurrently.
type Service struct {
	// Name is the service's name in credential scopes, ARNs and policies: "kms".
	Name string
	// Protocol is how the service is spoken to.
	Protocol Protocol
	// Version is the API version, which query requests name: "2014-10-31".
	Version string
	// Target is what precedes the operation in a JSON request's X-Amz-Target
	// header, without the dot: "TrentService".
	Target string
	// Namespace is the XML namespace of a query service's answers.
	Namespace string

	*codec
}

// The services.
var (
	KMS = newService("kms", JSON, &kmsTables, framework("ValidationException"))
	RDS = newService("rds", Query, &rdsTables, rdsRules())
	IAM = newService("iam", Query, &iamTables, iamRules())
	STS = newService("sts", Query, &stsTables, framework("ValidationError"))

	CloudTrail = newService("cloudtrail", JSON, &cloudtrailTables, framework("ValidationException"))

	Organizations = newService("organizations", JSON, &organizationsTables, organizationsRules())
)

func newService(name string, p Protocol, t *tables, r rules) *Service {
	return &Service{Name: name, Protocol: p, Version: t.version, Target: t.target, Namespace: t.namespace,
		codec: &codec{service: name, tables: t, rules: r}}
}

// An Operation is one operation of a service.
type Operation struct {
	// Name is the operation's name on the wire: "CreateKey".
	Name string
	// Empty says that the operation has no output: its answer carries nothing
	// but the request's id.
	Empty bool
}

// Operation finds the operation of the given name, which is case-sensitive. It
// knows every operation that AWS has, offered or not.
func (s *Service) Operation(name string) (*Operation, bool) {
	o := find(s.tables.operations, name, func(o *Operation) string { return o.Name })
	return o, o != nil
}

// Operations lists the names of all the service's operations, sorted.
func (s *Service) Operations() []string {
	names := make([]string, len(s.tables.operations))
	for i, o := range s.tables.operations {
		names[i] = o.Name
	}
	return names
}

// Decode reads the request body of operation op into in, a pointer to the
// SDK's zero input struct, and checks the service's constraints on it. The body
// is a JSON document, or form-encoded parameters (of a POST's body or a GET's
// query string). An empty body has no members. The error is a smithy.APIError
// in the service's own words; in is then partly filled and must not be used. If
// in is not op's input, which is a programming error, it is any other error.
// Nothing in the input shares memory with body.
func (s *Service) Decode(op string, body []byte, in any) error {
	if _, ok := s.Operation(op); !ok {
		return s.UnknownOperation(op)
	}
	p, v, err := s.planOf(in, op, "Input")
	if err != nil {
		return err
	}
	if err := s.read(p, v, body); err != nil {
		return err
	}
	return s.check(p, v)
}

// read is Decode without the constraints.
func (s *Service) read(p *plan, v reflect.Value, body []byte) error {
	if s.Protocol == JSON {
		return s.readJSON(p, v, body)
	}
	return s.readQuery(p, v, body)
}

// Encode writes out, a pointer to the SDK's output struct of operation op. An
// operation without output answers with nothing, whatever out holds. The error
// is that op or out is not of this service: a programming error.
func (s *Service) Encode(op, requestID string, out any) (contentType string, body []byte, err error) {
	o, ok := s.Operation(op)
	if !ok {
		return "", nil, fmt.Errorf("encode answer of %s: %s has no such operation", op, s.Name)
	}
	if s.Protocol == JSON {
		body, err = s.encodeJSON(o, out)
		return jsonType, body, err
	}
	body, err = s.encodeXML(o, requestID, out)
	return xmlType, body, err
}

// EncodeError writes err as the service's answer, with the HTTP status that AWS
// gives its code. Codes that no table knows are 400, or 500 if err's fault is
// the server's.
func (s *Service) EncodeError(requestID string, err smithy.APIError) (status int, contentType string, body []byte) {
	if s.Protocol == JSON {
		return s.status(err), jsonType, s.errorJSON(err)
	}
	status = s.status(err)
	return status, xmlType, s.errorXML(requestID, status, err)
}
