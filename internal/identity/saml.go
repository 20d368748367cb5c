package identity

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

const (
	maxSAML         = 100 // providers of an account
	maxSAMLCerts    = 10  // that sign, of a provider: each is tried on a signature
	samlYears       = 100 // that metadata without an end are valid
	samlMetadataXML = "urn:oasis:names:tc:SAML:2.0:metadata"
)

// A SAMLProvider is an identity provider by SAML 2.0 that an account trusts. It
// is stored, so its fields change only with a migration.
type SAMLProvider struct {
	ID         string
	Name       string
	Metadata   string // the document as it was given
	Created    time.Time
	ValidUntil time.Time
	Encryption string // as types.AssertionEncryptionModeType
	Tags       []Tag
}

func samlARN(a cloud.AccountID, name string) string {
	return cloud.NewARN("iam", "", a, "saml-provider/"+name).String()
}

// SAMLProvider is the provider with an ARN, or cloud.ErrNotFound.
func (s *Service) SAMLProvider(ctx context.Context, arn string) (SAMLProvider, error) {
	return provider[SAMLProvider](ctx, s, SAMLItem, arn)
}

// samlMetadata is what has to be in a metadata document.
type samlMetadata struct {
	XMLName    xml.Name
	EntityID   string `xml:"entityID,attr"`
	ValidUntil string `xml:"validUntil,attr"`
	Providers  []struct {
		Keys []struct {
			Use          string   `xml:"use,attr"`
			Certificates []string `xml:"KeyInfo>X509Data>X509Certificate"`
		} `xml:"KeyDescriptor"`
	} `xml:"IDPSSODescriptor"`
}

// readMetadata returns until when a metadata document is valid, and refuses what
// is none of an identity provider that signs.
func readMetadata(document string, now time.Time) (time.Time, error) {
	var m samlMetadata
	d := xml.NewDecoder(strings.NewReader(document))
	if err := d.Decode(&m); err != nil || m.XMLName.Local != "EntityDescriptor" || m.XMLName.Space != samlMetadataXML || m.EntityID == "" {
		return time.Time{}, invalidInput("Could not parse metadata")
	}
	certificates := 0
	for _, p := range m.Providers {
		for _, k := range p.Keys {
			for _, c := range k.Certificates {
				der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(c), ""))
				if err == nil {
					_, err = x509.ParseCertificate(der)
				}
				if err != nil {
					return time.Time{}, invalidInput("Could not parse metadata")
				}
				if k.Use != "encryption" {
					certificates++
				}
			}
		}
	}
	if certificates == 0 {
		return time.Time{}, invalidInput("Could not parse metadata")
	}
	if certificates > maxSAMLCerts {
		return time.Time{}, invalidInput("Metadata must have no more than %d signing certificates", maxSAMLCerts)
	}
	if m.ValidUntil == "" {
		return now.AddDate(samlYears, 0, 0), nil
	}
	until, err := time.Parse(time.RFC3339, m.ValidUntil)
	if err != nil {
		return time.Time{}, invalidInput("Could not parse metadata")
	}
	return until.UTC(), nil
}

// CreateSAMLProvider makes a provider that trust policies can name.
func (v *View) CreateSAMLProvider(ctx context.Context, in *iam.CreateSAMLProviderInput) (*iam.CreateSAMLProviderOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	arn := samlARN(v.caller.Account, *in.Name)
	return &iam.CreateSAMLProviderOutput{SAMLProviderArn: &arn, Tags: in.Tags}, v.change(ctx, func(r *request) error {
		err := r.authorize("iam:CreateSAMLProvider", resource{arn: arn, context: asked(nil, tags)})
		if err != nil {
			return err
		}
		now := r.Now().UTC()
		p := SAMLProvider{ID: newID(samlPrefix), Name: *in.Name, Metadata: *in.SAMLMetadataDocument, Created: now, Encryption: string(types.AssertionEncryptionModeTypeAllowed)}
		if p.ValidUntil, err = readMetadata(p.Metadata, now); err != nil {
			return err
		}
		if p.Tags, err = merge(nil, tags); err != nil {
			return err
		}
		err = r.addCounted(Item{Kind: SAMLItem, ID: arn}, p, limit{maxSAML, "SAMLProvidersPerAccount"},
			alreadyExists("SAMLProvider with name %s already exists.", p.Name))
		if err != nil {
			return err
		}
		return r.changeSAMLKeys(&p, arn, in.AddPrivateKey, nil, in.AssertionEncryptionMode)
	})
}

