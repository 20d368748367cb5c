//go:build pkcs11

package hsm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"

	"borealis/internal/hsm"
)

const (
	label    = "cluster-3a2b3c4d5e6"
	password = "kmsPswd99"
	name     = "arn:aws:kms:eu-west-1:111122223333:key/k"
)

// softHSM finds Debian's SoftHSM, and gives the test an empty one of its own.
func softHSM(t *testing.T) string {
	t.Helper()
	for _, lib := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(lib); err != nil {
			continue
		}
		if _, err := exec.LookPath("softhsm2-util"); err != nil {
			continue
		}
		dir := t.TempDir()
		conf := filepath.Join(dir, "softhsm2.conf")
		tokens := filepath.Join(dir, "tokens")
		if err := errors.Join(os.Mkdir(tokens, 0o700), os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nlog.level = ERROR\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
		t.Setenv("SOFTHSM2_CONF", conf)
		return lib
	}
	t.Skip("SKIPPED: SoftHSM is not installed (apt-get install softhsm2)")
	return ""
}

func initToken(t *testing.T, label string) {
	t.Helper()
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "officer1", "--pin", password).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func open(t *testing.T, lib string) *hsm.Module {
	t.Helper()
	m, err := hsm.Open(lib)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

var token = hsm.Token{Label: label, Password: password}

func wrong(password string) hsm.Token { return hsm.Token{Label: label, Password: password} }

func kind(err error) hsm.Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*hsm.Error](err); ok {
		return e.Kind
	}
	return hsm.Kind("not of this package: " + err.Error())
}

func TestRoundTrip(t *testing.T) {
	lib := softHSM(t)
	initToken(t, label)
	m := open(t, lib)
	ctx := t.Context()
	if err := errors.Join(m.Check(ctx, label, nil), m.Login(ctx, token), m.Generate(ctx, token, name)); err != nil {
		t.Fatal(err)
	}
	sealed, err := m.Encrypt(ctx, token, name, []byte("secret"), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := m.Encrypt(ctx, token, name, []byte("secret"), []byte("aad"))
	if err != nil || bytes.Equal(sealed, again) {
		t.Errorf("the same ciphertext twice (%v)", err)
	}
	opens := func(what string) {
		t.Helper()
		if got, err := m.Decrypt(ctx, token, name, sealed, []byte("aad")); err != nil || string(got) != "secret" {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	opens("at once")
	if err := m.Logout(label); err != nil {
		t.Fatal(err)
	}
	opens("after Logout")
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := m.Decrypt(ctx, token, name, bad, []byte("aad")); kind(err) != hsm.BadCiphertext {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for what, aad := range map[string]string{"other": "AAD", "no": ""} {
		if _, err := m.Decrypt(ctx, token, name, sealed, []byte(aad)); kind(err) != hsm.BadCiphertext {
			t.Errorf("%s associated data: %v", what, err)
		}
	}
	if _, err := m.Decrypt(ctx, token, name, sealed[:20], []byte("aad")); kind(err) != hsm.BadCiphertext {
		t.Errorf("a short ciphertext: %v", err)
	}
	opens("after failures")
	if b, err := m.Random(ctx, token, 64); err != nil || len(b) != 64 || bytes.Equal(b, make([]byte, 64)) {
		t.Errorf("random: %x, %v", b, err)
	}
	if err := errors.Join(m.Destroy(ctx, token, name), m.Destroy(ctx, token, name)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Decrypt(ctx, token, name, sealed, []byte("aad")); kind(err) != hsm.KeyNotFound {
		t.Errorf("after Destroy: %v", err)
	}
}

// Another process on the same token finds the key.
func TestKeyIsInTheToken(t *testing.T) {
	lib := softHSM(t)
	initToken(t, label)
	ctx := t.Context()
	m, err := hsm.Open(lib)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Generate(ctx, token, name); err != nil {
		t.Fatal(err)
	}
	sealed, err := m.Encrypt(ctx, token, name, []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = open(t, lib)
	if got, err := m.Decrypt(ctx, token, name, sealed, nil); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
}

// The key is sensitive and cannot be extracted, and its value is not to be read.
func TestKeyStaysInTheToken(t *testing.T) {
	lib := softHSM(t)
	initToken(t, label)
	m := open(t, lib)
	if err := m.Generate(t.Context(), token, name); err != nil {
		t.Fatal(err)
	}
	ctx := pkcs11.New(lib) // initialized by m, and logged in
	defer ctx.Destroy()
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		if info, err := ctx.GetTokenInfo(slot); err != nil || info.Label != label {
			continue
		}
		s, err := ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
		if err != nil {
			t.Fatal(err)
		}
		if err := ctx.FindObjectsInit(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY)}); err != nil {
			t.Fatal(err)
		}
		found, _, err := ctx.FindObjects(s, 10)
		if err != nil || len(found) != 1 {
			t.Fatalf("%d keys, %v", len(found), err)
		}
		for attribute, want := range map[uint][]byte{pkcs11.CKA_SENSITIVE: {1}, pkcs11.CKA_EXTRACTABLE: {0}, pkcs11.CKA_NEVER_EXTRACTABLE: {1}} {
			got, err := ctx.GetAttributeValue(s, found[0], []*pkcs11.Attribute{pkcs11.NewAttribute(attribute, nil)})
			if err != nil || !bytes.Equal(got[0].Value, want) {
				t.Errorf("attribute %#x is %v (%v)", attribute, got, err)
			}
		}
		if got, err := ctx.GetAttributeValue(s, found[0], []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)}); err == nil {
			t.Errorf("the key's value is %x", got[0].Value)
		}
		return
	}
	t.Fatal("the token is not there")
}

// A wrong password is tried once, so that nobody is locked out, and the right one
// works afterwards.
func TestWrongPassword(t *testing.T) {
	lib := softHSM(t)
	initToken(t, label)
	m := open(t, lib)
	ctx := t.Context()
	if err := m.Generate(ctx, token, name); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := m.Encrypt(ctx, wrong("wrong-password"), name, []byte("x"), nil); kind(err) != hsm.WrongPassword {
			t.Errorf("wrong password: %v", err)
		}
	}
	if err := m.Login(ctx, wrong("wrong-password")); kind(err) != hsm.WrongPassword {
		t.Errorf("log in with a wrong password: %v", err)
	}
	if _, err := m.Encrypt(ctx, token, name, []byte("x"), nil); err != nil {
		t.Errorf("right password: %v", err)
	}
	// Being logged in already proves no password.
	if err := m.Login(ctx, wrong("other-password")); kind(err) != hsm.WrongPassword {
		t.Errorf("log in with a wrong password while logged in: %v", err)
	}
	if s := token.String() + token.GoString() + token.LogValue().String(); strings.Contains(s, password) {
		t.Error(s)
	}
}

