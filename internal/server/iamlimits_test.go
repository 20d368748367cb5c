package server_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"
)

// filled is a policy of n characters, and before them as many of white space, which
// do not count.
func filled(n int, head, tail string) *string {
	free := n - len(head) - len(tail)
	return new(strings.Repeat(" \n", n/2) + head + strings.Repeat("b", free) + tail)
}

func managedOf(n int) *string {
	return filled(n, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:B","Resource":"*","Sid":"`, `"}}`)
}

func trustOf(n int) *string {
	return filled(n, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole","Sid":"`, `"}}`)
}

// many are n tags beside the five that users are made with.
func many(n int) []types.Tag {
	var all []types.Tag
	for i := range n {
		all = append(all, types.Tag{Key: new(fmt.Sprint("more", i)), Value: new("v")})
	}
	return all
}

// IAM's limits, each with what is just good enough and what is one too many, in AWS's
// words.
func TestIAMLimits(t *testing.T) {
	c := populated(t)
	ctx := t.Context()
	x := func(n int) *string { return new(strings.Repeat("x", n)) }
	user := func(name, path *string) error {
		_, err := c.CreateUser(ctx, &iam.CreateUserInput{UserName: name, Path: path})
		return err
	}
	role := func(in iam.CreateRoleInput) func() error {
		return func() error {
			if in.AssumeRolePolicyDocument == nil {
				in.AssumeRolePolicyDocument = new(letIn)
			}
			_, err := c.CreateRole(ctx, &in)
			return err
		}
	}
	managed := func(in iam.CreatePolicyInput) func() error {
		return func() error {
			if in.PolicyDocument == nil {
				in.PolicyDocument = new(allow)
			}
			_, err := c.CreatePolicy(ctx, &in)
			return err
		}
	}
	group := func(name *string) func() error {
		return func() error {
			_, err := c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: name})
			return err
		}
	}
	profile := func(name *string) func() error {
		return func() error {
			_, err := c.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: name})
			return err
		}
	}
	alias := func(name *string) func() error {
		return func() error {
			_, err := c.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: name})
			return err
		}
	}
	inline := func(user string, texts ...*string) func() error {
		return func() (err error) {
			for n, text := range texts {
				_, perr := c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &user, PolicyName: new(fmt.Sprint("p", n)), PolicyDocument: text})
				err = errors.Join(err, perr)
			}
			return err
		}
	}
	tag := func(key, value *string) func() error {
		return func() error {
			_, err := c.TagRole(ctx, &iam.TagRoleInput{RoleName: new("r3"), Tags: []types.Tag{{Key: key, Value: value}}})
			return err
		}
	}
	groups := func(n int) func() error {
		return func() (err error) {
			for i := range n {
				name := fmt.Sprint("crew", i)
				_, _ = c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &name}) // it may be there
				if _, aerr := c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: &name, UserName: new("u3")}); err == nil {
					err = aerr
				}
			}
			return err
		}
	}
	attach := func(n int) func() error {
		return func() (err error) {
			for i := range n {
				name := fmt.Sprint("job", i)
				_, _ = c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: new(allow)}) // it may be there
				if _, aerr := c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: new("r4"), PolicyArn: new("arn:aws:iam::111122223333:policy/" + name)}); err == nil {
					err = aerr
				}
			}
			return err
		}
	}
	tooLong := func(value, member string, most int) string {
		return fmt.Sprintf("ValidationError: 1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", value, member, most)
	}
	for _, tt := range []struct {
		name string
		good func() error // nil where it was done already
		bad  func() error
		want string // up to "…"
	}{
		{"a user's name", func() error { return user(x(64), nil) }, func() error { return user(x(65), nil) }, "ValidationError: 1 validation error detected: Value '" + *x(65) + "' at 'userName' failed to satisfy constraint: Member must have length less than or equal to 64"},
		{"a user's letters", func() error { return user(new("a+=,.@-_Z9"), nil) }, func() error { return user(new("a b"), nil) }, "ValidationError: The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"},
		{"no letters", nil, func() error { return user(new(""), nil) }, "…"},
		{"a path", func() error { return user(new("p"), new("/"+*x(510)+"/")) }, func() error { return user(new("q"), new("/"+*x(511)+"/")) }, "ValidationError: 1 validation error detected: Value '/…"},
		{"a role's name", role(iam.CreateRoleInput{RoleName: x(64)}), role(iam.CreateRoleInput{RoleName: x(65)}), tooLong(*x(65), "roleName", 64)},
		{"a group's name", group(x(128)), group(x(129)), tooLong(*x(129), "groupName", 128)},
		{"a policy's name", managed(iam.CreatePolicyInput{PolicyName: x(128)}), managed(iam.CreatePolicyInput{PolicyName: x(129)}), tooLong(*x(129), "policyName", 128)},
		{"an instance profile's name", profile(x(128)), profile(x(129)), tooLong(*x(129), "instanceProfileName", 128)},
		{"a role's description", role(iam.CreateRoleInput{RoleName: new("described"), Description: x(1000)}), role(iam.CreateRoleInput{RoleName: new("n"), Description: x(1001)}), tooLong(*x(1001), "description", 1000)},
		{"a session's duration", role(iam.CreateRoleInput{RoleName: new("long"), MaxSessionDuration: new(int32(43200))}), role(iam.CreateRoleInput{RoleName: new("n"), MaxSessionDuration: new(int32(43201))}), "ValidationError: 1 validation error detected: Value '43201' at 'maxSessionDuration' failed to satisfy constraint: Member must have value less than or equal to 43200"},
		{"a short session", role(iam.CreateRoleInput{RoleName: new("short"), MaxSessionDuration: new(int32(3600))}), role(iam.CreateRoleInput{RoleName: new("n"), MaxSessionDuration: new(int32(3599))}), "ValidationError: 1 validation error detected: Value '3599' at 'maxSessionDuration' failed to satisfy constraint: Member must have value greater than or equal to 3600"},
		{"a trust policy", role(iam.CreateRoleInput{RoleName: new("trusting"), AssumeRolePolicyDocument: trustOf(2048)}), role(iam.CreateRoleInput{RoleName: new("n"), AssumeRolePolicyDocument: trustOf(2049)}), "LimitExceeded: Cannot exceed quota for ACLSizePerRole: 2048"},
		{"a managed policy", managed(iam.CreatePolicyInput{PolicyName: new("full"), PolicyDocument: managedOf(6144)}), managed(iam.CreatePolicyInput{PolicyName: new("n"), PolicyDocument: managedOf(6145)}), "LimitExceeded: Cannot exceed quota for PolicySize: 6144"},
		{"a user's inline policies", inline("u1", managedOf(1024), managedOf(1024)), inline("u2", managedOf(1024), managedOf(1025)), "LimitExceeded: Maximum policy size of 2048 bytes exceeded for user u2"},
		{"a role's inline policies", func() error {
			_, err := c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("r1"), PolicyName: new("p"), PolicyDocument: managedOf(10240)})
			return err
		}, func() error {
			_, err := c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("r2"), PolicyName: new("p"), PolicyDocument: managedOf(10241)})
			return err
		}, "LimitExceeded: Maximum policy size of 10240 bytes exceeded for role r2"},
		{"a group's inline policies", func() error {
			_, err := c.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: new("g1"), PolicyName: new("p"), PolicyDocument: managedOf(5120)})
			return err
		}, func() error {
			_, err := c.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: new("g2"), PolicyName: new("p"), PolicyDocument: managedOf(5121)})
			return err
		}, "LimitExceeded: Maximum policy size of 5120 bytes exceeded for group g2"},
		{"tags", func() error {
			_, err := c.TagUser(ctx, &iam.TagUserInput{UserName: new("u1"), Tags: many(45)})
			return err
		}, func() error {
			_, err := c.TagUser(ctx, &iam.TagUserInput{UserName: new("u2"), Tags: many(46)})
			return err
		}, "LimitExceeded: The number of tags has reached the maximum limit."},
		{"a tag's key", tag(x(128), x(256)), tag(x(129), x(1)), "ValidationError: 1 validation error detected: Value '" + *x(129) + "' at 'tags.1.member.key' failed to satisfy constraint: Member must have length less than or equal to 128"},
		{"a tag's value", nil, tag(x(1), x(257)), "ValidationError: 1 validation error detected: Value '" + *x(257) + "' at 'tags.1.member.value' failed to satisfy constraint: Member must have length less than or equal to 256"},
		{"versions", nil, func() error {
			_, err := c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: new("arn:aws:iam::111122223333:policy/p0"), PolicyDocument: new(allow)})
			return err
		}, "LimitExceeded: A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version."},
		{"access keys", nil, func() error {
			_, err := c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("u0")})
			return err
		}, "LimitExceeded: Cannot exceed quota for AccessKeysPerUser: 2"},
		{"an alias", alias(x(63)), alias(x(64)), tooLong(*x(64), "accountAlias", 63)},
		{"an alias's letters", nil, alias(new("a--b")), "ValidationError: …"},
		{"a policy's ARN", nil, func() error {
			_, err := c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: new("arn:aws:iam::aws:x")})
			return err
		}, "ValidationError: 1 validation error detected: Value 'arn:aws:iam::aws:x' at 'policyArn' failed to satisfy constraint: Member must have length greater than or equal to 20"},
		{"groups of a user", groups(9), groups(11), "LimitExceeded: Cannot exceed quota for GroupsPerUser: 10"},
		{"attached policies", attach(9), attach(11), "LimitExceeded: Cannot exceed quota for PoliciesPerRole: 10"},
		{"a page", nil, func() error {
			_, err := c.ListUsers(ctx, &iam.ListUsersInput{MaxItems: new(int32(1001))})
			return err
		}, "ValidationError: 1 validation error detected: Value '1001' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 1000"},
		{"a path that ends", nil, func() error { return user(new("q"), new("/x")) }, "ValidationError: The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.good != nil {
				if err := tt.good(); err != nil {
					t.Error(err)
				}
			}
			err, got := tt.bad(), ""
			if e, ok := errors.AsType[smithy.APIError](err); ok {
				got = e.ErrorCode() + ": " + e.ErrorMessage()
			}
			want, open := strings.CutSuffix(tt.want, "…")
			if err == nil || got != want && !(open && strings.HasPrefix(got, want)) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
