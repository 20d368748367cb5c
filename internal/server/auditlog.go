package server

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"borealis/internal/audit"
)

// auditLog is the audit log's file in a data directory.
const auditLog = "audit/decisions.jsonl"

// ReadAudit opens the audit log of a data directory for reading. A server that
// runs on it is asked to hand over what it has not written yet; if it does not
// answer, or if none runs, the files are what there is.
func ReadAudit(ctx context.Context, data string) (*audit.Reader, error) {
	if _, err := os.Stat(filepath.Join(data, "FORMAT")); errors.Is(err, fs.ErrNotExist) {
		return nil, refuse(ErrNotInitialized, "there is no server's data in %s; name its directory with --data", data)
	}
	if r, err := dialOperator(ctx, data); err == nil {
		// Without it a tenth of a second is missing at most.
		_ = errors.Join(r.ask(ctx, http.MethodPost, "/audit/written", nil, new(struct{})), r.Close())
	}
	return audit.OpenReader(filepath.Join(data, auditLog))
}

// auditOptions are how the log is kept.
func (c Config) auditOptions() []audit.Option {
	size, keep := c.AuditSize, c.AuditKeep
	if size == 0 {
		size = DefaultAuditSize
	}
	if keep == 0 {
		keep = DefaultAuditKeep
	}
	return []audit.Option{audit.Rotate(size, keep)}
}
