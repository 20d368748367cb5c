package volume

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// The names of objects: see docs/format.md, "Objects".
const (
	volumesDir  = "volumes/"
	progressDir = "progress/"
	packsDir    = "packs/"
)

const (
	maxName  = 4096 // bytes of a file's name
	maxField = 1<<16 - 1
)

var volumeID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

func checkID(id string) error {
	if !volumeID.MatchString(id) {
		return fmt.Errorf("%q is not a volume id (1 to 128 letters, digits, '-' and '_')", id)
	}
	return nil
}

func volumeName(id, vault string) string { return volumesDir + id + "." + vault }

// splitVolume takes the name of a volume's manifest apart.
func splitVolume(name string) (id, vault string, ok bool) {
	id, vault, ok = strings.Cut(strings.TrimPrefix(name, volumesDir), ".")
	return id, vault, ok && strings.HasPrefix(name, volumesDir)
}

// A packName is random, chosen before the pack is made. It tells nothing.
type packName [16]byte

func newPackName() (n packName) {
	rand.Read(n[:]) // never fails
	return n
}

func (n packName) String() string { return hex.EncodeToString(n[:]) }

func (n packName) object(vault string) string { return packsDir + vault + "/" + n.String() }

// parsePack takes the name of a pack's object apart.
func parsePack(object string) (vault string, n packName, ok bool) {
	vault, text, ok := strings.Cut(strings.TrimPrefix(object, packsDir), "/")
	if !ok || len(text) != 2*len(n) {
		return "", n, false
	}
	_, err := hex.Decode(n[:], []byte(text))
	return vault, n, err == nil
}

// checkName refuses names that mean another place when they are joined to a
// directory. It is asked when files come in and again when a manifest is read.
func checkName(name string) error {
	if !fs.ValidPath(name) || name == "." || len(name) > maxName || strings.ContainsAny(name, "\x00\\") {
		return fmt.Errorf("%q is not a valid relative file name", name)
	}
	return nil
}

// checkTree makes sure that files, in order of their names, can be a tree: names
// are valid and different, and nothing is below a file.
func checkTree(files []file) error {
	plain := map[string]bool{}
	for i, f := range files {
		if err := checkName(f.name); err != nil {
			return err
		}
		if i > 0 && files[i-1].name >= f.name {
			return fmt.Errorf("%q is there twice or out of order", f.name)
		}
		for at, c := range f.name {
			if c == '/' && plain[f.name[:at]] {
				return fmt.Errorf("%q is below a file", f.name)
			}
		}
		if !f.dir {
			plain[f.name] = true
		}
	}
	return nil
}
