package keys_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/ecdsa"
	"crypto/elliptic"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/keys"
)

// gcm is AES-256-GCM under a key that follows from name.
func gcm(name string) cipher.AEAD {
	sum := sha256.Sum256([]byte(name))
	block, _ := aes.NewCipher(sum[:])
	g, _ := cipher.NewGCM(block)
	return g
}

// fakeProxies are all proxies of the world, which have every key that is asked
// for; or, if fault is set, all fail. calls is what they were asked last.
type fakeProxies struct {
	mu      sync.Mutex
	fault   keys.FaultKind
	key     keys.ExternalKey
	private string // the endpoint that is private
	inner   []byte // what decryption answers in place of the plaintext
	calls   []keys.ProxyCall
	asked   keys.Proxy
	data    []byte // the associated data
	during  func() // called while a proxy is asked how it is
}

func (f *fakeProxies) set(change func(*fakeProxies)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeProxies) note(p keys.Proxy, c keys.ProxyCall) error {
	f.calls, f.asked = append(f.calls, c), p
	if f.fault != "" {
		return &keys.Fault{Kind: f.fault, Detail: "the proxy's own words"}
	}
	return nil
}

func (f *fakeProxies) Private(endpoint string) bool { return f.private != "" && endpoint == f.private }

func (f *fakeProxies) Health(_ context.Context, p keys.Proxy, c keys.ProxyCall) error {
	if f.during != nil {
		f.during()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.note(p, c)
}

func (f *fakeProxies) Describe(_ context.Context, p keys.Proxy, _ string, c keys.ProxyCall) (keys.ExternalKey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.key.Spec == "" {
		return keys.ExternalKey{Spec: "AES_256", Usage: []string{"ENCRYPT", "DECRYPT"}, Status: "ENABLED"}, f.note(p, c)
	}
	return f.key, f.note(p, c)
}

func (f *fakeProxies) Encrypt(_ context.Context, p keys.Proxy, key string, c keys.ProxyCall, plaintext, associated []byte) (keys.ProxyMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data = associated
	if err := f.note(p, c); err != nil {
		return keys.ProxyMessage{}, err
	}
	iv := make([]byte, 12)
	rand.Read(iv)
	sealed := gcm(key).Seal(nil, iv, plaintext, associated)
	return keys.ProxyMessage{Ciphertext: sealed[:len(plaintext)], IV: iv, Tag: sealed[len(plaintext):], Metadata: []byte("v1")}, nil
}

func (f *fakeProxies) Decrypt(_ context.Context, p keys.Proxy, key string, c keys.ProxyCall, m keys.ProxyMessage, associated []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data = associated
	if err := f.note(p, c); err != nil {
		return nil, err
	}
	if f.inner != nil {
		return f.inner, nil
	}
	plaintext, err := gcm(key).Open(nil, m.IV, slices.Concat(m.Ciphertext, m.Tag), associated)
	if err != nil || string(m.Metadata) != "v1" {
		return nil, &keys.Fault{Kind: keys.FaultInvalidCiphertext}
	}
	return plaintext, nil
}

// fakeHSMs are clusters that all have one password.
type fakeHSMs struct {
	mu      sync.Mutex
	missing string
	fault   keys.FaultKind
	names   map[string]bool // of keys, with their cluster
}

const hsmPassword = "kmsPswd99"

func (f *fakeHSMs) Missing() string { return f.missing }

func (f *fakeHSMs) err(password string) error {
	switch {
	case f.fault != "":
		return &keys.Fault{Kind: f.fault}
	case password != hsmPassword:
		return &keys.Fault{Kind: keys.FaultWrongPassword}
	}
	return nil
}

func (f *fakeHSMs) Check(_ context.Context, cluster string, _ []byte) error {
	if strings.HasPrefix(cluster, "cluster-unknown") {
		return &keys.Fault{Kind: keys.FaultNoCluster}
	}
	if strings.HasPrefix(cluster, "cluster-strange") {
		return &keys.Fault{Kind: keys.FaultWrongAnchor}
	}
	return f.err(hsmPassword)
}

func (f *fakeHSMs) Login(_ context.Context, _, password string) error { return f.err(password) }
func (f *fakeHSMs) Logout(string)                                     {}

func (f *fakeHSMs) Generate(_ context.Context, cluster, password, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names == nil {
		f.names = make(map[string]bool)
	}
	f.names[cluster+name] = true
	return f.err(password)
}

func (f *fakeHSMs) Destroy(_ context.Context, cluster, password, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.names, cluster+name)
	return f.err(password)
}

func (f *fakeHSMs) Encrypt(_ context.Context, cluster, password, name string, plaintext, associated []byte) ([]byte, error) {
	nonce := make([]byte, 12)
	rand.Read(nonce)
	return gcm(cluster+name).Seal(nonce, nonce, plaintext, associated), f.err(password)
}

func (f *fakeHSMs) Decrypt(_ context.Context, cluster, password, name string, sealed, associated []byte) ([]byte, error) {
	if err := f.err(password); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.names[cluster+name] {
		return nil, &keys.Fault{Kind: keys.FaultKeyNotFound}
	}
	if len(sealed) < 12 {
		return nil, &keys.Fault{Kind: keys.FaultInvalidCiphertext}
	}
	plaintext, err := gcm(cluster+name).Open(nil, sealed[:12], sealed[12:], associated)
	if err != nil {
		return nil, &keys.Fault{Kind: keys.FaultInvalidCiphertext}
	}
	return plaintext, nil
}

func (f *fakeHSMs) Random(_ context.Context, _, password string, n int) ([]byte, error) {
	return bytes.Repeat([]byte{7}, n), f.err(password)
}

// anchor is a certificate in PEM.
var anchor = sync.OnceValue(func() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
})

