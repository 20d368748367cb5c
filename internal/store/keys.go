package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/keys"
)

// Keys is the database as the key service sees it.
func (db *DB) Keys() keys.Store { return keyStore{db} }

type keyStore struct{ db *DB }

func (s keyStore) Update(ctx context.Context, fn func(keys.Tx) error) error {
	return s.db.update(ctx, func(tx *sql.Tx) error { return fn(keyTx{s.db, ctx, tx}) })
}

func (s keyStore) View(ctx context.Context, fn func(keys.Tx) error) error {
	return s.db.view(ctx, func(tx *sql.Tx) error { return fn(keyTx{s.db, ctx, tx}) })
}

// A keyTx lives as long as one call of Update or View, and so may hold its context.
type keyTx struct {
	db  *DB
	ctx context.Context
	tx  *sql.Tx
}

func (t keyTx) exec(query string, args ...any) error {
	_, err := t.tx.ExecContext(t.ctx, query, args...)
	return err
}

func (t keyTx) Key(r keys.Ref) (keys.Key, error) {
	var k keys.Key
	var body string
	err := t.tx.QueryRowContext(t.ctx, `SELECT version, body FROM kms_keys WHERE account = $1 AND region = $2 AND id = $3`,
		r.Account, r.Region, r.ID).Scan(&k.Version, &body)
	if err != nil {
		return keys.Key{}, notFound(err, "key", r.ID)
	}
	if err := json.Unmarshal([]byte(body), &k); err != nil {
		return keys.Key{}, fmt.Errorf("read key %s: %w", r.ID, err)
	}
	k.Ref = r
	if k.StoreID != "" {
		s, err := t.KeyStore(r.Place, k.StoreID)
		if err != nil {
			return keys.Key{}, err
		}
		k.Store = &s
	}
	k.Materials, err = t.materials(r)
	return k, err
}

func (t keyTx) materials(r keys.Ref) ([]keys.Material, error) {
	return queryRows(t, func(scan func(...any) error) (m keys.Material, err error) {
		var id, body string
		var created int64
		var sealed []byte
		if err := scan(&id, &created, &sealed, &body); err != nil {
			return m, err
		}
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			return m, fmt.Errorf("read key material %s: %w", id, err)
		}
		m.ID, m.Created, m.Sealed = id, fromMillis(created), sealed
		return m, nil
	}, `SELECT id, created, sealed, body FROM kms_materials WHERE account = $1 AND region = $2 AND key_id = $3 ORDER BY place`,
		r.Account, r.Region, r.ID)
}

func (t keyTx) KeyOfMaterial(near cloud.Region, id string) (keys.Ref, error) {
	var r keys.Ref
	err := t.tx.QueryRowContext(t.ctx, `SELECT account, region, key_id FROM kms_materials WHERE id = $1
		ORDER BY CASE WHEN region = $2 THEN 0 ELSE 1 END, account, region, key_id LIMIT 1`, id, near).
		Scan(&r.Account, &r.Region, &r.ID)
	return r, notFound(err, "key material", id)
}

func (t keyTx) Keys(p keys.Place, after string, n int) ([]string, error) {
	return queryRows(t, func(scan func(...any) error) (id string, err error) {
		err = scan(&id)
		return id, err
	}, `SELECT id FROM kms_keys WHERE account = $1 AND region = $2 AND id > $3 ORDER BY id LIMIT $4`, p.Account, p.Region, after, n)
}

// CountKeys takes the keys that have an alias of AWS's, one each, for AWS's.
func (t keyTx) CountKeys(p keys.Place) (n int, err error) {
	err = t.tx.QueryRowContext(t.ctx, `SELECT (SELECT count(*) FROM kms_keys WHERE account = $1 AND region = $2) -
		(SELECT count(*) FROM kms_aliases WHERE account = $1 AND region = $2 AND name >= 'alias/aws/' AND name < 'alias/aws0')`,
		p.Account, p.Region).Scan(&n)
	return n, err
}

func (t keyTx) Due(now time.Time, after keys.Ref, n int) ([]keys.Ref, error) {
	return queryRows(t, func(scan func(...any) error) (r keys.Ref, err error) {
		err = scan(&r.Account, &r.Region, &r.ID)
		return r, err
	}, `SELECT account, region, id FROM kms_keys
		WHERE due IS NOT NULL AND due <= $1 AND (account, region, id) > ($2, $3, $4) ORDER BY account, region, id LIMIT $5`,
		now.UnixMilli(), after.Account, after.Region, after.ID, n)
}

