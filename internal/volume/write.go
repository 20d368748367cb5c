package volume

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"borealis/internal/cloud"
)

// A File is what to store under a name: the file at Path, or Data, or a
// directory.
type File struct {
	// Name is where the file goes in the volume: relative, elements separated
	// by slashes, none of them "." or "..".
	Name string
	// Path is the regular file to read. It may be written meanwhile: what is
	// read up to the size that it had when it was opened is stored; if it ends
	// earlier, it is stored that long; if it is gone, it is left out.
	Path string
	// Data is the content when Path is "".
	Data []byte
	// Mode holds the permission bits, and fs.ModeDir for a directory, which has
	// neither Path nor Data. No other bits.
	Mode fs.FileMode
	// Size is the file's size as far as it is known. Only Progress uses it.
	Size int64
	// ModTime is stored with the file; the file's own if zero and there is a Path.
	ModTime time.Time

	from io.ReaderAt // what to read instead of all these: Size bytes
}

// CreateOptions are those of Create. The zero value is good.
type CreateOptions struct {
	// Parent is the earlier volume of the same vault to take unchanged blocks from.
	// If empty it is the newest that can be read; if there is none, or Alone is
	// set, every block is stored anew.
	Parent string
	Alone  bool
	// ReadRate is the most bytes of files to read in a second; 0 for no bound.
	ReadRate int64
	// Workers is how many blocks to work on at a time; as many as the process
	// may use processors if 0.
	Workers int
	// Progress is told of the bytes of files read.
	Progress Progress
}

// A Writer makes one volume. Add, Commit and Abort are called one after
// another; the work within is parallel. A Writer that is given up needs Abort.
type Writer struct {
	e       *Engine
	keys    *keys
	vault   *vault
	release func() // of the claim on the ID
	pins    *pinning
	index   *index
	parent  *parent // nil if there is none
	packs   *packer
	records []string // progress records under the volume's ID
	workers int
	meter   meter
	limit   limiter

	m       manifest
	cells   map[string][]cell // of each file's blocks
	names   map[string]bool
	omitted []string
	input   atomic.Int64 // bytes of files read
	err     error        // of the first step that failed
	done    bool
}

// Create begins the volume spec.ID. Nothing of it can be opened before Commit
// has returned. Whatever an earlier attempt under the same ID has left, even a
// whole volume whose Commit nobody heard of, is removed: Create starts over.
//
// ctx is for everything that the Writer does: when it is cancelled, all of its
// methods fail.
func (e *Engine) Create(ctx context.Context, spec Spec, opts CreateOptions) (*Writer, error) {
	w, err := e.begin(ctx, spec, opts, false)
	if err != nil {
		return nil, fmt.Errorf("create volume %s: %w", spec.ID, err)
	}
	return w, nil
}

// begin is Create; resume takes up what progress records of the ID hold.
func (e *Engine) begin(ctx context.Context, spec Spec, opts CreateOptions, resume bool) (_ *Writer, err error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	k, err := derive(spec.Identity, spec.DataKey)
	if err != nil {
		return nil, err
	}
	release, err := e.claim("volume", spec.ID)
	if err != nil {
		return nil, err
	}
	w := &Writer{e: e, keys: k, vault: e.vault(k.vault), release: release, index: newIndex(), workers: opts.Workers,
		limit: limiter{rate: opts.ReadRate}, cells: map[string][]cell{}, names: map[string]bool{}}
	if w.workers <= 0 {
		w.workers = runtime.GOMAXPROCS(0)
	}
	w.meter.fn = opts.Progress
	w.m = manifest{facts: slices.Clone(spec.Facts), public: public{kind: kindVolume, made: time.Now().UnixNano(), id: spec.ID, Identity: spec.Identity, wrapped: slices.Clone(spec.Wrapped)}}
	w.pins = &pinning{vault: w.vault}
	if err := w.prepare(ctx, opts, resume); err != nil {
		w.pins.drop()
		release()
		return nil, err
	}
	w.packs = newPacker(ctx, e, k, w.index, w.pins)
	return w, nil
}

