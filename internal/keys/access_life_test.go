package keys_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"pgregory.net/rapid"

	"borealis/internal/cloud"
)

// What follows is KMS's access control in the plainest words: the reference that
// TestWhoMay holds the service to. It shares nothing with the code but names.

// An actor is somebody who asks.
type actor struct {
	name           string // "user/ann"
	account        cloud.AccountID
	allowed        []string // by identity policies; "*" is everything
	denied         []string // by identity policies
	session        []string // what a session policy leaves, nil if there is none
	life           int      // how often the principal was made again
	*person                 // nil until there is a world
	named, nameAll string   // ARNs of the principal and, of a role, its session
}

// A being is a principal that somebody named: itself, not who takes its name later.
type being struct {
	who     string // the principal's ARN, or its account's id
	life    int
	session bool // a role's session, not the role
}

// is says that a is b, or, if b is a role, a session of it.
func (a *actor) is(b being) bool { return a.named == b.who && a.life == b.life }

func lists(list []string, action string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, action)
}

// A clause is a statement of a key policy.
type clause struct {
	deny    bool
	account cloud.AccountID // the account as a whole, or
	being   being           // one principal
	actions []string
}

// A claim is a grant.
type claim struct {
	id                string
	grantee, retiring being
	issuer            cloud.AccountID
	operations        []string
	equals, subset    map[string]string
}

// holds says that a claim is good in an encryption context.
func (c *claim) holds(context map[string]string) bool {
	if c.equals != nil && !maps.Equal(c.equals, context) {
		return false
	}
	for k, v := range c.subset {
		if context[k] != v {
			return false
		}
	}
	return true
}

// surroundings are all that the test ever encrypts in.
var surroundings = []map[string]string{nil, {"a": "1"}, {"a": "2"}, {"b": "2"}, {"a": "1", "b": "2"}, {"a": "1", "c": "3"}}

// narrower says that child allows nothing that c does not: no operation, and no
// context of any.
func (c *claim) narrower(child *claim) bool {
	for _, op := range child.operations {
		if !slices.Contains(c.operations, op) {
			return false
		}
	}
	for _, context := range surroundings {
		if child.holds(context) && !c.holds(context) {
			return false
		}
	}
	// A constraint on a few surroundings may look as strict here as one on all.
	return c.equals == nil || child.equals != nil
}

// A lock is a key.
type lock struct {
	arn      *string
	account  cloud.AccountID
	policy   []clause
	claims   []*claim
	on       bool
	deleting bool
	until    time.Time
	relics   map[int][]byte // by the context, an index of surroundings
}

// A wish is what somebody asks of a key.
type wish struct {
	action  string
	context map[string]string // of a cryptographic operation
	child   *claim            // of CreateGrant
}

// Actions by how they may be allowed, in AWS's documentation.
var (
	foreignActions = []string{"Encrypt", "Decrypt", "GenerateDataKey", "DescribeKey", "CreateGrant", "RevokeGrant", "RetireGrant"}
	grantActions   = []string{"Encrypt", "Decrypt", "GenerateDataKey", "DescribeKey", "CreateGrant"}
	sealing        = []string{"Encrypt", "Decrypt", "GenerateDataKey"}
)

// may says whether a may do w to k.
func (k *lock) may(a *actor, w wish) bool {
	home := a.account == k.account
	if lists(a.denied, w.action) || !home && !slices.Contains(foreignActions, w.action) {
		return false
	}
	account, direct := k.admits(a, w.action)
	if k.denies(a, w.action) {
		return false
	}
	identity := lists(a.allowed, w.action)
	left := a.session == nil || lists(a.session, w.action)
	switch {
	case home && left && (direct || account && identity):
		return true
	case !home && left && identity && (direct || account):
		return true
	}
	return slices.ContainsFunc(k.claims, func(c *claim) bool {
		return slices.Contains(grantActions, w.action) && a.is(c.grantee) && c.lets(w) && k.enough(a, c.grantee, c.issuer, w.action)
	})
}

