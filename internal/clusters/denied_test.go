package clusters_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/google/go-cmp/cmp"

	"borealis/internal/clusters"
)

// requests fills an input for every operation there is. New operations join the
// tests by being in Ops, and fail them until they have an input here.
func requests(cluster, instance, snapshot string) map[string]any {
	arn := "arn:aws:rds:eu-west-1:111122223333:cluster:" + cluster
	return map[string]any{
		"AddTagsToResource":       &rds.AddTagsToResourceInput{ResourceName: &arn, Tags: []types.Tag{{Key: new("k"), Value: new("v")}}},
		"CopyDBClusterSnapshot":   &rds.CopyDBClusterSnapshotInput{SourceDBClusterSnapshotIdentifier: &snapshot, TargetDBClusterSnapshotIdentifier: new("another")},
		"CreateDBCluster":         newCluster("another"),
		"CreateDBClusterSnapshot": &rds.CreateDBClusterSnapshotInput{DBClusterIdentifier: &cluster, DBClusterSnapshotIdentifier: new("another")},
		"CreateDBInstance": &rds.CreateDBInstanceInput{
			DBInstanceIdentifier: new("another"), DBClusterIdentifier: &cluster, Engine: new("aurora-postgresql"), DBInstanceClass: new("db.r6g.large"),
		},
		"DeleteDBCluster":                     &rds.DeleteDBClusterInput{DBClusterIdentifier: &cluster, SkipFinalSnapshot: new(true)},
		"DeleteDBClusterSnapshot":             &rds.DeleteDBClusterSnapshotInput{DBClusterSnapshotIdentifier: &snapshot},
		"DeleteDBInstance":                    &rds.DeleteDBInstanceInput{DBInstanceIdentifier: &instance},
		"DescribeDBClusterSnapshotAttributes": &rds.DescribeDBClusterSnapshotAttributesInput{DBClusterSnapshotIdentifier: &snapshot},
		"DescribeDBClusterSnapshots":          &rds.DescribeDBClusterSnapshotsInput{},
		"DescribeDBClusters":                  &rds.DescribeDBClustersInput{},
		"DescribeDBEngineVersions":            &rds.DescribeDBEngineVersionsInput{},
		"DescribeDBInstances":                 &rds.DescribeDBInstancesInput{},
		"DescribeOrderableDBInstanceOptions":  &rds.DescribeOrderableDBInstanceOptionsInput{Engine: new("aurora-postgresql")},
		"ListTagsForResource":                 &rds.ListTagsForResourceInput{ResourceName: &arn},
		"ModifyDBCluster":                     &rds.ModifyDBClusterInput{DBClusterIdentifier: &cluster, CopyTagsToSnapshot: new(true)},
		"ModifyDBClusterSnapshotAttribute":    &rds.ModifyDBClusterSnapshotAttributeInput{DBClusterSnapshotIdentifier: &snapshot, AttributeName: new("restore")},
		"RemoveTagsFromResource":              &rds.RemoveTagsFromResourceInput{ResourceName: &arn, TagKeys: []string{"k"}},
		"RestoreDBClusterFromSnapshot":        &rds.RestoreDBClusterFromSnapshotInput{SnapshotIdentifier: &snapshot, DBClusterIdentifier: new("another"), Engine: new("aurora-postgresql")},
		"StartDBCluster":                      &rds.StartDBClusterInput{DBClusterIdentifier: &cluster},
		"StopDBCluster":                       &rds.StopDBClusterInput{DBClusterIdentifier: &cluster},
	}
}

