package policy

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"borealis/internal/cloud"
)

// A key is a condition key as a policy names it.
type key struct {
	name   string // as written
	low    string // in lower case
	global globalKey
	tag    string // K of aws:PrincipalTag/K
	// wide says that what follows the name is data, a tag's key or an encryption
	// context's, so that a request can hold several that differ in case only.
	wide bool
}

const principalTag = "aws:principaltag/"

func newKey(name string) key {
	low := lowered(name)
	k := key{name: name, low: low, global: globalKeys[low]}
	if strings.HasPrefix(low, principalTag) {
		k.tag = name[len(principalTag):]
	}
	k.wide = strings.Contains(name, "/") || strings.Count(name, ":") > 1
	return k
}

// A globalKey is one of AWS's global condition keys that follow from the
// caller, the owner and the time.
type globalKey uint8

const (
	noGlobal globalKey = iota
	principalARN
	principalAccount
	principalType
	principalIsService
	principalServiceName
	principalServiceNames
	userID
	userName
	sourceIP
	secureTransport
	userAgent
	currentTime
	epochTime
	requestedRegion
	resourceAccount
	viaService
	calledVia
	calledViaFirst
	calledViaLast
	tokenIssueTime
	mfaPresent
	mfaAge
	sourceIdentity
	federatedProvider
	sourceARN
	sourceAccount
	principalOrgID
	principalOrgPaths
	resourceOrgID
	resourceOrgPaths
	sourceOrgID
	sourceOrgPaths
)

var globalKeys = map[string]globalKey{
	"aws:principalarn":              principalARN,
	"aws:principalaccount":          principalAccount,
	"aws:principaltype":             principalType,
	"aws:principalisawsservice":     principalIsService,
	"aws:principalservicename":      principalServiceName,
	"aws:principalservicenameslist": principalServiceNames,
	"aws:userid":                    userID,
	"aws:username":                  userName,
	"aws:sourceip":                  sourceIP,
	"aws:securetransport":           secureTransport,
	"aws:useragent":                 userAgent,
	"aws:currenttime":               currentTime,
	"aws:epochtime":                 epochTime,
	"aws:requestedregion":           requestedRegion,
	"aws:resourceaccount":           resourceAccount,
	"aws:viaawsservice":             viaService,
	"aws:calledvia":                 calledVia,
	"aws:calledviafirst":            calledViaFirst,
	"aws:calledvialast":             calledViaLast,
	"aws:tokenissuetime":            tokenIssueTime,
	"aws:multifactorauthpresent":    mfaPresent,
	"aws:multifactorauthage":        mfaAge,
	"aws:sourceidentity":            sourceIdentity,
	"aws:federatedprovider":         federatedProvider,
	"aws:sourcearn":                 sourceARN,
	"aws:sourceaccount":             sourceAccount,
	"aws:principalorgid":            principalOrgID,
	"aws:principalorgpaths":         principalOrgPaths,
	"aws:resourceorgid":             resourceOrgID,
	"aws:resourceorgpaths":          resourceOrgPaths,
	"aws:sourceorgid":               sourceOrgID,
	"aws:sourceorgpaths":            sourceOrgPaths,
}

// A request is a Question while it is being decided, with what is worked out
// on the way. It lives on the stack.
type request struct {
	*Question
	action  string    // Action in lower case
	arn     [6]string // Resource, split at its first five colons
	isARN   bool
	scratch [2]string
	last    lookup // policies ask for the same few keys over and over
	ip      parsed // and about one address
}

// A parsed is an IP address as text and as what it means.
type parsed struct {
	text string
	addr netip.Addr // zero if text is no address
}

// A lookup is what Context and More say to a name.
type lookup struct {
	name   string
	values []string
	found  bool
}

