package identity_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"golang.org/x/crypto/ssh"

	"borealis/internal/identity"
)

// A pair is a key and the certificate that another has signed.
type pair struct {
	key  crypto.Signer
	cert *x509.Certificate
}

// certify makes a key and a certificate of it, signed by another or by itself.
func certify(t *testing.T, by *pair, name string, from, until time.Time) *pair {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	p := &pair{key: key, cert: template}
	if by == nil {
		by = p
	}
	der := must(x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key))(t)
	p.cert = must(x509.ParseCertificate(der))(t)
	return p
}

func (p *pair) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw}))
}

func (p *pair) keyPEM(t *testing.T) string {
	der := must(x509.MarshalPKCS8PrivateKey(p.key))(t)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// chain is a certificate, its issuer and the issuer's.
func chain(t *testing.T) (leaf, middle, top *pair) {
	from, until := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	top = certify(t, nil, "top", from, until)
	middle = certify(t, top, "middle", from, until)
	return certify(t, middle, "leaf", from, until), middle, top
}

func TestServerCertificates(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	leaf, middle, top := chain(t)
	made := must(v.UploadServerCertificate(ctx, &iam.UploadServerCertificateInput{
		ServerCertificateName: new("Web"), Path: new("/cloudfront/"), CertificateBody: new(leaf.pem() + "\n"), CertificateChain: new(middle.pem() + top.pem()),
		PrivateKey: new(leaf.keyPEM(t)), Tags: tags("a", "1"),
	}))(t).ServerCertificateMetadata
	if *made.Arn != "arn:aws:iam::111122223333:server-certificate/cloudfront/Web" || !strings.HasPrefix(*made.ServerCertificateId, "ASCA") || !made.Expiration.Equal(leaf.cert.NotAfter) {
		t.Errorf("%s, %s, until %s", *made.Arn, *made.ServerCertificateId, *made.Expiration)
	}
	must(v.UpdateServerCertificate(ctx, &iam.UpdateServerCertificateInput{ServerCertificateName: new("web"), NewPath: new("/"), NewServerCertificateName: new("www")}))(t)
	must(v.TagServerCertificate(ctx, &iam.TagServerCertificateInput{ServerCertificateName: new("www"), Tags: tags("b", "2")}))(t)
	must(v.UntagServerCertificate(ctx, &iam.UntagServerCertificateInput{ServerCertificateName: new("www"), TagKeys: []string{"a"}}))(t)
	got := must(v.GetServerCertificate(ctx, &iam.GetServerCertificateInput{ServerCertificateName: new("WWW")}))(t).ServerCertificate
	if *got.ServerCertificateMetadata.ServerCertificateId != *made.ServerCertificateId || *got.CertificateBody != strings.TrimSpace(leaf.pem()) || len(got.Tags) != 1 || *got.Tags[0].Key != "b" {
		t.Errorf("after changes: %+v", got)
	}
	if n := must(v.GetAccountSummary(ctx, nil))(t).SummaryMap["ServerCertificates"]; n != 1 {
		t.Errorf("the summary counts %d", n)
	}
	must(v.DeleteServerCertificate(ctx, &iam.DeleteServerCertificateInput{ServerCertificateName: new("www")}))(t)
	if list := must(v.ListServerCertificates(ctx, &iam.ListServerCertificatesInput{}))(t).ServerCertificateMetadataList; len(list) != 0 {
		t.Errorf("left: %v", list)
	}
}

func TestServerCertificateMistakes(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	leaf, middle, top := chain(t)
	key := leaf.keyPEM(t)
	upload := func(name, cert, key, chain string) error {
		in := &iam.UploadServerCertificateInput{ServerCertificateName: &name, CertificateBody: &cert, PrivateKey: &key}
		if chain != "" {
			in.CertificateChain = &chain
		}
		_, err := v.UploadServerCertificate(ctx, in)
		return err
	}
	if err := upload("there", leaf.pem(), key, ""); err != nil {
		t.Fatal(err)
	}
	const notPEM = "MalformedCertificate: Unable to parse certificate. Please ensure the certificate is in PEM format."
	const invalidAt = "MalformedCertificate: Unable to validate certificate chain. The certificate chain must start with the immediate signing certificate, followed by any intermediaries in order. The index within the chain of the invalid certificate is: "
	encrypted := string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))
	for _, tt := range []struct{ name, cert, key, chain, want string }{
		{"no PEM", "x", key, "", notPEM},
		{"two certificates", leaf.pem() + middle.pem(), key, "", notPEM},
		{"a key for a certificate", key, key, "", notPEM},
		{"text after it", leaf.pem() + "x", key, "", notPEM},
		{"no key", leaf.pem(), "x", "", "MalformedCertificate: Unable to parse private key. Please ensure the private key is in PEM format, and not encrypted."},
		{"an encrypted key", leaf.pem(), encrypted, "", "MalformedCertificate: Unable to parse private key. Please ensure the private key is in PEM format, and not encrypted."},
		{"another key", leaf.pem(), middle.keyPEM(t), "", "KeyPairMismatch: The public key certificate and the private key do not match."},
		{"a chain that begins too late", leaf.pem(), key, top.pem(), invalidAt + "0"},
		{"a chain in the wrong order", leaf.pem(), key, middle.pem() + leaf.pem(), invalidAt + "1"},
		{"no chain", leaf.pem(), key, "x", notPEM},
		{"THERE", leaf.pem(), key, middle.pem(), "EntityAlreadyExists: The Server Certificate with name THERE already exists."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := code(upload(tt.name, tt.cert, tt.key, tt.chain)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if _, err := v.GetServerCertificate(ctx, &iam.GetServerCertificateInput{ServerCertificateName: new("none")}); code(err) != "NoSuchEntity: The Server Certificate with name none cannot be found." {
		t.Error(err)
	}
	for n := range 19 {
		if err := upload(fmt.Sprint("n", n), leaf.pem(), key, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := upload("more", leaf.pem(), key, ""); code(err) != "LimitExceeded: Cannot exceed quota for ServerCertificatesPerAccount: 20" {
		t.Error(err)
	}
}

// rsaPublic is a new public key as a line of ssh-rsa and in PEM.
func rsaPublic(t *testing.T, bits int) (line, block string) {
	key := must(rsa.GenerateKey(rand.Reader, bits))(t)
	public := must(ssh.NewPublicKey(key.Public()))(t)
	der := must(x509.MarshalPKIXPublicKey(key.Public()))(t)
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestSSHPublicKeys(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	w.user(accountA, "ann", "")
	w.user(accountA, "bob", "")
	line, block := rsaPublic(t, 2048)
	upload := func(text string) (*types.SSHPublicKey, error) {
		out, err := v.UploadSSHPublicKey(ctx, &iam.UploadSSHPublicKeyInput{UserName: new("ann"), SSHPublicKeyBody: &text})
		if err != nil {
			return nil, err
		}
		return out.SSHPublicKey, nil
	}
	made := must(upload(line + " ann@home"))(t)
	if !strings.HasPrefix(*made.SSHPublicKeyId, "APKA") || strings.Count(*made.Fingerprint, ":") != 15 || *made.SSHPublicKeyBody != line+" ann@home" || made.Status != "Active" {
		t.Errorf("%+v", made)
	}
	for encoding, want := range map[types.EncodingType]string{"SSH": line, "PEM": block} {
		got := must(v.GetSSHPublicKey(ctx, &iam.GetSSHPublicKeyInput{UserName: new("ann"), SSHPublicKeyId: made.SSHPublicKeyId, Encoding: encoding}))(t)
		if *got.SSHPublicKey.SSHPublicKeyBody != want {
			t.Errorf("%s: %q, want %q", encoding, *got.SSHPublicKey.SSHPublicKeyBody, want)
		}
	}
	small, _ := rsaPublic(t, 1024)
	curve := string(ssh.MarshalAuthorizedKey(must(ssh.NewPublicKey(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t).Public()))(t)))
	const invalid = "InvalidPublicKey: The public key is malformed or otherwise invalid."
	const unknown = "UnrecognizedPublicKeyEncoding: The public key encoding format is unsupported or unrecognized."
	for _, tt := range []struct{ name, text, want string }{
		{"the same in PEM", block, "DuplicateSSHPublicKey: The SSH public key is already associated with the specified IAM user."},
		{"1024 bits", small, invalid}, {"a curve", curve, invalid}, {"PEM of something else", strings.ReplaceAll(block, "MII", "AAA"), invalid},
		{"no key", "ssh-rsa AAAA", unknown}, {"two keys", line + "\n" + line, unknown}, {"options", `command="x" ` + line, unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := upload(tt.text); code(err) != tt.want {
				t.Errorf("got %q, want %q", code(err), tt.want)
			}
		})
	}
	must(v.UpdateSSHPublicKey(ctx, &iam.UpdateSSHPublicKeyInput{UserName: new("ann"), SSHPublicKeyId: made.SSHPublicKeyId, Status: "Inactive"}))(t)
	if list := must(v.ListSSHPublicKeys(ctx, &iam.ListSSHPublicKeysInput{UserName: new("ann")}))(t).SSHPublicKeys; len(list) != 1 || list[0].Status != "Inactive" {
		t.Errorf("%+v", list)
	}
	if _, err := v.DeleteSSHPublicKey(ctx, &iam.DeleteSSHPublicKeyInput{UserName: new("bob"), SSHPublicKeyId: made.SSHPublicKeyId}); code(err) != "NoSuchEntity: The Public Key with id "+*made.SSHPublicKeyId+" cannot be found." {
		t.Errorf("another user's: %v", err)
	}
	for range 4 {
		line, _ := rsaPublic(t, 2048)
		must(upload(line))(t)
	}
	more, _ := rsaPublic(t, 2048)
	if _, err := upload(more); code(err) != "LimitExceeded: Cannot exceed quota for SSHPublicKeysPerUser: 5" {
		t.Error(err)
	}
}

func TestSigningCertificates(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	ann := w.As(w.user(accountA, "ann", anything))
	now := time.Now()
	first, second := certify(t, nil, "1", now.Add(-time.Hour), now.Add(time.Hour)), certify(t, nil, "2", now.Add(-time.Hour), now.Add(time.Hour))
	past := certify(t, nil, "past", now.Add(-2*time.Hour), now.Add(-time.Hour))
	upload := func(p string) error {
		_, err := ann.UploadSigningCertificate(ctx, &iam.UploadSigningCertificateInput{CertificateBody: &p})
		return err
	}
	for _, tt := range []struct{ name, text, want string }{
		{"good", first.pem(), ""},
		{"again", first.pem(), "DuplicateCertificate: The certificate is already associated with the user."},
		{"over", past.pem(), "InvalidCertificate: The certificate is not valid at this time."},
		{"no PEM", "x", "MalformedCertificate: Unable to parse certificate. Please ensure the certificate is in PEM format."},
		{"a second", second.pem(), ""},
		{"a third", certify(t, nil, "3", now.Add(-time.Hour), now.Add(time.Hour)).pem(), "LimitExceeded: Cannot exceed quota for SigningCertificatesPerUser: 2"},
	} {
		if got := code(upload(tt.text)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	list := must(v.ListSigningCertificates(ctx, &iam.ListSigningCertificatesInput{UserName: new("ann")}))(t).Certificates
	if len(list) != 2 {
		t.Fatalf("%+v", list)
	}
	must(v.GenerateCredentialReport(ctx, nil))(t)
	report := string(must(v.GetCredentialReport(ctx, nil))(t).Content)
	if want := ",true," + list[0].UploadDate.Format("2006-01-02T15:04:05+00:00"); strings.Count(report, want) < 1 {
		t.Errorf("the report has no %q:\n%s", want, report)
	}
	must(ann.UpdateSigningCertificate(ctx, &iam.UpdateSigningCertificateInput{CertificateId: list[0].CertificateId, Status: "Inactive"}))(t)
	must(ann.DeleteSigningCertificate(ctx, &iam.DeleteSigningCertificateInput{CertificateId: list[1].CertificateId}))(t)
	if list := must(ann.ListSigningCertificates(ctx, &iam.ListSigningCertificatesInput{}))(t).Certificates; len(list) != 1 || list[0].Status != "Inactive" {
		t.Errorf("%+v", list)
	}
	if _, err := ann.DeleteSigningCertificate(ctx, &iam.DeleteSigningCertificateInput{CertificateId: list[1].CertificateId}); code(err) != "NoSuchEntity: The Certificate with id "+*list[1].CertificateId+" cannot be found." {
		t.Error(err)
	}
}

func TestServiceSpecificCredentials(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	w.user(accountA, "ann", "")
	make := func(service string, days *int32) (*types.ServiceSpecificCredential, error) {
		out, err := v.CreateServiceSpecificCredential(ctx, &iam.CreateServiceSpecificCredentialInput{UserName: new("ann"), ServiceName: &service, CredentialAgeDays: days})
		if err != nil {
			return nil, err
		}
		return out.ServiceSpecificCredential, nil
	}
	git := must(make("codecommit.amazonaws.com", nil))(t)
	if *git.ServiceUserName != "ann-at-111122223333" || len(*git.ServicePassword) != 44 || git.ServiceCredentialAlias != nil {
		t.Errorf("%+v", git)
	}
	if again := must(make("codecommit.amazonaws.com", nil))(t); *again.ServiceUserName != "ann+1-at-111122223333" {
		t.Errorf("%s", *again.ServiceUserName)
	}
	api := must(make("bedrock.amazonaws.com", new(int32(30))))(t)
	if !strings.HasPrefix(*api.ServiceCredentialAlias, "BedrockAPIKey-") || api.ServiceCredentialSecret == nil || api.ServiceUserName != nil || api.ExpirationDate.Sub(*api.CreateDate) < 29*24*time.Hour {
		t.Errorf("%+v", api)
	}
	for _, tt := range []struct {
		service string
		days    *int32
		want    string
	}{
		{"codecommit.amazonaws.com", nil, "LimitExceeded: Cannot exceed quota for ServiceSpecificCredentialsPerUser: 2"},
		{"s3.amazonaws.com", nil, "NotSupportedService: The service s3.amazonaws.com does not support service-specific credentials."},
		{"cassandra.amazonaws.com", new(int32(1)), "InvalidInput: CredentialAgeDays is not supported for cassandra.amazonaws.com."},
	} {
		if _, err := make(tt.service, tt.days); code(err) != tt.want {
			t.Errorf("%s: got %q, want %q", tt.service, code(err), tt.want)
		}
	}
	reset := must(v.ResetServiceSpecificCredential(ctx, &iam.ResetServiceSpecificCredentialInput{UserName: new("ann"), ServiceSpecificCredentialId: git.ServiceSpecificCredentialId}))(t).ServiceSpecificCredential
	if *reset.ServicePassword == *git.ServicePassword || *reset.ServiceUserName != *git.ServiceUserName {
		t.Error("the password is the same, or the name is not")
	}
	must(v.UpdateServiceSpecificCredential(ctx, &iam.UpdateServiceSpecificCredentialInput{UserName: new("ann"), ServiceSpecificCredentialId: api.ServiceSpecificCredentialId, Status: "Inactive"}))(t)
	one := must(v.ListServiceSpecificCredentials(ctx, &iam.ListServiceSpecificCredentialsInput{UserName: new("ann"), ServiceName: new("bedrock.amazonaws.com")}))(t).ServiceSpecificCredentials
	if len(one) != 1 || one[0].Status != "Inactive" {
		t.Errorf("%+v", one)
	}
	all := must(v.ListServiceSpecificCredentials(ctx, &iam.ListServiceSpecificCredentialsInput{AllUsers: new(true)}))(t).ServiceSpecificCredentials
	if len(all) != 3 || *all[0].UserName != "ann" {
		t.Errorf("%+v", all)
	}
	for _, c := range all {
		must(v.DeleteServiceSpecificCredential(ctx, &iam.DeleteServiceSpecificCredentialInput{UserName: new("ann"), ServiceSpecificCredentialId: c.ServiceSpecificCredentialId}))(t)
	}
}

// Who has credentials of any kind is not deleted.
func TestDeleteUserWithCredentials(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	line, _ := rsaPublic(t, 2048)
	cert := certify(t, nil, "c", time.Now().Add(-time.Hour), time.Now().Add(time.Hour)).pem()
	name := new("ann")
	for what, in := range map[string]any{
		"SSH public key":              &iam.UploadSSHPublicKeyInput{UserName: name, SSHPublicKeyBody: &line},
		"signing certificate":         &iam.UploadSigningCertificateInput{UserName: name, CertificateBody: &cert},
		"service specific credential": &iam.CreateServiceSpecificCredentialInput{UserName: name, ServiceName: new("codecommit.amazonaws.com")},
	} {
		t.Run(what, func(t *testing.T) {
			must(v.CreateUser(ctx, &iam.CreateUserInput{UserName: name}))(t)
			op := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", in), "*iam."), "Input")
			if _, err := identity.Ops[op].Run(ctx, v, in); err != nil {
				t.Fatal(err)
			}
			if _, err := v.DeleteUser(ctx, &iam.DeleteUserInput{UserName: name}); code(err) != "DeleteConflict: Cannot delete entity, must delete "+what+" first." {
				t.Errorf("%q", code(err))
			}
			*name += "n"
		})
	}
}

// What is uploaded is refused in IAM's words or kept, whatever it is.
func FuzzUploads(f *testing.F) {
	f.Add("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQ== x")
	f.Add("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
	f.Add("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n")
	f.Add("-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\nMHc=\n-----END EC PRIVATE KEY-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, err := range identity.ReadUploads(text) {
			if c := code(err); err != nil && !strings.HasPrefix(c, "MalformedCertificate: ") && !strings.HasPrefix(c, "InvalidPublicKey: ") &&
				!strings.HasPrefix(c, "UnrecognizedPublicKeyEncoding: ") && !strings.HasPrefix(c, "KeyPairMismatch: ") {
				t.Errorf("%q", c)
			}
		}
	})
}
