package store

import (
	"database/sql"
	"fmt"
	"strings"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/identity"
)

const itemColumns = `account, kind, id, owner, body, sealed`

func (t identityTx) AccountByAlias(alias string) (identity.Account, error) {
	return decodeRow[identity.Account](t.row(`SELECT body FROM accounts WHERE alias = $1`, strings.ToLower(alias)), "account", alias)
}

func (t identityTx) Item(a cloud.AccountID, k identity.ItemKind, id string) (identity.Item, error) {
	i, err := scanItem(t.row(`SELECT `+itemColumns+` FROM identity_items WHERE account = $1 AND kind = $2 AND id = $3`, a, k, id))
	return i, notFound(err, string(k), id)
}

func (t identityTx) Items(a cloud.AccountID, k identity.ItemKind) ([]identity.Item, error) {
	return items(t.rows(`SELECT `+itemColumns+` FROM identity_items WHERE account = $1 AND kind = $2 ORDER BY id`, a, k))
}

func (t identityTx) ItemsOf(owner string, k identity.ItemKind) ([]identity.Item, error) {
	return items(t.rows(`SELECT `+itemColumns+` FROM identity_items WHERE owner = $1 AND kind = $2 ORDER BY id`, owner, k))
}

func (t identityTx) AddItem(i identity.Item) (err error) {
	if i.Sealed, err = t.db.fresh(PurposeIdentity, i.Sealed); err != nil {
		return fmt.Errorf("%s %s: %w", i.Kind, i.ID, err)
	}
	n, err := t.exec(`INSERT INTO identity_items (`+itemColumns+`) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		i.Account, i.Kind, i.ID, i.Owner, string(i.Body), i.Sealed)
	if err == nil && n == 0 {
		return fmt.Errorf("%s %s: %w", i.Kind, i.ID, cloud.ErrExists)
	}
	return err
}

func (t identityTx) PutItem(i identity.Item) (err error) {
	if i.Sealed, err = t.db.fresh(PurposeIdentity, i.Sealed); err != nil {
		return fmt.Errorf("%s %s: %w", i.Kind, i.ID, err)
	}
	n, err := t.exec(`UPDATE identity_items SET owner = $4, body = $5, sealed = $6 WHERE account = $1 AND kind = $2 AND id = $3`,
		i.Account, i.Kind, i.ID, i.Owner, string(i.Body), i.Sealed)
	if err == nil && n == 0 {
		return fmt.Errorf("%s %s: %w", i.Kind, i.ID, cloud.ErrNotFound)
	}
	return err
}

func (t identityTx) DeleteItem(a cloud.AccountID, k identity.ItemKind, id string) error {
	_, err := t.exec(`DELETE FROM identity_items WHERE account = $1 AND kind = $2 AND id = $3`, a, k, id)
	return err
}

func scanItem(row scanner) (i identity.Item, err error) {
	var body string
	err = row.Scan(&i.Account, &i.Kind, &i.ID, &i.Owner, &body, &i.Sealed)
	i.Body = []byte(body)
	return i, err
}

func items(rows *sql.Rows, err error) ([]identity.Item, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []identity.Item
	for rows.Next() {
		i, err := scanItem(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	return all, rows.Err()
}

func (t identityTx) PutUsage(u identity.Usage) error {
	_, err := t.exec(`INSERT INTO identity_usage (subject, service, action, used, region) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (subject, service, action) DO UPDATE SET used = excluded.used, region = excluded.region
		WHERE excluded.used >= identity_usage.used`, u.Subject, u.Service, u.Action, u.Time.UnixMilli(), u.Region)
	return err
}

func (t identityTx) Usages(subject string) ([]identity.Usage, error) {
	rows, err := t.rows(`SELECT subject, service, action, used, region FROM identity_usage WHERE subject = $1 ORDER BY service, action`, subject)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []identity.Usage
	for rows.Next() {
		var u identity.Usage
		var used int64
		if err := rows.Scan(&u.Subject, &u.Service, &u.Action, &used, &u.Region); err != nil {
			return nil, err
		}
		u.Time = time.UnixMilli(used).UTC()
		all = append(all, u)
	}
	return all, rows.Err()
}
