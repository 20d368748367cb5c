package store

import (
	"context"
	"database/sql"
)

// Meta returns the value kept under name for the data directory as a whole, or
// cloud.ErrNotFound.
func (db *DB) Meta(ctx context.Context, name string) (string, error) {
	var value string
	err := db.view(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = $1`, name).Scan(&value)
	})
	return value, notFound(err, "meta", name)
}

// SetMeta keeps value under name, replacing what was there.
func (db *DB) SetMeta(ctx context.Context, name, value string) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
		return err
	})
}
