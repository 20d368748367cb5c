package share_test

import (
	"errors"
	"strings"
	"testing"

	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"

	"borealis/share"
)

// Equal roots prove equality, others the contrary, and none proves nothing.
func TestVerify(t *testing.T) {
	root := strings.Repeat("ab", 32)
	for _, c := range []struct {
		name, source, target string
		want                 error
	}{
		{"the same", root, root, nil},
		{"different", root, strings.Repeat("cd", 32), share.ErrDiffers},
		{"none in the source, as on AWS", "", root, share.ErrNoContentRoot},
		{"none in the target", root, "", share.ErrNoContentRoot},
		{"no root in both", "", "", share.ErrNoContentRoot},
		{"not a hash", "x", "x", share.ErrNoContentRoot},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, flow := newWorld()
			put := func(account, value string) {
				s := snapshot("proven")
				s.DBClusterSnapshotArn = new("arn:aws:rds:" + region + ":" + account + ":cluster-snapshot:proven")
				if value != "" {
					s.TagList = []rdstypes.Tag{{Key: new("rds:borealis-content-root"), Value: &value}}
				}
				w.put(s)
			}
			put(sourceID, c.source)
			put(targetID, c.target)
			s, err := flow.Verify(t.Context(), "proven", "proven")
			if !errors.Is(err, c.want) || (err == nil) != (s != nil) {
				t.Errorf("Verify: %+v, %v; want %v", s, err, c.want)
			}
			if s != nil && s.ContentRoot != root {
				t.Errorf("content root %s", s.ContentRoot)
			}
		})
	}
}
