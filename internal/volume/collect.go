package volume

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"borealis/internal/cloud"
)

// Delete removes a volume, what an unfinished Copy to it has left, and the
// chunks that no other volume refers to. No key is needed. Deleting what is not
// there is not an error. After an error the volume may be there or not, and
// chunks may be left that belong to none; Delete again and Collect settle that.
// A volume that is being written is not deleted: cloud.ErrConflict. One that is
// being read is, and the reader goes on undisturbed.
func (e *Engine) Delete(ctx context.Context, id string) error {
	if err := e.delete(ctx, id); err != nil {
		return fmt.Errorf("delete volume %s: %w", id, err)
	}
	return nil
}

func (e *Engine) delete(ctx context.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	release, err := e.claim("volume", id)
	if err != nil {
		return err
	}
	defer release()
	vaults, err := e.vaultsOf(ctx, id)
	if err != nil {
		return err
	}
	for _, v := range vaults {
		if err := e.deleteFrom(ctx, id, v); err != nil {
			return err
		}
	}
	return nil
}

// vaultsOf lists the vaults that have manifests of volume id. There is more than
// one only after attempts under different data keys.
func (e *Engine) vaultsOf(ctx context.Context, id string) ([]string, error) {
	var vaults []string
	for _, dir := range []string{volumesDir, progressDir} {
		names, err := e.list(ctx, dir+id+".")
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if v := name[len(dir)+len(id)+1:]; len(v) >= 2*vaultLen {
				vaults = append(vaults, v[:2*vaultLen])
			}
		}
	}
	slices.Sort(vaults)
	return slices.Compact(vaults), nil
}

func (e *Engine) deleteFrom(ctx context.Context, id, vault string) error {
	v := e.vault(vault)
	if err := v.acquire(ctx); err != nil {
		return err
	}
	defer v.release()
	// First the volume, durably, then its packs: what can be opened is whole.
	if err := e.removeManifests(ctx, volumeName(id, vault)); err != nil {
		return err
	}
	if err := e.removeManifests(ctx, progressPrefix(id, vault)); err != nil {
		return err
	}
	return e.collect(ctx, vault, v)
}

// removeManifests deletes the objects whose names start with prefix.
func (e *Engine) removeManifests(ctx context.Context, prefix string) error {
	names, err := e.list(ctx, prefix)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := e.backend.Delete(ctx, name); err != nil {
			return fmt.Errorf("delete %s: %w", name, err)
		}
	}
	return nil
}

// Collect removes the packs of the given vaults, or of all if none is given,
// that no volume refers to and nobody is using: what crashes and failures have
// left behind. It is called when a process starts and after operations that have
// failed. No key is needed. A vault with a manifest whose pack list cannot
// be read is left as it is, and the error says so: who knows what it refers to.
func (e *Engine) Collect(ctx context.Context, vaults ...string) error {
	if len(vaults) == 0 {
		names, err := e.list(ctx, packsDir)
		if err != nil {
			return fmt.Errorf("collect: %w", err)
		}
		for _, name := range names {
			if v, _, ok := parsePack(name); ok && !slices.Contains(vaults, v) {
				vaults = append(vaults, v)
			}
		}
	}
	var errs []error
	for _, name := range vaults {
		v := e.vault(name)
		err := v.acquire(ctx)
		if err == nil {
			err = e.collect(ctx, name, v)
			v.release()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("collect vault %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// collect is Collect of one vault, whose lock is held.
func (e *Engine) collect(ctx context.Context, vault string, v *vault) error {
	// The list of packs comes first: a pack that comes later is nobody's yet
	// in any manifest, and must not be taken for garbage.
	there, err := e.packSizes(ctx, vault)
	if err != nil || len(there) == 0 {
		return err
	}
	volumes, progress, err := e.manifests(ctx, vault)
	if err != nil {
		return err
	}
	for _, name := range append(volumes, progress...) {
		p, err := e.readPublic(ctx, name)
		if err != nil {
			return err
		}
		for _, x := range p.packs {
			delete(there, x.name)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for n := range there {
		if v.pinned(n) {
			continue
		}
		g.Go(func() error {
			name := n.object(vault)
			if err := e.backend.Delete(ctx, name); err != nil && !errors.Is(err, cloud.ErrNotFound) {
				return fmt.Errorf("delete %s: %w", name, err)
			}
			return nil
		})
	}
	return g.Wait()
}
