package server_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/internal/rootkey"
	"borealis/internal/seal"
	"borealis/internal/server"
)

// An upstream is another borealis server, whose KMS wraps root keys. The
// environment has the access key of a user there.
type upstream struct {
	url  string
	kms  *kms.Client // as the account's root user
	iam  *iam.Client
	key  string // ARN
	stop func()
}

func startUpstream(t *testing.T) *upstream {
	t.Helper()
	s := open(t, config(t.TempDir()))
	a, err := s.CreateAccount(t.Context(), server.NewAccount{ID: "999988887777"})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	cfg := client(h.URL, a.AccessKeyID, a.SecretAccessKey, "")
	u := &upstream{url: h.URL, kms: kms.NewFromConfig(cfg), iam: iam.NewFromConfig(cfg), stop: func() { h.Close(); closed(t, s) }}
	k, err := u.kms.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	u.key = *k.KeyMetadata.Arn
	if _, err := u.iam.CreateUser(t.Context(), &iam.CreateUserInput{UserName: new("server")}); err != nil {
		t.Fatal(err)
	}
	access, err := u.iam.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: new("server")})
	if err != nil {
		t.Fatal(err)
	}
	u.allow(t, "kms:Encrypt", "kms:Decrypt")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": *access.AccessKey.AccessKeyId, "AWS_SECRET_ACCESS_KEY": *access.AccessKey.SecretAccessKey, "AWS_MAX_ATTEMPTS": "1",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_SESSION_TOKEN": "",
	} {
		t.Setenv(name, value)
	}
	return u
}

// allow lets the server's user do these things, for root keys only.
func (u *upstream) allow(t *testing.T, actions ...string) {
	t.Helper()
	_, err := u.iam.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: new("server"), PolicyName: new("p"), PolicyDocument: new(
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["` + strings.Join(actions, `","`) + `"],"Resource":"` + u.key + `",
		"Condition":{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":"borealis:root-key"},"Null":{"kms:EncryptionContextKeys":"false"}}}}`)})
	if err != nil {
		t.Fatal(err)
	}
}

func TestUpstreamKMS(t *testing.T) {
	u := startUpstream(t)
	cfg := config(t.TempDir())
	cfg.RootKeyWrap, cfg.RootKeyEndpoint = u.key, u.url
	s := open(t, cfg)
	w := fill(t, cfg, s)
	status, err := s.Seal(t.Context())
	if err != nil || status.How != (rootkey.How{Provider: rootkey.KMS, Key: u.key, Endpoint: u.url}) {
		t.Errorf("%+v, %v", status, err)
	}
	closed(t, s)
	cfg.Init, cfg.RootKeyWrap, cfg.RootKeyEndpoint = false, "", "" // the file says it

	refused := func(name string, says ...string) {
		t.Helper()
		before := tree(t, cfg.Data)
		_, err := server.Open(t.Context(), cfg)
		if !errors.Is(err, server.ErrRootKey) {
			t.Errorf("%s: %v", name, err)
			return
		}
		for _, text := range append(says, cfg.RootKey, u.key) {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %q does not say %q", name, err, text)
			}
		}
		for path, text := range tree(t, cfg.Data) {
			if before[path] != text {
				t.Errorf("%s: %s has changed", name, path)
			}
		}
	}
	u.allow(t, "kms:Encrypt")
	refused("not allowed", "AccessDeniedException", "kms:Decrypt", "policy")
	u.allow(t, "kms:Encrypt", "kms:Decrypt")
	if _, err := u.kms.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &u.key}); err != nil {
		t.Fatal(err)
	}
	refused("disabled", "DisabledException", "must be enabled")
	if _, err := u.kms.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &u.key}); err != nil {
		t.Fatal(err)
	}

	s = open(t, cfg)
	w.check(t, s, cfg, good{true, true})
	if after, err := s.ReplaceRootKey(t.Context(), server.NewRootKey{}); err != nil || after.How != status.How || after.RootKey == status.RootKey {
		t.Errorf("replace by the same means: %+v, %v", after, err)
	}
	// Who may encrypt only would not get the key back.
	u.allow(t, "kms:Encrypt")
	if _, err := s.ReplaceRootKey(t.Context(), server.NewRootKey{}); err == nil || !strings.Contains(err.Error(), "refuses kms:Decrypt") {
		t.Errorf("what is wrapped cannot be opened again: %v", err)
	}
	u.allow(t, "kms:Encrypt", "kms:Decrypt")
	s.ForgetRoots()
	w.check(t, s, cfg, good{true, true})
	closed(t, s)

	u.stop()
	refused("down", "cannot be asked at "+u.url, "try again when it answers")
}

