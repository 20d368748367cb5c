package volumetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"borealis/internal/cloud"
	"borealis/internal/volume"
)

// A Fault decides the fate of one call of a Backend: whether it takes effect,
// and what the caller is told. It is called for every call; one that shall go
// its usual way is applied with a nil error. Calls may be concurrent.
type Fault func(op, name string) (apply bool, err error)

// The fates of a call.
var (
	// Fail refuses it.
	Fail Fault = func(op, name string) (bool, error) { return false, errors.New(op + " " + name + ": refused") }
	// LoseAnswer does it and says that it failed.
	LoseAnswer Fault = func(op, name string) (bool, error) { return true, errors.New(op + " " + name + ": timeout") }
)

// Mem is a volume.Backend in memory. The zero value is empty and ready.
type Mem struct {
	mu      sync.Mutex
	fault   Fault
	objects map[string][]byte
}

var _ volume.Backend = (*Mem)(nil)

// Break lets f decide the fate of calls from now on; nil mends.
func (m *Mem) Break(f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

// Clone is another Mem with the same objects, unbroken.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Mem{objects: maps.Clone(m.objects)} // their bytes are never changed
}

// do makes one call.
func (m *Mem) do(ctx context.Context, op, name string, call func() error) error {
	m.mu.Lock()
	fault := m.fault
	m.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	apply, ferr := true, error(nil)
	if fault != nil {
		apply, ferr = fault(op, name)
	}
	if !apply {
		return ferr
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := call(); err != nil {
		return err
	}
	return ferr
}

// Put implements volume.Backend.
func (m *Mem) Put(ctx context.Context, name string, data []byte) error {
	return m.do(ctx, "Put", name, func() error {
		if m.objects == nil {
			m.objects = map[string][]byte{}
		}
		m.objects[name] = bytes.Clone(data)
		return nil
	})
}

// Get implements volume.Backend.
func (m *Mem) Get(ctx context.Context, name string) (data []byte, err error) {
	err = m.do(ctx, "Get", name, func() error {
		object, ok := m.objects[name]
		if !ok {
			return fmt.Errorf("object %s: %w", name, cloud.ErrNotFound)
		}
		data = bytes.Clone(object)
		return nil
	})
	return data, err
}

// GetRange implements volume.Backend.
func (m *Mem) GetRange(ctx context.Context, name string, off int64, p []byte) error {
	return m.do(ctx, "GetRange", name, func() error {
		object, ok := m.objects[name]
		if !ok {
			return fmt.Errorf("object %s: %w", name, cloud.ErrNotFound)
		}
		if off > int64(len(object)) || copy(p, object[off:]) < len(p) {
			return fmt.Errorf("object %s: %w", name, io.ErrUnexpectedEOF)
		}
		return nil
	})
}

// List implements volume.Backend.
func (m *Mem) List(ctx context.Context, prefix string) (out []volume.Object, err error) {
	err = m.do(ctx, "List", prefix, func() error {
		for name, object := range m.objects {
			if strings.HasPrefix(name, prefix) {
				out = append(out, volume.Object{Name: name, Size: int64(len(object))})
			}
		}
		slices.SortFunc(out, func(a, b volume.Object) int { return strings.Compare(a.Name, b.Name) })
		return nil
	})
	return out, err
}

// Delete implements volume.Backend.
func (m *Mem) Delete(ctx context.Context, name string) error {
	return m.do(ctx, "Delete", name, func() error {
		delete(m.objects, name)
		return nil
	})
}
