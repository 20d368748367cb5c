package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"borealis/internal/cloud"
	"borealis/internal/identity"
	"borealis/internal/organizations"
)

// Organizations is where the organizations service keeps its trees.
func (db *DB) Organizations() organizations.Store { return organizationStore{db} }

type organizationStore struct{ db *DB }

func (s organizationStore) Update(ctx context.Context, fn func(organizations.Tx) error) error {
	return s.db.update(ctx, func(tx *sql.Tx) error { return fn(organizationTx{identityTx{s.db, ctx, tx}}) })
}

func (s organizationStore) View(ctx context.Context, fn func(organizations.Tx) error) error {
	return s.db.view(ctx, func(tx *sql.Tx) error { return fn(organizationTx{identityTx{s.db, ctx, tx}}) })
}

// OrganizationsIn is a transaction of identity's as the organizations service sees
// it: what both write in it is kept together. tx must be of this package.
func OrganizationsIn(tx identity.Tx) organizations.Tx { return organizationTx{tx.(identityTx)} }

// An organizationTx is a transaction as the organizations service sees it.
type organizationTx struct{ sql identityTx }

func (t organizationTx) Organization(id string) (organizations.Organization, error) {
	return decodeRow[organizations.Organization](t.sql.row(`SELECT body FROM organizations WHERE id = $1`, id), "organization", id)
}

func (t organizationTx) Organizations() ([]organizations.Organization, error) {
	return decodeRows[organizations.Organization](t.sql.rows(`SELECT body FROM organizations ORDER BY id`))
}

func (t organizationTx) AddOrganization(o organizations.Organization) error {
	return t.sql.add("organization", o.ID, `INSERT INTO organizations (id, body) VALUES ($1, $2) ON CONFLICT DO NOTHING`, o, o.ID)
}

func (t organizationTx) DeleteOrganization(id string) error {
	for _, table := range []string{"organization_items", "organization_attachments", "organization_policies", "organization_nodes"} {
		if _, err := t.sql.exec(`DELETE FROM `+table+` WHERE organization = $1`, id); err != nil {
			return err
		}
	}
	return t.one("organization", id, `DELETE FROM organizations WHERE id = $1`, id)
}

// one runs a statement that changes one row.
func (t organizationTx) one(kind, id, query string, args ...any) error {
	n, err := t.sql.exec(query, args...)
	if err == nil && n == 0 {
		return fmt.Errorf("%s %s: %w", kind, id, cloud.ErrNotFound)
	}
	return err
}

func (t organizationTx) Node(id string) (organizations.Node, error) {
	return decodeRow[organizations.Node](t.sql.row(`SELECT body FROM organization_nodes WHERE id = $1`, id), "node", id)
}

func (t organizationTx) Nodes(organization string, k organizations.Kind, parent, after string, limit int) ([]organizations.Node, error) {
	if parent == "" {
		return decodeRows[organizations.Node](t.sql.rows(`SELECT body FROM organization_nodes
			WHERE organization = $1 AND kind = $2 AND id > $3 ORDER BY id LIMIT $4`, organization, k, after, limit))
	}
	return decodeRows[organizations.Node](t.sql.rows(`SELECT body FROM organization_nodes
		WHERE organization = $1 AND kind = $2 AND parent = $3 AND id > $4 ORDER BY id LIMIT $5`, organization, k, parent, after, limit))
}

func (t organizationTx) AllNodes() ([]organizations.Node, error) {
	return decodeRows[organizations.Node](t.sql.rows(`SELECT body FROM organization_nodes`))
}

func (t organizationTx) CountNodes(organization string, k organizations.Kind) (n int, err error) {
	err = t.sql.row(`SELECT COUNT(*) FROM organization_nodes WHERE organization = $1 AND kind = $2`, organization, k).Scan(&n)
	return n, err
}

func (t organizationTx) HasEmail(address string) (has bool, err error) {
	err = t.sql.row(`SELECT EXISTS (SELECT 1 FROM organization_nodes WHERE email = $1)`, strings.ToLower(address)).Scan(&has)
	return has, err
}

// unitName is the name of a unit, which must be unique; other nodes have none.
func unitName(n organizations.Node) sql.NullString {
	if n.Kind != organizations.Unit {
		return sql.NullString{}
	}
	return nullable(n.Name)
}

