package organizations_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/cloud"
	orgs "borealis/internal/organizations"
)

// ids are what a stranger may name.
type ids struct{ root, unit, account, policy, handshake, request string }

// fill gives the members of an input that the API requires values that are good.
func fill(in any, on ids) any {
	v := reflect.ValueOf(in).Elem()
	texts := map[string]string{
		"RootId": on.root, "ParentId": on.root, "SourceParentId": on.root, "DestinationParentId": on.unit, "OrganizationalUnitId": on.unit,
		"ChildId": on.account, "AccountId": on.account, "TargetId": on.account, "ResourceId": on.account, "PolicyId": on.policy,
		"HandshakeId": on.handshake, "CreateAccountRequestId": on.request, "Name": "name", "Description": "", "Content": allowAll,
		"AccountName": "name", "Email": "name@example.com", "ServicePrincipal": "config.amazonaws.com",
	}
	for name, text := range texts {
		if f := v.FieldByName(name); f.Kind() == reflect.Pointer {
			f.Set(reflect.ValueOf(&text))
		}
	}
	for name, text := range map[string]string{"Type": string(orgs.ServiceControl), "Filter": string(orgs.ServiceControl), "PolicyType": string(orgs.ServiceControl), "ChildType": "ACCOUNT"} {
		if f := v.FieldByName(name); f.Kind() == reflect.String {
			f.SetString(text)
		}
	}
	if f := v.FieldByName("Target"); f.IsValid() {
		f.Set(reflect.ValueOf(&types.HandshakeParty{Type: types.HandshakePartyTypeAccount, Id: &on.account}))
	}
	if f := v.FieldByName("Tags"); f.IsValid() {
		f.Set(reflect.ValueOf([]types.Tag{{Key: new("k"), Value: new("v")}}))
	}
	if f := v.FieldByName("TagKeys"); f.IsValid() {
		f.Set(reflect.ValueOf([]string{"k"}))
	}
	return in
}

// A stranger may do nothing, whatever there is, and does not learn what there is.
// New operations join this test by being in Ops.
func TestEveryOpIsAuthorized(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	root := w.founded()
	w.joined(accountB)
	w.joined(accountD)
	h := ok2(w.as(accountA).InviteAccountToOrganization(ctx, invite(accountC)))(t)
	car := ok2(w.as(accountA).CreateAccount(ctx, &organizations.CreateAccountInput{AccountName: new("x"), Email: new("x@example.com")}))(t)
	there := ids{root, w.unit(root, "u"), string(accountD), w.policy("p", allowAll), *h.Handshake.Id, *car.CreateAccountStatus.Id}
	gone := ids{root, "ou-" + root[2:] + "-00000000", "999988887777", "p-00000000", "h-00000000", "car-00000000"}
	callers := map[string]cloud.Caller{"nobody": {Account: accountA}, "a service": cloud.ServiceCaller("rds.amazonaws.com", "us-east-1")}
	for a, name := range map[cloud.AccountID]string{accountA: "of the management account", accountB: "of a member", accountC: "of another account"} {
		out := ok2(w.iam.As(ok2(w.iam.Caller(ctx, string(a)))(t)).CreateUser(ctx, &iam.CreateUserInput{UserName: new("eve")}))(t)
		callers[name] = ok2(w.iam.Caller(ctx, *out.User.UserId))(t)
	}
	for name, op := range orgs.Ops {
		for who, c := range callers {
			message := func(on ids) string {
				_, err := op.Run(ctx, w.As(c), fill(op.New(), on))
				if !errors.Is(err, cloud.ErrDenied) {
					t.Errorf("%s as %s: %v, want ErrDenied", name, who, err)
					return ""
				}
				if e := w.journal.last(); e.Allowed || e.Caller.ARN != c.ARN || e.Action != "organizations:"+name {
					t.Errorf("%s as %s: on record is %+v", name, who, e)
				}
				return strings.NewReplacer(on.unit, "U", on.account, "A", on.policy, "P", on.handshake, "H").Replace(err.Error())
			}
			a, b := message(there), message(gone)
			if a != b && !strings.Contains(name, "Handshake") {
				t.Errorf("%s tells %s what there is: %q, %q", name, who, a, b)
			}
		}
	}
	if n := len(ok2(w.as(accountA).ListAccounts(ctx, &organizations.ListAccountsInput{}))(t).Accounts); n != 3 {
		t.Errorf("%d accounts are left", n)
	}
}