// enough says that a grant to (or to be retired by) b, who is a, needs nothing else.
func (k *lock) enough(a *actor, b being, issuer cloud.AccountID, action string) bool {
	switch {
	case a.session != nil && !b.session && !lists(a.session, action):
		return false // a session policy limits what a role has, but not what the session has
	case a.account == k.account, issuer == a.account:
		return true
	}
	return lists(a.allowed, action)
}

// lets says that c allows w.
func (c *claim) lets(w wish) bool {
	switch {
	case !slices.Contains(c.operations, w.action):
		return false
	case w.child != nil:
		return c.narrower(w.child)
	}
	return !slices.Contains(sealing, w.action) || c.holds(w.context)
}

// admits says whether the key policy lets a's account in, and a itself.
func (k *lock) admits(a *actor, action string) (account, direct bool) {
	for _, c := range k.policy {
		if c.deny || !lists(c.actions, action) {
			continue
		}
		account = account || c.account == a.account
		direct = direct || c.account == "" && a.is(c.being)
	}
	return account, direct
}

func (k *lock) denies(a *actor, action string) bool {
	return slices.ContainsFunc(k.policy, func(c clause) bool {
		return c.deny && lists(c.actions, action) && (c.account == a.account || c.account == "" && a.is(c.being))
	})
}

// mayRetire says whether a may retire c.
func (k *lock) mayRetire(a *actor, c *claim) bool {
	const action = "RetireGrant"
	switch {
	case lists(a.denied, action):
		return false
	case a.is(c.retiring):
		return k.enough(a, c.retiring, c.issuer, action)
	case slices.Contains(c.operations, action) && a.is(c.grantee):
		return k.enough(a, c.grantee, c.issuer, action)
	}
	return a.account == c.issuer && lists(a.allowed, action) && (a.session == nil || lists(a.session, action))
}

// there says that the key exists.
func (k *lock) there(now time.Time) bool { return !k.deleting || now.Before(k.until) }

// answer is what a is told who wishes w of k: "" or a code.
func (k *lock) answer(a *actor, w wish, now time.Time) string {
	switch {
	case !k.there(now) && a.account == k.account:
		return "NotFoundException"
	case !k.there(now), !k.may(a, w):
		return "AccessDeniedException"
	}
	uses := slices.Contains(sealing, w.action) || w.action == "CreateGrant"
	switch w.action {
	case "DescribeKey", "PutKeyPolicy", "RevokeGrant":
		return ""
	case "CancelKeyDeletion":
		if !k.deleting {
			return "KMSInvalidStateException"
		}
		return ""
	}
	switch {
	case k.deleting:
		return "KMSInvalidStateException"
	case uses && !k.on:
		return "DisabledException"
	}
	return ""
}

// A court is a few people, their keys, and the reference.
type court struct {
	t      *rapid.T
	w      *world
	actors []*actor
	locks  []*lock
}

// newActors are who there is: with permissions and without, at home, abroad and
// far away, a session that is limited, and one who is denied something.
func newActors() []*actor {
	return []*actor{
		{name: "user/ann", account: home, allowed: []string{"*"}},
		{name: "role/app", account: home},
		{name: "role/app", account: home, session: []string{"Encrypt", "DescribeKey", "CreateGrant"}},
		{name: "user/dan", account: home, allowed: []string{"Decrypt", "DescribeKey", "RetireGrant"}, denied: []string{"Encrypt"}},
		{name: "user/bob", account: abroad, allowed: []string{"*"}},
		{name: "role/cat", account: abroad},
		{name: "user/kim", account: abroad, allowed: []string{"Decrypt", "CreateGrant"}, denied: []string{"RetireGrant"}},
		{name: "user/eve", account: far, allowed: []string{"*"}},
	}
}

// person makes the actor's principal, or finds it.
func (a *actor) appear(w *world) {
	var policies []string
	prefix := func(actions []string) (out []string) {
		for _, action := range actions {
			out = append(out, "kms:"+action)
		}
		return out
	}
	if a.allowed != nil {
		policies = append(policies, allow(prefix(a.allowed)...))
	}
	if a.denied != nil {
		policies = append(policies, deny(prefix(a.denied)...))
	}
	a.person = w.person(a.account, a.name, policies...)
	a.named, a.nameAll = a.caller.Principal, a.caller.ARN
	if a.session != nil {
		a.person = a.person.with(func(c *cloud.Caller) { c.SessionPolicies = []string{allow(prefix(a.session)...)} })
	}
}

