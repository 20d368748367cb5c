package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Purposes of what is sealed in the database: those that Sealers are derived for.
const (
	PurposeKeys     = "keys"
	PurposeIdentity = "identity"
	PurposeServer   = "server"
)

// A sealedColumn holds what Sealers have made. Every column that does must be in
// sealedColumns, and what is written to it must have gone through DB.fresh. With
// a column that is not, the root key cannot be replaced: see Holding. A test in
// package server looks for such columns.
type sealedColumn struct {
	purpose string
	table   string
	key     []string // the table's primary key
	column  string
	member  string // of the JSON object in column, which may lack it; "" if the column is the message
}

var sealedColumns = []sealedColumn{
	{PurposeServer, "secrets", []string{"name"}, "sealed", ""},
	{PurposeIdentity, "access_keys", []string{"id"}, "body", "Sealed"},
	{PurposeIdentity, "identity_items", []string{"account", "kind", "id"}, "sealed", ""},
	{PurposeKeys, "kms_keys", []string{"account", "region", "id"}, "body", "Naming"},
	{PurposeKeys, "kms_materials", []string{"account", "region", "key_id", "id"}, "sealed", ""},
	{PurposeKeys, "kms_stores", []string{"account", "region", "id"}, "secret", ""},
}

// A Reseal returns a sealed message under the root key of now: the same one if it
// is under that. It may be called concurrently.
type Reseal func(purpose string, sealed []byte) ([]byte, error)

// UseReseal makes every sealed message that is written from now on pass through
// fn. It is called before any is written. So a message that was sealed before the
// root key changed, and is written after, is under the new one: once a change of
// fn's answers has been followed by ResealAll, none is under the old.
func (db *DB) UseReseal(fn Reseal) { db.reseal = fn }

// fresh is a sealed message as it is to be written.
func (db *DB) fresh(purpose string, sealed []byte) ([]byte, error) {
	if db.reseal == nil || len(sealed) == 0 {
		return sealed, nil
	}
	return db.reseal(purpose, sealed)
}

// A SealedRow names one sealed message: "kms_materials of account, region, ...".
type SealedRow struct {
	Purpose string
	Name    string
	Sealed  []byte
}

// resealBatch is how many rows one transaction of ResealAll looks at. Other
// writers wait meanwhile, some milliseconds.
const resealBatch = 200

// ResealAll passes every sealed message through the Reseal and writes those that
// change, some rows in a transaction. Each transaction lasts; ResealAll may be
// interrupted and repeated. A row whose message the Reseal refuses stays as it is
// and is passed to refused. step, if not nil, is called after each transaction
// and ends the work with the error it returns.
func (db *DB) ResealAll(ctx context.Context, refused func(SealedRow, error), step func() error) error {
	for _, c := range sealedColumns {
		var last []any
		for more := true; more; {
			err := db.update(ctx, func(tx *sql.Tx) error {
				rows, err := c.page(ctx, tx, last)
				for _, r := range rows {
					last = r.key
					if len(r.sealed) == 0 {
						continue
					}
					if rerr := c.renew(ctx, tx, db.reseal, r); errors.Is(rerr, errRefused) {
						refused(c.name(r), rerr)
					} else {
						err = errors.Join(err, rerr)
					}
				}
				more = len(rows) == resealBatch
				return err
			})
			if err == nil && step != nil {
				err = step()
			}
			if err != nil {
				return fmt.Errorf("seal %s again: %w", c.table, err)
			}
		}
	}
	return nil
}

// EachSealed passes every sealed message to fn.
func (db *DB) EachSealed(ctx context.Context, fn func(SealedRow)) error {
	for _, c := range sealedColumns {
		var last []any
		for more := true; more; {
			err := db.view(ctx, func(tx *sql.Tx) error {
				rows, err := c.page(ctx, tx, last)
				for _, r := range rows {
					last = r.key
					if len(r.sealed) > 0 {
						fn(c.name(r))
					}
				}
				more = len(rows) == resealBatch
				return err
			})
			if err != nil {
				return fmt.Errorf("read %s: %w", c.table, err)
			}
		}
	}
	return nil
}

// A sealedRow is a row of a sealedColumn.
type sealedRow struct {
	key    []any
	value  []byte
	object map[string]json.RawMessage // value, if it is JSON
	sealed []byte
}

var errRefused = errors.New("does not open")

func (c sealedColumn) name(r sealedRow) SealedRow {
	return SealedRow{c.purpose, strings.TrimSuffix(fmt.Sprintln(append([]any{c.table}, r.key...)...), "\n"), r.sealed}
}

