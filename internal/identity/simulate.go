package identity

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

const (
	// maxSimulated is how many pairs of an action and a resource one page of a
	// simulation decides about; a page has one action at least.
	maxSimulated = 10000
	// simulatedSession is the name of the session as which roles are simulated.
	simulatedSession = "simulation"
)

// What the policy simulator calls policies that have no name of their own, and
// kinds of policies.
const (
	inputPolicy    = "PolicyInputList."
	boundaryPolicy = "PermissionsBoundaryPolicyInputList.1"
	resourcePolicy = "ResourcePolicy"

	identityType = "IAM Policy"
	resourceType = "Resource Policy"
	boundaryType = "Permissions Boundary Policy"
)

// A simulation is what both operations of the policy simulator are asked, and what
// each of them finds out first: who is simulated, and with which policies.
type simulation struct {
	actions, resources, policies, boundaries []string
	resourcePolicy, owner, callerARN, option *string
	entries                                  []types.ContextEntry
	marker                                   *string
	items                                    *int32

	caller   cloud.Caller
	identity policy.Identity
	ids      map[*policy.Policy]string // what the simulator calls the policies
	control  policy.Control
	place    policy.Place

	resource *policy.Policy
	given    policy.Context // condition keys of every request
	spans    map[*policy.Policy][]policy.Span
}

// SimulatePrincipalPolicy says what a user, role or group may do, with its policies
// as they are or others in addition.
func (v *View) SimulatePrincipalPolicy(ctx context.Context, in *iam.SimulatePrincipalPolicyInput) (*iam.SimulatePrincipalPolicyOutput, error) {
	s := &simulation{
		actions: in.ActionNames, resources: in.ResourceArns, policies: in.PolicyInputList, boundaries: in.PermissionsBoundaryPolicyInputList,
		resourcePolicy: in.ResourcePolicy, owner: in.ResourceOwner, callerARN: in.CallerArn, option: in.ResourceHandlingOption,
		entries: in.ContextEntries, marker: in.Marker, items: in.MaxItems,
	}
	out := &iam.SimulatePrincipalPolicyOutput{}
	return out, v.read(ctx, func(r *request) error {
		e, err := r.simulated("iam:SimulatePrincipalPolicy", *in.PolicySourceArn)
		if err != nil {
			return err
		}
		if r.Organizations != nil {
			m, err := r.Organizations.Membership(ctx, e.Account)
			if err != nil {
				return err
			}
			s.control, s.place = m.ServiceControl, m.Place
		}
		if err := s.attach(r, e, in.PolicyExclusionList); err != nil {
			return err
		}
		out.EvaluationResults, out.Marker, err = s.run(r)
		out.IsTruncated = out.Marker != nil
		return err
	})
}

// SimulateCustomPolicy says what policies that are given would let somebody do.
func (v *View) SimulateCustomPolicy(ctx context.Context, in *iam.SimulateCustomPolicyInput) (*iam.SimulateCustomPolicyOutput, error) {
	s := &simulation{
		actions: in.ActionNames, resources: in.ResourceArns, policies: in.PolicyInputList, boundaries: in.PermissionsBoundaryPolicyInputList,
		resourcePolicy: in.ResourcePolicy, owner: in.ResourceOwner, callerARN: in.CallerArn, option: in.ResourceHandlingOption,
		entries: in.ContextEntries, marker: in.Marker, items: in.MaxItems,
	}
	out := &iam.SimulateCustomPolicyOutput{}
	return out, v.read(ctx, func(r *request) error {
		if err := r.authorize("iam:SimulateCustomPolicy", resource{arn: "*"}); err != nil {
			return err
		}
		if in.ResourcePolicy != nil && in.CallerArn == nil {
			return invalidInput("CallerArn is required when ResourcePolicy is specified.")
		}
		s.caller = cloud.Caller{Kind: cloud.User, Account: r.caller.Account}
		if err := s.organize(in.OrderedOrganizationPolicyInputList); err != nil {
			return err
		}
		var err error
		out.EvaluationResults, out.Marker, err = s.run(r)
		out.IsTruncated = out.Marker != nil
		return err
	})
}

