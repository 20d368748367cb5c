package identity_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
	"borealis/internal/identity"
)

const trustsA = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}]}`

// fill gives the members of an input that the API requires, and some more,
// values that are good but for what name stands for.
func fill(in any, name string) any {
	v := reflect.ValueOf(in).Elem()
	for i := range v.NumField() {
		f, field := v.Field(i), v.Type().Field(i).Name
		if !f.CanSet() {
			continue
		}
		switch field {
		case "PolicyDocument":
			f.Set(reflect.ValueOf(new(anything)))
		case "AssumeRolePolicyDocument":
			f.Set(reflect.ValueOf(new(trustsA)))
		case "PolicyArn", "PermissionsBoundary":
			f.Set(reflect.ValueOf(new("arn:aws:iam::" + string(accountA) + ":policy/" + name)))
		case "UserName", "RoleName", "GroupName", "PolicyName", "Description":
			f.Set(reflect.ValueOf(&name))
		case "NewUserName", "NewGroupName":
			f.Set(reflect.ValueOf(new("renamed")))
		case "AccessKeyId":
			f.Set(reflect.ValueOf(new("AKIAIOSFODNN7EXAMPLE")))
		case "AccountAlias":
			f.Set(reflect.ValueOf(new("alias")))
		case "VersionId":
			f.Set(reflect.ValueOf(new("v1")))
		case "Password", "OldPassword", "NewPassword":
			f.Set(reflect.ValueOf(new("Correct-Horse-1")))
		case "SerialNumber":
			f.Set(reflect.ValueOf(new("arn:aws:iam::" + string(accountA) + ":mfa/" + name)))
		case "VirtualMFADeviceName":
			f.Set(reflect.ValueOf(&name))
		case "InstanceProfileName", "Name":
			f.Set(reflect.ValueOf(&name))
		case "AWSServiceName":
			f.Set(reflect.ValueOf(new("rds.amazonaws.com")))
		case "DeletionTaskId":
			f.Set(reflect.ValueOf(new("task/aws-service-role/rds.amazonaws.com/" + name + "/1")))
		case "Url":
			f.Set(reflect.ValueOf(new("https://" + name)))
		case "ClientID":
			f.Set(reflect.ValueOf(new("client")))
		case "OpenIDConnectProviderArn":
			f.Set(reflect.ValueOf(new("arn:aws:iam::" + string(accountA) + ":oidc-provider/" + name)))
		case "SAMLProviderArn":
			f.Set(reflect.ValueOf(new("arn:aws:iam::" + string(accountA) + ":saml-provider/" + name)))
		case "SAMLMetadataDocument":
			f.Set(reflect.ValueOf(new("<EntityDescriptor/>")))
		case "AuthenticationCode1", "AuthenticationCode2":
			f.Set(reflect.ValueOf(new("123456")))
		case "Arn":
			f.Set(reflect.ValueOf(new("arn:aws:iam::" + string(accountA) + ":user/" + name)))
		case "PolicySourceArn":
			f.Set(reflect.ValueOf(new("arn:aws:iam::" + string(accountA) + ":user/" + name)))
		case "ActionNames":
			f.Set(reflect.ValueOf([]string{"kms:Decrypt"}))
		case "PolicyInputList":
			f.Set(reflect.ValueOf([]string{anything}))
		case "ServerCertificateName", "NewServerCertificateName":
			f.Set(reflect.ValueOf(&name))
		case "SSHPublicKeyBody", "CertificateBody", "PrivateKey":
			f.Set(reflect.ValueOf(new("not PEM")))
		case "SSHPublicKeyId", "CertificateId", "ServiceSpecificCredentialId":
			f.Set(reflect.ValueOf(new("ACCAIOSFODNN7EXAMPLE1")))
		case "ServiceName":
			f.Set(reflect.ValueOf(new("codecommit.amazonaws.com")))
		case "JobId":
			f.Set(reflect.ValueOf(new("00000000-0000-4000-8000-000000000000")))
		case "ServiceNamespace":
			f.Set(reflect.ValueOf(new("kms")))
		case "Tags":
			f.Set(reflect.ValueOf([]types.Tag{{Key: new("k"), Value: new("v")}}))
		case "TagKeys":
			f.Set(reflect.ValueOf([]string{"k"}))
		}
	}
	return in
}

// A stranger may do nothing, whatever there is, and does not learn what there
// is. New operations join this test by being in Ops.
func TestEveryOpIsAuthorized(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("there")}))(t)
	must(root.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("there")}))(t)
	must(root.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("there"), AssumeRolePolicyDocument: new(trustsA)}))(t)
	must(root.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("there"), PolicyDocument: new(anything)}))(t)
	must(root.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("there")}))(t)
	must(root.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: new("there")}))(t)
	must(root.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: new("https://there")}))(t)
	eve := w.user(accountA, "eve", "")
	foreign := w.user(accountB, "fay", anything)
	before := must(root.GetAccountSummary(ctx, nil))(t).SummaryMap
	for name, op := range identity.Ops {
		message := func(c cloud.Caller, on string) string {
			_, err := op.Run(ctx, w.As(c), fill(op.New(), on))
			if !errors.Is(err, cloud.ErrDenied) {
				t.Errorf("%s on %q as %q: %v, want ErrDenied", name, on, c.ARN, err)
				return ""
			}
			if e := w.journal.last(); e.Allowed || e.Caller.ARN != c.ARN || e.Action != "iam:"+name {
				t.Errorf("%s as %q: on record is %+v", name, c.ARN, e)
			}
			return code(err)
		}
		there, gone := message(eve, "there"), message(eve, "gone")
		if strings.ReplaceAll(there, "there", "gone") != gone {
			t.Errorf("%s tells what there is: %q, %q", name, there, gone)
		}
		if want := "AccessDenied: User: " + eve.ARN + " is not authorized to perform: iam:" + name + " on resource: "; !strings.HasPrefix(there, want) ||
			!strings.HasSuffix(there, " because no identity-based policy allows the iam:"+name+" action") {
			t.Errorf("%s says %q", name, there)
		}
		message(cloud.Caller{Account: accountA}, "there")
		message(cloud.ServiceCaller("rds.amazonaws.com", "eu-west-1"), "there")
		in := op.New()
		if _, ok := reflect.TypeOf(in).Elem().FieldByName("PolicyArn"); ok && reflect.ValueOf(in).Elem().FieldByName("UserName").Kind() == reflect.Invalid &&
			!strings.Contains(name, "Role") && !strings.Contains(name, "Group") {
			message(foreign, "there") // a policy's ARN is the one way to name another account's
		}
	}
	if d := cmpDiff(before, must(root.GetAccountSummary(ctx, nil))(t).SummaryMap); d != "" {
		t.Errorf("strangers changed something:\n%s", d)
	}
}

// What is not on record is not done.
func TestNoRecordNoChange(t *testing.T) {
	w := newWorld(t)
	root := w.root(accountA)
	w.journal.fail = errors.New("disk full")
	if _, err := root.CreateUser(t.Context(), &iam.CreateUserInput{UserName: new("ann")}); !errors.Is(err, w.journal.fail) {
		t.Errorf("CreateUser without a record: %v", err)
	}
	w.journal.fail = nil
	if _, err := root.GetUser(t.Context(), &iam.GetUserInput{UserName: new("ann")}); !strings.HasPrefix(code(err), "NoSuchEntity") {
		t.Errorf("GetUser: %v", err)
	}
}
