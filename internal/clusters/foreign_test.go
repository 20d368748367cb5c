package clusters_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"borealis/internal/clusters"
)

const (
	shopARN         = "arn:aws:rds:eu-west-1:111122223333:cluster:shop"
	shopInstanceARN = "arn:aws:rds:eu-west-1:111122223333:db:shop-1"
	shopSnapshotARN = "arn:aws:rds:eu-west-1:111122223333:cluster-snapshot:nightly"
)

// Whoever writes policies in another account cannot use them to ask what tags
// and versions this account's clusters have: what is there and what is not are
// answered alike, whatever the policies say.
func TestPoliciesAreNoOracle(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	ann.cluster("shop")
	ann.snapshot("nightly", "shop")
	for _, arn := range []string{shopARN, shopInstanceARN, shopSnapshotARN} {
		_, err := ann.rds().AddTagsToResource(t.Context(), &rds.AddTagsToResourceInput{ResourceName: &arn, Tags: []types.Tag{{Key: new("env"), Value: new("prod")}}})
		ann.may("tag "+arn, err)
	}
	spy := w.person(far, "spy", everything, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/env":"prod"}}},
		{"Effect":"Deny","Action":"*","Resource":"arn:aws:rds:*:*:pg:default.aurora-postgresql15"}]}`)
	for name, in := range requests(shopARN, shopInstanceARN, shopSnapshotARN) {
		switch name {
		case "CreateDBCluster", "DescribeDBClusterSnapshots", "DescribeDBClusters", "DescribeDBInstances", "DescribeDBEngineVersions", "DescribeOrderableDBInstanceOptions":
			continue // they name nothing of ann's
		case "AddTagsToResource":
			in = &rds.AddTagsToResourceInput{ResourceName: new(shopARN), Tags: []types.Tag{{Key: new("k"), Value: new("v")}}}
		case "ListTagsForResource":
			in = &rds.ListTagsForResourceInput{ResourceName: new(shopInstanceARN)}
		case "RemoveTagsFromResource":
			in = &rds.RemoveTagsFromResourceInput{ResourceName: new(shopSnapshotARN), TagKeys: []string{"k"}}
		}
		_, err := clusters.Ops[name].Run(t.Context(), spy.rds(), in)
		if got := said(err); !notFoundFault(got) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func notFoundFault(said string) bool {
	for _, code := range []string{"DBClusterNotFoundFault", "DBInstanceNotFound", "DBClusterSnapshotNotFoundFault"} {
		if len(said) > len(code) && said[:len(code)] == code {
			return true
		}
	}
	return false
}

// A resource has one ARN. Under any other, a Deny that names it would not be
// seen to be about it.
func TestOtherPartitionsAreNotThere(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	ann.cluster("shop")
	ann.snapshot("nightly", "shop")
	deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":["` +
		shopARN + `","` + shopInstanceARN + `","` + shopSnapshotARN + `"]}]}`
	carl := w.person(home, "carl", everything, deny)
	other := func(arn string) string { return "arn:aws-cn" + arn[len("arn:aws"):] }
	for name, in := range requests(other(shopARN), other(shopInstanceARN), other(shopSnapshotARN)) {
		switch name {
		case "CreateDBCluster", "DescribeDBClusterSnapshots", "DescribeDBClusters", "DescribeDBInstances", "DescribeDBEngineVersions", "DescribeOrderableDBInstanceOptions":
			continue
		case "AddTagsToResource":
			in = &rds.AddTagsToResourceInput{ResourceName: new(other(shopARN)), Tags: []types.Tag{{Key: new("k"), Value: new("v")}}}
		case "ListTagsForResource":
			in = &rds.ListTagsForResourceInput{ResourceName: new(other(shopInstanceARN))}
		case "RemoveTagsFromResource":
			in = &rds.RemoveTagsFromResourceInput{ResourceName: new(other(shopSnapshotARN)), TagKeys: []string{"k"}}
		}
		if _, err := clusters.Ops[name].Run(t.Context(), carl.rds(), in); err == nil {
			t.Errorf("%s worked on what carl is denied", name)
		}
	}
}

// A policy that keeps its people to resources of their own account keeps them
// from what others share.
func TestResourceAccountIsTheSnapshotsOwner(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	key := ann.key(sharedKeyPolicy(home, abroad, "kms:*"))
	ann.cluster("shop", func(in *rds.CreateDBClusterInput) { in.KmsKeyId = &key })
	ann.snapshot("nightly", "shop")
	ann.may("share", ann.share("nightly", string(abroad)))
	bob := w.person(abroad, "bob", everything, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Deny","Action":"rds:*","Resource":"*","Condition":{"StringNotEquals":{"aws:ResourceAccount":"`+string(abroad)+`"}}}]}`)
	const denied = "AccessDenied: User: arn:aws:iam::444455556666:user/bob is not authorized to perform: "
	bob.mayNot("copy", denied+"rds:CopyDBClusterSnapshot on resource: "+shopSnapshotARN, bob.copy(shopSnapshotARN, "mine", bob.key("")))
	bob.mayNot("restore", denied+"rds:RestoreDBClusterFromSnapshot on resource: "+shopSnapshotARN, bob.restore(shopSnapshotARN, "mine", bob.key("")))
}
