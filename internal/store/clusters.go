package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"borealis/internal/cloud"
	"borealis/internal/clusters"
)

// Clusters is the part of the database that RDS uses.
func (db *DB) Clusters() clusters.Store { return clusterStore{db} }

type clusterStore struct{ db *DB }

func (s clusterStore) Update(ctx context.Context, fn func(clusters.Tx) error) error {
	return s.db.update(ctx, func(tx *sql.Tx) error { return fn(clusterTx{ctx, tx}) })
}

func (s clusterStore) View(ctx context.Context, fn func(clusters.Tx) error) error {
	return s.db.view(ctx, func(tx *sql.Tx) error { return fn(clusterTx{ctx, tx}) })
}

// A clusterTx is a transaction, and the context that it runs in.
type clusterTx struct {
	ctx context.Context
	tx  *sql.Tx
}

func (t clusterTx) Clusters() clusters.Table[clusters.Cluster] {
	return rows[clusters.Cluster, *clusters.Cluster]{t, "clusters"}
}

func (t clusterTx) Instances() clusters.Table[clusters.Instance] {
	return rows[clusters.Instance, *clusters.Instance]{t, "instances"}
}

func (t clusterTx) Snapshots() clusters.Table[clusters.Snapshot] {
	return snapshotRows{rows[clusters.Snapshot, *clusters.Snapshot]{t, "snapshots"}}
}

// An identified is a pointer to a row, to give it its identity back.
type identified[R any] interface {
	*R
	SetIdentity(clusters.Ident)
}

// rows is a table whose columns are a row's identity and its JSON text.
type rows[R clusters.Row, P identified[R]] struct {
	clusterTx
	table string // one of the constants above, never from outside
}

func (t rows[R, P]) Get(id string) (R, error) {
	r, err := t.one("id = $1", id)
	return r, notFound(err, t.table, id)
}

func (t rows[R, P]) Named(a cloud.AccountID, region cloud.Region, name string) (R, error) {
	r, err := t.one("account = $1 AND region = $2 AND name = $3", string(a), string(region), name)
	return r, notFound(err, t.table, name)
}

func (t rows[R, P]) In(a cloud.AccountID, region cloud.Region) ([]R, error) {
	return t.many("WHERE account = $1 AND region = $2 ORDER BY name", string(a), string(region))
}

func (t rows[R, P]) All() ([]R, error) { return t.many("ORDER BY account, region, name") }

func (t rows[R, P]) Put(r R) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode row of %s: %w", t.table, err)
	}
	i := r.Identity()
	var taken bool
	err = t.tx.QueryRowContext(t.ctx, `SELECT COUNT(*) > 0 FROM `+t.table+` WHERE account = $1 AND region = $2 AND name = $3 AND id <> $4`,
		string(i.Account), string(i.Region), i.Name, i.ID).Scan(&taken)
	if err != nil {
		return fmt.Errorf("look for %s in %s: %w", i.Name, t.table, err)
	}
	if taken {
		return fmt.Errorf("%s in %s: %w", i.Name, t.table, cloud.ErrExists)
	}
	_, err = t.tx.ExecContext(t.ctx, `INSERT INTO `+t.table+` (id, account, region, name, body) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET account = excluded.account, region = excluded.region, name = excluded.name, body = excluded.body`,
		i.ID, string(i.Account), string(i.Region), i.Name, string(body))
	if err != nil {
		return fmt.Errorf("put %s in %s: %w", i.ID, t.table, err)
	}
	return nil
}

func (t rows[R, P]) Delete(id string) error {
	if _, err := t.tx.ExecContext(t.ctx, `DELETE FROM `+t.table+` WHERE id = $1`, id); err != nil {
		return fmt.Errorf("delete %s from %s: %w", id, t.table, err)
	}
	return nil
}

func (t rows[R, P]) one(where string, args ...any) (r R, err error) {
	return decodeIdentified[R, P](t.tx.QueryRowContext(t.ctx, t.sql("WHERE "+where), args...))
}

func (t rows[R, P]) many(tail string, args ...any) ([]R, error) {
	return collectRows(t.clusterTx, decodeIdentified[R, P], t.sql(tail), args...)
}

func (t rows[R, P]) sql(tail string) string {
	return `SELECT id, account, region, name, body FROM ` + t.table + ` ` + tail
}

// A scanner is a *sql.Row or *sql.Rows.
type scanner interface{ Scan(...any) error }

func decodeIdentified[R any, P identified[R]](from scanner) (r R, err error) {
	var i clusters.Ident
	var body string
	if err := from.Scan(&i.ID, &i.Account, &i.Region, &i.Name, &body); err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		return r, fmt.Errorf("decode row %s: %w", i.ID, err)
	}
	P(&r).SetIdentity(i)
	return r, nil
}

