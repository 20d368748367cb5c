package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
)

// foreignConf are the configuration files that PostgreSQL keeps in a data
// directory. Engines do not read them: theirs are outside of it, so that a
// restored directory gets this machine's settings.
var foreignConf = []string{"postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf"}

// settings of every engine: PostgreSQL's defaults, but for what follows. The
// aim is a server that behaves as its users expect and costs little while idle.
const settings = `
max_connections = 100
superuser_reserved_connections = 3
shared_buffers = 16MB
huge_pages = off
work_mem = 4MB
maintenance_work_mem = 64MB
jit = off
max_worker_processes = 8
max_parallel_workers = 2
autovacuum_max_workers = 2
wal_level = replica
max_wal_senders = 5
max_replication_slots = 10
max_pred_locks_per_transaction = 32
min_wal_size = 32MB
max_wal_size = 512MB
checkpoint_completion_target = 0.9
password_encryption = 'scram-sha-256'
ssl = on
ssl_min_protocol_version = 'TLSv1.2'
logging_collector = off
log_destination = 'stderr'
log_line_prefix = '%m [%p] %q%u@%d '
log_timezone = 'UTC'
timezone = 'UTC'
lc_messages = 'C'
`

// versionSettings are settings that some major versions lack, or need in
// another way.
func versionSettings(major int) string {
	s := ""
	if major < 16 {
		// Only superusers can subscribe to publications: do without the process.
		s += "max_logical_replication_workers = 0\n"
	}
	if major >= 14 && runtime.GOOS == "linux" {
		// After a crash, one system call in place of an fsync for every file.
		s += "recovery_init_sync_method = 'syncfs'\n"
	}
	if major >= 18 {
		s += "io_method = 'sync'\n" // no worker processes
	}
	return s
}

// sharedMemory chooses how parallel queries share memory: through /dev/shm where
// it is what it should be, through files where a container or chroot has none.
func sharedMemory() string {
	if fi, err := os.Stat("/dev/shm"); runtime.GOOS == "linux" && (err != nil || fi.Mode()&(os.ModeSticky|0o777) != os.ModeSticky|0o777) {
		return "dynamic_shared_memory_type = mmap\n"
	}
	return "dynamic_shared_memory_type = posix\n"
}

// hba is who may connect, and how: this program to the socket as the operating
// system's user that it is, customers over TCP with a password. Nobody else,
// and never as our superuser or to its database from outside.
const hba = `
local  all       rdsadmin  peer map=borealis
local  all       all       reject
host   all       rdsadmin  all  reject
host   rdsadmin  all       all  reject
host   all       all       all  scram-sha-256
`

// writeConf writes engine id's configuration for version v. The port and the
// addresses are arguments of the server: see arguments.
func (e *Engines) writeConf(id string, v Version) error {
	me, err := user.Current()
	if err != nil {
		return fmt.Errorf("find own user: %w", err)
	}
	if err := e.tls.make(e.host, e.user); err != nil {
		return err
	}
	dir := e.confDir(id)
	if err := errors.Join(os.MkdirAll(dir, 0o711), os.Chmod(dir, 0o711)); err != nil {
		return err
	}
	conf := settings + versionSettings(v.Major) + sharedMemory()
	if e.unsafe {
		conf += "fsync = off\n"
	}
	for name, value := range map[string]string{
		"data_directory": e.dataDir(id),
		"hba_file":       filepath.Join(dir, "pg_hba.conf"),
		"ident_file":     filepath.Join(dir, "pg_ident.conf"),
		"ssl_cert_file":  e.tls.certFile,
		"ssl_key_file":   e.tls.keyFile,
	} {
		conf += name + " = " + confQuote(value) + "\n"
	}
	ident := "borealis " + identQuote(me.Username) + " " + Superuser + "\n"
	for name, text := range map[string]string{"postgresql.conf": conf, "pg_hba.conf": hba, "pg_ident.conf": ident} {
		path := filepath.Join(dir, name)
		// The engine user reads them, whatever the umask.
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chmod(path, 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// confQuote is a value in postgresql.conf.
func confQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(s) + "'"
}

// identQuote is a word in pg_ident.conf. Without quotes one that begins with a
// slash would be a pattern.
func identQuote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// arguments are the server's: where it is, and where it listens. Being
// arguments, they also win over a postgresql.auto.conf.
func (e *Engines) arguments(id string, port int) []string {
	return []string{
		"-D", e.dataDir(id),
		"-c", "config_file=" + filepath.Join(e.confDir(id), "postgresql.conf"),
		"-c", "listen_addresses=" + e.host,
		"-c", fmt.Sprintf("port=%d", port),
		"-c", "unix_socket_directories=" + listQuote(e.socketDir(id)),
		"-c", "unix_socket_permissions=0700",
	}
}

// listQuote is one element of a setting that is a list of names.
func listQuote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
