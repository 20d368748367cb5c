package share

import (
	"fmt"
	"regexp"
	"strings"
)

// A Request says what to share and how. The zero value of a field is the one to
// use unless its comment says otherwise.
type Request struct {
	// Snapshot is the identifier or ARN of a cluster snapshot of the source
	// account, manual or automated. Required.
	Snapshot string `json:"snapshot"`
	// TargetKey is the key of the target account that its copy is encrypted
	// under: id, ARN or alias. "alias/aws/rds" if empty, which makes a copy that
	// the target cannot share onward.
	TargetKey string `json:"target_key,omitempty"`
	// TargetPrincipal is the ARN of the user or role that the key policy lets in.
	// The target account's root if empty, which leaves the choice to that
	// account's IAM.
	TargetPrincipal string `json:"target_principal,omitempty"`
	// CopyID names the target's copy. The source snapshot's own name if empty
	// (without the "rds:" of automated ones).
	CopyID string `json:"copy_id,omitempty"`
	// Key is the customer managed key to create.
	Key KeyRequest `json:"key"`
	// Restore, if not nil, is the database to launch from the target's copy.
	Restore *Restore `json:"restore,omitempty"`
}

// A KeyRequest describes the customer managed key in the source account.
type KeyRequest struct {
	// Alias of the key. "alias/borealis-share-<run>" if empty.
	Alias string `json:"alias,omitempty"`
	// Description of the key. One that names snapshot and target if empty.
	Description string `json:"description,omitempty"`
	// Tags of everything that the run makes, beside "borealis:run".
	Tags map[string]string `json:"tags,omitempty"`
	// Administrators are ARNs of users and roles that the key policy lets manage
	// the key. The source's own user or role if empty.
	Administrators []string `json:"administrators,omitempty"`
	// AdministratorsMayDelete lets them schedule the key's deletion.
	AdministratorsMayDelete bool `json:"administrators_may_delete,omitempty"`
}

// A Restore is a database to launch in the target account.
type Restore struct {
	Cluster  string `json:"cluster"`         // identifier of the new cluster; required
	Instance string `json:"instance"`        // identifier of its instance; "<cluster>-1" if empty
	Class    string `json:"class,omitempty"` // instance class; "db.r6g.large" if empty
}

// runTag is the tag that everything the workflow makes carries.
const runTag = "borealis:run"

// defaultKey is the alias of the key that AWS manages for RDS in every account.
const defaultKey = "alias/aws/rds"

// maxID is how long RDS lets identifiers be.
const maxID = 63

// withDefaults fills in what the request leaves open, and checks the rest as far
// as it can be checked without asking AWS.
func withDefaults(req Request, p *Plan) (Request, error) {
	name := plainName(p.Snapshot.ID)
	req.Snapshot = p.Snapshot.ARN
	req.TargetKey = or(req.TargetKey, defaultKey)
	req.TargetPrincipal = or(req.TargetPrincipal, p.Target.root())
	req.CopyID = strings.ToLower(or(req.CopyID, shorten(name)))
	req.Key.Alias = or(req.Key.Alias, aliasPrefix+p.Run)
	req.Key.Description = or(req.Key.Description, "Shares snapshot "+name+" with account "+p.Target.Account)
	if len(req.Key.Administrators) == 0 && p.Source.Principal != "" && p.Source.Principal != p.Source.root() {
		req.Key.Administrators = []string{p.Source.Principal}
	}
	if r := req.Restore; r != nil {
		cluster := strings.ToLower(r.Cluster)
		req.Restore = &Restore{Cluster: cluster, Instance: strings.ToLower(or(r.Instance, cluster+"-1")), Class: or(r.Class, "db.r6g.large")}
	}
	return req, req.check(p)
}

func (req Request) check(p *Plan) error {
	if !aliasName.MatchString(req.Key.Alias) || strings.HasPrefix(req.Key.Alias, "alias/aws/") {
		return usagef("key alias %q must be alias/ and letters, digits, / _ or -, and not begin with alias/aws/", req.Key.Alias)
	}
	if err := checkTags(req.Key.Tags); err != nil {
		return err
	}
	if err := checkTargetKey(req.TargetKey, p); err != nil {
		return err
	}
	if err := checkID("the target's copy", req.CopyID); err != nil {
		return err
	}
	if r := req.Restore; r != nil {
		if r.Cluster == "" {
			return usagef("no identifier for the cluster to restore")
		}
		if err := checkID("the cluster", r.Cluster); err != nil {
			return err
		}
		return checkID("the instance", r.Instance)
	}
	return nil
}

var (
	aliasName  = regexp.MustCompile(`^alias/[a-zA-Z0-9/_-]{1,250}$`)
	identifier = regexp.MustCompile(`^[a-z]([a-z0-9]|-[a-z0-9])*$`)
)

func checkID(what, id string) error {
	if !identifier.MatchString(id) || len(id) > maxID {
		return usagef("%q cannot name %s: RDS takes up to %d letters, digits and single hyphens, first a letter, last no hyphen", id, what, maxID)
	}
	return nil
}

func checkTags(tags map[string]string) error {
	for k := range tags {
		if k == runTag || strings.HasPrefix(strings.ToLower(k), "aws:") {
			return usagef("tag %s is not yours to set", k)
		}
	}
	return nil
}

// checkTargetKey refuses an ARN of a key that the target's copy must not, or
// cannot, be under.
func checkTargetKey(key string, p *Plan) error {
	f := strings.SplitN(key, ":", 6)
	switch {
	case f[0] != "arn":
		return nil
	case len(f) != 6 || f[2] != "kms":
		return usagef("target key %s is not the ARN of a KMS key", key)
	case f[4] != p.Target.Account:
		return usagef("target key %s belongs to account %s; name one of the target's own account %s, so that its copy depends on no other account", key, f[4], p.Target.Account)
	case f[3] != p.Target.Region:
		return usagef("target key %s is in %s, not in %s", key, f[3], p.Target.Region)
	}
	return nil
}

// plainName is a snapshot's name without what RDS puts before those of automated
// snapshots and backups.
func plainName(id string) string {
	return strings.ReplaceAll(strings.TrimPrefix(id, "rds:"), ":", "-")
}

// shorten cuts an identifier to the length that RDS takes.
func shorten(id string) string {
	if len(id) <= maxID {
		return id
	}
	return strings.TrimRight(id[:maxID], "-")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// usagef makes an ErrUsage.
func usagef(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrUsage)...)
}
