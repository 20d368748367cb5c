package clusters_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/rds"

	"borealis/internal/clusters"
)

// A list without elements is there all the same: clients take the missing for
// another answer than the empty.
func TestEmptyListsAreThere(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	for name, in := range requests("none", "none", "none") {
		if !strings.HasPrefix(name, "Describe") || strings.HasSuffix(name, "Attributes") {
			continue
		}
		switch in := in.(type) {
		case *rds.DescribeDBEngineVersionsInput:
			in.Engine = new("mysql")
		case *rds.DescribeOrderableDBInstanceOptionsInput:
			in.Engine = new("mysql")
		}
		out, err := clusters.Ops[name].Run(t.Context(), ann.rds(), in)
		ann.may(name, err)
		for f, v := range reflect.ValueOf(out).Elem().Fields() {
			if v.Kind() == reflect.Slice && (v.IsNil() || v.Len() > 0) {
				t.Errorf("%s: %s is %v", name, f.Name, v)
			}
		}
	}
}
