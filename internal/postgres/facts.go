package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Facts are what a machine must know of a data directory to run it. They are
// kept with a snapshot, so their names do not change.
type Facts struct {
	Version        string // PostgreSQL's, in full: "15.18"
	Major          int
	System         string // "linux"
	Architecture   string // "amd64"
	Libc           string // the C library that sorts text: "glibc 2.36"
	Locale         Locale // of the cluster; a database may have another
	SystemID       uint64 `json:",string"` // beyond what JSON numbers hold
	PageSize       int    // bytes
	WALSegmentSize int    // bytes
	Checksums      bool   // whether pages have checksums
}

// A Locale says how text is encoded, sorted and classified.
type Locale struct {
	Encoding string // "UTF8"
	Collate  string // "en_US.UTF-8"
	Ctype    string
}

// facts gathers what is to know of the files in data, which version v runs.
func facts(ctx context.Context, v Version, data string, l Locale) (Facts, control, error) {
	raw, err := readControl(ctx, data)
	if err != nil {
		return Facts{}, control{}, fmt.Errorf("read pg_control: %w", err)
	}
	c, err := parseControl(raw)
	if err != nil {
		return Facts{}, control{}, err
	}
	return Facts{
		Version: v.Full, Major: v.Major,
		System: runtime.GOOS, Architecture: runtime.GOARCH, Libc: libc(), Locale: l,
		SystemID: c.systemID, PageSize: int(c.pageSize), WALSegmentSize: int(c.segment), Checksums: c.checksums,
	}, c, nil
}

// libc names this machine's C library. Those that do not tell their version,
// such as musl, sort text by code point, whatever their version.
var libc = sync.OnceValue(func() string {
	out, err := exec.Command("getconf", "GNU_LIBC_VERSION").Output()
	if err != nil {
		return runtime.GOOS + "-libc"
	}
	return strings.TrimSpace(string(out))
})

// Compatible reports whether this machine can run files with facts f, and with
// which version: an IncompatibleError or a NotInstalledError says why not. It
// makes that version's template if there is none.
func (e *Engines) Compatible(ctx context.Context, f Facts) (Version, error) {
	v, err := e.find(f.Version)
	if err != nil {
		return Version{}, err
	}
	if f.Architecture != runtime.GOARCH {
		return Version{}, &IncompatibleError{fmt.Sprintf("they were written on %s, this machine is %s", f.Architecture, runtime.GOARCH)}
	}
	if why := f.Locale.obstacle(ctx, f.Libc); why != "" {
		return Version{}, &IncompatibleError{why}
	}
	template, err := e.template(ctx, v)
	if err != nil {
		return Version{}, err
	}
	own, _, err := facts(ctx, v, filepath.Join(template, "data"), Locale{})
	if err != nil {
		return Version{}, err
	}
	if f.PageSize != own.PageSize {
		return Version{}, &IncompatibleError{fmt.Sprintf("their pages have %d bytes, those of PostgreSQL %s here %d", f.PageSize, v.Full, own.PageSize)}
	}
	return v, nil
}

// obstacle is why text that was sorted with the locale of another machine's C
// library cannot be used on this one, or "". Another version of the same
// library may sort a few texts in another way; PostgreSQL warns of that when a
// customer connects, who can then reindex.
func (l Locale) obstacle(ctx context.Context, other string) string {
	for _, name := range []string{l.Collate, l.Ctype} {
		if name == "C" || name == "POSIX" {
			continue
		}
		if !slices.ContainsFunc(locales(ctx), func(h string) bool { return sameLocale(h, name) }) {
			return fmt.Sprintf("their locale %q is not installed on this machine: install it (apt-get install locales-all)", name)
		}
		if !sameLocale(name, "C.UTF-8") && firstWord(other) != firstWord(libc()) {
			return fmt.Sprintf("text in locale %q was sorted by %s, and this machine has %s, which sorts in another way", name, other, libc())
		}
	}
	return ""
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// locales lists the locales that this machine has.
func locales(ctx context.Context) []string {
	out, err := exec.CommandContext(ctx, "locale", "-a").Output()
	if err != nil {
		return nil // a system without the program has the C locale only
	}
	return strings.Fields(string(out))
}

// sameLocale compares names of locales, which systems spell in several ways:
// "C.UTF-8", "C.utf8".
func sameLocale(a, b string) bool {
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "") }
	return plain(a) == plain(b)
}

// defaultLocale is the locale of new engines: AWS's, where this machine has it,
// or else one that machines do not differ in.
func defaultLocale(ctx context.Context) Locale {
	name := "C"
	have := locales(ctx)
	for _, want := range []string{"C.UTF-8", "en_US.UTF-8"} {
		if slices.ContainsFunc(have, func(h string) bool { return sameLocale(h, want) }) {
			name = want
		}
	}
	return Locale{Encoding: "UTF8", Collate: name, Ctype: name}
}

// emptyDirs are the directories of a data directory that may have no files, and
// so are not in a backup, but have to be there.
var emptyDirs = []string{
	"base", "global", "pg_commit_ts", "pg_dynshmem", "pg_logical/mappings", "pg_logical/snapshots",
	"pg_multixact/members", "pg_multixact/offsets", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots",
	"pg_stat", "pg_stat_tmp", "pg_subtrans", "pg_tblspc", "pg_twophase", "pg_wal/archive_status", "pg_xact",
}

// completeTree makes the directories that restored files lack.
func completeTree(data string) error {
	for _, d := range emptyDirs {
		if err := os.MkdirAll(filepath.Join(data, d), 0o700); err != nil {
			return err
		}
	}
	return nil
}
