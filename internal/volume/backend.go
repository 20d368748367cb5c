package volume

import "context"

// A Backend holds objects: byte strings with names. Names are slash-separated
// elements of letters, digits, '-', '_' and '.', none starting with '.'.
// Methods may be called concurrently, also for the same name. They end early,
// with the context's error, when ctx is cancelled.
//
// An error from Put or Delete means that the outcome is not known: the change
// may have happened, may not have, and may yet be seen after a crash. The
// engine is built to be right in each case.
type Backend interface {
	// Put stores data under name, in place of what was there. When it returns
	// nil the object is on stable storage. A reader sees all of the old object
	// or all of the new, also after a crash. Put does not keep data.
	Put(ctx context.Context, name string, data []byte) error
	// Get returns the object in a slice that is the caller's to keep and
	// change, or cloud.ErrNotFound.
	Get(ctx context.Context, name string) ([]byte, error)
	// GetRange fills p with the object's bytes from offset off on. The error is
	// cloud.ErrNotFound if there is no such object, and io.ErrUnexpectedEOF if
	// it ends before p is full; p then holds anything.
	GetRange(ctx context.Context, name string, off int64, p []byte) error
	// List returns the objects whose names start with prefix, which need not
	// end at a slash, in order of their names. It shows every Put and Delete
	// that has returned nil; and what it does not show, because a Delete had no
	// answer, does not come back either.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Delete removes the object. When it returns nil it does not come back,
	// also after a crash. Deleting what is not there is not an error.
	Delete(ctx context.Context, name string) error
}

// An Object is one entry of a Backend's list.
type Object struct {
	Name string
	Size int64 // bytes
}