// GetContextKeysForPrincipalPolicy lists the condition keys that the policies of a
// user, role or group ask for, and those that are given in addition.
func (v *View) GetContextKeysForPrincipalPolicy(ctx context.Context, in *iam.GetContextKeysForPrincipalPolicyInput) (*iam.GetContextKeysForPrincipalPolicyOutput, error) {
	out := &iam.GetContextKeysForPrincipalPolicyOutput{}
	return out, v.read(ctx, func(r *request) error {
		e, err := r.simulated("iam:GetContextKeysForPrincipalPolicy", *in.PolicySourceArn)
		if err != nil {
			return err
		}
		own, err := r.policiesOf(r, e)
		if err != nil {
			return err
		}
		more, err := inputPolicies(in.PolicyInputList)
		out.ContextKeyNames = contextKeys(slices.Concat(own, more))
		return err
	})
}

// GetContextKeysForCustomPolicy lists the condition keys that policies ask for.
func (v *View) GetContextKeysForCustomPolicy(ctx context.Context, in *iam.GetContextKeysForCustomPolicyInput) (*iam.GetContextKeysForCustomPolicyOutput, error) {
	out := &iam.GetContextKeysForCustomPolicyOutput{}
	return out, v.read(ctx, func(r *request) error {
		if err := r.authorize("iam:GetContextKeysForCustomPolicy", resource{arn: "*"}); err != nil {
			return err
		}
		all, err := inputPolicies(in.PolicyInputList)
		out.ContextKeyNames = contextKeys(all)
		return err
	})
}

