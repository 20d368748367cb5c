package xkstest_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http/httptest"

	"borealis/internal/xks"
	"borealis/internal/xks/xkstest"
)

// A proxy with one external key, and KMS asking it.
func Example() {
	proxy := &xkstest.Proxy{
		Prefix:      "/acme",
		Credentials: map[string]string{"KMSXKSPROXYACCESSKEY2345": "FYtE5EFA5FT0mCc3DrGUe2sti527BitkQ0Zr9MO9fvE"},
	}
	proxy.AddKey("key-1")
	server := httptest.NewTLSServer(proxy)
	defer server.Close()

	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	client := xks.New(xks.Config{Hosts: map[string]string{"example.com": server.Listener.Addr().String()}, Roots: roots})
	defer client.Close()
	key, err := client.Describe(context.Background(), xks.Proxy{
		Endpoint: "https://example.com", Path: "/acme/kms/xks/v1", Region: "eu-west-1",
		AccessKeyID: "KMSXKSPROXYACCESSKEY2345", Secret: "FYtE5EFA5FT0mCc3DrGUe2sti527BitkQ0Zr9MO9fvE",
	}, "key-1", xks.Call{Principal: "arn:aws:iam::111122223333:root", Operation: "CreateKey", RequestID: "1"})
	fmt.Println(key.Spec, key.Status, err)
	// Output: AES_256 ENABLED <nil>
}
