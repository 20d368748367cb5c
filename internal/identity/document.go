package identity

import (
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
	p, err := policy.TrustKind.Parse("trust policy", text)
	if err != nil {
		return "", malformedPolicy("%v", err)
	}
	ids := map[string]string{}
	for _, who := range p.Principals() {
		if who.Type != policy.AWS || who.Value == "*" {
			continue
		}
		if ids[who.Value], err = trustedID(tx, who); err != nil {
			return "", err
		}
	}
	return mapPrincipals(text, func(v string) string {
		if id, ok := ids[v]; ok {
			return id
		}
		return v
	})
}

// trustedID is the unique id that stands for who in a trust policy; accounts
// are kept as they are written.
func trustedID(tx Tx, who policy.Principal) (string, error) {
	id, err := principalID(tx, who.Value)
	if err != nil && who.Account == "" { // perhaps it was an id already
		base, _, _ := strings.Cut(who.Value, ":")
		if _, err := callerOf(tx, base); err == nil {
			return who.Value, nil
		}
	}
	switch {
	case err != nil:
		return "", malformedPolicy(`Invalid principal in policy: "AWS":%q`, who.Value)
	case who.Whole():
		return cloud.AccountID(id).Root().String(), nil
	}
	return id, nil
}

// showTrust is a kept trust policy as it is shown: living principals by the ARN
// that they have now, dead ones by their unique id.
func showTrust(tx Tx, kept string) (string, error) {
	return mapPrincipals(kept, func(v string) string {
		base, session, _ := strings.Cut(v, ":")
		if base == "arn" || v == "*" {
			return v
		}
		c, err := callerOf(tx, base)
		if err != nil {
			return v
		}
		return principalARN(c, session)
	})
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
