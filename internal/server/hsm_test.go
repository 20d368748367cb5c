//go:build pkcs11

package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"borealis/internal/server"
)

const (
	softHSM     = "/usr/lib/softhsm/libsofthsm2.so"
	cluster     = "cluster-3a2b3c4d5e6"
	hsmPassword = "kmsPswd99"
)

// newToken gives the test a SoftHSM with one token.
func newToken(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(softHSM); err != nil {
		t.Skip("SKIPPED: SoftHSM is not installed (apt-get install softhsm2)")
	}
	dir := t.TempDir()
	conf, tokens := filepath.Join(dir, "softhsm2.conf"), filepath.Join(dir, "tokens")
	if err := errors.Join(os.Mkdir(tokens, 0o700), os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nlog.level = ERROR\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", cluster, "--so-pin", "officer1", "--pin", hsmPassword).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// certificate is a trust anchor.
func certificate(t *testing.T) *string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return new(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func codeOf(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

// connection connects a store and waits for what comes of it.
func connection(t *testing.T, c *kms.Client, store *string) string {
	t.Helper()
	if _, err := c.ConnectCustomKeyStore(t.Context(), &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: store}); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		out, err := c.DescribeCustomKeyStores(t.Context(), &kms.DescribeCustomKeyStoresInput{CustomKeyStoreId: store})
		if err != nil {
			t.Fatal(err)
		}
		if e := out.CustomKeyStores[0]; e.ConnectionState != "CONNECTING" {
			return string(e.ConnectionState) + string(e.ConnectionErrorCode)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the store does not stop connecting")
	return ""
}

// A storeWorld is a server that can be stopped and started.
type storeWorld struct{ cfg server.Config }

func newStoreWorld(t *testing.T) *storeWorld {
	t.Helper()
	cfg := config(t.TempDir())
	cfg.HSMModule, cfg.Bootstrap = softHSM, filepath.Join(t.TempDir(), "bootstrap.json")
	text := `{"accounts": [{"id": "111122223333", "name": "a", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}]}`
	if err := os.WriteFile(cfg.Bootstrap, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &storeWorld{cfg}
}

// serve starts the server. It is to be stopped before it is started again.
func (w *storeWorld) serve(t *testing.T) (c *kms.Client, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- server.Serve(ctx, w.cfg, func(url string) { ready <- url }) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	select {
	case url := <-ready:
		return kms.NewFromConfig(client(url, "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")), stop
	case err := <-done:
		done <- nil
		t.Fatalf("serve: %v", err)
	}
	return nil, nil
}

// A key in a CloudHSM key store, with the SDK and SoftHSM: through a restart of
// the server, a wrong password and the loss of the key.
func TestCloudHSMKeyStore(t *testing.T) {
	newToken(t)
	w := newStoreWorld(t)
	ctx := t.Context()
	c, stop := w.serve(t)
	in := &kms.CreateCustomKeyStoreInput{
		CustomKeyStoreName: new("hsm"), CloudHsmClusterId: new("cluster-unknown2345"), KeyStorePassword: new("wrong-password"), TrustAnchorCertificate: certificate(t),
	}
	_, err := c.CreateCustomKeyStore(ctx, in)
	if got := codeOf(err); got != "CloudHsmClusterNotFoundException" {
		t.Errorf("no such token: %v", err)
	}
	in.CloudHsmClusterId = new(cluster)
	store, err := c.CreateCustomKeyStore(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	id := store.CustomKeyStoreId
	if got := connection(t, c, id); got != "FAILEDINVALID_CREDENTIALS" {
		t.Errorf("with a wrong password: %s", got)
	}
	if _, err := c.DisconnectCustomKeyStore(ctx, &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateCustomKeyStore(ctx, &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: id, KeyStorePassword: new(hsmPassword)}); err != nil {
		t.Fatal(err)
	}
	if got := connection(t, c, id); got != "CONNECTED" {
		t.Fatalf("with the right password: %s", got)
	}
	k, err := c.CreateKey(ctx, &kms.CreateKeyInput{Origin: "AWS_CLOUDHSM", CustomKeyStoreId: id})
	if err != nil {
		t.Fatal(err)
	}
	binding := map[string]string{"a": "b"}
	sealed, err := c.Encrypt(ctx, &kms.EncryptInput{KeyId: k.KeyMetadata.Arn, Plaintext: []byte("secret"), EncryptionContext: binding})
	if err != nil {
		t.Fatal(err)
	}
	opens := func(when string) {
		t.Helper()
		out, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: binding})
		if err != nil || string(out.Plaintext) != "secret" {
			t.Errorf("decrypt %s: %v", when, err)
		}
	}
	opens("at once")
	if _, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob}); codeOf(err) != "InvalidCiphertextException" {
		t.Errorf("without the context: %v", err)
	}
	if out, err := c.GenerateRandom(ctx, &kms.GenerateRandomInput{NumberOfBytes: new(int32(32)), CustomKeyStoreId: id}); err != nil || len(out.Plaintext) != 32 {
		t.Errorf("random bytes: %v", err)
	}
	stop()
	c, stop = w.serve(t)
	opens("after a restart")
	if _, err := c.DisconnectCustomKeyStore(ctx, &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: binding}); codeOf(err) != "KMSInvalidStateException" {
		t.Errorf("disconnected: %v", err)
	}
	if got := connection(t, c, id); got != "CONNECTED" {
		t.Errorf("connected again: %s", got)
	}
	opens("when connected again")
	stop()
}