func (s Spec) check() error {
	if err := checkID(s.ID); err != nil {
		return err
	}
	if len(s.Wrapped) == 0 || len(s.Wrapped) > maxField {
		return errors.New("the wrapped data key is missing or too long")
	}
	if s.Facts != nil && !json.Valid(s.Facts) {
		return errors.New("the facts are not JSON")
	}
	return nil
}

// SetFacts sets Spec.Facts, for an engine that knows them only when its backup
// has ended. It is called before Commit.
func (w *Writer) SetFacts(facts json.RawMessage) error {
	if !json.Valid(facts) {
		return fmt.Errorf("volume %s: the facts are not JSON", w.m.id)
	}
	w.m.facts = slices.Clone(facts)
	return nil
}

// prepare removes what an earlier attempt has left and learns what there is to
// share. It holds the vault's lock, so that no pack that it learns of is
// collected before it is pinned.
func (w *Writer) prepare(ctx context.Context, opts CreateOptions, resume bool) error {
	if err := w.vault.acquire(ctx); err != nil {
		return err
	}
	defer w.vault.release()
	if err := w.e.removeManifests(ctx, volumesDir+w.m.id+"."); err != nil {
		return err
	}
	if !resume {
		if err := w.e.removeManifests(ctx, progressDir+w.m.id+"."); err != nil {
			return err
		}
	}
	volumes, progress, err := w.e.manifests(ctx, w.keys.vault)
	if err != nil {
		return err
	}
	there, err := w.e.packSizes(ctx, w.keys.vault)
	if err != nil {
		return err
	}
	if !opts.Alone {
		if err := w.learnParent(ctx, opts.Parent, volumes, there); err != nil {
			return err
		}
	}
	for _, name := range progress {
		if strings.HasPrefix(name, progressPrefix(w.m.id, w.keys.vault)) {
			w.records = append(w.records, name)
		}
	}
	for _, name := range w.records {
		// A record that cannot be read costs only doing its part again.
		if m, err := w.read(ctx, name); err == nil && m.version == Version {
			w.index.learn(m, there)
			w.pins.pin(m.packs...)
		}
	}
	return ctx.Err()
}

// Parent returns the facts that the parent was made with, nil if there is no
// parent: what its engine wrote down to know later what has changed since.
func (w *Writer) Parent() json.RawMessage {
	if w.parent == nil {
		return nil
	}
	return slices.Clone(w.parent.r.m.facts)
}

// learnParent finds the parent and learns what it has. One that was not asked
// for by name and cannot be read costs only the sharing: it is for Check and its
// owner to find, not for a new volume to fail of.
func (w *Writer) learnParent(ctx context.Context, id string, volumes []string, there map[packName]int64) error {
	if id != "" {
		name := volumeName(id, w.keys.vault)
		if !slices.Contains(volumes, name) {
			return fmt.Errorf("parent volume %s in vault %s: %w", id, w.keys.vault, cloud.ErrNotFound)
		}
		m, err := w.read(ctx, name)
		if err == nil && m.version != Version {
			err = fmt.Errorf("it is of format version %d: %w", m.version, ErrVersion)
		}
		if err != nil {
			return fmt.Errorf("parent volume %s: %w", id, err)
		}
		w.adopt(m, there)
		return nil
	}
	newest, err := w.e.newestFirst(ctx, w.vault, volumes)
	if err != nil {
		return err
	}
	for _, name := range newest {
		if m, err := w.read(ctx, name); err == nil && m.version == Version {
			w.adopt(m, there)
			return nil
		}
	}
	return nil
}

// adopt makes m the parent.
func (w *Writer) adopt(m *manifest, there map[packName]int64) {
	w.parent = &parent{
		r:     &reader{e: w.e, keys: w.keys, m: m, pins: w.pins},
		files: make(map[string]*file, len(m.files)),
		ids:   w.index.learn(m, there),
	}
	for i := range m.files {
		w.parent.files[m.files[i].name] = &m.files[i]
	}
	w.pins.pin(m.packs...)
}

