package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"borealis/internal/cloud"
	"borealis/internal/durable"
)

// A record is what engine.json keeps of an engine. An engine exists when it has
// one: it is written when all else is on disk.
type record struct {
	Format  int    // recordFormat
	Version string // the version that the engine was last started with
	Port    int    // the port that it last listened on; 0 if it never did
	Locale  Locale
}

const recordFormat = 1

func (e *Engines) recordFile(dir string) string { return filepath.Join(dir, "engine.json") }

// record reads engine id's record; cloud.ErrNotFound if there is no such engine.
func (e *Engines) record(id string) (record, error) {
	data, err := os.ReadFile(e.recordFile(e.engineDir(id)))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, notFound(id)
	}
	if err != nil {
		return record{}, fmt.Errorf("read record of engine %s: %w", id, err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, fmt.Errorf("read record of engine %s: %w", id, err)
	}
	if r.Format != recordFormat {
		return record{}, fmt.Errorf("read record of engine %s: format %d, this program knows %d", id, r.Format, recordFormat)
	}
	return r, nil
}

func (e *Engines) writeRecord(dir string, r record) error {
	r.Format = recordFormat
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return durable.WriteFile(e.recordFile(dir), data, 0o600)
}

// Create makes engine id, empty and stopped, of an installed version ("15.18",
// or "15" for the newest 15; the newest of all if ""). Creating one that exists
// changes nothing. When it returns nil the engine survives a crash of the
// machine; when it does not, nothing is left. It returns a NotInstalledError if
// the version is not there.
func (e *Engines) Create(ctx context.Context, id, version string) error {
	ctx, _, release, err := e.take(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	if exists(e.recordFile(e.engineDir(id))) {
		return nil
	}
	v, err := e.find(version)
	if err != nil {
		return err
	}
	template, err := e.template(ctx, v)
	if err != nil {
		return fmt.Errorf("create engine %s: %w", id, err)
	}
	if err := e.discard(e.engineDir(id)); err != nil { // a restore that did not end
		return fmt.Errorf("create engine %s: %w", id, err)
	}
	if err := e.build(ctx, id, template, v); err != nil {
		return fmt.Errorf("create engine %s: %w", id, err)
	}
	return nil
}

// build makes engine id's directory from a template, under another name until
// all of it is on disk.
func (e *Engines) build(ctx context.Context, id, template string, v Version) error {
	locale, err := templateLocale(template)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(e.path("engines"), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // after the rename there is nothing to remove
	if err := os.Chmod(tmp, 0o711); err != nil {
		return err
	}
	data := filepath.Join(tmp, "data")
	synced, err := e.takeSpare(ctx, data, template, v)
	if err != nil {
		return err
	}
	if err := newIdentity(data); err != nil {
		return err
	}
	if !synced {
		if err := e.sync(tmp); err != nil {
			return err
		}
	}
	if err := e.writeRecord(tmp, record{Version: v.Full, Locale: locale}); err != nil {
		return err
	}
	if err := os.Rename(tmp, e.engineDir(id)); err != nil {
		return err
	}
	return durable.SyncDir(e.path("engines"))
}

// Remove stops engine id and removes all of it: no process, port or file is
// left. Removing what does not exist is not an error, so that it can be
// repeated after a crash.
func (e *Engines) Remove(ctx context.Context, id string) error {
	ctx, g, release, err := e.take(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	g.shutdown(ctx)
	dir := e.engineDir(id)
	if !exists(dir) {
		return nil
	}
	if err := e.stopOrphans(ctx, e.dataDir(id)); err != nil {
		return fmt.Errorf("remove engine %s: %w", id, err)
	}
	if err := errors.Join(e.removeSocketDir(id), e.discard(dir)); err != nil {
		return fmt.Errorf("remove engine %s: %w", id, err)
	}
	g.set(Status{State: Stopped})
	return nil
}

// discard removes dir, which may be absent. It is renamed first, so that a
// crash leaves it whole or leaves waste that New removes.
func (e *Engines) discard(dir string) error {
	if !exists(dir) {
		return nil
	}
	waste, err := os.MkdirTemp(e.path("engines"), ".gone-")
	if err != nil {
		return err
	}
	if err := errors.Join(os.Rename(dir, filepath.Join(waste, "engine")), durable.SyncDir(e.path("engines"))); err != nil {
		return err
	}
	return os.RemoveAll(waste)
}

// RestoreDir begins a restore into engine id, which must not exist
// (cloud.ErrExists). It returns an empty directory, for the files that Backup
// named; then Adopt makes an engine of it. A restore that did not end is begun
// anew.
func (e *Engines) RestoreDir(ctx context.Context, id string) (string, error) {
	_, _, release, err := e.take(ctx, id)
	if err != nil {
		return "", err
	}
	defer release()
	dir := e.engineDir(id)
	if exists(e.recordFile(dir)) {
		return "", fmt.Errorf("restore engine %s: %w", id, cloud.ErrExists)
	}
	if err := e.discard(dir); err != nil {
		return "", fmt.Errorf("restore engine %s: %w", id, err)
	}
	// MkdirAll obeys the umask; the engine user has to get through.
	err = errors.Join(os.Mkdir(dir, 0o711), os.Chmod(dir, 0o711), os.Mkdir(e.dataDir(id), 0o700))
	if err != nil {
		return "", fmt.Errorf("restore engine %s: %w", id, err)
	}
	return e.dataDir(id), nil
}

// Adopt makes a stopped engine of the files in RestoreDir's directory, which a
// Backup with facts f had named. Its roles and passwords are the snapshot's.
// Adopting what is an engine already changes nothing. When it returns nil the
// engine survives a crash of the machine. It returns an IncompatibleError or a
// NotInstalledError when the files cannot run on this machine.
func (e *Engines) Adopt(ctx context.Context, id string, f Facts) error {
	ctx, _, release, err := e.take(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	dir, data := e.engineDir(id), e.dataDir(id)
	switch {
	case exists(e.recordFile(dir)):
		return nil
	case !exists(data):
		return notFound(id)
	}
	v, err := e.Compatible(ctx, f)
	if err != nil {
		return err
	}
	err = completeTree(data)
	if err == nil {
		err = e.user.ownAll(data)
	}
	if err == nil {
		err = errors.Join(e.sync(dir), durable.SyncDir(e.path("engines")))
	}
	if err == nil {
		err = e.writeRecord(dir, record{Version: v.Full, Locale: f.Locale})
	}
	if err != nil {
		return fmt.Errorf("adopt engine %s: %w", id, err)
	}
	return nil
}