func (t organizationTx) AddNode(n organizations.Node) error {
	return t.sql.add("node", n.ID, `INSERT INTO organization_nodes (id, organization, kind, parent, unit, email, body)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		n, n.ID, n.Organization, n.Kind, n.Parent, unitName(n), nullable(strings.ToLower(n.Email)))
}

func (t organizationTx) PutNode(n organizations.Node) error {
	if unit := unitName(n); unit.Valid {
		err := t.free("unit", n.Name, `SELECT EXISTS (SELECT 1 FROM organization_nodes WHERE parent = $1 AND unit = $2 AND id <> $3)`, n.Parent, unit, n.ID)
		if err != nil {
			return err
		}
	}
	return t.sql.put("node", n.ID, `UPDATE organization_nodes SET parent = $2, unit = $3, email = $4, body = $5 WHERE id = $1`,
		n, n.ID, n.Parent, unitName(n), nullable(strings.ToLower(n.Email)))
}

// free is cloud.ErrExists if query says so.
func (t organizationTx) free(kind, name, query string, args ...any) error {
	var taken bool
	if err := t.sql.row(query, args...).Scan(&taken); err != nil {
		return err
	}
	if taken {
		return fmt.Errorf("%s %s: %w", kind, name, cloud.ErrExists)
	}
	return nil
}

func (t organizationTx) DeleteNode(id string) error {
	return t.one("node", id, `DELETE FROM organization_nodes WHERE id = $1`, id)
}

func (t organizationTx) Policy(organization, id string) (organizations.Policy, error) {
	return decodeRow[organizations.Policy](t.sql.row(`SELECT body FROM organization_policies WHERE organization = $1 AND id = $2`, organization, id), "policy", id)
}

func (t organizationTx) PoliciesOf(organization string, p organizations.PolicyType, after string, limit int) ([]organizations.Policy, error) {
	return decodeRows[organizations.Policy](t.sql.rows(`SELECT body FROM organization_policies
		WHERE organization = $1 AND type = $2 AND id > $3 ORDER BY id LIMIT $4`, organization, p, after, limit))
}

func (t organizationTx) AllPolicies() ([]organizations.Policy, error) {
	return decodeRows[organizations.Policy](t.sql.rows(`SELECT body FROM organization_policies`))
}

func (t organizationTx) CountPolicies(organization string, p organizations.PolicyType) (n int, err error) {
	err = t.sql.row(`SELECT COUNT(*) FROM organization_policies WHERE organization = $1 AND type = $2`, organization, p).Scan(&n)
	return n, err
}

func (t organizationTx) AddPolicy(p organizations.Policy) error {
	return t.sql.add("policy", p.Name, `INSERT INTO organization_policies (organization, id, type, name, body)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, p, p.Organization, p.ID, p.Type, p.Name)
}

func (t organizationTx) PutPolicy(p organizations.Policy) error {
	err := t.free("policy", p.Name, `SELECT EXISTS (SELECT 1 FROM organization_policies WHERE organization = $1 AND type = $2 AND name = $3 AND id <> $4)`,
		p.Organization, p.Type, p.Name, p.ID)
	if err != nil {
		return err
	}
	return t.sql.put("policy", p.ID, `UPDATE organization_policies SET name = $3, body = $4 WHERE organization = $1 AND id = $2`,
		p, p.Organization, p.ID, p.Name)
}

func (t organizationTx) DeletePolicy(organization, id string) error {
	return t.one("policy", id, `DELETE FROM organization_policies WHERE organization = $1 AND id = $2`, organization, id)
}

