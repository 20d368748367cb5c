package organizations

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/cloud"
)

const (
	// openFor is how long an invitation can be accepted.
	openFor = 15 * 24 * time.Hour
	// shownFor is how long one can be seen after it has ended.
	shownFor = 30 * 24 * time.Hour
)

// An invitation is a handshake with all that it is between.
type invitation struct {
	handshake
	item  Item
	org   Organization
	email string // of the management account; "" if none is known
	name  string // of the management account
}

// state is h's state at a time.
func (h handshake) state(now time.Time) types.HandshakeState {
	if h.State == types.HandshakeStateOpen && !now.Before(h.Expires) {
		return types.HandshakeStateExpired
	}
	return h.State
}

// gone says that h is so old that nobody sees it any more.
func (h handshake) gone(now time.Time) bool {
	ended := h.Ended
	if h.State == types.HandshakeStateOpen {
		ended = h.Expires
	}
	return now.Sub(ended) > shownFor
}

// invitation reads a handshake.
func (r *request) invitation(i Item) (invitation, error) {
	h, err := body[handshake](i)
	if err != nil {
		return invitation{}, err
	}
	o, err := r.Organization(i.Organization)
	if err != nil {
		return invitation{}, err
	}
	n, err := r.Node(string(o.Management))
	return invitation{h, i, o, n.Email, n.Name}, err
}

func (x invitation) arn() string {
	return x.org.arn("handshake/" + x.org.ID + "/invite/" + x.item.ID)
}

// handshake is x in the words of the wire.
func (r *request) handshake(x invitation) types.Handshake {
	target := types.HandshakeParty{Id: new(string(x.item.Account)), Type: types.HandshakePartyTypeAccount}
	if x.Email != "" {
		target = types.HandshakeParty{Id: &x.Email, Type: types.HandshakePartyTypeEmail}
	}
	resource := func(t types.HandshakeResourceType, value string, below ...types.HandshakeResource) types.HandshakeResource {
		return types.HandshakeResource{Type: t, Value: &value, Resources: below}
	}
	feature := string(types.OrganizationFeatureSetConsolidatedBilling)
	if x.org.AllFeatures {
		feature = string(types.OrganizationFeatureSetAll)
	}
	var about []types.HandshakeResource
	if x.email != "" {
		about = append(about, resource(types.HandshakeResourceTypeMasterEmail, x.email))
	}
	about = append(about, resource(types.HandshakeResourceTypeMasterName, x.name), resource(types.HandshakeResourceTypeOrganizationFeatureSet, feature))
	all := []types.HandshakeResource{
		resource(types.HandshakeResourceTypeOrganization, x.org.ID, about...),
		resource(types.HandshakeResourceType(target.Type), *target.Id),
	}
	if x.Notes != "" {
		all = append(all, resource(types.HandshakeResourceTypeNotes, x.Notes))
	}
	return types.Handshake{
		Id: &x.item.ID, Arn: new(x.arn()), Action: types.ActionTypeInviteAccountToOrganization, State: x.state(r.Now()),
		RequestedTimestamp: &x.Requested, ExpirationTimestamp: &x.Expires, Resources: all,
		Parties: []types.HandshakeParty{target, {Id: new(x.org.ID[len("o-"):]), Type: types.HandshakePartyTypeOrganization}},
	}
}

// invited is the account that an invitation is for.
func (v *View) invited(ctx context.Context, p types.HandshakeParty) (id cloud.AccountID, err error) {
	nobody := invalidInput(types.InvalidInputExceptionReasonInvalidPatternTargetId, "You specified a target account that doesn't exist.")
	switch p.Type {
	case types.HandshakePartyTypeAccount:
		if id, err = cloud.ParseAccountID(*p.Id); err != nil {
			return "", nobody
		}
		m, err := v.Accounts.Member(ctx, id)
		if err == nil && m.Closed {
			err = nobody
		}
		return id, or(err, cloud.ErrNotFound, nobody)
	case types.HandshakePartyTypeEmail:
		return "", invalidInput(types.InvalidInputExceptionReasonInvalidEmailAddressTarget, "You specified an email address that belongs to no account that could be invited.")
	}
	return "", invalidInput(types.InvalidInputExceptionReasonInvalidPartyTypeTarget, "You specified the wrong type of entity as the target of the invitation.")
}

