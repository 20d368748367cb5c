package identity_test

import (
	"reflect"

	"github.com/google/go-cmp/cmp"
)

// cmpDiff compares structs, unexported fields of the SDK's included.
func cmpDiff(want, got any) string {
	return cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true }))
}
