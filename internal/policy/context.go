package policy

import (
	"strconv"
	"strings"
	"time"

	"borealis/internal/cloud"
)

// A key is a condition key as a policy names it.
type key struct {
	name string // as written
	// global reads a key that follows from the request itself; nil for others.
	global func(*request) (string, bool)
	// list is global for keys that have many values.
	list func(*request) []string
	tag  string // K of aws:PrincipalTag/K
	// wide says that what follows the name is data, a tag's key or an encryption
	// context's, so that a request can hold several that differ in case only.
	wide bool
}

const principalTag = "aws:principaltag/"

func newKey(name string) key {
	low := strings.ToLower(name)
	k := key{name: name, global: globals[low], list: lists[low]}
	if strings.HasPrefix(low, principalTag) {
		k.tag = name[len(principalTag):]
	}
	k.wide = strings.Contains(name, "/") || strings.Count(name, ":") > 1
	return k
}

// A request is a Question while it is being decided, with what is worked out
// on the way. It lives on the stack.
type request struct {
	*Question
	arn     [6]string // Resource, split at its first five colons
	isARN   bool
	scratch [1]string
}

func newRequest(q *Question) request {
	r := request{Question: q}
	rest := q.Resource
	for i := range 5 {
		before, after, ok := strings.Cut(rest, ":")
		if !ok {
			return r
		}
		r.arn[i], rest = before, after
	}
	r.arn[5], r.isARN = rest, true
	return r
}

// values are the request's values of a key, and whether it has the key at all.
// The answer is good until the next call.
func (r *request) values(k *key) ([]string, bool) {
	switch {
	case k.global != nil:
		if v, ok := k.global(r); ok {
			r.scratch[0] = v
			return r.scratch[:], true
		}
	case k.list != nil:
		if l := k.list(r); l != nil {
			return l, true
		}
	case k.tag != "":
		return r.principalTag(k.tag)
	}
	if v, ok := r.Context[k.name]; ok && !k.wide {
		return v, true
	}
	var all []string
	var found bool
	for name, v := range r.Context {
		if equalFold(name, k.name) {
			if !found {
				all = v
			} else {
				all = append(all[:len(all):len(all)], v...)
			}
			found = true
		}
	}
	return all, found
}

func (r *request) principalTag(tag string) ([]string, bool) {
	var all []string
	for name, v := range r.Caller.Tags {
		if equalFold(name, tag) {
			all = append(all, v)
		}
	}
	return all, all != nil
}

// named says that the caller is an identity of an account, rather than a service.
func (r *request) named() bool { return r.Caller.Kind != cloud.Service }

// globals are AWS's global condition keys that have one value, in lower case.
// Each says which requests have it.
var globals = map[string]func(*request) (string, bool){
	"aws:principalarn":     func(r *request) (string, bool) { return r.Caller.Principal, r.named() },
	"aws:principalaccount": func(r *request) (string, bool) { return string(r.Caller.Account), r.named() },
	"aws:principaltype": func(r *request) (string, bool) {
		if r.Caller.Kind == cloud.Root {
			return "Account", true
		}
		return string(r.Caller.Kind), r.named()
	},
	"aws:principalisawsservice": func(r *request) (string, bool) { return strconv.FormatBool(!r.named()), true },
	"aws:principalservicename":  func(r *request) (string, bool) { return r.Caller.Service, !r.named() },
	"aws:userid":                func(r *request) (string, bool) { return r.Caller.UserID, r.named() },
	"aws:username":              func(r *request) (string, bool) { return r.Caller.UserName, r.Caller.UserName != "" },
	// A service that calls in the caller's name does so from its own address.
	"aws:sourceip": func(r *request) (string, bool) {
		return r.Caller.SourceIP, r.Caller.SourceIP != "" && len(r.Caller.Via) == 0
	},
	"aws:securetransport": func(r *request) (string, bool) {
		return strconv.FormatBool(r.Caller.SecureTransport || len(r.Caller.Via) > 0), true
	},
	"aws:useragent": func(r *request) (string, bool) {
		if n := len(r.Caller.Via); n > 0 {
			return r.Caller.Via[n-1], true
		}
		return r.Caller.UserAgent, r.Caller.UserAgent != ""
	},
	"aws:currenttime": func(r *request) (string, bool) {
		return r.Now.UTC().Format(time.RFC3339), true
	},
	"aws:epochtime":       func(r *request) (string, bool) { return strconv.FormatInt(r.Now.Unix(), 10), true },
	"aws:requestedregion": func(r *request) (string, bool) { return string(r.Caller.Region), r.Caller.Region != "" },
	"aws:resourceaccount": func(r *request) (string, bool) { return string(r.Owner), r.Owner != "" },
	"aws:viaawsservice":   func(r *request) (string, bool) { return strconv.FormatBool(len(r.Caller.Via) > 0), true },
	"aws:calledviafirst": func(r *request) (string, bool) {
		if len(r.Caller.Via) == 0 {
			return "", false
		}
		return r.Caller.Via[0], true
	},
	"aws:calledvialast": func(r *request) (string, bool) {
		if len(r.Caller.Via) == 0 {
			return "", false
		}
		return r.Caller.Via[len(r.Caller.Via)-1], true
	},
	// These three exist for temporary credentials only. That is why a Deny unless
	// MFA is written with BoolIfExists.
	"aws:tokenissuetime": func(r *request) (string, bool) {
		return r.Caller.TokenIssued.UTC().Format(time.RFC3339), !r.Caller.TokenIssued.IsZero()
	},
	"aws:multifactorauthpresent": func(r *request) (string, bool) {
		return strconv.FormatBool(r.Caller.MFA), !r.Caller.TokenIssued.IsZero()
	},
	"aws:multifactorauthage": func(r *request) (string, bool) {
		age := r.Now.Sub(r.Caller.TokenIssued) / time.Second
		return strconv.FormatInt(int64(age), 10), r.Caller.MFA && !r.Caller.TokenIssued.IsZero()
	},
}

// lists are the global keys that have many values.
var lists = map[string]func(*request) []string{
	"aws:calledvia": func(r *request) []string { return r.Caller.Via },
	"aws:principalservicenameslist": func(r *request) []string {
		if r.named() {
			return nil
		}
		return []string{r.Caller.Service, withoutRegion(r.Caller.Service)}
	},
}
