"""Drives IAM with boto3 and the AWS CLI, as scripts that manage users, roles and policies do.

Its arguments are the account, and the path of the aws command or nothing; it says "well" at
the end.
"""

import json
import subprocess
import sys

import boto3

account, aws = sys.argv[1:]
iam = boto3.client("iam")


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def refused(code, words, call, **arguments):
    """Wants a call to fail with the exception that the client names code."""
    try:
        call(**arguments)
    except iam.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code and words in e.response["Error"]["Message"], e
        return
    raise AssertionError(f"{code} did not come")


def listed(operation, member, **arguments):
    """All that a paginator brings, three at a time."""
    pages = iam.get_paginator(operation).paginate(PaginationConfig={"PageSize": 3}, **arguments)
    return [item for page in pages for item in page[member]]


def cli(*words):
    """What the AWS CLI answers, or None without one."""
    if not aws:
        return None
    text = subprocess.run([aws, "iam", *words, "--output", "json"], check=True, capture_output=True, text=True).stdout
    return json.loads(text) if text.strip() else {}


# A policy with versions, attached to a group, a role and many users.
made = iam.create_policy(
    PolicyName="reads", Path="/team/", Description="reads keys", Tags=[{"Key": "team", "Value": "orders"}],
    PolicyDocument=document({"Sid": "Reads", "Effect": "Allow", "Action": ["kms:Describe*", "kms:List*"], "Resource": "*"}),
)["Policy"]
arn = made["Arn"]
assert arn == f"arn:aws:iam::{account}:policy/team/reads" and made["AttachmentCount"] == 0, made
second = iam.create_policy_version(
    PolicyArn=arn, SetAsDefault=True,
    PolicyDocument=document({"Effect": "Allow", "Action": "kms:*", "Resource": f"arn:aws:kms:*:{account}:key/*", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}),
)["PolicyVersion"]
assert second["VersionId"] == "v2" and second["IsDefaultVersion"], second
text = iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]["Document"]
assert text["Statement"][0]["Action"] == "kms:*", text

iam.create_group(GroupName="crew")
iam.attach_group_policy(GroupName="crew", PolicyArn=arn)
names = [f"user{n}" for n in range(8)]
for name in names:
    iam.create_user(UserName=name, Path="/crew/")
    iam.add_user_to_group(GroupName="crew", UserName=name)
iam.create_role(RoleName="job", AssumeRolePolicyDocument=document({"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}))
iam.attach_role_policy(RoleName="job", PolicyArn=arn)
iam.get_waiter("user_exists").wait(UserName="user7")
iam.get_waiter("role_exists").wait(RoleName="job")
iam.get_waiter("policy_exists").wait(PolicyArn=arn)

assert [u["UserName"] for u in listed("list_users", "Users", PathPrefix="/crew/")] == names
assert [u["UserName"] for u in listed("get_group", "Users", GroupName="crew")] == names
assert [p["PolicyName"] for p in listed("list_attached_group_policies", "AttachedPolicies", GroupName="crew")] == ["reads"]
assert [v["VersionId"] for v in listed("list_policy_versions", "Versions", PolicyArn=arn)] == ["v2", "v1"]
details = listed("get_account_authorization_details", "UserDetailList", Filter=["User"])
assert {d["UserName"] for d in details} >= set(names), details

# What would happen, before and after.
key = f"arn:aws:kms:eu-west-1:{account}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
user = f"arn:aws:iam::{account}:user/crew/user0"
asked = {"PolicySourceArn": user, "ActionNames": ["kms:Decrypt", "s3:GetObject"], "ResourceArns": [key]}
decrypt, get = listed("simulate_principal_policy", "EvaluationResults", **asked)
assert decrypt["EvalDecision"] == "implicitDeny" and decrypt["MissingContextValues"] == ["aws:MultiFactorAuthPresent"], decrypt
assert get["EvalDecision"] == "implicitDeny" and get["MatchedStatements"] == [] and get["EvalDecisionDetails"] == {}, get
mfa = [{"ContextKeyName": "aws:MultiFactorAuthPresent", "ContextKeyType": "boolean", "ContextKeyValues": ["true"]}]
decrypt = iam.simulate_principal_policy(ContextEntries=mfa, **asked)["EvaluationResults"][0]
assert decrypt["EvalDecision"] == "allowed", decrypt
matched = decrypt["ResourceSpecificResults"][0]["MatchedStatements"][0]
assert matched["SourcePolicyId"] == "reads" and matched["StartPosition"] == {"Line": 1, "Column": 41}, matched
assert iam.get_context_keys_for_principal_policy(PolicySourceArn=user)["ContextKeyNames"] == ["aws:MultiFactorAuthPresent"]
said = cli("simulate-principal-policy", "--policy-source-arn", user, "--action-names", "kms:Decrypt")
assert said is None or said["EvaluationResults"][0]["EvalDecision"] == "implicitDeny", said
said = cli("simulate-custom-policy", "--action-names", "kms:Decrypt", "--policy-input-list", document({"Effect": "Allow", "Action": "*", "Resource": "*"}))
assert said is None or said["EvaluationResults"][0]["EvalDecision"] == "allowed", said
said = cli("list-users", "--path-prefix", "/crew/", "--page-size", "3", "--max-items", "5")
assert said is None or len(said["Users"]) == 5 and said["NextToken"], said

# Nothing is deleted that is in use; then everything is.
refused("DeleteConflict", "attached to entities", iam.delete_policy, PolicyArn=arn)
refused("DeleteConflict", "must remove users from group first", iam.delete_group, GroupName="crew")
refused("NoSuchEntity", "The user with name nobody cannot be found.", iam.get_user, UserName="nobody")
refused("EntityAlreadyExists", "Role with name job already exists.", iam.create_role, RoleName="job", AssumeRolePolicyDocument=document({"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}))
for name in names:
    iam.remove_user_from_group(GroupName="crew", UserName=name)
    iam.delete_user(UserName=name)
iam.detach_group_policy(GroupName="crew", PolicyArn=arn)
iam.delete_group(GroupName="crew")
iam.detach_role_policy(RoleName="job", PolicyArn=arn)
iam.delete_role(RoleName="job")
iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
iam.delete_policy(PolicyArn=arn)
assert listed("list_users", "Users", PathPrefix="/crew/") == [] and listed("list_policies", "Policies", Scope="Local") == []
print("well")
