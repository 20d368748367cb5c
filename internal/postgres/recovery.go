package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"borealis/internal/durable"
)

// resumeRecovery lets a server go on whose first recovery, of restored files,
// was cut short. PostgreSQL puts the label of the backup aside as soon as
// pg_control knows of it; but it recovers a backup to its end only if it finds
// the label, or is told to follow an archive, and otherwise gives up: "WAL ends
// before end of online backup". With the label back in its place it begins that
// recovery again, which may be done any number of times.
func (e *Engines) resumeRecovery(ctx context.Context, id string) error {
	data := e.dataDir(id)
	label, aside := filepath.Join(data, "backup_label"), filepath.Join(data, "backup_label.old")
	if exists(label) || !exists(aside) {
		return nil
	}
	raw, err := readControl(ctx, data)
	if err != nil {
		return err
	}
	if c, err := parseControl(raw); err != nil || !c.recovering {
		return err
	}
	if err := errors.Join(os.Rename(aside, label), durable.SyncDir(data)); err != nil {
		return fmt.Errorf("begin recovery of engine %s again: %w", id, err)
	}
	e.log.InfoContext(ctx, "recovery of restored files was cut short, and begins again", "engine", id)
	return nil
}

// recovered forgets the label of the backup that engine id was restored from. If
// that fails, the only cost is to look at it again.
func (e *Engines) recovered(id string) {
	_ = os.Remove(filepath.Join(e.dataDir(id), "backup_label.old"))
}
