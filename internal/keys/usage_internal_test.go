package keys

import "testing"

// Noting that a key was used costs the hot path no memory.
func TestUsedAllocatesNothing(t *testing.T) {
	v := &View{Service: &Service{}}
	k := target{loaded: &loaded{}, event: "e"}
	v.used(k, "Encrypt")
	if n := testing.AllocsPerRun(100, func() { v.used(k, "Encrypt") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
