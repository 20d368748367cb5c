package postgres

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// emptied are the directories whose contents are of no use to a copy: what
// lives only as long as a server does, and WAL, which is chosen apart.
var emptied = []string{
	"pg_dynshmem", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans", "pg_wal",
}

// skipped are files of no use to a copy, or that say where this one is.
var skipped = append([]string{
	"backup_label", "backup_label.old", "backup_manifest", "backup_manifest.tmp", "current_logfiles", "current_logfiles.tmp",
	"global/pg_control", "postgresql.auto.conf.tmp", "postmaster.opts", "postmaster.pid", "tablespace_map", "tablespace_map.old",
}, foreignConf...)

// baseFiles lists the data files, in order, of a server that may be running:
// all of its files, but for those that it would not miss. pg_control is not
// among them, since it has its own time.
func baseFiles(data string) ([]File, error) {
	if spaces, err := os.ReadDir(filepath.Join(data, "pg_tblspc")); err != nil || len(spaces) > 0 {
		if err == nil {
			err = &TablespaceError{spaces[0].Name()}
		}
		return nil, err
	}
	var files []File
	err := filepath.WalkDir(data, func(at string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a table or a database was dropped meanwhile
		}
		if err != nil || at == data {
			return err
		}
		name := filepath.ToSlash(at[len(data)+1:])
		if d.IsDir() {
			if slices.Contains(emptied, name) || strings.HasPrefix(d.Name(), "pgsql_tmp") {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || skip(name) {
			return nil
		}
		fi, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		files = append(files, File{Name: name, Path: at, Size: fi.Size(), Mode: fi.Mode()})
		return nil
	})
	return withoutUnlogged(files), err
}

// temporaryTable is the name of a file of a session's own table.
var temporaryTable = regexp.MustCompile(`^t[0-9]+_[0-9]+(_[a-z]+)?(\.[0-9]+)?$`)

func skip(name string) bool {
	base := path.Base(name)
	return slices.Contains(skipped, name) || strings.HasPrefix(base, "pgsql_tmp") ||
		strings.HasPrefix(base, "pg_internal.init") || temporaryTable.MatchString(base)
}

var relationFile = regexp.MustCompile(`^([0-9]+)(_[a-z]+)?(\.[0-9]+)?$`)

// withoutUnlogged leaves out the contents of unlogged tables, which have no WAL
// to make them consistent: recovery makes them anew, empty, from their init
// files.
func withoutUnlogged(files []File) []File {
	unlogged := map[string]bool{}
	for _, f := range files {
		if strings.HasPrefix(f.Name, "base/") && strings.HasSuffix(f.Name, "_init") {
			unlogged[strings.TrimSuffix(f.Name, "_init")] = true
		}
	}
	return slices.DeleteFunc(files, func(f File) bool {
		dir, base := path.Split(f.Name)
		m := relationFile.FindStringSubmatch(base)
		return m != nil && m[2] != "_init" && unlogged[dir+m[1]]
	})
}