// contextKeys are the condition keys that policies ask for, each once, whatever its case.
func contextKeys(all []*policy.Policy) []string {
	keys, seen := []string{}, map[string]bool{}
	for _, p := range all {
		for _, k := range p.ContextKeys() {
			if low := strings.ToLower(k); !seen[low] {
				seen[low] = true
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// simulated is the user, role or group with an ARN if the caller may do action to it.
func (r *request) simulated(action, arn string) (Entity, error) {
	if _, err := simulatedCaller(arn); err != nil {
		return Entity{}, err
	}
	return r.entityNamed(action, arn)
}

// simulatedCaller is a user, role or group as it would ask, whether there is one or
// not. A role is a session of its own.
func simulatedCaller(arn string) (cloud.Caller, error) {
	a, err := cloud.ParseARN(arn)
	kind, path, _ := strings.Cut(a.Resource, "/")
	name := path[strings.LastIndex(path, "/")+1:]
	if err != nil || a.Service != "iam" || titles[Kind(kind)] == "" || name == "" {
		return cloud.Caller{}, invalidInput("Invalid Entity Arn: %s does not clearly define entity type and name.", arn)
	}
	c := cloud.Caller{Kind: cloud.User, Account: a.Account, ARN: arn, Principal: arn}
	switch Kind(kind) {
	case User:
		c.UserName = name
	case Role:
		c.Kind = cloud.AssumedRole
		c.ARN = cloud.NewARN("sts", "", a.Account, "assumed-role/"+name+"/"+simulatedSession).String()
	}
	return c, nil
}

// attach makes s about e with all of its policies but those that are left out.
func (s *simulation) attach(r *request, e Entity, without []types.PolicyIdentifier) (err error) {
	left, err := newExclusion(without)
	if err != nil {
		return err
	}
	if s.caller, err = simulatedCaller(e.ARN()); err != nil {
		return err
	}
	s.caller.Tags = tagMap(e.Tags)
	switch e.Kind {
	case User:
		s.caller.UserID = e.ID
	case Role:
		s.caller.UserID = e.ID + ":" + simulatedSession
	}
	all, err := r.originsOf(r, e)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, left.has)
	if left.hasType(types.PolicyIdentifierPolicyTypeScp) {
		s.control = policy.Control{}
	}
	s.identity.Policies, s.ids = parsed(all), map[*policy.Policy]string{}
	for _, o := range all {
		s.ids[o.policy] = o.id()
	}
	bound, err := r.boundary(e)
	if err != nil || bound == "" || left.hasBoundary(bound) {
		return err
	}
	s.identity.Boundary, err = r.managed(r, bound)
	return err
}

// organize has levels of an organization limit the simulation.
func (s *simulation) organize(levels []types.OrderedOrganizationPolicyType) error {
	for i, l := range levels {
		level := policy.Level{Name: fmt.Sprintf("OrderedOrganizationPolicyInputList.%d", i+1)}
		for _, text := range l.ServiceControlPolicyInputList {
			p, err := inputParsed(policy.InlineKind, level.Name, text)
			if err != nil {
				return err
			}
			level.Policies = append(level.Policies, p)
		}
		s.control.Levels = append(s.control.Levels, level)
	}
	return nil
}

// inputParsed is a policy that a request brings.
func inputParsed(k policy.Kind, name, text string) (*policy.Policy, error) {
	p, err := k.Parse(name, text)
	if err != nil {
		return nil, invalidInput("%s: %v", name, err)
	}
	return p, nil
}

func inputPolicies(texts []string) ([]*policy.Policy, error) {
	var all []*policy.Policy
	for i, text := range texts {
		p, err := inputParsed(policy.InlineKind, inputPolicy+fmt.Sprint(i+1), text)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// run is a page of what the simulation comes to, and where the next begins.
func (s *simulation) run(r *request) ([]types.EvaluationResult, *string, error) {
	if len(s.resources) == 0 {
		s.resources = []string{"*"}
	}
	p, err := newPage(s.marker, s.items)
	if err != nil {
		return nil, nil, err
	}
	p.limit = max(1, min(p.limit, maxSimulated/len(s.resources)))
	if err := s.prepare(); err != nil {
		return nil, nil, err
	}
	order := make([]int, len(s.actions))
	for i := range order {
		order[i] = i
	}
	some, next := cut(p, order, func(i int) string { return fmt.Sprintf("%09d", i) })
	results := []types.EvaluationResult{}
	for _, i := range some {
		results = append(results, s.action(r, s.actions[i]))
	}
	return results, next, nil
}

// prepare checks and reads what the request brings.
func (s *simulation) prepare() error {
	for _, a := range s.actions {
		if service, name, ok := strings.Cut(a, ":"); !ok || service == "" || name == "" || strings.ContainsAny(a, "*? ") || strings.Contains(name, ":") {
			return invalidInput("Invalid Action: %s", a)
		}
	}
	for _, arn := range s.resources {
		if _, err := cloud.ParseARN(arn); err != nil && arn != "*" {
			return invalidInput(`Resource %s must be in ARN format or "*".`, arn)
		}
	}
	if s.callerARN != nil {
		c, err := simulatedCaller(*s.callerARN)
		if err != nil {
			return err
		}
		if c.ARN != s.caller.ARN {
			s.caller = c
		}
	}
	if err := s.scenario(); err != nil {
		return err
	}
	if err := s.readPolicies(); err != nil {
		return err
	}
	return s.readContext()
}

// readPolicies reads the policies that the request brings.
func (s *simulation) readPolicies() (err error) {
	if s.ids == nil {
		s.ids = map[*policy.Policy]string{}
	}
	more, err := inputPolicies(s.policies)
	if err != nil {
		return err
	}
	for _, p := range more {
		s.ids[p] = p.Name
	}
	s.identity.Policies = slices.Concat(s.identity.Policies, more)
	switch len(s.boundaries) {
	case 0:
	case 1:
		if s.identity.Boundary, err = inputParsed(policy.InlineKind, boundaryPolicy, s.boundaries[0]); err != nil {
			return err
		}
	default:
		return invalidInput("Only one permissions boundary policy can be specified.")
	}
	if s.resourcePolicy == nil {
		return nil
	}
	if s.resource, err = inputParsed(policy.ResourceKind, resourcePolicy, *s.resourcePolicy); err == nil {
		s.ids[s.resource] = resourcePolicy
	}
	return err
}

// readContext collects the condition keys of all requests: those that follow from
// who is simulated, and, in place of them or in addition, those that are given.
func (s *simulation) readContext() error {
	c := s.caller
	s.given = policy.Context{}
	set := func(name, value string) {
		if value != "" {
			s.given[strings.ToLower(name)] = []string{value}
		}
	}
	set("aws:PrincipalArn", c.Principal)
	set("aws:PrincipalAccount", string(c.Account))
	set("aws:PrincipalType", string(c.Kind))
	set("aws:PrincipalIsAWSService", "false")
	set("aws:userid", c.UserID)
	set("aws:username", c.UserName)
	set("aws:PrincipalOrgID", s.place.Organization)
	set("aws:PrincipalOrgPaths", s.place.Path)
	for k, v := range c.Tags {
		s.given["aws:PrincipalTag/"+k] = []string{v}
	}
	seen := map[string]bool{}
	for _, e := range s.entries {
		name := strings.ToLower(text(e.ContextKeyName))
		kind, list := strings.CutSuffix(string(e.ContextKeyType), "List")
		switch {
		case name == "":
			return invalidInput("A context entry has no ContextKeyName.")
		case seen[name]:
			return invalidInput("Context key %s is specified more than once.", *e.ContextKeyName)
		case !list && len(e.ContextKeyValues) > 1:
			return invalidInput("Context key %s has more than one value, and its type %s is of one.", *e.ContextKeyName, e.ContextKeyType)
		}
		seen[name] = true
		for _, v := range e.ContextKeyValues {
			if !policy.ValidValue(cmp.Or(kind, "string"), v) {
				return invalidInput("Context key %s: %s is not a value of type %s.", *e.ContextKeyName, v, e.ContextKeyType)
			}
		}
		maps.DeleteFunc(s.given, func(k string, _ []string) bool { return strings.EqualFold(k, name) })
		s.given[*e.ContextKeyName] = e.ContextKeyValues
	}
	return nil
}

// scenarios are the kinds of resources that each ResourceHandlingOption wants.
var scenarios = map[string][]string{
	"EC2-VPC-InstanceStore":        {"instance", "image", "security-group", "network-interface"},
	"EC2-VPC-InstanceStore-Subnet": {"instance", "image", "security-group", "network-interface", "subnet"},
	"EC2-VPC-EBS":                  {"instance", "image", "security-group", "network-interface", "volume"},
	"EC2-VPC-EBS-Subnet":           {"instance", "image", "security-group", "network-interface", "subnet", "volume"},
}

// scenario refuses a simulation that lacks resources which its option wants.
func (s *simulation) scenario() error {
	if s.option == nil {
		return nil
	}
	wanted, ok := scenarios[*s.option]
	if !ok {
		return invalidInput("ResourceHandlingOption %s is not valid.", *s.option)
	}
	for _, kind := range wanted {
		if !slices.ContainsFunc(s.resources, func(arn string) bool {
			a, err := cloud.ParseARN(arn)
			return err == nil && a.Service == "ec2" && strings.HasPrefix(a.Resource, kind+"/")
		}) {
			return invalidInput("ResourceHandlingOption %s requires a resource of type %s.", *s.option, kind)
		}
	}
	return nil
}

// question is whether the simulated caller may do action to arn. Without a resource
// policy, only the caller's own account has a say.
func (s *simulation) question(r *request, action, arn string) policy.Question {
	owner := s.caller.Account
	if s.owner != nil {
		owner = cloud.AccountID(*s.owner)
		if a, err := cloud.ParseARN(*s.owner); err == nil {
			owner = a.Account
		}
	}
	a, err := cloud.ParseARN(arn)
	if err == nil && a.Account != "" {
		owner = a.Account
	}
	q := policy.Question{
		Caller: s.caller, Identity: s.identity, Action: action, Resource: arn, Owner: s.caller.Account,
		ResourcePolicy: s.resource, ServiceControl: s.control, CallerOrg: s.place,
		Context: s.given, Now: r.Now(), Hypothetical: true,
	}
	if s.resource != nil {
		q.Owner, q.ResourceMustAllow = owner, a.Service == "kms" && strings.HasPrefix(a.Resource, "key/")
	}
	if _, given := s.given.Condition("aws:resourceaccount"); !given && err == nil {
		q.Context = maps.Clone(s.given)
		q.Context["aws:ResourceAccount"] = []string{string(owner)}
	}
	return q
}