// collectRows runs a query and decodes its rows.
func collectRows[R any](t clusterTx, decode func(scanner) (R, error), query string, args ...any) ([]R, error) {
	found, err := t.tx.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	defer found.Close()
	var all []R
	for found.Next() {
		r, err := decode(found)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, found.Err()
}

// snapshotRows are rows that keep snapshot_shares in step.
type snapshotRows struct {
	rows[clusters.Snapshot, *clusters.Snapshot]
}

func (t snapshotRows) Put(s clusters.Snapshot) error {
	if err := t.rows.Put(s); err != nil {
		return err
	}
	if err := t.unshare(s.ID); err != nil {
		return err
	}
	for _, who := range s.Shared {
		if _, err := t.tx.ExecContext(t.ctx, `INSERT INTO snapshot_shares (snapshot, who) VALUES ($1, $2)`, s.ID, who); err != nil {
			return fmt.Errorf("share snapshot %s: %w", s.ID, err)
		}
	}
	return nil
}

func (t snapshotRows) Delete(id string) error {
	if err := t.unshare(id); err != nil {
		return err
	}
	return t.rows.Delete(id)
}

func (t snapshotRows) unshare(id string) error {
	if _, err := t.tx.ExecContext(t.ctx, `DELETE FROM snapshot_shares WHERE snapshot = $1`, id); err != nil {
		return fmt.Errorf("unshare snapshot %s: %w", id, err)
	}
	return nil
}

func (t clusterTx) SharedWith(who string, r cloud.Region) ([]clusters.Snapshot, error) {
	return collectRows(t, decodeIdentified[clusters.Snapshot, *clusters.Snapshot], `SELECT s.id, s.account, s.region, s.name, s.body
		FROM snapshot_shares h JOIN snapshots s ON s.id = h.snapshot
		WHERE h.who = $1 AND s.region = $2 ORDER BY s.account, s.name`, who, string(r))
}

func decodeOperation(from scanner) (op clusters.Operation, err error) {
	var body string
	if err := from.Scan(&body); err != nil {
		return op, err
	}
	if err := json.Unmarshal([]byte(body), &op); err != nil {
		return op, fmt.Errorf("decode operation: %w", err)
	}
	return op, nil
}

func (t clusterTx) Operations() ([]clusters.Operation, error) {
	return collectRows(t, decodeOperation, `SELECT body FROM operations ORDER BY seq`)
}

func (t clusterTx) Operation(id string) (clusters.Operation, error) {
	op, err := decodeOperation(t.tx.QueryRowContext(t.ctx, `SELECT body FROM operations WHERE id = $1`, id))
	return op, notFound(err, "operation", id)
}

func (t clusterTx) PutOperation(op clusters.Operation) error {
	body, err := json.Marshal(op)
	if err != nil {
		return fmt.Errorf("encode operation %s: %w", op.ID, err)
	}
	_, err = t.tx.ExecContext(t.ctx, `INSERT INTO operations (id, seq, body)
		VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM operations), $2)
		ON CONFLICT (id) DO UPDATE SET body = excluded.body`, op.ID, string(body))
	if err != nil {
		return fmt.Errorf("put operation %s: %w", op.ID, err)
	}
	return nil
}

func (t clusterTx) DeleteOperation(id string) error {
	if _, err := t.tx.ExecContext(t.ctx, `DELETE FROM operations WHERE id = $1`, id); err != nil {
		return fmt.Errorf("delete operation %s: %w", id, err)
	}
	return nil
}

func decodeDataKey(from scanner) (k clusters.DataKey, err error) {
	err = from.Scan(&k.Account, &k.Lineage, &k.KeyARN, &k.Wrapped)
	return k, err
}

func (t clusterTx) DataKey(id clusters.DataKeyID) (clusters.DataKey, error) {
	k, err := decodeDataKey(t.tx.QueryRowContext(t.ctx, `SELECT account, lineage, key_arn, wrapped FROM data_keys
		WHERE account = $1 AND lineage = $2 AND key_arn = $3`, string(id.Account), id.Lineage, id.KeyARN))
	return k, notFound(err, "data key of", id.Lineage)
}

func (t clusterTx) DataKeys() ([]clusters.DataKey, error) {
	return collectRows(t, decodeDataKey, `SELECT account, lineage, key_arn, wrapped FROM data_keys ORDER BY account, lineage, key_arn`)
}

func (t clusterTx) AddDataKey(k clusters.DataKey) error {
	_, err := t.tx.ExecContext(t.ctx, `INSERT INTO data_keys (account, lineage, key_arn, wrapped) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account, lineage, key_arn) DO NOTHING`, string(k.Account), k.Lineage, k.KeyARN, k.Wrapped)
	if err != nil {
		return fmt.Errorf("add data key of %s: %w", k.Lineage, err)
	}
	return nil
}

func (t clusterTx) DeleteDataKey(id clusters.DataKeyID) error {
	_, err := t.tx.ExecContext(t.ctx, `DELETE FROM data_keys WHERE account = $1 AND lineage = $2 AND key_arn = $3`,
		string(id.Account), id.Lineage, id.KeyARN)
	if err != nil {
		return fmt.Errorf("delete data key of %s: %w", id.Lineage, err)
	}
	return nil
}
