package organizations

import (
	"cmp"
	"context"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/cloud"
)

// servicePrincipal is how services are called. Which there are is not known here.
var servicePrincipal = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com$`)

func unrecognized(service string) error {
	if servicePrincipal.MatchString(service) {
		return nil
	}
	return invalidInput(types.InvalidInputExceptionReasonUnrecognizedServicePrincipal, "You specified an unrecognized service principal.")
}

// about is what an operation on a service is asked with.
func about(arn, service string) resource {
	on := resource{arn: arn}
	if service != "" {
		on.context = with(nil, "organizations:ServicePrincipal", service)
	}
	return on
}

// EnableAWSServiceAccess notes that a service may look into the organization.
func (v *View) EnableAWSServiceAccess(ctx context.Context, in *organizations.EnableAWSServiceAccessInput) (*organizations.EnableAWSServiceAccessOutput, error) {
	return &organizations.EnableAWSServiceAccessOutput{}, v.change(ctx, func(r *request) error {
		service := *in.ServicePrincipal
		err := r.authorize("organizations:EnableAWSServiceAccess", management, about("*", service))
		if bad := unrecognized(service); err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		err = addItem(r, Item{Organization: r.org.ID, Kind: ServiceItem, ID: service}, grant{service, r.Now().UTC()})
		return or(err, cloud.ErrExists, nil)
	})
}

// DisableAWSServiceAccess takes that back.
func (v *View) DisableAWSServiceAccess(ctx context.Context, in *organizations.DisableAWSServiceAccessInput) (*organizations.DisableAWSServiceAccessOutput, error) {
	return &organizations.DisableAWSServiceAccessOutput{}, v.change(ctx, func(r *request) error {
		service := *in.ServicePrincipal
		err := r.authorize("organizations:DisableAWSServiceAccess", management, about("*", service))
		if bad := unrecognized(service); err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		return or(r.DeleteItem(r.org.ID, ServiceItem, service), cloud.ErrNotFound, nil)
	})
}

// ListAWSServiceAccessForOrganization lists the services that may.
func (v *View) ListAWSServiceAccessForOrganization(ctx context.Context, in *organizations.ListAWSServiceAccessForOrganizationInput) (*organizations.ListAWSServiceAccessForOrganizationOutput, error) {
	out := &organizations.ListAWSServiceAccessForOrganizationOutput{EnabledServicePrincipals: []types.EnabledServicePrincipal{}}
	return out, v.read(ctx, func(r *request) error {
		p, bad := newPage("services", in.NextToken, in.MaxResults)
		if err := r.authorize("organizations:ListAWSServiceAccessForOrganization", delegate); err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		all, err := r.Items(r.org.ID, ServiceItem, p.after, p.limit+1)
		if err != nil {
			return err
		}
		all, out.NextToken = cut(p, all, itemID)
		for _, i := range all {
			g, err := body[grant](i)
			if err != nil {
				return err
			}
			out.EnabledServicePrincipals = append(out.EnabledServicePrincipals, types.EnabledServicePrincipal{ServicePrincipal: &g.Service, DateEnabled: &g.Since})
		}
		return nil
	})
}

// delegation is the item that an account administers for a service.
func (r *request) delegation(account, service string) Item {
	return Item{Organization: r.org.ID, Kind: DelegationItem, ID: account + "/" + service, Account: cloud.AccountID(account)}
}

// delegated finds the account of a delegation, for an operation on it.
func (r *request) delegated(action string, who standing, account, service string) (Node, error) {
	n, on, err := r.find(account)
	if err != nil {
		return n, err
	}
	if service != "" {
		on.context = with(on.context, "organizations:ServicePrincipal", service)
	}
	err = r.authorize(action, who, on)
	switch {
	case err != nil:
		return n, err
	case service != "" && unrecognized(service) != nil:
		return n, unrecognized(service)
	case n.Kind != Account:
		return n, noAccount()
	case account == string(r.org.Management):
		return n, constraint(types.ConstraintViolationExceptionReasonCannotRegisterMasterAsDelegatedAdministrator, "You cannot register master account/yourself as delegated administrator for your organization.")
	}
	return n, nil
}

// RegisterDelegatedAdministrator lets an account administer for a service, and so
// look into the organization.
func (v *View) RegisterDelegatedAdministrator(ctx context.Context, in *organizations.RegisterDelegatedAdministratorInput) (*organizations.RegisterDelegatedAdministratorOutput, error) {
	return &organizations.RegisterDelegatedAdministratorOutput{}, v.change(ctx, func(r *request) error {
		n, err := r.delegated("organizations:RegisterDelegatedAdministrator", management, *in.AccountId, *in.ServicePrincipal)
		if err != nil {
			return err
		}
		if !n.Closed.IsZero() {
			return constraint(types.ConstraintViolationExceptionReasonCannotRegisterSuspendedAccountAsDelegatedAdministrator, "You cannot register a suspended account as a delegated administrator.")
		}
		_, err = r.Item(r.org.ID, ServiceItem, *in.ServicePrincipal)
		if err != nil {
			return or(err, cloud.ErrNotFound, constraint(types.ConstraintViolationExceptionReasonServiceAccessNotEnabled, "You must enable service access before you delegate an administrator for this service. Call the AWS API EnableAWSServiceAccess first."))
		}
		err = addItem(r, r.delegation(n.ID, *in.ServicePrincipal), grant{*in.ServicePrincipal, r.Now().UTC()})
		return or(err, cloud.ErrExists, &types.AccountAlreadyRegisteredException{Message: new("The provided account is already a delegated administrator for your organization.")})
	})
}

func notRegistered() error {
	return &types.AccountNotRegisteredException{Message: new("The provided account is not a registered delegated administrator for your organization.")}
}

// DeregisterDelegatedAdministrator takes that back.
func (v *View) DeregisterDelegatedAdministrator(ctx context.Context, in *organizations.DeregisterDelegatedAdministratorInput) (*organizations.DeregisterDelegatedAdministratorOutput, error) {
	return &organizations.DeregisterDelegatedAdministratorOutput{}, v.change(ctx, func(r *request) error {
		n, err := r.delegated("organizations:DeregisterDelegatedAdministrator", management, *in.AccountId, *in.ServicePrincipal)
		if err != nil {
			return err
		}
		return or(r.DeleteItem(r.org.ID, DelegationItem, r.delegation(n.ID, *in.ServicePrincipal).ID), cloud.ErrNotFound, notRegistered())
	})
}

// ListDelegatedAdministrators lists the accounts that administer for a service, or
// for any.
func (v *View) ListDelegatedAdministrators(ctx context.Context, in *organizations.ListDelegatedAdministratorsInput) (*organizations.ListDelegatedAdministratorsOutput, error) {
	out := &organizations.ListDelegatedAdministratorsOutput{DelegatedAdministrators: []types.DelegatedAdministrator{}}
	return out, v.read(ctx, func(r *request) error {
		service := ""
		if in.ServicePrincipal != nil {
			service = *in.ServicePrincipal
		}
		p, bad := newPage("administrators "+service, in.NextToken, in.MaxResults)
		if err := r.authorize("organizations:ListDelegatedAdministrators", delegate, about("*", service)); err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		all, err := r.Items(r.org.ID, DelegationItem, p.after, p.limit+1)
		if err != nil {
			return err
		}
		last, _, _ := strings.Cut(p.after, "/")
		all, out.NextToken = cut(p, all, itemID)
		for _, i := range all { // a page may be short, or empty
			g, err := body[grant](i)
			if err != nil {
				return err
			}
			if service != "" && g.Service != service || service == "" && string(i.Account) == last {
				continue
			}
			last = string(i.Account)
			a, err := r.administrator(i, g)
			if err != nil {
				return err
			}
			out.DelegatedAdministrators = append(out.DelegatedAdministrators, a)
		}
		return nil
	})
}

func (r *request) administrator(i Item, g grant) (types.DelegatedAdministrator, error) {
	n, err := r.Node(string(i.Account))
	if err != nil {
		return types.DelegatedAdministrator{}, err
	}
	a, err := r.account(n)
	return types.DelegatedAdministrator{
		Id: a.Id, Arn: a.Arn, Name: a.Name, Email: a.Email, Status: a.Status, State: a.State, JoinedMethod: a.JoinedMethod,
		JoinedTimestamp: a.JoinedTimestamp, DelegationEnabledDate: &g.Since,
	}, err
}

// ListDelegatedServicesForAccount lists the services that an account administers for.
func (v *View) ListDelegatedServicesForAccount(ctx context.Context, in *organizations.ListDelegatedServicesForAccountInput) (*organizations.ListDelegatedServicesForAccountOutput, error) {
	out := &organizations.ListDelegatedServicesForAccountOutput{DelegatedServices: []types.DelegatedService{}}
	return out, v.read(ctx, func(r *request) error {
		p, bad := newPage("delegated "+*in.AccountId, in.NextToken, in.MaxResults)
		n, err := r.delegated("organizations:ListDelegatedServicesForAccount", delegate, *in.AccountId, "")
		if err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		all, err := r.ItemsOf(cloud.AccountID(n.ID), DelegationItem, p.after, p.limit+1)
		if err != nil {
			return err
		}
		if len(all) == 0 && p.after == "" {
			return notRegistered()
		}
		all, out.NextToken = cut(p, all, itemID)
		for _, i := range all {
			g, err := body[grant](i)
			if err != nil {
				return err
			}
			out.DelegatedServices = append(out.DelegatedServices, types.DelegatedService{ServicePrincipal: &g.Service, DelegationEnabledDate: &g.Since})
		}
		return nil
	})
}