func (t keyTx) PutKey(k keys.Key) error {
	naming, err := t.db.fresh(PurposeKeys, k.Naming)
	if err != nil {
		return fmt.Errorf("write key %s: %w", k.ID, err)
	}
	k.Naming = naming
	body, err := encodeBody(k)
	if err != nil {
		return fmt.Errorf("write key %s: %w", k.ID, err)
	}
	var due *int64
	if at := k.Due(); !at.IsZero() {
		due = new(at.UnixMilli())
	}
	err = t.exec(`INSERT INTO kms_keys (account, region, id, version, due, body) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (account, region, id) DO UPDATE SET version = excluded.version, due = excluded.due, body = excluded.body`,
		k.Account, k.Region, k.ID, k.Version, due, body)
	if err != nil {
		return fmt.Errorf("write key %s: %w", k.ID, err)
	}
	err = t.exec(`DELETE FROM kms_materials WHERE account = $1 AND region = $2 AND key_id = $3 AND place >= $4`,
		k.Account, k.Region, k.ID, len(k.Materials))
	if err != nil {
		return fmt.Errorf("write materials of key %s: %w", k.ID, err)
	}
	if err := t.putStoreKey(k); err != nil {
		return fmt.Errorf("write key %s: %w", k.ID, err)
	}
	for i, m := range k.Materials {
		body, err := encodeBody(m)
		if err != nil {
			return fmt.Errorf("write material %s of key %s: %w", m.ID, k.ID, err)
		}
		sealed, err := t.db.fresh(PurposeKeys, m.Sealed)
		if err != nil {
			return fmt.Errorf("write material %s of key %s: %w", m.ID, k.ID, err)
		}
		err = t.exec(`INSERT INTO kms_materials (account, region, key_id, id, place, created, sealed, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (account, region, key_id, id) DO UPDATE SET created = excluded.created, sealed = excluded.sealed, body = excluded.body`,
			k.Account, k.Region, k.ID, m.ID, i, m.Created.UnixMilli(), sealed, body)
		if err != nil {
			return fmt.Errorf("write material %s of key %s: %w", m.ID, k.ID, err)
		}
	}
	return nil
}

// DeleteKey deletes the key's row; the database deletes what refers to it.
func (t keyTx) DeleteKey(r keys.Ref) error {
	return t.exec(`DELETE FROM kms_keys WHERE account = $1 AND region = $2 AND id = $3`, r.Account, r.Region, r.ID)
}

const aliasColumns = `account, region, name, key_id, created, updated`

func scanAlias(scan func(...any) error) (a keys.Alias, err error) {
	var created, updated int64
	err = scan(&a.Account, &a.Region, &a.Name, &a.KeyID, &created, &updated)
	a.Created, a.Updated = fromMillis(created), fromMillis(updated)
	return a, err
}

func (t keyTx) Alias(p keys.Place, name string) (keys.Alias, error) {
	a, err := scanAlias(t.tx.QueryRowContext(t.ctx, `SELECT `+aliasColumns+` FROM kms_aliases
		WHERE account = $1 AND region = $2 AND name = $3`, p.Account, p.Region, name).Scan)
	return a, notFound(err, "alias", name)
}

func (t keyTx) Aliases(p keys.Place, keyID, after string, n int) ([]keys.Alias, error) {
	if keyID == "" {
		return queryRows(t, scanAlias, `SELECT `+aliasColumns+` FROM kms_aliases
			WHERE account = $1 AND region = $2 AND name > $3 ORDER BY name LIMIT $4`, p.Account, p.Region, after, n)
	}
	return queryRows(t, scanAlias, `SELECT `+aliasColumns+` FROM kms_aliases
		WHERE account = $1 AND region = $2 AND key_id = $3 AND name > $4 ORDER BY name LIMIT $5`, p.Account, p.Region, keyID, after, n)
}

func (t keyTx) PutAlias(a keys.Alias) error {
	return t.exec(`INSERT INTO kms_aliases (`+aliasColumns+`) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (account, region, name) DO UPDATE SET key_id = excluded.key_id, created = excluded.created, updated = excluded.updated`,
		a.Account, a.Region, a.Name, a.KeyID, a.Created.UnixMilli(), a.Updated.UnixMilli())
}

func (t keyTx) DeleteAlias(p keys.Place, name string) error {
	return t.exec(`DELETE FROM kms_aliases WHERE account = $1 AND region = $2 AND name = $3`, p.Account, p.Region, name)
}

const grantColumns = `account, region, key_id, id, body`