// Whoever has no policy may do nothing, to what exists and to what does not,
// and learns nothing from the difference.
func TestStrangersAreDenied(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	ann.cluster("shop")
	ann.snapshot("nightly", "shop")
	carl := w.person(home, "carl")
	for _, existing := range []bool{true, false} {
		all := requests("shop", "shop-1", "nightly")
		if !existing {
			all = requests("none", "none", "none")
		}
		for name, op := range clusters.Ops {
			if all[name] == nil {
				t.Errorf("no request for %s", name)
				continue
			}
			before := len(w.log.events)
			_, err := op.Run(t.Context(), carl.rds(), all[name])
			want := "AccessDenied: User: arn:aws:iam::111122223333:user/carl is not authorized to perform: rds:" + name + " on resource: "
			carl.mayNot(name, want, err)
			if got := said(err); !strings.HasSuffix(got, " because no identity-based policy allows the rds:"+name+" action") {
				t.Errorf("%s: %s", name, got)
			}
			w.log.mu.Lock()
			last := w.log.events[len(w.log.events)-1]
			if len(w.log.events) == before || last.Allowed || last.Action != "rds:"+name || last.Caller.UserName != "carl" {
				t.Errorf("%s: on record is %+v", name, last)
			}
			w.log.mu.Unlock()
		}
	}
	w.settle()
	w.clean()
}

// Each action is decided for every resource that it touches.
func TestResourcesOfEachAction(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	ann.cluster("shop", func(in *rds.CreateDBClusterInput) { in.StorageEncrypted = nil })
	ann.snapshot("nightly", "shop")
	const a = "arn:aws:rds:eu-west-1:111122223333:"
	for name, want := range map[string][]string{
		"AddTagsToResource":                  {a + "cluster:shop"},
		"CopyDBClusterSnapshot":              {a + "cluster-snapshot:nightly", a + "cluster-snapshot:another"},
		"CreateDBCluster":                    {a + "cluster-pg:default.aurora-postgresql15", a + "subgrp:default", a + "cluster:another"},
		"CreateDBClusterSnapshot":            {a + "cluster:shop", a + "cluster-snapshot:another"},
		"CreateDBInstance":                   {a + "pg:default.aurora-postgresql15", a + "subgrp:default", a + "cluster:shop", a + "db:another"},
		"DeleteDBInstance":                   {a + "db:shop-1"},
		"DescribeDBClusters":                 {a + "cluster:*"},
		"DescribeDBClusterSnapshots":         {a + "cluster-snapshot:*"},
		"DescribeDBInstances":                {a + "db:*"},
		"DescribeDBEngineVersions":           {"*"},
		"DescribeOrderableDBInstanceOptions": {"*"},
		"ModifyDBClusterSnapshotAttribute":   {a + "cluster-snapshot:nightly"},
		"RestoreDBClusterFromSnapshot":       {a + "cluster-pg:default.aurora-postgresql15", a + "subgrp:default", a + "cluster-snapshot:nightly", a + "cluster:another"},
	} {
		// A policy that lacks one of them is not enough; one with all is.
		for missing := -1; missing < len(want); missing++ {
			var on []string
			for i, r := range want {
				if i != missing {
					on = append(on, r)
				}
			}
			on = append(on, "arn:aws:rds:eu-west-1:111122223333:none")
			dan := w.person(home, "dan", allowOn("rds:"+name, on...))
			_, err := clusters.Ops[name].Run(t.Context(), dan.rds(), requests("shop", "shop-1", "nightly")[name])
			refused := err != nil && strings.HasPrefix(said(err), "AccessDenied")
			switch {
			case missing >= 0 && (!refused || !strings.Contains(said(err), "on resource: "+want[missing]+" ")):
				t.Errorf("%s without %s: %v", name, want[missing], err)
			case missing < 0 && refused:
				t.Errorf("%s with %v: %v", name, want, err)
			}
			w.settle()
		}
	}
}

