package e2e

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// Operators' policies as one gathers them from AWS's documentation and from what
// existing tools use: restricted by a tag of the operator's own choice, and by
// names. The source's also has what cleaning up takes. S, T, ID, SOURCEKEY and
// OWNKEY are put in.
const (
	researchedSource = `{ "Version": "2012-10-17", "Statement": [
 { "Sid": "Look", "Effect": "Allow", "Resource": "*",
   "Action": ["rds:DescribeDBClusterSnapshots","rds:DescribeDBClusterSnapshotAttributes",
              "rds:ListTagsForResource","kms:ListAliases"] },
 { "Sid": "CopyToSharingKey", "Effect": "Allow",
   "Action": ["rds:CopyDBClusterSnapshot","rds:AddTagsToResource"],
   "Resource": ["arn:aws:rds:us-east-1:S:cluster-snapshot:ID","arn:aws:rds:us-east-1:S:cluster-snapshot:share-*"] },
 { "Sid": "ShareAndCleanOwnCopies", "Effect": "Allow",
   "Action": ["rds:ModifyDBClusterSnapshotAttribute","rds:DeleteDBClusterSnapshot"],
   "Resource": "arn:aws:rds:us-east-1:S:cluster-snapshot:share-*" },
 { "Sid": "MakeKey", "Effect": "Allow", "Action": "kms:CreateKey", "Resource": "*",
   "Condition": {"StringEquals": {"aws:RequestTag/managed-by": "borealis", "kms:KeySpec": "SYMMETRIC_DEFAULT"},
                 "Bool": {"kms:MultiRegion": "false"}} },
 { "Sid": "TagAndName", "Effect": "Allow", "Action": ["kms:TagResource","kms:CreateAlias"],
   "Resource": ["arn:aws:kms:us-east-1:S:key/*","arn:aws:kms:us-east-1:S:alias/borealis-*"] },
 { "Sid": "KeysOfOurs", "Effect": "Allow",
   "Action": ["kms:DescribeKey","kms:GetKeyPolicy","kms:PutKeyPolicy","kms:ListGrants",
              "kms:RevokeGrant","kms:ScheduleKeyDeletion","kms:CancelKeyDeletion","kms:EnableKeyRotation"],
   "Resource": "arn:aws:kms:us-east-1:S:key/*",
   "Condition": {"StringEquals": {"aws:ResourceTag/managed-by": "borealis"}} },
 { "Sid": "AliasDeletion", "Effect": "Allow", "Action": "kms:DeleteAlias",
   "Resource": ["arn:aws:kms:us-east-1:S:key/*","arn:aws:kms:us-east-1:S:alias/borealis-*"] },
 { "Sid": "GrantToRds", "Effect": "Allow", "Action": "kms:CreateGrant", "Resource": "arn:aws:kms:us-east-1:S:key/*",
   "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"},
                 "StringEquals": {"kms:ViaService": "rds.us-east-1.amazonaws.com", "aws:ResourceTag/managed-by": "borealis"}} } ] }`
	researchedTarget = `{ "Version": "2012-10-17", "Statement": [
 { "Sid": "Look", "Effect": "Allow", "Resource": "*",
   "Action": ["rds:DescribeDBClusterSnapshots","rds:ListTagsForResource"] },
 { "Sid": "CopySharedToOwn", "Effect": "Allow",
   "Action": ["rds:CopyDBClusterSnapshot","rds:AddTagsToResource"],
   "Resource": ["arn:aws:rds:us-east-1:S:cluster-snapshot:share-*","arn:aws:rds:us-east-1:T:cluster-snapshot:from-prod-*"] },
 { "Sid": "SourceKey", "Effect": "Allow", "Action": "kms:DescribeKey", "Resource": "arn:aws:kms:us-east-1:S:key/SOURCEKEY" },
 { "Sid": "OwnKey", "Effect": "Allow", "Action": "kms:DescribeKey", "Resource": "arn:aws:kms:us-east-1:T:key/OWNKEY" },
 { "Sid": "GrantsViaRds", "Effect": "Allow", "Action": "kms:CreateGrant",
   "Resource": ["arn:aws:kms:us-east-1:S:key/SOURCEKEY","arn:aws:kms:us-east-1:T:key/OWNKEY"],
   "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"},
                 "StringEquals": {"kms:ViaService": "rds.us-east-1.amazonaws.com"}} } ] }`
)

// researched shares under those policies. The target's names the source's key,
// which does not exist before the first run: that one is refused, and the next
// goes on.
func researched(t *testing.T, w *sharing) {
	id := w.snapshot(t)
	own, err := w.target.kms.CreateKey(t.Context(), &kms.CreateKeyInput{})
	must(t, err)
	fill := func(text, sourceKey string) string {
		return strings.NewReplacer(":S:", ":"+sourceID+":", ":T:", ":"+targetID+":", ":ID\"", ":"+id+"\"", "SOURCEKEY", sourceKey, "OWNKEY", *own.KeyMetadata.KeyId).Replace(text)
	}
	w.user(t, w.source, "researched-source", "researched-source", fill(researchedSource, ""))
	w.user(t, w.target, "researched-target", "researched-target", fill(researchedTarget, "not-known-yet"))
	args := []string{"--source-profile", "researched-source", "--target-profile", "researched-target", "--tag", "managed-by=borealis",
		"--copy-id", "from-prod-" + id, "--target-key", *own.KeyMetadata.KeyId}
	w.share(t, id, args...).wants(t, 12, "kms:DescribeKey is refused to arn:aws:iam::"+targetID+":user/researched-target")
	run := w.run(t, id, args...)
	arn := w.keysOf(t, run)[0]
	_, err = w.target.iam.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: new("researched-target"), PolicyName: new("policy0"),
		PolicyDocument: new(fill(researchedTarget, arn[strings.LastIndex(arn, "/")+1:]))})
	must(t, err)
	w.share(t, id, args...).wants(t, 0, "= copy-under-key", "✓ copy-to-target")
	w.oneSet(t, run, 0)
}
