package server_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"borealis/internal/server"
)

// A sealedWorld is a data directory with something of everything that is sealed, and
// what it takes to see that all of it opens.
type sealedWorld struct {
	cfg    server.Config
	root   server.Account
	user   server.Account // a user's access key
	blobs  map[string][]byte
	token  string
	tokens *iamSession
	key    string // id of the first KMS key
}

type iamSession struct{ id, secret, token string }

const secretText = "something that nobody else should read"

// client is the configuration of SDK clients of a server.
func client(url, id, secret, token string) aws.Config {
	return aws.Config{Region: "eu-west-1", BaseEndpoint: &url, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider(id, secret, token)}
}

func serve(t *testing.T, s *server.Server) string {
	h := httptest.NewServer(s.Handler())
	t.Cleanup(h.Close)
	return h.URL
}

// fill makes four keys, of which one imports its material, a custom key store, two
// access keys, a session and a grant.
func fill(t *testing.T, cfg server.Config, s *server.Server) *sealedWorld {
	t.Helper()
	ctx := t.Context()
	a, err := s.CreateAccount(ctx, server.NewAccount{ID: "111122223333", Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	w := &sealedWorld{cfg: cfg, root: a, blobs: map[string][]byte{}}
	url := serve(t, s)
	root := client(url, a.AccessKeyID, a.SecretAccessKey, "")
	people := iam.NewFromConfig(root)
	if _, err := people.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")}); err != nil {
		t.Fatal(err)
	}
	key, err := people.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("ann")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := people.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("phone")}); err != nil {
		t.Fatal(err)
	}
	w.user = server.Account{AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey}
	session, err := sts.NewFromConfig(client(url, w.user.AccessKeyID, w.user.SecretAccessKey, "")).GetSessionToken(ctx, &sts.GetSessionTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	w.tokens = &iamSession{*session.Credentials.AccessKeyId, *session.Credentials.SecretAccessKey, *session.Credentials.SessionToken}
	for range 3 {
		w.encrypt(t, kms.NewFromConfig(root))
	}
	if _, err := kms.NewFromConfig(root).CreateKey(ctx, &kms.CreateKeyInput{Origin: kmstypes.OriginTypeExternal}); err != nil {
		t.Fatal(err)
	}
	family, err := kms.NewFromConfig(root).CreateKey(ctx, &kms.CreateKeyInput{MultiRegion: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kms.NewFromConfig(root).ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: family.KeyMetadata.KeyId, ReplicaRegion: new("ap-east-1")}); err != nil {
		t.Fatal(err)
	}
	_, err = kms.NewFromConfig(root).CreateCustomKeyStore(ctx, &kms.CreateCustomKeyStoreInput{
		CustomKeyStoreName: new("store"), CustomKeyStoreType: "EXTERNAL_KEY_STORE", XksProxyConnectivity: "VPC_ENDPOINT_SERVICE",
		XksProxyUriEndpoint: new("https://xks.example.com"), XksProxyUriPath: new("/kms/xks/v1"),
		XksProxyVpcEndpointServiceName: new("com.amazonaws.vpce.eu-west-1.vpce-svc-0a1b2c3d"),
		XksProxyAuthenticationCredential: &kmstypes.XksProxyAuthenticationCredentialType{
			AccessKeyId: new("KMSXKSPROXYACCESSKEY2345"), RawSecretAccessKey: new(strings.Repeat("s", 43)),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for w.key = range w.blobs {
		break
	}
	grant, err := kms.NewFromConfig(root).CreateGrant(ctx, &kms.CreateGrantInput{
		KeyId: &w.key, GranteePrincipal: new("arn:aws:iam::111122223333:user/ann"), Operations: []kmstypes.GrantOperation{"Decrypt"},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.token = *grant.GrantToken
	return w
}

// encrypt makes a key and encrypts under it.
func (w *sealedWorld) encrypt(t *testing.T, c *kms.Client) {
	t.Helper()
	k, err := c.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: k.KeyMetadata.KeyId, Plaintext: []byte(secretText)})
	if err != nil {
		t.Fatal(err)
	}
	w.blobs[*k.KeyMetadata.KeyId] = e.CiphertextBlob
}

// good says which of a session and a grant's token still are.
type good struct{ session, grant bool }

// check sees that everything opens in s, that it is under one root key, which it
// returns, and that the files say so.
func (w *sealedWorld) check(t *testing.T, s *server.Server, cfg server.Config, want good) string {
	t.Helper()
	ctx := t.Context()
	url := serve(t, s)
	root := kms.NewFromConfig(client(url, w.root.AccessKeyID, w.root.SecretAccessKey, ""))
	for id, blob := range w.blobs {
		if d, err := root.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob}); err != nil || string(d.Plaintext) != secretText {
			t.Errorf("decrypt under %s: %v", id, err)
		}
	}
	user := client(url, w.user.AccessKeyID, w.user.SecretAccessKey, "")
	if _, err := sts.NewFromConfig(user).GetCallerIdentity(ctx, nil); err != nil {
		t.Errorf("the user's access key: %v", err)
	}
	_, err := sts.NewFromConfig(client(url, w.tokens.id, w.tokens.secret, w.tokens.token)).GetCallerIdentity(ctx, nil)
	if (err == nil) != want.session {
		t.Errorf("the session: %v", err)
	}
	_, err = kms.NewFromConfig(user).Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: w.blobs[w.key], GrantTokens: []string{w.token}})
	if (err == nil) != want.grant {
		t.Errorf("the grant's token: %v", err)
	}
	status, err := s.Seal(ctx)
	if err != nil || status.Next != "" || len(status.Sealed) != 1 || status.Sealed[0].RootKey != status.RootKey || status.Sealed[0].Secrets < 8 {
		t.Errorf("sealed: %+v, %v", status, err)
	}
	if left, err := os.ReadDir(filepath.Dir(cfg.RootKey)); err != nil || len(left) != 1 {
		t.Errorf("files of root keys: %v, %v", left, err)
	}
	return status.RootKey
}

