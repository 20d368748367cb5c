// Package cloud holds the words that every other package shares: accounts,
// Regions, ARNs, callers and the errors that mean the same thing everywhere.
// It imports nothing of ours and does no I/O.
package cloud

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that services share. They are wrapped with what was being done and to
// what, and translated to AWS's words once, at the edge of each service.
var (
	// ErrNotFound says that what was named does not exist, or that the caller
	// may not learn whether it does.
	ErrNotFound = errors.New("not found")
	// ErrExists says that the name is taken.
	ErrExists = errors.New("already exists")
	// ErrDenied says that policy does not let the caller do this.
	ErrDenied = errors.New("access denied")
	// ErrConflict says that what was read has changed since; read it again.
	ErrConflict = errors.New("changed meanwhile")
)

// An AccountID is a 12-digit AWS account number.
type AccountID string

// ParseAccountID checks that s is 12 digits.
func ParseAccountID(s string) (AccountID, error) {
	if len(s) != 12 || strings.Trim(s, "0123456789") != "" {
		return "", fmt.Errorf("%q is not a 12-digit account id", s)
	}
	return AccountID(s), nil
}

// A Region is the name of an AWS Region, such as "eu-west-1".
type Region string

// ParseRegion checks that s has the form of a Region's name. Any Region of that
// form exists: one server serves them all.
func ParseRegion(s string) (Region, error) {
	if !isRegion(s) {
		return "", fmt.Errorf("%q is not the name of a Region", s)
	}
	return Region(s), nil
}

// isRegion says whether s is two lower-case letters, one or more words of them
// and one or two digits, with dashes between.
func isRegion(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	area, rest, _ := strings.Cut(s, "-")
	last := strings.LastIndexByte(rest, '-')
	if len(area) != 2 || strings.Trim(area, letters) != "" || last < 0 {
		return false
	}
	number := rest[last+1:]
	if len(number) < 1 || len(number) > 2 || strings.Trim(number, "0123456789") != "" {
		return false
	}
	for word := range strings.SplitSeq(rest[:last], "-") {
		if word == "" || strings.Trim(word, letters) != "" {
			return false
		}
	}
	return true
}

// Partition is the only partition there is, in every ARN.
const Partition = "aws"

// An ARN is an Amazon Resource Name, taken apart.
type ARN struct {
	Partition string
	Service   string
	Region    Region    // "" for global services such as IAM
	Account   AccountID // "" for resources that no account owns, "aws" for AWS managed policies
	Resource  string    // the rest, colons included: "cluster-snapshot:rds:x-2026-01-05-03-10"
}

// ParseARN parses s. It is called once, where s enters the program.
// It demands six fields, of which partition, service and resource are not empty.
func ParseARN(s string) (ARN, error) {
	f := strings.SplitN(s, ":", 6)
	if len(f) != 6 || f[0] != "arn" || f[1] == "" || f[2] == "" || f[5] == "" {
		return ARN{}, fmt.Errorf("%q is not an ARN", s)
	}
	return ARN{Partition: f[1], Service: f[2], Region: Region(f[3]), Account: AccountID(f[4]), Resource: f[5]}, nil
}

// NewARN names a resource in this server's partition.
func NewARN(service string, r Region, a AccountID, resource string) ARN {
	return ARN{Partition: Partition, Service: service, Region: r, Account: a, Resource: resource}
}

// String is the ARN's text form, or "" for the zero ARN.
func (a ARN) String() string {
	if a == (ARN{}) {
		return ""
	}
	return "arn:" + a.Partition + ":" + a.Service + ":" + string(a.Region) + ":" + string(a.Account) + ":" + a.Resource
}

// IsZero reports whether a names nothing.
func (a ARN) IsZero() bool { return a == (ARN{}) }

// Root is the ARN of account a's root user, which in policies also stands for
// the account as a whole.
func (a AccountID) Root() ARN { return NewARN("iam", "", a, "root") }
