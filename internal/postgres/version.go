package postgres

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// oldest is the first major version that engines run on: older ones recover a
// backup in another way.
const oldest = 12

// A Version is an installed PostgreSQL.
type Version struct {
	// Full is the version as PostgreSQL numbers it: "15.18".
	Full string
	// Major is its first number.
	Major int
	// Bin is the directory of its programs.
	Bin string
}

func (v Version) program(name string) string { return filepath.Join(v.Bin, name) }

// installed remembers what was found, by the server program's path, for as long
// as the file is the same.
type installed struct {
	mu    sync.Mutex
	known map[string]knownVersion
}

type knownVersion struct {
	size    int64
	changed time.Time
	version Version
}

// binDirs are the places where packages put PostgreSQL's programs, apart from
// the directories of PATH.
var binDirs = []string{
	"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                   // PGDG's RPMs
	"/opt/homebrew/opt/postgresql@*/bin", // Homebrew
	"/usr/local/opt/postgresql@*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
	"/usr/libexec/postgresql*", // Alpine
	"/usr/local/pgsql/bin",     // built from source
}

// Versions lists the PostgreSQL servers that are installed now, newest first,
// one for every full version. It looks at the file system each time, and runs a
// program only when it meets it for the first time.
func (e *Engines) Versions() []Version {
	var all []Version
	for _, dir := range e.binDirs() {
		v, ok := e.installed.probe(dir)
		same := func(w Version) bool { return w.Full == v.Full }
		if ok && !slices.ContainsFunc(all, same) {
			all = append(all, v)
		}
	}
	slices.SortStableFunc(all, func(a, b Version) int { return -compareVersions(a.Full, b.Full) })
	return all
}

// binDirs are the directories to look for programs in.
func (e *Engines) binDirs() []string {
	if e.bin != "" {
		return []string{e.bin}
	}
	var dirs []string
	for _, pattern := range binDirs {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, found...)
	}
	return append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
}

// NotInstalled says that version is not installed, or none at all if it is "".
func (e *Engines) NotInstalled(version string) *NotInstalledError {
	missing := &NotInstalledError{Version: version, Bin: e.bin}
	for _, v := range e.Versions() {
		missing.Found = append(missing.Found, v.Full)
	}
	return missing
}

// probe asks the server program in dir for its version. Directories without
// both the server and initdb, and versions that are too old, do not count.
func (in *installed) probe(dir string) (Version, bool) {
	path := filepath.Join(dir, "postgres")
	fi, err := os.Stat(path)
	if err != nil || !filepath.IsAbs(dir) || !fi.Mode().IsRegular() || !exists(filepath.Join(dir, "initdb")) {
		return Version{}, false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if k, ok := in.known[path]; ok && k.size == fi.Size() && k.changed.Equal(fi.ModTime()) {
		return k.version, k.version.Major >= oldest
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return Version{}, false
	}
	v, ok := parseVersion(string(out))
	if !ok {
		return Version{}, false
	}
	v.Bin = dir
	if in.known == nil {
		in.known = map[string]knownVersion{}
	}
	in.known[path] = knownVersion{fi.Size(), fi.ModTime(), v}
	return v, v.Major >= oldest
}

// versionText is the number in "postgres (PostgreSQL) 15.18 (Debian …)". A beta
// or a development version has letters after its major: "19beta1".
var versionText = regexp.MustCompile(`\(PostgreSQL\) (([0-9]+)[0-9A-Za-z.]*)`)

func parseVersion(s string) (Version, bool) {
	m := versionText.FindStringSubmatch(s)
	if m == nil {
		return Version{}, false
	}
	major, err := strconv.Atoi(m[2])
	return Version{Full: m[1], Major: major}, err == nil
}

// find is the installed version that serves where want is asked for: the same
// one, or else the newest of the same major version, which runs the same files;
// the newest of all if want is "".
func (e *Engines) find(want string) (Version, error) {
	all := e.Versions()
	var near *Version
	for i, v := range all {
		if want == "" || v.Full == want {
			return v, nil
		}
		if near == nil && strconv.Itoa(v.Major) == majorOf(want) {
			near = &all[i]
		}
	}
	if near != nil {
		return *near, nil
	}
	return Version{}, e.NotInstalled(want)
}

// majorOf is the part of a version before its first dot.
func majorOf(version string) string {
	major, _, _ := strings.Cut(version, ".")
	return major
}

// compareVersions orders versions by their numbers.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, _ := strconv.Atoi(as[i])
		y, _ := strconv.Atoi(bs[i])
		if c := cmp.Or(cmp.Compare(x, y), cmp.Compare(as[i], bs[i])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}

// list writes words as a sentence does.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return fmt.Sprintf("%s and %s", strings.Join(words[:last], ", "), words[last])
}
