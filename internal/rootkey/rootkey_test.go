package rootkey_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"borealis/internal/rootkey"
	"borealis/internal/seal"
)

func passphrase(p string) rootkey.Secrets {
	return rootkey.Secrets{Passphrase: func(context.Context, bool) (seal.Plaintext, error) { return seal.Plaintext(p), nil }}
}

// written is the file of a new root key, kept this way.
func written(t *testing.T, how rootkey.How, s rootkey.Secrets) (*seal.Root, string) {
	t.Helper()
	root := seal.NewRoot()
	text, err := how.Wrap(t.Context(), root, s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a", "root.key")
	if err := rootkey.Write(path, text); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if how.Provider != rootkey.Plain && strings.Contains(string(text), "borealis-root-key-v1") {
		t.Error("the file holds the key as it is")
	}
	return root, path
}

func read(t *testing.T, path string) *rootkey.File {
	t.Helper()
	f, err := rootkey.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPlain(t *testing.T) {
	root, path := written(t, rootkey.How{Provider: rootkey.Plain}, rootkey.Secrets{})
	f := read(t, path)
	if got, err := f.Root(t.Context(), rootkey.Secrets{}); err != nil || got.ID() != root.ID() {
		t.Errorf("Root: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := rootkey.Read(path); !errors.Is(err, rootkey.ErrMode) || !strings.Contains(err.Error(), "0640") {
		t.Errorf("open to others: %v", err)
	}
	if err := rootkey.Destroy(path); err != nil {
		t.Fatal(err)
	}
	if _, err := rootkey.Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("destroyed: %v", err)
	}
}

// What Destroy destroys is gone for who has the file open or another name of it.
func TestDestroyOverwrites(t *testing.T) {
	_, path := written(t, rootkey.How{Provider: rootkey.Plain}, rootkey.Secrets{})
	other := path + ".other"
	if err := errors.Join(os.Link(path, other), rootkey.Destroy(path)); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(other); err != nil || strings.Trim(string(text), "\x00") != "" {
		t.Errorf("left: %q, %v", text, err)
	}
}

func TestPassphrase(t *testing.T) {
	root, path := written(t, rootkey.How{Provider: rootkey.Passphrase}, passphrase("one two"))
	f := read(t, path)
	if f.Provider != rootkey.Passphrase {
		t.Errorf("provider %s", f.Provider)
	}
	if got, err := f.Root(t.Context(), passphrase("one two")); err != nil || got.ID() != root.ID() {
		t.Errorf("Root: %v", err)
	}
	for name, s := range map[string]rootkey.Secrets{
		"is not the one": passphrase("one  two"),
		"is empty":       passphrase(""),
		"is given":       {},
	} {
		if _, err := f.Root(t.Context(), s); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not say %q", err, name)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut, err := rootkey.Parse(text[:len(text)/2])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cut.Root(t.Context(), passphrase("one two")); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("half a file: %v", err)
	}
}

// Anybody who has the passphrase and the age program gets the key, without us.
func TestAgeProgram(t *testing.T) {
	age, err := exec.LookPath("age")
	if err != nil {
		t.Skip("SKIPPED: no age program on this machine")
	}
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("SKIPPED: no script program on this machine, and age asks at a terminal")
	}
	root, path := written(t, rootkey.How{Provider: rootkey.Passphrase}, passphrase("one two"))
	cmd := exec.CommandContext(t.Context(), "script", "-qec", age+" -d -o "+path+".plain "+path, "/dev/null")
	cmd.Stdin = strings.NewReader("one two\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("age: %v: %s", err, out)
	}
	text, err := os.ReadFile(path + ".plain")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := seal.ParseRoot(text); err != nil || got.ID() != root.ID() {
		t.Errorf("what age has decrypted: %v", err)
	}
}

const (
	arn = "arn:aws:kms:eu-west-1:111122223333:key/1"
	uri = "pkcs11:token=a%20b;object=c?module-path=/x.so&pin-source=file:/pin"
)

func TestParseHow(t *testing.T) {
	for text, want := range map[string]rootkey.How{
		"":           {Provider: rootkey.Plain},
		"none":       {Provider: rootkey.Plain},
		"passphrase": {Provider: rootkey.Passphrase},
		arn:          {Provider: rootkey.KMS, Key: arn},
		uri:          {Provider: rootkey.PKCS11, Key: uri},
	} {
		if got, err := rootkey.ParseHow(text, ""); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for text, says := range map[string]string{
		"kms": "not by", "arn:aws:kms:eu-west-1:111122223333:alias/a": "is not the ARN", "arn:aws:s3:::b": "is not the ARN",
		"pkcs11:token=a;object=b":                             "must name token, object and module-path",
		"pkcs11:token=a;object=b?module-path=/x&pin-value=12": `not "pin-value"`,
		"pkcs11:token=%zz":                                    "token in the PKCS#11 URI",
	} {
		if got, err := rootkey.ParseHow(text, ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %+v, %v does not say %q", text, got, err, says)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := `{"format":"borealis root key 2","provider":"kms","key":"` + arn + `","id":"x","wrapped":"AAAA"}`
	if f, err := rootkey.Parse([]byte(good)); err != nil || f.Key != arn {
		t.Fatalf("%+v, %v", f, err)
	}
	for name, text := range map[string]string{
		"nothing": "", "zeros": strings.Repeat("\x00", 300), "text": "hello", "cut": good[:len(good)-1],
		"two": good + good, "newer": strings.Replace(good, "key 2", "key 3", 1),
		"another provider": strings.Replace(good, `"kms"`, `"pkcs11"`, 1),
		"no key":           strings.Replace(good, arn, "", 1),
		"nothing wrapped":  strings.Replace(good, "AAAA", "", 1),
		"unknown member":   strings.Replace(good, `"id"`, `"identity"`, 1),
	} {
		if f, err := rootkey.Parse([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(seal.NewRoot().Text()))
	f.Add([]byte(`{"format":"borealis root key 2","provider":"kms","key":"` + arn + `","id":"x","wrapped":"AAAA"}`))
	f.Add([]byte(`{"format":"borealis root key 2","provider":"pkcs11","key":"` + uri + `","id":"x","wrapped":"AAAA"}`))
	f.Add([]byte("-----BEGIN AGE ENCRYPTED FILE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := rootkey.Parse(text)
		if err != nil {
			return // refusing is fine; panicking is not
		}
		if file.Provider == rootkey.Plain {
			if _, err := file.Root(t.Context(), rootkey.Secrets{}); err != nil {
				t.Errorf("a plain key that was read does not open: %v", err)
			}
		}
	})
}
