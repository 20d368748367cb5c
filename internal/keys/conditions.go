package keys

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/policy"
)

// keyContext holds the condition keys that follow from a key and its aliases.
func keyContext(k *Key, aliases []Alias) policy.Context {
	c := specContext(k.Spec, k.Usage, k.Origin, k.MultiRegion != nil)
	for _, t := range k.Tags {
		c["aws:ResourceTag/"+t.Key] = []string{t.Value}
	}
	for _, a := range aliases {
		c["kms:ResourceAliases"] = append(c["kms:ResourceAliases"], a.Name)
	}
	return c
}

// specContext holds the condition keys that say what sort of key it is.
func specContext(spec, usage, origin string, multiRegion bool) policy.Context {
	return policy.Context{
		"kms:KeySpec":                []string{spec},
		"kms:CustomerMasterKeySpec":  []string{spec},
		"kms:KeyUsage":               []string{usage},
		"kms:CustomerMasterKeyUsage": []string{usage},
		"kms:KeyOrigin":              []string{origin},
		"kms:MultiRegion":            []string{strconv.FormatBool(multiRegion)},
	}
}

// addCaller adds the condition keys that follow from who calls and how.
func (v *View) addCaller(c policy.Context) {
	if v.caller.Account != "" {
		c["kms:CallerAccount"] = []string{string(v.caller.Account)}
	}
	if n := len(v.caller.Via); n > 0 {
		service, _, _ := strings.Cut(v.caller.Via[n-1], ".")
		c["kms:ViaService"] = []string{service + "." + string(v.caller.Region) + ".amazonaws.com"}
	}
}

// addEncryption adds the condition keys of an encryption context.
func addEncryption(c policy.Context, encryption map[string]string) {
	if len(encryption) == 0 {
		return
	}
	for k, value := range encryption {
		c["kms:EncryptionContext:"+k] = []string{value}
	}
	c["kms:EncryptionContextKeys"] = slices.Sorted(maps.Keys(encryption))
}

// tagContext holds the condition keys of the tags in a request.
func tagContext(tags []types.Tag) policy.Context {
	c := policy.Context{}
	for _, t := range tags {
		c["aws:RequestTag/"+str(t.TagKey)] = []string{str(t.TagValue)}
		c["aws:TagKeys"] = append(c["aws:TagKeys"], str(t.TagKey))
	}
	return c
}

// serviceGrant says, for the three operations on grants that have the condition
// key, whether a service makes the request in the caller's name.
func (v *View) serviceGrant() policy.Context {
	return policy.Context{"kms:GrantIsForAWSResource": []string{strconv.FormatBool(len(v.caller.Via) > 0)}}
}

// str is *s, or "" for nil.
func str(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
