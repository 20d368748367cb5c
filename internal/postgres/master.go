package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A Master is the customer's first user of an engine.
type Master struct {
	// User is the role's name. Required. It cannot be one of AWS's or
	// PostgreSQL's own.
	User string
	// Verifier is what ScramVerifier made of the password. Required when the
	// role does not exist; if "", the password stays.
	Verifier string
	// Database is a database to make, the user's own; none if "". One that
	// exists is left as it is.
	Database string
}

// SetMaster makes or changes the master user of engine id, which runs
// (ErrNotRunning): a role that may log in, make databases and roles, and is in
// rds_superuser; it owns the databases postgres and template1, as on AWS. It
// can be repeated. The engine keeps the verifier; the password is nowhere.
func (e *Engines) SetMaster(ctx context.Context, id string, m Master) error {
	ctx, g, release, err := e.take(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	if err := m.check(); err != nil {
		return fmt.Errorf("set master user of engine %s: %w", id, err)
	}
	s := g.get()
	if s.State != Running {
		return fmt.Errorf("set master user of engine %s: %w", id, ErrNotRunning)
	}
	c, err := e.connect(ctx, id, s.Endpoint.Port)
	if err != nil {
		return fmt.Errorf("set master user of engine %s: %w", id, err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	if err := m.apply(ctx, c); err != nil {
		return fmt.Errorf("set master user of engine %s: %w", id, err)
	}
	return nil
}

func (m Master) check() error {
	lower := strings.ToLower(m.User)
	switch {
	case m.User == "", len(m.User) > 63, strings.ContainsRune(m.User, 0):
		return fmt.Errorf("%q cannot be a user's name", m.User)
	case strings.HasPrefix(lower, "pg_"), strings.HasPrefix(lower, "rds_"), strings.HasPrefix(lower, "rdsadmin"), lower == "public", lower == "none":
		return fmt.Errorf("the user's name %q is reserved", m.User)
	case m.Verifier != "" && !verifierText.MatchString(m.Verifier):
		return errors.New("the password's verifier is malformed")
	case len(m.Database) > 63, strings.ContainsRune(m.Database, 0):
		return fmt.Errorf("%q cannot be a database's name", m.Database)
	}
	return nil
}

func (m Master) apply(ctx context.Context, c *pgx.Conn) error {
	if err := m.applyRole(ctx, c); err != nil {
		return err
	}
	user := pgx.Identifier{m.User}.Sanitize()
	for _, db := range []string{"postgres", "template1"} {
		err := whenExists(ctx, c, db, "ALTER DATABASE "+pgx.Identifier{db}.Sanitize()+" OWNER TO "+user)
		if err != nil {
			return err
		}
	}
	if m.Database == "" {
		return nil
	}
	there, err := hasDatabase(ctx, c, m.Database)
	if err != nil || there {
		return err
	}
	if _, err := c.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{m.Database}.Sanitize()+" OWNER "+user); err != nil {
		return fmt.Errorf("create database %q: %w", m.Database, err)
	}
	return nil
}

// applyRole makes or changes the role, and the roles that it is a member of,
// should it have dropped them, in one transaction.
func (m Master) applyRole(ctx context.Context, c *pgx.Conn) error {
	var there bool
	err := c.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", m.User).Scan(&there)
	if err != nil {
		return fmt.Errorf("look up role %q: %w", m.User, err)
	}
	verb := "ALTER"
	if !there {
		verb = "CREATE"
		if m.Verifier == "" {
			return fmt.Errorf("create role %q: it needs a password", m.User)
		}
	}
	user := pgx.Identifier{m.User}.Sanitize()
	role := verb + " ROLE " + user + " WITH LOGIN CREATEDB CREATEROLE INHERIT"
	if m.Verifier != "" {
		role += " PASSWORD '" + m.Verifier + "'" // check has seen that it has no quote
	}
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		for _, sql := range []string{rolesSQL, role, "GRANT rds_superuser TO " + user + " WITH ADMIN OPTION"} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set role %q: %w", m.User, err)
	}
	return nil
}

func hasDatabase(ctx context.Context, c *pgx.Conn, name string) (bool, error) {
	var there bool
	err := c.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("look up database %q: %w", name, err)
	}
	return there, nil
}

// whenExists runs sql if database db exists: its owner may have dropped it.
func whenExists(ctx context.Context, c *pgx.Conn, db, sql string) error {
	there, err := hasDatabase(ctx, c, db)
	if err != nil || !there {
		return err
	}
	if _, err := c.Exec(ctx, sql); err != nil {
		return fmt.Errorf("alter database %q: %w", db, err)
	}
	return nil
}