// TestWhoMay lets people do what they like to keys, policies and grants: each is
// allowed and refused what the reference says, whatever came before.
func TestWhoMay(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		c := &court{t: rt, w: w, actors: newActors()}
		for _, a := range c.actors {
			a.appear(w)
		}
		c.create()
		acts := map[string]func(){
			"create": c.create, "toggle": c.toggle, "delete": c.delete, "wait": c.wait, "put policy": c.putPolicy,
			"grant": c.grant, "revoke": c.revoke, "retire": c.retire, "use": c.use, "rebirth": c.rebirth, "restart": c.restart,
		}
		names := []string{
			"create", "toggle", "toggle", "delete", "wait", "put policy", "put policy", "put policy", "grant", "grant", "grant", "grant", "grant",
			"revoke", "retire", "retire", "retire", "rebirth", "restart",
		}
		for range rapid.IntRange(20, 80).Draw(rt, "steps") {
			acts[rapid.SampledFrom(names).Draw(rt, "act")]()
			for range 8 {
				c.use()
			}
		}
	})
}

func (c *court) someone() *actor { return rapid.SampledFrom(c.actors).Draw(c.t, "who") }

// near is somebody whom a grant on k names, rather than just anybody.
func (c *court) near(k *lock) *actor {
	var named []*actor
	for _, a := range c.actors {
		if slices.ContainsFunc(k.claims, func(g *claim) bool { return a.is(g.grantee) || a.is(g.retiring) }) {
			named = append(named, a)
		}
	}
	if len(named) == 0 || rapid.IntRange(0, 3).Draw(c.t, "anybody") == 0 {
		return c.someone()
	}
	return rapid.SampledFrom(named).Draw(c.t, "who")
}

func (c *court) lock() *lock { return rapid.SampledFrom(c.locks).Draw(c.t, "key") }

// want fails unless err has the code that the reference says; it reports success.
func (c *court) want(a *actor, k *lock, what, want string, err error) bool {
	c.t.Helper()
	if got := code(err); got != want {
		c.t.Fatalf("%s: %s %s:\n got %q\nwant %q\npolicy %+v", a.nameAll, what, *k.arn, said(err), want, k.policy)
	}
	return want == ""
}

func (c *court) create() {
	if len(c.locks) == 3 {
		return
	}
	a := c.someone()
	if len(c.locks) == 0 {
		a = c.actors[rapid.SampledFrom([]int{0, 4}).Draw(c.t, "owner")] // who may
	}
	out, err := a.CreateKey(c.w.t.Context(), &kms.CreateKeyInput{})
	k := &lock{arn: new(""), account: a.account, on: true, relics: map[int][]byte{}}
	k.policy = []clause{{account: a.account, actions: []string{"*"}}}
	want := "AccessDeniedException"
	if lists(a.allowed, "CreateKey") {
		want = ""
	}
	if !c.want(a, k, "create key", want, err) {
		return
	}
	k.arn = out.KeyMetadata.Arn
	owner := a
	for i, context := range surroundings {
		k.relics[i] = must(owner.encrypt(k.arn, context))(c.w.t)
	}
	c.locks = append(c.locks, k)
}

// use is one of the cryptographic operations, or a description.
func (c *court) use() {
	k, i := c.lock(), rapid.IntRange(0, len(surroundings)-1).Draw(c.t, "context")
	a := c.near(k)
	w := wish{action: rapid.SampledFrom(append([]string{"DescribeKey"}, sealing...)).Draw(c.t, "action"), context: surroundings[i]}
	ctx := c.w.t.Context()
	var err error
	switch w.action {
	case "DescribeKey":
		err = a.describe(k.arn)
	case "Encrypt":
		_, err = a.encrypt(k.arn, w.context)
	case "GenerateDataKey":
		_, err = a.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: k.arn, KeySpec: "AES_256", EncryptionContext: w.context})
	case "Decrypt":
		_, err = a.Decrypt(ctx, &kms.DecryptInput{KeyId: k.arn, CiphertextBlob: k.relics[i], EncryptionContext: w.context})
	}
	c.want(a, k, fmt.Sprintf("%s in %v", w.action, w.context), k.answer(a, w, c.w.clock()), err)
}

