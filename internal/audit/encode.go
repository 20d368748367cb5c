package audit

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"borealis/internal/cloud"
)

// Version is the version of the lines that are written, their first member. A
// member may be added without a new one.
const Version = 1

const (
	// maxText bounds what a client can write into the log with one header.
	maxText = 512
	// maxError bounds an error's message, which may quote parameters.
	maxError = 4 << 10
	// maxExplanation bounds what says why something was denied.
	maxExplanation = 32 << 10
	// timeForm is RFC 3339 in UTC to the microsecond.
	timeForm = "2006-01-02T15:04:05.000000Z"
)

// What eventType says.
const (
	apiCall      = "AwsApiCall"
	serviceEvent = "AwsServiceEvent"
)

// types are CloudTrail's words for kinds of principal.
var types = map[cloud.PrincipalKind]string{
	cloud.Root:        "Root",
	cloud.User:        "IAMUser",
	cloud.AssumedRole: "AssumedRole",
	cloud.Service:     "AWSService",

	cloud.FederatedUser: "FederatedUser",
	cloud.WebIdentity:   "WebIdentityUser",
	cloud.SAML:          "SAMLUser",

	"": "Unknown", // nobody has signed, nor been vouched for
}

// appendEvent appends e, which belongs to no call, as a line of the log.
func appendEvent(b []byte, e *Event) []byte {
	service, name, _ := strings.Cut(e.Action, ":")
	eventType := apiCall
	if e.Unasked {
		eventType = serviceEvent
	}
	b = appendHead(b, e.ID, e.Time, service, name, eventType, &e.Caller)
	if len(e.EncryptionContext) > 0 {
		b = append(b, `,"requestParameters":{"encryptionContext":`...)
		b = appendStrings(b, e.EncryptionContext)
		b = append(b, '}')
	}
	if len(e.Detail) > 0 {
		b = append(b, `,"serviceEventDetails":`...)
		b = appendStrings(b, e.Detail)
	}
	d := [1]decision{e.decision()}
	b = appendDecisions(b, d[:])
	return appendEnd(b, d[:], Outcome{})
}

// appendCall appends c and how it ended as a line of the log.
func appendCall(b []byte, c *Call, decisions []decision, o Outcome) []byte {
	id := ""
	if len(decisions) > 0 {
		id = decisions[0].id
	}
	b = appendHead(b, id, c.Time, c.Service, c.Operation, apiCall, &c.Caller)
	b = appendStruct(b, "requestParameters", c.Service, c.Input, parameters)
	if o.Output != nil && !readOnly(c.Service, c.Operation) {
		b = appendStruct(b, "responseElements", c.Service, o.Output, elements)
	}
	b = appendDecisions(b, decisions)
	return appendEnd(b, decisions, o)
}

// appendHead appends what every line begins with.
func appendHead(b []byte, id string, at time.Time, service, name, eventType string, c *cloud.Caller) []byte {
	b = append(b, `{"version":1,"eventID":`...)
	if id == "" {
		b = append(b, '"')
		b = appendUUID(b)
		b = append(b, '"')
	} else {
		b = appendString(b, id)
	}
	b = append(b, `,"eventTime":"`...)
	b = at.UTC().AppendFormat(b, timeForm)
	b = append(b, `","eventSource":`...)
	b = appendString(b, service)
	b = append(b[:len(b)-1], `.amazonaws.com","eventName":`...)
	b = appendString(b, name)
	b = append(b, `,"eventType":"`...)
	b = append(b, eventType...)
	b = append(b, `","readOnly":`...)
	b = strconv.AppendBool(b, readOnly(service, name))
	b = appendMember(b, "awsRegion", string(c.Region))
	b = appendMember(b, "sourceIPAddress", c.SourceIP)
	b = appendMember(b, "userAgent", cut(c.UserAgent, maxText))
	b = appendMember(b, "requestID", c.RequestID)
	return appendIdentity(b, c)
}

