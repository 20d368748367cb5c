package organizations_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"pgregory.net/rapid"

	"borealis/internal/cloud"
	orgs "borealis/internal/organizations"
)

// Units have names of their own below their parent, and a limited depth.
func TestUnits(t *testing.T) {
	w := newWorld(t)
	ctx, root, a := t.Context(), w.founded(), w.as(accountA)
	w.joined(accountB)
	create := func(parent, name string) (string, error) {
		out, err := a.CreateOrganizationalUnit(ctx, &organizations.CreateOrganizationalUnitInput{ParentId: &parent, Name: &name})
		if err != nil {
			return "", err
		}
		return *out.OrganizationalUnit.Id, nil
	}
	top := ok2(create(root, "top"))(t)
	_, err := create(root, "top")
	refused(t, err, "DuplicateOrganizationalUnitException", "", "An OU with the same name already exists.")
	_, err = create("ou-"+root[2:]+"-00000000", "x")
	refused(t, err, "ParentNotFoundException", "", "You specified parent that doesn't exist.")
	deep := top
	for range 4 {
		deep = ok2(create(deep, "top"))(t)
	}
	_, err = create(deep, "top")
	refused(t, err, "ConstraintViolationException", "OU_DEPTH_LIMIT_EXCEEDED", "")
	other := ok2(create(root, "other"))(t)
	_, err = a.UpdateOrganizationalUnit(ctx, &organizations.UpdateOrganizationalUnitInput{OrganizationalUnitId: &other, Name: new("top")})
	refused(t, err, "DuplicateOrganizationalUnitException", "", "")
	u := ok2(a.UpdateOrganizationalUnit(ctx, &organizations.UpdateOrganizationalUnitInput{OrganizationalUnitId: &other, Name: new("Other")}))(t).OrganizationalUnit
	org := *ok2(a.DescribeOrganization(ctx, nil))(t).Organization.Id
	if *u.Name != "Other" || *u.Arn != "arn:aws:organizations::"+string(accountA)+":ou/"+org+"/"+other || *u.Path != org+"/"+root+"/"+other+"/" {
		t.Errorf("%s %s %s", *u.Name, *u.Arn, *u.Path)
	}
	_, err = a.DeleteOrganizationalUnit(ctx, &organizations.DeleteOrganizationalUnitInput{OrganizationalUnitId: &top})
	refused(t, err, "OrganizationalUnitNotEmptyException", "", "")
	ok(t)(nil, w.move(accountB, root, other))
	_, err = a.DeleteOrganizationalUnit(ctx, &organizations.DeleteOrganizationalUnitInput{OrganizationalUnitId: &other})
	refused(t, err, "OrganizationalUnitNotEmptyException", "", "")
	for name, err := range map[string]error{
		"AccountNotFoundException":           w.move(accountB, root, top), // where it is no more
		"SourceParentNotFoundException":      w.move(accountB, "r-zzzzzz", top),
		"DestinationParentNotFoundException": w.move(accountB, other, "r-zzzzzz"),
		"DuplicateAccountException":          w.move(accountB, other, other),
	} {
		refused(t, err, name, "", "")
	}
	refused(t, w.move(accountC, root, top), "AccountNotFoundException", "", "You specified an account that doesn't exist.")
	parents := ok2(a.ListParents(ctx, &organizations.ListParentsInput{ChildId: new(string(accountB))}))(t).Parents
	if len(parents) != 1 || *parents[0].Id != other || parents[0].Type != types.ParentTypeOrganizationalUnit {
		t.Errorf("parents %+v", parents)
	}
	b := ok2(a.DescribeAccount(ctx, &organizations.DescribeAccountInput{AccountId: new(string(accountB))}))(t).Account
	if *b.Name != "beta" || b.JoinedMethod != types.AccountJoinedMethodInvited || b.Paths[0] != org+"/"+root+"/"+other+"/"+string(accountB)+"/" {
		t.Errorf("account %+v", b)
	}
	ok(t)(nil, w.move(accountB, other, root))
	ok(t)(a.DeleteOrganizationalUnit(ctx, &organizations.DeleteOrganizationalUnitInput{OrganizationalUnitId: &other}))
	_, err = a.DescribeOrganizationalUnit(ctx, &organizations.DescribeOrganizationalUnitInput{OrganizationalUnitId: &other})
	refused(t, err, "OrganizationalUnitNotFoundException", "", "You specified an organizational unit that doesn't exist.")
}

