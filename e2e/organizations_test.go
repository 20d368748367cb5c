package e2e

import (
	"encoding/json"
	"os/exec"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"borealis/e2e/local"
)

func (p *person) orgs() *organizations.Client { return organizations.NewFromConfig(p.config()) }

// newMember has an account made in p's organization, and is a session of its role.
func (p *person) newMember(name string) *person {
	p.t.Helper()
	made, err := p.orgs().CreateAccount(p.t.Context(), &organizations.CreateAccountInput{AccountName: &name, Email: new(name + "@example.com")})
	p.must("create account "+name, err)
	return p.assume(p.made(*made.CreateAccountStatus.Id), "OrganizationAccountAccessRole")
}

// made waits until the account of a request is made.
func (p *person) made(request string) (account string) {
	p.t.Helper()
	until(p.t, "the account is made", func() string {
		out, err := p.orgs().DescribeCreateAccountStatus(p.t.Context(), &organizations.DescribeCreateAccountStatusInput{CreateAccountRequestId: &request})
		p.must("describe the request", err)
		if s := out.CreateAccountStatus; s.State == types.CreateAccountStateInProgress {
			return "it is in progress"
		} else if s.State != types.CreateAccountStateSucceeded {
			p.t.Fatalf("%s: %s", s.State, s.FailureReason)
		} else {
			account = *s.AccountId
		}
		return ""
	})
	return account
}

// assume is a session of a role of another account.
func (p *person) assume(account, role string) *person {
	p.t.Helper()
	out, err := p.sts().AssumeRole(p.t.Context(), &sts.AssumeRoleInput{RoleArn: new("arn:aws:iam::" + account + ":role/" + role), RoleSessionName: new("session")})
	p.must("assume the role of "+account, err)
	q := *p
	q.account, q.token = account, *out.Credentials.SessionToken
	q.key.AccessKeyID, q.key.SecretAccessKey = *out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey
	return &q
}

// control makes a policy of p's organization and attaches it.
func (p *person) control(t types.PolicyType, name, target string, statements ...string) (id string) {
	p.t.Helper()
	out, err := p.orgs().CreatePolicy(p.t.Context(), &organizations.CreatePolicyInput{Type: t, Name: &name, Description: new(""), Content: new(document(statements...))})
	p.must("create policy "+name, err)
	id = *out.Policy.PolicySummary.Id
	_, err = p.orgs().AttachPolicy(p.t.Context(), &organizations.AttachPolicyInput{PolicyId: &id, TargetId: &target})
	p.must("attach policy "+name, err)
	return id
}

// An organization's policies bind its members' administrators, from the request
// after their change on.
func TestOrganization(t *testing.T) {
	s := newServer(t)
	ann, bob := root(t, s, accountA).user("ann", allow("*")), root(t, s, accountB)
	ctx := t.Context()
	org, err := ann.orgs().CreateOrganization(ctx, &organizations.CreateOrganizationInput{})
	ann.must("create organization", err)
	roots, err := ann.orgs().ListRoots(ctx, &organizations.ListRootsInput{})
	ann.must("list roots", err)
	top := *roots.Roots[0].Id
	unit, err := ann.orgs().CreateOrganizationalUnit(ctx, &organizations.CreateOrganizationalUnitInput{ParentId: &top, Name: new("workloads")})
	ann.must("create unit", err)
	member := ann.newMember("carl")
	_, err = ann.orgs().MoveAccount(ctx, &organizations.MoveAccountInput{AccountId: &member.account, SourceParentId: &top, DestinationParentId: unit.OrganizationalUnit.Id})
	ann.must("move account", err)

	key := member.newKey()
	grant := func(p *person) error {
		_, err := p.kms().CreateGrant(ctx, &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: new("arn:aws:iam::" + accountB + ":root"), Operations: []kmstypes.GrantOperation{kmstypes.GrantOperationDecrypt}})
		return err
	}
	share := func(p *person) error {
		_, err := p.rds().ModifyDBClusterSnapshotAttribute(ctx, &rds.ModifyDBClusterSnapshotAttributeInput{
			DBClusterSnapshotIdentifier: new("nightly"), AttributeName: new("restore"), ValuesToAdd: []string{accountB},
		})
		return err
	}

	t.Run("a service control policy stops the sharing", func(t *testing.T) {
		member.must("grant before", grant(member))
		refused(t, "share before", share(member), "DBClusterSnapshotNotFoundFault")
		id := ann.control(types.PolicyTypeServiceControlPolicy, "no sharing", *unit.OrganizationalUnit.Id,
			`{"Effect":"Deny","Action":["rds:ModifyDBClusterSnapshotAttribute","kms:CreateGrant"],"Resource":"*"}`)
		const words = "with an explicit deny in a service control policy"
		refused(t, "grant", grant(member), "AccessDeniedException", "kms:CreateGrant", words)
		refused(t, "share", share(member), "AccessDenied", "rds:ModifyDBClusterSnapshotAttribute", words)
		refused(t, "share in the management account", share(ann), "DBClusterSnapshotNotFoundFault")
		_, err := ann.orgs().DetachPolicy(ctx, &organizations.DetachPolicyInput{PolicyId: &id, TargetId: unit.OrganizationalUnit.Id})
		ann.must("detach", err)
		member.must("grant after", grant(member))
	})
	t.Run("what a level does not allow is not allowed", func(t *testing.T) {
		id := ann.control(types.PolicyTypeServiceControlPolicy, "only IAM", member.account, allow("iam:*", "sts:*"))
		_, err := ann.orgs().DetachPolicy(ctx, &organizations.DetachPolicyInput{PolicyId: new("p-FullAWSAccess"), TargetId: &member.account})
		ann.must("detach", err)
		refused(t, "grant", grant(member), "AccessDeniedException", "because no service control policy allows the kms:CreateGrant action")
		_, err = ann.orgs().UpdatePolicy(ctx, &organizations.UpdatePolicyInput{PolicyId: &id, Content: new(document(allow("*")))})
		ann.must("update", err)
		member.must("grant", grant(member))
	})
	t.Run("a resource control policy keeps others out", func(t *testing.T) {
		_, err := member.kms().PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &key, Policy: new(document(
			`{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::` + member.account + `:root","arn:aws:iam::` + accountB + `:root"]},"Action":"kms:*","Resource":"*"}`))})
		member.must("let bob in", err)
		look := func() error {
			_, err := bob.kms().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key})
			return err
		}
		bob.must("look before", look())
		_, err = ann.orgs().EnablePolicyType(ctx, &organizations.EnablePolicyTypeInput{RootId: &top, PolicyType: types.PolicyTypeResourceControlPolicy})
		ann.must("enable", err)
		ann.control(types.PolicyTypeResourceControlPolicy, "ours alone", top,
			`{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"StringNotEqualsIfExists":{"aws:PrincipalOrgID":"`+*org.Organization.Id+`"},"BoolIfExists":{"aws:PrincipalIsAWSService":"false"}}}`)
		refused(t, "look", look(), "AccessDeniedException", "with an explicit deny in a resource control policy")
		invited, err := ann.orgs().InviteAccountToOrganization(ctx, &organizations.InviteAccountToOrganizationInput{Target: &types.HandshakeParty{Type: types.HandshakePartyTypeAccount, Id: new(accountB)}})
		ann.must("invite", err)
		_, err = bob.orgs().AcceptHandshake(ctx, &organizations.AcceptHandshakeInput{HandshakeId: invited.Handshake.Id})
		bob.must("accept", err)
		bob.must("look as a member", look())
		_, err = bob.orgs().LeaveOrganization(ctx, &organizations.LeaveOrganizationInput{})
		bob.must("leave", err)
		refused(t, "look after", look(), "AccessDeniedException", "with an explicit deny in a resource control policy")
	})
	t.Run("a user of the member is bound too", func(t *testing.T) {
		uma := member.user("uma", allow("*"))
		id := ann.control(types.PolicyTypeServiceControlPolicy, "no users", top, `{"Effect":"Deny","Action":"iam:ListUsers","Resource":"*"}`)
		_, err := uma.iam().ListUsers(ctx, &iam.ListUsersInput{})
		refused(t, "list users", err, "AccessDenied", "with an explicit deny in a service control policy")
		_, err = uma.orgs().AttachPolicy(ctx, &organizations.AttachPolicyInput{PolicyId: &id, TargetId: &top})
		refused(t, "attach as a member", err, "AccessDeniedException", "You don't have permissions to access this resource.")
	})
	t.Run("the AWS CLI", func(t *testing.T) { organizationsCLI(t, s, member.account) })
}

