package wire

import "sort"

// tables is what the models and the SDK's sources say about a service that its
// Go types do not. Every slice is sorted by its first field, so that a table is
// plain data: nothing runs when the program starts.
type tables struct {
	version, target, namespace string

	operations []Operation
	structures []structure
	shapes     []shape
	faults     []fault
}

// A structure is a Go struct some of whose fields need saying something about.
// Its constrained members come first, in the order in which problems with them
// are reported.
type structure struct {
	name    string
	members []member
}

// A member is a field of a structure.
type member struct {
	field    string // the Go field's name
	wire     string // its name on the wire, if that is another
	element  string // what elements of the list are called in XML and forms, if not "member"
	shape    string // the shape that constrains the value, if any does
	required bool
}

// A shape constrains values: the length of strings, blobs and lists or the
// range of numbers (0 means no bound), the pattern of strings, and the same of
// elements, keys and values. The value of a sensitive shape is never repeated
// in a message.
type shape struct {
	name                string
	min, max            int64
	pattern             string
	sensitive           bool
	items, keys, values string
}

// A fault is an error code and the HTTP status that goes with it.
type fault struct {
	code   string
	status int
}

// find looks a name up in one of the sorted slices.
func find[E any](list []E, name string, of func(*E) string) *E {
	// Not slices.BinarySearchFunc, which copies each element it looks at.
	i := sort.Search(len(list), func(i int) bool { return of(&list[i]) >= name })
	if i == len(list) || of(&list[i]) != name {
		return nil
	}
	return &list[i]
}

func (t *tables) structure(name string) *structure {
	return find(t.structures, name, func(s *structure) string { return s.name })
}

func (t *tables) shape(name string) *shape {
	return find(t.shapes, name, func(s *shape) string { return s.name })
}
