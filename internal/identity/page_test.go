package identity_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// walk collects what pages of one to four items bring, and checks that only
// the last one says so.
func walk(t *testing.T, what string, next func(marker *string, items *int32) (names []string, more *string, truncated bool)) []string {
	t.Helper()
	var all [][]string
	for items := int32(1); items <= 4; items++ {
		var got []string
		var marker *string
		for range 100 {
			names, more, truncated := next(marker, &items)
			if truncated != (more != nil) || truncated && len(names) != int(items) {
				t.Errorf("%s: a page of %d has %d items, marker %v, truncated %v", what, items, len(names), more, truncated)
			}
			got = append(got, names...)
			if marker = more; marker == nil {
				break
			}
		}
		all = append(all, got)
	}
	for _, got := range all[1:] {
		if !slices.Equal(got, all[0]) {
			t.Errorf("%s: pages of different sizes bring %v and %v", what, all[0], got)
		}
	}
	return all[0]
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	for i := range 7 {
		name, path := fmt.Sprint("Nb"[i%2:i%2+1], i), "/even/"
		if i%2 == 1 {
			path = "/odd/"
		}
		must(v.CreateUser(ctx, &iam.CreateUserInput{UserName: &name, Path: &path}))(t)
		must(v.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: new(anything)}))(t)
		must(v.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("N0"), PolicyArn: new("arn:aws:iam::111122223333:policy/" + name)}))(t)
		must(v.TagUser(ctx, &iam.TagUserInput{UserName: new("N0"), Tags: tags(name, "v")}))(t)
	}
	must(w.root(accountB).CreateUser(ctx, &iam.CreateUserInput{UserName: new("theirs")}))(t)
	names := func(users []types.User) (list []string) {
		for _, u := range users {
			list = append(list, *u.UserName)
		}
		return list
	}
	const want = "b1 b3 b5 N0 N2 N4 N6"
	check := func(what, want string, next func(*string, *int32) ([]string, *string, bool)) {
		t.Helper()
		if got := strings.Join(walk(t, what, next), " "); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	check("ListUsers", want, func(m *string, n *int32) ([]string, *string, bool) {
		out := must(v.ListUsers(ctx, &iam.ListUsersInput{Marker: m, MaxItems: n}))(t)
		return names(out.Users), out.Marker, out.IsTruncated
	})
	check("ListUsers under a path", "N0 N2 N4 N6", func(m *string, n *int32) ([]string, *string, bool) {
		out := must(v.ListUsers(ctx, &iam.ListUsersInput{Marker: m, MaxItems: n, PathPrefix: new("/ev")}))(t)
		return names(out.Users), out.Marker, out.IsTruncated
	})
	check("ListPolicies", want, func(m *string, n *int32) (list []string, _ *string, _ bool) {
		out := must(v.ListPolicies(ctx, &iam.ListPoliciesInput{Marker: m, MaxItems: n, Scope: types.PolicyScopeTypeLocal}))(t)
		for _, p := range out.Policies {
			list = append(list, *p.PolicyName)
		}
		return list, out.Marker, out.IsTruncated
	})
	check("ListAttachedUserPolicies", "N0 N2 N4 N6 b1 b3 b5", func(m *string, n *int32) (list []string, _ *string, _ bool) {
		out := must(v.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: new("N0"), Marker: m, MaxItems: n}))(t)
		for _, p := range out.AttachedPolicies {
			list = append(list, *p.PolicyName)
		}
		return list, out.Marker, out.IsTruncated
	})
	check("ListUserTags", want, func(m *string, n *int32) (list []string, _ *string, _ bool) {
		out := must(v.ListUserTags(ctx, &iam.ListUserTagsInput{UserName: new("N0"), Marker: m, MaxItems: n}))(t)
		for _, tag := range out.Tags {
			list = append(list, *tag.Key)
		}
		return list, out.Marker, out.IsTruncated
	})
}

// A list without elements is there all the same: clients take the missing for
// another answer than the empty.
func TestEmptyTagListsAreThere(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	w.user(accountA, "ann", "")
	if out := must(v.ListUserTags(ctx, &iam.ListUserTagsInput{UserName: new("ann")}))(t); out.Tags == nil {
		t.Error("ListUserTags: there is no list")
	}
	made := must(v.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: new(anything)}))(t)
	if out := must(v.ListPolicyTags(ctx, &iam.ListPolicyTagsInput{PolicyArn: made.Policy.Arn}))(t); out.Tags == nil {
		t.Error("ListPolicyTags: there is no list")
	}
}
