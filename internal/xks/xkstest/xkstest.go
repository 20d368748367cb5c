// Package xkstest is an external key store proxy: it implements the AWS KMS
// External Key Store Proxy API, version 1, over AES-256 keys that it holds in
// memory. Tests speak to it, and whoever writes a proxy may read it as an example.
// Its keys are gone when the process ends, so it must not guard anything.
package xkstest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/sigv4"
)

// window is how far a request's date may be from the proxy's clock.
const window = 5 * time.Minute

// maxBody is more than the longest request that the API has.
const maxBody = 64 << 10

// A Key is an external key.
type Key struct {
	Spec   string   // "AES_256"
	Usage  []string // "ENCRYPT", "DECRYPT"
	Status string   // "ENABLED" or "DISABLED"

	// versions are the key's secrets. The last one encrypts, and its number is the
	// ciphertext's metadata; all of them decrypt.
	versions [][]byte
}

// A Request is what KMS has asked, without the data.
type Request struct {
	Operation string // "health", "metadata", "encrypt" or "decrypt"
	Key       string
	Metadata  map[string]string
	// Associated is the additional authenticated data.
	Associated []byte
}

// A Proxy is an http.Handler. Its fields may be changed while it serves, with Set.
type Proxy struct {
	// Prefix is the path before "/kms/xks/v1".
	Prefix string
	// Credentials are secret access keys by access key id: two at a time let KMS
	// change from one to the other.
	Credentials map[string]string
	// Allow, if not nil, decides about each request but health checks: false is
	// answered AccessDeniedException.
	Allow func(Request) bool
	// Health is every key manager's healthStatus. "ACTIVE" if empty.
	Health string

	mu   sync.Mutex
	keys map[string]*Key
	log  []Request
}

// Set changes the proxy between two requests.
func (p *Proxy) Set(change func(*Proxy)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// AddKey makes an AES-256 key, or a new version of one that is there. The key may
// be changed with SetKey.
func (p *Proxy) AddKey(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys == nil {
		p.keys = make(map[string]*Key)
	}
	k := p.keys[id]
	if k == nil {
		k = &Key{Spec: "AES_256", Usage: []string{"ENCRYPT", "DECRYPT", "WRAP"}, Status: "ENABLED"}
		p.keys[id] = k
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	k.versions = append(k.versions, secret)
}

// SetKey changes a key that is there.
func (p *Proxy) SetKey(id string, change func(*Key)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p.keys[id])
}

// DeleteKey forgets a key for ever.
func (p *Proxy) DeleteKey(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.keys, id)
}

// Requests are the requests that were authenticated, oldest first.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

// A failure is an error of the API.
type failure struct {
	status        int
	name, message string
}

func (f *failure) Error() string { return f.name + ": " + f.message }

func invalid(message string) error { return &failure{400, "ValidationException", message} }

// ServeHTTP answers one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "this API has POST only", http.StatusMethodNotAllowed)
		return
	}
	status, answer := http.StatusOK, any(nil)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		answer, err = p.answer(r, body)
	}
	if err != nil {
		f, ok := errors.AsType[*failure](err)
		if !ok {
			f = &failure{500, "InternalException", "internal error"}
		}
		status, answer = f.status, map[string]string{"errorName": f.name, "errorMessage": f.message}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // who does not listen hears nothing
}

func (p *Proxy) answer(r *http.Request, body []byte) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	path, ok := strings.CutPrefix(r.URL.Path, p.Prefix+"/kms/xks/v1/")
	if !ok {
		return nil, &failure{404, "InvalidUriPathException", "unknown path"}
	}
	if err := p.authenticate(r, body); err != nil {
		return nil, err
	}
	var q query
	if json.Unmarshal(body, &q) != nil {
		return nil, invalid("the body is not the JSON that the API has")
	}
	f := strings.Split(path, "/")
	switch {
	case path == "health":
		return p.health(q)
	case len(f) == 3 && f[0] == "keys":
		return p.onKey(f[1], f[2], q)
	}
	return nil, &failure{404, "InvalidUriPathException", "unknown path"}
}

// Credential is the sigv4.Source of this proxy's own credentials.
func (p *Proxy) Credential(_ context.Context, id, _ string) (sigv4.Credential, error) {
	secret, ok := p.Credentials[id]
	if !ok {
		return sigv4.Credential{}, cloud.ErrNotFound
	}
	return sigv4.Credential{Secret: secret}, nil
}

// authenticate checks the signature of r. Hold mu.
func (p *Proxy) authenticate(r *http.Request, body []byte) error {
	refused := &failure{401, "AuthenticationFailedException", "the signature is missing, wrong or too old"}
	now := time.Now()
	signed, err := sigv4.New(p).Verify(r, body, now)
	if err != nil || signed.Service != "kms-xks-proxy" {
		return refused
	}
	date, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || now.Sub(date).Abs() > window {
		return refused
	}
	return nil
}

// A query is the body of a request.
type query struct {
	Metadata           map[string]string `json:"requestMetadata"`
	Associated         []byte            `json:"additionalAuthenticatedData"`
	Plaintext          []byte            `json:"plaintext"`
	Ciphertext         []byte            `json:"ciphertext"`
	CiphertextMetadata []byte            `json:"ciphertextMetadata"`
	IV                 []byte            `json:"initializationVector"`
	Tag                []byte            `json:"authenticationTag"`
	Algorithm          string            `json:"encryptionAlgorithm"`
	Integrity          string            `json:"ciphertextDataIntegrityValueAlgorithm"`
}

