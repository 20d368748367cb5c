package clusters

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"borealis/internal/cloud"
)

// named are things that a listing shows in the order of their ARNs.
type named interface{ arn() cloud.ARN }

const (
	leastRecords = 20
	mostRecords  = 100
)

// page returns the part of all that a request asks for, and the marker of the
// next one, nil if this is the last. A marker is where the last page ended, so
// that what comes and goes meanwhile neither repeats nor hides the rest.
func page[T named](all []T, marker *string, records *int32) ([]T, *string, error) {
	most := mostRecords
	if records != nil {
		most = int(*records)
		if most < leastRecords || most > mostRecords {
			return nil, nil, invalidValue("Invalid value %d for MaxRecords. Must be between %d and %d", most, leastRecords, mostRecords)
		}
	}
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(a.arn().String(), b.arn().String()) })
	if given(marker) {
		after, err := base64.RawURLEncoding.DecodeString(*marker)
		if err != nil {
			return nil, nil, invalidValue("Invalid marker: %s", *marker)
		}
		all = keepIf(all, func(t T) bool { return t.arn().String() > string(after) })
	}
	if len(all) <= most {
		return all, nil, nil
	}
	all = all[:most]
	return all, new(base64.RawURLEncoding.EncodeToString([]byte(all[most-1].arn().String()))), nil
}

// keepIf returns those of all that keep keeps.
func keepIf[T any](all []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(t T) bool { return !keep(t) })
}

// A filterSet is what a request's Filters ask for: values by filter name.
type filterSet map[string][]string

// filters parses a request's Filters, of which it knows the names.
func filters(in []types.Filter, known ...string) (filterSet, error) {
	set := filterSet{}
	for _, f := range in {
		name := value(f.Name)
		if !slices.Contains(known, name) {
			return nil, invalidValue("Unrecognized filter name: %s", name)
		}
		if len(f.Values) == 0 {
			return nil, missing("Filters." + name)
		}
		set[name] = append(set[name], f.Values...)
	}
	return set, nil
}

// has reports whether the filter lets something pass that goes by any of names.
// A filter that was not given lets everything pass.
func (s filterSet) has(filter string, names ...string) bool {
	values, asked := s[filter]
	return !asked || slices.ContainsFunc(values, func(v string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(v, n) })
	})
}