func (t organizationTx) Attach(a organizations.Attachment) error {
	n, err := t.sql.exec(`INSERT INTO organization_attachments (organization, target, policy, type) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		a.Organization, a.Target, a.Policy, a.Type)
	if err == nil && n == 0 {
		return fmt.Errorf("attachment of %s to %s: %w", a.Policy, a.Target, cloud.ErrExists)
	}
	return err
}

func (t organizationTx) Detach(a organizations.Attachment) error {
	return t.one("attachment of", a.Policy, `DELETE FROM organization_attachments WHERE target = $1 AND policy = $2`, a.Target, a.Policy)
}

func (t organizationTx) DetachAll(organization, target string, p organizations.PolicyType) error {
	_, err := t.sql.exec(`DELETE FROM organization_attachments
		WHERE organization = $1 AND ($2 = '' OR target = $2) AND ($3 = '' OR type = $3)`, organization, target, p)
	return err
}

const attachmentColumns = `organization, target, policy, type`

func (t organizationTx) AttachedTo(target string, p organizations.PolicyType) ([]organizations.Attachment, error) {
	return attachments(t.sql.rows(`SELECT `+attachmentColumns+` FROM organization_attachments
		WHERE target = $1 AND type = $2 ORDER BY policy`, target, p))
}

func (t organizationTx) TargetsOf(organization, policy, after string, limit int) ([]organizations.Attachment, error) {
	return attachments(t.sql.rows(`SELECT `+attachmentColumns+` FROM organization_attachments
		WHERE organization = $1 AND policy = $2 AND target > $3 ORDER BY target LIMIT $4`, organization, policy, after, limit))
}

func (t organizationTx) AllAttachments() ([]organizations.Attachment, error) {
	return attachments(t.sql.rows(`SELECT ` + attachmentColumns + ` FROM organization_attachments ORDER BY target, policy`))
}

func attachments(rows *sql.Rows, err error) ([]organizations.Attachment, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []organizations.Attachment
	for rows.Next() {
		var a organizations.Attachment
		if err := rows.Scan(&a.Organization, &a.Target, &a.Policy, &a.Type); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, rows.Err()
}

const organizationItemColumns = `organization, kind, id, account, body`

func (t organizationTx) Item(organization string, k organizations.ItemKind, id string) (organizations.Item, error) {
	i, err := scanOrganizationItem(t.sql.row(`SELECT `+organizationItemColumns+` FROM organization_items
		WHERE organization = $1 AND kind = $2 AND id = $3`, organization, k, id))
	return i, notFound(err, string(k), id)
}

func (t organizationTx) Items(organization string, k organizations.ItemKind, after string, limit int) ([]organizations.Item, error) {
	return organizationItems(t.sql.rows(`SELECT `+organizationItemColumns+` FROM organization_items
		WHERE ($1 = '' OR organization = $1) AND kind = $2 AND id > $3 ORDER BY id LIMIT $4`, organization, k, after, limit))
}

func (t organizationTx) ItemsOf(a cloud.AccountID, k organizations.ItemKind, after string, limit int) ([]organizations.Item, error) {
	return organizationItems(t.sql.rows(`SELECT `+organizationItemColumns+` FROM organization_items
		WHERE account = $1 AND kind = $2 AND id > $3 ORDER BY id LIMIT $4`, a, k, after, limit))
}

func (t organizationTx) AddItem(i organizations.Item) error {
	n, err := t.sql.exec(`INSERT INTO organization_items (`+organizationItemColumns+`) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		i.Organization, i.Kind, i.ID, i.Account, string(i.Body))
	if err == nil && n == 0 {
		return fmt.Errorf("%s %s: %w", i.Kind, i.ID, cloud.ErrExists)
	}
	return err
}

func (t organizationTx) PutItem(i organizations.Item) error {
	return t.one(string(i.Kind), i.ID, `UPDATE organization_items SET account = $4, body = $5 WHERE organization = $1 AND kind = $2 AND id = $3`,
		i.Organization, i.Kind, i.ID, i.Account, string(i.Body))
}

func (t organizationTx) DeleteItem(organization string, k organizations.ItemKind, id string) error {
	return t.one(string(k), id, `DELETE FROM organization_items WHERE organization = $1 AND kind = $2 AND id = $3`, organization, k, id)
}

func scanOrganizationItem(row scanner) (i organizations.Item, err error) {
	var body string
	err = row.Scan(&i.Organization, &i.Kind, &i.ID, &i.Account, &body)
	i.Body = []byte(body)
	return i, err
}

func organizationItems(rows *sql.Rows, err error) ([]organizations.Item, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []organizations.Item
	for rows.Next() {
		i, err := scanOrganizationItem(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	return all, rows.Err()
}
