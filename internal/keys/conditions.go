package keys

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/material"
	"borealis/internal/policy"
)

// conditions holds the condition keys that follow from a key and its aliases.
func (l *loaded) conditions() policy.Context {
	c := specContext(l.Spec, l.Usage, l.Origin, l.MultiRegion != nil)
	c["kms:KeyManager"] = []string{string(l.Manager)}
	if m := l.MultiRegion; m != nil && m.Primary == l.Region {
		c["kms:MultiRegionKeyType"] = []string{"PRIMARY"}
	} else if m != nil {
		c["kms:MultiRegionKeyType"] = []string{"REPLICA"}
	}
	for _, t := range l.Tags {
		c["aws:ResourceTag/"+t.Key] = []string{t.Value}
	}
	if len(l.aliases) > 0 {
		c["kms:ResourceAliases"] = l.aliases
	}
	return c
}

// specContext holds the condition keys that say what sort of key it is.
func specContext(spec material.Spec, usage material.Usage, origin string, multiRegion bool) policy.Context {
	return policy.Context{
		"kms:KeySpec":                []string{string(spec)},
		"kms:CustomerMasterKeySpec":  []string{string(spec)},
		"kms:KeyUsage":               []string{string(usage)},
		"kms:CustomerMasterKeyUsage": []string{string(usage)},
		"kms:KeyOrigin":              []string{origin},
		"kms:MultiRegion":            []string{strconv.FormatBool(multiRegion)},
	}
}

// conditions answers for the condition keys of a request about a key.
type conditions struct {
	view   *View
	target target
	ask    ask
	asked  policy.Conditions // what follows from the request; nil until a policy asks
	key    policy.Conditions // what follows from the key alone; the same
	one    [1]string
}

// fewPairs is how many pairs of an encryption context are looked at one by one.
const fewPairs = 16

// conditions are those of a, which is about t.
func (v *View) conditions(t target, a ask) policy.Conditions {
	return &conditions{view: v, target: t, ask: a}
}

// Condition implements policy.Conditions. What policies ask for most it knows
// without making a map of all that they could ask for.
func (c *conditions) Condition(name string) (values []string, found bool) {
	if name == "kms:calleraccount" {
		c.one[0] = string(c.view.caller.Account)
		return c.one[:], c.one[0] != ""
	}
	if key, is := strings.CutPrefix(name, "kms:encryptioncontext:"); is && c.ask.context == nil && len(c.ask.encryption) <= fewPairs {
		n := 0
		for k, value := range c.ask.encryption {
			if policy.EqualFold(k, key) {
				c.one[0] = value
				n++
			}
		}
		if n < 2 { // else they differ in case
			return c.one[:n], n == 1
		}
	}
	if c.asked == nil {
		c.asked = c.view.asked(c.target, c.ask).Indexed()
	}
	if values, found = c.asked.Condition(name); found || c.target.loaded == nil || !ofKeys(name) {
		return values, found
	}
	if c.key == nil {
		c.key = c.target.loaded.conditions().Indexed()
	}
	return c.key.Condition(name)
}

// ofKeys tells whether the condition key of this name, in lower case, is one that a
// key of KMS may have.
func ofKeys(name string) bool {
	return strings.HasPrefix(name, "kms:") || strings.HasPrefix(name, "aws:resourcetag/")
}

// asked holds the condition keys that follow from the request alone.
func (v *View) asked(t target, a ask) policy.Context {
	c := policy.Context{}
	if t.alias != "" {
		c["kms:RequestAlias"] = []string{t.alias}
	}
	addEncryption(c, a.encryption)
	if rules[a.action].context {
		c["kms:EncryptionAlgorithm"] = []string{string(material.AlgorithmSymmetric)}
	}
	maps.Copy(c, a.context)
	v.addCaller(c)
	return c
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

// maxContext is how many characters the names and values of an encryption context
// may have together: as many as AWS is said to take.
const maxContext = 8192

func checkContextSize(encryption map[string]string) error {
	n := 0
	for k, value := range encryption {
		n += utf8.RuneCountInString(k) + utf8.RuneCountInString(value)
	}
	if n > maxContext {
		return invalid("The encryption context is longer than %d characters.", maxContext)
	}
	return nil
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

// addTrailing adds, for the actions that have the condition key, how many days
// ago the key was last used, or made if it never was. They are whole days.
func (v *View) addTrailing(ctx context.Context, t target, a *ask) error {
	if a.action != "DisableKey" && a.action != "ScheduleKeyDeletion" || t.loaded == nil || t.ref.Account != v.caller.Account {
		return nil
	}
	last, err := v.lastUsage(ctx, t.Ref)
	if err != nil {
		return err
	}
	since := last.Time
	if since.IsZero() {
		since = t.Created
	}
	c := policy.Context{"kms:TrailingDaysWithoutKeyUsage": []string{strconv.Itoa(int(v.Now().Sub(since) / (24 * time.Hour)))}}
	maps.Copy(c, a.context)
	a.context = c
	return nil
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
