package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"borealis/internal/cloud"
	"borealis/internal/identity"
)

// Identity is where the identity service keeps accounts and what is in them.
func (db *DB) Identity() identity.Store { return identityStore{db} }

type identityStore struct{ db *DB }

func (s identityStore) Update(ctx context.Context, fn func(identity.Tx) error) error {
	return s.db.update(ctx, func(tx *sql.Tx) error { return fn(identityTx{s.db, ctx, tx}) })
}

func (s identityStore) View(ctx context.Context, fn func(identity.Tx) error) error {
	return s.db.view(ctx, func(tx *sql.Tx) error { return fn(identityTx{s.db, ctx, tx}) })
}

// An identityTx is a transaction as the identity service sees it. It lives as
// long as the closure it is handed to, and so may hold the context.
type identityTx struct {
	db  *DB
	ctx context.Context
	tx  *sql.Tx
}

// exec runs a statement and returns how many rows it changed.
func (t identityTx) exec(query string, args ...any) (int64, error) {
	res, err := t.tx.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// add runs an INSERT … ON CONFLICT DO NOTHING, whose last value is v's body.
func (t identityTx) add(kind, id, query string, v any, args ...any) error {
	body, err := encodeBody(v)
	if err != nil {
		return err
	}
	n, err := t.exec(query, append(args, body)...)
	if err == nil && n == 0 {
		return fmt.Errorf("%s %s: %w", kind, id, cloud.ErrExists)
	}
	return err
}

// put runs an UPDATE, whose last value is v's body.
func (t identityTx) put(kind, id, query string, v any, args ...any) error {
	body, err := encodeBody(v)
	if err != nil {
		return err
	}
	n, err := t.exec(query, append(args, body)...)
	if err == nil && n == 0 {
		return fmt.Errorf("%s %s: %w", kind, id, cloud.ErrNotFound)
	}
	return err
}

func (t identityTx) row(query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(t.ctx, query, args...)
}

func (t identityTx) rows(query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(t.ctx, query, args...)
}

// nullable is s, or NULL where it is empty.
func nullable(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

func (t identityTx) Account(id cloud.AccountID) (identity.Account, error) {
	return decodeRow[identity.Account](t.row(`SELECT body FROM accounts WHERE id = $1`, id), "account", string(id))
}

func (t identityTx) AllAccounts() ([]identity.Account, error) {
	return decodeRows[identity.Account](t.rows(`SELECT body FROM accounts ORDER BY id`))
}

func (t identityTx) AddAccount(a identity.Account) error {
	return t.add("account", string(a.ID), `INSERT INTO accounts (id, alias, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		a, a.ID, nullable(strings.ToLower(a.Alias)))
}

func (t identityTx) PutAccount(a identity.Account) error {
	var taken int
	err := t.row(`SELECT COUNT(*) FROM accounts WHERE alias = $1 AND id <> $2`, strings.ToLower(a.Alias), a.ID).Scan(&taken)
	if err != nil {
		return err
	}
	if taken > 0 {
		return fmt.Errorf("account alias %s: %w", a.Alias, cloud.ErrExists)
	}
	return t.put("account", string(a.ID), `UPDATE accounts SET alias = $2, body = $3 WHERE id = $1`,
		a, a.ID, nullable(strings.ToLower(a.Alias)))
}

func (t identityTx) Entity(a cloud.AccountID, k identity.Kind, name string) (identity.Entity, error) {
	return decodeRow[identity.Entity](
		t.row(`SELECT body FROM entities WHERE account = $1 AND kind = $2 AND name = $3`, a, k, strings.ToLower(name)),
		string(k), name)
}

func (t identityTx) EntityByID(id string) (identity.Entity, error) {
	return decodeRow[identity.Entity](t.row(`SELECT body FROM entities WHERE id = $1`, id), "principal", id)
}

func (t identityTx) Entities(a cloud.AccountID, k identity.Kind, prefix, after string, limit int) ([]identity.Entity, error) {
	return decodeRows[identity.Entity](t.rows(`SELECT body FROM entities
		WHERE account = $1 AND kind = $2 AND name > $3 AND substr(path, 1, $4) = $5
		ORDER BY name LIMIT $6`, a, k, strings.ToLower(after), len(prefix), prefix, limit))
}

func (t identityTx) CountEntities(a cloud.AccountID, k identity.Kind) (n int, err error) {
	err = t.row(`SELECT COUNT(*) FROM entities WHERE account = $1 AND kind = $2`, a, k).Scan(&n)
	return n, err
}

func (t identityTx) AddEntity(e identity.Entity) error {
	return t.add(string(e.Kind), e.Name, `INSERT INTO entities (id, account, kind, name, path, body)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, e, e.ID, e.Account, e.Kind, strings.ToLower(e.Name), e.Path)
}

func (t identityTx) PutEntity(e identity.Entity) error {
	return t.put(string(e.Kind), e.Name, `UPDATE entities SET name = $2, path = $3, body = $4 WHERE id = $1`,
		e, e.ID, strings.ToLower(e.Name), e.Path)
}

func (t identityTx) DeleteEntity(id string) error {
	if _, err := t.exec(`DELETE FROM identity_links WHERE source = $1 OR target = $1`, id); err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM identity_usage WHERE subject = $1`, id); err != nil {
		return err
	}
	n, err := t.exec(`DELETE FROM entities WHERE id = $1`, id)
	if err == nil && n == 0 {
		return fmt.Errorf("principal %s: %w", id, cloud.ErrNotFound)
	}
	return err
}

func (t identityTx) Key(id string) (identity.AccessKey, error) {
	return decodeRow[identity.AccessKey](t.row(`SELECT body FROM access_keys WHERE id = $1`, id), "access key", id)
}

func (t identityTx) Keys(owner string) ([]identity.AccessKey, error) {
	return decodeRows[identity.AccessKey](t.rows(`SELECT body FROM access_keys WHERE owner = $1 ORDER BY id`, owner))
}

func (t identityTx) AddKey(k identity.AccessKey) (err error) {
	if k.Sealed, err = t.db.fresh(PurposeIdentity, k.Sealed); err != nil {
		return fmt.Errorf("access key %s: %w", k.ID, err)
	}
	return t.add("access key", k.ID, `INSERT INTO access_keys (id, owner, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, k, k.ID, k.Owner)
}

func (t identityTx) PutKey(k identity.AccessKey) (err error) {
	if k.Sealed, err = t.db.fresh(PurposeIdentity, k.Sealed); err != nil {
		return fmt.Errorf("access key %s: %w", k.ID, err)
	}
	return t.put("access key", k.ID, `UPDATE access_keys SET body = $2 WHERE id = $1`, k, k.ID)
}

func (t identityTx) DeleteKey(id string) error {
	if _, err := t.exec(`DELETE FROM identity_usage WHERE subject = $1`, id); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM access_keys WHERE id = $1`, id)
	return err
}

func (t identityTx) Policy(arn string) (identity.ManagedPolicy, error) {
	return decodeRow[identity.ManagedPolicy](t.row(`SELECT body FROM managed_policies WHERE arn = $1`, arn), "policy", arn)
}

func (t identityTx) Policies(a cloud.AccountID) ([]identity.ManagedPolicy, error) {
	return decodeRows[identity.ManagedPolicy](t.rows(`SELECT body FROM managed_policies WHERE account = $1 ORDER BY name`, a))
}

func (t identityTx) AddPolicy(p identity.ManagedPolicy) error {
	return t.add("policy", p.Name, `INSERT INTO managed_policies (id, account, name, arn, body)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, p, p.ID, p.Account, strings.ToLower(p.Name), p.ARN())
}

func (t identityTx) PutPolicy(p identity.ManagedPolicy) error {
	return t.put("policy", p.Name, `UPDATE managed_policies SET body = $2 WHERE id = $1`, p, p.ID)
}

func (t identityTx) DeletePolicy(arn string) error {
	_, err := t.exec(`DELETE FROM managed_policies WHERE arn = $1`, arn)
	return err
}

func (t identityTx) AddLink(a cloud.AccountID, l identity.Link) error {
	_, err := t.exec(`INSERT INTO identity_links (account, source, used_as, target) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		a, l.Source, l.Use, l.Target)
	return err
}

func (t identityTx) DeleteLink(l identity.Link) error {
	n, err := t.exec(`DELETE FROM identity_links WHERE source = $1 AND used_as = $2 AND target = $3`, l.Source, l.Use, l.Target)
	if err == nil && n == 0 {
		return fmt.Errorf("link from %s to %s: %w", l.Source, l.Target, cloud.ErrNotFound)
	}
	return err
}

func (t identityTx) LinksFrom(source string, u identity.Use) ([]identity.Link, error) {
	return links(t.rows(`SELECT source, used_as, target FROM identity_links WHERE source = $1 AND used_as = $2 ORDER BY target`, source, u))
}

func (t identityTx) LinksTo(a cloud.AccountID, target string, u identity.Use) ([]identity.Link, error) {
	return links(t.rows(`SELECT source, used_as, target FROM identity_links
		WHERE account = $1 AND target = $2 AND used_as = $3 ORDER BY source`, a, target, u))
}

func links(rows *sql.Rows, err error) ([]identity.Link, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []identity.Link
	for rows.Next() {
		var l identity.Link
		if err := rows.Scan(&l.Source, &l.Use, &l.Target); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, rows.Err()
}
