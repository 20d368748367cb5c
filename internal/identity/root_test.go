package identity_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
	"borealis/internal/identity"
)

// A root user signs in with the password that the operator set, and with the code of
// its device once it has one.
func TestRootSignsIn(t *testing.T) {
	w := newWorld(t)
	now := noon
	w.Now = func() time.Time { return now }
	ctx, root := t.Context(), w.root(accountA)
	in := identity.SignIn{Account: string(accountA), Password: goodPassword}
	if _, err := w.SignIn(ctx, in); !errors.Is(err, identity.ErrSignIn) {
		t.Errorf("before there is a password: %v", err)
	}
	if err := w.SetRootPassword(ctx, accountA, "short"); !strings.HasPrefix(code(err), "PasswordPolicyViolation: ") {
		t.Errorf("a short password: %v", err)
	}
	if err := w.SetRootPassword(ctx, "999999999999", goodPassword); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("of no account: %v", err)
	}
	// Passwords of users have a policy, which is not for the root user.
	must(root.UpdateAccountPasswordPolicy(ctx, &iam.UpdateAccountPasswordPolicyInput{MinimumPasswordLength: new(int32(100)), MaxPasswordAge: new(int32(1)), HardExpiry: new(true)}))(t)
	for _, password := range []string{"Another-Horse-2", goodPassword} {
		if err := w.SetRootPassword(ctx, accountA, password); err != nil {
			t.Fatal(err)
		}
	}
	now = now.AddDate(1, 0, 0)
	w.open() // the password survives
	w.Now = func() time.Time { return now }
	root = w.root(accountA)
	got, err := w.SignIn(ctx, in)
	if err != nil || got.Caller.Kind != cloud.Root || got.Caller.ARN != "arn:aws:iam::111122223333:root" || got.MustChange || got.Caller.MFA {
		t.Errorf("SignIn: %+v, %v", got, err)
	}
	if _, err := w.SignIn(ctx, identity.SignIn{Account: string(accountB), Password: goodPassword}); !errors.Is(err, identity.ErrSignIn) {
		t.Errorf("as another account's root user: %v", err)
	}
	if u := must(root.GetUser(ctx, &iam.GetUserInput{}))(t).User; u.PasswordLastUsed == nil {
		t.Error("the password was not used")
	}

	phone := w.device("root-account-mfa-device")
	if err := w.enable(phone, string(accountA), now); err != nil {
		t.Fatal(err)
	}
	ann := w.As(w.user(accountA, "ann", anything))
	if _, err := ann.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: new(string(accountA)), SerialNumber: &phone.serial}); !strings.HasPrefix(code(err), "NoSuchEntity: ") {
		t.Errorf("a user takes the root user's device away: %v", err)
	}
	now = now.Add(time.Minute)
	if _, err := w.SignIn(ctx, in); !errors.Is(err, identity.ErrCodeNeeded) {
		t.Errorf("without a code: %v", err)
	}
	in.Code = *phone.code(now)
	if got, err := w.SignIn(ctx, in); err != nil || !got.Caller.MFA {
		t.Errorf("with a code: %+v, %v", got, err)
	}
	m := must(root.GetAccountSummary(ctx, nil))(t).SummaryMap
	if m["AccountPasswordPresent"] != 1 || m["AccountMFAEnabled"] != 1 || m["AccountSigningCertificatesPresent"] != 0 {
		t.Errorf("summary: %v", m)
	}
	if list := must(root.ListMFADevices(ctx, &iam.ListMFADevicesInput{}))(t).MFADevices; len(list) != 1 || *list[0].SerialNumber != phone.serial {
		t.Errorf("ListMFADevices: %+v", list)
	}
	if list := must(root.ListVirtualMFADevices(ctx, &iam.ListVirtualMFADevicesInput{}))(t).VirtualMFADevices; *list[0].User.Arn != "arn:aws:iam::111122223333:root" {
		t.Errorf("ListVirtualMFADevices: %+v", list)
	}
	must(root.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{SerialNumber: &phone.serial}))(t)
	if got, err := w.SignIn(ctx, identity.SignIn{Account: string(accountA), Password: goodPassword}); err != nil || got.Caller.MFA {
		t.Errorf("without the device: %+v, %v", got, err)
	}
}