// InviteAccountToOrganization invites an account.
func (v *View) InviteAccountToOrganization(ctx context.Context, in *organizations.InviteAccountToOrganizationInput) (*organizations.InviteAccountToOrganizationOutput, error) {
	account, nobody := v.invited(ctx, *in.Target)
	out := &organizations.InviteAccountToOrganizationOutput{}
	return out, v.change(ctx, func(r *request) error {
		tags, bad := newTags(in.Tags)
		on := resource{arn: "*", context: asked(nil, tags)}
		if in.Target.Type == types.HandshakePartyTypeAccount {
			on.arn = r.org.arnOf(*in.Target.Id)
		}
		err := r.authorizeNew("organizations:InviteAccountToOrganization", management, tags, on)
		if err != nil || bad != nil || nobody != nil {
			return cmp.Or(err, bad, nobody)
		}
		if err := r.free(account); err != nil {
			return err
		}
		x := invitation{
			item:      Item{Organization: r.org.ID, Kind: HandshakeItem, ID: "h-" + random(32), Account: account},
			handshake: handshake{State: types.HandshakeStateOpen, Requested: r.Now().UTC(), Expires: r.Now().UTC().Add(openFor), Tags: tags},
		}
		if in.Notes != nil {
			x.Notes = *in.Notes
		}
		if x.item, err = item(x.item, x.handshake); err != nil {
			return err
		}
		if err := r.AddItem(x.item); err != nil {
			return err
		}
		if x, err = r.invitation(x.item); err != nil {
			return err
		}
		out.Handshake = new(r.handshake(x))
		return nil
	})
}

// free refuses an invitation of an account that is a member already, or invited.
// It deletes what nobody sees any more.
func (r *request) free(a cloud.AccountID) error {
	n, err := r.Node(string(a))
	switch {
	case err == nil && n.Organization == r.org.ID:
		return handshakeConstraint(types.HandshakeConstraintViolationExceptionReasonAlreadyInAnOrganization, "The handshake request is invalid because the invited account is already a member of an organization.")
	case err != nil && !errors.Is(err, cloud.ErrNotFound):
		return err
	}
	return r.eachHandshake(a, func(x invitation) error {
		switch {
		case x.gone(r.Now()):
			return r.DeleteItem(x.item.Organization, HandshakeItem, x.item.ID)
		case x.item.Organization == r.org.ID && x.state(r.Now()) == types.HandshakeStateOpen:
			return &types.DuplicateHandshakeException{Message: new("A handshake with the same action and target already exists.")}
		}
		return nil
	})
}

// eachHandshake calls do for all handshakes with account a.
func (r *request) eachHandshake(a cloud.AccountID, do func(invitation) error) error {
	for after := ""; ; {
		some, err := r.ItemsOf(a, HandshakeItem, after, batch)
		if err != nil {
			return err
		}
		for _, i := range some {
			after = i.ID
			x, err := r.invitation(i)
			if err != nil {
				return err
			}
			if err := do(x); err != nil {
				return err
			}
		}
		if len(some) < batch {
			return nil
		}
	}
}

// answering is what becomes of a handshake, and who makes it so: the account that
// was invited, or the one that did.
type answering struct {
	action string
	to     types.HandshakeState
	sender bool
}

// answer ends an open handshake.
func (r *request) answer(id string, a answering) (invitation, error) {
	x, err := r.seen(a.action, id)
	if err != nil {
		return x, err
	}
	mine := x.item.Account == r.caller.Account
	if a.sender {
		mine = x.org.Management == r.caller.Account
	}
	state := x.state(r.Now())
	switch {
	case !mine:
		return x, deniedByStanding()
	case state == a.to:
		return x, &types.HandshakeAlreadyInStateException{Message: new("The specified handshake is already in the requested state.")}
	case state != types.HandshakeStateOpen:
		return x, &types.InvalidHandshakeTransitionException{Message: new("You can't perform the operation on the handshake in its current state.")}
	}
	x.State, x.Ended = a.to, r.Now().UTC()
	return x, putItem(r, x.item, x.handshake)
}

// seen is the handshake called id, if the caller may do action to it. Whose
// account is no party to it does not see it.
func (r *request) seen(action, id string) (invitation, error) {
	all, err := r.ItemsOf(r.caller.Account, HandshakeItem, "", maxAccounts)
	if err != nil {
		return invitation{}, err
	}
	at := slices.IndexFunc(all, func(i Item) bool { return i.ID == id })
	var i Item
	if at >= 0 {
		i = all[at]
	} else if r.org.ID != "" {
		if i, err = r.Item(r.org.ID, HandshakeItem, id); err != nil && !errors.Is(err, cloud.ErrNotFound) {
			return invitation{}, err
		}
	}
	on := resource{arn: r.org.arn("handshake/" + r.org.ID + "/invite/" + id)}
	var x invitation
	if i.ID != "" {
		if x, err = r.invitation(i); err != nil {
			return x, err
		}
		on.arn = x.arn()
	}
	if err := r.authorize(action, anybody, on); err != nil {
		return x, err
	}
	if i.ID == "" || x.gone(r.Now()) {
		return x, noHandshake()
	}
	return x, nil
}