// require refuses a request without the metadata that the operation must have.
func (q query) require(names ...string) error {
	for _, n := range names {
		if q.Metadata[n] == "" {
			return invalid("requestMetadata." + n + " is missing")
		}
	}
	return nil
}

func (p *Proxy) health(q query) (any, error) {
	if err := q.require("kmsOperation", "kmsRequestId"); err != nil {
		return nil, err
	}
	p.log = append(p.log, Request{Operation: "health", Metadata: q.Metadata})
	status := p.Health
	if status == "" {
		status = "ACTIVE"
	}
	type manager struct {
		ID     string `json:"id"`
		Model  string `json:"model"`
		Status string `json:"healthStatus"`
	}
	return map[string]any{
		"xksProxyFleetSize": 1, "xksProxyVendor": "Borealis", "xksProxyModel": "xkstest", "ekmVendor": "Borealis",
		"ekmFleetDetails": []manager{{"memory-1", "memory", status}},
	}, nil
}

func (p *Proxy) onKey(id, operation string, q query) (any, error) {
	needed := []string{"awsPrincipalArn", "kmsOperation", "kmsRequestId"}
	if operation != "metadata" {
		needed = append(needed, "kmsKeyArn")
	}
	if err := q.require(needed...); err != nil {
		return nil, err
	}
	r := Request{Operation: operation, Key: id, Metadata: q.Metadata, Associated: q.Associated}
	p.log = append(p.log, r)
	if p.Allow != nil && !p.Allow(r) {
		return nil, &failure{403, "AccessDeniedException", "the proxy's policy does not allow it"}
	}
	k := p.keys[id]
	if k == nil {
		return nil, &failure{404, "KeyNotFoundException", "there is no such key"}
	}
	switch operation {
	case "metadata":
		return map[string]any{"keySpec": k.Spec, "keyUsage": k.Usage, "keyStatus": k.Status}, nil
	case "encrypt":
		return k.encrypt(q)
	case "decrypt":
		return k.decrypt(q)
	}
	return nil, &failure{404, "InvalidUriPathException", "unknown path"}
}

// ready refuses what the key may not be used for now.
func (k *Key) ready(usage string, q query) error {
	switch {
	case q.Algorithm != "AES_GCM":
		return invalid("the encryption algorithm must be AES_GCM")
	case k.Status != "ENABLED":
		return &failure{400, "InvalidStateException", "the key is disabled"}
	case !slices.Contains(k.Usage, usage):
		return &failure{400, "InvalidKeyUsageException", "the key is not for that"}
	case k.Spec != "AES_256":
		return &failure{501, "UnsupportedOperationException", "the key is of another sort"}
	}
	return nil
}

func (k *Key) cipher(version uint32) (cipher.AEAD, error) {
	if version >= uint32(len(k.versions)) {
		return nil, badCiphertext
	}
	block, err := aes.NewCipher(k.versions[version])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

var badCiphertext = &failure{400, "InvalidCiphertextException", "the ciphertext does not open"}

// associated is what the cipher binds: both parts with their lengths, so that
// neither can be taken for the other.
func associated(data, metadata []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(data)))
	b = append(b, data...)
	b = append(b, byte(len(metadata)))
	return append(b, metadata...)
}

func (k *Key) encrypt(q query) (any, error) {
	if err := k.ready("ENCRYPT", q); err != nil {
		return nil, err
	}
	switch {
	case len(q.Plaintext) == 0 || len(q.Plaintext) > 4300:
		return nil, invalid("the plaintext must have 1 to 4300 bytes")
	case len(q.Associated) > 8192:
		return nil, invalid("the additional authenticated data must have up to 8192 bytes")
	case q.Integrity != "" && q.Integrity != "SHA_256":
		return nil, invalid("the integrity value's algorithm must be SHA_256")
	}
	version := uint32(len(k.versions) - 1)
	gcm, err := k.cipher(version)
	if err != nil {
		return nil, err
	}
	metadata := binary.BigEndian.AppendUint32(nil, version)
	iv := make([]byte, gcm.NonceSize())
	rand.Read(iv)
	sealed := gcm.Seal(nil, iv, q.Plaintext, associated(q.Associated, metadata))
	ciphertext, tag := sealed[:len(q.Plaintext)], sealed[len(q.Plaintext):]
	out := map[string]any{"ciphertext": ciphertext, "ciphertextMetadata": metadata, "initializationVector": iv, "authenticationTag": tag}
	if q.Integrity != "" {
		sum := sha256.Sum256(slices.Concat(q.Associated, metadata, iv, ciphertext, tag))
		out["ciphertextDataIntegrityValue"] = sum[:]
	}
	// Only what opens again is handed out, as the API wants it.
	if _, err := gcm.Open(nil, iv, sealed, associated(q.Associated, metadata)); err != nil {
		return nil, err
	}
	return out, nil
}

func (k *Key) decrypt(q query) (any, error) {
	if err := k.ready("DECRYPT", q); err != nil {
		return nil, err
	}
	if len(q.CiphertextMetadata) != 4 || len(q.IV) != 12 || len(q.Associated) > 8192 {
		return nil, badCiphertext
	}
	gcm, err := k.cipher(binary.BigEndian.Uint32(q.CiphertextMetadata))
	if err != nil {
		return nil, err
	}
	plaintext, err := gcm.Open(nil, q.IV, slices.Concat(q.Ciphertext, q.Tag), associated(q.Associated, q.CiphertextMetadata))
	if err != nil {
		return nil, badCiphertext
	}
	return map[string]any{"plaintext": plaintext}, nil
}
