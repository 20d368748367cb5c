package volume

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// A vault is what this process knows of the volumes under one data key: who
// uses which packs just now. The names of packs in use are pinned: a collector
// keeps them although no manifest refers to them, or refers to them any more.
//
// The lock orders the moments at which manifests come, go and are counted:
// reading manifests and pinning their packs, putting a manifest, and collecting
// hold it; reading and writing chunks do not.
type vault struct {
	lock chan struct{} // holds one value while someone has the lock

	mu    sync.Mutex
	pins  map[packName]int
	times map[string]int64 // when the volumes were made, of the manifests that were asked
}

func (e *Engine) vault(name string) *vault {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := e.vaults[name]
	if v == nil {
		v = &vault{lock: make(chan struct{}, 1), pins: map[packName]int{}, times: map[string]int64{}}
		e.vaults[name] = v
	}
	return v
}

// acquire takes the lock, or gives up when ctx ends.
func (v *vault) acquire(ctx context.Context) error {
	select {
	case v.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (v *vault) release() { <-v.lock }

func (v *vault) pinned(n packName) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.pins[n] > 0
}

// made notes when the volume of manifest name was made.
func (v *vault) made(name string, at int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.times[name] = at
}

func (v *vault) madeAt(name string) (at int64, known bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	at, known = v.times[name]
	return at, known
}

// newestFirst sorts the manifests of a vault by when they were made, those that
// do not say it last. It reads the public part of those that it has not read before.
func (e *Engine) newestFirst(ctx context.Context, v *vault, names []string) ([]string, error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, name := range names {
		if _, known := v.madeAt(name); known {
			continue
		}
		g.Go(func() error {
			if p, err := e.readPublic(gctx, name); err == nil {
				v.made(name, p.made)
			}
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, context.Cause(ctx)
	}
	names = slices.Clone(names)
	slices.SortStableFunc(names, func(a, b string) int {
		x, _ := v.madeAt(a)
		y, _ := v.madeAt(b)
		return cmp.Compare(y, x)
	})
	return names, nil
}

// A pinning is the packs that one operation keeps from collectors.
type pinning struct {
	vault *vault
	names []packName
}

// pin adds packs. The caller holds the vault's lock, or the packs are new.
func (p *pinning) pin(packs ...pack) {
	p.vault.mu.Lock()
	defer p.vault.mu.Unlock()
	for _, x := range packs {
		p.vault.pins[x.name]++
		p.names = append(p.names, x.name)
	}
}

// drop gives the packs free. It may be called again.
func (p *pinning) drop() {
	p.vault.mu.Lock()
	defer p.vault.mu.Unlock()
	for _, n := range p.names {
		if p.vault.pins[n]--; p.vault.pins[n] == 0 {
			delete(p.vault.pins, n)
		}
	}
	p.names = nil
}

// manifests lists the manifests of a vault: its volumes, and the progress
// records of copies into it.
func (e *Engine) manifests(ctx context.Context, vault string) (volumes, progress []string, err error) {
	names, err := e.list(ctx, volumesDir)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		if _, v, ok := splitVolume(name); ok && v == vault {
			volumes = append(volumes, name)
		}
	}
	names, err = e.list(ctx, progressDir)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		if strings.Contains(name, "."+vault+".") {
			progress = append(progress, name)
		}
	}
	return volumes, progress, nil
}

// readPublic reads the public part of a manifest and nothing else of it.
func (e *Engine) readPublic(ctx context.Context, name string) (*public, error) {
	fixed := make([]byte, fixedSize)
	if err := e.backend.GetRange(ctx, name, 0, fixed); err != nil {
		return nil, unreadable(name, err)
	}
	size, err := publicSize(name, fixed)
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if err := e.backend.GetRange(ctx, name, 0, data); err != nil {
		return nil, unreadable(name, err)
	}
	p, err := decodePublic(name, data)
	if err != nil {
		return nil, err
	}
	if err := p.checkPlace(name); err != nil {
		return nil, err
	}
	return p, nil
}

// checkPlace makes sure that a manifest is the one that its object's name says.
func (p *public) checkPlace(name string) error {
	vault := p.header().Vault
	if p.kind == kindVolume && name == volumeName(p.id, vault) {
		return nil
	}
	if p.kind == kindProgress && strings.HasPrefix(name, progressPrefix(p.id, vault)) {
		return nil
	}
	return damaged(name, "it is the manifest of volume %s", p.id)
}

func progressPrefix(id, vault string) string { return fmt.Sprintf("%s%s.%s.", progressDir, id, vault) }

// packSizes lists the packs of a vault that are there.
func (e *Engine) packSizes(ctx context.Context, vault string) (map[packName]int64, error) {
	prefix := packsDir + vault + "/"
	objects, err := e.backend.List(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	sizes := make(map[packName]int64, len(objects))
	for _, o := range objects {
		if _, n, ok := parsePack(o.Name); ok {
			sizes[n] = o.Size
		}
	}
	return sizes, nil
}
