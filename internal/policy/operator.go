package policy

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A comparison is what an operator does to one value of the request and one of
// the policy.
type comparison uint8

const (
	stringEquals comparison = iota
	stringFold
	stringLike
	numeric
	date
	boolean
	binary
	address
	arnLike
	null
)

// An order is which results of comparing two numbers or dates count.
type order uint8

const (
	less order = 1 << iota
	equal
	greater
)

// An operator is a condition operator without prefix and suffix.
type operator struct {
	compare comparison
	order   order // for numeric and date
	negated bool
}

// operators are the condition operators by name.
var operators = map[string]operator{
	"StringEquals":              {compare: stringEquals},
	"StringNotEquals":           {compare: stringEquals, negated: true},
	"StringEqualsIgnoreCase":    {compare: stringFold},
	"StringNotEqualsIgnoreCase": {compare: stringFold, negated: true},
	"StringLike":                {compare: stringLike},
	"StringNotLike":             {compare: stringLike, negated: true},
	"NumericEquals":             {compare: numeric, order: equal},
	"NumericNotEquals":          {compare: numeric, order: equal, negated: true},
	"NumericLessThan":           {compare: numeric, order: less},
	"NumericLessThanEquals":     {compare: numeric, order: less | equal},
	"NumericGreaterThan":        {compare: numeric, order: greater},
	"NumericGreaterThanEquals":  {compare: numeric, order: greater | equal},
	"DateEquals":                {compare: date, order: equal},
	"DateNotEquals":             {compare: date, order: equal, negated: true},
	"DateLessThan":              {compare: date, order: less},
	"DateLessThanEquals":        {compare: date, order: less | equal},
	"DateGreaterThan":           {compare: date, order: greater},
	"DateGreaterThanEquals":     {compare: date, order: greater | equal},
	"Bool":                      {compare: boolean},
	"BinaryEquals":              {compare: binary},
	"IpAddress":                 {compare: address},
	"NotIpAddress":              {compare: address, negated: true},
	"ArnEquals":                 {compare: arnLike},
	"ArnLike":                   {compare: arnLike},
	"ArnNotEquals":              {compare: arnLike, negated: true},
	"ArnNotLike":                {compare: arnLike, negated: true},
	"Null":                      {compare: null},
}

// A value is a condition value of a policy, read for its operator.
type value struct {
	text   string // as written
	tmpl   template
	fields []template // of an ARN
	number float64
	time   time.Time
	prefix netip.Prefix
	flag   bool
}

// parseValue reads text for operator op. vars says that strings may hold variables.
func parseValue(op operator, text string, vars bool) (v value, ok bool) {
	v.text = text
	switch op.compare {
	case stringEquals, stringFold, stringLike, arnLike:
		if v.tmpl, ok = parseTemplate(text, vars); !ok {
			return v, false
		}
		if op.compare == arnLike {
			v.fields = v.tmpl.cut(6)
		}
		if op.compare == stringEquals || op.compare == stringFold {
			v.tmpl.literal()
		}
		return v, true
	case numeric:
		v.number, ok = parseNumber(text)
	case date:
		v.time, ok = parseDate(text)
	case boolean, null:
		v.flag, ok = parseBool(text)
	case binary:
		b, err := base64.StdEncoding.DecodeString(text)
		v.tmpl.glob, ok = glob(b), err == nil
	case address:
		v.prefix, ok = parsePrefix(text)
	}
	return v, ok
}

// literal turns wildcards back into the characters they were written with.
func (t *template) literal() {
	plain := strings.NewReplacer("\xff", "*", "\xfe", "?")
	t.glob = glob(plain.Replace(string(t.glob)))
	for i := range t.pieces {
		t.pieces[i].glob = glob(plain.Replace(string(t.pieces[i].glob)))
	}
}

// accepts reports whether the request's value got compares to v as op wants,
// leaving negation aside.
func (v *value) accepts(r *request, op operator, got string) bool {
	switch op.compare {
	case stringEquals, stringFold:
		most := len(got)
		if op.compare == stringFold {
			most *= utf8.UTFMax // in another case a character may take more bytes
		}
		want, ok := v.tmpl.expand(r, most)
		if op.compare == stringFold {
			return ok && strings.EqualFold(string(want), got)
		}
		return ok && string(want) == got
	case stringLike:
		return v.tmpl.match(r, got)
	case arnLike:
		return v.acceptsARN(r, got)
	case numeric:
		n, ok := parseNumber(got)
		return ok && op.order.holds(compare(n, v.number))
	case date:
		t, ok := parseDate(got)
		return ok && op.order.holds(t.Compare(v.time))
	case boolean:
		b, ok := parseBool(got)
		return ok && b == v.flag
	case binary:
		b, err := base64.StdEncoding.DecodeString(got)
		return err == nil && string(b) == string(v.tmpl.glob)
	case address:
		return v.prefix.Contains(r.address(got))
	}
	return false
}

// acceptsARN compares field by field, so that a * never reaches past a colon,
// except in the last field, which is all the rest.
func (v *value) acceptsARN(r *request, got string) bool {
	if len(v.fields) != 6 {
		return len(v.fields) == 1 && v.tmpl.glob.any()
	}
	rest := got
	for i := range 5 {
		field, after, ok := strings.Cut(rest, ":")
		if !ok || !v.fields[i].match(r, field) {
			return false
		}
		rest = after
	}
	return v.fields[5].match(r, rest)
}

func (o order) holds(cmp int) bool {
	switch {
	case cmp < 0:
		return o&less != 0
	case cmp > 0:
		return o&greater != 0
	}
	return o&equal != 0
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func parseNumber(s string) (float64, bool) {
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, false // ParseFloat would take hexadecimals, NaN and infinities
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// parseDate reads ISO 8601 as the W3C's note has it, or seconds since 1970.
func parseDate(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly, "2006-01", "2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(n, 0), err == nil
}

func parseBool(s string) (bool, bool) {
	return EqualFold(s, "true"), EqualFold(s, "true") || EqualFold(s, "false")
}

// parsePrefix reads a CIDR block, or an address as a block of its own.
func parsePrefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), true
}