const proxySecret = "FYtE5EFA5FT0mCc3DrGUe2sti527BitkQ0Zr9MO9fvE"

// externalStore is the request for an external key store.
func externalStore(name, endpoint string) *kms.CreateCustomKeyStoreInput {
	return &kms.CreateCustomKeyStoreInput{
		CustomKeyStoreName: &name, CustomKeyStoreType: types.CustomKeyStoreTypeExternalKeyStore,
		XksProxyConnectivity: types.XksProxyConnectivityTypePublicEndpoint, XksProxyUriEndpoint: &endpoint, XksProxyUriPath: new("/kms/xks/v1"),
		XksProxyAuthenticationCredential: &types.XksProxyAuthenticationCredentialType{AccessKeyId: new("KMSXKSPROXYACCESSKEY2345"), RawSecretAccessKey: new(proxySecret)},
	}
}

// hsmStore is the request for a CloudHSM key store.
func hsmStore(name, cluster string) *kms.CreateCustomKeyStoreInput {
	return &kms.CreateCustomKeyStoreInput{
		CustomKeyStoreName: &name, CloudHsmClusterId: &cluster, KeyStorePassword: new(hsmPassword), TrustAnchorCertificate: new(anchor()),
	}
}

// create makes a store and returns its id.
func (p *person) create(in *kms.CreateCustomKeyStoreInput) *string {
	p.w.t.Helper()
	return must(p.CreateCustomKeyStore(p.w.t.Context(), in))(p.w.t).CustomKeyStoreId
}

// connect connects a store, and waits for the outcome.
func (p *person) connect(id *string) {
	p.w.t.Helper()
	must(p.ConnectCustomKeyStore(p.w.t.Context(), &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: id}))(p.w.t)
	p.w.connectStores()
}

func (w *world) connectStores() {
	w.t.Helper()
	if err := w.ConnectStores(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (p *person) disconnect(id *string) {
	p.w.t.Helper()
	must(p.DisconnectCustomKeyStore(p.w.t.Context(), &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: id}))(p.w.t)
}

// connection is the state of a store, with its error code if it has one.
func (p *person) connection(id *string) string {
	p.w.t.Helper()
	out := must(p.DescribeCustomKeyStores(p.w.t.Context(), &kms.DescribeCustomKeyStoresInput{CustomKeyStoreId: id}))(p.w.t)
	e := out.CustomKeyStores[0]
	return strings.TrimSpace(string(e.ConnectionState) + " " + string(e.ConnectionErrorCode))
}

// dropStores deletes all stores that have no keys.
func (p *person) dropStores() {
	p.w.t.Helper()
	ctx := p.w.t.Context()
	for _, e := range must(p.DescribeCustomKeyStores(ctx, &kms.DescribeCustomKeyStoresInput{}))(p.w.t).CustomKeyStores {
		if e.ConnectionState != "DISCONNECTED" {
			p.disconnect(e.CustomKeyStoreId)
		}
		must(p.DeleteCustomKeyStore(ctx, &kms.DeleteCustomKeyStoreInput{CustomKeyStoreId: e.CustomKeyStoreId}))(p.w.t)
	}
}

// keyIn makes a key in a store: with an external key if xks is not "".
func (p *person) keyIn(store *string, xks string) (*types.KeyMetadata, error) {
	in := &kms.CreateKeyInput{CustomKeyStoreId: store, Origin: types.OriginTypeAwsCloudhsm}
	if xks != "" {
		in.Origin, in.XksKeyId = types.OriginTypeExternalKeyStore, &xks
	}
	out, err := p.CreateKey(p.w.t.Context(), in)
	if err != nil {
		return nil, err
	}
	return out.KeyMetadata, nil
}

// A store is made, shown, connected, disconnected and deleted; and no answer and
// nothing in the database has its secret.
func TestStoreLife(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	id := ann.create(externalStore("ours", "https://example.com"))
	if !strings.HasPrefix(*id, "cks-") || len(*id) != 21 {
		t.Errorf("id %s", *id)
	}
	e := must(ann.DescribeCustomKeyStores(t.Context(), &kms.DescribeCustomKeyStoresInput{CustomKeyStoreName: new("ours")}))(t).CustomKeyStores[0]
	c := e.XksProxyConfiguration
	if *e.CustomKeyStoreId != *id || e.ConnectionState != "DISCONNECTED" || e.CustomKeyStoreType != "EXTERNAL_KEY_STORE" || !e.CreationDate.Equal(w.now) ||
		*c.UriEndpoint != "https://example.com" || *c.UriPath != "/kms/xks/v1" || *c.AccessKeyId != "KMSXKSPROXYACCESSKEY2345" || c.Connectivity != "PUBLIC_ENDPOINT" || c.VpcEndpointServiceName != nil {
		t.Errorf("described as %+v, %+v", e, c)
	}
	must(ann.ConnectCustomKeyStore(t.Context(), &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: id}))(t)
	if got := ann.connection(id); got != "CONNECTING" {
		t.Errorf("%s at once", got)
	}
	w.reopen() // the order to connect outlives the server
	ann = ann.again()
	w.connectStores()
	if got := ann.connection(id); got != "CONNECTED" {
		t.Errorf("%s", got)
	}
	if w.xks.asked.Secret != proxySecret || w.xks.asked.Region != string(region) {
		t.Errorf("the proxy was asked with %v", w.xks.asked)
	}
	remove := func() error {
		_, err := ann.DeleteCustomKeyStore(t.Context(), &kms.DeleteCustomKeyStoreInput{CustomKeyStoreId: id})
		return err
	}
	ann.mayNot("delete it connected", "CustomKeyStoreInvalidStateException", remove())
	m, err := ann.keyIn(id, "key-1")
	ann.may("make a key in it", err)
	ann.disconnect(id)
	ann.mayNot("delete it with a key", "CustomKeyStoreHasCMKsException", remove())
	must(ann.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: m.KeyId, PendingWindowInDays: new(int32(7))}))(t)
	w.wait(8 * 24 * time.Hour)
	if n, err := w.Sweep(t.Context(), w.clock()); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	ann.may("delete it empty", remove())
	ann.mayNot("delete it twice", "CustomKeyStoreNotFoundException", remove())
}