// AcceptHandshake makes the caller's account a member of the organization that
// has invited it.
func (v *View) AcceptHandshake(ctx context.Context, in *organizations.AcceptHandshakeInput) (*organizations.AcceptHandshakeOutput, error) {
	who, unknown := v.Accounts.Member(ctx, v.caller.Account)
	out := &organizations.AcceptHandshakeOutput{}
	return out, v.change(ctx, func(r *request) error {
		x, err := r.answer(*in.HandshakeId, answering{"organizations:AcceptHandshake", types.HandshakeStateAccepted, false})
		if err != nil || unknown != nil {
			return cmp.Or(err, unknown)
		}
		count, err := r.CountNodes(x.org.ID, Account)
		switch {
		case err != nil:
			return err
		case r.org.ID != "":
			return handshakeConstraint(types.HandshakeConstraintViolationExceptionReasonAlreadyInAnOrganization, "The handshake request is invalid because the invited account is already a member of an organization.")
		case count >= maxAccounts:
			return handshakeConstraint(types.HandshakeConstraintViolationExceptionReasonAccountNumberLimitExceeded, "You have exceeded the allowed number of AWS accounts.")
		}
		root, err := rootOf(r, x.org.ID)
		if err != nil {
			return err
		}
		out.Handshake = new(r.handshake(x))
		return join(r, root, Node{ID: string(r.caller.Account), Organization: x.org.ID, Name: who.Name, Email: who.Email, Tags: x.Tags, Joined: x.Ended, Invited: true})
	})
}

// DeclineHandshake declines an invitation of the caller's account.
func (v *View) DeclineHandshake(ctx context.Context, in *organizations.DeclineHandshakeInput) (*organizations.DeclineHandshakeOutput, error) {
	out := &organizations.DeclineHandshakeOutput{}
	return out, v.change(ctx, func(r *request) error {
		x, err := r.answer(*in.HandshakeId, answering{"organizations:DeclineHandshake", types.HandshakeStateDeclined, false})
		if err != nil {
			return err
		}
		out.Handshake = new(r.handshake(x))
		return nil
	})
}

// CancelHandshake takes an invitation back.
func (v *View) CancelHandshake(ctx context.Context, in *organizations.CancelHandshakeInput) (*organizations.CancelHandshakeOutput, error) {
	out := &organizations.CancelHandshakeOutput{}
	return out, v.change(ctx, func(r *request) error {
		x, err := r.answer(*in.HandshakeId, answering{"organizations:CancelHandshake", types.HandshakeStateCanceled, true})
		if err != nil {
			return err
		}
		out.Handshake = new(r.handshake(x))
		return nil
	})
}

// DescribeHandshake describes an invitation to those whom it is between.
func (v *View) DescribeHandshake(ctx context.Context, in *organizations.DescribeHandshakeInput) (*organizations.DescribeHandshakeOutput, error) {
	out := &organizations.DescribeHandshakeOutput{}
	return out, v.read(ctx, func(r *request) error {
		x, err := r.seen("organizations:DescribeHandshake", *in.HandshakeId)
		if err != nil {
			return err
		}
		out.Handshake = new(r.handshake(x))
		return nil
	})
}

// ListHandshakesForAccount lists the invitations of the caller's account.
func (v *View) ListHandshakesForAccount(ctx context.Context, in *organizations.ListHandshakesForAccountInput) (*organizations.ListHandshakesForAccountOutput, error) {
	out := &organizations.ListHandshakesForAccountOutput{}
	return out, v.read(ctx, func(r *request) (err error) {
		p, bad := newPage("handshakes of account", in.NextToken, in.MaxResults)
		if err := r.authorize("organizations:ListHandshakesForAccount", anybody); err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		all, err := r.ItemsOf(r.caller.Account, HandshakeItem, p.after, p.limit+1)
		if err != nil {
			return err
		}
		out.Handshakes, out.NextToken, err = r.handshakes(p, all, in.Filter)
		return err
	})
}

// ListHandshakesForOrganization lists the invitations to the caller's organization.
func (v *View) ListHandshakesForOrganization(ctx context.Context, in *organizations.ListHandshakesForOrganizationInput) (*organizations.ListHandshakesForOrganizationOutput, error) {
	out := &organizations.ListHandshakesForOrganizationOutput{}
	return out, v.read(ctx, func(r *request) (err error) {
		p, bad := newPage("handshakes of organization", in.NextToken, in.MaxResults)
		if err := r.authorize("organizations:ListHandshakesForOrganization", delegate); err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		all, err := r.Items(r.org.ID, HandshakeItem, p.after, p.limit+1)
		if err != nil {
			return err
		}
		out.Handshakes, out.NextToken, err = r.handshakes(p, all, in.Filter)
		return err
	})
}

// handshakes are those of a page that the filter lets through; a page may be
// short, or empty.
func (r *request) handshakes(p page, all []Item, f *types.HandshakeFilter) ([]types.Handshake, *string, error) {
	all, next := cut(p, all, itemID)
	out := []types.Handshake{}
	if f != nil && (f.ActionType != "" && f.ActionType != types.ActionTypeInviteAccountToOrganization || f.ParentHandshakeId != nil) {
		return out, next, nil
	}
	for _, i := range all {
		x, err := r.invitation(i)
		if err != nil {
			return nil, nil, err
		}
		if !x.gone(r.Now()) {
			out = append(out, r.handshake(x))
		}
	}
	return out, next, nil
}
