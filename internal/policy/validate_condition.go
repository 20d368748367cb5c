package policy

import (
	"net/netip"
	"slices"
	"strings"
)

func (v *validation) readConditions(s *rawStatement, n *node) {
	v.look(n.in)
	if n.kind != '{' {
		v.mismatch("Object")
		return
	}
	if len(n.members) == 0 {
		v.emptyCondition()
	}
	for i := range n.members {
		op := &n.members[i]
		v.look(op.value.in)
		switch {
		case op.value.kind != '{':
			v.mismatch("Object")
		case len(op.value.members) == 0:
			v.emptyCondition()
		}
		for j := range op.value.members {
			k := &op.value.members[j]
			c := rawCondition{key: k.name, at: k.at, value: &k.value, values: []node{k.value}}
			c.condition, c.known = parseOperator(op.name)
			if k.value.kind == '[' {
				c.values = k.value.items
			}
			s.conditions = append(s.conditions, c)
		}
	}
}

func (v *validation) emptyCondition() {
	v.suggest("EMPTY_OBJECT_CONDITION", "This condition block is empty and it does not affect the policy. Specify conditions.")
}

func (v *validation) conditions(s *rawStatement) {
	seen := map[string]bool{} // a block has no key twice in the same case
	fits := v.actionsThere(s)
	for i := range s.conditions {
		c := &s.conditions[i]
		again := c.name + "\x00" + lowered(c.key)
		v.look(c.at)
		if seen[again] {
			v.fail("DUPLICATE_KEYS_WITH_DIFFERENT_CASE", "The condition key %s appears more than once with different capitalization in the same condition block. Remove the duplicate condition keys.", c.key)
		}
		seen[again] = true
		v.conditionKey(s, c, fits)
		v.look(c.at)
		if v.operator(c) {
			v.values(c)
		}
	}
}

// multivalued are the condition keys of several values that Validate knows.
var multivalued = map[string]bool{
	"aws:calledvia": true, "aws:principalorgpaths": true, "aws:resourceorgpaths": true, "aws:sourceorgpaths": true,
	"aws:principalservicenameslist": true, "aws:tagkeys": true, "kms:encryptioncontextkeys": true,
	"kms:grantoperations": true, "kms:resourcealiases": true, "sts:transitivetagkeys": true,
}

// otherGlobal are the global keys that do not follow from the caller and the time.
var otherGlobal = map[string]bool{
	"aws:tagkeys": true, "aws:referer": true, "aws:sourcevpc": true, "aws:sourcevpce": true, "aws:sourcevpcarn": true, "aws:vpcsourceip": true,
	"aws:vpceaccount": true, "aws:vpceorgid": true, "aws:vpceorgpaths": true, "aws:federatedprovider": true, "aws:assumedroot": true,
	"aws:ec2instancesourcevpc": true, "aws:ec2instancesourceprivateipv4": true, "aws:chatbotsourcearn": true,
	"aws:calledviaawsmcp": true, "aws:viaawsmcpservice": true, "aws:signinsessionarn": true, "aws:isawsmanaged": true,
}

// tagKeys are the keys that a tag's name follows.
var tagKeys = []string{"aws:principaltag/", "aws:requesttag/", "aws:resourcetag/", "iam:resourcetag/", "rds:req-tag/", "kms:encryptioncontext:"}

func (v *validation) conditionKey(s *rawStatement, c *rawCondition, fits [][]referenceAction) {
	low := lowered(c.key)
	service, rest, found := strings.Cut(low, ":")
	switch {
	case !found || service == "" || rest == "":
		v.fail("INVALID_CONDITION_KEY_FORMAT", "The condition key format is not valid. Use the format service:keyname.")
	case slices.ContainsFunc(tagKeys, func(k string) bool { return low == k || low == k[:len(k)-1] }):
		v.fail("MISSING_TAG_KEY_IN_CONDITION", "The condition key %s must include a tag key to control access based on tags. Use the format %[1]stag-key and specify a key name for tag-key.", c.key)
	case slices.ContainsFunc(tagKeys, func(k string) bool { return strings.HasPrefix(low, k) }):
	case low == "aws:arn":
		v.warn("DEPRECATED_GLOBAL_CONDITION_KEY", "We recommend that you update aws:ARN to use the newer condition key aws:PrincipalArn.")
	case service == "aws" && globalKeys[low] == noGlobal && !otherGlobal[low]:
		v.fail("INVALID_GLOBAL_CONDITION_KEY", "The condition key %s does not exist. Use a valid condition key.", c.key)
	case v.noneHas(reference()[service], low):
		v.fail("INVALID_SERVICE_CONDITION_KEY", "The condition key %s does not exist in the service %s. Use a valid condition key.", c.key, service)
	default:
		v.keyForActions(s, c, low, fits)
	}
}