func TestDescribeStores(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	want := map[string]bool{}
	for i := range 10 {
		want[*ann.create(externalStore(fmt.Sprint("store ", i), fmt.Sprintf("https://s%d.example.com", i)))] = true
	}
	_, err := ann.CreateCustomKeyStore(t.Context(), externalStore("one too many", "https://many.example.com"))
	ann.mayNot("have eleven", "LimitExceededException", err)
	in := &kms.DescribeCustomKeyStoresInput{Limit: new(int32(3))}
	for range 4 {
		out := must(ann.DescribeCustomKeyStores(t.Context(), in))(t)
		for _, e := range out.CustomKeyStores {
			delete(want, *e.CustomKeyStoreId)
		}
		if out.Truncated != (out.NextMarker != nil) || len(out.CustomKeyStores) > 3 {
			t.Errorf("page: %d, %v", len(out.CustomKeyStores), out.Truncated)
		}
		in.Marker = out.NextMarker
	}
	if len(want) > 0 || in.Marker != nil {
		t.Errorf("not listed: %v", want)
	}
	for what, in := range map[string]*kms.DescribeCustomKeyStoresInput{
		"CustomKeyStoreNotFoundException": {CustomKeyStoreName: new("none")},
		"ValidationException":             {CustomKeyStoreName: new("store 1"), CustomKeyStoreId: new("cks-1")},
		"InvalidMarkerException":          {Marker: new("x")},
	} {
		_, err := ann.DescribeCustomKeyStores(t.Context(), in)
		ann.mayNot("describe", what, err)
	}
	bob := w.person(abroad, "user/bob", allow("kms:*"))
	if out := must(bob.DescribeCustomKeyStores(t.Context(), &kms.DescribeCustomKeyStoresInput{}))(t); len(out.CustomKeyStores) > 0 {
		t.Errorf("another account sees %v", out.CustomKeyStores)
	}
}

// What must be one store's alone, and parameters that do not belong together.
func TestStoreRefused(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	w.xks.private = "https://private.example.com"
	ann.create(externalStore("first", "https://example.com"))
	private := func(name, service string) *kms.CreateCustomKeyStoreInput {
		in := externalStore(name, "https://private.example.com")
		in.XksProxyConnectivity, in.XksProxyVpcEndpointServiceName = "VPC_ENDPOINT_SERVICE", &service
		return in
	}
	const service = "com.amazonaws.vpce.eu-west-1.vpce-svc-0a1b2c3d4e5f"
	ann.create(private("private", service))
	ann.create(hsmStore("hsm", "cluster-3a2b3c4d5e6"))
	with := func(in *kms.CreateCustomKeyStoreInput, change func(*kms.CreateCustomKeyStoreInput)) *kms.CreateCustomKeyStoreInput {
		change(in)
		return in
	}
	for name, c := range map[string]struct {
		in   *kms.CreateCustomKeyStoreInput
		want string
	}{
		"name":                {externalStore("first", "https://other.example.com"), "CustomKeyStoreNameInUseException"},
		"address":             {externalStore("other", "https://example.com"), "XksProxyUriInUseException"},
		"private endpoint":    {with(externalStore("other", "https://private.example.com"), func(in *kms.CreateCustomKeyStoreInput) { in.XksProxyUriPath = new("/x/kms/xks/v1") }), "XksProxyUriEndpointInUseException"},
		"VPC service":         {with(private("other", service), func(in *kms.CreateCustomKeyStoreInput) { in.XksProxyUriPath = new("/x/kms/xks/v1") }), "XksProxyVpcEndpointServiceInUseException"},
		"unknown VPC service": {with(private("other", service), func(in *kms.CreateCustomKeyStoreInput) { in.XksProxyUriEndpoint = new("https://example.org") }), "XksProxyVpcEndpointServiceNotFoundException"},
		"no VPC service":      {with(private("other", ""), func(*kms.CreateCustomKeyStoreInput) {}), "ValidationException"},
		"public VPC service":  {with(externalStore("other", "https://example.org"), func(in *kms.CreateCustomKeyStoreInput) { in.XksProxyVpcEndpointServiceName = new(service) }), "ValidationException"},
		"no path":             {with(externalStore("other", "https://example.org"), func(in *kms.CreateCustomKeyStoreInput) { in.XksProxyUriPath = nil }), "ValidationException"},
		"version 2":           {with(externalStore("other", "https://example.org"), func(in *kms.CreateCustomKeyStoreInput) { in.XksProxyUriPath = new("/kms/xks/v2") }), "ValidationException"},
		"no credential":       {with(externalStore("other", "https://example.org"), func(in *kms.CreateCustomKeyStoreInput) { in.XksProxyAuthenticationCredential = nil }), "ValidationException"},
		"proxy and cluster":   {with(externalStore("other", "https://example.org"), func(in *kms.CreateCustomKeyStoreInput) { in.CloudHsmClusterId = new("cluster-2a2b3c4d5e6") }), "ValidationException"},
		"cluster in use":      {hsmStore("other", "cluster-3a2b3c4d5e6"), "CloudHsmClusterInUseException"},
		"unknown cluster":     {hsmStore("other", "cluster-unknown2345"), "CloudHsmClusterNotFoundException"},
		"strange cluster":     {hsmStore("other", "cluster-strange2345"), "IncorrectTrustAnchorException"},
		"no password":         {with(hsmStore("other", "cluster-2a2b3c4d5e6"), func(in *kms.CreateCustomKeyStoreInput) { in.KeyStorePassword = nil }), "ValidationException"},
		"no certificate":      {with(hsmStore("other", "cluster-2a2b3c4d5e6"), func(in *kms.CreateCustomKeyStoreInput) { in.TrustAnchorCertificate = new("x") }), "IncorrectTrustAnchorException"},
		"no X.509": {with(hsmStore("other", "cluster-2a2b3c4d5e6"), func(in *kms.CreateCustomKeyStoreInput) {
			in.TrustAnchorCertificate = new("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
		}), "IncorrectTrustAnchorException"},
		"cluster and proxy":     {with(hsmStore("other", "cluster-2a2b3c4d5e6"), func(in *kms.CreateCustomKeyStoreInput) { in.XksProxyUriPath = new("/kms/xks/v1") }), "ValidationException"},
		"nothing but its names": {&kms.CreateCustomKeyStoreInput{CustomKeyStoreName: new("other")}, "ValidationException"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ann.CreateCustomKeyStore(t.Context(), c.in)
			ann.mayNot("create", c.want, err)
		})
	}
	bob := w.person(abroad, "user/bob", allow("kms:*"))
	_, err := bob.CreateCustomKeyStore(t.Context(), hsmStore("other", "cluster-3a2b3c4d5e6"))
	bob.mayNot("take another account's cluster", "CloudHsmClusterInUseException", err)
	bob.create(externalStore("first", "https://example.com")) // this is no concern of another account's
	if out := must(ann.DescribeCustomKeyStores(t.Context(), &kms.DescribeCustomKeyStoresInput{}))(t); len(out.CustomKeyStores) != 3 {
		t.Errorf("%d stores", len(out.CustomKeyStores))
	}
	w.hsm.missing = "it has no hardware security module"
	_, err = ann.CreateCustomKeyStore(t.Context(), hsmStore("other", "cluster-2a2b3c4d5e6"))
	ann.mayNot("use what is not there", "UnsupportedOperationException: This server does not offer CloudHSM key stores: it has no hardware security module.", err)
}