// Administrators of accounts may ask what their account's place lets them ask.
func TestStandings(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	alone := "Your account is not a member of an organization."
	refusal := "You don't have permissions to access this resource."
	_, err := w.as(accountA).DescribeOrganization(ctx, nil)
	refused(t, err, "AWSOrganizationsNotInUseException", "", alone)
	root := w.founded()
	w.joined(accountB)
	b, in := w.as(accountB), &organizations.ListAccountsInput{}
	if o := ok2(b.DescribeOrganization(ctx, nil))(t).Organization; *o.MasterAccountId != string(accountA) || o.FeatureSet != types.OrganizationFeatureSetAll {
		t.Errorf("organization %+v", o)
	}
	_, err = b.ListAccounts(ctx, in)
	refused(t, err, "AccessDeniedException", "", refusal)
	if e := w.journal.last(); e.Allowed || e.Action != "organizations:ListAccounts" {
		t.Errorf("on record is %+v", e)
	}
	_, err = b.CreateOrganization(ctx, &organizations.CreateOrganizationInput{})
	refused(t, err, "AlreadyInOrganizationException", "", "The AWS account is already a member of an organization.")
	_, err = w.as(accountC).ListAccounts(ctx, in)
	refused(t, err, "AWSOrganizationsNotInUseException", "", alone)

	a, service := w.as(accountA), new("config.amazonaws.com")
	register := &organizations.RegisterDelegatedAdministratorInput{AccountId: new(string(accountB)), ServicePrincipal: service}
	_, err = a.RegisterDelegatedAdministrator(ctx, register)
	refused(t, err, "ConstraintViolationException", "SERVICE_ACCESS_NOT_ENABLED", "You must enable service access before you delegate an administrator for this service. Call the AWS API EnableAWSServiceAccess first.")
	ok(t)(a.EnableAWSServiceAccess(ctx, &organizations.EnableAWSServiceAccessInput{ServicePrincipal: service}))
	ok(t)(a.EnableAWSServiceAccess(ctx, &organizations.EnableAWSServiceAccessInput{ServicePrincipal: service}))
	_, err = a.EnableAWSServiceAccess(ctx, &organizations.EnableAWSServiceAccessInput{ServicePrincipal: new("config")})
	refused(t, err, "InvalidInputException", "UNRECOGNIZED_SERVICE_PRINCIPAL", "You specified an unrecognized service principal.")
	ok(t)(a.RegisterDelegatedAdministrator(ctx, register))
	_, err = a.RegisterDelegatedAdministrator(ctx, register)
	refused(t, err, "AccountAlreadyRegisteredException", "", "")
	if got := ok2(b.ListAccounts(ctx, in))(t).Accounts; len(got) != 2 {
		t.Errorf("%d accounts", len(got))
	}
	_, err = b.CreateOrganizationalUnit(ctx, &organizations.CreateOrganizationalUnitInput{ParentId: &root, Name: new("u")})
	refused(t, err, "AccessDeniedException", "", refusal)
	_, err = a.RemoveAccountFromOrganization(ctx, &organizations.RemoveAccountFromOrganizationInput{AccountId: new(string(accountB))})
	refused(t, err, "ConstraintViolationException", "CANNOT_REMOVE_DELEGATED_ADMINISTRATOR_FROM_ORG", "")
	admins := ok2(a.ListDelegatedAdministrators(ctx, &organizations.ListDelegatedAdministratorsInput{}))(t).DelegatedAdministrators
	services := ok2(a.ListDelegatedServicesForAccount(ctx, &organizations.ListDelegatedServicesForAccountInput{AccountId: new(string(accountB))}))(t).DelegatedServices
	if len(admins) != 1 || *admins[0].Name != "beta" || len(services) != 1 || *services[0].ServicePrincipal != *service {
		t.Errorf("administrators %+v for %+v", admins, services)
	}
	ok(t)(a.DeregisterDelegatedAdministrator(ctx, &organizations.DeregisterDelegatedAdministratorInput{AccountId: register.AccountId, ServicePrincipal: service}))
	_, err = b.ListAccounts(ctx, in)
	refused(t, err, "AccessDeniedException", "", refusal)
	_, err = a.LeaveOrganization(ctx, nil)
	refused(t, err, "MasterCannotLeaveOrganizationException", "", "")
	_, err = a.DeleteOrganization(ctx, nil)
	refused(t, err, "OrganizationNotEmptyException", "", "To delete an organization you must first remove all member accounts (except the master).")
	ok(t)(b.LeaveOrganization(ctx, nil))
	ok(t)(a.DeleteOrganization(ctx, nil))
	_, err = a.DescribeOrganization(ctx, nil)
	refused(t, err, "AWSOrganizationsNotInUseException", "", alone)
}

// A service control policy binds what members ask of Organizations, too.
func TestMembersMayNotLeave(t *testing.T) {
	w := newWorld(t)
	root := w.founded()
	w.joined(accountB)
	id := w.policy("stay", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"organizations:LeaveOrganization","Resource":"*"}]}`)
	ok(t)(nil, w.attach(id, root))
	_, err := w.as(accountB).LeaveOrganization(t.Context(), nil)
	refused(t, err, "AccessDeniedException", "", "User: arn:aws:iam::"+string(accountB)+":root is not authorized to perform: organizations:LeaveOrganization on resource: * with an explicit deny in a service control policy")
	ok(t)(nil, w.detach(id, root))
	ok(t)(w.as(accountB).LeaveOrganization(t.Context(), nil))
	if m := w.says(accountB); m.Organization != "" || m.ServiceControl.Levels != nil {
		t.Errorf("membership %+v", m)
	}
}