// noneHas says that the service is known, and no request for any of its actions has the key.
func (v *validation) noneHas(known []referenceAction, low string) bool {
	v.work -= 64 * len(known)
	return v.work >= 0 && known != nil && !slices.ContainsFunc(known, func(a referenceAction) bool { return a.has(low) })
}

// actionsThere are, for each of the statement's actions, those of the reference that fit
// it, if all of them are judged.
func (v *validation) actionsThere(s *rawStatement) [][]referenceAction {
	if s.notAction || len(s.conditions) == 0 {
		return nil
	}
	fits := make([][]referenceAction, len(s.actions))
	for i, a := range s.actions {
		fits[i] = v.fitting(reference()[serviceOf(lowered(a.text))], a.text)
	}
	return fits
}

// keyForActions finds actions whose requests never have the key, which the condition wants.
func (v *validation) keyForActions(s *rawStatement, c *rawCondition, low string, fits [][]referenceAction) {
	if c.ifExists || c.operator.compare == null || serviceOf(low) == "sts" {
		return // STS decides about AssumeRole and TagSession with the keys of both
	}
	var never []string
	var places []extent
	for i, fit := range fits {
		v.work -= 64 * len(fit)
		if v.work >= 0 && len(fit) > 0 && !slices.ContainsFunc(fit, func(r referenceAction) bool { return r.has(low) }) {
			never, places = append(never, s.actions[i].text), append(places, s.actions[i].in)
		}
	}
	if len(never) > 0 {
		v.look(append(places, c.value.in)...)
		v.fail("UNSUPPORTED_ACTION_FOR_CONDITION_KEY", "The following actions: %s are not supported by the condition key %s. The condition will not be evaluated for these actions. We recommend that you move these actions to a different statement without this condition key.", strings.Join(never, ", "), c.key)
	}
}

// operator reports whether the operator is one whose values can be looked at.
func (v *validation) operator(c *rawCondition) bool {
	if !c.known {
		if _, base, found := strings.Cut(c.name, ":"); base == "NullIfExists" || !found && c.name == "NullIfExists" {
			v.fail("NULL_WITH_IF_EXISTS", "The Null condition operator cannot be used with the IfExists suffix. Update the operator or the suffix.")
		} else {
			v.fail("INVALID_CONDITION_OPERATOR", "The condition operator %s is not valid. Use a valid condition operator.", c.name)
		}
		return false
	}
	many, isNull := multivalued[lowered(c.key)], c.operator.compare == null
	switch {
	case isNull && c.quantifier != single:
		v.suggest("NULL_WITH_QUALIFIER", "Avoid using the Null condition operator with the ForAllValues or ForAnyValue qualifiers because they always return a true or false respectively.")
	case many && c.quantifier == single && !isNull:
		v.fail("MISSING_QUALIFIER", "The request context key %s has multiple values. Use the ForAllValues or ForAnyValue condition key qualifiers in your policy.", c.key)
	case c.quantifier == forAll && !many && globalKeys[lowered(c.key)] != noGlobal:
		v.security("FORALLVALUES_WITH_SINGLE_VALUED_KEY", "Using ForAllValues qualifier with the single-valued condition key %s can be overly permissive. We recommend that you remove ForAllValues:.", c.key)
	}
	return true
}

func (v *validation) values(c *rawCondition) {
	if len(c.values) == 0 {
		v.look(c.value.in)
		v.emptyValues(c)
	}
	texts := make([]string, 0, len(c.values))
	for i := range c.values {
		n := &c.values[i]
		v.look(n.in)
		switch {
		case n.kind != 's' && n.kind != 'n' && n.kind != 'b':
			v.mismatch("String")
			return
		case n.kind != c.values[0].kind:
			v.fail("INVALID_CONDITION_DATA_TYPE", "The condition value data types do not match. Use condition values of the same JSON data type.")
			return
		}
		texts = append(texts, n.text)
		v.look(n.in)
		v.value(c, n.text)
	}
	v.look(c.value.in)
	if len(texts) > 1 && (c.operator.compare == boolean || c.operator.compare == null) {
		v.fail("INVALID_CONDITION_MULTIPLE_BOOLEAN", "The condition key does not support multiple Boolean values. Use a single Boolean value.")
	}
	if c.operator.compare == numeric && len(texts) > 1 && c.operator.order != equal {
		which := "greatest"
		if c.operator.order&greater != 0 {
			which = "least"
		}
		v.suggest("REDUNDANT_CONDITION_VALUE_NUM", "Multiple values in %s are redundant. Replace with the %s single value for %s.", c.name, which, c.key)
	}
	if EqualFold(c.key, "aws:SourceIp") && c.operator.compare == address {
		v.privateAddresses(c, texts)
	}
}