func organizationsCLI(t *testing.T, s *local.Server, member string) {
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("SKIPPED: the aws command is not on PATH, so Organizations is not tried with the AWS CLI")
	}
	run := func(out any, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "aws", append([]string{"--endpoint-url", s.Endpoint, "--profile", "root-" + accountA, "--output", "json", "organizations"}, args...)...)
		cmd.Env = s.Env()
		if text, err := cmd.CombinedOutput(); err != nil || json.Unmarshal(text, out) != nil {
			t.Fatalf("%v: %v: %s", args, err, text)
		}
	}
	var accounts struct {
		Accounts []struct{ ID, Arn, Email, Name, Status, JoinedMethod string }
	}
	run(&accounts, "list-accounts", "--page-size", "1")
	found := false
	for _, a := range accounts.Accounts {
		found = found || a.ID == member && a.Email == "carl@example.com" && a.Status == "ACTIVE" && a.JoinedMethod == "CREATED"
	}
	if len(accounts.Accounts) != 2 || !found {
		t.Errorf("accounts %+v", accounts.Accounts)
	}
	var policies struct{ Policies []struct{ ID string } }
	run(&policies, "list-policies", "--filter", "SERVICE_CONTROL_POLICY")
	if len(policies.Policies) != 4 || policies.Policies[0].ID != "p-FullAWSAccess" {
		t.Errorf("policies %+v", policies.Policies)
	}
}

// An account that was asked for is made, whatever happens to the server.
func TestAccountsAreMadeAfterACrash(t *testing.T) {
	s := newServer(t)
	ann := root(t, s, accountA).user("ann", allow("*"))
	ctx := t.Context()
	_, err := ann.orgs().CreateOrganization(ctx, &organizations.CreateOrganizationInput{})
	ann.must("create organization", err)
	var requests []string
	for _, name := range []string{"x", "y", "z"} {
		out, err := ann.orgs().CreateAccount(ctx, &organizations.CreateAccountInput{AccountName: &name, Email: new(name + "@example.com")})
		ann.must("create account", err)
		requests = append(requests, *out.CreateAccountStatus.Id)
	}
	s.Kill()
	if err := s.Start(ctx, "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	for _, r := range requests {
		account := ann.made(r)
		who, err := ann.assume(account, "OrganizationAccountAccessRole").sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if ann.must("identity", err); *who.Account != account {
			t.Errorf("it is of %s, want %s", *who.Account, account)
		}
	}
	if d := time.Since(before); d > 10*time.Second {
		t.Errorf("it took %s", d)
	}
	all, err := ann.orgs().ListAccounts(ctx, &organizations.ListAccountsInput{})
	if ann.must("list accounts", err); len(all.Accounts) != 4 {
		t.Errorf("%d accounts", len(all.Accounts))
	}
}
