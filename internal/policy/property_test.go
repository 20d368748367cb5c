package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"borealis/internal/cloud"
	"borealis/internal/policy"

	"pgregory.net/rapid"
)

// A statement of a small language in which requests hit often: few principals,
// actions, resources and keys. Its rendering is what policy reads, its fields
// are what the reference evaluator below reads.
type statement struct {
	Effect                  string
	Principal, NotPrincipal []string
	Action, NotAction       []string
	Resource, NotResource   []string
	Condition               map[string]map[string][]string
}

var (
	principals = []string{"*", "111122223333", "arn:aws:iam::111122223333:root", "444455556666", ann.ARN, bob.ARN, app.Principal, app.ARN, otherApp.ARN, remote.Principal}
	callers    = []cloud.Caller{ann, bob, app, otherApp, remote, root(home), root(abroad), user(home, "eve")}
	patterns   = []string{"*", "kms:*", "kms:Decrypt", "KMS:decrypt", "kms:?ncrypt", "kms:*crypt", "rds:*", "kms:Encrypt"}
	asked      = []string{"kms:Decrypt", "kms:Encrypt", "rds:Copy"}
	targets    = []string{keyARN, "arn:aws:kms:eu-west-1:111122223333:key/b", "*"}
	covers     = []string{"*", keyARN, "arn:aws:kms:*:111122223333:key/*", "arn:aws:kms:*:*:key/?", "arn:aws:rds:*:*:*", "arn:aws:kms"}
	tests      = []string{"StringEquals", "StringNotEquals", "StringLike", "StringEqualsIfExists", "Null", "ForAllValues:StringEquals", "ForAnyValue:StringLike", "ForAnyValue:StringNotEquals"}
	texts      = []string{"a", "b", "a*", "true", "false"}
)

func some(t *rapid.T, of []string, least int, label string) []string {
	return rapid.SliceOfN(rapid.SampledFrom(of), least, 3).Draw(t, label)
}

func drawStatement(t *rapid.T, resource bool) statement {
	s := statement{Effect: rapid.SampledFrom([]string{"Allow", "Allow", "Deny"}).Draw(t, "effect")}
	choose := func(is, not *[]string, of []string, label string) {
		if rapid.IntRange(0, 4).Draw(t, "not "+label) == 0 {
			*not = some(t, of, 1, label)
		} else {
			*is = some(t, of, 1, label)
		}
	}
	if resource {
		choose(&s.Principal, &s.NotPrincipal, principals, "principal")
	}
	choose(&s.Action, &s.NotAction, patterns, "action")
	choose(&s.Resource, &s.NotResource, covers, "resource")
	for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "conditions") {
		op := rapid.SampledFrom(tests).Draw(t, "operator")
		values := texts
		if op == "Null" {
			values = []string{"true", "false"}
		}
		if s.Condition == nil {
			s.Condition = map[string]map[string][]string{}
		}
		s.Condition[op] = map[string][]string{rapid.SampledFrom([]string{"x:one", "X:Two", "x:many"}).Draw(t, "key"): some(t, values, 0, "values")}
	}
	return s
}

