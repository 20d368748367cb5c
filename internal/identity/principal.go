package identity

import (
	"fmt"
	"strings"

	"borealis/internal/cloud"
)

// entityByARN finds the user or role that arn names, path included.
func entityByARN(tx Tx, arn string) (Entity, error) {
	missing := fmt.Errorf("principal %s: %w", arn, cloud.ErrNotFound)
	a, err := cloud.ParseARN(arn)
	if err != nil || a.Partition != cloud.Partition || a.Service != "iam" || a.Region != "" {
		return Entity{}, missing
	}
	kind, rest, _ := strings.Cut(a.Resource, "/")
	if Kind(kind) != User && Kind(kind) != Role {
		return Entity{}, missing
	}
	e, err := tx.Entity(a.Account, Kind(kind), rest[strings.LastIndex(rest, "/")+1:])
	if err != nil {
		return Entity{}, err
	}
	if e.ARN() != arn { // another path or another case of the same name
		return Entity{}, missing
	}
	return e, nil
}

// principalID is Service.PrincipalID inside a transaction.
func principalID(tx Tx, arn string) (string, error) {
	if a, err := cloud.ParseAccountID(arn); err == nil {
		_, err := tx.Account(a)
		return arn, err
	}
	a, err := cloud.ParseARN(arn)
	if err != nil {
		return "", fmt.Errorf("principal %s: %w", arn, cloud.ErrNotFound)
	}
	if a == a.Account.Root() {
		_, err := tx.Account(a.Account)
		return string(a.Account), err
	}
	if f := strings.Split(a.Resource, "/"); a.Service == "sts" && len(f) == 3 && f[0] == "assumed-role" {
		e, err := tx.Entity(a.Account, Role, f[1])
		return e.ID + ":" + f[2], err
	}
	e, err := entityByARN(tx, arn)
	return e.ID, err
}

// principalARN is what names c in policies, or a session of it.
func principalARN(c cloud.Caller, session string) string {
	if session != "" {
		return c.ARN + "/" + session
	}
	return c.Principal
}