// copied is cfg with its directory copied as it is now: what a crash would leave.
func copied(t *testing.T, cfg server.Config) server.Config {
	t.Helper()
	from, to := filepath.Dir(cfg.Data), t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return os.Chmod(filepath.Join(to, strings.TrimPrefix(path, from)), info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Data, cfg.RootKey = filepath.Join(to, "data"), filepath.Join(to, "keys", "root.key")
	return cfg
}

func TestReplaceRootKey(t *testing.T) {
	cfg := config(t.TempDir())
	s := open(t, cfg)
	w := fill(t, cfg, s)
	before := w.check(t, s, cfg, good{true, true})
	old := copied(t, cfg)
	status, err := s.ReplaceRootKey(t.Context(), server.NewRootKey{})
	if err != nil || status.RootKey == before || status.Since.Before(time.Now().Add(-time.Minute)) || status.How.Provider != "none" {
		t.Fatalf("%+v, %v", status, err)
	}
	s.ForgetRoots()
	if w.check(t, s, cfg, good{true, true}) == before {
		t.Error("the root key is the same")
	}
	noTrace(t, s, cfg, before)
	if _, err := s.ReplaceRootKey(t.Context(), server.NewRootKey{EndSessions: true}); err != nil {
		t.Fatal(err)
	}
	s.ForgetRoots()
	w.check(t, s, cfg, good{false, false})
	closed(t, s)
	cfg.Init = false
	s = open(t, cfg)
	after := w.check(t, s, cfg, good{false, false})
	closed(t, s)

	// A copy of the data from before is of no use to who has the new root key only.
	old.RootKey = cfg.RootKey
	if _, err := server.Open(t.Context(), old); !errors.Is(err, server.ErrRootKey) || !strings.Contains(err.Error(), before) || !strings.Contains(err.Error(), after) {
		t.Errorf("old data with the new root key: %v", err)
	}
}

// noTrace sees that nothing in the data directory says that it is sealed under
// root, in any form that sealed messages are kept in, and that the file system
// has no file of that root key.
func noTrace(t *testing.T, s *server.Server, cfg server.Config, root string) {
	t.Helper()
	s.SweepAt(t.Context(), time.Now())
	id, err := hex.DecodeString(root[:16])
	if err != nil {
		t.Fatal(err)
	}
	header := append([]byte{2}, id...)
	for path, text := range tree(t, filepath.Dir(cfg.Data)) {
		for form, trace := range map[string]string{"raw": string(header), "base64": base64.StdEncoding.EncodeToString(header), "id": root} {
			if strings.Contains(text, trace) {
				t.Errorf("%s: has the %s of the old root key", path, form)
			}
		}
	}
}

// Every column that has sealed messages is one that is sealed again: this looks
// for them everywhere, where something of everything exists.
func TestSealedColumnsAreKnown(t *testing.T) {
	cfg := config(t.TempDir())
	s := open(t, cfg)
	fill(t, cfg, s)
	status, err := s.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	id, err := hex.DecodeString(status.RootKey[:16])
	if err != nil {
		t.Fatal(err)
	}
	header := append([]byte{2}, id...)
	found := 0
	everyValue(t, filepath.Join(cfg.Data, "borealis.db"), func(v []byte) {
		found += bytes.Count(v, header) + bytes.Count(v, []byte(base64.StdEncoding.EncodeToString(header)))
	})
	if found == 0 || len(status.Sealed) != 1 || found != status.Sealed[0].Secrets {
		t.Errorf("the database has %d sealed messages, of which %v are known: is a column missing in store.sealedColumns?", found, status.Sealed)
	}
}

// A secret in a place that nobody knows of keeps the root key from being destroyed,
// and nothing else from working; a damaged secret does not.
func TestUnknownSecretKeepsRootKey(t *testing.T) {
	cfg := config(t.TempDir())
	s := open(t, cfg)
	w := fill(t, cfg, s)
	db, err := sql.Open("sqlite", filepath.Join(cfg.Data, "borealis.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(query string) {
		t.Helper()
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE later (secret BYTEA)`)
	exec(`INSERT INTO later SELECT sealed FROM kms_materials LIMIT 1`)
	before, err := s.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.ReplaceRootKey(t.Context(), server.NewRootKey{}); err == nil || !strings.Contains(err.Error(), "later.secret") {
			t.Errorf("ReplaceRootKey: %v", err)
		}
		closed(t, s)
		s = open(t, cfg)
		if status, err := s.Seal(t.Context()); err != nil || status.RootKey != before.RootKey || status.Next == "" {
			t.Errorf("%+v, %v", status, err)
		}
	}
	exec(`DROP TABLE later`)
	exec(`INSERT INTO secrets SELECT 'damaged', substr(sealed, 1, 50) || x'00' || substr(sealed, 52) FROM kms_materials WHERE sealed IS NOT NULL LIMIT 1`)
	status, err := s.ReplaceRootKey(t.Context(), server.NewRootKey{})
	if err != nil || status.RootKey == before.RootKey {
		t.Errorf("with a damaged secret: %+v, %v", status, err)
	}
	exec(`DELETE FROM secrets WHERE name = 'damaged'`)
	w.check(t, s, cfg, good{true, true})
	closed(t, s)
}

// everyValue passes every value of every table to fn.
func everyValue(t *testing.T, path string, fn func([]byte)) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	names := column(t, db, `SELECT name FROM sqlite_master WHERE type = 'table'`)
	for _, table := range names {
		for _, c := range column(t, db, `SELECT name FROM pragma_table_info('`+string(table)+`')`) {
			for _, v := range column(t, db, fmt.Sprintf(`SELECT "%s" FROM "%s" WHERE "%[1]s" IS NOT NULL`, c, table)) {
				fn(v)
			}
		}
	}
}

func column(t *testing.T, db *sql.DB, query string) (all [][]byte) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v []byte
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// steps are those of a replacement: one batch for each table with secrets.
var steps = []string{"written 1", "begun 1", "batch 1", "batch 2", "batch 3", "batch 4", "batch 5", "resealed 1", "switched 1", "scrubbed 1", "destroyed 1"}

var errCrash = errors.New("crash")

// at calls fn at one step, and ends there.
func at(step string, fn func()) func(string) error {
	seen := map[string]int{}
	return func(s string) error {
		if seen[s]++; fmt.Sprint(s, " ", seen[s]) != step {
			return nil
		}
		fn()
		return errCrash
	}
}

// The process ends after any step, and again after any step of the start that
// goes on: then the next start ends what was begun, with everything readable and
// one root key.
func TestReplaceRootKeyCrashes(t *testing.T) {
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			cfg := config(t.TempDir())
			var crashed server.Config
			s, err := server.OpenFaulty(t.Context(), cfg, at(step, func() { crashed = copied(t, cfg) }))
			if err != nil {
				t.Fatal(err)
			}
			w := fill(t, cfg, s)
			before, err := s.Seal(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.ReplaceRootKey(t.Context(), server.NewRootKey{}); !errors.Is(err, errCrash) {
				t.Fatalf("ReplaceRootKey: %v", err)
			}
			// Who goes on serving answers as before, and ends it when asked again.
			if status, err := s.ReplaceRootKey(t.Context(), server.NewRootKey{}); err != nil || status.RootKey == before.RootKey {
				t.Errorf("again: %+v, %v", status, err)
			}
			s.ForgetRoots()
			w.check(t, s, cfg, good{true, true})
			closed(t, s)

			crashed.Init = false
			for _, again := range steps[2:] {
				cfg, twice := copied(t, crashed), server.Config{}
				s, err := server.OpenFaulty(t.Context(), cfg, at(again, func() { twice = copied(t, cfg) }))
				if err != nil {
					t.Fatalf("then %s: %v", again, err)
				}
				closed(t, s)
				if twice.Data == "" {
					twice = cfg // that step was not left
				}
				s = open(t, twice)
				s.ForgetRoots()
				after := w.check(t, s, twice, good{true, true})
				if begun := step != "written 1"; (after != before.RootKey) != begun {
					t.Errorf("then %s: the root key is %s and was %s", again, after, before.RootKey)
				}
				if after != before.RootKey {
					noTrace(t, s, twice, before.RootKey)
				}
				closed(t, s)
			}
		})
	}
}

// Requests are answered, and keys and access keys made, while the root key is
// replaced again and again.
func TestReplaceRootKeyWhileServing(t *testing.T) {
	cfg := config(t.TempDir())
	s := open(t, cfg)
	w := fill(t, cfg, s)
	url := serve(t, s)
	c := kms.NewFromConfig(client(url, w.root.AccessKeyID, w.root.SecretAccessKey, ""))
	var stop atomic.Bool
	var all sync.WaitGroup
	var mu sync.Mutex
	made := map[string][]byte{}
	for range 3 {
		all.Go(func() {
			for !stop.Load() {
				k, err := c.CreateKey(t.Context(), &kms.CreateKeyInput{})
				if err != nil {
					t.Error(err)
					return
				}
				e, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: k.KeyMetadata.KeyId, Plaintext: []byte(secretText)})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: e.CiphertextBlob}); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				made[*k.KeyMetadata.KeyId] = e.CiphertextBlob
				mu.Unlock()
			}
		})
	}
	for range 5 {
		if _, err := s.ReplaceRootKey(t.Context(), server.NewRootKey{}); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	all.Wait()
	closed(t, s)
	for id, blob := range made {
		w.blobs[id] = blob
	}
	s = open(t, cfg)
	w.check(t, s, cfg, good{true, true})
	closed(t, s)
	if len(made) < 5 {
		t.Errorf("only %d keys were made meanwhile", len(made))
	}
}

func TestReplaceRootKeyRefusals(t *testing.T) {
	cfg := config(t.TempDir())
	inside := make(chan struct{})
	release := make(chan struct{})
	s, err := server.OpenFaulty(t.Context(), cfg, func(step string) error {
		if step == "begun" {
			close(inside)
			<-release
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	w := fill(t, cfg, s)
	before := tree(t, filepath.Dir(cfg.RootKey))
	for name, c := range map[string]struct {
		n    server.NewRootKey
		says string
	}{
		"no such way":                  {server.NewRootKey{Wrap: "paper"}, `not by "paper"`},
		"a KMS key of its own":         {server.NewRootKey{Wrap: "arn:aws:kms:eu-west-1:111122223333:key/" + w.key, Endpoint: "http://127.0.0.1:1"}, "this server's own"},
		"an alias":                     {server.NewRootKey{Wrap: "arn:aws:kms:eu-west-1:111122223333:alias/x"}, "is not the ARN of a KMS key"},
		"a passphrase for nothing":     {server.NewRootKey{Passphrase: "x"}, "not wrapped"},
		"no passphrase":                {server.NewRootKey{Wrap: "passphrase"}, "no passphrase is given"},
		"an endpoint of no KMS":        {server.NewRootKey{Endpoint: "http://127.0.0.1:1"}, "endpoint"},
		"a program without the module": {server.NewRootKey{Wrap: "pkcs11:token=a;object=b?module-path=/nowhere.so&pin-source=/nowhere"}, "PKCS#11"},
		"a KMS that is down":           {server.NewRootKey{Wrap: "arn:aws:kms:eu-west-1:999988887777:key/x", Endpoint: "http://127.0.0.1:1"}, "cannot be asked at http://127.0.0.1:1"},
	} {
		t.Setenv("AWS_ACCESS_KEY_ID", "AKIAAAAAAAAAAAAAAAAA")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
		if _, err := s.ReplaceRootKey(t.Context(), c.n); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v does not say %q", name, err, c.says)
		}
	}
	if err := os.MkdirAll(filepath.Join(cfg.RootKey+".next", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReplaceRootKey(t.Context(), server.NewRootKey{}); err == nil || !strings.Contains(err.Error(), "must be writable") {
		t.Errorf("no room for the new file: %v", err)
	}
	if err := os.RemoveAll(cfg.RootKey + ".next"); err != nil {
		t.Fatal(err)
	}
	for path, was := range tree(t, filepath.Dir(cfg.RootKey)) {
		if before[path] != was {
			t.Errorf("%s has changed", path)
		}
	}
	w.check(t, s, cfg, good{true, true})

	done := make(chan error, 1)
	go func() {
		_, err := s.ReplaceRootKey(context.Background(), server.NewRootKey{})
		done <- err
	}()
	<-inside
	if _, err := s.ReplaceRootKey(t.Context(), server.NewRootKey{}); !errors.Is(err, server.ErrReplacing) {
		t.Errorf("while it is replaced: %v", err)
	}
	if status, err := s.Seal(t.Context()); err != nil || status.Next == "" {
		t.Errorf("while it is replaced: %+v, %v", status, err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.check(t, s, cfg, good{true, true})
}

// A deleted key's material is in no file of the data directory after the sweep,
// sealed as it was.
func TestDeletedMaterialIsGone(t *testing.T) {
	cfg := config(t.TempDir())
	s := open(t, cfg)
	defer closed(t, s)
	w := fill(t, cfg, s)
	url := serve(t, s)
	c := kms.NewFromConfig(client(url, w.root.AccessKeyID, w.root.SecretAccessKey, ""))
	for range 40 { // so that the row lies between others
		w.encrypt(t, c)
	}
	db, err := sql.Open("sqlite", filepath.Join(cfg.Data, "borealis.db"))
	if err != nil {
		t.Fatal(err)
	}
	var sealed []byte
	err = db.QueryRow(`SELECT sealed FROM kms_materials WHERE key_id = $1`, w.key).Scan(&sealed)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	holders := func() (paths []string) {
		for path, text := range tree(t, cfg.Data) {
			// Any part that is long enough to be no accident would do.
			for i := 0; i+16 <= len(sealed); i++ {
				if i > 9 && strings.Contains(text, string(sealed[i:i+16])) {
					paths = append(paths, path)
					break
				}
			}
		}
		return paths
	}
	if len(holders()) == 0 {
		t.Fatal("the material is nowhere to begin with")
	}
	if _, err := c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &w.key, PendingWindowInDays: new(int32(7))}); err != nil {
		t.Fatal(err)
	}
	s.SweepAt(t.Context(), time.Now())
	if len(holders()) == 0 {
		t.Error("the material is gone before its time")
	}
	s.SweepAt(t.Context(), time.Now().AddDate(0, 0, 8))
	if left := holders(); len(left) != 0 {
		t.Errorf("the material is in %v", left)
	}
	if _, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: w.blobs[w.key]}); err == nil {
		t.Error("what the deleted key encrypted is decrypted")
	}
}
