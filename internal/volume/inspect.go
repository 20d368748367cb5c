package volume

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A Survey is what can be known of a backend without any key.
type Survey struct {
	Volumes []Surveyed // in order of their ids
	// Packs is the bytes of all packs, and Garbage of those that no volume and no
	// copy under way refers to: operations under way, or what Collect removes.
	Packs, Garbage int64
	Keys           map[string]int64 // bytes of the packs of volumes, by the ARN of their KMS key
	Manifests      int64            // bytes
	Problems       []Problem
}

// A Surveyed is one volume of a Survey.
type Surveyed struct {
	Header
	Manifest int64 // bytes
	Stored   int64 // bytes of the packs that it refers to
	Own      int64 // of these, of packs that no other volume refers to
}

// A Problem is an object that is missing or not what it has to be.
type Problem struct {
	Object  string   `json:"object"`
	Volumes []string `json:"volumes,omitempty"` // the ids of those that need it
	Message string   `json:"message"`
}

// Survey looks at all manifests and at the sizes of all packs. Problems are no
// error; that the backend cannot be read is.
func (e *Engine) Survey(ctx context.Context) (*Survey, error) {
	s, err := e.survey(ctx)
	if err != nil {
		return nil, fmt.Errorf("survey volumes: %w", err)
	}
	return s, nil
}

func (e *Engine) survey(ctx context.Context) (*Survey, error) {
	objects, err := e.backend.List(ctx, "")
	if err != nil {
		return nil, err
	}
	var vaults []string
	for _, o := range objects {
		if v, _, ok := parsePack(o.Name); ok {
			vaults = append(vaults, v)
		} else if _, v, ok := splitVolume(o.Name); ok {
			vaults = append(vaults, v)
		}
	}
	slices.Sort(vaults)
	s := &Survey{Keys: map[string]int64{}}
	for _, v := range slices.Compact(vaults) {
		if err := e.surveyVault(ctx, v, s); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(s.Volumes, func(a, b Surveyed) int { return strings.Compare(a.ID, b.ID) })
	return s, nil
}

// surveyVault adds one vault, while no volume of it comes or goes.
func (e *Engine) surveyVault(ctx context.Context, name string, s *Survey) error {
	v := e.vault(name)
	if err := v.acquire(ctx); err != nil {
		return err
	}
	defer v.release()
	there, err := e.packSizes(ctx, name)
	if err != nil {
		return err
	}
	volumes, progress, err := e.manifests(ctx, name)
	if err != nil {
		return err
	}
	sizes, err := e.backend.List(ctx, volumesDir)
	if err != nil {
		return err
	}
	manifestSize := map[string]int64{}
	for _, o := range sizes {
		manifestSize[o.Name] = o.Size
	}
	users := map[packName][]string{}
	var found []*public
	for _, object := range append(volumes, progress...) {
		p, err := e.readPublic(ctx, object)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			s.Problems = append(s.Problems, Problem{Object: object, Message: err.Error()})
			continue
		}
		for _, x := range p.packs {
			users[x.name] = append(users[x.name], p.id)
		}
		if p.kind == kindVolume {
			found = append(found, p)
		}
	}
	s.checkPacks(name, found, there, users)
	for _, p := range found {
		out := Surveyed{Header: p.header(), Manifest: manifestSize[volumeName(p.id, name)]}
		for _, x := range p.packs {
			out.Stored += int64(x.size)
			if len(users[x.name]) == 1 {
				out.Own += int64(x.size)
			}
		}
		s.Manifests += out.Manifest
		s.Volumes = append(s.Volumes, out)
	}
	for n, size := range there {
		s.Packs += size
		switch {
		case len(users[n]) == 0:
			s.Garbage += size
		case len(found) > 0: // all volumes of a vault are under one key
			s.Keys[found[0].KeyARN] += size
		}
	}
	return nil
}

// checkPacks notes the packs of volumes that are missing or have another size.
func (s *Survey) checkPacks(vault string, volumes []*public, there map[packName]int64, users map[packName][]string) {
	noted := map[packName]bool{}
	for _, p := range volumes {
		for _, x := range p.packs {
			size, ok := there[x.name]
			if noted[x.name] || ok && size == int64(x.size) {
				continue
			}
			noted[x.name] = true
			message := "it is missing"
			if ok {
				message = fmt.Sprintf("it has %d bytes, not %d", size, x.size)
			}
			s.Problems = append(s.Problems, Problem{Object: x.name.object(vault), Volumes: users[x.name], Message: message})
		}
	}
}

// Users names the volumes that refer to a pack, by the name of its object. For
// an object that is a volume's manifest it names that volume.
func (e *Engine) Users(ctx context.Context, object string) ([]string, error) {
	if id, _, ok := splitVolume(object); ok {
		return []string{id}, nil
	}
	vault, n, ok := parsePack(object)
	if !ok {
		return nil, nil
	}
	volumes, _, err := e.manifests(ctx, vault)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, name := range volumes {
		p, err := e.readPublic(ctx, name)
		if err != nil {
			continue // which Survey says of it
		}
		if slices.ContainsFunc(p.packs, func(x pack) bool { return x.name == n }) {
			ids = append(ids, p.id)
		}
	}
	return ids, nil
}