// From every way of keeping it to every other, with a crash in between, after
// which only the new one is to be had.
func TestReplaceHow(t *testing.T) {
	u := startUpstream(t)
	pass := func(p string) func(context.Context, bool) (seal.Plaintext, error) {
		return func(context.Context, bool) (seal.Plaintext, error) { return seal.Plaintext(p), nil }
	}
	kmsKey, passphrase, none := server.NewRootKey{Wrap: u.key, Endpoint: u.url}, server.NewRootKey{Wrap: "passphrase", Passphrase: "new"}, server.NewRootKey{Wrap: "none"}
	for name, c := range map[string]struct {
		from, to server.NewRootKey
		step     string
	}{
		"none to KMS":            {none, kmsKey, "begun 1"},
		"KMS to none":            {kmsKey, none, "batch 2"},
		"passphrase to another":  {server.NewRootKey{Wrap: "passphrase", Passphrase: "old"}, passphrase, "batch 2"},
		"KMS to none, late":      {kmsKey, none, "destroyed 1"},
		"passphrase to KMS":      {server.NewRootKey{Wrap: "passphrase", Passphrase: "old"}, kmsKey, "switched 1"},
		"KMS to none, too early": {kmsKey, none, "written 1"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t.TempDir())
			cfg.RootKeyWrap, cfg.RootKeyEndpoint, cfg.Passphrase = c.from.Wrap, c.from.Endpoint, pass(c.from.Passphrase)
			var crashed server.Config
			s, err := server.OpenFaulty(t.Context(), cfg, at(c.step, func() { crashed = copied(t, cfg) }))
			if err != nil {
				t.Fatal(err)
			}
			w := fill(t, cfg, s)
			if _, err := s.ReplaceRootKey(t.Context(), c.to); !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			closed(t, s)
			want, now := c.to, crashed
			if c.step == "written 1" {
				want = c.from // it had not begun
			}
			now.Init, now.Passphrase = false, pass(want.Passphrase)
			if c.step != "written 1" && want.Wrap != u.key {
				t.Setenv("AWS_ACCESS_KEY_ID", "") // the KMS is not needed any more
			}
			s = open(t, now)
			defer closed(t, s)
			w.check(t, s, now, good{true, true})
			if status, err := s.Seal(t.Context()); err != nil || status.How.String() != wanted(t, want).String() {
				t.Errorf("%+v, %v", status, err)
			}
		})
	}
}

func wanted(t *testing.T, n server.NewRootKey) rootkey.How {
	t.Helper()
	how, err := rootkey.ParseHow(n.Wrap, n.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return how
}

// A passphrase that is not the right one changes nothing, also where a data
// directory would be made.
func TestWrongPassphrase(t *testing.T) {
	cfg := config(t.TempDir())
	root := seal.NewRoot()
	right := func(context.Context, bool) (seal.Plaintext, error) { return seal.Plaintext("right"), nil }
	text, err := rootkey.How{Provider: rootkey.Passphrase}.Wrap(t.Context(), root, rootkey.Secrets{Passphrase: right})
	if err := errors.Join(err, rootkey.Write(cfg.RootKey, text)); err != nil {
		t.Fatal(err)
	}
	cfg.Passphrase = func(context.Context, bool) (seal.Plaintext, error) { return seal.Plaintext("wrong"), nil }
	if _, err := server.Open(t.Context(), cfg); !errors.Is(err, server.ErrRootKey) || !strings.Contains(err.Error(), "passphrase is not the one") {
		t.Errorf("wrong: %v", err)
	}
	cfg.Passphrase = func(context.Context, bool) (seal.Plaintext, error) { return nil, os.ErrClosed }
	if _, err := server.Open(t.Context(), cfg); !errors.Is(err, server.ErrRootKey) {
		t.Errorf("none: %v", err)
	}
	if _, err := os.Stat(cfg.Data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory was made: %v", err)
	}
	cfg.Passphrase = right
	s := open(t, cfg)
	if status, err := s.Seal(t.Context()); err != nil || status.RootKey != root.ID() {
		t.Errorf("%+v, %v", status, err)
	}
	closed(t, s)
}

// The files of a replacement that is not over are needed, and said to be.
func TestMissingNextRootKey(t *testing.T) {
	cfg := config(t.TempDir())
	var crashed server.Config
	s, err := server.OpenFaulty(t.Context(), cfg, at("batch 1", func() { crashed = copied(t, cfg) }))
	if err != nil {
		t.Fatal(err)
	}
	w := fill(t, cfg, s)
	if _, err := s.ReplaceRootKey(t.Context(), server.NewRootKey{}); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	if _, err := s.ReplaceRootKey(t.Context(), server.NewRootKey{Wrap: "none"}); err == nil || !strings.Contains(err.Error(), "borealis seal rotate alone") {
		t.Errorf("another way before the first is over: %v", err)
	}
	closed(t, s)
	next := crashed.RootKey + ".next"
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.Rename(next, kept); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Open(t.Context(), crashed); !errors.Is(err, server.ErrRootKey) || !strings.Contains(err.Error(), "whose file "+next+" does not exist; bring it back") {
		t.Errorf("without the next root key: %v", err)
	}
	if err := rootkey.Write(next, seal.NewRoot().Text()); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Open(t.Context(), crashed); !errors.Is(err, server.ErrRootKey) || !strings.Contains(err.Error(), "bring that back") {
		t.Errorf("with another next root key: %v", err)
	}
	text, err := os.ReadFile(kept)
	if err := errors.Join(err, os.WriteFile(next, text, 0o644), os.Chmod(next, 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Open(t.Context(), crashed); !errors.Is(err, server.ErrRootKey) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("open to others: %v", err)
	}
	// The old root key is not needed to go on, whatever is left of it.
	if err := errors.Join(os.Chmod(next, 0o600), os.WriteFile(crashed.RootKey, make([]byte, 100), 0o600)); err != nil {
		t.Fatal(err)
	}
	s = open(t, crashed)
	w.check(t, s, crashed, good{true, true})
	closed(t, s)
}
