package xks

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"testing"
)

// The example of the specification's appendix C.
func TestIntegrity(t *testing.T) {
	of := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	m := Message{Ciphertext: of("ghxkK1txeDNn3q8Y"), IV: of("HMrlRw85cAJUd5Ax"), Tag: of("vBxN2ncH1oEkR8WVXpmyYQ=="), Metadata: of("a2V5X3ZlcnNpb249MQ==")}
	if !m.vouchedFor(of("qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc="), []byte("project=nile,department=marketing")) {
		t.Error("the example of the specification does not hold")
	}
}

func TestPublic(t *testing.T) {
	for s, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "2606:4700:4700::1111": true, "::ffff:8.8.8.8": true, "100.128.0.1": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.31.0.1": false, "192.168.0.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "0.1.2.3": false, "198.18.0.1": false, "203.0.113.1": false, "240.0.0.1": false,
		"::1": false, "::": false, "fe80::1": false, "fc00::1": false, "ff02::1": false, "2001:db8::1": false,
		"2002:7f00:1::": false, "64:ff9b::7f00:1": false, "::ffff:10.0.0.1": false, "fe80::1%eth0": false,
	} {
		if got := Public(netip.MustParseAddr(s)); got != want {
			t.Errorf("Public(%s) = %v", s, got)
		}
	}
}

// No answer makes a parser panic, and none gets through that breaks the API's
// limits.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`{"ciphertext":"ghxkK1txeDNn3q8Y","ciphertextMetadata":"a2V5X3ZlcnNpb249MQ==","initializationVector":"HMrlRw85cAJUd5Ax","authenticationTag":"vBxN2ncH1oEkR8WVXpmyYQ==","ciphertextDataIntegrityValue":"qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc="}`,
		`{"plaintext":"SGVsbG8gV29ybGQh"}`, `{"keySpec":"AES_256","keyUsage":["ENCRYPT","DECRYPT"],"keyStatus":"ENABLED"}`,
		`{"xksProxyFleetSize":1,"xksProxyVendor":"v","xksProxyModel":"m","ekmVendor":"e","ekmFleetDetails":[{"id":"1","model":"m","healthStatus":"ACTIVE"}]}`,
		`{"errorName":"KeyNotFoundException","errorMessage":"x"}`, `null`, `[`, "", `{"errorName":7}`,
	} {
		f.Add(200, []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		m, err := parseMessage(body, 12, []byte("project=nile,department=marketing"))
		if err == nil && (len(m.Ciphertext) != 12 || len(m.Tag) != tagSize || len(m.Metadata) > maxMetadata) {
			t.Errorf("message %v of %q", m, body)
		}
		if p, err := parsePlaintext(body, 12); err == nil && len(p) != 12 {
			t.Errorf("plaintext of %d bytes", len(p))
		}
		if k, err := parseKey(body); err == nil && (!isWord(k.Spec) || len(k.Usage) > maxUsages) {
			t.Errorf("key %v", k)
		}
		_ = parseHealth(body)
		e, ok := errors.AsType[*Error](parseFailure(status, body))
		if !ok || len(e.Detail) > 512 {
			t.Errorf("failure of %q is %v", body, e)
		}
	})
}