func newRequest(q *Question) request {
	r := request{Question: q, action: lowered(q.Action)}
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

// address is the address that text is; the zero Addr, which is in no prefix, if
// it is none. It reads an address once for all that is said about it.
func (r *request) address(text string) netip.Addr {
	if r.ip.text != text {
		own := strings.Clone(text) // a parser may keep it
		addr, _ := netip.ParseAddr(own)
		r.ip = parsed{own, addr.Unmap()}
	}
	return r.ip.addr
}

// values are the request's values of a key, and whether it has the key at all.
// The answer is good until the next call. What follows from the request itself
// is not the Context's to say; a key that does not, such as aws:username for a
// role, is. So is whose the resource is, where another side is not asked.
func (r *request) values(k *key) ([]string, bool) {
	if r.Hypothetical {
		return r.Context.Condition(k.low)
	}
	if k.global == resourceAccount {
		if v, ok := r.Context["aws:ResourceAccount"]; ok {
			return v, true
		}
	}
	if k.global != noGlobal {
		if v, ok := r.global(k.global); ok {
			return v, true
		}
	}
	if k.tag != "" {
		return r.principalTag(k.tag)
	}
	if !k.wide {
		if v, ok := r.Context[k.name]; ok {
			return v, true
		}
	}
	if r.last.name != k.name {
		all, found := r.Context.Condition(k.low)
		if !found && r.More != nil {
			all, found = r.More.Condition(k.low)
		}
		if !found && len(r.Caller.Session) > 0 {
			all, found = Context(r.Caller.Session).Condition(k.low)
		}
		r.last = lookup{k.name, all, found}
	}
	return r.last.values, r.last.found
}

// principalTag are the values of the caller's tags that are called tag in one case
// or another.
func (r *request) principalTag(tag string) (values []string, found bool) {
	n := 0
	for name, v := range r.Caller.Tags {
		if EqualFold(name, tag) {
			r.scratch[0] = v
			n++
		}
	}
	if n < 2 {
		return r.scratch[:n], n == 1
	}
	return foldedValues(r.Caller.Tags, tag), true
}

func foldedValues(tags map[string]string, tag string) (all []string) {
	for name, v := range tags {
		if EqualFold(name, tag) {
			all = append(all, v)
		}
	}
	return all
}

// global are the values of a global key. Which requests have it is AWS's
// "Availability" of the key.
func (r *request) global(k globalKey) ([]string, bool) {
	via := r.Caller.Via
	switch k {
	case calledVia:
		return via, len(via) > 0
	case principalServiceNames:
		r.scratch = [2]string{r.Caller.Service, withoutRegion(r.Caller.Service)}
		return r.scratch[:], r.isService()
	}
	v, ok := r.globalCaller(k)
	if !ok {
		v, ok = r.globalRequest(k)
	}
	if !ok {
		v, ok = r.globalSession(k)
	}
	if !ok {
		v, ok = r.globalOrganization(k)
	}
	r.scratch[0] = v
	return r.scratch[:1], ok
}

// isIdentity says that the caller belongs to an account.
func (r *request) isIdentity() bool { return !r.Caller.Kind.Outside() }

func (r *request) isService() bool { return r.Caller.Kind == cloud.Service }

// globalCaller are the keys about who calls.
func (r *request) globalCaller(k globalKey) (string, bool) {
	c := &r.Caller
	switch k {
	case principalARN:
		return c.Principal, r.isIdentity()
	case principalAccount:
		return string(c.Account), r.isIdentity()
	case principalType:
		if c.Kind == cloud.Root {
			return "Account", true
		}
		return string(c.Kind), r.isIdentity()
	case principalIsService:
		return strconv.FormatBool(r.isService()), true
	case principalServiceName:
		return c.Service, r.isService()
	case userID:
		return c.UserID, r.isIdentity()
	case userName:
		return c.UserName, c.UserName != ""
	case federatedProvider:
		return c.Provider, c.Provider != ""
	}
	return "", false
}

// globalRequest are the keys about the request and its way.
func (r *request) globalRequest(k globalKey) (string, bool) {
	c := &r.Caller
	via := len(c.Via) > 0
	switch k {
	case sourceIP: // a service that passes the request on does so from its own address
		return c.SourceIP, c.SourceIP != "" && !via
	case secureTransport:
		return strconv.FormatBool(c.SecureTransport || via), true
	case userAgent:
		if via {
			return c.Via[len(c.Via)-1], true
		}
		return c.UserAgent, c.UserAgent != ""
	case currentTime:
		return r.Now.UTC().Format(time.RFC3339), true
	case epochTime:
		return strconv.FormatInt(r.Now.Unix(), 10), true
	case requestedRegion:
		return string(c.Region), c.Region != ""
	case resourceAccount:
		return string(r.Owner), r.Owner != ""
	case viaService:
		return strconv.FormatBool(via), true
	case sourceARN:
		return c.SourceARN, c.SourceARN != ""
	case sourceAccount:
		if a, err := cloud.ParseARN(c.SourceARN); err == nil {
			return string(a.Account), a.Account != ""
		}
	case calledViaFirst:
		if via {
			return c.Via[0], true
		}
	case calledViaLast:
		if via {
			return c.Via[len(c.Via)-1], true
		}
	}
	return "", false
}

// globalSession are the keys that only temporary credentials have. That is why
// a Deny without MFA is written with BoolIfExists.
func (r *request) globalSession(k globalKey) (string, bool) {
	issued := r.Caller.TokenIssued
	if issued.IsZero() {
		return "", false
	}
	switch k {
	case tokenIssueTime:
		return issued.UTC().Format(time.RFC3339), true
	case mfaPresent:
		return strconv.FormatBool(r.Caller.MFA), true
	case mfaAge:
		return strconv.FormatInt(int64(r.Now.Sub(issued)/time.Second), 10), r.Caller.MFA
	case sourceIdentity:
		return r.Caller.SourceIdentity, r.Caller.SourceIdentity != ""
	}
	return "", false
}

// globalOrganization are the keys about the organizations of the accounts.
// An account in none has none of them.
func (r *request) globalOrganization(k globalKey) (string, bool) {
	var v string
	switch k {
	case principalOrgID:
		v = r.CallerOrg.Organization
	case principalOrgPaths:
		v = r.CallerOrg.Path
	case resourceOrgID:
		v = r.OwnerOrg.Organization
	case resourceOrgPaths:
		v = r.OwnerOrg.Path
	case sourceOrgID:
		v = r.SourceOrg.Organization
	case sourceOrgPaths:
		v = r.SourceOrg.Path
	}
	return v, v != ""
}
