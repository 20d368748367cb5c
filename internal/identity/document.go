package identity

import (
	"errors"
	"net/url"
	"strings"
	"unicode"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// checkPolicy refuses what is no policy of kind k to give to users and roles.
func checkPolicy(k policy.Kind, text string) error {
	if _, err := k.Parse("policy", text); err != nil {
		return malformedPolicy("%v", err)
	}
	return nil
}

// keepTrust checks a role's trust policy and returns it as it is kept, with
// unique ids in place of the ARNs of users and roles.
func keepTrust(tx Tx, text string) (string, error) {
	if _, err := policy.TrustKind.Parse("trust policy", text); err != nil {
		return "", malformedPolicy("%v", err)
	}
	var invalid error
	kept, err := policy.ReplacePrincipals(text, func(who policy.Principal) string {
		if who.Type != policy.AWS || who.Value == "*" {
			return who.Value
		}
		id, err := trustedID(tx, who)
		if invalid == nil {
			invalid = err
		}
		return id
	})
	if invalid != nil {
		return "", invalid
	}
	return kept, err
}

// trustedID is what stands for who in a trust policy as it is kept: the unique
// id of a user, role or session, or the ARN of an account's root user.
func trustedID(tx Tx, who policy.Principal) (string, error) {
	id, err := principalID(tx, who.Value)
	if errors.Is(err, cloud.ErrNotFound) && who.Account == "" { // perhaps it is an id already
		id = who.Value
		_, err = showPrincipal(tx, id)
	}
	switch {
	case errors.Is(err, cloud.ErrNotFound):
		return "", malformedPolicy(`Invalid principal in policy: "AWS":%q`, who.Value)
	case err == nil && who.Whole():
		return cloud.AccountID(id).Root().String(), nil
	}
	return id, err
}

// showTrust is a kept trust policy as it is shown: living principals by the ARN
// that they have now, dead ones by their unique id.
func showTrust(tx Tx, kept string) (string, error) {
	var failed error
	shown, err := policy.ReplacePrincipals(kept, func(who policy.Principal) string {
		if who.Type != policy.AWS || who.Account != "" || who.Value == "*" {
			return who.Value // only unique ids are anything but what they were
		}
		arn, err := showPrincipal(tx, who.Value)
		if errors.Is(err, cloud.ErrNotFound) {
			return who.Value
		}
		if failed == nil {
			failed = err
		}
		return arn
	})
	if failed != nil {
		return "", failed
	}
	return shown, err
}

// showPrincipal is the ARN of a user, role or session by its unique id.
func showPrincipal(tx Tx, id string) (string, error) {
	base, session, _ := strings.Cut(id, ":")
	c, err := callerOf(tx, base)
	return principalARN(c, session), err
}

// size is the length of a document as quotas count it: white space is free.
func size(text string) int {
	n := 0
	for _, r := range text {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

// encoded is a document as answers carry it: percent-encoded (RFC 3986).
func encoded(text string) *string {
	return new(strings.ReplaceAll(url.QueryEscape(text), "+", "%20"))
}
