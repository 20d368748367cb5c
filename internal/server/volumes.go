package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"borealis/internal/durable"
	"borealis/internal/volume"
	"borealis/internal/volume/cache"
	"borealis/internal/volume/disk"
	"borealis/internal/volume/s3"
	"borealis/internal/volume/scrub"
)

// DefaultVolumesCache is how many bytes of snapshots in S3 are kept on the local
// disk, too, unless told otherwise.
const DefaultVolumesCache = 4 << 30

// leaseGrace is how long giving the lease of a bucket back may take.
const leaseGrace = 5 * time.Second

// volumesFile says where the data directory's snapshots are, if that is not in it.
const volumesFile = "volumes.json"

// A volumesPlace is what it says.
type volumesPlace struct {
	Owner    string `json:"owner"`    // by which the store knows the data directory
	Location string `json:"location"` // "" as long as there is nothing
}

func (d *dataDir) volumesPlace() (p volumesPlace, err error) {
	text, err := os.ReadFile(d.join(volumesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return p, fmt.Errorf("read where the snapshots are: %w", err)
	}
	return p, nil
}

func (d *dataDir) setVolumesPlace(p volumesPlace) error {
	text, err := json.Marshal(p)
	if err == nil {
		err = durable.WriteFile(d.join(volumesFile), append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("note where the snapshots are: %w", err)
	}
	return nil
}

// openVolumes opens the snapshots where they are, or, if there are none yet,
// where the configuration says. In S3 they are only read, unless s serves.
func (s *Server) openVolumes(ctx context.Context) error {
	place, err := s.dir.volumesPlace()
	if err != nil {
		return err
	}
	if s.cfg.Volumes == "" && place.Location == "" {
		files, err := disk.Open(s.dir.join("volumes"))
		if err != nil {
			return err
		}
		return s.keepVolumes(files, files)
	}
	if err := s.openBucket(ctx, place); err != nil {
		return err
	}
	backend := volume.Backend(s.bucket)
	if s.serving && s.cfg.VolumesCache > 0 {
		if s.cached, err = s.openCache(); err != nil {
			return err
		}
		s.meters.watchCache(s)
		backend = s.cached
	}
	return s.keepVolumes(s.bucket, backend)
}

// keepVolumes makes the engine over a backend, whose checksums are noted and whose
// requests are counted. raw is the same without a cache.
func (s *Server) keepVolumes(raw, backend volume.Backend) (err error) {
	if s.notes, err = scrub.Open(backend, s.dir.join("volumes-sums")); err != nil {
		return err
	}
	s.raw = raw
	s.volumes = volume.New(measured{s.notes, s.meters})
	return nil
}

// openBucket opens the store in S3 and, if s serves, takes its lease.
func (s *Server) openBucket(ctx context.Context, place volumesPlace) error {
	text := s.cfg.Volumes
	if text == "" {
		text = place.Location
	}
	location, err := s3.ParseLocation(text)
	if err != nil {
		return err
	}
	if place.Location == "" {
		if err := s.dir.noVolumes(); err != nil {
			return err
		}
	}
	if place.Owner == "" {
		// Before the store is made: one that is made is known to be ours.
		place.Owner = rand.Text()
		if err := s.dir.setVolumesPlace(place); err != nil {
			return err
		}
	}
	s.bucket, err = s3.Open(ctx, s3.Options{
		Location: location, Owner: place.Owner, Existing: place.Location != "", Place: s.dir.place(), Log: s.cfg.Log})
	if err != nil || !s.serving {
		return err
	}
	if err := s.bucket.Acquire(ctx); err != nil {
		return err
	}
	if place.Location != location.String() {
		place.Location = location.String()
		return s.dir.setVolumesPlace(place)
	}
	return nil
}

// openCache opens the cache of a store in S3. Packs never change, and have names
// that no other ever has; all else is asked for each time.
func (s *Server) openCache() (*cache.Cache, error) {
	dir := s.dir.join("volumes-cache")
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return cache.Open(s.bucket, dir, s.cfg.VolumesCache, func(name string) bool { return strings.HasPrefix(name, "packs/") })
}

// noVolumes makes sure that there are no snapshots in the data directory: they
// would not be found in S3.
func (d *dataDir) noVolumes() error {
	err := filepath.WalkDir(d.join("volumes"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			return refuse(ErrVolumes, "the snapshots of data directory %s are in %s, and stay there; --volumes is for a data directory that has none yet", d.path, d.join("volumes"))
		}
		return err
	})
	return err
}

// place names the data directory's lock among all locks of all machines, until
// the next boot of this one; "" if it cannot be named.
func (d *dataDir) place() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	st, err := d.lock.Stat()
	if err != nil {
		return ""
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s %d %d", strings.TrimSpace(string(boot)), sys.Dev, sys.Ino)
}

// closeVolumes ends the use of the snapshots: the lease of a store in S3 is given
// back.
func (s *Server) closeVolumes() error {
	var err error
	if s.notes != nil {
		err = s.notes.Close()
	}
	if s.bucket == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaseGrace)
	defer cancel()
	return errors.Join(err, s.bucket.Close(ctx))
}

// watchBucket ends the server when another has taken its store.
func (s *Server) watchBucket(ctx context.Context) error {
	if s.bucket == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-s.bucket.Lost():
		return fmt.Errorf("%w; this one has stopped", s3.ErrInUse)
	}
}
