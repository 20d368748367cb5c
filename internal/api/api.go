// Package api says what an API operation is to the gateway: how to make its
// input and how to run it. It knows no operation and registers none.
package api

import "context"

// An Op is one API operation of a service whose view as a caller is V.
type Op[V any] struct {
	// New returns a pointer to a zero input struct of the SDK.
	New func() any
	// Run answers in, which New made, for the caller that view stands for.
	Run func(ctx context.Context, view V, in any) (out any, err error)
	// Unsigned says that who asks need not sign: the operation is run for the zero
	// Caller then, and must find out by itself who that is.
	Unsigned bool
}

// Bind makes an Op of a method expression such as (*keys.View).CreateKey.
func Bind[V, In, Out any](m func(V, context.Context, *In) (*Out, error)) Op[V] {
	return Op[V]{
		New: func() any { return new(In) },
		Run: func(ctx context.Context, v V, in any) (any, error) { return m(v, ctx, in.(*In)) },
	}
}

// BindUnsigned is Bind for an operation that need not be signed.
func BindUnsigned[V, In, Out any](m func(V, context.Context, *In) (*Out, error)) Op[V] {
	op := Bind(m)
	op.Unsigned = true
	return op
}
