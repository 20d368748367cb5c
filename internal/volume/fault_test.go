package volume_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"borealis/internal/volume"
	"borealis/internal/volume/volumetest"
)

// A stage is where disasters happen: a backend, and what is below it.
type stage interface {
	open(t *testing.T) volume.Backend // as a process that starts finds it
	strike(volumetest.Fault)          // decides about its calls; nil mends
	clone() stage
}

// In memory a call is one of the backend's.
type inMemory struct{ m *volumetest.Mem }

func (s inMemory) open(*testing.T) volume.Backend { return s.m }
func (s inMemory) strike(f volumetest.Fault)      { s.m.Break(f) }
func (s inMemory) clone() stage                   { return inMemory{s.m.Clone()} }

// A disaster is what happens to call n of an operation, and after it.
type disaster struct {
	name string
	at   volumetest.Fault // to call n
	then volumetest.Fault // to those after it; nil for nothing
	end  func(*disasterWorld)
}

// killed is the end of a process: another one starts.
func killed(w *disasterWorld) { w.restart() }

// survived is that of one call only.
func survived(*disasterWorld) {}

// disasters befall one call, or a process that is killed: then nothing that it
// tries afterwards has an effect.
var disasters = []disaster{
	{"refused", volumetest.Fail, nil, survived},
	{"answer lost", volumetest.LoseAnswer, nil, survived},
	{"killed before", volumetest.Fail, volumetest.Fail, killed},
	{"killed after", volumetest.LoseAnswer, volumetest.Fail, killed},
}

// strike lets d happen at call n, and counts the calls in calls.
func (d disaster) strike(n int64, calls *atomic.Int64) volumetest.Fault {
	return func(op, name string) (bool, error) {
		switch i := calls.Add(1); {
		case i == n:
			return d.at(op, name)
		case i > n && d.then != nil:
			return d.then(op, name)
		}
		return true, nil
	}
}

// manyBlocks makes files of n blocks of 6 KiB that nothing else shares.
func manyBlocks(seed, n int) []volume.File {
	var files []volume.File
	for i := range n {
		files = append(files, volume.File{Name: fmt.Sprintf("base/%d", i), Data: random(seed+i, 6<<10), Mode: fs.FileMode(0o600)})
	}
	return files
}

// A disasterWorld has volumes that must survive whatever happens to others.
type disasterWorld struct {
	t     *testing.T
	s     stage
	m     volume.Backend // as the process that runs has opened it
	e     *volume.Engine
	files map[string][]volume.File // by volume, of those that must be whole
	refs  map[string]volume.Ref
}

const smallPack = 20 << 10 // three blocks of manyBlocks

func newDisasterWorld(t *testing.T, s stage) *disasterWorld {
	w := &disasterWorld{t: t, s: s, files: map[string][]volume.File{}, refs: map[string]volume.Ref{}}
	w.restart()
	for _, v := range []struct {
		spec  volume.Spec
		files []volume.File
	}{
		{named(ann, "a1"), manyBlocks(100, 8)},
		{named(ann, "a2"), manyBlocks(104, 8)}, // half of it is a1's
		{named(bob, "b1"), manyBlocks(100, 8)},
	} {
		w.refs[v.spec.ID], _ = write(t, w.e, v.spec, v.files)
		w.files[v.spec.ID] = v.files
	}
	return w
}

// clone is another world that is as this one is.
func (w *disasterWorld) clone(t *testing.T) *disasterWorld {
	out := &disasterWorld{t: t, s: w.s.clone(), files: maps.Clone(w.files), refs: maps.Clone(w.refs)}
	out.restart()
	return out
}

// restart is a new process on the same backend.
func (w *disasterWorld) restart() {
	w.m = w.s.open(w.t)
	w.e = volume.New(w.m)
	w.e.SetPackSize(smallPack)
}

// verify checks every volume that must be whole.
func (w *disasterWorld) verify(when string) {
	w.t.Helper()
	for id, ref := range w.refs {
		if err := w.e.Check(context.Background(), ref, volume.CheckOptions{}); err != nil {
			w.t.Errorf("%s: volume %s: %v", when, id, err)
		}
	}
}

// noGarbage makes sure that after a collection nothing is there but what the
// volumes need: when they are deleted, nothing is left.
func (w *disasterWorld) noGarbage(when string) {
	w.t.Helper()
	if err := w.e.Collect(context.Background()); err != nil {
		w.t.Errorf("%s: %v", when, err)
	}
	w.verify(when + ", collected")
	for id := range w.refs {
		if err := w.e.Delete(context.Background(), id); err != nil {
			w.t.Errorf("%s: %v", when, err)
		}
	}
	list, err := w.m.List(context.Background(), "")
	if err != nil || len(list) != 0 {
		w.t.Errorf("%s: left behind: %v, %v", when, list, err)
	}
}

// An operation is something to interrupt, and what it leaves when it succeeds.
type operation struct {
	name  string
	run   func(w *disasterWorld) error
	gone  string // a volume that it deletes
	first func(w *disasterWorld)
}

func (w *disasterWorld) write(id string, seed int) error {
	spec := named(ann, id)
	info, err := tryWrite(w.t, w.e, spec, manyBlocks(seed, 8))
	if err == nil {
		w.refs[id], w.files[id] = spec.Ref(info.Digest), manyBlocks(seed, 8)
	}
	return err
}

func (w *disasterWorld) copy(to volume.Spec) error {
	info, err := w.e.Copy(w.t.Context(), w.refs["big"], to, volume.CopyOptions{})
	if err == nil {
		w.refs[to.ID], w.files[to.ID] = to.Ref(info.Digest), w.files["big"]
	}
	return err
}

