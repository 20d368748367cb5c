package identity_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

const thumbprint = "0123456789abcdef0123456789ABCDEF01234567"

func TestOIDCProviderLives(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	arn := must(root.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: new("https://id.example.com/a/b"), ClientIDList: []string{"one"}, Tags: tags("a", "1")}))(t).OpenIDConnectProviderArn
	if *arn != "arn:aws:iam::111122223333:oidc-provider/id.example.com/a/b" {
		t.Errorf("CreateOpenIDConnectProvider: %s", *arn)
	}
	for _, id := range []string{"two", "two"} {
		must(root.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: &id}))(t)
	}
	for range 2 {
		must(root.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: new("one")}))(t)
	}
	must(root.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: arn, ThumbprintList: []string{thumbprint}}))(t)
	must(root.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, Tags: tags("b", "2")}))(t)
	must(root.UntagOpenIDConnectProvider(ctx, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, TagKeys: []string{"a"}}))(t)
	w.open() // all of it survives
	root = w.root(accountA)
	got := must(root.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))(t)
	if *got.Url != "id.example.com/a/b" || !slices.Equal(got.ClientIDList, []string{"two"}) || !slices.Equal(got.ThumbprintList, []string{thumbprint}) || cmpDiff(tags("b", "2"), got.Tags) != "" {
		t.Errorf("GetOpenIDConnectProvider: %+v", got)
	}
	if p := must(w.OIDCProvider(ctx, *arn))(t); p.URL != *got.Url || !slices.Equal(p.Clients, got.ClientIDList) {
		t.Errorf("OIDCProvider: %+v", p)
	}
	if list := must(root.ListOpenIDConnectProviders(ctx, nil))(t).OpenIDConnectProviderList; len(list) != 1 || *list[0].Arn != *arn {
		t.Errorf("ListOpenIDConnectProviders: %v", list)
	}
	if list := must(root.ListOpenIDConnectProviderTags(ctx, &iam.ListOpenIDConnectProviderTagsInput{OpenIDConnectProviderArn: arn}))(t).Tags; len(list) != 1 {
		t.Errorf("ListOpenIDConnectProviderTags: %v", list)
	}
	must(root.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))(t)
	if _, err := root.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}); code(err) != "NoSuchEntity: OpenIDConnect Provider not found for arn "+*arn {
		t.Errorf("GetOpenIDConnectProvider of a deleted one: %v", err)
	}
	if _, err := root.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}); code(err) != "NoSuchEntity: OpenId connect Provider "+*arn+" cannot be found." {
		t.Errorf("DeleteOpenIDConnectProvider of a deleted one: %v", err)
	}
	for _, arn := range []string{*arn, "nonsense"} {
		if _, err := w.OIDCProvider(ctx, arn); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("OIDCProvider %s: %v", arn, err)
		}
	}
}

func TestOIDCProviderMistakes(t *testing.T) {
	w := newWorld(t)
	root := w.root(accountA)
	create := func(in iam.CreateOpenIDConnectProviderInput) string {
		_, err := root.CreateOpenIDConnectProvider(t.Context(), &in)
		return code(err)
	}
	many := func(n int, s string) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprint(s, i))
		}
		return list
	}
	create(iam.CreateOpenIDConnectProviderInput{Url: new("https://there")})
	for _, tt := range []struct {
		in   iam.CreateOpenIDConnectProviderInput
		want string
	}{
		{iam.CreateOpenIDConnectProviderInput{Url: new("https://there")}, "EntityAlreadyExists: Provider with url https://there already exists."},
		{iam.CreateOpenIDConnectProviderInput{Url: new("https://x"), ClientIDList: many(101, "c")}, "LimitExceeded: Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100"},
		{iam.CreateOpenIDConnectProviderInput{Url: new("https://x"), ThumbprintList: many(6, "0")}, "InvalidInput: Thumbprint list must contain fewer than 5 entries."},
		{iam.CreateOpenIDConnectProviderInput{Url: new("https://x"), ThumbprintList: []string{"xyz"}}, "InvalidInput: Thumbprint xyz is not hexadecimal."},
	} {
		if got := create(tt.in); got != tt.want {
			t.Errorf("%s: %q, want %q", *tt.in.Url, got, tt.want)
		}
	}
	for _, url := range []string{"", "x", "http://x", "https://", "https://x:8443", "https://x?y", "https://x#y", "https://u@x", "https://x/%zz", "https://" + strings.Repeat("x", 250)} {
		if got := create(iam.CreateOpenIDConnectProviderInput{Url: &url}); got != "ValidationError: Invalid Open ID Connect Provider URL" {
			t.Errorf("%q: %s", url, got)
		}
	}
}

