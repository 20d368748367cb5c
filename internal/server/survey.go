package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"borealis/internal/clusters"
	"borealis/internal/durable"
	"borealis/internal/volume"
	"borealis/internal/volume/scrub"
)

// A VolumeSize is how large a snapshot is, in bytes. Packs that it shares with
// others are in Stored of each of them.
type VolumeSize struct {
	Volume   string `json:"volume"`
	Snapshot string `json:"snapshot,omitempty"` // its ARN; "" for one that no snapshot has
	Key      string `json:"key"`                // ARN of the KMS key; "none" if there is none
	Logical  int64  `json:"logical"`            // of its data; 0 if no snapshot has it
	Stored   int64  `json:"stored"`             // all that it needs
	Own      int64  `json:"own"`                // what deleting it would free
}

// A KeySize is the size of all snapshots under a key.
type KeySize struct {
	Key       string `json:"key"`
	Snapshots int    `json:"snapshots"`
	Logical   int64  `json:"logical"`
	Stored    int64  `json:"stored"` // each pack once
}

// VolumeStats says how much there is of snapshots.
type VolumeStats struct {
	Place      string       `json:"place"` // a directory or a URL
	Volumes    []VolumeSize `json:"volumes"`
	Keys       []KeySize    `json:"keys"`
	Logical    int64        `json:"logical"`
	Stored     int64        `json:"stored"` // all bytes of all objects
	Garbage    int64        `json:"garbage"`
	Problems   int          `json:"problems"`
	ScrubbedAt time.Time    `json:"scrubbed_at,omitzero"` // when a scrub last ended
}

// A VolumeCheck is what a check has found.
type VolumeCheck struct {
	Place    string          `json:"place"`
	Volumes  int             `json:"volumes"`
	Bytes    int64           `json:"bytes"` // that were read
	Problems []VolumeProblem `json:"problems"`
}

// A VolumeProblem is an object that is missing or damaged.
type VolumeProblem struct {
	volume.Problem
	Snapshots []string `json:"snapshots,omitempty"` // ARNs of those that need it
}

