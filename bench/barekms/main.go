// Command barekms is the least that a Go program can be that does what a KMS's
// clients wait for: it verifies signatures, and encrypts and decrypts with
// AES-256-GCM under a key derived for each message. It has one key and one
// user, evaluates no policies and keeps no records. What more a server does is
// held against it.
package main

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/sigv4"
)

// user is the one access key, whose secret is the program's argument.
type user struct{ id, secret string }

// Credential implements sigv4.Source.
func (u user) Credential(_ context.Context, id, _ string) (sigv4.Credential, error) {
	if id != u.id {
		return sigv4.Credential{}, cloud.ErrNotFound
	}
	return sigv4.Credential{Secret: u.secret}, nil
}

// An input is what any of the operations takes.
type input struct {
	Plaintext, CiphertextBlob, Message []byte
	EncryptionContext                  map[string]string
}

// An output is what any of them answers.
type output struct {
	KeyID                                string    `json:"KeyId,omitempty"`
	CiphertextBlob, Plaintext, Signature []byte    `json:",omitempty"`
	KeyMetadata                          *metadata `json:",omitempty"`
}

// metadata is what KMS tells of a key, in as many bytes.
type metadata struct {
	AWSAccountID         string `json:"AWSAccountId"`
	KeyID                string `json:"KeyId"`
	Arn                  string
	CreationDate         float64
	Enabled, MultiRegion bool
	Description          string
	KeyUsage, KeyState   string
	Origin, KeyManager   string
	KeySpec              string
	EncryptionAlgorithms []string
	CurrentKeyMaterialID string `json:"CurrentKeyMaterialId"`
}

const bareID = "8211a30d-591f-45e9-a3eb-7e6c64423ddb"

var bareKey = metadata{
	AWSAccountID: "111122223333", KeyID: bareID, Arn: "arn:aws:kms:us-east-1:111122223333:key/" + bareID,
	CreationDate: 1795456609.123, Enabled: true, KeyUsage: "ENCRYPT_DECRYPT", KeyState: "Enabled", Origin: "AWS_KMS",
	KeyManager: "CUSTOMER", KeySpec: "SYMMETRIC_DEFAULT", EncryptionAlgorithms: []string{"SYMMETRIC_DEFAULT"},
	CurrentKeyMaterialID: strings.Repeat("ab", 32),
}

// A server has one key.
type server struct {
	verifier *sigv4.Verifier
	key      []byte
	signer   *ecdsa.PrivateKey
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("barekms ACCESS-KEY-ID SECRET")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := &server{verifier: sigv4.New(user{os.Args[1], os.Args[2]}), key: make([]byte, 32)}
	rand.Read(s.key)
	if s.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(os.Stdout, "serving http://%s\n", l.Addr())
	log.Fatal(http.Serve(l, s))
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := s.answer(r)
	body, encodeErr := json.Marshal(out)
	if err := errors.Join(err, encodeErr); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, _ = w.Write(body) // who hangs up now does not want it
}

func (s *server) answer(r *http.Request) (output, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return output{}, err
	}
	if _, err := s.verifier.Verify(r, body, time.Now()); err != nil {
		return output{}, err
	}
	var in input
	if err := json.Unmarshal(body, &in); err != nil {
		return output{}, err
	}
	out := output{KeyID: bareKey.Arn}
	switch op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService."); op {
	case "GenerateDataKey":
		out.Plaintext = make([]byte, 32)
		rand.Read(out.Plaintext)
		out.CiphertextBlob, err = s.encrypt(out.Plaintext, in.EncryptionContext)
	case "Encrypt":
		out.CiphertextBlob, err = s.encrypt(in.Plaintext, in.EncryptionContext)
	case "Decrypt":
		out.Plaintext, err = s.decrypt(in.CiphertextBlob, in.EncryptionContext)
	case "DescribeKey":
		out = output{KeyMetadata: &bareKey}
	case "Sign":
		out.Signature, err = ecdsa.SignASN1(rand.Reader, s.signer, in.Message)
	default:
		err = errors.New("no operation " + op)
	}
	return out, err
}

const saltSize, nonceSize = 16, 12

func (s *server) encrypt(plaintext []byte, context map[string]string) ([]byte, error) {
	out := make([]byte, saltSize+nonceSize)
	rand.Read(out)
	gcm, err := s.cipher(out[:saltSize])
	if err != nil {
		return nil, err
	}
	return gcm.Seal(out, out[saltSize:], plaintext, associated(context)), nil
}

func (s *server) decrypt(blob []byte, context map[string]string) ([]byte, error) {
	if len(blob) < saltSize+nonceSize {
		return nil, errors.New("short ciphertext")
	}
	gcm, err := s.cipher(blob[:saltSize])
	if err != nil {
		return nil, err
	}
	return gcm.Open(nil, blob[saltSize:saltSize+nonceSize], blob[saltSize+nonceSize:], associated(context))
}

// cipher is the cipher of the message that has this salt.
func (s *server) cipher(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, s.key, salt, "barekms", 32)
	block, err2 := aes.NewCipher(key)
	if err := cmp.Or(err, err2); err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func associated(context map[string]string) []byte {
	var b []byte
	for _, k := range slices.Sorted(maps.Keys(context)) {
		b = fmt.Appendf(b, "%q=%q,", k, context[k])
	}
	return b
}
