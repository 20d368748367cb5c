package organizations

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/cloud"
)

// rootName is what every root is called.
const rootName = "Root"

// organization is the caller's organization in the words of the wire.
func (r *request) organization() (*types.Organization, error) {
	o := r.org
	n, err := r.Node(string(o.Management))
	out := &types.Organization{
		Id: &o.ID, Arn: new(o.arn("organization/" + o.ID)), FeatureSet: types.OrganizationFeatureSetConsolidatedBilling,
		MasterAccountId: new(n.ID), MasterAccountArn: new(o.arnOf(n.ID)), MasterAccountEmail: known(n.Email),
		AvailablePolicyTypes: []types.PolicyTypeSummary{},
	}
	if o.AllFeatures {
		out.FeatureSet = types.OrganizationFeatureSetAll
		// It says so of this type whatever the root has, and of no other.
		out.AvailablePolicyTypes = append(out.AvailablePolicyTypes, enabled(ServiceControl))
	}
	return out, err
}

// known is s, or nil if it is empty.
func known(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func enabled(t PolicyType) types.PolicyTypeSummary {
	return types.PolicyTypeSummary{Type: types.PolicyType(t), Status: types.PolicyTypeStatusEnabled}
}

// root is a root in the words of the wire.
func (o Organization) root(n Node) types.Root {
	out := types.Root{Id: &n.ID, Arn: new(o.arnOf(n.ID)), Name: &n.Name, PolicyTypes: []types.PolicyTypeSummary{}}
	for _, t := range n.Enabled {
		out.PolicyTypes = append(out.PolicyTypes, enabled(t))
	}
	return out
}

// CreateOrganization makes an organization that the caller's account manages.
func (v *View) CreateOrganization(ctx context.Context, in *organizations.CreateOrganizationInput) (*organizations.CreateOrganizationOutput, error) {
	who, unknown := v.Accounts.Member(ctx, v.caller.Account)
	out := &organizations.CreateOrganizationOutput{}
	return out, v.change(ctx, func(r *request) error {
		if err := r.authorize("organizations:CreateOrganization", anybody); err != nil || unknown != nil {
			return cmp.Or(err, unknown)
		}
		if r.org.ID != "" {
			return &types.AlreadyInOrganizationException{Message: new("The AWS account is already a member of an organization.")}
		}
		o := Organization{
			ID: "o-" + random(10), Management: r.caller.Account, Created: r.Now().UTC(),
			AllFeatures: in.FeatureSet != types.OrganizationFeatureSetConsolidatedBilling,
		}
		if err := r.AddOrganization(o); err != nil {
			return err
		}
		root, err := r.newRoot(o)
		if err != nil {
			return err
		}
		// AWS, too, says of the first account that it was invited.
		if err := r.join(root, Node{ID: string(o.Management), Organization: o.ID, Name: who.Name, Email: who.Email, Joined: o.Created, Invited: true}); err != nil {
			return err
		}
		r.org = o
		out.Organization, err = r.organization()
		return err
	})
}

// newRoot gives o a root. Their ids are so short that some are taken.
func (r *request) newRoot(o Organization) (Node, error) {
	for length := 4; ; length++ {
		n := Node{ID: "r-" + random(length), Organization: o.ID, Kind: Root, Name: rootName}
		if o.AllFeatures {
			n.Enabled = []PolicyType{ServiceControl}
		}
		err := r.AddNode(n)
		if errors.Is(err, cloud.ErrExists) {
			continue
		}
		if err != nil {
			return n, err
		}
		return n, attachFull(r, n, n)
	}
}

// attachFull attaches AWS's own policies of the types that root has to n.
func attachFull(tx Tx, root, n Node) error {
	for _, t := range root.Enabled {
		if err := tx.Attach(Attachment{n.Organization, n.ID, rules[t].full.ID, t}); err != nil {
			return err
		}
	}
	return nil
}

// join makes n an account below root.
func (r *request) join(root, n Node) error { return join(r, root, n) }

func join(tx Tx, root, n Node) error {
	n.Kind, n.Parent = Account, root.ID
	if err := tx.AddNode(n); err != nil {
		return err
	}
	return attachFull(tx, root, n)
}

// rootOf is an organization's root.
func rootOf(tx Tx, organization string) (Node, error) {
	all, err := tx.Nodes(organization, Root, "", "", 1)
	if err == nil && len(all) == 0 {
		err = cloud.ErrNotFound
	}
	if err != nil {
		return Node{}, err
	}
	return all[0], nil
}

// DescribeOrganization describes the organization that the caller's account is in.
func (v *View) DescribeOrganization(ctx context.Context, _ *organizations.DescribeOrganizationInput) (*organizations.DescribeOrganizationOutput, error) {
	out := &organizations.DescribeOrganizationOutput{}
	return out, v.read(ctx, func(r *request) (err error) {
		if err := r.authorize("organizations:DescribeOrganization", member); err != nil {
			return err
		}
		out.Organization, err = r.organization()
		return err
	})
}

// DeleteOrganization deletes an organization that has no accounts left but the
// one that manages it.
func (v *View) DeleteOrganization(ctx context.Context, _ *organizations.DeleteOrganizationInput) (*organizations.DeleteOrganizationOutput, error) {
	return &organizations.DeleteOrganizationOutput{}, v.change(ctx, func(r *request) error {
		if err := r.authorize("organizations:DeleteOrganization", management); err != nil {
			return err
		}
		accounts, err := r.CountNodes(r.org.ID, Account)
		if err != nil {
			return err
		}
		coming, err := r.underWay(r.org.ID)
		switch {
		case err != nil:
			return err
		case accounts > 1 || len(coming) > 0:
			return &types.OrganizationNotEmptyException{Message: new("To delete an organization you must first remove all member accounts (except the master).")}
		}
		return r.Tx.DeleteOrganization(r.org.ID)
	})
}

// ListRoots lists the organization's only root.
func (v *View) ListRoots(ctx context.Context, in *organizations.ListRootsInput) (*organizations.ListRootsOutput, error) {
	out := &organizations.ListRootsOutput{Roots: []types.Root{}}
	return out, v.read(ctx, func(r *request) error {
		p, bad := newPage("roots", in.NextToken, in.MaxResults)
		if err := r.authorize("organizations:ListRoots", delegate); err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		all, err := r.Nodes(r.org.ID, Root, "", p.after, p.limit+1)
		all, out.NextToken = cut(p, all, nodeID)
		for _, n := range all {
			out.Roots = append(out.Roots, r.org.root(n))
		}
		return err
	})
}

func nodeID(n Node) string { return n.ID }

// unavailable says that the organization has no policies of that type.
func unavailable() error {
	return &types.PolicyTypeNotAvailableForOrganizationException{Message: new("You can't use the specified policy type with the feature set currently enabled for this organization.")}
}

// EnablePolicyType puts a type of policy in force: at first, AWS's own is
// attached everywhere.
func (v *View) EnablePolicyType(ctx context.Context, in *organizations.EnablePolicyTypeInput) (*organizations.EnablePolicyTypeOutput, error) {
	out := &organizations.EnablePolicyTypeOutput{}
	return out, v.change(ctx, func(r *request) error {
		root, err := r.switched("organizations:EnablePolicyType", *in.RootId, in.PolicyType)
		if err != nil {
			return err
		}
		t := PolicyType(in.PolicyType)
		if _, served := rules[t]; !served || !r.org.AllFeatures {
			return unavailable()
		}
		if slices.Contains(root.Enabled, t) {
			return &types.PolicyTypeAlreadyEnabledException{Message: new("The specified policy type is already enabled.")}
		}
		root.Enabled = append(root.Enabled, t)
		out.Root = new(r.org.root(root))
		if err := r.PutNode(root); err != nil {
			return err
		}
		return r.everyNode(func(n Node) error {
			return r.Attach(Attachment{r.org.ID, n.ID, rules[t].full.ID, t})
		})
	})
}

// DisablePolicyType puts a type of policy out of force, and detaches all of that
// type.
func (v *View) DisablePolicyType(ctx context.Context, in *organizations.DisablePolicyTypeInput) (*organizations.DisablePolicyTypeOutput, error) {
	out := &organizations.DisablePolicyTypeOutput{}
	return out, v.change(ctx, func(r *request) error {
		root, err := r.switched("organizations:DisablePolicyType", *in.RootId, in.PolicyType)
		if err != nil {
			return err
		}
		i := slices.Index(root.Enabled, PolicyType(in.PolicyType))
		if i < 0 {
			return notEnabled()
		}
		root.Enabled = slices.Delete(root.Enabled, i, i+1)
		out.Root = new(r.org.root(root))
		if err := r.PutNode(root); err != nil {
			return err
		}
		return r.DetachAll(r.org.ID, "", PolicyType(in.PolicyType))
	})
}

func notEnabled() error {
	return &types.PolicyTypeNotEnabledException{Message: new("This operation can be performed only for enabled policy types.")}
}

// switched is the root whose types of policy are to be switched.
func (r *request) switched(action, id string, t types.PolicyType) (Node, error) {
	n, on, err := r.find(id)
	if err != nil {
		return n, err
	}
	on.context = with(on.context, "organizations:PolicyType", string(t))
	if err := r.authorize(action, management, on); err != nil {
		return n, err
	}
	if n.Kind != Root {
		return n, noRoot()
	}
	return n, nil
}

// everyNode calls do for all nodes of the organization.
func (r *request) everyNode(do func(Node) error) error {
	for _, k := range []Kind{Root, Unit, Account} {
		if err := r.each(k, do); err != nil {
			return err
		}
	}
	return nil
}

// each calls do for all nodes of a kind of the organization.
func (r *request) each(k Kind, do func(Node) error) error {
	const some = 1000
	for after, more := "", true; more; {
		all, err := r.Nodes(r.org.ID, k, "", after, some)
		if err != nil {
			return err
		}
		for _, n := range all {
			after = n.ID
			if err := do(n); err != nil {
				return err
			}
		}
		more = len(all) == some
	}
	return nil
}
