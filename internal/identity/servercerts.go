package identity

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

const maxServerCerts = 20 // of an account

// A serverCert is a certificate for TLS with its chain; the item's secret is its
// private key. It is stored, so its fields change only with a migration.
type serverCert struct {
	ID       string
	Name     string
	Path     string
	Body     string // PEM
	Chain    string // PEM; "" for none
	Uploaded time.Time
	Expires  time.Time
	Tags     []Tag
}

func serverCertARN(a cloud.AccountID, path, name string) string {
	return cloud.NewARN("iam", "", a, "server-certificate"+path+name).String()
}

func (c serverCert) metadata(a cloud.AccountID) *types.ServerCertificateMetadata {
	return &types.ServerCertificateMetadata{
		Arn: new(serverCertARN(a, c.Path, c.Name)), Path: &c.Path, ServerCertificateId: &c.ID, ServerCertificateName: &c.Name,
		UploadDate: &c.Uploaded, Expiration: &c.Expires,
	}
}

func malformedCertificate(format string, args ...any) error {
	return &types.MalformedCertificateException{Message: new(fmt.Sprintf(format, args...))}
}

// readServerCert reads a certificate with its chain and private key, and refuses
// what does not belong together.
func readServerCert(text, chain, key string) (*x509.Certificate, error) {
	certs, err := parseCertificates(text)
	if err != nil {
		return nil, err
	}
	if len(certs) != 1 {
		return nil, malformedCertificate(unparsedCertificate)
	}
	private, err := parsePrivateKey(key)
	if err != nil {
		return nil, err
	}
	public, ok := private.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(certs[0].PublicKey) {
		return nil, &types.KeyPairMismatchException{Message: new("The public key certificate and the private key do not match.")}
	}
	return certs[0], checkChain(certs[0], chain)
}

// checkChain refuses a chain whose certificates do not sign each other, from the
// leaf's issuer on.
func checkChain(leaf *x509.Certificate, chain string) error {
	if chain == "" {
		return nil
	}
	issuers, err := parseCertificates(chain)
	if err != nil {
		return err
	}
	signed := leaf
	for i, issuer := range issuers {
		if signed.CheckSignatureFrom(issuer) != nil {
			return malformedCertificate("Unable to validate certificate chain. The certificate chain must start with the immediate signing certificate, followed by any intermediaries in order. The index within the chain of the invalid certificate is: %d", i)
		}
		signed = issuer
	}
	return nil
}

// parsePrivateKey reads one private key in PEM that no password protects.
func parsePrivateKey(text string) (crypto.Signer, error) {
	malformed := malformedCertificate("Unable to parse private key. Please ensure the private key is in PEM format, and not encrypted.")
	block, rest := pem.Decode([]byte(text))
	if block != nil && block.Type == "EC PARAMETERS" { // as OpenSSL writes before EC keys
		block, rest = pem.Decode(rest)
	}
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, malformed
	}
	defer clear(block.Bytes)
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, malformed
	}
	return signer, nil
}

// UploadServerCertificate keeps a certificate with its private key, which nobody
// can read again.
func (v *View) UploadServerCertificate(ctx context.Context, in *iam.UploadServerCertificateInput) (*iam.UploadServerCertificateOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	out := &iam.UploadServerCertificateOutput{Tags: in.Tags}
	return out, v.change(ctx, func(r *request) error {
		c := serverCert{
			ID: newID(serverCertPrefix), Name: *in.ServerCertificateName, Path: orRoot(in.Path),
			Body: strings.TrimSpace(*in.CertificateBody), Chain: strings.TrimSpace(text(in.CertificateChain)), Uploaded: r.Now().UTC(),
		}
		a := r.caller.Account
		err := r.authorize("iam:UploadServerCertificate", resource{arn: serverCertARN(a, c.Path, c.Name), context: asked(nil, tags)})
		if err != nil {
			return err
		}
		parsed, err := readServerCert(c.Body, c.Chain, *in.PrivateKey)
		if err != nil {
			return err
		}
		c.Expires = parsed.NotAfter.UTC()
		if c.Tags, err = merge(nil, tags); err != nil {
			return err
		}
		out.ServerCertificateMetadata = c.metadata(a)
		return r.addServerCert(c, *in.PrivateKey)
	})
}

// addServerCert keeps a new certificate, its key sealed.
func (r *request) addServerCert(c serverCert, key string) error {
	i := Item{Account: r.caller.Account, Kind: ServerCertItem, ID: strings.ToLower(c.Name)}
	var err error
	if i.Sealed, err = r.Sealer.Seal([]byte(key), serverCertContext(i, c)); err != nil {
		return fmt.Errorf("seal private key of server certificate %s: %w", c.Name, err)
	}
	return r.addCounted(i, c, limit{maxServerCerts, "ServerCertificatesPerAccount"},
		alreadyExists("The Server Certificate with name %s already exists.", c.Name))
}

