// Package store is the database: it keeps the rows of every service, in SQLite,
// with SQL text that PostgreSQL accepts too ($1 placeholders; TEXT, BIGINT and
// BYTEA columns; ON CONFLICT … RETURNING). It implements the Store interfaces
// that the services declare, one file a service, and decides nothing itself.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"borealis/internal/cloud"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNewer says that the database was written by a newer version of this
// program, whose rows this one may not understand.
var ErrNewer = errors.New("the database was written by a newer version of borealis")

// A DB is the database of one data directory. Its methods may be called
// concurrently. Writes are serialized; reads go on beside them and see the last
// commit. What a nil error has answered survives a crash of the process and of
// the machine.
type DB struct {
	write  *sql.DB // one connection
	read   *sql.DB // a pool
	reseal Reseal  // for what is written; nil leaves it as it is
}

// writePatience is how long a writer waits for another process that looks into
// the database. There should be none.
const writePatience = 10 * time.Second

// Open opens the database file at path, making it and bringing its schema up to
// date as needed. Only one process may hold it: the caller locks the data
// directory. It returns ErrNewer for a schema newer than this program's.
func Open(ctx context.Context, path string) (*DB, error) {
	write, err := sql.Open("sqlite", dsn(path, "immediate"))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	if err := migrateFast(ctx, write); err != nil {
		write.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	read, err := sql.Open("sqlite", dsn(path, "deferred")+"&_pragma=query_only(1)")
	if err != nil {
		write.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	// Readers are not counted: a service may look into another while it reads, and
	// with a limit those that hold a connection could all wait for one more.
	read.SetMaxIdleConns(8)
	return &DB{write: write, read: read}, nil
}

// dsn says how the database is used. What is deleted is overwritten: the secret
// of a deleted key is gone from the disk too.
func dsn(path, lock string) string {
	q := url.Values{
		"_txlock": {lock},
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "secure_delete(1)", "foreign_keys(1)", fmt.Sprintf("busy_timeout(%d)", writePatience.Milliseconds())},
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// migrateFast is migrate without a sync for each migration. If the power fails
// before the first write after it, which syncs all of the log, the newest
// migrations are gone and the next Open does them again.
func migrateFast(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, "PRAGMA synchronous = NORMAL"); err != nil {
		return err
	}
	if err := migrate(ctx, db); err != nil {
		return err
	}
	// A connection that replaces this one is made with FULL anyhow.
	_, err := db.ExecContext(ctx, "PRAGMA synchronous = FULL")
	return err
}

// migrate brings the schema up to the newest migration.
func migrate(ctx context.Context, db *sql.DB) error {
	steps, err := steps()
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, nil, goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(steps...))
	if err != nil {
		return err
	}
	have, newest, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > newest {
		return fmt.Errorf("%w (schema %d, this one knows %d)", ErrNewer, have, newest)
	}
	_, err = p.Up(ctx)
	return err
}

// steps are the migrations. Their files are goose's, but only what they say under
// Up is run, and as one text: goose's own reader takes statements apart, which
// nothing here needs, with buffers of 4 MiB.
func steps() ([]*goose.Migration, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	var all []*goose.Migration
	for _, name := range files {
		text, rerr := migrations.ReadFile(name)
		version, verr := goose.NumericComponent(name)
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		err = errors.Join(err, rerr, verr)
		all = append(all, goose.NewGoMigration(version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, up)
			return err
		}}, nil))
	}
	return all, err
}

// Close ends all use of the database.
func (db *DB) Close() error { return errors.Join(db.read.Close(), db.write.Close()) }

// update runs fn in a transaction that is kept if fn returns nil.
func (db *DB) update(ctx context.Context, fn func(*sql.Tx) error) error {
	return inTx(ctx, db.write, fn)
}

// view runs fn in a transaction that only reads.
func (db *DB) view(ctx context.Context, fn func(*sql.Tx) error) error {
	return inTx(ctx, db.read, fn)
}

func inTx(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback() // after Commit there is nothing to roll back
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// notFound turns sql.ErrNoRows into cloud.ErrNotFound, naming what was looked for.
func notFound(err error, kind, id string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s %s: %w", kind, id, cloud.ErrNotFound)
	}
	return err
}