// What each failure of a proxy is called: when a store is made, when it is
// connected, when a key is made in it, and when the key is used.
func TestProxyFaults(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	store := ann.create(externalStore("store", "https://example.com"))
	ann.connect(store)
	m, err := ann.keyIn(store, "key-1")
	ann.may("make a key", err)
	blob := must(ann.encrypt(m.Arn, nil))(t)
	other := ann.create(externalStore("other", "https://other.example.com"))
	const (
		unreachable = "XksProxyUriUnreachableException"
		bad         = "XksProxyInvalidResponseException"
		state       = "CustomKeyStoreInvalidStateException"
	)
	for fault, want := range map[keys.FaultKind][4]string{
		keys.FaultAccessDenied:      {bad, "XKS_PROXY_ACCESS_DENIED", "KMSInvalidStateException", "The external key store proxy denied access to the operation. Verify that the user and the external key are both authorized for this operation, and try the request again."},
		keys.FaultAuthentication:    {"XksProxyIncorrectAuthenticationCredentialException", "INVALID_CREDENTIALS", state, "The external key store proxy rejected the request because it could not authenticate AWS KMS. Verify the XKS proxy authentication credentials for your external key store and update if necessary."},
		keys.FaultDependencyTimeout: {unreachable, "XKS_PROXY_TIMED_OUT", state, "The external key store proxy did not respond to the request in the time allotted. Retry the request. If you see this error repeatedly, report it to your external key store proxy administrator."},
		keys.FaultInternal:          {bad, "XKS_PROXY_INVALID_RESPONSE", state, "The external key store proxy rejected the request because it cannot communicate with the external key manager. Verify that the external key store proxy configuration is correct and that the external key manager is available."},
		keys.FaultInvalidUsage:      {bad, "XKS_PROXY_INVALID_RESPONSE", "XksKeyInvalidConfigurationException", "The external key associated with this KMS key in an external key store does not support the requested operation. Enable the operation on the key in your external key manager, and try the request again."},
		keys.FaultInvalidState:      {bad, "XKS_PROXY_INVALID_RESPONSE", "XksKeyInvalidConfigurationException", "The external key associated with this KMS key in an external key store is not enabled in the external key manager. Enable the external key in the external key manager and retry the request."},
		keys.FaultInvalidPath:       {"XksProxyInvalidConfigurationException", "XKS_PROXY_INVALID_CONFIGURATION", state, "The external key store proxy rejected the request because of an invalid URI path. Verify the URI path for your external key store and update if necessary."},
		keys.FaultKeyNotFound:       {bad, "XKS_PROXY_INVALID_RESPONSE", "XksKeyNotFoundException", "The external key associated with this KMS key in an external key store was not found in its external key manager. If the external key ID associated with this KMS key is incorrect, create a new KMS key with the correct external key ID."},
		keys.FaultThrottling:        {unreachable, "XKS_PROXY_NOT_REACHABLE", state, "The external key store proxy rejected the request due to a very high request rate. Reduce the frequency of your calls using KMS keys in this external key store."},
		keys.FaultUnsupported:       {bad, "XKS_PROXY_INVALID_RESPONSE", state, "The external key store proxy rejected the request because it does not support the requested operation. If you see this error repeatedly, report it to your external key store proxy administrator."},
		keys.FaultValidation:        {bad, "XKS_PROXY_INVALID_RESPONSE", state, "AWS KMS cannot interpret the response from the external key store proxy. If you see this error repeatedly, report it to your external key store proxy administrator."},
		keys.FaultAnswer:            {bad, "XKS_PROXY_INVALID_RESPONSE", state, "AWS KMS cannot interpret the response from the external key store proxy. If you see this error repeatedly, report it to your external key store proxy administrator."},
		keys.FaultUnreachable:       {unreachable, "XKS_PROXY_NOT_REACHABLE", state, "AWS KMS cannot communicate with the external key store proxy. This might be a transient network issue. If you see this error repeatedly, verify that your external key store proxy is active and is connected to the network, and that its endpoint URI is correct in your external key store."},
		keys.FaultTLS:               {unreachable, "XKS_PROXY_INVALID_TLS_CONFIGURATION", state, "AWS KMS cannot establish a TLS connection to the external key store proxy. Verify the TLS configuration, including its certificate."},
		keys.FaultTimeout:           {unreachable, "XKS_PROXY_TIMED_OUT", state, "AWS KMS rejected the request because the external key store proxy did not respond in time. Retry the request. If you see this error repeatedly, report it to your external key store proxy administrator."},
		keys.FaultUnavailable:       {unreachable, "XKS_PROXY_NOT_REACHABLE", state, "AWS KMS cannot communicate with the external key store proxy. This might be a transient network issue. If you see this error repeatedly, verify that your external key store proxy is active and is connected to the network, and that its endpoint URI is correct in your external key store."},
	} {
		t.Run(string(fault), func(t *testing.T) {
			w.xks.set(func(f *fakeProxies) { f.fault = fault })
			_, err := ann.CreateCustomKeyStore(t.Context(), externalStore("third", "https://third.example.com"))
			ann.mayNot("create", want[0]+": "+want[3], err)
			_, err = ann.UpdateCustomKeyStore(t.Context(), &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: other, XksProxyUriPath: new("/new/kms/xks/v1")})
			ann.mayNot("update", want[0]+": "+want[3], err)
			ann.connect(other)
			if got := ann.connection(other); got != "FAILED "+want[1] {
				t.Errorf("connected: %s", got)
			}
			_, err = ann.ConnectCustomKeyStore(t.Context(), &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: other})
			ann.mayNot("connect what has failed", "CustomKeyStoreInvalidStateException", err)
			_, err = ann.UpdateCustomKeyStore(t.Context(), &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: other, NewCustomKeyStoreName: new("x")})
			ann.mayNot("rename what has failed", "CustomKeyStoreInvalidStateException", err)
			_, err = ann.keyIn(store, "key-2")
			ann.mayNot("create key", want[2]+": "+want[3], err)
			crypto := "KMSInvalidStateException: " + want[3]
			_, err = ann.encrypt(m.Arn, nil)
			ann.mayNot("encrypt", crypto, err)
			ann.mayNot("decrypt", crypto, ann.decrypt(blob, nil))
			ann.mayNot("make a data key", crypto, ann.dataKey(m.Arn))
			w.xks.set(func(f *fakeProxies) { f.fault = "" })
			ann.disconnect(other)
			ann.may("decrypt again", ann.decrypt(blob, nil))
		})
	}
	if got := ann.connection(store); got != "CONNECTED" {
		t.Errorf("a proxy that fails has changed the store's state to %s", got)
	}
}

