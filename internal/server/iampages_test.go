package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/identity"
	"borealis/internal/server"
)

// A pager is one of the SDK's paginators.
type pager[O any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*iam.Options)) (*O, error)
}

// pages returns the items that a paginator brings, and the most that came at once.
func pages[O any](p pager[O]) func(context.Context) (items []string, most int, err error) {
	return func(ctx context.Context) (items []string, most int, err error) {
		for p.HasMorePages() {
			out, err := p.NextPage(ctx)
			if err != nil {
				return nil, 0, err
			}
			n := 0
			for i := range reflect.ValueOf(out).Elem().NumField() {
				list := reflect.ValueOf(out).Elem().Field(i)
				if list.Kind() != reflect.Slice {
					continue
				}
				for j := range list.Len() {
					text, err := json.Marshal(list.Index(j).Interface())
					if err != nil {
						return nil, 0, err
					}
					items, n = append(items, string(text)), n+1
				}
			}
			most = max(most, n)
		}
		return items, most, nil
	}
}

const (
	letIn = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}]}`
	allow = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
)

// selfSigned is a certificate of a new key, and the key, in PEM.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// publicKey is a new public key for SSH.
func publicKey(t *testing.T) *string {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return new(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
}

// populate makes five of what there can be five of, and two of the rest.
func populate(t *testing.T, c *iam.Client) {
	t.Helper()
	ctx := t.Context()
	ok := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	u0, r0, g0 := new("u0"), new("r0"), new("g0")
	cert, key := selfSigned(t)
	block, _ := pem.Decode([]byte(cert))
	metadata := `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="x"><IDPSSODescriptor><KeyDescriptor><KeyInfo><X509Data><X509Certificate>` +
		base64.StdEncoding.EncodeToString(block.Bytes) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor></IDPSSODescriptor><!--` + strings.Repeat(" ", 500) + `--></EntityDescriptor>`
	var tags []types.Tag
	for n := range 5 {
		tags = append(tags, types.Tag{Key: new(fmt.Sprint("k", n)), Value: new("v")})
	}
	ok(c.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: new("five")}))
	ok(c.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: new("https://example.com"), Tags: tags}))
	ok(c.CreateSAMLProvider(ctx, &iam.CreateSAMLProviderInput{Name: new("s"), SAMLMetadataDocument: &metadata, Tags: tags}))
	for n := range 5 {
		user, role, group, policy, device := new(fmt.Sprint("u", n)), new(fmt.Sprint("r", n)), new(fmt.Sprint("g", n)), new(fmt.Sprint("p", n)), new(fmt.Sprint("d", n))
		ok(c.CreateUser(ctx, &iam.CreateUserInput{UserName: user, Tags: tags}))
		ok(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: new(letIn), Tags: tags}))
		ok(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: group}))
		made, err := c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: policy, PolicyDocument: new(allow), Tags: tags})
		ok(nil, err)
		ok(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: u0, PolicyArn: made.Policy.Arn}))
		ok(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: r0, PolicyArn: made.Policy.Arn}))
		ok(c.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: g0, PolicyArn: made.Policy.Arn}))
		ok(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: u0, PolicyName: policy, PolicyDocument: new(allow)}))
		ok(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: r0, PolicyName: policy, PolicyDocument: new(allow)}))
		ok(c.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: g0, PolicyName: policy, PolicyDocument: new(allow)}))
		if n > 0 {
			ok(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: new("arn:aws:iam::111122223333:policy/p0"), PolicyDocument: new(allow)}))
			ok(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: g0, UserName: user}))
		}
		ok(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: group, UserName: u0}))
		ok(c.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: device, Tags: tags}))
		ok(c.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: device, RoleName: r0}))
		ok(c.UploadServerCertificate(ctx, &iam.UploadServerCertificateInput{ServerCertificateName: device, CertificateBody: &cert, PrivateKey: &key, Tags: tags}))
		ok(c.UploadSSHPublicKey(ctx, &iam.UploadSSHPublicKeyInput{UserName: u0, SSHPublicKeyBody: publicKey(t)}))
		phone, err := c.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: device, Tags: tags})
		ok(nil, err)
		seed, at := phone.VirtualMFADevice.Base32StringSeed, time.Now()
		ok(c.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{UserName: u0, SerialNumber: phone.VirtualMFADevice.SerialNumber, AuthenticationCode1: totp(t, seed, at.Add(-30*time.Second)), AuthenticationCode2: totp(t, seed, at)}))
	}
	for range 2 {
		signing, _ := selfSigned(t)
		ok(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: u0}))
		ok(c.UploadSigningCertificate(ctx, &iam.UploadSigningCertificateInput{UserName: u0, CertificateBody: &signing}))
	}
}