// read opens the manifest name of the writer's vault.
func (w *Writer) read(ctx context.Context, name string) (*manifest, error) {
	data, err := w.e.backend.Get(ctx, name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	m, _, err := decodeManifest(name, data, w.keys)
	if err == nil {
		err = m.checkPlace(name)
	}
	return m, err
}

// Commit makes the volume exist. When it returns nil the volume is on stable
// storage and complete. When it returns an error there is no volume, or the
// backend has failed so thoroughly that this could not be made certain; Create
// or Delete of the same ID then settles it.
func (w *Writer) Commit(ctx context.Context) (Info, error) {
	if w.done {
		return Info{}, fmt.Errorf("commit volume %s: it was committed or aborted before", w.m.id)
	}
	info, err := w.commit(ctx)
	if err != nil {
		w.Abort()
		return Info{}, fmt.Errorf("commit volume %s: %w", w.m.id, err)
	}
	w.done = true
	w.pins.drop()
	w.release()
	w.packs.stop(nil)
	w.meter.finish()
	return info, nil
}

func (w *Writer) commit(ctx context.Context) (Info, error) {
	if w.err != nil {
		return Info{}, w.err
	}
	if err := w.packs.flush(); err != nil {
		return Info{}, err
	}
	slices.SortFunc(w.m.files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	var cells [][]cell
	info := Info{Vault: w.keys.vault, Read: w.input.Load(), Omitted: w.omitted}
	for _, f := range w.m.files {
		cells = append(cells, w.cells[f.name])
		info.Bytes += f.size
		if !f.dir {
			info.Files++
		}
	}
	if err := w.index.place(&w.m, cells); err != nil {
		return Info{}, err
	}
	w.m.version = Version
	if err := w.m.check(); err != nil { // what a reader would refuse is not written
		return Info{}, err
	}
	data, digest := w.m.encode(w.keys)
	info.Digest, info.Content, info.Stored = digest, w.m.content(), w.packs.stored.Load()+int64(len(data))
	return info, w.publish(ctx, data)
}

// publish puts the manifest: the moment from which the volume exists. The lock
// is held until it is certain that it does, or, after an error, does not:
// nobody shall share blocks with a volume that is about to be taken back.
func (w *Writer) publish(ctx context.Context, data []byte) error {
	if err := w.vault.acquire(ctx); err != nil {
		return err
	}
	defer w.vault.release()
	name := volumeName(w.m.id, w.keys.vault)
	if err := w.e.backend.Put(ctx, name, data); err != nil {
		err = fmt.Errorf("put manifest %s: %w", name, err)
		return errors.Join(err, w.retract(context.WithoutCancel(ctx)))
	}
	w.vault.made(name, w.m.made)
	// The volume is there. Records that stay behind are removed with it.
	for _, r := range w.records {
		_ = w.e.backend.Delete(ctx, r)
	}
	return nil
}

// retract removes the manifest and the progress records, and then the packs
// that were made for them. In this order, and only while it succeeds: a pack is
// never removed under a manifest that may still be there.
func (w *Writer) retract(ctx context.Context) error {
	err := w.e.backend.Delete(ctx, volumeName(w.m.id, w.keys.vault))
	for _, r := range w.records {
		err = errors.Join(err, w.e.backend.Delete(ctx, r))
	}
	if err != nil {
		w.packs.created = nil // from now on they are Collect's, which counts who refers to them
		return fmt.Errorf("remove what was written: %w", err)
	}
	w.packs.stop(context.Canceled)
	for _, n := range w.packs.created {
		// What stays behind belongs to no volume; Collect removes it.
		_ = w.e.backend.Delete(ctx, n.object(w.keys.vault))
	}
	w.packs.created = nil
	return nil
}

// Abort gives the volume up and removes what was written for it. It may be
// called again, and after Commit, when it does nothing. What it cannot remove
// belongs to no volume, and Collect removes it.
func (w *Writer) Abort() {
	if w.done {
		return
	}
	w.done = true
	w.packs.stop(context.Canceled)
	_ = w.retract(context.WithoutCancel(w.packs.ctx))
	w.pins.drop()
	w.release()
}