func TestUnsuitableExternalKeys(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	store := ann.create(externalStore("store", "https://example.com"))
	ann.connect(store)
	both := []string{"ENCRYPT", "DECRYPT"}
	for text, k := range map[string]keys.ExternalKey{
		"The key spec of the external key must be AES_256. The key spec of specified external key is RSA_2048.":                       {Spec: "RSA_2048", Usage: both, Status: "ENABLED"},
		"The status of the external key must be ENABLED. The status of specified external key is DISABLED.":                           {Spec: "AES_256", Usage: both, Status: "DISABLED"},
		"The key usage of the external key must include ENCRYPT and DECRYPT. The key use of specified external key is ENCRYPT, SIGN.": {Spec: "AES_256", Usage: []string{"ENCRYPT", "SIGN"}, Status: "ENABLED"},
	} {
		w.xks.set(func(f *fakeProxies) { f.key = k })
		_, err := ann.keyIn(store, "key-1")
		ann.mayNot("use the key", "XksKeyInvalidConfigurationException: "+text, err)
	}
	w.xks.set(func(f *fakeProxies) { f.key = keys.ExternalKey{} })
	_, err := ann.keyIn(store, "key-1")
	ann.may("use a good key", err)
	_, err = ann.keyIn(store, "key-1")
	ann.mayNot("use it twice", "XksKeyAlreadyInUseException", err)
}

