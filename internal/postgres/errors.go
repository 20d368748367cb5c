package postgres

import (
	"errors"
	"fmt"
)

// ErrClosed says that the engines were stopped for good, by Close.
var ErrClosed = errors.New("engines are closed")

// ErrNotRunning says that the engine has to run for what was asked.
var ErrNotRunning = errors.New("the engine is not running")

// A NotInstalledError says that the machine has no PostgreSQL server program
// that will do. Its text is for the operator.
type NotInstalledError struct {
	// Version is what was asked for; "" if any would do.
	Version string
	// Found are the versions that there are.
	Found []string
	// Bin is the only directory that was looked into; "" if all of the machine was.
	Bin string
}

func (e *NotInstalledError) Error() string {
	switch {
	case e.Bin != "" && len(e.Found) == 0:
		return fmt.Sprintf("there is no PostgreSQL server in %s: install one (apt-get install postgresql, or brew install postgresql), and name the directory that has its programs postgres and initdb", e.Bin)
	case e.Bin != "":
		return fmt.Sprintf("the PostgreSQL server in %s is %s, not %s", e.Bin, list(e.Found), e.Version)
	case e.Version == "":
		return "no PostgreSQL server is installed on this machine: install one (apt-get install postgresql, or brew install postgresql)"
	case len(e.Found) == 0:
		return fmt.Sprintf("PostgreSQL %s is not installed on this machine, nor is any other version: install it (apt-get install postgresql-%s)", e.Version, majorOf(e.Version))
	}
	return fmt.Sprintf("PostgreSQL %s is not installed on this machine, which has %s: install it (apt-get install postgresql-%s)", e.Version, list(e.Found), majorOf(e.Version))
}

// A PortTakenError says that another program listens where the engine should.
type PortTakenError struct {
	Host string
	Port int
}

func (e *PortTakenError) Error() string {
	return fmt.Sprintf("port %d of %s is taken by another program", e.Port, e.Host)
}

// An UnreachableError says that the engine user cannot get into a directory.
// Its text is for the operator.
type UnreachableError struct {
	// Path is the directory whose permissions are in the way.
	Path string
	// User is the engine user's name.
	User string
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("engines run as user %q, who may not enter %s: allow it (chmod o+x %s), or choose a data directory outside of it", e.User, e.Path, e.Path)
}

// An IncompatibleError says why a snapshot's files cannot run on this machine.
type IncompatibleError struct{ Reason string }

func (e *IncompatibleError) Error() string {
	return "this machine cannot run the restored files: " + e.Reason
}

// A TablespaceError says that an engine keeps data outside of its directory,
// where a backup does not see it.
type TablespaceError struct{ Name string }

func (e *TablespaceError) Error() string {
	return fmt.Sprintf("tablespace %q lies outside of the cluster's storage: move its tables (ALTER TABLE … SET TABLESPACE pg_default) and drop it first", e.Name)
}