func (c *court) toggle() {
	a, k, on := c.someone(), c.lock(), rapid.Bool().Draw(c.t, "on")
	if on {
		if c.want(a, k, "enable", k.answer(a, wish{action: "EnableKey"}, c.w.clock()), a.enable(k.arn)) {
			k.on = true
		}
		return
	}
	if c.want(a, k, "disable", k.answer(a, wish{action: "DisableKey"}, c.w.clock()), a.disable(k.arn)) {
		k.on = false
	}
}

// delete schedules a deletion, or takes it back.
func (c *court) delete() {
	a, k := c.someone(), c.lock()
	if rapid.Bool().Draw(c.t, "cancel") {
		if c.want(a, k, "cancel", k.answer(a, wish{action: "CancelKeyDeletion"}, c.w.clock()), a.cancel(k.arn)) {
			k.deleting, k.on = false, false
		}
		return
	}
	if c.want(a, k, "schedule", k.answer(a, wish{action: "ScheduleKeyDeletion"}, c.w.clock()), a.schedule(k.arn)) {
		k.deleting, k.until = true, c.w.clock().UTC().Truncate(time.Millisecond).Add(7*day)
	}
}

func (c *court) wait() {
	c.w.wait(rapid.SampledFrom([]time.Duration{time.Minute, day, 6 * day}).Draw(c.t, "how long"))
	if rapid.Bool().Draw(c.t, "sweep") {
		if _, err := c.w.Sweep(c.w.t.Context(), c.w.clock()); err != nil {
			c.t.Fatal(err)
		}
	}
}

// putPolicy puts one of a few policies.
func (c *court) putPolicy() {
	a, k := c.someone(), c.lock()
	other := abroad
	if k.account == abroad {
		other = home
	}
	all := []string{"*"}
	whole := func(account cloud.AccountID, actions ...string) clause {
		return clause{account: account, actions: actions}
	}
	one := func(a *actor, actions ...string) clause {
		return clause{being: being{who: a.named, life: a.life}, actions: actions}
	}
	somebody, deny := c.someone(), one(c.someone(), "Decrypt", "CreateGrant")
	deny.deny = true
	next := rapid.SampledFrom([][]clause{
		{whole(k.account, all...)},
		{whole(k.account, all...), whole(other, all...)},
		{whole(k.account, all...), one(somebody, "Encrypt", "Decrypt", "CreateGrant", "DescribeKey", "DisableKey")},
		{one(a, all...), one(somebody, "Encrypt", "RevokeGrant")},
		{one(somebody, all...)},
		{whole(k.account, all...), whole(other, "Decrypt", "CreateGrant"), deny},
		{whole(k.account, "PutKeyPolicy", "Decrypt", "CreateGrant"), whole(far, "Encrypt")},
	}).Draw(c.t, "policy")
	bypass := rapid.IntRange(0, 4).Draw(c.t, "bypass") == 0
	want := k.answer(a, wish{action: "PutKeyPolicy"}, c.w.clock())
	if after := (&lock{account: k.account, policy: next}); want == "" && !bypass && !after.may(a, wish{action: "PutKeyPolicy"}) {
		want = "MalformedPolicyDocumentException"
	}
	var statements []string
	for _, cl := range next {
		who := cl.being.who
		if cl.account != "" {
			who = cl.account.Root().String()
		}
		text := letting(who, "kms:"+strings.Join(cl.actions, `","kms:`))
		if cl.deny {
			text = strings.Replace(text, "Allow", "Deny", 1)
		}
		statements = append(statements, text)
	}
	_, err := a.PutKeyPolicy(c.w.t.Context(), &kms.PutKeyPolicyInput{KeyId: k.arn, Policy: keyPolicy(statements...), BypassPolicyLockoutSafetyCheck: bypass})
	if c.want(a, k, "put policy", want, err) {
		k.policy = next
	}
}