// render writes statements as a document.
func render(statements []statement) string {
	out := []map[string]any{}
	for _, s := range statements {
		m := map[string]any{"Effect": s.Effect}
		for name, list := range map[string][]string{"Action": s.Action, "NotAction": s.NotAction, "Resource": s.Resource, "NotResource": s.NotResource} {
			if list != nil {
				m[name] = list
			}
		}
		for name, list := range map[string][]string{"Principal": s.Principal, "NotPrincipal": s.NotPrincipal} {
			if list != nil {
				m[name] = map[string][]string{"AWS": list}
			}
		}
		if s.Condition != nil {
			m["Condition"] = s.Condition
		}
		out = append(out, m)
	}
	b, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": out})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// A scene is a question in the small language.
type scene struct {
	identity, boundary, session, resource []statement
	// What an organization says at its root and at the account; nil where there is none.
	service, control [][]statement
	question         policy.Question
}

func drawScene(t *rapid.T) scene {
	list := func(resource bool, label string) []statement {
		return rapid.Custom(func(t *rapid.T) []statement {
			var out []statement
			for range rapid.IntRange(1, 4).Draw(t, "statements") {
				out = append(out, drawStatement(t, resource))
			}
			return out
		}).Draw(t, label)
	}
	maybe := func(label string) []statement {
		if rapid.IntRange(0, 2).Draw(t, "has "+label) > 0 {
			return nil
		}
		return list(false, label)
	}
	sc := scene{identity: list(false, "identity"), boundary: maybe("boundary"), session: maybe("session"), resource: list(true, "resource")}
	if rapid.IntRange(0, 3).Draw(t, "organization") == 0 {
		everything := statement{Effect: "Allow", Action: []string{"*"}, Resource: []string{"*"}}
		level := func(resource bool, label string) []statement {
			if rapid.Bool().Draw(t, "closed "+label) {
				return list(resource, label)
			}
			return append(list(resource, label), everything)
		}
		sc.service = [][]statement{level(false, "root"), level(false, "account")}
		sc.control = [][]statement{list(true, "resources of all"), list(true, "resources")}
	}
	sc.question = policy.Question{
		Caller: rapid.SampledFrom(callers).Draw(t, "caller"), Owner: home, Now: now,
		Action: rapid.SampledFrom(asked).Draw(t, "action"), Resource: rapid.SampledFrom(targets).Draw(t, "target"),
		ResourceMustAllow: rapid.Bool().Draw(t, "must"), Context: policy.Context{},
	}
	for _, k := range []string{"x:one", "x:two"} {
		if rapid.Bool().Draw(t, k) {
			sc.question.Context[k] = []string{rapid.SampledFrom(texts).Draw(t, k)}
		}
	}
	sc.question.Context["x:many"] = some(t, texts, 0, "x:many")
	if rapid.IntRange(0, 3).Draw(t, "grant") == 0 {
		sc.question.Grants = []policy.Grant{{ID: "g", Issuer: rapid.SampledFrom([]cloud.AccountID{home, abroad}).Draw(t, "issuer"), ToSession: rapid.Bool().Draw(t, "to session")}}
	}
	return sc
}

func mustParse(t *rapid.T, name string, s []statement) *policy.Policy {
	if s == nil {
		return nil
	}
	p, err := policy.Parse(name, render(s))
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, render(s))
	}
	return p
}

func (sc scene) ask(t *rapid.T) policy.Question {
	q := sc.question
	q.Identity.Policies = []*policy.Policy{mustParse(t, "identity", sc.identity)}
	q.Identity.Boundary = mustParse(t, "boundary", sc.boundary)
	if sc.session != nil {
		q.Identity.Session = []*policy.Policy{mustParse(t, "session", sc.session)}
	}
	q.ResourcePolicy = mustParse(t, "key policy", sc.resource)
	q.ServiceControl.Levels = parseLevels(t, sc.service)
	q.ResourceControl.Levels = parseLevels(t, sc.control)
	return q
}

func parseLevels(t *rapid.T, all [][]statement) (levels []policy.Level) {
	for i, l := range all {
		name := fmt.Sprint("level ", i)
		levels = append(levels, policy.Level{Name: name, Policies: []*policy.Policy{mustParse(t, name, l)}})
	}
	return levels
}

// lists are all lists of statements, in no order that matters.
func (sc *scene) lists() []*[]statement {
	all := []*[]statement{&sc.identity, &sc.boundary, &sc.session, &sc.resource}
	for i := range sc.service {
		all = append(all, &sc.service[i], &sc.control[i])
	}
	return all
}

