package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A File is one file of a backup.
type File struct {
	// Name is its place in the data directory, with slashes: "base/5/1259".
	Name string
	// Path is where to read it now, if Data is nil. A running server writes to
	// it, makes it longer or shorter, or removes it meanwhile: whatever is read,
	// and even nothing at all, is right, for WAL makes up for it.
	Path string
	// Data is its contents, if not nil.
	Data []byte
	// Size is how long it was when it was listed, in bytes.
	Size int64
	Mode fs.FileMode
}

// Backup gives the files of engine id to store, which reads them: first all
// data files, then in a second call those few that make them consistent. Both
// together, restored, are the engine as it was at the end of the backup. A
// running server goes on working; one that ended in disorder is started first,
// to recover, and stopped afterwards. The engine cannot be stopped or changed
// until Backup returns. A TablespaceError says that there is data elsewhere.
func (e *Engines) Backup(ctx context.Context, id string, store func(context.Context, []File) error) (Facts, error) {
	ctx, g, release, err := e.take(ctx, id)
	if err != nil {
		return Facts{}, err
	}
	defer release()
	f, err := e.backup(ctx, g, store)
	if err != nil {
		return Facts{}, fmt.Errorf("back up engine %s: %w", id, err)
	}
	return f, nil
}

func (e *Engines) backup(ctx context.Context, g *engine, store func(context.Context, []File) error) (Facts, error) {
	r, err := e.record(g.id)
	if err != nil {
		return Facts{}, err
	}
	v, err := e.find(r.Version)
	if err != nil {
		return Facts{}, err
	}
	data := e.dataDir(g.id)
	switch g.get().State {
	case Running:
	case Restarting: // it is wanted, so it stays
		if _, err := e.start(ctx, g, StartSpec{}); err != nil {
			return Facts{}, err
		}
	default:
		if err := e.stopOrphans(ctx, data); err != nil {
			return Facts{}, err
		}
		f, c, err := facts(ctx, v, data, r.Locale)
		if err != nil {
			return Facts{}, err
		}
		if c.clean && !exists(filepath.Join(data, "backup_label")) {
			return f, coldBackup(ctx, data, c, store)
		}
		if _, err := e.start(ctx, g, StartSpec{}); err != nil {
			return Facts{}, err
		}
		defer g.shutdown(ctx)
	}
	f, _, err := facts(ctx, v, data, r.Locale)
	if err != nil {
		return Facts{}, err
	}
	c, err := e.connect(ctx, g.id, g.get().Endpoint.Port)
	if err != nil {
		return Facts{}, err
	}
	// Closing ends the backup mode and the replication slot too, after an error.
	defer c.Close(context.WithoutCancel(ctx))
	return f, hotBackup(ctx, c, f, data, store)
}

// coldBackup stores the files of a server that was shut down in good order:
// they are consistent with nothing but the segment of its last checkpoint.
func coldBackup(ctx context.Context, data string, c control, store func(context.Context, []File) error) error {
	base, err := baseFiles(data)
	if err != nil {
		return err
	}
	if err := store(ctx, base); err != nil {
		return err
	}
	redo := c.segmentName(c.redo)
	last, err := lastFiles(ctx, data, func(segment string) bool { return segment == redo })
	if err != nil {
		return err
	}
	return store(ctx, last)
}

// hotBackup stores the files of a running server. The slot, made first, keeps
// the WAL from the checkpoint on that the backup begins with; the server drops
// it with the connection.
func hotBackup(ctx context.Context, c *pgx.Conn, f Facts, data string, store func(context.Context, []File) error) error {
	var space string
	err := c.QueryRow(ctx, "SELECT spcname FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') LIMIT 1").Scan(&space)
	if err == nil {
		return &TablespaceError{space}
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("look for tablespaces: %w", err)
	}
	start, stop := "SELECT pg_backup_start('borealis', true)", "SELECT lsn::text, labelfile FROM pg_backup_stop(false)"
	if f.Major < 15 {
		start, stop = "SELECT pg_start_backup('borealis', true, false)", "SELECT lsn::text, labelfile FROM pg_stop_backup(false, false)"
	}
	slot := "borealis_backup_" + strings.ToLower(rand.Text())
	if _, err := c.Exec(ctx, "SELECT pg_create_physical_replication_slot($1, true, true)", slot); err != nil {
		return fmt.Errorf("keep WAL: %w", err)
	}
	if _, err := c.Exec(ctx, start); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	base, err := baseFiles(data)
	if err != nil {
		return err
	}
	if err := store(ctx, base); err != nil {
		return err
	}
	var end, label string
	if err := c.QueryRow(ctx, stop).Scan(&end, &label); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	needed, err := segmentsOf(label, end, uint64(f.WALSegmentSize))
	if err != nil {
		return err
	}
	last, err := lastFiles(ctx, data, func(segment string) bool { return needed[segment] })
	if err != nil {
		return err
	}
	if n := len(needed); countSegments(last) != n {
		return fmt.Errorf("end: %d of %d WAL segments are missing", n-countSegments(last), n)
	}
	last = append(last, File{Name: "backup_label", Data: []byte(label), Size: int64(len(label)), Mode: 0o600})
	return store(ctx, last)
}

var labelStart = regexp.MustCompile(`(?m)^START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+) \(file ([0-9A-F]{8})[0-9A-F]{16}\)`)

// segmentsOf names the WAL segments from the start that the label tells to the
// end of the backup.
func segmentsOf(label, end string, size uint64) (map[string]bool, error) {
	m := labelStart.FindStringSubmatch(label)
	if m == nil || size == 0 {
		return nil, fmt.Errorf("no start in backup label %q", label)
	}
	from, err1 := parseLSN(m[1])
	to, err2 := parseLSN(end)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	timeline, err := strconv.ParseUint(m[2], 16, 32)
	if err != nil {
		return nil, fmt.Errorf("read timeline %q: %w", m[2], err)
	}
	names := map[string]bool{}
	for at := from - from%size; at < to; at += size {
		names[walSegment(uint32(timeline), at, size)] = true
	}
	return names, nil
}

// parseLSN reads a place in WAL: "16/B374D848".
func parseLSN(s string) (uint64, error) {
	high, low, _ := strings.Cut(s, "/")
	h, err1 := strconv.ParseUint(high, 16, 32)
	l, err2 := strconv.ParseUint(low, 16, 32)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("read WAL location %q: %w", s, err)
	}
	return h<<32 | l, nil
}

var segmentName = regexp.MustCompile(`^[0-9A-F]{24}$`)

func countSegments(files []File) (n int) {
	for _, f := range files {
		if segmentName.MatchString(path.Base(f.Name)) {
			n++
		}
	}
	return n
}

// lastFiles are the files to store last: the WAL segments that are needed, the
// timelines' histories, and pg_control, which is not newer than the WAL then.
func lastFiles(ctx context.Context, data string, needed func(segment string) bool) ([]File, error) {
	entries, err := os.ReadDir(filepath.Join(data, "pg_wal"))
	if err != nil {
		return nil, err
	}
	var files []File
	for _, d := range entries {
		if needed(d.Name()) || strings.HasSuffix(d.Name(), ".history") {
			fi, err := d.Info()
			if err != nil {
				return nil, err
			}
			files = append(files, File{Name: "pg_wal/" + d.Name(), Path: filepath.Join(data, "pg_wal", d.Name()), Size: fi.Size(), Mode: fi.Mode()})
		}
	}
	control, err := readControl(ctx, data)
	if err != nil {
		return nil, err
	}
	return append(files, File{Name: "global/pg_control", Data: control, Size: int64(len(control)), Mode: 0o600}), nil
}