func scanGrant(scan func(...any) error) (g keys.Grant, err error) {
	var r keys.Ref
	var id, body string
	if err := scan(&r.Account, &r.Region, &r.ID, &id, &body); err != nil {
		return g, err
	}
	if err := json.Unmarshal([]byte(body), &g); err != nil {
		return g, fmt.Errorf("read grant %s: %w", id, err)
	}
	g.Ref, g.ID = r, id
	return g, nil
}

func (t keyTx) Grants(r keys.Ref, after string, n int) ([]keys.Grant, error) {
	return queryRows(t, scanGrant, `SELECT `+grantColumns+` FROM kms_grants
		WHERE account = $1 AND region = $2 AND key_id = $3 AND id > $4 ORDER BY id LIMIT $5`, r.Account, r.Region, r.ID, after, n)
}

func (t keyTx) Named(r keys.Ref, name string) ([]keys.Grant, error) {
	return queryRows(t, scanGrant, `SELECT `+grantColumns+` FROM kms_grants
		WHERE account = $1 AND region = $2 AND key_id = $3 AND name = $4 AND name <> '' ORDER BY id`, r.Account, r.Region, r.ID, name)
}

func (t keyTx) Retirable(r cloud.Region, retiring, after string, n int) ([]keys.Grant, error) {
	return queryRows(t, scanGrant, `SELECT `+grantColumns+` FROM kms_grants
		WHERE region = $1 AND retiring = $2 AND retiring <> '' AND id > $3 ORDER BY id LIMIT $4`, r, retiring, after, n)
}

func (t keyTx) RetirableRegions() ([]cloud.Region, error) {
	return queryRows(t, func(scan func(...any) error) (r cloud.Region, err error) {
		err = scan(&r)
		return r, err
	}, `SELECT DISTINCT region FROM kms_grants WHERE retiring <> '' ORDER BY region`)
}

func (t keyTx) CountGrants(r keys.Ref) (n int, err error) {
	err = t.tx.QueryRowContext(t.ctx, `SELECT count(*) FROM kms_grants WHERE account = $1 AND region = $2 AND key_id = $3`,
		r.Account, r.Region, r.ID).Scan(&n)
	return n, err
}

func (t keyTx) PutGrant(g keys.Grant) error {
	body, err := encodeBody(g)
	if err != nil {
		return fmt.Errorf("write grant %s: %w", g.ID, err)
	}
	return t.exec(`INSERT INTO kms_grants (account, region, key_id, id, name, retiring, body) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (account, region, key_id, id) DO UPDATE SET name = excluded.name, retiring = excluded.retiring, body = excluded.body`,
		g.Account, g.Region, g.Ref.ID, g.ID, g.Name, g.Retiring.ID, body)
}

func (t keyTx) DeleteGrant(r keys.Ref, id string) error {
	return t.exec(`DELETE FROM kms_grants WHERE account = $1 AND region = $2 AND key_id = $3 AND id = $4`, r.Account, r.Region, r.ID, id)
}

func (t keyTx) Usage(r keys.Ref) (keys.Usage, error) {
	var body string
	var used int64
	err := t.tx.QueryRowContext(t.ctx, `SELECT used, body FROM kms_usage WHERE account = $1 AND region = $2 AND key_id = $3`,
		r.Account, r.Region, r.ID).Scan(&used, &body)
	if err != nil {
		return keys.Usage{}, notFound(err, "usage of key", r.ID)
	}
	u := keys.Usage{Ref: r, Time: fromMillis(used)}
	if err := json.Unmarshal([]byte(body), &u); err != nil {
		return keys.Usage{}, fmt.Errorf("read usage of key %s: %w", r.ID, err)
	}
	return u, nil
}

func (t keyTx) PutUsage(u keys.Usage) error {
	body, err := encodeBody(u)
	if err != nil {
		return fmt.Errorf("write usage of key %s: %w", u.ID, err)
	}
	return t.exec(`INSERT INTO kms_usage (account, region, key_id, used, body)
		SELECT account, region, id, $4, $5 FROM kms_keys WHERE account = $1 AND region = $2 AND id = $3
		ON CONFLICT (account, region, key_id) DO UPDATE SET used = excluded.used, body = excluded.body`,
		u.Account, u.Region, u.ID, u.Time.UnixMilli(), body)
}

// queryRows runs a query and reads every row of its answer.
func queryRows[T any](t keyTx, read func(scan func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	r, err := t.tx.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out []T
	for r.Next() {
		e, err := read(r.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, r.Err()
}

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
