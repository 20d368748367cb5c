// Package volumetest tests what implements the interfaces of package volume, and
// breaks what uses them: a conformance suite for backends, and a backend in
// memory that fails on command. It is for tests only.
package volumetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"borealis/internal/cloud"
	"borealis/internal/volume"
)

// TestBackend runs every promise of volume.Backend's comments, but those about
// power cuts, against empty backends that open returns. A new backend's own test
// file is this one call.
func TestBackend(t *testing.T, open func(*testing.T) volume.Backend) {
	for name, test := range map[string]func(*testing.T, volume.Backend){
		"Nothing":    testNothing,
		"PutGet":     testPutGet,
		"Replace":    testReplace,
		"Keeps":      testKeeps,
		"Range":      testRange,
		"List":       testList,
		"Delete":     testDelete,
		"Cancelled":  testCancelled,
		"Concurrent": testConcurrent,
		"WholeOnly":  testWholeOnly,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// put stores data or ends the test.
func put(t *testing.T, b volume.Backend, name string, data []byte) {
	t.Helper()
	if err := b.Put(t.Context(), name, data); err != nil {
		t.Fatal(err)
	}
}

// want compares the object name with data.
func want(t *testing.T, b volume.Backend, name string, data []byte) {
	t.Helper()
	if got, err := b.Get(t.Context(), name); err != nil || !bytes.Equal(got, data) {
		t.Errorf("Get %s: %d bytes, %v; want %d bytes", name, len(got), err, len(data))
	}
}

func testNothing(t *testing.T, b volume.Backend) {
	if _, err := b.Get(t.Context(), "volumes/none"); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Get: %v, want ErrNotFound", err)
	}
	if err := b.GetRange(t.Context(), "volumes/none", 0, make([]byte, 1)); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("GetRange: %v, want ErrNotFound", err)
	}
	if err := b.Delete(t.Context(), "volumes/none"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if list, err := b.List(t.Context(), ""); err != nil || len(list) != 0 {
		t.Errorf("List: %v, %v", list, err)
	}
	if list, err := b.List(t.Context(), "packs/none/"); err != nil || len(list) != 0 {
		t.Errorf("List of a prefix: %v, %v", list, err)
	}
}

func testPutGet(t *testing.T, b volume.Backend) {
	for i, size := range []int{0, 1, 4095, 4096, 1<<20 + 1} {
		name, data := fmt.Sprintf("a/b-%d/c.%d", i, i), bytes.Repeat([]byte{byte(i + 1)}, size)
		put(t, b, name, data)
		want(t, b, name, data)
	}
}

func testReplace(t *testing.T, b volume.Backend) {
	put(t, b, "x", []byte("one and a half"))
	put(t, b, "x", []byte("one and a half"))
	put(t, b, "x", []byte("two"))
	want(t, b, "x", []byte("two"))
}

func testKeeps(t *testing.T, b volume.Backend) {
	data := []byte("mine")
	put(t, b, "x", data)
	copy(data, "yours")
	want(t, b, "x", []byte("mine"))
	got, err := b.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	copy(got, "theirs")
	want(t, b, "x", []byte("mine"))
}

func testRange(t *testing.T, b volume.Backend) {
	put(t, b, "x", []byte("0123456789"))
	for _, c := range []struct {
		off  int64
		n    int
		want string // "" for an object that ends too early
	}{{0, 10, "0123456789"}, {3, 4, "3456"}, {9, 1, "9"}, {9, 2, ""}, {0, 11, ""}, {10, 1, ""}, {11, 1, ""}} {
		p := make([]byte, c.n)
		err := b.GetRange(t.Context(), "x", c.off, p)
		switch {
		case c.want == "" && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("%d bytes at %d: %v, want ErrUnexpectedEOF", c.n, c.off, err)
		case c.want != "" && (err != nil || string(p) != c.want):
			t.Errorf("%d bytes at %d: %q, %v", c.n, c.off, p, err)
		}
	}
}

func testList(t *testing.T, b volume.Backend) {
	sizes := map[string]int64{"packs/v/1": 1, "packs/v/2": 2, "packs/v-w/3": 3, "packs/vw": 4, "volumes/a.v": 5}
	for name, size := range sizes {
		put(t, b, name, make([]byte, size))
	}
	for prefix, names := range map[string][]string{
		"":          {"packs/v-w/3", "packs/v/1", "packs/v/2", "packs/vw", "volumes/a.v"},
		"packs/v/":  {"packs/v/1", "packs/v/2"},
		"packs/v":   {"packs/v-w/3", "packs/v/1", "packs/v/2", "packs/vw"},
		"volumes/a": {"volumes/a.v"},
		"volumes/b": nil,
	} {
		list, err := b.List(t.Context(), prefix)
		var got []string
		for _, o := range list {
			got = append(got, o.Name)
			if o.Size != sizes[o.Name] {
				t.Errorf("%s has size %d, want %d", o.Name, o.Size, sizes[o.Name])
			}
		}
		if err != nil || !slices.Equal(got, names) {
			t.Errorf("List %q: %q, %v; want %q", prefix, got, err, names)
		}
	}
}

func testDelete(t *testing.T, b volume.Backend) {
	put(t, b, "a/x", []byte("1"))
	put(t, b, "a/y", []byte("2"))
	for range 2 {
		if err := b.Delete(t.Context(), "a/x"); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	if _, err := b.Get(t.Context(), "a/x"); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Get after Delete: %v, want ErrNotFound", err)
	}
	want(t, b, "a/y", []byte("2"))
	put(t, b, "a/x", []byte("3"))
	want(t, b, "a/x", []byte("3"))
}

func testCancelled(t *testing.T, b volume.Backend) {
	put(t, b, "x", []byte("1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, gerr := b.Get(ctx, "x")
	_, lerr := b.List(ctx, "")
	for op, err := range map[string]error{"Put": b.Put(ctx, "x", []byte("2")), "Get": gerr, "List": lerr,
		"GetRange": b.GetRange(ctx, "x", 0, make([]byte, 1)), "Delete": b.Delete(ctx, "x")} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want Canceled", op, err)
		}
	}
	want(t, b, "x", []byte("1"))
}

func testConcurrent(t *testing.T, b volume.Backend) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			name, data := fmt.Sprintf("d/%d", i), bytes.Repeat([]byte{byte(i)}, 1000+i)
			for range 4 {
				if err := errors.Join(b.Put(t.Context(), name, data), b.Put(t.Context(), "d/all", data)); err != nil {
					t.Error(err)
				}
				want(t, b, name, data)
			}
			if i%2 == 1 {
				if err := b.Delete(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if list, err := b.List(t.Context(), "d/"); err != nil || len(list) != 9 {
		t.Errorf("List: %v, %v; want 9 objects", list, err)
	}
}

// Whoever reads while an object is replaced sees one of its contents whole.
func testWholeOnly(t *testing.T, b volume.Backend) {
	put(t, b, "x", bytes.Repeat([]byte("a"), 1<<16))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			got, err := b.Get(t.Context(), "x")
			if err != nil || len(got) != 1<<16 || strings.Trim(string(got), string(got[:1])) != "" {
				t.Errorf("Get while being replaced: %d bytes, %v", len(got), err)
				return
			}
		}
	})
	for i := range 20 {
		put(t, b, "x", bytes.Repeat([]byte{'a' + byte(i)}, 1<<16))
	}
	close(stop)
	wg.Wait()
}