// Keys in custom key stores are used as others are; what they have made is bound
// to its encryption context, and to its key.
func TestKeysInStores(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	xksStore, hsmStoreID := ann.create(externalStore("xks", "https://example.com")), ann.create(hsmStore("hsm", "cluster-3a2b3c4d5e6"))
	ann.connect(xksStore)
	ann.connect(hsmStoreID)
	plain := ann.key()
	for name, c := range map[string]struct {
		store *string
		xks   string
	}{"EXTERNAL_KEY_STORE": {xksStore, "key-1"}, "AWS_CLOUDHSM": {hsmStoreID, ""}} {
		t.Run(name, func(t *testing.T) {
			m := must(ann.keyIn(c.store, c.xks))(t)
			if string(m.Origin) != name || *m.CustomKeyStoreId != *c.store || m.CurrentKeyMaterialId != nil || *m.MultiRegion || m.KeyState != "Enabled" ||
				(m.XksKeyConfiguration != nil) != (c.xks != "") || (m.CloudHsmClusterId != nil) != (c.xks == "") {
				t.Errorf("metadata: %+v", m)
			}
			context := map[string]string{"a": "b", "c": "d"}
			blob := must(ann.encrypt(m.Arn, context))(t)
			ann.may("decrypt", ann.decrypt(blob, context))
			if err := ann.decrypt(blob, map[string]string{"a": "x", "c": "d"}); err == nil {
				t.Error("another context decrypts")
			}
			if err := ann.decrypt(blob, nil); err == nil {
				t.Error("no context decrypts")
			}
			for i := range blob {
				bad := bytes.Clone(blob)
				bad[i] ^= 1
				if err := ann.decrypt(bad, context); err == nil || strings.HasPrefix(said(err), "not an API error") {
					t.Fatalf("byte %d changed: %v", i, err)
				}
			}
			for n := range len(blob) {
				if err := ann.decrypt(blob[:n], context); err == nil || strings.HasPrefix(said(err), "not an API error") {
					t.Fatalf("cut to %d bytes: %v", n, err)
				}
			}
			most := bytes.Repeat([]byte{1}, 4096)
			big := must(ann.Encrypt(t.Context(), &kms.EncryptInput{KeyId: m.Arn, Plaintext: most}))(t)
			if len(big.CiphertextBlob) > 6144 {
				t.Errorf("a ciphertext of %d bytes", len(big.CiphertextBlob))
			}
			if out := must(ann.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: big.CiphertextBlob}))(t); !bytes.Equal(out.Plaintext, most) {
				t.Error("4096 bytes came back different")
			}
			there := must(ann.ReEncrypt(t.Context(), &kms.ReEncryptInput{CiphertextBlob: blob, SourceEncryptionContext: context, DestinationKeyId: plain}))(t)
			ann.may("decrypt what was taken out", ann.decrypt(there.CiphertextBlob, nil))
			back := must(ann.ReEncrypt(t.Context(), &kms.ReEncryptInput{CiphertextBlob: there.CiphertextBlob, DestinationKeyId: m.Arn}))(t)
			ann.may("decrypt what was brought back", ann.decrypt(back.CiphertextBlob, nil))
			_, err := ann.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: context, KeyId: plain})
			ann.mayNot("decrypt with another key", "IncorrectKeyException", err)
			d := must(ann.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: m.Arn, KeySpec: "AES_256"}))(t)
			if out := must(ann.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: d.CiphertextBlob, KeyId: m.Arn}))(t); !bytes.Equal(out.Plaintext, d.Plaintext) {
				t.Error("the data key came back different")
			}
			w.reopen()
			ann = ann.again()
			ann.may("decrypt after a restart", ann.decrypt(blob, context))

			ann.disconnect(c.store)
			state := func() types.KeyState {
				return must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: m.Arn}))(t).KeyMetadata.KeyState
			}
			if got := state(); got != "Unavailable" {
				t.Errorf("disconnected: %s", got)
			}
			unavailable := "KMSInvalidStateException: " + *m.Arn + " is unavailable."
			_, err = ann.encrypt(m.Arn, nil)
			ann.mayNot("encrypt", unavailable, err)
			ann.mayNot("decrypt", unavailable, ann.decrypt(blob, context))
			ann.mayNot("make a data key", unavailable, ann.dataKey(m.Arn))
			ann.may("disable it", ann.disable(m.Arn))
			if got := state(); got != "Unavailable" {
				t.Errorf("disabled and disconnected: %s", got)
			}
			_, err = ann.keyIn(c.store, c.xks)
			ann.mayNot("make another key", "CustomKeyStoreInvalidStateException", err)
			ann.connect(c.store)
			if got := state(); got != "Disabled" {
				t.Errorf("connected again: %s", got)
			}
			_, err = ann.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: m.Arn})
			ann.may("enable it", err)
			ann.may("decrypt at last", ann.decrypt(blob, context))
		})
	}
}

// The proxy hears who asks for what, and the encryption context in clear.
func TestWhatTheProxyHears(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*")).with(func(c *cloud.Caller) { c.RequestID = "request-1" })
	store := ann.create(externalStore("store", "https://example.com"))
	ann.connect(store)
	m := must(ann.keyIn(store, "key-1"))(t)
	blob := must(ann.through("rds.amazonaws.com").encrypt(m.Arn, map[string]string{"b": "2", "a": "1"}))(t)
	if string(w.xks.data) != `{"a":"1","b":"2"}` {
		t.Errorf("associated data %s", w.xks.data)
	}
	must(ann.ReEncrypt(t.Context(), &kms.ReEncryptInput{CiphertextBlob: blob, SourceEncryptionContext: map[string]string{"b": "2", "a": "1"}, DestinationKeyId: m.Arn}))(t)
	if w.xks.data != nil {
		t.Errorf("associated data %q without a context", w.xks.data)
	}
	who := "arn:aws:iam::111122223333:user/ann"
	want := []keys.ProxyCall{
		{Operation: "CreateCustomKeyStore", RequestID: "request-1"},
		{Operation: "ConnectCustomKeyStore", RequestID: "request-1"},
		{Principal: who, Operation: "CreateKey", RequestID: "request-1"},
		{Principal: who, Operation: "Encrypt", RequestID: "request-1", KeyARN: *m.Arn, ViaService: "rds"},
		{Principal: who, Operation: "ReEncrypt", RequestID: "request-1", KeyARN: *m.Arn},
		{Principal: who, Operation: "ReEncrypt", RequestID: "request-1", KeyARN: *m.Arn},
	}
	if !slices.Equal(w.xks.calls, want) {
		t.Errorf("calls:\n got %v\nwant %v", w.xks.calls, want)
	}
	long := map[string]string{"k": strings.Repeat("é", 5000)}
	blob = must(ann.encrypt(m.Arn, long))(t)
	if len(w.xks.data) != 64 {
		t.Errorf("%d bytes of associated data for a long context", len(w.xks.data))
	}
	ann.may("decrypt with a long context", ann.decrypt(blob, long))
}

