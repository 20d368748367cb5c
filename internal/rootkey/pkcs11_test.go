//go:build pkcs11

package rootkey_test

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"borealis/internal/rootkey"
	"borealis/internal/seal"
)

// softToken makes a token of SoftHSM with an AES key, and returns its URI. Once a
// process has the module, it knows no tokens but those of the first.
func softToken(t *testing.T) (uri, pinFile string) {
	t.Helper()
	module := "/usr/lib/softhsm/libsofthsm2.so"
	_, err := os.Stat(module)
	for _, program := range []string{"softhsm2-util", "pkcs11-tool"} {
		if _, perr := exec.LookPath(program); perr != nil {
			err = perr
		}
	}
	if err != nil {
		t.Skip("SKIPPED: no SoftHSM on this machine: apt-get install softhsm2 opensc")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	for _, args := range [][]string{
		{"softhsm2-util", "--init-token", "--free", "--label", "borealis test", "--so-pin", "12345678", "--pin", "8765"},
		{"pkcs11-tool", "--module", module, "--token-label", "borealis test", "--login", "--pin", "8765", "--keygen", "--key-type", "AES:32", "--label", "root"},
		{"pkcs11-tool", "--module", module, "--token-label", "borealis test", "--login", "--pin", "8765", "--keygen", "--key-type", "AES:32", "--label", "twice"},
		{"pkcs11-tool", "--module", module, "--token-label", "borealis test", "--login", "--pin", "8765", "--keygen", "--key-type", "AES:32", "--label", "twice"},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", args[0], err, out)
		}
	}
	pinFile = filepath.Join(dir, "pin")
	if err := os.WriteFile(pinFile, []byte("8765\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("pkcs11:token=%s;object=root?module-path=%s&pin-source=%s", url.PathEscape("borealis test"), module, pinFile), pinFile
}

func TestToken(t *testing.T) {
	uri, pinFile := softToken(t)
	how, err := rootkey.ParseHow(uri, "")
	if err != nil {
		t.Fatal(err)
	}
	root, path := written(t, how, rootkey.Secrets{})
	f := read(t, path)
	for range 2 {
		if got, err := f.Root(t.Context(), rootkey.Secrets{}); err != nil || got.ID() != root.ID() {
			t.Errorf("Root: %v", err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	moved, err := rootkey.Parse([]byte(strings.Replace(string(text), root.ID(), seal.NewRoot().ID(), 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := moved.Root(t.Context(), rootkey.Secrets{}); err == nil {
		t.Error("what was wrapped for another id opens")
	}
	for says, uri := range map[string]string{
		"there is no PKCS#11 token": strings.Replace(uri, "borealis", "other", 1),
		"has 0 AES keys":            strings.Replace(uri, "object=root", "object=none", 1),
		"has 2 AES keys":            strings.Replace(uri, "object=root", "object=twice", 1),
		"cannot be loaded":          strings.Replace(uri, "libsofthsm2", "nothing", 1),
		"read the token's PIN":      uri + "x",
		"BOREALIS_PKCS11_PIN_FILE":  strings.Replace(uri, "&pin-source="+pinFile, "", 1),
	} {
		how.Key = uri
		if _, err := how.Wrap(t.Context(), root, rootkey.Secrets{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	if err := os.WriteFile(pinFile, []byte("0000"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Root(t.Context(), rootkey.Secrets{}); err == nil || !strings.Contains(err.Error(), "log in to the PKCS#11 token") {
		t.Errorf("a wrong PIN: %v", err)
	}
}