// page reads the rows after the one whose key is last, from the first if it is nil.
func (c sealedColumn) page(ctx context.Context, tx *sql.Tx, last []any) ([]sealedRow, error) {
	keys := strings.Join(c.key, ", ")
	query := `SELECT ` + keys + `, ` + c.column + ` FROM ` + c.table + ` WHERE ` + c.column + ` IS NOT NULL`
	if last != nil {
		query += ` AND (` + keys + `) > (` + parameters(1, len(c.key)) + `)`
	}
	rows, err := tx.QueryContext(ctx, query+fmt.Sprintf(` ORDER BY %s LIMIT %d`, keys, resealBatch), last...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []sealedRow
	for rows.Next() {
		r, text := sealedRow{}, make([]string, len(c.key))
		into := []any{}
		for i := range text {
			into = append(into, &text[i])
		}
		if err := rows.Scan(append(into, &r.value)...); err != nil {
			return nil, err
		}
		for _, k := range text {
			r.key = append(r.key, k)
		}
		if err := c.read(&r); err != nil {
			return nil, fmt.Errorf("read %s: %w", c.name(r).Name, err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// read finds the message in r's value, if there is one.
func (c sealedColumn) read(r *sealedRow) error {
	if c.member == "" {
		r.sealed = r.value
		return nil
	}
	if err := json.Unmarshal(r.value, &r.object); err != nil {
		return err
	}
	text := r.object[c.member]
	if text == nil {
		return nil
	}
	return json.Unmarshal(text, &r.sealed)
}

// renew writes r's message as fn makes it, if that is another. The error is
// errRefused if fn fails.
func (c sealedColumn) renew(ctx context.Context, tx *sql.Tx, fn Reseal, r sealedRow) error {
	sealed, err := fn(c.purpose, r.sealed)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	if slices.Equal(sealed, r.sealed) {
		return nil
	}
	var value any = sealed
	if c.member != "" {
		if r.object[c.member], err = json.Marshal(sealed); err != nil {
			return err
		}
		if value, err = encodeBody(r.object); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE `+c.table+` SET `+c.column+` = $1 WHERE (`+strings.Join(c.key, ", ")+`) = (`+parameters(2, len(c.key))+`)`,
		append([]any{value}, r.key...)...)
	return err
}

// parameters are the placeholders of n values: "$1, $2".
func parameters(first, n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("$%d", first+i))
	}
	return strings.Join(all, ", ")
}

// Holding counts the values in all of the database, of whatever table, that
// contain one of marks, and says where the first of them is.
func (db *DB) Holding(ctx context.Context, marks ...[]byte) (n int, first string, err error) {
	err = db.view(ctx, func(tx *sql.Tx) error {
		columns, err := textColumns(ctx, tx)
		if err != nil {
			return err
		}
		for _, c := range columns {
			for _, mark := range marks {
				var some int
				query := fmt.Sprintf(`SELECT count(*) FROM "%s" WHERE instr(CAST("%s" AS BLOB), $1) > 0`, c.table, c.column)
				if err := tx.QueryRowContext(ctx, query, mark).Scan(&some); err != nil {
					return fmt.Errorf("search %s: %w", c.table, err)
				}
				if n == 0 && some > 0 {
					first = c.table + "." + c.column
				}
				n += some
			}
		}
		return nil
	})
	return n, first, err
}

// textColumns are all columns that may hold text or bytes. Tables are asked for
// in SQLite's way.
func textColumns(ctx context.Context, tx *sql.Tx) (all []sealedColumn, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT t.name, c.name FROM sqlite_master AS t, pragma_table_info(t.name) AS c
		WHERE t.type = 'table' AND c.type IN ('TEXT', 'BYTEA') ORDER BY t.name, c.cid`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c sealedColumn
		if err := rows.Scan(&c.table, &c.column); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, rows.Err()
}

// Secret returns a secret of the server itself, sealed, or cloud.ErrNotFound.
func (db *DB) Secret(ctx context.Context, name string) (sealed []byte, err error) {
	err = db.view(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT sealed FROM secrets WHERE name = $1`, name).Scan(&sealed)
	})
	return sealed, notFound(err, "secret", name)
}

// PutSecret keeps a secret of the server itself, sealed, in place of what was there.
func (db *DB) PutSecret(ctx context.Context, name string, sealed []byte) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		sealed, err := db.fresh(PurposeServer, sealed)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO secrets (name, sealed) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed`, name, sealed)
		return err
	})
}

// Scrub empties the database's log of changes, in which what was deleted or
// replaced may still be read; the database itself overwrites such data at once.
// It waits for readers for a moment only, and reports whether it was done.
func (db *DB) Scrub(ctx context.Context) (done bool, err error) {
	c, err := db.write.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := busyTimeout(ctx, c, 250*time.Millisecond); err != nil {
		return false, err
	}
	var busy, logged, moved int
	err = c.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &logged, &moved)
	// The connection must not go back to the others with this little patience.
	err = errors.Join(err, busyTimeout(context.WithoutCancel(ctx), c, writePatience))
	if err != nil {
		return false, fmt.Errorf("empty the database's log: %w", err)
	}
	return busy == 0, nil
}

func busyTimeout(ctx context.Context, c *sql.Conn, d time.Duration) error {
	_, err := c.ExecContext(ctx, fmt.Sprintf(`PRAGMA busy_timeout = %d`, d.Milliseconds()))
	return err
}