// A proxy, and who owns it, can refuse; it can neither read nor make what KMS has
// encrypted, for its encryption is around KMS's own.
func TestProxyCannotForge(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	store := ann.create(externalStore("store", "https://example.com"))
	ann.connect(store)
	one, two := must(ann.keyIn(store, "key-1"))(t), must(ann.keyIn(store, "key-2"))(t)
	blob := must(ann.encrypt(one.Arn, nil))(t)
	plain := must(ann.encrypt(ann.key(), nil))(t)
	for name, inner := range map[string][]byte{"nothing": {}, "a plaintext": []byte("secret"), "another key's ciphertext": plain, "itself": blob} {
		w.xks.set(func(f *fakeProxies) { f.inner = inner })
		ann.mayNot("be given "+name, "KMSInvalidStateException: The ciphertext that the external key store proxy submitted for decryption, or the encryption context, is corrupted, missing, or otherwise invalid.", ann.decrypt(blob, nil))
	}
	w.xks.set(func(f *fakeProxies) { f.inner = nil })
	// The external key alone opens nothing that is of use.
	if bytes.Contains(blob, []byte("secret")) {
		t.Error("plaintext in the ciphertext")
	}
	_, err := ann.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, KeyId: two.Arn})
	ann.mayNot("open one key's with another", "IncorrectKeyException", err)
}

func TestUpdateStore(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	x, h := ann.create(externalStore("x", "https://example.com")), ann.create(hsmStore("h", "cluster-3a2b3c4d5e6"))
	ann.create(externalStore("taken", "https://taken.example.com"))
	ann.connect(x)
	ann.connect(h)
	m, n := must(ann.keyIn(x, "key-1"))(t), must(ann.keyIn(h, ""))(t)
	const anyTime, disconnected, never = 0, 1, 2
	credential := &types.XksProxyAuthenticationCredentialType{AccessKeyId: new("ANOTHERXKSPROXYKEY234567"), RawSecretAccessKey: new(strings.Repeat("z", 43))}
	for name, c := range map[string]struct {
		in   *kms.UpdateCustomKeyStoreInput
		when int
		want string // in never
	}{
		"name":                {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: x, NewCustomKeyStoreName: new("renamed")}, anyTime, ""},
		"HSM's name":          {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: h, NewCustomKeyStoreName: new("renamed too")}, anyTime, ""},
		"path":                {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: x, XksProxyUriPath: new("/moved/kms/xks/v1")}, anyTime, ""},
		"credential":          {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: x, XksProxyAuthenticationCredential: credential}, anyTime, ""},
		"nothing":             {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: x}, anyTime, ""},
		"endpoint":            {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: x, XksProxyUriEndpoint: new("https://moved.example.com")}, disconnected, ""},
		"password":            {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: h, KeyStorePassword: new(hsmPassword)}, disconnected, ""},
		"taken name":          {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: x, NewCustomKeyStoreName: new("taken")}, never, "CustomKeyStoreNameInUseException"},
		"taken endpoint":      {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: x, XksProxyUriEndpoint: new("https://taken.example.com"), XksProxyUriPath: new("/kms/xks/v1")}, never, "XksProxyUriInUseException"},
		"connectivity alone":  {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: x, XksProxyConnectivity: "VPC_ENDPOINT_SERVICE"}, never, "ValidationException"},
		"a proxy's password":  {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: x, KeyStorePassword: new(hsmPassword)}, never, "ValidationException"},
		"an HSM's path":       {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: h, XksProxyUriPath: new("/kms/xks/v1")}, never, "ValidationException"},
		"unrelated cluster":   {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: h, CloudHsmClusterId: new("cluster-strange2345")}, never, "CloudHsmClusterNotRelatedException"},
		"unknown cluster":     {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: h, CloudHsmClusterId: new("cluster-unknown2345")}, never, "CloudHsmClusterNotFoundException"},
		"store that is not":   {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: new("cks-1"), NewCustomKeyStoreName: new("y")}, never, "CustomKeyStoreNotFoundException"},
		"path of a version 2": {&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: x, XksProxyUriPath: new("/kms/xks/v2")}, never, "ValidationException"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ann.UpdateCustomKeyStore(t.Context(), c.in)
			if c.when == anyTime {
				ann.may("update while connected", err)
				return
			}
			if err == nil {
				t.Error("updated while connected")
			}
			ann.disconnect(x)
			ann.disconnect(h)
			_, err = ann.UpdateCustomKeyStore(t.Context(), c.in)
			if c.when == never {
				ann.mayNot("update while disconnected", c.want, err)
			} else {
				ann.may("update while disconnected", err)
			}
			ann.connect(x)
			ann.connect(h)
			for _, k := range []*string{m.Arn, n.Arn} {
				ann.may("use its key", ann.dataKey(k))
			}
		})
	}
	ann.may("use the key", ann.dataKey(m.Arn))
	if p := w.xks.asked; p.Endpoint != "https://moved.example.com" || p.Path != "/moved/kms/xks/v1" || p.AccessKeyID != "ANOTHERXKSPROXYKEY234567" || p.Secret != strings.Repeat("z", 43) {
		t.Errorf("asked at %v with %s", p, p.AccessKeyID)
	}
}