// Lists come in pages, whose tokens are good for nothing else.
func TestPages(t *testing.T) {
	w := newWorld(t)
	ctx, root, a := t.Context(), w.founded(), w.as(accountA)
	for i := range 25 {
		w.unit(root, fmt.Sprint("u", i))
	}
	in := &organizations.ListOrganizationalUnitsForParentInput{ParentId: &root}
	first := ok2(a.ListOrganizationalUnitsForParent(ctx, in))(t)
	in.NextToken = first.NextToken
	second := ok2(a.ListOrganizationalUnitsForParent(ctx, in))(t)
	if len(first.OrganizationalUnits) != 20 || len(second.OrganizationalUnits) != 5 || second.NextToken != nil {
		t.Errorf("pages of %d and %d, then %v", len(first.OrganizationalUnits), len(second.OrganizationalUnits), second.NextToken)
	}
	for _, token := range []*string{first.NextToken, new("x"), new("")} {
		_, err := a.ListAccounts(ctx, &organizations.ListAccountsInput{NextToken: token})
		refused(t, err, "InvalidInputException", "INVALID_NEXT_TOKEN", "")
	}
	names := map[string]bool{}
	pages := organizations.NewListChildrenPaginator(children{a}, &organizations.ListChildrenInput{ParentId: &root, ChildType: types.ChildTypeOrganizationalUnit, MaxResults: new(int32(3))})
	for pages.HasMorePages() {
		for _, c := range ok2(pages.NextPage(ctx))(t).Children {
			names[*c.Id] = true
		}
	}
	if len(names) != 25 {
		t.Errorf("%d children", len(names))
	}
}

// children is a view as the SDK's paginator wants it.
type children struct{ *orgs.View }

func (c children) ListChildren(ctx context.Context, in *organizations.ListChildrenInput, _ ...func(*organizations.Options)) (*organizations.ListChildrenOutput, error) {
	return c.View.ListChildren(ctx, in)
}

// A tree of accounts and policies, moved about at random, says of each account
// what its place in the tree says, and the same as a service that has just begun.
func TestMembershipFollowsTheTree(t *testing.T) {
	w := newWorld(t)
	root := w.founded()
	w.joined(accountB)
	w.joined(accountC)
	one, two := w.unit(root, "one"), w.unit(root, "two")
	deep := w.unit(one, "deep")
	parents := map[string]string{one: root, two: root, deep: one, string(accountA): root, string(accountB): root, string(accountC): root}
	attached := map[string][]string{}
	for n := range parents {
		attached[n] = []string{"p-FullAWSAccess"}
	}
	attached[root] = []string{"p-FullAWSAccess"}
	nodes := []string{root, one, two, deep, string(accountA), string(accountB), string(accountC)}
	policies := []string{"p-FullAWSAccess", w.policy("p1", allowAll), w.policy("p2", denyAll)}
	org := w.says(accountA).Organization
	check := func(r *rapid.T) {
		for _, s := range []*orgs.Service{w.Service, w.service()} {
			for _, a := range []cloud.AccountID{accountA, accountB, accountC} {
				m, err := s.Membership(t.Context(), a)
				if err != nil {
					r.Fatal(err)
				}
				path, levels := "", []string{}
				for n := string(a); n != ""; n = parents[n] {
					if n != string(a) {
						path = n + "/" + path
					}
					levels = append([]string{strings.Join(attached[n], " ")}, levels...)
				}
				var got []string
				for _, l := range m.ServiceControl.Levels {
					var names []string
					for _, p := range l.Policies {
						names = append(names, p.Name[strings.LastIndex(p.Name, "/")+1:])
					}
					got = append(got, strings.Join(names, " "))
				}
				if m.Path != org+"/"+path || !slices.Equal(got, levels) || m.ServiceControl.Management != (a == accountA) {
					r.Fatalf("%s: %s %q, want %s %q", a, m.Path, got, path, levels)
				}
			}
		}
		w.iam.Organizations = w.Service
	}
	rapid.Check(t, func(r *rapid.T) {
		r.Repeat(map[string]func(*rapid.T){
			"": check,
			"move": func(r *rapid.T) {
				a := rapid.SampledFrom([]cloud.AccountID{accountA, accountB, accountC}).Draw(r, "account")
				to := rapid.SampledFrom(nodes[:4]).Draw(r, "to")
				if err := w.move(a, parents[string(a)], to); (err == nil) != (parents[string(a)] != to) {
					r.Fatal(err)
				}
				parents[string(a)] = to
			},
			"attach": func(r *rapid.T) {
				n, p := rapid.SampledFrom(nodes).Draw(r, "node"), rapid.SampledFrom(policies).Draw(r, "policy")
				there := slices.Contains(attached[n], p)
				if err := w.attach(p, n); (err == nil) == there {
					r.Fatal(err)
				}
				if !there {
					attached[n] = append(slices.Clone(attached[n]), p)
					slices.Sort(attached[n])
				}
			},
			"detach": func(r *rapid.T) {
				n, p := rapid.SampledFrom(nodes).Draw(r, "node"), rapid.SampledFrom(policies).Draw(r, "policy")
				may := slices.Contains(attached[n], p) && len(attached[n]) > 1
				if err := w.detach(p, n); (err == nil) != may {
					r.Fatal(err)
				}
				if may {
					attached[n] = slices.DeleteFunc(slices.Clone(attached[n]), func(q string) bool { return q == p })
				}
			},
		})
	})
}