// big is a volume whose copy makes several progress records.
func big(w *disasterWorld) {
	files := manyBlocks(200, 3*(2*volume.RecordPacks+2))
	w.refs["big"], _ = write(w.t, w.e, named(ann, "big"), files)
	w.files["big"] = files
}

// pages is a volume of which write changes a few pages.
func pages(w *disasterWorld) {
	w.refs["pages"], _ = write(w.t, w.e, named(ann, "pages"), paged(700, 40))
	w.files["pages"] = paged(700, 40)
}

// patched is one of which a block is patched, and is what copy copies.
func patched(w *disasterWorld) {
	pages(w)
	files := changePages(paged(700, 40), 1, 4, 21)
	w.refs["big"], _ = write(w.t, w.e, named(ann, "big"), files)
	w.files["big"] = files
}

var operations = []operation{
	{name: "write pages", first: pages, run: func(w *disasterWorld) error {
		spec, files := named(ann, "new"), changePages(paged(700, 40), 2, 3, 30, 38)
		info, err := tryWrite(w.t, w.e, spec, files)
		if err == nil {
			w.refs["new"], w.files["new"] = spec.Ref(info.Digest), files
		}
		return err
	}},
	{name: "copy patched", first: patched, run: func(w *disasterWorld) error { return w.copy(named(bob, "copy")) }},
	{name: "delete the parent", first: patched, gone: "pages", run: func(w *disasterWorld) error { return w.e.Delete(w.t.Context(), "pages") }},
	{name: "write", run: func(w *disasterWorld) error { return w.write("new", 106) }},
	{name: "copy", first: big, run: func(w *disasterWorld) error { return w.copy(named(bob, "copy")) }},
	{name: "copy within", first: big, run: func(w *disasterWorld) error { return w.copy(named(ann, "copy")) }},
	{name: "delete", gone: "a1", run: func(w *disasterWorld) error { return w.e.Delete(w.t.Context(), "a1") }},
	{name: "collect", run: func(w *disasterWorld) error { return w.e.Collect(w.t.Context()) }, first: func(w *disasterWorld) {
		w.m.Put(w.t.Context(), "packs/"+strings.Repeat("ab", 24)+"/"+strings.Repeat("cd", 16), []byte("garbage"))
		_ = w.write("lost", 300)
		w.m.Delete(w.t.Context(), w.manifest("lost"))
		delete(w.refs, "lost")
	}},
}

// manifest is the object of a volume's manifest.
func (w *disasterWorld) manifest(id string) string {
	list, err := w.m.List(context.Background(), "volumes/"+id+".")
	if err != nil || len(list) != 1 {
		w.t.Fatalf("manifest of %s: %v, %v", id, list, err)
	}
	return list[0].Name
}

// Every call of every operation meets every disaster. Whatever the operation
// answers: every other volume is whole, what was answered with success is
// there, and doing it again succeeds and leaves nothing over.
func TestDisasters(t *testing.T) {
	for _, op := range operations {
		w := newDisasterWorld(t, inMemory{new(volumetest.Mem)})
		if op.first != nil {
			op.first(w)
		}
		for _, d := range disasters {
			t.Run(op.name+"/"+d.name, func(t *testing.T) {
				t.Parallel()
				n := int64(1)
				for strikeOnce(w.clone(t), op, d, n) >= n {
					n++
				}
				if n < 8 {
					t.Errorf("only %d calls", n-1)
				}
			})
		}
	}
}

// strikeOnce runs op with d at call n, and returns how many calls it made.
func strikeOnce(w *disasterWorld, op operation, d disaster, n int64) int64 {
	w.t.Helper()
	when := fmt.Sprintf("%s, call %d %s", op.name, n, d.name)
	gone, hasGone := w.refs[op.gone]
	delete(w.refs, op.gone)
	var calls atomic.Int64
	w.s.strike(d.strike(n, &calls))
	err := op.run(w) // whatever it answers, what it has answered must be true
	w.s.strike(nil)
	d.end(w)
	w.verify(when)
	if hasGone {
		// It is there whole or it is not there; not if that was said.
		cerr := w.e.Check(w.t.Context(), gone, volume.CheckOptions{})
		if cerr != nil && !errors.Is(cerr, volume.ErrDamaged) {
			w.t.Errorf("%s: deleted volume: %v", when, cerr)
		}
		if _, herr := w.e.Header(w.t.Context(), op.gone); herr == nil && (err == nil || cerr != nil) {
			w.t.Errorf("%s: deleted volume is there: Delete: %v, Check: %v", when, err, cerr)
		}
	}
	if err := op.run(w); err != nil {
		w.t.Errorf("%s: again: %v", when, err)
	}
	w.noGarbage(when)
	return calls.Load()
}

// A volume whose Commit failed may be seen by others when even taking it back
// failed. One who has shared its blocks meanwhile keeps them.
func TestFailedCommitThatWasShared(t *testing.T) {
	m := new(volumetest.Mem)
	w := newDisasterWorld(t, inMemory{m})
	files := manyBlocks(400, 8)
	var deletes atomic.Int64
	m.Break(func(op, name string) (bool, error) {
		switch {
		case op == "Put" && strings.HasPrefix(name, "volumes/lost."):
			return volumetest.LoseAnswer(op, name)
		case op == "Delete" && strings.HasPrefix(name, "volumes/lost."):
			if deletes.Add(1) == 1 {
				return volumetest.Fail(op, name)
			}
			w.refs["sharer"], _ = write(t, w.e, named(ann, "sharer"), files)
		}
		return true, nil
	})
	if _, err := tryWrite(t, w.e, named(ann, "lost"), files); err == nil {
		t.Error("Commit succeeds without an answer")
	}
	m.Break(nil)
	if w.refs["sharer"].ID == "" {
		t.Fatal("the manifest was not deleted a second time")
	}
	w.noGarbage("shared")
}
