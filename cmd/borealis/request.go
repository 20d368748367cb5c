package main

import (
	"strings"

	"github.com/spf13/cobra"

	"borealis/share"
)

// requestFlags say what to share and how.
type requestFlags struct {
	share.Request
	restore share.Restore
	tags    []string
}

// define adds the flags to a command.
func (f *requestFlags) define(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.TargetKey, "target-key", "", "`KEY` of the target account for its copy: id, ARN or alias (default alias/aws/rds)")
	fl.StringVar(&f.CopyID, "copy-id", "", "`ID` for the target's copy (default: the snapshot's)")
	fl.StringVar(&f.restore.Cluster, "restore-cluster", "", "restore a cluster of this `ID` from the target's copy")
	fl.StringVar(&f.restore.Instance, "restore-instance", "", "`ID` for the cluster's instance (default <cluster>-1)")
	fl.StringVar(&f.restore.Class, "restore-class", "", "`CLASS` of the cluster's instance (default db.r6g.large)")
	fl.StringVar(&f.TargetPrincipal, "target-principal", "", "`ARN` of the target's user or role that the new key's policy lets in (default: the whole account)")
	fl.StringVar(&f.Key.Alias, "key-alias", "", "`ALIAS` of the new key (default alias/borealis-share-<run>)")
	fl.StringVar(&f.Key.Description, "key-description", "", "`TEXT` that describes the new key")
	fl.StringArrayVar(&f.Key.Administrators, "key-admin", nil, "`ARN` of a user or role that administers the new key, repeatable (default: yourself)")
	fl.BoolVar(&f.Key.AdministratorsMayDelete, "key-admins-may-delete", false, "let key administrators schedule the key's deletion")
	fl.StringArrayVar(&f.tags, "tag", nil, "`NAME=VALUE`, a tag for all that is made, repeatable")
}

// check completes the request with what its flags say in parts.
func (f *requestFlags) check() error {
	for _, t := range f.tags {
		k, v, ok := strings.Cut(t, "=")
		if !ok || k == "" {
			return usageErrorf("--tag is NAME=VALUE, not %q", t)
		}
		if f.Key.Tags == nil {
			f.Key.Tags = map[string]string{}
		}
		f.Key.Tags[k] = v
	}
	if f.restore != (share.Restore{}) {
		if f.restore.Cluster == "" {
			return usageErrorf("--restore-instance and --restore-class need --restore-cluster")
		}
		f.Restore = &f.restore
	}
	return nil
}