// Decide agrees with an evaluator that knows nothing of indexes or order.
func TestDecideAgreesWithTheReference(t *testing.T) {
	allowed := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		sc := drawScene(t)
		q := sc.ask(t)
		d := q.Decide()
		allowed[d.Allowed]++
		if want := sc.reference(); d.Allowed != want {
			t.Fatalf("%v, want allowed %v\n%s", d, want, q.Explain().Tree())
		}
		if e := q.Explain(); e.Decision != d {
			t.Fatalf("Explain decides %v, Decide %v", e.Decision, d)
		}
	})
	if allowed[true] == 0 || allowed[false] == 0 {
		t.Errorf("a test of one answer only: %v", allowed)
	}
}

func TestOrderNeverMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sc := drawScene(t)
		before := sc.ask(t).Decide()
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for _, p := range sc.lists() {
			l := *p
			r.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		}
		after := sc.ask(t).Decide()
		if before.Allowed != after.Allowed || before.Explicit != after.Explicit || before.Side != after.Side {
			t.Fatalf("%v, shuffled %v", before, after)
		}
	})
}

func TestAddingADenyNeverAllows(t *testing.T) { adding(t, "Deny", true) }

func TestAddingAnAllowNeverDenies(t *testing.T) { adding(t, "Allow", false) }

// adding adds a statement somewhere, and checks that it does not make the
// answer allowed (never true), or refused.
func adding(t *testing.T, effect string, never bool) {
	rapid.Check(t, func(t *rapid.T) {
		sc := drawScene(t)
		before := sc.ask(t).Decide().Allowed
		where := rapid.SampledFrom(sc.lists()).Draw(t, "where")
		if *where == nil {
			return // a first boundary or session policy takes away: that is what it is for
		}
		s := drawStatement(t, where == &sc.resource || slices.ContainsFunc(sc.control, func(l []statement) bool { return &l[0] == &(*where)[0] }))
		s.Effect = effect
		*where = append(*where, s)
		if after := sc.ask(t).Decide().Allowed; before != after && after == never {
			t.Fatalf("adding %s: allowed %v, then %v", render([]statement{s}), before, after)
		}
	})
}

func TestWritingKeepsTheMeaning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sc := drawScene(t)
		q := sc.ask(t)
		before := q.Decide()
		for i, p := range []*policy.Policy{q.ResourcePolicy, q.Identity.Policies[0]} {
			d, err := policy.ParseDocument(p.Text)
			if err != nil {
				t.Fatal(err)
			}
			again, err := policy.Parse(p.Name, d.String())
			if err != nil {
				t.Fatalf("%v\n%s", err, d)
			}
			if i == 0 {
				q.ResourcePolicy = again
			} else {
				q.Identity.Policies = []*policy.Policy{again}
			}
		}
		if after := q.Decide(); before != after {
			t.Fatalf("%v, after writing %v", before, after)
		}
	})
}

// The reference evaluator: the rules as AWS's documentation lists them, one
// after the other, over plain statements.
func (sc scene) reference() bool {
	q := sc.question
	matches := func(list []statement, effect string) bool {
		return slices.ContainsFunc(list, func(s statement) bool {
			bounded := sc.boundary != nil && s.Effect == "Deny" && s.NotPrincipal != nil // spares nobody
			if bounded {
				s.NotPrincipal = nil
			}
			return s.Effect == effect && refApplies(s, q)
		})
	}
	for _, list := range [][]statement{sc.identity, sc.boundary, sc.session, sc.resource} {
		if matches(list, "Deny") {
			return false
		}
	}
	if slices.ContainsFunc(sc.control, func(l []statement) bool { return matches(l, "Deny") }) && strings.HasPrefix(q.Action, "kms:") {
		return false
	}
	for _, l := range sc.service {
		if matches(l, "Deny") || !matches(l, "Allow") {
			return false
		}
	}
	identity := matches(sc.identity, "Allow")
	within := (sc.boundary == nil || matches(sc.boundary, "Allow")) && (sc.session == nil || matches(sc.session, "Allow"))
	best := ""
	for _, s := range sc.resource {
		if s.Effect == "Allow" && refApplies(s, q) {
			best = closer(best, refNamed(s, q.Caller))
		}
	}
	granted := len(q.Grants) > 0
	exempt := granted && (q.Grants[0].ToSession || q.Caller.Kind != cloud.AssumedRole)
	if q.Caller.Account != q.Owner {
		if granted && q.Grants[0].Issuer == q.Caller.Account && (exempt || within) {
			return true
		}
		return (best != "" || granted) && identity && within
	}
	switch {
	case best == "exactly", best == "role" && within, granted && (exempt || within):
		return true
	}
	return identity && within && (!q.ResourceMustAllow || best != "")
}

