package postgres_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"borealis/internal/postgres"
	"borealis/internal/postgres/enginetest"
)

func TestWhoGetsIn(t *testing.T) {
	e := enginetest.New(t)
	at := create(t, e, "a")
	for _, no := range []struct{ user, password, database, says string }{
		{"ann", "wrong", "app", "28P01"},
		{"ann", "", "app", "28P01"},
		{"bob", password, "app", "28P01"},
		{"ann", password, postgres.Superuser, "reject"},
		{postgres.Superuser, password, "app", "reject"},
		{postgres.Superuser, password, "postgres", "reject"},
		{"rds_superuser", password, "app", "28P01"},
	} {
		c, err := dial(t.Context(), e, at, no.user, no.password, no.database)
		if err == nil {
			c.Close(t.Context())
			t.Errorf("%s gets into %s with %q", no.user, no.database, no.password)
		} else if !strings.Contains(err.Error(), no.says) {
			t.Errorf("%s: %v, want …%s…", no.user, err, no.says)
		}
	}
	for _, database := range []string{"app", "postgres", "template1"} {
		run(t, as(t, e, at, "ann", password, database), "CREATE TABLE mine (n int)")
	}
}

func TestMasterMay(t *testing.T) {
	e := enginetest.New(t)
	c := ann(t, e, create(t, e, "a"))
	run(t, c,
		"CREATE ROLE reader LOGIN PASSWORD 'x'", "CREATE DATABASE another", "CREATE SCHEMA s", "CREATE TABLE s.t (line text)", "GRANT USAGE ON SCHEMA s TO reader",
		"CREATE EXTENSION hstore", "SELECT * FROM pg_stat_activity", "GRANT rds_superuser TO reader", "GRANT pg_monitor TO reader")
	for _, no := range []string{
		"CREATE ROLE root SUPERUSER", "ALTER ROLE ann SUPERUSER", "ALTER ROLE rdsadmin PASSWORD 'x'", "SET ROLE rdsadmin",
		"DROP DATABASE rdsadmin", "ALTER SYSTEM SET fsync = off", "GRANT rdsadmin TO ann", "CREATE EXTENSION file_fdw",
		"GRANT pg_execute_server_program TO ann", "GRANT pg_read_server_files TO ann", "GRANT pg_write_server_files TO reader",
		"SET ROLE pg_execute_server_program", "COPY s.t FROM PROGRAM 'id'", "SELECT pg_read_file('PG_VERSION')",
		"SELECT lo_import('/etc/passwd')", "CREATE TABLESPACE x LOCATION '/tmp'", "SELECT * FROM pg_authid",
	} {
		if _, err := c.Exec(t.Context(), no); err == nil {
			t.Errorf("the master user may %s", no)
		}
	}
}

func TestSetMasterAgain(t *testing.T) {
	e := enginetest.New(t)
	at := create(t, e, "a")
	run(t, ann(t, e, at), "CREATE TABLE t (n int)")
	if v := enginetest.Version(t, e); v.Major < 16 { // from then on, it may not
		run(t, ann(t, e, at), "DROP ROLE rds_iam")
	}
	m := postgres.Master{User: "ann", Verifier: verifier(t, "another"), Database: "app"}
	for range 2 {
		ok(t, e.SetMaster(t.Context(), "a", m))
	}
	if _, err := dial(t.Context(), e, at, "ann", password, "app"); err == nil {
		t.Error("the old password still does")
	}
	ok(t, e.SetMaster(t.Context(), "a", postgres.Master{User: "ann"})) // keeps the password
	c := as(t, e, at, "ann", "another", "app")
	run(t, c, "INSERT INTO t VALUES (1)")
	if log := must[[]byte](t)(os.ReadFile(filepath.Join(dirOf(e, "a"), "postgres.log"))); bytes.Contains(log, []byte("SCRAM")) {
		t.Error("the log has a verifier")
	}
	if stored := query[bool](t, as(t, e, at, "ann", "another", "postgres"), "SELECT rolcreatedb AND rolcreaterole AND NOT rolsuper FROM pg_roles WHERE rolname = 'ann'"); !stored {
		t.Error("the role has lost its attributes")
	}
}

func TestStrangeNames(t *testing.T) {
	e := enginetest.New(t)
	ok(t, e.Create(t.Context(), "a", enginetest.Version(t, e).Full))
	at := start(t, e, "a")
	for i, name := range []string{`o"brien`, `x'; DROP TABLE t; --`, "Ünï çödé", "select", `back\slash`, strings.Repeat("n", 63)} {
		ok(t, e.SetMaster(t.Context(), "a", postgres.Master{User: name, Verifier: verifier(t, password), Database: "db " + name[:len(name)/2]}))
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(name)
		c, err := dial(t.Context(), e, at, quoted, password, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace("db "+name[:len(name)/2]))
		if err != nil {
			t.Errorf("%d: %s: %v", i, name, err)
			continue
		}
		if who := query[string](t, c, "SELECT current_user"); who != name {
			t.Errorf("%q is %q", name, who)
		}
		c.Close(t.Context())
	}
	for _, name := range []string{"", "rdsadmin", "RdsAdmin", "pg_me", "rds_superuser", "public", strings.Repeat("n", 64), "a\x00b"} {
		if e.SetMaster(t.Context(), "a", postgres.Master{User: name, Verifier: verifier(t, password)}) == nil {
			t.Errorf("%q can be the master user", name)
		}
	}
	for _, v := range []string{"plain", "md5aaaa", "SCRAM-SHA-256$4096:x$y:z'; DROP"} {
		err := e.SetMaster(t.Context(), "a", postgres.Master{User: "ann", Verifier: v})
		if err == nil || strings.Contains(err.Error(), v) {
			t.Errorf("verifier %q: %v", v, err)
		}
	}
}

// PostgreSQL's own client, which prepares passwords as the server does, gets in
// with what ScramVerifier made of the same password.
func TestPasswords(t *testing.T) {
	e := enginetest.New(t)
	ok(t, e.Create(t.Context(), "a", enginetest.Version(t, e).Full))
	at := start(t, e, "a")
	for _, password := range []string{
		"simple", " spaces  inside ", `quote'"back\slash`, "pässwörd", "pa\u0308sswo\u0308rd", "ⅸ ℡ ﬁ", "no\u00a0break",
		"soft\u00adhyphen", "\u0627\u0644\u0639\u0631", "\u0627x", "bell\u0007", "ßẞ Straße", "😀 emoji", "\xff\xfe", "日本語", "\u200b",
	} {
		ok(t, e.SetMaster(t.Context(), "a", postgres.Master{User: "ann", Verifier: verifier(t, password)}))
		psql := exec.Command(filepath.Join(enginetest.Version(t, e).Bin, "psql"), "-h", at.Host, "-p", fmt.Sprint(at.Port), "-U", "ann", "-d", "postgres", "-c", "SELECT 1")
		psql.Env = []string{"PGPASSWORD=" + password, "PGSSLMODE=verify-full", "PGSSLROOTCERT=" + e.CAFile(), "PATH=/usr/bin:/bin", "HOME=/nonexistent"}
		if out, err := psql.CombinedOutput(); err != nil {
			t.Errorf("%q: %v: %s", password, err, out)
		}
	}
	if _, err := postgres.ScramVerifier(""); err == nil {
		t.Error("an empty password has a verifier")
	}
}
