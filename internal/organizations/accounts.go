package organizations

import (
	"cmp"
	"context"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/cloud"
)

// account is n in the words of the wire.
func (r *request) account(n Node) (types.Account, error) {
	path, err := r.path(n)
	out := types.Account{
		Id: &n.ID, Arn: new(r.org.arnOf(n.ID)), Name: &n.Name, Email: known(n.Email), JoinedTimestamp: &n.Joined,
		JoinedMethod: types.AccountJoinedMethodCreated, Status: types.AccountStatusActive, State: types.AccountStateActive, Paths: []string{path},
	}
	if n.Invited {
		out.JoinedMethod = types.AccountJoinedMethodInvited
	}
	if !n.Closed.IsZero() {
		out.Status, out.State = types.AccountStatusSuspended, types.AccountStateSuspended
	}
	return out, err
}

func (r *request) accounts(all []Node) ([]types.Account, error) {
	out := []types.Account{}
	for _, n := range all {
		a, err := r.account(n)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// DescribeAccount describes an account.
func (v *View) DescribeAccount(ctx context.Context, in *organizations.DescribeAccountInput) (*organizations.DescribeAccountOutput, error) {
	out := &organizations.DescribeAccountOutput{}
	return out, v.read(ctx, func(r *request) error {
		n, err := r.target("organizations:DescribeAccount", delegate, Account, *in.AccountId, noAccount())
		if err != nil {
			return err
		}
		a, err := r.account(n)
		out.Account = &a
		return err
	})
}

// ListAccounts lists all accounts of the organization.
func (v *View) ListAccounts(ctx context.Context, in *organizations.ListAccountsInput) (*organizations.ListAccountsOutput, error) {
	out := &organizations.ListAccountsOutput{}
	return out, v.read(ctx, func(r *request) error {
		p, bad := newPage("accounts", in.NextToken, in.MaxResults)
		if err := r.authorize("organizations:ListAccounts", delegate); err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		all, err := r.Nodes(r.org.ID, Account, "", p.after, p.limit+1)
		if err != nil {
			return err
		}
		all, out.NextToken = cut(p, all, nodeID)
		out.Accounts, err = r.accounts(all)
		return err
	})
}

// ListAccountsForParent lists the accounts right below a node.
func (v *View) ListAccountsForParent(ctx context.Context, in *organizations.ListAccountsForParentInput) (*organizations.ListAccountsForParentOutput, error) {
	out := &organizations.ListAccountsForParentOutput{}
	return out, v.read(ctx, func(r *request) error {
		all, next, err := r.below("organizations:ListAccountsForParent", Account, *in.ParentId, in.NextToken, in.MaxResults)
		if err != nil {
			return err
		}
		out.NextToken = next
		out.Accounts, err = r.accounts(all)
		return err
	})
}

// MoveAccount puts an account below another node.
func (v *View) MoveAccount(ctx context.Context, in *organizations.MoveAccountInput) (*organizations.MoveAccountOutput, error) {
	return &organizations.MoveAccountOutput{}, v.change(ctx, func(r *request) error {
		n, on, err := r.find(*in.AccountId)
		if err != nil {
			return err
		}
		from, onFrom, err := r.find(*in.SourceParentId)
		if err != nil {
			return err
		}
		to, onTo, err := r.find(*in.DestinationParentId)
		if err != nil {
			return err
		}
		err = r.authorize("organizations:MoveAccount", management, on, onFrom, onTo)
		switch {
		case err != nil:
			return err
		case n.Kind != Account:
			return noAccount()
		case from.ID == "":
			return &types.SourceParentNotFoundException{Message: new("You specified a source parent that doesn't exist.")}
		case to.ID == "":
			return &types.DestinationParentNotFoundException{Message: new("You specified a destination parent that doesn't exist.")}
		case n.Parent != from.ID: // in AWS's words, too
			return noAccount()
		case from.ID == to.ID:
			return &types.DuplicateAccountException{Message: new("That account is already present in the specified destination.")}
		}
		n.Parent = to.ID
		return r.PutNode(n)
	})
}

// RemoveAccountFromOrganization makes an account stand alone.
func (v *View) RemoveAccountFromOrganization(ctx context.Context, in *organizations.RemoveAccountFromOrganizationInput) (*organizations.RemoveAccountFromOrganizationOutput, error) {
	return &organizations.RemoveAccountFromOrganizationOutput{}, v.change(ctx, func(r *request) error {
		n, err := r.target("organizations:RemoveAccountFromOrganization", management, Account, *in.AccountId, noAccount())
		if err != nil {
			return err
		}
		return r.dismiss(n)
	})
}

// LeaveOrganization makes the caller's account stand alone.
func (v *View) LeaveOrganization(ctx context.Context, _ *organizations.LeaveOrganizationInput) (*organizations.LeaveOrganizationOutput, error) {
	return &organizations.LeaveOrganizationOutput{}, v.change(ctx, func(r *request) error {
		if err := r.authorize("organizations:LeaveOrganization", member); err != nil {
			return err
		}
		n, err := r.Node(string(r.caller.Account))
		if err != nil {
			return err
		}
		return r.dismiss(n)
	})
}

// dismiss takes an account out of the organization.
func (r *request) dismiss(n Node) error {
	id := cloud.AccountID(n.ID)
	switch {
	case id == r.org.Management:
		return managesIt()
	case !n.Closed.IsZero():
		return &types.ConflictException{Message: new("You can't remove an account that is closed from the organization.")}
	}
	tasks, err := r.ItemsOf(id, DelegationItem, "", 1)
	if err != nil {
		return err
	}
	if len(tasks) > 0 {
		return constraint(types.ConstraintViolationExceptionReasonCannotRemoveDelegatedAdministratorFromOrg, "You cannot remove an account that is a delegated administrator for a service from the organization.")
	}
	return remove(r, n)
}
