package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// longestSocket is how long the path of a Unix socket may be, on the strictest
// system that engines run on.
const longestSocket = 103

// socketDir is where engine id's Unix socket is: with its files, or in the
// directory for temporary files when that path is too long for a socket.
func (e *Engines) socketDir(id string) string {
	dir := e.path("engines", id, "run")
	if len(dir)+len("/.s.PGSQL.65535") <= longestSocket {
		return dir
	}
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(os.TempDir(), "borealis-"+hex.EncodeToString(sum[:8]))
}

// makeSocketDir makes the socket's directory, which is the engine user's alone.
// Others may write to the directory for temporary files, so what is already
// there is used only if it is what we would have made.
func (e *Engines) makeSocketDir(id string) error {
	dir := e.socketDir(id)
	if err := e.user.mkdir(dir); err != nil {
		return err
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !fi.IsDir() || fi.Mode().Perm() != 0o700 || !ok || int(st.Uid) != e.user.uid {
		return fmt.Errorf("%s is not a private directory of user %q: remove it", dir, e.user.name)
	}
	return nil
}

// removeSocketDir removes the directory of the socket of an engine that has
// ended, for it may lie where nobody else would.
func (e *Engines) removeSocketDir(id string) error {
	if err := os.RemoveAll(e.socketDir(id)); err != nil {
		return fmt.Errorf("remove socket of engine %s: %w", id, err)
	}
	return nil
}

// reserve promises port, or one that the kernel chooses if it is 0, to the
// caller, until the function that it returns is called. PortTakenError if
// somebody listens on it or has been promised it.
func (e *Engines) reserve(port int) (int, func(), error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		l, err := net.Listen("tcp", net.JoinHostPort(e.host, strconv.Itoa(port)))
		if errors.Is(err, syscall.EADDRINUSE) {
			return 0, nil, &PortTakenError{e.host, port}
		}
		if err != nil {
			return 0, nil, fmt.Errorf("listen on %s: %w", e.host, err)
		}
		got := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if !e.ports[got] {
			e.ports[got] = true
			return got, func() { e.mu.Lock(); delete(e.ports, got); e.mu.Unlock() }, nil
		}
		if port != 0 {
			return 0, nil, &PortTakenError{e.host, port}
		}
	}
}

// vacant reports whether nobody listens on port.
func (e *Engines) vacant(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(e.host, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// connect connects to engine id as its superuser, over its socket. The
// environment of this process has no say in it.
func (e *Engines) connect(ctx context.Context, id string, port int) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig("sslmode=disable target_session_attrs=any passfile=/dev/null application_name=borealis")
	if err != nil {
		return nil, fmt.Errorf("configure connection: %w", err)
	}
	cfg.Host, cfg.Port = e.socketDir(id), uint16(port)
	cfg.User, cfg.Password, cfg.Database = Superuser, "", Superuser
	cfg.Fallbacks = nil
	cfg.ConnectTimeout = 10 * time.Second
	// Simple protocol: this is SQL without arguments that are worth preparing.
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	// Passwords' verifiers are in statements: keep them out of the log.
	cfg.RuntimeParams = map[string]string{
		"application_name":        "borealis",
		"log_statement":           "none",
		"log_min_error_statement": "panic",
		"statement_timeout":       "0",
	}
	return pgx.ConnectConfig(ctx, cfg)
}