// metadata is the document of an identity provider that signs with a new key.
func metadata(t testing.TB, attributes string) string {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return `<?xml version="1.0"?><md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="https://idp.example.com" ` + attributes + `>
<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>
` + base64.StdEncoding.EncodeToString(der) + `
</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor></md:IDPSSODescriptor></md:EntityDescriptor>`
}

func TestSAMLProviderLives(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	first, second := metadata(t, ""), metadata(t, `validUntil="2030-01-01T00:00:00Z"`)
	arn := must(root.CreateSAMLProvider(ctx, &iam.CreateSAMLProviderInput{Name: new("corp"), SAMLMetadataDocument: &first, Tags: tags("a", "1")}))(t).SAMLProviderArn
	if *arn != "arn:aws:iam::111122223333:saml-provider/corp" {
		t.Errorf("CreateSAMLProvider: %s", *arn)
	}
	if _, err := root.CreateSAMLProvider(ctx, &iam.CreateSAMLProviderInput{Name: new("corp"), SAMLMetadataDocument: &first}); !strings.HasPrefix(code(err), "EntityAlreadyExists: ") {
		t.Errorf("CreateSAMLProvider again: %v", err)
	}
	got := must(root.GetSAMLProvider(ctx, &iam.GetSAMLProviderInput{SAMLProviderArn: arn}))(t)
	if *got.SAMLMetadataDocument != first || got.ValidUntil.Year() < 2100 || got.AssertionEncryptionMode != types.AssertionEncryptionModeTypeAllowed || len(got.Tags) != 1 {
		t.Errorf("GetSAMLProvider: %+v", got)
	}
	must(root.UpdateSAMLProvider(ctx, &iam.UpdateSAMLProviderInput{SAMLProviderArn: arn, SAMLMetadataDocument: &second}))(t)
	must(root.TagSAMLProvider(ctx, &iam.TagSAMLProviderInput{SAMLProviderArn: arn, Tags: tags("b", "2")}))(t)
	must(root.UntagSAMLProvider(ctx, &iam.UntagSAMLProviderInput{SAMLProviderArn: arn, TagKeys: []string{"a"}}))(t)
	w.open() // all of it survives
	root = w.root(accountA)
	if p := must(w.SAMLProvider(ctx, *arn))(t); p.Metadata != second || p.ValidUntil.Year() != 2030 {
		t.Errorf("SAMLProvider: %+v", p)
	}
	if list := must(root.ListSAMLProviders(ctx, nil))(t).SAMLProviderList; len(list) != 1 || *list[0].Arn != *arn || list[0].ValidUntil.Year() != 2030 {
		t.Errorf("ListSAMLProviders: %+v", list)
	}
	if d := cmpDiff(tags("b", "2"), must(root.ListSAMLProviderTags(ctx, &iam.ListSAMLProviderTagsInput{SAMLProviderArn: arn}))(t).Tags); d != "" {
		t.Errorf("ListSAMLProviderTags (-want +got):\n%s", d)
	}
	must(root.DeleteSAMLProvider(ctx, &iam.DeleteSAMLProviderInput{SAMLProviderArn: arn}))(t)
	if _, err := root.DeleteSAMLProvider(ctx, &iam.DeleteSAMLProviderInput{SAMLProviderArn: arn}); code(err) != "NoSuchEntity: Manifest not found for arn "+*arn {
		t.Errorf("DeleteSAMLProvider again: %v", err)
	}
}

func TestSAMLMetadataMistakes(t *testing.T) {
	w := newWorld(t)
	good := metadata(t, "")
	for what, text := range map[string]string{
		"nothing":               "",
		"no XML":                "{}",
		"half of it":            good[:len(good)/2],
		"another element":       strings.ReplaceAll(good, "EntityDescriptor", "EntitiesDescriptor"),
		"another namespace":     strings.Replace(good, "SAML:2.0:metadata", "SAML:1.0:metadata", 1),
		"no entity id":          strings.Replace(good, "entityID", "entity", 1),
		"no identity provider":  strings.ReplaceAll(good, "IDPSSODescriptor", "SPSSODescriptor"),
		"no signing key":        strings.Replace(good, `use="signing"`, `use="encryption"`, 1),
		"no certificate":        strings.Replace(good, "<ds:X509Certificate>", "<ds:X509Certificate>AAAA", 1),
		"an end that is no day": metadata(t, `validUntil="tomorrow"`),
		"an entity":             `<!DOCTYPE x [<!ENTITY e "e">]>` + strings.Replace(good, "https://idp.example.com", "&e;", 1),
	} {
		t.Run(what, func(t *testing.T) {
			_, err := w.root(accountA).CreateSAMLProvider(t.Context(), &iam.CreateSAMLProviderInput{Name: new("x"), SAMLMetadataDocument: &text})
			if code(err) != "InvalidInput: Could not parse metadata" {
				t.Errorf("CreateSAMLProvider: %v", err)
			}
		})
	}
}
