package clusters_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
)

const contentRoot = "rds:borealis-content-root"

// rootOf is the content root that a snapshot shows, "" if it shows none.
func rootOf(tags []types.Tag) string {
	for _, t := range tags {
		if *t.Key == contentRoot {
			return *t.Value
		}
	}
	return ""
}

// The content root is a tag of every snapshot whose data is there, the same for
// all copies under whatever key and of whatever account, and nobody's to set.
func TestContentRoot(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	bob := w.person(abroad, "bob", everything)
	key := ann.key(sharedKeyPolicy(home, abroad, "kms:DescribeKey", "kms:CreateGrant"))
	ann.cluster("shop")
	held := w.disk.holds("Take")
	ann.may("begin to take", ann.take("nightly", "shop"))
	<-held.here
	if got := rootOf(ann.describeSnapshot("nightly").TagList); got != "" {
		t.Errorf("content root %q of a snapshot that is being taken", got)
	}
	held.answer <- nil
	w.settle()
	root := rootOf(ann.describeSnapshot("nightly").TagList)
	if len(root) != 64 {
		t.Fatalf("content root %q", root)
	}
	ann.may("copy", ann.copy("nightly", "handover", key))
	w.settle()
	ann.may("share", ann.share("handover", string(abroad)))
	if n := len(bob.describeShared(ann.arn("handover")).TagList); n != 0 {
		t.Errorf("bob sees %d tags of ann's", n)
	}
	bob.may("copy", bob.copy(ann.arn("handover"), "mine", bob.key("")))
	w.settle()
	for whose, tags := range map[string][]types.Tag{"ann": ann.describeSnapshot("handover").TagList, "bob": bob.describeSnapshot("mine").TagList} {
		if got := rootOf(tags); got != root {
			t.Errorf("%s's copy has content root %q, not %q", whose, got, root)
		}
	}
	arn := ann.arn("nightly")
	listed := func() []types.Tag {
		out, err := ann.rds().ListTagsForResource(t.Context(), &rds.ListTagsForResourceInput{ResourceName: &arn})
		ann.may("list tags", err)
		return out.TagList
	}
	if got := rootOf(listed()); got != root {
		t.Errorf("ListTagsForResource has content root %q", got)
	}
	_, err := ann.rds().AddTagsToResource(t.Context(), &rds.AddTagsToResourceInput{ResourceName: &arn, Tags: []types.Tag{{Key: new(contentRoot), Value: new("mine")}}})
	ann.mayNot("set the content root", "InvalidParameterValue", err)
	_, err = ann.rds().RemoveTagsFromResource(t.Context(), &rds.RemoveTagsFromResourceInput{ResourceName: &arn, TagKeys: []string{contentRoot}})
	ann.may("remove what is not hers", err)
	if got := rootOf(listed()); got != root {
		t.Errorf("content root %q after removing it", got)
	}
}

// describeShared describes a snapshot of another account.
func (p *person) describeShared(arn string) *describedSnapshot {
	p.w.t.Helper()
	out, err := p.rds().DescribeDBClusterSnapshots(p.w.t.Context(), &rds.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: &arn, IncludeShared: new(true)})
	p.may("describe "+arn, err)
	return &describedSnapshot{&out.DBClusterSnapshots[0]}
}
