package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"borealis/internal/durable"
)

// A spare is a copy of a template that is on disk already. Create takes it by
// renaming it, which spares its caller the wait for the disk; the next one is
// made in the background, a moment later, out of the way of the engine that is
// about to start.
const spareDelay = 2 * time.Second

func (e *Engines) spareDir(v Version) string { return e.path("spares", templateName(v)) }

// makeSpare makes the spare of version v if there is none.
func (e *Engines) makeSpare(ctx context.Context, v Version) error {
	unlock, err := e.spares.lock(ctx, v.Full)
	if err != nil {
		return err
	}
	defer unlock()
	if exists(e.spareDir(v)) {
		return nil
	}
	template, err := e.template(ctx, v)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(e.path("spares"), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // after the rename there is nothing in it
	data := filepath.Join(tmp, "data")
	if err := copyTree(ctx, data, filepath.Join(template, "data"), e.user); err != nil {
		return err
	}
	if err := e.sync(tmp); err != nil {
		return err
	}
	return errors.Join(os.Rename(data, e.spareDir(v)), durable.SyncDir(e.path("spares")))
}

// refill makes the next spare of version v in the background.
func (e *Engines) refill(v Version) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.life.Err() != nil {
		return
	}
	e.background.Go(func() {
		select {
		case <-e.life.Done():
			return
		case <-time.After(spareDelay):
		}
		if err := e.makeSpare(e.life, v); err != nil && e.life.Err() == nil {
			e.log.Warn("no spare for the next engine: it will take longer to create", "version", v.Full, "err", err)
		}
	})
}

// takeSpare puts the data directory of a fresh engine of version v at data: the
// spare, or else a new copy of the template, which is not durable yet.
func (e *Engines) takeSpare(ctx context.Context, data, template string, v Version) (durable bool, err error) {
	defer e.refill(v)
	if os.Rename(e.spareDir(v), data) == nil {
		return true, nil
	}
	return false, copyTree(ctx, data, filepath.Join(template, "data"), e.user)
}

// prune removes the templates and spares of versions that are gone.
func (e *Engines) prune(have []Version) error {
	var err error
	for _, kind := range []string{"templates", "spares"} {
		entries, rerr := os.ReadDir(e.path(kind))
		err = errors.Join(err, rerr)
		for _, x := range entries {
			if x.Name()[0] != '.' && !slices.ContainsFunc(have, func(v Version) bool { return templateName(v) == x.Name() }) {
				err = errors.Join(err, e.discard(e.path(kind, x.Name())))
			}
		}
	}
	if err != nil {
		return fmt.Errorf("remove templates of versions that are gone: %w", err)
	}
	return nil
}
