package identity

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base32"
	"encoding/pem"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

var signingCerts = kept{SigningItem, 2, "SigningCertificatesPerUser", "The Certificate with id %s cannot be found."}

// A signingCert is an X.509 certificate of a user, whose key signs requests of old
// protocols. It is stored, so its fields change only with a migration.
type signingCert struct {
	Body     string // PEM, as it was uploaded
	Active   bool
	Uploaded time.Time
}

func (c signingCert) certificate(o owner, id string) types.SigningCertificate {
	return types.SigningCertificate{UserName: &o.name, CertificateId: &id, CertificateBody: &c.Body, Status: status(c.Active), UploadDate: &c.Uploaded}
}

// UploadSigningCertificate gives a user, or without a name the caller, one more
// signing certificate, which is valid now.
func (v *View) UploadSigningCertificate(ctx context.Context, in *iam.UploadSigningCertificateInput) (*iam.UploadSigningCertificateOutput, error) {
	out := &iam.UploadSigningCertificateOutput{}
	return out, v.change(ctx, func(r *request) error {
		o, err := r.keyOwner("iam:UploadSigningCertificate", in.UserName)
		if err != nil {
			return err
		}
		certs, err := parseCertificates(*in.CertificateBody)
		if err != nil || len(certs) != 1 {
			return &types.MalformedCertificateException{Message: new(unparsedCertificate)}
		}
		if now := r.Now(); now.Before(certs[0].NotBefore) || now.After(certs[0].NotAfter) {
			return &types.InvalidCertificateException{Message: new("The certificate is not valid at this time.")}
		}
		twice, err := sameOwn(r, signingCerts, o.id, func(has signingCert) bool {
			block, _ := pem.Decode([]byte(has.Body))
			return block != nil && bytes.Equal(block.Bytes, certs[0].Raw)
		})
		if err != nil {
			return err
		}
		if twice {
			return &types.DuplicateCertificateException{Message: new("The certificate is already associated with the user.")}
		}
		c := signingCert{Body: *in.CertificateBody, Active: true, Uploaded: r.Now().UTC()}
		i := r.newOwn(signingCerts, o, base32.StdEncoding.EncodeToString(random(20)))
		if err := r.addOwn(signingCerts, i, c); err != nil {
			return err
		}
		out.Certificate = new(c.certificate(o, i.ID))
		return nil
	})
}

// ListSigningCertificates lists a user's signing certificates; without a name, the
// caller's.
func (v *View) ListSigningCertificates(ctx context.Context, in *iam.ListSigningCertificatesInput) (*iam.ListSigningCertificatesOutput, error) {
	out := &iam.ListSigningCertificatesOutput{Certificates: []types.SigningCertificate{}}
	next, err := listOwn(ctx, v, "iam:ListSigningCertificates", signingCerts, in.UserName, in.Marker, in.MaxItems, func(o owner, id string, c signingCert) {
		out.Certificates = append(out.Certificates, c.certificate(o, id))
	})
	out.Marker, out.IsTruncated = next, next != nil
	return out, err
}

// UpdateSigningCertificate puts a signing certificate out of use, or into use again.
func (v *View) UpdateSigningCertificate(ctx context.Context, in *iam.UpdateSigningCertificateInput) (*iam.UpdateSigningCertificateOutput, error) {
	return &iam.UpdateSigningCertificateOutput{}, v.setStatus(ctx, "iam:UpdateSigningCertificate", signingCerts, in.UserName, *in.CertificateId, in.Status)
}

// DeleteSigningCertificate removes a signing certificate.
func (v *View) DeleteSigningCertificate(ctx context.Context, in *iam.DeleteSigningCertificateInput) (*iam.DeleteSigningCertificateOutput, error) {
	return &iam.DeleteSigningCertificateOutput{}, v.deleteOwn(ctx, "iam:DeleteSigningCertificate", signingCerts, in.UserName, *in.CertificateId)
}

const unparsedCertificate = "Unable to parse certificate. Please ensure the certificate is in PEM format."

// parseCertificates reads certificates in PEM and nothing else, at least one.
func parseCertificates(text string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	rest := []byte(text)
	for len(bytes.TrimSpace(rest)) > 0 {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, &types.MalformedCertificateException{Message: new(unparsedCertificate)}
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, &types.MalformedCertificateException{Message: new(unparsedCertificate)}
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, &types.MalformedCertificateException{Message: new(unparsedCertificate)}
	}
	return all, nil
}