func TestHSMFaults(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	store := ann.create(hsmStore("hsm", "cluster-3a2b3c4d5e6"))
	ann.connect(store)
	m := must(ann.keyIn(store, ""))(t)
	blob := must(ann.encrypt(m.Arn, nil))(t)
	for fault, want := range map[keys.FaultKind][2]string{
		keys.FaultNoCluster:     {"KeyUnavailableException", "CLUSTER_NOT_FOUND"},
		keys.FaultInactive:      {"KeyUnavailableException", "INSUFFICIENT_CLOUDHSM_HSMS"},
		keys.FaultBroken:        {"KeyUnavailableException", "INTERNAL_ERROR"},
		keys.FaultTimeout:       {"DependencyTimeoutException", "NETWORK_ERRORS"},
		keys.FaultWrongPassword: {"KMSInvalidStateException", "INVALID_CREDENTIALS"},
		keys.FaultLockedOut:     {"KMSInvalidStateException", "USER_LOCKED_OUT"},
		keys.FaultNoUser:        {"KMSInvalidStateException", "USER_NOT_FOUND"},
		keys.FaultLoggedIn:      {"KMSInvalidStateException", "USER_LOGGED_IN"},
	} {
		t.Run(string(fault), func(t *testing.T) {
			w.hsm.fault = fault
			ann.mayNot("decrypt", want[0], ann.decrypt(blob, nil))
			ann.mayNot("make a data key", want[0], ann.dataKey(m.Arn))
			_, err := ann.keyIn(store, "")
			ann.mayNot("make a key", want[0], err)
			_, err = ann.GenerateRandom(t.Context(), &kms.GenerateRandomInput{NumberOfBytes: new(int32(8)), CustomKeyStoreId: store})
			ann.mayNot("make random bytes", want[0], err)
			ann.connect(store)
			if got := ann.connection(store); got != "FAILED "+want[1] {
				t.Errorf("connected: %s", got)
			}
			w.hsm.fault = ""
			ann.disconnect(store)
			ann.connect(store)
			ann.may("decrypt again", ann.decrypt(blob, nil))
		})
	}
}

// When a key in a CloudHSM key store is deleted, so is what is in the module.
func TestDeleteKeyInHSM(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	store := ann.create(hsmStore("hsm", "cluster-3a2b3c4d5e6"))
	ann.connect(store)
	m := must(ann.keyIn(store, ""))(t)
	must(ann.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: m.KeyId, PendingWindowInDays: new(int32(7))}))(t)
	if len(w.hsm.names) != 1 {
		t.Errorf("keys: %v", w.hsm.names)
	}
	w.wait(8 * 24 * time.Hour)
	if n, err := w.Sweep(t.Context(), w.clock()); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if len(w.hsm.names) != 0 {
		t.Errorf("keys: %v", w.hsm.names)
	}
}

func TestRandomFromStores(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	h, x := ann.create(hsmStore("hsm", "cluster-3a2b3c4d5e6")), ann.create(externalStore("x", "https://example.com"))
	random := func(store *string) ([]byte, error) {
		out, err := ann.GenerateRandom(t.Context(), &kms.GenerateRandomInput{NumberOfBytes: new(int32(8)), CustomKeyStoreId: store})
		if err != nil {
			return nil, err
		}
		return out.Plaintext, nil
	}
	for want, store := range map[string]*string{"CustomKeyStoreNotFoundException": new("cks-1"), "CustomKeyStoreInvalidStateException": h, "UnsupportedOperationException": x} {
		_, err := random(store)
		ann.mayNot("generate", want, err)
	}
	ann.connect(h)
	if got := must(random(h))(t); !bytes.Equal(got, bytes.Repeat([]byte{7}, 8)) {
		t.Errorf("%x, which is not the module's", got)
	}
}

func TestStoreKeysRefused(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	h, x := ann.create(hsmStore("hsm", "cluster-3a2b3c4d5e6")), ann.create(externalStore("x", "https://example.com"))
	ann.connect(h)
	ann.connect(x)
	for name, c := range map[string]struct {
		in   kms.CreateKeyInput
		want string
	}{
		"no store":         {kms.CreateKeyInput{Origin: "AWS_CLOUDHSM"}, "ValidationException"},
		"no origin":        {kms.CreateKeyInput{CustomKeyStoreId: h}, "ValidationException"},
		"KMS's origin":     {kms.CreateKeyInput{CustomKeyStoreId: h, Origin: "AWS_KMS"}, "ValidationException"},
		"no external key":  {kms.CreateKeyInput{CustomKeyStoreId: x, Origin: "EXTERNAL_KEY_STORE"}, "ValidationException"},
		"an external key":  {kms.CreateKeyInput{CustomKeyStoreId: h, Origin: "AWS_CLOUDHSM", XksKeyId: new("k")}, "ValidationException"},
		"the other origin": {kms.CreateKeyInput{CustomKeyStoreId: x, Origin: "AWS_CLOUDHSM"}, "ValidationException"},
		"unknown store":    {kms.CreateKeyInput{CustomKeyStoreId: new("cks-1"), Origin: "AWS_CLOUDHSM"}, "CustomKeyStoreNotFoundException"},
		"RSA":              {kms.CreateKeyInput{CustomKeyStoreId: h, Origin: "AWS_CLOUDHSM", KeySpec: "RSA_2048", KeyUsage: "SIGN_VERIFY"}, "UnsupportedOperationException"},
		"multi-Region":     {kms.CreateKeyInput{CustomKeyStoreId: h, Origin: "AWS_CLOUDHSM", MultiRegion: new(true)}, "UnsupportedOperationException"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ann.CreateKey(t.Context(), &c.in)
			ann.mayNot("create", c.want, err)
		})
	}
	if len(w.hsm.names) != 0 {
		t.Errorf("keys were made: %v", w.hsm.names)
	}
}

// Someone disconnects a store while it is being connected: disconnected it stays.
func TestDisconnectWhileConnecting(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	store := ann.create(externalStore("x", "https://example.com"))
	w.xks.during = func() { ann.disconnect(store) }
	ann.connect(store)
	if got := ann.connection(store); got != "DISCONNECTED" {
		t.Errorf("%s", got)
	}
}
