package server_test

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what RFC 6238 wants
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"borealis/internal/server"
)

// totp is what an app with a seed shows at a time.
func totp(t *testing.T, seed []byte, at time.Time) *string {
	t.Helper()
	key, err := base32.StdEncoding.DecodeString(string(seed))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, at.Unix()/30) // a hash takes all there is
	sum := mac.Sum(nil)
	return new(fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1000000))
}

// A user's password, device and keys, and what IAM knows of their use, with the
// SDK's clients.
func TestCredentialsOverTheWire(t *testing.T) {
	dir := t.TempDir()
	s, err := server.Open(t.Context(), server.Config{Data: filepath.Join(dir, "data"), RootKey: filepath.Join(dir, "root.key"), Init: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	ctx := t.Context()
	a, err := s.CreateAccount(ctx, server.NewAccount{ID: "111122223333", Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, s)
	people := iam.NewFromConfig(client(url, a.AccessKeyID, a.SecretAccessKey, ""))
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	_, err = people.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")})
	check("CreateUser", err)
	key, err := people.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("ann")})
	check("CreateAccessKey", err)
	_, err = people.UpdateAccountPasswordPolicy(ctx, &iam.UpdateAccountPasswordPolicyInput{MinimumPasswordLength: new(int32(12)), RequireNumbers: true, AllowUsersToChangePassword: true})
	check("UpdateAccountPasswordPolicy", err)
	_, err = people.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: new("ann"), Password: new("short")})
	if e, ok := errors.AsType[*types.PasswordPolicyViolationException](err); !ok || !strings.HasPrefix(e.ErrorMessage(), "Password should have a minimum length of 12") {
		t.Errorf("CreateLoginProfile: %v", err)
	}
	_, err = people.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: new("ann"), Password: new("correct horse 1")})
	check("CreateLoginProfile", err)

	ann := client(url, *key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	_, err = iam.NewFromConfig(ann).ChangePassword(ctx, &iam.ChangePasswordInput{OldPassword: new("correct horse 1"), NewPassword: new("another horse 2")})
	check("ChangePassword", err)

	d, err := people.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("phone")})
	check("CreateVirtualMFADevice", err)
	now, seed := time.Now(), d.VirtualMFADevice.Base32StringSeed
	_, err = people.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{
		UserName: new("ann"), SerialNumber: d.VirtualMFADevice.SerialNumber,
		AuthenticationCode1: totp(t, seed, now.Add(-60*time.Second)), AuthenticationCode2: totp(t, seed, now.Add(-30*time.Second)),
	})
	check("EnableMFADevice", err)
	// Alone, a user of a device may look at keys; the device's clock is a step behind.
	only := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}}`
	_, err = people.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("ann"), PolicyName: new("p"), PolicyDocument: &only})
	check("PutUserPolicy", err)
	_, err = kms.NewFromConfig(ann).ListKeys(ctx, nil)
	if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != "AccessDeniedException" {
		t.Errorf("ListKeys without a second factor: %v", err)
	}
	session, err := sts.NewFromConfig(ann).GetSessionToken(ctx, &sts.GetSessionTokenInput{SerialNumber: d.VirtualMFADevice.SerialNumber, TokenCode: totp(t, seed, now)})
	check("GetSessionToken", err)
	c := session.Credentials
	_, err = kms.NewFromConfig(client(url, *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)).ListKeys(ctx, nil)
	check("ListKeys with a second factor", err)
	_, err = people.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("ann"), PolicyName: new("q"), PolicyDocument: new(strings.Replace(only, "kms:ListKeys", "iam:ListUsers", 1))})
	check("PutUserPolicy", err)
	_, err = iam.NewFromConfig(client(url, *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)).ListUsers(ctx, nil)
	check("IAM with a second factor", err)
	for who, creds := range map[string]aws.Config{"ann": ann, "root": client(url, a.AccessKeyID, a.SecretAccessKey, "")} {
		session, err := sts.NewFromConfig(creds).GetSessionToken(ctx, nil)
		check("GetSessionToken", err)
		c := session.Credentials
		_, err = iam.NewFromConfig(client(url, *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)).ListUsers(ctx, nil)
		if err == nil || !strings.HasSuffix(err.Error(), "api error InvalidClientTokenId: The security token included in the request is invalid.") {
			t.Errorf("IAM as a session of %s without a second factor: %v", who, err)
		}
	}

	used, err := people.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: key.AccessKey.AccessKeyId})
	check("GetAccessKeyLastUsed", err)
	if u := used.AccessKeyLastUsed; u.LastUsedDate == nil || *u.ServiceName != "sts" || *u.Region != "eu-west-1" {
		t.Errorf("GetAccessKeyLastUsed: %+v", u)
	}
	_, err = people.GenerateCredentialReport(ctx, nil)
	check("GenerateCredentialReport", err)
	report, err := people.GetCredentialReport(ctx, nil)
	check("GetCredentialReport", err)
	if !strings.Contains(string(report.Content), "\nann,arn:aws:iam::111122223333:user/ann,") {
		t.Errorf("GetCredentialReport:\n%s", report.Content)
	}
	all, err := people.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{})
	check("GetAccountAuthorizationDetails", err)
	if len(all.UserDetailList) != 1 || !strings.HasPrefix(*all.UserDetailList[0].UserPolicyList[0].PolicyDocument, "%7B%22Version%22") {
		t.Errorf("GetAccountAuthorizationDetails: %+v", all.UserDetailList)
	}
	_, err = people.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: new("rds.amazonaws.com")})
	check("CreateServiceLinkedRole", err)
	_, err = people.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("AWSServiceRoleForRDS")})
	if _, ok := errors.AsType[*types.UnmodifiableEntityException](err); !ok {
		t.Errorf("DeleteRole of a service-linked role: %v", err)
	}
	_, err = people.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: new("p")})
	check("CreateInstanceProfile", err)
	p, err := people.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: new("https://id.example.com"), ClientIDList: []string{"c"}})
	check("CreateOpenIDConnectProvider", err)
	got, err := people.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: p.OpenIDConnectProviderArn})
	check("GetOpenIDConnectProvider", err)
	if *got.Url != "id.example.com" || len(got.ClientIDList) != 1 {
		t.Errorf("GetOpenIDConnectProvider: %+v", got)
	}
	summary, err := people.GetAccountSummary(ctx, nil)
	check("GetAccountSummary", err)
	for name, want := range map[string]int32{"Users": 1, "Roles": 1, "MFADevices": 1, "MFADevicesInUse": 1, "InstanceProfiles": 1, "Providers": 1, "UsersQuota": 5000} {
		if summary.SummaryMap[name] != want {
			t.Errorf("%s: %d, want %d", name, summary.SummaryMap[name], want)
		}
	}
}