// being names somebody, as a principal or, of a role, its session.
func (c *court) being(what string) (being, *string) {
	a := rapid.SampledFrom(c.actors).Draw(c.t, what)
	b := being{who: a.named, life: a.life, session: a.named != a.nameAll && rapid.Bool().Draw(c.t, what+"'s session")}
	if b.session {
		return b, &a.nameAll
	}
	return b, &a.named
}

func (c *court) grant() {
	k := c.lock()
	a := c.near(k)
	g := &claim{issuer: a.account}
	in := &kms.CreateGrantInput{KeyId: k.arn}
	g.grantee, in.GranteePrincipal = c.being("grantee")
	if rapid.Bool().Draw(c.t, "somebody may retire it") {
		g.retiring, in.RetiringPrincipal = c.being("retiring")
	}
	g.operations = rapid.SampledFrom([][]string{
		{"Decrypt"}, {"Encrypt", "DescribeKey"}, {"CreateGrant", "Decrypt", "Encrypt"}, {"CreateGrant", "Decrypt", "RetireGrant"}, {"GenerateDataKey", "RetireGrant"},
		append([]string{"RetireGrant"}, grantActions...),
	}).Draw(c.t, "operations")
	pairs := rapid.SampledFrom(surroundings[1:]).Draw(c.t, "constraint")
	switch rapid.IntRange(0, 2).Draw(c.t, "constrained") {
	case 1:
		g.equals, in.Constraints = pairs, &types.GrantConstraints{EncryptionContextEquals: pairs}
	case 2:
		g.subset, in.Constraints = pairs, &types.GrantConstraints{EncryptionContextSubset: pairs}
	}
	for _, op := range g.operations {
		in.Operations = append(in.Operations, types.GrantOperation(op))
	}
	out, err := a.CreateGrant(c.w.t.Context(), in)
	if c.want(a, k, fmt.Sprintf("grant %+v", g), k.answer(a, wish{action: "CreateGrant", child: g}, c.w.clock()), err) {
		g.id = *out.GrantId
		k.claims = append(k.claims, g)
	}
}

// claim is one of k's, or one that there is not.
func (c *court) claim(k *lock) *claim {
	if len(k.claims) == 0 || rapid.IntRange(0, 9).Draw(c.t, "none") == 0 {
		return &claim{id: strings.Repeat("0", 64)}
	}
	return rapid.SampledFrom(k.claims).Draw(c.t, "grant")
}

func (c *court) revoke() {
	a, k := c.someone(), c.lock()
	g := c.claim(k)
	want := k.answer(a, wish{action: "RevokeGrant"}, c.w.clock())
	if want == "" && !slices.Contains(k.claims, g) {
		want = "NotFoundException"
	}
	if c.want(a, k, fmt.Sprintf("revoke %+v", g), want, a.revoke(k.arn, &g.id)) {
		k.end(g)
	}
}

func (c *court) retire() {
	k := c.lock()
	a, g := c.near(k), c.claim(k)
	want := ""
	switch is := k.there(c.w.clock()) && slices.Contains(k.claims, g); {
	case !is && a.account == k.account:
		want = "NotFoundException"
	case !is, !k.mayRetire(a, g):
		want = "AccessDeniedException"
	}
	if c.want(a, k, fmt.Sprintf("retire %+v", g), want, a.retire(k.arn, &g.id)) {
		k.end(g)
	}
}

func (k *lock) end(g *claim) {
	k.claims = slices.DeleteFunc(k.claims, func(o *claim) bool { return o == g })
}

// rebirth deletes a user or role, and makes another of the same name, whom what
// was said of the first says nothing about.
func (c *court) rebirth() {
	a := c.someone()
	c.w.remove(a.person)
	for _, o := range c.actors {
		if o.named == a.named {
			o.life++
			o.appear(c.w)
		}
	}
}

// restart starts another service on the same database.
func (c *court) restart() {
	c.w.restart()
	for _, a := range c.actors {
		a.person = a.again()
	}
}