// VolumeStats says how much there is of snapshots.
func (s *Server) VolumeStats(ctx context.Context) (VolumeStats, error) {
	survey, owners, err := s.survey(ctx)
	if err != nil {
		return VolumeStats{}, err
	}
	out := VolumeStats{Place: s.volumesAt(), Volumes: []VolumeSize{}, Keys: []KeySize{}, ScrubbedAt: s.lastScrub(),
		Stored: survey.Packs + survey.Manifests, Garbage: survey.Garbage, Problems: len(survey.Problems)}
	keys := map[string]*KeySize{}
	for _, v := range survey.Volumes {
		owner := owners[v.ID]
		out.Volumes = append(out.Volumes, VolumeSize{Volume: v.ID, Snapshot: owner.arn(), Key: v.KeyARN,
			Logical: owner.Volume.Bytes, Stored: v.Stored + v.Manifest, Own: v.Own + v.Manifest})
		out.Logical += owner.Volume.Bytes
		k := keys[v.KeyARN]
		if k == nil {
			k = &KeySize{Key: v.KeyARN, Stored: survey.Keys[v.KeyARN]}
			keys[v.KeyARN] = k
		}
		k.Snapshots++
		k.Logical += owner.Volume.Bytes
		k.Stored += v.Manifest
	}
	for _, k := range keys {
		out.Keys = append(out.Keys, *k)
	}
	slices.SortFunc(out.Keys, func(a, b KeySize) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// owner is the snapshot that has a volume.
type owner struct{ clusters.Snapshot }

func (o owner) arn() string {
	if o.Name == "" {
		return ""
	}
	return fmt.Sprintf("arn:aws:rds:%s:%s:cluster-snapshot:%s", o.Region, o.Account, o.Name)
}

// survey looks at the volumes, and says which snapshots have them.
func (s *Server) survey(ctx context.Context) (*volume.Survey, map[string]owner, error) {
	owners, err := s.owners(ctx)
	if err != nil {
		return nil, nil, err
	}
	survey, err := s.volumes.Survey(ctx)
	return survey, owners, err
}

// owners are the snapshots, by the ids of their volumes.
func (s *Server) owners(ctx context.Context) (map[string]owner, error) {
	owners := map[string]owner{}
	err := s.db.Clusters().View(ctx, func(tx clusters.Tx) error {
		all, err := tx.Snapshots().All()
		for _, x := range all {
			owners[x.VolumeID] = owner{x}
		}
		return err
	})
	return owners, err
}

// missing names the volumes of snapshots that are not there: of those that were
// available before the survey and still are.
func (s *Server) missing(ctx context.Context, survey *volume.Survey, before map[string]owner) ([]string, error) {
	there := map[string]bool{}
	for _, v := range survey.Volumes {
		there[v.ID] = true
	}
	after, err := s.owners(ctx)
	var missing []string
	for id, o := range before {
		if !there[id] && o.Status == clusters.SnapshotAvailable && after[id].Status == clusters.SnapshotAvailable {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	return missing, err
}

// volumesAt is where the volumes are.
func (s *Server) volumesAt() string {
	if s.bucket != nil {
		return s.bucket.String()
	}
	return s.dir.join("volumes")
}

// CheckVolumes looks whether all that snapshots need is there and, with readData,
// whether it is what was written. progress may be nil.
func (s *Server) CheckVolumes(ctx context.Context, readData bool, progress volume.Progress) (VolumeCheck, error) {
	return s.checkVolumes(ctx, readData, 0, progress)
}

func (s *Server) checkVolumes(ctx context.Context, readData bool, rate int64, progress volume.Progress) (VolumeCheck, error) {
	survey, owners, err := s.survey(ctx)
	if err != nil {
		return VolumeCheck{}, err
	}
	out := VolumeCheck{Place: s.volumesAt(), Volumes: len(survey.Volumes), Problems: []VolumeProblem{}}
	found := func(p volume.Problem) {
		x := VolumeProblem{Problem: p}
		for _, id := range p.Volumes {
			if arn := owners[id].arn(); arn != "" {
				x.Snapshots = append(x.Snapshots, arn)
			}
		}
		out.Problems = append(out.Problems, x)
	}
	missing, err := s.missing(ctx, survey, owners)
	if err != nil {
		return VolumeCheck{}, err
	}
	for _, id := range missing {
		found(volume.Problem{Object: "volumes/" + id, Volumes: []string{id}, Message: "it is missing"})
	}
	for _, p := range survey.Problems {
		found(p)
	}
	if readData {
		out.Bytes, err = s.notes.Read(ctx, s.raw, scrub.Options{Rate: rate, Progress: progress, Found: func(p volume.Problem) {
			if p.Volumes, err = s.volumes.Users(ctx, p.Object); err != nil {
				s.cfg.Log.WarnContext(ctx, "who needs a damaged object is not known", "object", p.Object, "err", err)
			}
			found(p)
		}})
	}
	return out, err
}

// scrubbedFile says when a scrub last ended.
const scrubbedFile = "volumes-scrubbed.json"

// lastScrub is when one last ended; zero if none has.
func (s *Server) lastScrub() (at time.Time) {
	text, err := os.ReadFile(s.dir.join(scrubbedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return at
	}
	if err == nil {
		err = json.Unmarshal(text, &at)
	}
	if err != nil {
		s.cfg.Log.Warn("when snapshots were last scrubbed is not known", "err", err)
		return time.Time{}
	}
	return at
}

// scrubSoon is how long after its start a server begins with a scrub that is due.
const scrubSoon = 10 * time.Minute

// scrubVolumes looks at the snapshots from time to time, and tells the operator
// what has become of them.
func (s *Server) scrubVolumes(ctx context.Context) error {
	if s.cfg.ScrubEvery <= 0 {
		return nil
	}
	for {
		wait := max(time.Until(s.lastScrub().Add(s.cfg.ScrubEvery)), min(scrubSoon, s.cfg.ScrubEvery))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
			s.scrubOnce(ctx)
		}
	}
}

// scrubOnce is one scrub. In S3 it looks at what is there, and leaves it to S3
// to read that.
func (s *Server) scrubOnce(ctx context.Context) {
	began := time.Now()
	last := int64(0)
	check, err := s.checkVolumes(ctx, s.bucket == nil, s.cfg.ScrubRate, func(done, _ int64) {
		s.meters.scrubBytes.Add(float64(done - last))
		last = done
	})
	if err == nil {
		err = s.scrubEnded(ctx, check)
	}
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.ErrorContext(ctx, "the snapshots could not be scrubbed; it is tried again", "err", err)
	}
	if err != nil {
		return
	}
	for _, p := range check.Problems {
		s.cfg.Log.ErrorContext(ctx, "data of snapshots are damaged; copies under other keys are stored apart and may be whole: "+
			"check them by restoring one, then delete all snapshots named here, so that new ones store the data again, and look at the disk",
			"object", p.Object, "problem", p.Message, "snapshots", p.Snapshots)
	}
	s.cfg.Log.InfoContext(ctx, "scrubbed the snapshots", "volumes", check.Volumes, "bytes", check.Bytes, "problems", len(check.Problems), "took", time.Since(began).Round(time.Millisecond))
}

// scrubEnded notes that a scrub has ended, and how.
func (s *Server) scrubEnded(ctx context.Context, check VolumeCheck) error {
	stats, err := s.VolumeStats(ctx)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	text, err := now.MarshalJSON()
	if err != nil {
		return err
	}
	if err := durable.WriteFile(s.dir.join(scrubbedFile), text, 0o600); err != nil {
		return err
	}
	s.meters.scrubbed.Set(float64(now.Unix()))
	s.meters.problems.Set(float64(len(check.Problems)))
	for kind, bytes := range map[string]int64{"logical": stats.Logical, "stored": stats.Stored, "garbage": stats.Garbage} {
		s.meters.held.WithLabelValues(kind).Set(float64(bytes))
	}
	return nil
}
