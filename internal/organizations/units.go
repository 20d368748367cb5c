package organizations

import (
	"cmp"
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/cloud"
)

// Quotas of units.
const (
	maxUnits = 2000
	maxDepth = 5 // units above one another
)

// lineage are n's ancestors and n itself, from the root on.
func (r *request) lineage(n Node) ([]Node, error) {
	all := []Node{n}
	for n.Parent != "" {
		var err error
		if n, err = r.Node(n.Parent); err != nil {
			return nil, err
		}
		all = append([]Node{n}, all...)
	}
	return all, nil
}

// path is n's place: the ids from the organization's on, a slash after each.
func (r *request) path(n Node) (string, error) {
	all, err := r.lineage(n)
	path := n.Organization + "/"
	for _, n := range all {
		path += n.ID + "/"
	}
	return path, err
}

// unit is n in the words of the wire.
func (r *request) unit(n Node) (*types.OrganizationalUnit, error) {
	path, err := r.path(n)
	return &types.OrganizationalUnit{Id: &n.ID, Arn: new(r.org.arnOf(n.ID)), Name: &n.Name, Path: &path}, err
}

// CreateOrganizationalUnit makes a unit below the root or another unit.
func (v *View) CreateOrganizationalUnit(ctx context.Context, in *organizations.CreateOrganizationalUnitInput) (*organizations.CreateOrganizationalUnitOutput, error) {
	out := &organizations.CreateOrganizationalUnitOutput{}
	return out, v.change(ctx, func(r *request) error {
		tags, bad := newTags(in.Tags)
		parent, on, err := r.find(*in.ParentId)
		if err != nil {
			return err
		}
		on.context = asked(on.context, tags)
		err = r.authorizeNew("organizations:CreateOrganizationalUnit", management, tags, on)
		switch {
		case err != nil:
			return err
		case bad != nil:
			return bad
		case parent.ID == "":
			return noParent()
		}
		above, err := r.lineage(parent)
		if err != nil {
			return err
		}
		count, err := r.CountNodes(r.org.ID, Unit)
		switch {
		case err != nil:
			return err
		case len(above) > maxDepth:
			return constraint(types.ConstraintViolationExceptionReasonOuDepthLimitExceeded, "You have exceeded the number of levels of OUs that are allowed in the organization.")
		case count >= maxUnits:
			return constraint(types.ConstraintViolationExceptionReasonOuNumberLimitExceeded, "You have exceeded the number of OUs that are allowed in the organization.")
		}
		root := above[0]
		n := Node{ID: unitID(root.ID), Organization: r.org.ID, Kind: Unit, Parent: parent.ID, Name: *in.Name, Tags: tags}
		if err := r.AddNode(n); err != nil {
			return or(err, cloud.ErrExists, duplicateUnit())
		}
		if err := attachFull(r, root, n); err != nil {
			return err
		}
		out.OrganizationalUnit, err = r.unit(n)
		return err
	})
}

// UpdateOrganizationalUnit gives a unit another name, if one is given.
func (v *View) UpdateOrganizationalUnit(ctx context.Context, in *organizations.UpdateOrganizationalUnitInput) (*organizations.UpdateOrganizationalUnitOutput, error) {
	out := &organizations.UpdateOrganizationalUnitOutput{}
	return out, v.change(ctx, func(r *request) error {
		n, err := r.target("organizations:UpdateOrganizationalUnit", management, Unit, *in.OrganizationalUnitId, noUnit())
		if err != nil {
			return err
		}
		if in.Name != nil {
			n.Name = *in.Name
		}
		if err := r.PutNode(n); err != nil {
			return or(err, cloud.ErrExists, duplicateUnit())
		}
		out.OrganizationalUnit, err = r.unit(n)
		return err
	})
}

// DescribeOrganizationalUnit describes a unit.
func (v *View) DescribeOrganizationalUnit(ctx context.Context, in *organizations.DescribeOrganizationalUnitInput) (*organizations.DescribeOrganizationalUnitOutput, error) {
	out := &organizations.DescribeOrganizationalUnitOutput{}
	return out, v.read(ctx, func(r *request) error {
		n, err := r.target("organizations:DescribeOrganizationalUnit", delegate, Unit, *in.OrganizationalUnitId, noUnit())
		if err != nil {
			return err
		}
		out.OrganizationalUnit, err = r.unit(n)
		return err
	})
}