// Tags at creation need rds:AddTagsToResource too, and policies may look at them.
func TestTagsInPolicies(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	ann.cluster("shop", func(in *rds.CreateDBClusterInput) {
		in.StorageEncrypted, in.Tags = nil, []types.Tag{{Key: new("team"), Value: new("blue")}}
	})
	dan := w.person(home, "dan", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"rds:CreateDBClusterSnapshot","Resource":"*"},
		{"Effect":"Allow","Action":"rds:AddTagsToResource","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"red"},"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}},
		{"Effect":"Allow","Action":"rds:ModifyDBCluster","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"blue","rds:cluster-tag/team":"blue"}}}]}`)
	tagged := func(value string) error {
		_, err := dan.rds().CreateDBClusterSnapshot(t.Context(), &rds.CreateDBClusterSnapshotInput{
			DBClusterIdentifier: new("shop"), DBClusterSnapshotIdentifier: new("mine"), Tags: []types.Tag{{Key: new("team"), Value: &value}},
		})
		return err
	}
	dan.mayNot("tag with another team", "AccessDenied: User: arn:aws:iam::111122223333:user/dan is not authorized to perform: rds:AddTagsToResource on resource: arn:aws:rds:eu-west-1:111122223333:cluster-snapshot:mine ", tagged("blue"))
	dan.may("tag with the red team", tagged("red"))
	w.settle()
	modify := func() error {
		_, err := dan.rds().ModifyDBCluster(t.Context(), &rds.ModifyDBClusterInput{DBClusterIdentifier: new("shop"), CopyTagsToSnapshot: new(true)})
		return err
	}
	dan.may("modify what is the blue team's", modify())
	arn := "arn:aws:rds:eu-west-1:111122223333:cluster:shop"
	_, err := ann.rds().RemoveTagsFromResource(t.Context(), &rds.RemoveTagsFromResourceInput{ResourceName: &arn, TagKeys: []string{"team"}})
	ann.may("remove the tag", err)
	dan.mayNot("modify what is nobody's", "AccessDenied", modify())

	var many []types.Tag
	for i := range 50 {
		many = append(many, types.Tag{Key: new(fmt.Sprint(i)), Value: new("")})
	}
	_, err = ann.rds().AddTagsToResource(t.Context(), &rds.AddTagsToResourceInput{ResourceName: &arn, Tags: many})
	ann.may("put 50 tags on", err)
	_, err = ann.rds().AddTagsToResource(t.Context(), &rds.AddTagsToResourceInput{ResourceName: &arn, Tags: []types.Tag{{Key: new("x")}}})
	ann.mayNot("put one more on", "InvalidParameterValue", err)
	out, err := ann.rds().ListTagsForResource(t.Context(), &rds.ListTagsForResourceInput{ResourceName: &arn})
	if err != nil || len(out.TagList) != 50 {
		t.Errorf("ListTagsForResource: %d tags, %v", len(out.TagList), err)
	}
}

// Of many who create the same name at once, one does.
func TestOneNameOneWinner(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	key := ann.key("")
	var mu sync.Mutex
	got := map[string]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			in := newCluster("same")
			in.KmsKeyId = &key
			_, err := ann.rds().CreateDBCluster(t.Context(), in)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				got[strings.SplitN(said(err), ":", 2)[0]]++
			} else {
				got["made"]++
			}
		})
	}
	wg.Wait()
	w.settle()
	if d := cmp.Diff(map[string]int{"made": 1, "DBClusterAlreadyExistsFault": 7}, got); d != "" {
		t.Error(d)
	}
	if n := ann.grants(key); n != 1 {
		t.Errorf("%d grants, want the winner's", n)
	}
	w.clean()
}

// What one account names is its own, in its own Region.
func TestAccountsAndRegionsAreApart(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	bob := w.person(abroad, "bob", everything)
	for _, p := range []*person{ann, bob, ann.in("us-east-1")} {
		p.cluster("shop")
	}
	if a, b := ann.describeCluster("shop"), ann.in("us-east-1").describeCluster("shop"); *a.DbClusterResourceId == *b.DbClusterResourceId {
		t.Error("one cluster in two Regions")
	}
	for _, name := range []string{"arn:aws:rds:eu-west-1:111122223333:cluster:shop", "arn:aws:rds:us-east-1:444455556666:cluster:shop"} {
		_, err := bob.rds().DescribeDBClusters(t.Context(), &rds.DescribeDBClustersInput{DBClusterIdentifier: &name})
		bob.mayNot("describe "+name, "DBClusterNotFoundFault", err)
		_, err = bob.rds().DeleteDBCluster(t.Context(), &rds.DeleteDBClusterInput{DBClusterIdentifier: &name, SkipFinalSnapshot: new(true)})
		bob.mayNot("delete "+name, "DBClusterNotFoundFault", err)
	}
}
