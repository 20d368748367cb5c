package gateway

import (
	"context"
	"fmt"

	"borealis/internal/api"
	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/wire"
)

// A Service is one AWS service behind the gateway. Serve makes one.
type Service struct {
	wire   *wire.Service
	serves func(op string) bool
	// unsigned says of an operation that who asks need not sign.
	unsigned func(op string) bool
	run      func(ctx context.Context, call *audit.Call, body []byte) (any, error)
}

// Serve is the service w, of which the operations in ops are offered, each run
// on the view that as gives of a caller. It panics if ops has an operation that
// AWS does not have.
func Serve[V any](w *wire.Service, ops map[string]api.Op[V], as func(cloud.Caller) V) Service {
	for name := range ops {
		if _, ok := w.Operation(name); !ok {
			panic(fmt.Sprintf("gateway: %s has no operation %s", w.Name, name))
		}
	}
	return Service{
		wire: w,
		serves: func(op string) bool {
			_, ok := ops[op]
			return ok
		},
		unsigned: func(op string) bool { return ops[op].Unsigned },
		run: func(ctx context.Context, call *audit.Call, body []byte) (any, error) {
			op := ops[call.Operation]
			in := op.New()
			if err := w.Decode(call.Operation, body, in); err != nil {
				return nil, err
			}
			call.Input = in
			c := call.Caller
			c.Call = call
			return op.Run(ctx, as(c), in)
		},
	}
}

// An Offer says of one of AWS's operations whether it is served.
type Offer struct {
	Operation string
	Served    bool
}

// Name is the service's name: "kms".
func (s Service) Name() string { return s.wire.Name }

// Offers lists all the operations that AWS's service has, by name.
func (s Service) Offers() []Offer {
	names := s.wire.Operations()
	offers := make([]Offer, len(names))
	for i, n := range names {
		offers[i] = Offer{Operation: n, Served: s.serves(n)}
	}
	return offers
}
