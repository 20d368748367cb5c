package policy_test

import (
	"fmt"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// A key's owner has let another account in for grants through RDS, but the user
// there calls KMS directly.
func ExampleQuestion_Explain() {
	keyPolicy, err := policy.ResourceKind.Parse("key policy", `{
		"Version": "2012-10-17",
		"Statement": {
			"Sid": "TargetGrantsToRdsOnly", "Effect": "Allow",
			"Principal": {"AWS": "arn:aws:iam::444455556666:root"},
			"Action": "kms:CreateGrant", "Resource": "*",
			"Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}}
		}}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	q := policy.Question{
		Caller:            cloud.Caller{Kind: cloud.User, Account: "444455556666", ARN: "arn:aws:iam::444455556666:user/bob", Principal: "arn:aws:iam::444455556666:user/bob"},
		Action:            "kms:CreateGrant",
		Resource:          "arn:aws:kms:eu-west-1:111122223333:key/k",
		Owner:             "111122223333",
		ResourcePolicy:    keyPolicy,
		ResourceMustAllow: true,
		Context:           policy.Context{"kms:GrantIsForAWSResource": {"false"}},
		Now:               time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC),
	}
	fmt.Println(q.Decide())
	fmt.Print(q.Explain().Tree())
	// Output:
	// denied because no resource-based policy allows the kms:CreateGrant action
	// arn:aws:iam::444455556666:user/bob
	//   kms:CreateGrant on arn:aws:kms:eu-west-1:111122223333:key/k
	//   denied because no resource-based policy allows the kms:CreateGrant action
	//   resource-based policy: key policy
	//     Allow 0 "TargetGrantsToRdsOnly" does not apply: its Condition wants kms:GrantIsForAWSResource Bool true, but kms:GrantIsForAWSResource is false
}
