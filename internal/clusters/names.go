package clusters

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"strings"

	"borealis/internal/cloud"
)

// Limits of RDS, for each account and Region unless said otherwise.
const (
	maxClusters    = 40
	maxInstances   = 40
	maxSnapshots   = 100 // manual ones
	maxShares      = 20  // accounts that a snapshot is shared with
	maxTags        = 50  // of a resource
	maxCrossRegion = 5   // copies into a Region in progress
	maxName        = 63
	maxFinalName   = 255
)

// parseName checks the identifier in a parameter and returns it as it is kept:
// in lower case. Letters, digits and hyphens; first a letter; no hyphen last
// and no two together.
func parseName(parameter, s string, most int) (string, error) {
	switch {
	case s == "":
		return "", missing(parameter)
	case len(s) > most:
		return "", invalidValue("The parameter %s is not a valid identifier because it is longer than %d characters.", parameter, most)
	case !validName(s):
		return "", invalidValue("The parameter %s is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens.", parameter)
	}
	return strings.ToLower(s), nil
}

func validName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z':
		case '0' <= c && c <= '9', c == '-':
			if i == 0 || c == '-' && (i == len(s)-1 || s[i-1] == '-') {
				return false
			}
		default:
			return false
		}
	}
	return s != ""
}

// The types of resource, as their ARNs name them.
const (
	clusterType  = "cluster"
	instanceType = "db"
	snapshotType = "cluster-snapshot"
)

func (c Cluster) arn() cloud.ARN  { return arnOf(clusterType, c.Ident) }
func (i Instance) arn() cloud.ARN { return arnOf(instanceType, i.Ident) }
func (s Snapshot) arn() cloud.ARN { return arnOf(snapshotType, s.Ident) }

func arnOf(kind string, i Ident) cloud.ARN {
	return cloud.NewARN("rds", i.Region, i.Account, kind+":"+i.Name)
}

// lookAt says which resource of a type id means to the caller: an ARN names it
// fully; anything else is a name in the caller's own account and Region. No
// resource has two ARNs: policies that speak of the one would miss the other.
func (v *View) lookAt(kind, id string) cloud.ARN {
	a, err := cloud.ParseARN(id)
	if err != nil || a.Partition != cloud.Partition || a.Service != "rds" || !strings.HasPrefix(a.Resource, kind+":") {
		return cloud.NewARN("rds", v.caller.Region, v.caller.Account, kind+":"+strings.ToLower(id))
	}
	a.Resource = strings.ToLower(a.Resource)
	return a
}

// find returns the row that arn names, or cloud.ErrNotFound.
func find[R Row](t Table[R], arn cloud.ARN) (R, error) {
	_, name, _ := cutResource(arn)
	return t.Named(arn.Account, arn.Region, name)
}

// findOwn is find for what must be the caller's own, in the request's Region. Of
// a row that is not, nothing is returned: what policies were told of it, such as
// its tags, the answer would tell the caller.
func findOwn[R Row](v *View, t Table[R], arn cloud.ARN) (row R, found bool, err error) {
	row, err = find(t, arn)
	switch {
	case errors.Is(err, cloud.ErrNotFound):
		return *new(R), false, nil
	case err != nil || !v.owns(row.Identity()):
		return *new(R), false, err
	}
	return row, true, nil
}

// newID makes an id as RDS gives them: prefix and 26 capitals and digits.
func newID(prefix string) string {
	var b [16]byte
	rand.Read(b[:])
	return prefix + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}

// cutResource takes the resource of an ARN apart: its type and its name.
func cutResource(a cloud.ARN) (kind, name string, ok bool) { return strings.Cut(a.Resource, ":") }
