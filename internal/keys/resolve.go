package keys

import (
	"context"
	"strings"
	"time"

	"borealis/internal/cloud"
)

// A name is a KeyId parameter, parsed: a key or an alias, and where it is.
type name struct {
	Place
	id    string // the key's id, or
	alias string // the alias's name, which starts with "alias/"
}

// arn is the name in full.
func (n name) arn() string {
	if n.alias != "" {
		return n.Place.alias(n.alias)
	}
	return n.key(n.id)
}

// isKeyID says that s is spelled as the ids of keys are: a UUID in lower case,
// or mrk- and 32 hex digits.
func isKeyID(s string) bool {
	hex, multiRegion := strings.CutPrefix(s, "mrk-")
	if !multiRegion {
		if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return false
		}
		hex = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	return len(hex) == 32 && strings.Trim(hex, "0123456789abcdef") == ""
}

// home is the caller's own account and Region, where bare ids and alias names
// are looked up.
func (v *View) home() Place { return Place{v.caller.Account, v.caller.Region} }

// parseName reads a KeyId parameter: a key id, a key ARN, an alias name or an
// alias ARN. Only ARNs reach another account, and nothing reaches another
// Region.
func (v *View) parseName(s string) (name, error) {
	n := name{Place: v.home()}
	resource := s
	if strings.HasPrefix(s, "arn:") {
		arn, err := cloud.ParseARN(s)
		if err != nil || arn.Partition != cloud.Partition || arn.Service != "kms" {
			return name{}, invalidARN("Invalid arn %s", s)
		}
		if arn.Region != v.caller.Region {
			return name{}, notFound("Invalid arn %s", v.caller.Region)
		}
		n.Account, resource = arn.Account, arn.Resource
	}
	if strings.HasPrefix(resource, "alias/") {
		n.alias = resource
		return n, nil
	}
	id, qualified := strings.CutPrefix(resource, "key/")
	if qualified != (resource != s) || !isKeyID(id) {
		return name{}, notFound("Invalid keyId '%s'", s)
	}
	n.id = id
	return n, nil
}

// A target is the key that a request is about.
type target struct {
	// loaded is the key. It is nil for a key that another account does not have,
	// which a caller is told no different from one that may not be used.
	*loaded
	ref   Ref    // ID is "" where an alias of another account leads nowhere
	arn   string // the key's ARN, or what was asked for if there is no key
	alias string // the alias that the request named, or ""
	// elsewhere says that the request named not the key but, by its ARN, one of its
	// family in another Region.
	elsewhere bool
	// unborn says that the key is not stored yet: an AWS managed key, which is
	// made for the first authorized request that names its alias.
	unborn bool
	// at is when the request was decided, and event, for an action that uses the
	// key's material, the id of the decision on record.
	event string
	// asked is the action that was decided about.
	asked string
	at    time.Time
}

// find looks up the key that s names, for an action.
func (v *View) find(ctx context.Context, action, s string) (target, error) {
	n, err := v.parseName(s)
	if err != nil {
		return target{}, err
	}
	t := target{ref: Ref{n.Place, n.id}, arn: n.arn(), alias: n.alias}
	if n.alias != "" {
		if !rules[action].alias {
			return target{}, invalidARN("Key Aliases are not supported for this operation.")
		}
		t.ref.ID, err = v.lookUpAlias(ctx, n.Place, n.alias)
		switch {
		case isNotFound(err) && v.mayBear(action, n):
			return v.unborn(n)
		case isNotFound(err) && n.Account != v.caller.Account:
			return t, nil
		case isNotFound(err):
			return target{}, notFound("Alias %s is not found.", t.arn)
		case err != nil:
			return target{}, err
		}
	}
	return v.findKey(ctx, t)
}

// findKey completes t, whose ref is known.
func (v *View) findKey(ctx context.Context, t target) (target, error) {
	l, err := v.load(ctx, t.ref)
	gone := isNotFound(err) || err == nil && l.State == PendingDeletion && !v.Now().Before(l.Deletion)
	switch {
	case gone && t.ref.Account != v.caller.Account:
		return t, nil
	case gone:
		return target{}, notFound("Key '%s' does not exist", t.ref.ARN())
	case err != nil:
		return target{}, err
	}
	t.loaded = l.at(v.Now())
	if t.arn == "" || t.alias != "" {
		t.arn = l.ARN()
	}
	return t, nil
}