func appendIdentity(b []byte, c *cloud.Caller) []byte {
	b = append(b, `,"userIdentity":{"type":`...)
	b = appendString(b, types[c.Kind])
	b = appendMember(b, "principalId", c.UserID)
	b = appendMember(b, "arn", c.ARN)
	b = appendMember(b, "accountId", string(c.Account))
	b = appendMember(b, "accessKeyId", c.AccessKeyID)
	b = appendMember(b, "userName", c.UserName)
	if c.Kind == cloud.AssumedRole {
		b = appendMember(b, "role", c.Principal)
	}
	if c.Kind == cloud.FederatedUser {
		b = appendMember(b, "maker", c.MakerARN)
	}
	b = appendMember(b, "identityProvider", c.Provider)
	b = appendMember(b, "sourceIdentity", c.SourceIdentity)
	if !c.TokenIssued.IsZero() {
		b = append(b, `,"sessionStarted":"`...)
		b = c.TokenIssued.UTC().AppendFormat(b, time.RFC3339)
		b = append(b, '"')
		if c.MFA {
			b = append(b, `,"mfa":true`...)
		}
	}
	if len(c.Via) > 0 {
		b = append(b, `,"via":[`...)
		for i, v := range c.Via {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, v)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

func appendDecisions(b []byte, decisions []decision) []byte {
	if len(decisions) == 0 {
		return b
	}
	b = append(b, `,"decisions":[`...)
	for i := range decisions {
		d := &decisions[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"action":`...)
		b = appendString(b, d.action)
		b = appendMember(b, "resource", d.resource)
		b = appendMember(b, "owner", string(d.owner))
		if d.allowed {
			b = append(b, `,"decision":"allowed"`...)
		} else {
			b = append(b, `,"decision":"denied"`...)
		}
		b = appendMember(b, "reason", cut(d.reason, maxError))
		if len(d.explanation) > 0 && len(d.explanation) <= maxExplanation {
			b = append(b, `,"explanation":`...)
			b = append(b, d.explanation...)
		}
		if i > 0 {
			b = appendMember(b, "eventID", d.id)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendEnd appends the error that the event ended with, if any, and the end of
// the line. How the call ended says more than what was known at its decisions.
func appendEnd(b []byte, decisions []decision, o Outcome) []byte {
	code, message := o.ErrorCode, o.ErrorMessage
	if code == "" {
		for i := range decisions {
			if d := &decisions[i]; !d.allowed {
				code, message = cmp.Or(d.code, "AccessDenied"), d.message
			} else if d.code != "" {
				code, message = d.code, d.message
			}
		}
	}
	b = appendMember(b, "errorCode", code)
	b = appendMember(b, "errorMessage", cut(message, maxError))
	return append(b, '}', '\n')
}

// NewID makes the id of an event, or of a request: a UUID, unlike every other. It
// need not be a secret, so it need not wait for crypto/rand.
func NewID() string { return string(appendUUID(make([]byte, 0, 36))) }

// appendUUID appends what NewID makes.
func appendUUID(b []byte) []byte {
	var u [16]byte
	binary.NativeEndian.PutUint64(u[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(u[8:], rand.Uint64())
	return appendAsUUID(b, u, 4)
}

// appendAsUUID appends u as a UUID of a version, which takes six of its bits.
func appendAsUUID(b []byte, u [16]byte, version byte) []byte {
	u[6], u[8] = u[6]&0x0f|version<<4, u[8]&0x3f|0x80
	for i, part := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return b
}

// appendMember appends a further member of an object, unless it is empty.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendString(b, value)
}

// appendStrings appends an object of strings, sorted.
func appendStrings(b []byte, m map[string]string) []byte {
	b = append(b, '{')
	if len(m) == 1 {
		for k, v := range m {
			b = appendPair(b, k, v)
		}
		return append(b, '}')
	}
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendPair(b, k, m[k])
	}
	return append(b, '}')
}

func appendPair(b []byte, k, v string) []byte {
	b = appendString(b, k)
	b = append(b, ':')
	return appendString(b, v)
}

// appendString appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[from:i]...)
			b = appendEscape(b, c)
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, s[from:i]...)
			b = append(b, "\ufffd"...)
			from = i + n
		}
		i += n
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

func appendEscape(b []byte, c byte) []byte {
	const hexDigits = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

func cut(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