// samlPrefix begins the id of a SAML provider.
const samlPrefix = "ASPA"

// saml is the provider with an ARN if the caller may do action to it.
func (r *request) saml(action, arn string, add more) (SAMLProvider, Item, error) {
	i, err := r.item(action, SAMLItem, arn, arn, noSuchEntity("Manifest not found for arn %s", arn), add)
	if err != nil {
		return SAMLProvider{}, i, err
	}
	p, err := body[SAMLProvider](i)
	return p, i, err
}

// GetSAMLProvider describes a provider.
func (v *View) GetSAMLProvider(ctx context.Context, in *iam.GetSAMLProviderInput) (*iam.GetSAMLProviderOutput, error) {
	out := &iam.GetSAMLProviderOutput{}
	return out, v.read(ctx, func(r *request) error {
		p, _, err := r.saml("iam:GetSAMLProvider", *in.SAMLProviderArn, nil)
		if err != nil {
			return err
		}
		keys, err := r.samlKeys(p)
		if err != nil {
			return err
		}
		out.SAMLProviderUUID, out.SAMLMetadataDocument, out.CreateDate, out.ValidUntil = &p.ID, &p.Metadata, &p.Created, &p.ValidUntil
		out.AssertionEncryptionMode, out.PrivateKeyList = types.AssertionEncryptionModeType(p.Encryption), keys
		out.Tags = append([]types.Tag{}, awsTags(p.Tags)...)
		return nil
	})
}

// ListSAMLProviders lists the account's providers by ARN.
func (v *View) ListSAMLProviders(ctx context.Context, _ *iam.ListSAMLProvidersInput) (*iam.ListSAMLProvidersOutput, error) {
	out := &iam.ListSAMLProvidersOutput{SAMLProviderList: []types.SAMLProviderListEntry{}}
	return out, v.read(ctx, func(r *request) error {
		if err := r.authorize("iam:ListSAMLProviders", resource{arn: "*"}); err != nil {
			return err
		}
		all, err := r.Items(r.caller.Account, SAMLItem)
		if err != nil {
			return err
		}
		for _, i := range all {
			p, err := body[SAMLProvider](i)
			if err != nil {
				return err
			}
			out.SAMLProviderList = append(out.SAMLProviderList, types.SAMLProviderListEntry{Arn: &i.ID, CreateDate: &p.Created, ValidUntil: &p.ValidUntil})
		}
		return nil
	})
}

// UpdateSAMLProvider replaces a provider's metadata, adds and removes private keys
// and says whether assertions must be encrypted, each if it is given.
func (v *View) UpdateSAMLProvider(ctx context.Context, in *iam.UpdateSAMLProviderInput) (*iam.UpdateSAMLProviderOutput, error) {
	return &iam.UpdateSAMLProviderOutput{SAMLProviderArn: in.SAMLProviderArn}, v.change(ctx, func(r *request) error {
		p, i, err := r.saml("iam:UpdateSAMLProvider", *in.SAMLProviderArn, nil)
		if err != nil {
			return err
		}
		if in.SAMLMetadataDocument != nil {
			p.Metadata = *in.SAMLMetadataDocument
			if p.ValidUntil, err = readMetadata(p.Metadata, r.Now().UTC()); err != nil {
				return err
			}
		}
		return r.changeSAMLKeys(&p, i.ID, in.AddPrivateKey, in.RemovePrivateKey, in.AssertionEncryptionMode)
	})
}

// DeleteSAMLProvider removes a provider. Who trusts it trusts nobody then.
func (v *View) DeleteSAMLProvider(ctx context.Context, in *iam.DeleteSAMLProviderInput) (*iam.DeleteSAMLProviderOutput, error) {
	return &iam.DeleteSAMLProviderOutput{}, v.change(ctx, func(r *request) error {
		p, i, err := r.saml("iam:DeleteSAMLProvider", *in.SAMLProviderArn, nil)
		if err != nil {
			return err
		}
		keys, err := r.ItemsOf(p.ID, SAMLKeyItem)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if err := r.DeleteItem(k.Account, k.Kind, k.ID); err != nil {
				return err
			}
		}
		return r.DeleteItem(i.Account, i.Kind, i.ID)
	})
}