func TestCheck(t *testing.T) {
	lib := softHSM(t)
	initToken(t, label)
	initToken(t, "cluster-certified2345")
	m := open(t, lib)
	ctx := t.Context()
	if got := kind(m.Check(ctx, "cluster-other234567", nil)); got != hsm.NotFound {
		t.Errorf("no such token: %q", got)
	}
	if got := kind(m.Login(ctx, hsm.Token{Label: "cluster-other234567", Password: password})); got != hsm.NotFound {
		t.Errorf("log in where there is no token: %q", got)
	}
	if err := m.Check(ctx, label, []byte("any")); err != nil {
		t.Errorf("a token without certificates: %v", err)
	}
	putCertificate(t, lib, "cluster-certified2345", []byte("certificate"))
	if err := m.Check(ctx, "cluster-certified2345", []byte("certificate")); err != nil {
		t.Errorf("the token's certificate: %v", err)
	}
	if got := kind(m.Check(ctx, "cluster-certified2345", []byte("another"))); got != hsm.WrongAnchor {
		t.Errorf("another certificate: %q", got)
	}
}

// putCertificate stores a public certificate object in a token.
func putCertificate(t *testing.T, lib, label string, der []byte) {
	t.Helper()
	ctx := pkcs11.New(lib)
	defer ctx.Destroy()
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		if info, err := ctx.GetTokenInfo(slot); err != nil || info.Label != label {
			continue
		}
		s, err := ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
		if err != nil {
			t.Fatal(err)
		}
		defer ctx.CloseSession(s)
		if err := ctx.Login(s, pkcs11.CKU_USER, password); err != nil {
			t.Fatal(err)
		}
		defer ctx.Logout(s)
		if _, err := ctx.CreateObject(s, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_CERTIFICATE),
			pkcs11.NewAttribute(pkcs11.CKA_CERTIFICATE_TYPE, pkcs11.CKC_X_509),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
			pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, false),
			pkcs11.NewAttribute(pkcs11.CKA_SUBJECT, []byte("subject")),
			pkcs11.NewAttribute(pkcs11.CKA_VALUE, der),
		}); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("the token is not there")
}

// When somebody else in the process logs the token out, it is logged in again.
func TestLoggedOutByOthers(t *testing.T) {
	lib := softHSM(t)
	initToken(t, label)
	m := open(t, lib)
	ctx := t.Context()
	if err := m.Generate(ctx, token, name); err != nil {
		t.Fatal(err)
	}
	other := pkcs11.New(lib)
	defer other.Destroy()
	slots, err := other.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		_ = other.CloseAllSessions(slot) // this module's too: as when a device is pulled out
	}
	if _, err := m.Encrypt(ctx, token, name, []byte("x"), nil); err != nil {
		t.Error(err)
	}
}

func TestAtOnce(t *testing.T) {
	lib := softHSM(t)
	initToken(t, label)
	m := open(t, lib)
	if err := m.Generate(t.Context(), token, name); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			sealed, err := m.Encrypt(t.Context(), token, name, []byte("secret"), nil)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := m.Decrypt(t.Context(), token, name, sealed, nil); err != nil || string(got) != "secret" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	wg.Wait()
}

// Close waits for what nobody waits for any more: the module is not taken from
// under a call. Afterwards the module is closed to all.
func TestClosedUnderCalls(t *testing.T) {
	lib := softHSM(t)
	initToken(t, label)
	for range 10 {
		m := open(t, lib)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := m.Random(ctx, token, 1000); err != nil && kind(err) != hsm.TimedOut {
					t.Error(err)
				}
			})
		}
		cancel()
		wg.Wait()
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Random(t.Context(), token, 1); kind(err) != hsm.NotActive {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestOpenWrongModule(t *testing.T) {
	if _, err := hsm.Open(filepath.Join(t.TempDir(), "none.so")); err == nil {
		t.Error("a module that is not there was opened")
	}
}

// Anybody may ask for tokens that are not there, as often as they like: nothing of
// that stays.
func TestUnknownTokensAreForgotten(t *testing.T) {
	m := open(t, softHSM(t))
	for i := range 100 {
		if err := m.Check(t.Context(), fmt.Sprintf("cluster-%d", i), nil); kind(err) != hsm.NotFound {
			t.Fatal(err)
		}
	}
	if n := m.Remembered(); n != 0 {
		t.Errorf("%d tokens are remembered", n)
	}
}