// populated is IAM over the wire, for the root user of an account that has something
// of everything.
func populated(t *testing.T) *iam.Client {
	dir := t.TempDir()
	s, err := server.Open(t.Context(), server.Config{Data: filepath.Join(dir, "data"), RootKey: filepath.Join(dir, "root.key"), Init: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	a, err := s.CreateAccount(t.Context(), server.NewAccount{ID: "111122223333", Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	c := iam.NewFromConfig(client(serve(t, s), a.AccessKeyID, a.SecretAccessKey, ""))
	populate(t, c)
	return c
}

// Everything that IAM lists in pages, the SDK's paginators walk through, one item at a
// time, without losing any or seeing one twice.
func TestIAMPages(t *testing.T) {
	c := populated(t)
	u0, r0, g0, d0, p0 := new("u0"), new("r0"), new("g0"), new("d0"), new("arn:aws:iam::111122223333:policy/p0")
	oidc, saml, device := new("arn:aws:iam::111122223333:oidc-provider/example.com"), new("arn:aws:iam::111122223333:saml-provider/s"), new("arn:aws:iam::111122223333:mfa/d0")
	user, actions := new("arn:aws:iam::111122223333:user/u0"), []string{"kms:Encrypt", "kms:Decrypt", "rds:CreateDBCluster", "iam:GetUser", "s3:GetObject"}
	type walk func(context.Context) ([]string, int, error)
	for name, tt := range map[string]struct {
		one, all walk
		want     int
	}{
		"GetAccountAuthorizationDetails": {pages(iam.NewGetAccountAuthorizationDetailsPaginator(c, &iam.GetAccountAuthorizationDetailsInput{MaxItems: new(int32(1))})), pages(iam.NewGetAccountAuthorizationDetailsPaginator(c, &iam.GetAccountAuthorizationDetailsInput{})), 20},
		"GetGroup":                       {pages(iam.NewGetGroupPaginator(c, &iam.GetGroupInput{GroupName: g0, MaxItems: new(int32(1))})), pages(iam.NewGetGroupPaginator(c, &iam.GetGroupInput{GroupName: g0})), 5},
		"ListAccessKeys":                 {pages(iam.NewListAccessKeysPaginator(c, &iam.ListAccessKeysInput{UserName: u0, MaxItems: new(int32(1))})), pages(iam.NewListAccessKeysPaginator(c, &iam.ListAccessKeysInput{UserName: u0})), 2},
		"ListAccountAliases":             {pages(iam.NewListAccountAliasesPaginator(c, &iam.ListAccountAliasesInput{MaxItems: new(int32(1))})), pages(iam.NewListAccountAliasesPaginator(c, &iam.ListAccountAliasesInput{})), 1},
		"ListAttachedGroupPolicies":      {pages(iam.NewListAttachedGroupPoliciesPaginator(c, &iam.ListAttachedGroupPoliciesInput{GroupName: g0, MaxItems: new(int32(1))})), pages(iam.NewListAttachedGroupPoliciesPaginator(c, &iam.ListAttachedGroupPoliciesInput{GroupName: g0})), 5},
		"ListAttachedRolePolicies":       {pages(iam.NewListAttachedRolePoliciesPaginator(c, &iam.ListAttachedRolePoliciesInput{RoleName: r0, MaxItems: new(int32(1))})), pages(iam.NewListAttachedRolePoliciesPaginator(c, &iam.ListAttachedRolePoliciesInput{RoleName: r0})), 5},
		"ListAttachedUserPolicies":       {pages(iam.NewListAttachedUserPoliciesPaginator(c, &iam.ListAttachedUserPoliciesInput{UserName: u0, MaxItems: new(int32(1))})), pages(iam.NewListAttachedUserPoliciesPaginator(c, &iam.ListAttachedUserPoliciesInput{UserName: u0})), 5},
		"ListEntitiesForPolicy":          {pages(iam.NewListEntitiesForPolicyPaginator(c, &iam.ListEntitiesForPolicyInput{PolicyArn: p0, MaxItems: new(int32(1))})), pages(iam.NewListEntitiesForPolicyPaginator(c, &iam.ListEntitiesForPolicyInput{PolicyArn: p0})), 3},
		"ListGroupPolicies":              {pages(iam.NewListGroupPoliciesPaginator(c, &iam.ListGroupPoliciesInput{GroupName: g0, MaxItems: new(int32(1))})), pages(iam.NewListGroupPoliciesPaginator(c, &iam.ListGroupPoliciesInput{GroupName: g0})), 5},
		"ListGroups":                     {pages(iam.NewListGroupsPaginator(c, &iam.ListGroupsInput{MaxItems: new(int32(1))})), pages(iam.NewListGroupsPaginator(c, &iam.ListGroupsInput{})), 5},
		"ListGroupsForUser":              {pages(iam.NewListGroupsForUserPaginator(c, &iam.ListGroupsForUserInput{UserName: u0, MaxItems: new(int32(1))})), pages(iam.NewListGroupsForUserPaginator(c, &iam.ListGroupsForUserInput{UserName: u0})), 5},
		"ListInstanceProfileTags":        {pages(iam.NewListInstanceProfileTagsPaginator(c, &iam.ListInstanceProfileTagsInput{InstanceProfileName: d0, MaxItems: new(int32(1))})), pages(iam.NewListInstanceProfileTagsPaginator(c, &iam.ListInstanceProfileTagsInput{InstanceProfileName: d0})), 5},
		"ListInstanceProfiles":           {pages(iam.NewListInstanceProfilesPaginator(c, &iam.ListInstanceProfilesInput{MaxItems: new(int32(1))})), pages(iam.NewListInstanceProfilesPaginator(c, &iam.ListInstanceProfilesInput{})), 5},
		"ListInstanceProfilesForRole":    {pages(iam.NewListInstanceProfilesForRolePaginator(c, &iam.ListInstanceProfilesForRoleInput{RoleName: r0, MaxItems: new(int32(1))})), pages(iam.NewListInstanceProfilesForRolePaginator(c, &iam.ListInstanceProfilesForRoleInput{RoleName: r0})), 5},
		"ListMFADeviceTags":              {pages(iam.NewListMFADeviceTagsPaginator(c, &iam.ListMFADeviceTagsInput{SerialNumber: device, MaxItems: new(int32(1))})), pages(iam.NewListMFADeviceTagsPaginator(c, &iam.ListMFADeviceTagsInput{SerialNumber: device})), 5},
		"ListMFADevices":                 {pages(iam.NewListMFADevicesPaginator(c, &iam.ListMFADevicesInput{UserName: u0, MaxItems: new(int32(1))})), pages(iam.NewListMFADevicesPaginator(c, &iam.ListMFADevicesInput{UserName: u0})), 5},
		"ListOpenIDConnectProviderTags":  {pages(iam.NewListOpenIDConnectProviderTagsPaginator(c, &iam.ListOpenIDConnectProviderTagsInput{OpenIDConnectProviderArn: oidc, MaxItems: new(int32(1))})), pages(iam.NewListOpenIDConnectProviderTagsPaginator(c, &iam.ListOpenIDConnectProviderTagsInput{OpenIDConnectProviderArn: oidc})), 5},
		"ListPolicies":                   {pages(iam.NewListPoliciesPaginator(c, &iam.ListPoliciesInput{Scope: "Local", MaxItems: new(int32(1))})), pages(iam.NewListPoliciesPaginator(c, &iam.ListPoliciesInput{Scope: "Local"})), 5},
		"ListPolicyTags":                 {pages(iam.NewListPolicyTagsPaginator(c, &iam.ListPolicyTagsInput{PolicyArn: p0, MaxItems: new(int32(1))})), pages(iam.NewListPolicyTagsPaginator(c, &iam.ListPolicyTagsInput{PolicyArn: p0})), 5},
		"ListPolicyVersions":             {pages(iam.NewListPolicyVersionsPaginator(c, &iam.ListPolicyVersionsInput{PolicyArn: p0, MaxItems: new(int32(1))})), pages(iam.NewListPolicyVersionsPaginator(c, &iam.ListPolicyVersionsInput{PolicyArn: p0})), 5},
		"ListRolePolicies":               {pages(iam.NewListRolePoliciesPaginator(c, &iam.ListRolePoliciesInput{RoleName: r0, MaxItems: new(int32(1))})), pages(iam.NewListRolePoliciesPaginator(c, &iam.ListRolePoliciesInput{RoleName: r0})), 5},
		"ListRoleTags":                   {pages(iam.NewListRoleTagsPaginator(c, &iam.ListRoleTagsInput{RoleName: r0, MaxItems: new(int32(1))})), pages(iam.NewListRoleTagsPaginator(c, &iam.ListRoleTagsInput{RoleName: r0})), 5},
		"ListRoles":                      {pages(iam.NewListRolesPaginator(c, &iam.ListRolesInput{MaxItems: new(int32(1))})), pages(iam.NewListRolesPaginator(c, &iam.ListRolesInput{})), 5},
		"ListSAMLProviderTags":           {pages(iam.NewListSAMLProviderTagsPaginator(c, &iam.ListSAMLProviderTagsInput{SAMLProviderArn: saml, MaxItems: new(int32(1))})), pages(iam.NewListSAMLProviderTagsPaginator(c, &iam.ListSAMLProviderTagsInput{SAMLProviderArn: saml})), 5},
		"ListSSHPublicKeys":              {pages(iam.NewListSSHPublicKeysPaginator(c, &iam.ListSSHPublicKeysInput{UserName: u0, MaxItems: new(int32(1))})), pages(iam.NewListSSHPublicKeysPaginator(c, &iam.ListSSHPublicKeysInput{UserName: u0})), 5},
		"ListServerCertificateTags":      {pages(iam.NewListServerCertificateTagsPaginator(c, &iam.ListServerCertificateTagsInput{ServerCertificateName: d0, MaxItems: new(int32(1))})), pages(iam.NewListServerCertificateTagsPaginator(c, &iam.ListServerCertificateTagsInput{ServerCertificateName: d0})), 5},
		"ListServerCertificates":         {pages(iam.NewListServerCertificatesPaginator(c, &iam.ListServerCertificatesInput{MaxItems: new(int32(1))})), pages(iam.NewListServerCertificatesPaginator(c, &iam.ListServerCertificatesInput{})), 5},
		"ListSigningCertificates":        {pages(iam.NewListSigningCertificatesPaginator(c, &iam.ListSigningCertificatesInput{UserName: u0, MaxItems: new(int32(1))})), pages(iam.NewListSigningCertificatesPaginator(c, &iam.ListSigningCertificatesInput{UserName: u0})), 2},
		"ListUserPolicies":               {pages(iam.NewListUserPoliciesPaginator(c, &iam.ListUserPoliciesInput{UserName: u0, MaxItems: new(int32(1))})), pages(iam.NewListUserPoliciesPaginator(c, &iam.ListUserPoliciesInput{UserName: u0})), 5},
		"ListUserTags":                   {pages(iam.NewListUserTagsPaginator(c, &iam.ListUserTagsInput{UserName: u0, MaxItems: new(int32(1))})), pages(iam.NewListUserTagsPaginator(c, &iam.ListUserTagsInput{UserName: u0})), 5},
		"ListUsers":                      {pages(iam.NewListUsersPaginator(c, &iam.ListUsersInput{MaxItems: new(int32(1))})), pages(iam.NewListUsersPaginator(c, &iam.ListUsersInput{})), 5},
		"ListVirtualMFADevices":          {pages(iam.NewListVirtualMFADevicesPaginator(c, &iam.ListVirtualMFADevicesInput{MaxItems: new(int32(1))})), pages(iam.NewListVirtualMFADevicesPaginator(c, &iam.ListVirtualMFADevicesInput{})), 5},
		"SimulateCustomPolicy":           {pages(iam.NewSimulateCustomPolicyPaginator(c, &iam.SimulateCustomPolicyInput{ActionNames: actions, PolicyInputList: []string{allow}, MaxItems: new(int32(1))})), pages(iam.NewSimulateCustomPolicyPaginator(c, &iam.SimulateCustomPolicyInput{ActionNames: actions, PolicyInputList: []string{allow}})), 5},
		"SimulatePrincipalPolicy":        {pages(iam.NewSimulatePrincipalPolicyPaginator(c, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: user, ActionNames: actions, MaxItems: new(int32(1))})), pages(iam.NewSimulatePrincipalPolicyPaginator(c, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: user, ActionNames: actions})), 5},
	} {
		t.Run(name, func(t *testing.T) {
			one, most, err := tt.one(t.Context())
			all, _, aerr := tt.all(t.Context())
			if err != nil || aerr != nil || most != 1 || len(one) != tt.want || !slices.Equal(one, all) && name != "GetAccountAuthorizationDetails" {
				t.Errorf("by one (at most %d, %v):\n%s\nat once (%v):\n%s\nwant %d", most, err, strings.Join(one, "\n"), aerr, strings.Join(all, "\n"), tt.want)
			}
			slices.Sort(one)
			slices.Sort(all)
			if !slices.Equal(one, all) || len(slices.Compact(one)) != tt.want {
				t.Error("some came twice, or others were left out")
			}
			delete(paged, name)
		})
	}
	if len(paged) > 0 {
		t.Errorf("not tried: %v", paged)
	}
}

// paged are the operations that answer in pages. The SDK has no paginators for
// those that are left out.
var paged = func() map[string]bool {
	all := map[string]bool{}
	for name, op := range identity.Ops {
		if _, ok := reflect.TypeOf(op.New()).Elem().FieldByName("Marker"); ok {
			all[name] = true
		}
	}
	for _, name := range []string{"GetServiceLastAccessedDetails", "GetServiceLastAccessedDetailsWithEntities", "ListPoliciesGrantingServiceAccess", "ListServiceSpecificCredentials"} {
		delete(all, name)
	}
	return all
}()
