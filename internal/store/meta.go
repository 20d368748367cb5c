package store

import (
	"context"
	"database/sql"
	"fmt"
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
	return db.SetMetas(ctx, map[string]string{name: value})
}

// SetMetas keeps all values under their names, or, if it fails, none. An empty
// value removes what was there.
func (db *DB) SetMetas(ctx context.Context, values map[string]string) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		for name, value := range values {
			query, args := `INSERT INTO meta (name, value) VALUES ($1, $2)
				ON CONFLICT (name) DO UPDATE SET value = excluded.value`, []any{name, value}
			if value == "" {
				query, args = `DELETE FROM meta WHERE name = $1`, args[:1]
			}
			if _, err := tx.ExecContext(ctx, query, args...); err != nil {
				return fmt.Errorf("keep %s: %w", name, err)
			}
		}
		return nil
	})
}