func (v *validation) emptyValues(c *rawCondition) {
	switch {
	case c.quantifier == forAll:
		v.suggest("EMPTY_ARRAY_CONDITION_FORALLVALUES", "The ForAllValues prefix with an empty condition key matches only if the key %s is missing from the request context. To determine if the request context is empty, we recommend that you use the Null condition operator with the value of true instead.", c.key)
	case c.quantifier == forAny:
		v.suggest("EMPTY_ARRAY_CONDITION_FORANYVALUE", "The ForAnyValue prefix with an empty condition key %s never matches the request context and it does not affect the policy. Specify conditions.", c.key)
	case c.ifExists:
		v.suggest("EMPTY_ARRAY_CONDITION_IFEXISTS", "The IfExists suffix with an empty condition key matches only if the key %s is missing from the request context. To determine if the request context is empty, we recommend that you use the Null condition operator with the value of true instead.", c.key)
	default:
		v.suggest("EMPTY_ARRAY_CONDITION", "There are no values for the condition key %s and it does not affect the policy. Specify conditions.", c.key)
	}
}

func (v *validation) value(c *rawCondition, text string) {
	_, ok := parseValue(c.operator, text, false)
	switch c.operator.compare {
	case stringEquals, stringFold, stringLike, arnLike:
		v.variables(text)
		v.viaService(c, text)
		plain := strings.NewReplacer("${*}", "", "${?}", "").Replace(text)
		if c.operator.compare != stringLike && c.operator.compare != arnLike && strings.ContainsAny(plain, "*?") {
			v.warn("WILDCARD_WITHOUT_LIKE_OPERATOR", "Your condition value includes a * or ? character. If you meant to use a wildcard (*, ?), update the condition operator to include Like.")
		}
		return
	case numeric, date, boolean, binary, address, null:
	}
	if strings.Contains(text, "${") {
		v.fail("INVALID_VARIABLE_FOR_OPERATOR", "Policy variables can only be used with String and ARN operators.")
		return
	}
	if !ok {
		v.typeMismatch(c)
		return
	}
	if p, err := netip.ParsePrefix(text); c.operator.compare == address && err == nil && p != p.Masked() {
		v.suggest("IMPROVE_IP_RANGE", "The non-zero bits in the IP address after the masked bits are ignored. Replace address with %s.", p.Masked())
	}
}

func (v *validation) typeMismatch(c *rawCondition) {
	switch c.operator.compare {
	case boolean, null:
		v.warn("TYPE_MISMATCH_BOOLEAN", "Add a valid Boolean value (true or false) for the condition operator %s.", c.name)
	case date:
		v.warn("TYPE_MISMATCH_DATE", "The date condition operator is used with an invalid value. Specify a valid date using YYYY-MM-DD or other ISO 8601 date/time format.")
	case address:
		v.warn("TYPE_MISMATCH_IP_RANGE", "The condition operator %s is used with an invalid IP range value. Specify the IP range in standard CIDR format.", c.name)
	case numeric:
		v.warn("TYPE_MISMATCH_NUMBER", "Add a valid numeric value for the condition operator %s.", c.name)
	case binary:
		v.warn("TYPE_MISMATCH_STRING", "Add a valid base64-encoded string value for the condition operator %s.", c.name)
	case stringEquals, stringFold, stringLike, arnLike:
	}
}

// privateAddresses finds ranges that requests over the internet never come from.
func (v *validation) privateAddresses(c *rawCondition, texts []string) {
	private, ranges := 0, 0
	for _, text := range texts {
		if p, ok := parsePrefix(text); ok {
			ranges++
			if p.Addr().IsPrivate() {
				private++
			}
		}
	}
	switch {
	case private == 0:
	case private == ranges && c.operator.negated:
		v.fail("PRIVATE_NOT_IP_ADDRESS", "The values for condition key aws:SourceIp include only private IP addresses and has no effect. aws:SourceIp works only for public IP address ranges. Update the value to include only public IP addresses.")
	case private == ranges:
		v.fail("PRIVATE_IP_ADDRESS", "aws:SourceIp works only for public IP address ranges. The values for condition key aws:SourceIp include only private IP addresses and will not have the desired effect. Update the value to include only public IP addresses.")
	case c.operator.negated:
		v.suggest("PRIVATE_NOT_IP_ADDRESS_SUBSET", "The values for condition key aws:SourceIp include a mix of private and public IP addresses. The private addresses have no effect. aws:SourceIp works only for public IP address ranges. To define permissions for private IP ranges, use aws:VpcSourceIp.")
	default:
		v.suggest("PRIVATE_IP_ADDRESS_SUBSET", "The values for condition key aws:SourceIp include a mix of private and public IP addresses. The private addresses will not have the desired effect. aws:SourceIp works only for public IP address ranges. To define permissions for private IP ranges, use aws:VpcSourceIp.")
	}
}