// rsaPEM is a new private key.
func rsaPEM(t *testing.T) (*rsa.PrivateKey, *string) {
	key := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	return key, new(string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
}

func TestSAMLPrivateKeys(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	document := metadata(t, "")
	first, firstPEM := rsaPEM(t)
	second, secondPEM := rsaPEM(t)
	curve := certify(t, nil, "x", time.Now(), time.Now().Add(time.Hour)).keyPEM(t)
	required := types.AssertionEncryptionModeTypeRequired
	for _, tt := range []struct {
		name string
		in   iam.CreateSAMLProviderInput
		want string
	}{
		{"what is no key", iam.CreateSAMLProviderInput{AddPrivateKey: new("k")}, "InvalidInput: Unable to parse private key"},
		{"a curve", iam.CreateSAMLProviderInput{AddPrivateKey: &curve}, "InvalidInput: Unable to parse private key"},
		{"encryption without a key", iam.CreateSAMLProviderInput{AssertionEncryptionMode: required}, "InvalidInput: A provider whose assertions must be encrypted must have a private key."},
	} {
		tt.in.Name, tt.in.SAMLMetadataDocument = new("x"), &document
		if _, err := root.CreateSAMLProvider(ctx, &tt.in); code(err) != tt.want {
			t.Errorf("%s: %q", tt.name, code(err))
		}
	}
	arn := must(root.CreateSAMLProvider(ctx, &iam.CreateSAMLProviderInput{Name: new("x"), SAMLMetadataDocument: &document, AddPrivateKey: firstPEM, AssertionEncryptionMode: required}))(t).SAMLProviderArn
	update := func(in iam.UpdateSAMLProviderInput) string {
		in.SAMLProviderArn = arn
		_, err := root.UpdateSAMLProvider(ctx, &in)
		return code(err)
	}
	is := func(want ...*rsa.PrivateKey) []types.SAMLPrivateKey {
		t.Helper()
		keys := must(w.SAMLPrivateKeys(ctx, *arn))(t)
		said := must(root.GetSAMLProvider(ctx, &iam.GetSAMLProviderInput{SAMLProviderArn: arn}))(t)
		if len(keys) != len(want) || len(said.PrivateKeyList) != len(want) || said.AssertionEncryptionMode != required || *said.SAMLMetadataDocument != document {
			t.Fatalf("%d keys, and %+v", len(keys), said)
		}
		for _, k := range want {
			if !k.Equal(keys[0]) && !k.Equal(keys[len(keys)-1]) {
				t.Error("a key is missing")
			}
		}
		return said.PrivateKeyList
	}
	old := is(first)[0].KeyId
	if got := update(iam.UpdateSAMLProviderInput{RemovePrivateKey: old}); !strings.HasPrefix(got, "InvalidInput: ") {
		t.Errorf("remove the last: %q", got)
	}
	if got := update(iam.UpdateSAMLProviderInput{AddPrivateKey: secondPEM}); got != "" {
		t.Error(got)
	}
	is(first, second)
	if got := update(iam.UpdateSAMLProviderInput{AddPrivateKey: secondPEM}); got != "LimitExceeded: Cannot exceed quota for PrivateKeysPerSAMLProvider: 2" {
		t.Errorf("a third: %q", got)
	}
	if got := update(iam.UpdateSAMLProviderInput{RemovePrivateKey: old}); got != "" {
		t.Error(got)
	}
	is(second)
	if got := update(iam.UpdateSAMLProviderInput{RemovePrivateKey: old}); got != "NoSuchEntity: Private key "+*old+" cannot be found." {
		t.Errorf("again: %q", got)
	}
	must(root.DeleteSAMLProvider(ctx, &iam.DeleteSAMLProviderInput{SAMLProviderArn: arn}))(t)
	if _, err := w.SAMLPrivateKeys(ctx, *arn); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("of a provider that is gone: %v", err)
	}
}