// DeleteOrganizationalUnit deletes a unit in which there is nothing.
func (v *View) DeleteOrganizationalUnit(ctx context.Context, in *organizations.DeleteOrganizationalUnitInput) (*organizations.DeleteOrganizationalUnitOutput, error) {
	return &organizations.DeleteOrganizationalUnitOutput{}, v.change(ctx, func(r *request) error {
		n, err := r.target("organizations:DeleteOrganizationalUnit", management, Unit, *in.OrganizationalUnitId, noUnit())
		if err != nil {
			return err
		}
		for _, k := range []Kind{Unit, Account} {
			all, err := r.Nodes(r.org.ID, k, n.ID, "", 1)
			if err != nil {
				return err
			}
			if len(all) > 0 {
				return &types.OrganizationalUnitNotEmptyException{Message: new("The specified OU is not empty. Move all accounts to another root or to other OUs, remove all child OUs, and try the operation again.")}
			}
		}
		return remove(r, n)
	})
}

// remove takes a node with nothing below it out of the tree.
func remove(tx Tx, n Node) error {
	if err := tx.DetachAll(n.Organization, n.ID, ""); err != nil {
		return err
	}
	return tx.DeleteNode(n.ID)
}

// below lists the nodes of kind k below parent.
func (r *request) below(action string, k Kind, parent string, token *string, limit *int32) ([]Node, *string, error) {
	p, bad := newPage(strings.Join([]string{action, string(k), parent}, " "), token, limit)
	n, on, err := r.find(parent)
	if err != nil {
		return nil, nil, err
	}
	err = r.authorize(action, delegate, on)
	switch {
	case err != nil:
		return nil, nil, err
	case bad != nil:
		return nil, nil, bad
	case n.Kind != Root && n.Kind != Unit:
		return nil, nil, noParent()
	}
	all, err := r.Nodes(r.org.ID, k, parent, p.after, p.limit+1)
	all, next := cut(p, all, nodeID)
	return all, next, err
}

// ListOrganizationalUnitsForParent lists the units right below a node.
func (v *View) ListOrganizationalUnitsForParent(ctx context.Context, in *organizations.ListOrganizationalUnitsForParentInput) (*organizations.ListOrganizationalUnitsForParentOutput, error) {
	out := &organizations.ListOrganizationalUnitsForParentOutput{OrganizationalUnits: []types.OrganizationalUnit{}}
	return out, v.read(ctx, func(r *request) error {
		all, next, err := r.below("organizations:ListOrganizationalUnitsForParent", Unit, *in.ParentId, in.NextToken, in.MaxResults)
		out.NextToken = next
		for _, n := range all {
			u, err := r.unit(n)
			if err != nil {
				return err
			}
			out.OrganizationalUnits = append(out.OrganizationalUnits, *u)
		}
		return err
	})
}

// ListChildren lists the units or the accounts right below a node.
func (v *View) ListChildren(ctx context.Context, in *organizations.ListChildrenInput) (*organizations.ListChildrenOutput, error) {
	out := &organizations.ListChildrenOutput{Children: []types.Child{}}
	return out, v.read(ctx, func(r *request) error {
		all, next, err := r.below("organizations:ListChildren", Kind(in.ChildType), *in.ParentId, in.NextToken, in.MaxResults)
		out.NextToken = next
		for _, n := range all {
			out.Children = append(out.Children, types.Child{Id: &n.ID, Type: in.ChildType})
		}
		return err
	})
}

// ListParents lists the one node right above a unit or an account.
func (v *View) ListParents(ctx context.Context, in *organizations.ListParentsInput) (*organizations.ListParentsOutput, error) {
	out := &organizations.ListParentsOutput{Parents: []types.Parent{}}
	return out, v.read(ctx, func(r *request) error {
		p, bad := newPage("parents "+*in.ChildId, in.NextToken, in.MaxResults)
		n, on, err := r.find(*in.ChildId)
		if err != nil {
			return err
		}
		err = r.authorize("organizations:ListParents", delegate, on)
		switch {
		case err != nil || bad != nil:
			return cmp.Or(err, bad)
		case n.Parent == "":
			return noChild()
		case n.Parent > p.after:
			out.Parents = append(out.Parents, types.Parent{Id: &n.Parent, Type: types.ParentType(kindOf(n.Parent))})
		}
		return nil
	})
}