// serverCertContext binds a private key to its certificate, whatever its name is.
func serverCertContext(i Item, c serverCert) []byte {
	i.ID = c.ID
	return itemContext(i)
}

// serverCert is the account's certificate called name if the caller may do action to it.
func (r *request) serverCert(action, name string, add more) (serverCert, Item, error) {
	id, path := strings.ToLower(name), "/"
	c, _, err := findItem[serverCert](r, r.caller.Account, ServerCertItem, id)
	switch {
	case err == nil:
		path, name = c.Path, c.Name
	case !errors.Is(err, cloud.ErrNotFound):
		return c, Item{}, err
	}
	i, err := r.item(action, ServerCertItem, id, serverCertARN(r.caller.Account, path, name),
		noSuchEntity("The Server Certificate with name %s cannot be found.", name), add)
	return c, i, err
}

// GetServerCertificate shows a certificate, but not its key.
func (v *View) GetServerCertificate(ctx context.Context, in *iam.GetServerCertificateInput) (*iam.GetServerCertificateOutput, error) {
	out := &iam.GetServerCertificateOutput{}
	return out, v.read(ctx, func(r *request) error {
		c, i, err := r.serverCert("iam:GetServerCertificate", *in.ServerCertificateName, nil)
		if err != nil {
			return err
		}
		out.ServerCertificate = &types.ServerCertificate{ServerCertificateMetadata: c.metadata(i.Account), CertificateBody: &c.Body, Tags: awsTags(c.Tags)}
		if c.Chain != "" {
			out.ServerCertificate.CertificateChain = &c.Chain
		}
		return nil
	})
}

// ListServerCertificates lists the certificates under a path by name.
func (v *View) ListServerCertificates(ctx context.Context, in *iam.ListServerCertificatesInput) (*iam.ListServerCertificatesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListServerCertificatesOutput{ServerCertificateMetadataList: []types.ServerCertificateMetadata{}}
	return out, v.read(ctx, func(r *request) error {
		under := orRoot(in.PathPrefix)
		if err := r.authorize("iam:ListServerCertificates", resource{arn: serverCertARN(r.caller.Account, under, "")}); err != nil {
			return err
		}
		items, err := r.Items(r.caller.Account, ServerCertItem)
		if err != nil {
			return err
		}
		var all []serverCert
		err = eachBody(items, func(_ Item, c serverCert) {
			if strings.HasPrefix(c.Path, under) {
				all = append(all, c)
			}
		})
		some, next := cut(p, all, func(c serverCert) string { return strings.ToLower(c.Name) })
		for _, c := range some {
			out.ServerCertificateMetadataList = append(out.ServerCertificateMetadataList, *c.metadata(r.caller.Account))
		}
		out.Marker, out.IsTruncated = next, next != nil
		return err
	})
}

// UpdateServerCertificate gives a certificate another name or path.
func (v *View) UpdateServerCertificate(ctx context.Context, in *iam.UpdateServerCertificateInput) (*iam.UpdateServerCertificateOutput, error) {
	const action = "iam:UpdateServerCertificate"
	return &iam.UpdateServerCertificateOutput{}, v.change(ctx, func(r *request) error {
		c, i, err := r.serverCert(action, *in.ServerCertificateName, nil)
		if err != nil {
			return err
		}
		if in.NewPath != nil {
			c.Path = *in.NewPath
		}
		if in.NewServerCertificateName != nil {
			c.Name = *in.NewServerCertificateName
		}
		if err := r.authorize(action, resource{arn: serverCertARN(i.Account, c.Path, c.Name), context: tagged(c.Tags)}); err != nil {
			return err
		}
		id := strings.ToLower(c.Name)
		if id == i.ID {
			return putItem(r, i, c)
		}
		if err := r.DeleteItem(i.Account, i.Kind, i.ID); err != nil {
			return err
		}
		i.ID = id
		err = addItem(r, i, c)
		if errors.Is(err, cloud.ErrExists) {
			return alreadyExists("The Server Certificate with name %s already exists.", c.Name)
		}
		return err
	})
}

// DeleteServerCertificate removes a certificate and its key.
func (v *View) DeleteServerCertificate(ctx context.Context, in *iam.DeleteServerCertificateInput) (*iam.DeleteServerCertificateOutput, error) {
	return &iam.DeleteServerCertificateOutput{}, v.deleteItem(ctx, by((*request).serverCert, "iam:DeleteServerCertificate", *in.ServerCertificateName))
}