func closer(a, b string) string {
	order := []string{"", "account", "role", "exactly"}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

// refNamed says how a statement names the caller.
func refNamed(s statement, c cloud.Caller) string {
	if s.NotPrincipal != nil {
		return "exactly"
	}
	best := ""
	for _, p := range s.Principal {
		switch {
		case p == "*" || p == c.ARN:
			best = closer(best, "exactly")
		case p == c.Principal:
			best = closer(best, "role")
		case p == string(c.Account) || p == c.Account.Root().String():
			if c.Kind == cloud.Root {
				return "exactly"
			}
			best = closer(best, "account")
		}
	}
	return best
}

func refApplies(s statement, q policy.Question) bool {
	return refPrincipal(s, q.Caller) &&
		refListed(s.Action, s.NotAction, func(p string) bool { return refGlob("(?i)", p, q.Action) }) &&
		refListed(s.Resource, s.NotResource, func(p string) bool { return refResource(p, q.Resource) }) &&
		refConditions(s.Condition, q.Context)
}

func refListed(is, not []string, match func(string) bool) bool {
	if not != nil {
		return !slices.ContainsFunc(not, match)
	}
	return slices.ContainsFunc(is, match)
}

func refPrincipal(s statement, c cloud.Caller) bool {
	if s.NotPrincipal == nil {
		return s.Principal == nil || refNamed(s, c) != ""
	}
	if s.Effect == "Allow" {
		return refNamed(statement{Principal: s.NotPrincipal}, c) == ""
	}
	if slices.Contains(s.NotPrincipal, "*") {
		return false
	}
	spared := slices.Contains(s.NotPrincipal, string(c.Account)) || slices.Contains(s.NotPrincipal, c.Account.Root().String())
	for _, link := range []string{c.Principal, c.ARN} {
		if c.Kind != cloud.Root {
			spared = spared && slices.Contains(s.NotPrincipal, link)
		}
	}
	return !spared
}

func refGlob(flags, pattern, text string) bool {
	expr := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile(flags + `^` + expr + `$`).MatchString(text)
}

func refResource(pattern, resource string) bool {
	if pattern == "*" {
		return true
	}
	want, got := strings.SplitN(pattern, ":", 6), strings.SplitN(resource, ":", 6)
	if len(got) < 6 {
		return false
	}
	for i := range want {
		if !refGlob("", want[i], got[i]) {
			return false
		}
	}
	return true
}

func refConditions(block map[string]map[string][]string, context policy.Context) bool {
	for op, keys := range block {
		for key, wanted := range keys {
			got, present := context[strings.ToLower(key)]
			if !refHolds(op, wanted, got, present) {
				return false
			}
		}
	}
	return true
}

func refHolds(op string, wanted, got []string, present bool) bool {
	match := func(v string) bool {
		return slices.ContainsFunc(wanted, func(w string) bool {
			return w == v || strings.HasSuffix(op, "Like") && refGlob("", w, v)
		})
	}
	switch op {
	case "Null":
		return slices.Contains(wanted, map[bool]string{true: "true", false: "false"}[len(got) == 0])
	case "StringEqualsIfExists":
		return !present || slices.ContainsFunc(got, match)
	case "ForAllValues:StringEquals":
		return !slices.ContainsFunc(got, func(v string) bool { return !match(v) })
	case "ForAnyValue:StringNotEquals":
		return slices.ContainsFunc(got, func(v string) bool { return !match(v) })
	case "StringNotEquals":
		return !slices.ContainsFunc(got, match)
	}
	return slices.ContainsFunc(got, match)
}
