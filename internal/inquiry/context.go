package inquiry

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// set puts a.Context into q. Keys that follow from the caller or the request are
// set where they follow from; those that follow from the Ask itself are refused.
func (a *Ask) set(q *policy.Question) error {
	for _, name := range slices.Sorted(maps.Keys(a.Context)) {
		values := a.Context[name]
		low := strings.ToLower(name)
		if tag := len("aws:principaltag/"); strings.HasPrefix(low, "aws:principaltag/") && len(values) == 1 {
			q.Caller.Tags = maps.Clone(q.Caller.Tags)
			if q.Caller.Tags == nil {
				q.Caller.Tags = map[string]string{}
			}
			q.Caller.Tags[name[tag:]] = values[0]
			continue
		}
		put, special := settings[low]
		if !special {
			if from, ok := follows[low]; ok {
				return wrong("%s follows from %s and cannot be set", name, from)
			}
			q.Context[name] = values
			continue
		}
		if len(values) != 1 || !put(q, values[0]) {
			return wrong("%s cannot be %s", name, strings.Join(values, ", "))
		}
	}
	return nil
}

// follows says what condition keys follow from that cannot be set.
var follows = map[string]string{
	"aws:principalarn": "--principal", "aws:principalaccount": "--principal", "aws:principaltype": "--principal",
	"aws:principalisawsservice": "--principal", "aws:principalservicename": "--principal", "aws:principalservicenameslist": "--principal",
	"aws:userid": "--principal", "aws:username": "--principal", "aws:resourceaccount": "--resource",
	"aws:viaawsservice": "--via", "aws:calledvia": "--via", "aws:calledviafirst": "--via", "aws:calledvialast": "--via",
}

// settings are the condition keys that belong to the caller or the time.
var settings = map[string]func(*policy.Question, string) bool{
	"aws:sourceip":       func(q *policy.Question, v string) bool { q.Caller.SourceIP = v; return true },
	"aws:useragent":      func(q *policy.Question, v string) bool { q.Caller.UserAgent = v; return true },
	"aws:sourceidentity": func(q *policy.Question, v string) bool { q.Caller.SourceIdentity = v; return true },
	"aws:sourcearn":      func(q *policy.Question, v string) bool { q.Caller.SourceARN = v; return true },
	"aws:securetransport": func(q *policy.Question, v string) (ok bool) {
		q.Caller.SecureTransport, ok = truth(v)
		return ok
	},
	"aws:multifactorauthpresent": func(q *policy.Question, v string) (ok bool) {
		q.Caller.MFA, ok = truth(v)
		if q.Caller.TokenIssued.IsZero() {
			q.Caller.TokenIssued = q.Now // only sessions have the key
		}
		return ok
	},
	"aws:tokenissuetime": func(q *policy.Question, v string) bool { return moment(v, &q.Caller.TokenIssued) },
	"aws:currenttime":    func(q *policy.Question, v string) bool { return moment(v, &q.Now) },
	"aws:epochtime": func(q *policy.Question, v string) bool {
		n, err := strconv.ParseInt(v, 10, 64)
		q.Now = time.Unix(n, 0)
		return err == nil
	},
	"aws:requestedregion": func(q *policy.Question, v string) bool {
		q.Caller = q.Caller.In(regionOf(v))
		return q.Caller.Region != ""
	},
}

func truth(v string) (is, ok bool) {
	return strings.EqualFold(v, "true"), strings.EqualFold(v, "true") || strings.EqualFold(v, "false")
}

func moment(v string, to *time.Time) bool {
	t, err := time.Parse(time.RFC3339, v)
	*to = t
	return err == nil
}

// regionOf is v if it is the name of a Region, else "".
func regionOf(v string) cloud.Region {
	r, err := cloud.ParseRegion(v)
	if err != nil {
		return ""
	}
	return r
}
