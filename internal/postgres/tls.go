package postgres

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"borealis/internal/durable"
)

// certificates are the files that engines speak TLS with: a CA of this
// installation, and one certificate for its host that all engines share.
type certificates struct {
	caFile, caKeyFile, certFile, keyFile string

	mu    sync.Mutex
	ready bool
}

func newCertificates(dir string) *certificates {
	return &certificates{
		caFile: filepath.Join(dir, "ca.crt"), caKeyFile: filepath.Join(dir, "ca.key"),
		certFile: filepath.Join(dir, "server.crt"), keyFile: filepath.Join(dir, "server.key"),
	}
}

// How long certificates are good for, and how long before its end one is
// replaced. Clients keep the CA's, so it lasts.
const (
	caLife    = 30 * 365 * 24 * time.Hour
	certLife  = 2 * 365 * 24 * time.Hour
	certRenew = 180 * 24 * time.Hour
)

// make makes what is missing, out of date or not for host, and looks only once
// in the life of this process. It is left until the first engine starts, or
// Prepare: keys are slow to make, and so is it to sync them. The CA is made
// once; its key never leaves ca.key (0600, this process's user). The engines'
// key is the engine user's.
func (c *certificates) make(host string, user account) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ready {
		return nil
	}
	ca, caKey, err := openCA(c.caFile, c.caKeyFile)
	if err != nil {
		return fmt.Errorf("open certificate authority %s: %w", c.caFile, err)
	}
	if !c.current(ca, host) {
		if err := c.issue(ca, caKey, host); err != nil {
			return fmt.Errorf("issue certificate for %s: %w", host, err)
		}
	}
	if err := user.own(c.keyFile); err != nil {
		return fmt.Errorf("give key to engine user: %w", err)
	}
	c.ready = true
	return nil
}

// openCA reads the authority, or makes it. The certificate is written last, so
// that a key without one is a beginning that did not end, and is replaced.
func openCA(certFile, keyFile string) (*x509.Certificate, crypto.Signer, error) {
	cert, err := readCertificate(certFile)
	if err == nil {
		key, err := readKey(keyFile)
		return cert, key, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := blank(pkix.Name{CommonName: "Borealis engines", SerialNumber: rand.Text()[:8]}, caLife)
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(writeKey(keyFile, key), writePEM(certFile, "CERTIFICATE", der, 0o644)); err != nil {
		return nil, nil, err
	}
	cert, err = x509.ParseCertificate(der)
	return cert, key, err
}

// current reports whether the server's certificate is for host, from ca, good
// for a while yet, and has its key.
func (c *certificates) current(ca *x509.Certificate, host string) bool {
	cert, err := readCertificate(c.certFile)
	if err != nil || cert.CheckSignatureFrom(ca) != nil || cert.VerifyHostname(host) != nil {
		return false
	}
	key, err := readKey(c.keyFile)
	if err != nil || time.Until(cert.NotAfter) < certRenew {
		return false
	}
	public, ok := key.Public().(*ecdsa.PublicKey)
	return ok && public.Equal(cert.PublicKey)
}

// issue makes a new key and certificate for host and for this machine itself.
func (c *certificates) issue(ca *x509.Certificate, caKey crypto.Signer, host string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := blank(pkix.Name{CommonName: host}, certLife)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	t.DNSNames = []string{"localhost"}
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if ip := net.ParseIP(host); ip != nil {
		t.IPAddresses = append(t.IPAddresses, ip)
	} else {
		t.DNSNames = append(t.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	return errors.Join(writeKey(c.keyFile, key), writePEM(c.certFile, "CERTIFICATE", der, 0o644))
}

func blank(name pkix.Name, life time.Duration) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	now := time.Now()
	return &x509.Certificate{SerialNumber: serial, Subject: name, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(life)}
}

func readCertificate(path string) (*x509.Certificate, error) {
	der, err := readPEM(path, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func readKey(path string) (crypto.Signer, error) {
	der, err := readPEM(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a %T cannot sign", path, key)
	}
	return signer, nil
}

func readPEM(path, kind string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: not a PEM file of a %s", path, kind)
	}
	return block.Bytes, nil
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "PRIVATE KEY", der, 0o600)
}

func writePEM(path, kind string, der []byte, mode fs.FileMode) error {
	return durable.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
