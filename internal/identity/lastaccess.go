package identity

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/uuid"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// reportLife is how long a report can be asked for.
const reportLife = 4 * time.Hour

// serviceNames are the services whose use is on record, by namespace.
var serviceNames = map[string]string{
	"cloudtrail": "AWS CloudTrail",
	"iam":        "AWS Identity and Access Management",
	"kms":        "AWS Key Management Service",
	"rds":        "Amazon RDS",
	"sts":        "AWS Security Token Service",
}

// An accessReport is which services entities have used, as it was when somebody
// asked. It is stored, so its fields change only with a migration.
type accessReport struct {
	Created  time.Time
	Actions  bool // as well
	Services []accessedService
}

type accessedService struct {
	Namespace string
	Uses      []accessUse // latest first
	Entities  int         // that have used it
}

// An accessUse is the last time that a user or role asked for an action.
type accessUse struct {
	ID, Name, Path, ARN string
	Kind                Kind
	Action              string
	Time                time.Time
	Region              cloud.Region
}

// A subject is what a report is about: an entity or managed policy, with the
// policies that speak for it and the users and roles whose use counts.
type subject struct {
	policies []*policy.Policy
	who      []Entity
}

// subjectOf finds what arn names if the caller may do action to it.
func (r *request) subjectOf(action, arn string) (subject, error) {
	if isPolicyARN(arn) {
		return r.policySubject(action, arn)
	}
	e, err := r.entityNamed(action, arn)
	if err != nil {
		return subject{}, err
	}
	policies, err := r.policiesOf(r, e)
	if err != nil || e.Kind != Group {
		return subject{policies, []Entity{e}}, err
	}
	who, err := r.members(e)
	return subject{policies, who}, err
}

func (r *request) policySubject(action, arn string) (subject, error) {
	p, err := r.policy(action, arn, nil)
	if err != nil {
		return subject{}, err
	}
	parsed, err := r.known.parse(arn, p.document())
	if err != nil {
		return subject{}, err
	}
	links, err := r.LinksTo(r.caller.Account, arn, Attached)
	if err != nil {
		return subject{}, err
	}
	var who []Entity
	for _, l := range links {
		e, err := r.EntityByID(l.Source)
		if err != nil {
			return subject{}, err
		}
		some := []Entity{e}
		if e.Kind == Group {
			if some, err = r.members(e); err != nil {
				return subject{}, err
			}
		}
		who = append(who, some...)
	}
	slices.SortFunc(who, func(a, b Entity) int { return strings.Compare(kindAndName(a), kindAndName(b)) })
	return subject{[]*policy.Policy{parsed}, slices.CompactFunc(who, func(a, b Entity) bool { return a.ID == b.ID })}, nil
}

// members are the users of a group.
func (r *request) members(g Entity) ([]Entity, error) {
	links, err := r.LinksTo(g.Account, g.ID, Member)
	if err != nil {
		return nil, err
	}
	users, _, err := r.linked(links, source, page{limit: len(links)})
	return users, err
}

// entityNamed is the caller's user, role or group with an ARN, if the caller may
// do action to it.
func (r *request) entityNamed(action, arn string) (Entity, error) {
	a, err := cloud.ParseARN(arn)
	kind, rest, _ := strings.Cut(a.Resource, "/")
	if err != nil || a.Service != "iam" || titles[Kind(kind)] == "" || rest == "" {
		return Entity{}, invalidInput("ARN %s is not valid.", arn)
	}
	missing := noSuchEntity("%s %s does not exist.", titles[Kind(kind)], arn)
	if a.Account != r.caller.Account {
		if err := r.authorize(action, resource{arn: arn, owner: a.Account}); err != nil {
			return Entity{}, err
		}
		return Entity{}, missing
	}
	e, err := r.entity(action, Kind(kind), rest[strings.LastIndex(rest, "/")+1:], nil)
	if err == nil && e.ARN() != arn {
		err = missing
	}
	return e, err
}

// GenerateServiceLastAccessedDetails makes a report of which services an entity,
// or whom a policy is attached to, has used. It is there at once.
func (v *View) GenerateServiceLastAccessedDetails(ctx context.Context, in *iam.GenerateServiceLastAccessedDetailsInput) (*iam.GenerateServiceLastAccessedDetailsOutput, error) {
	id := uuid.NewString()
	return &iam.GenerateServiceLastAccessedDetailsOutput{JobId: &id}, v.change(ctx, func(r *request) error {
		of, err := r.subjectOf("iam:GenerateServiceLastAccessedDetails", *in.Arn)
		if err != nil {
			return err
		}
		report := accessReport{Created: r.Now().UTC(), Actions: in.Granularity == types.AccessAdvisorUsageGranularityTypeActionLevel}
		for _, namespace := range slices.Sorted(maps.Keys(serviceNames)) {
			if !slices.ContainsFunc(of.policies, func(p *policy.Policy) bool { return p.SpeaksOf(namespace) }) {
				continue
			}
			s, err := r.accessed(namespace, of.who)
			if err != nil {
				return err
			}
			report.Services = append(report.Services, s)
		}
		if err := r.forgetOld(AccessItem); err != nil {
			return err
		}
		return addItem(r, Item{Account: r.caller.Account, Kind: AccessItem, ID: id}, report)
	})
}

// forgetOld deletes reports of a kind that are over.
func (r *request) forgetOld(k ItemKind) error {
	all, err := r.Items(r.caller.Account, k)
	if err != nil {
		return err
	}
	for _, i := range all {
		old, err := body[struct{ Created time.Time }](i)
		if err != nil {
			return err
		}
		if r.Now().Sub(old.Created) < reportLife {
			continue
		}
		if err := r.DeleteItem(i.Account, i.Kind, i.ID); err != nil {
			return err
		}
	}
	return nil
}

// accessed is how a service was used by entities.
func (r *request) accessed(namespace string, who []Entity) (accessedService, error) {
	s := accessedService{Namespace: namespace}
	for _, e := range who {
		all, err := r.usagesOf(r, e.ID)
		if err != nil {
			return s, err
		}
		seen := map[string]bool{}
		for _, u := range all {
			if u.Service != namespace || seen[u.Action] {
				continue
			}
			seen[u.Action] = true
			s.Uses = append(s.Uses, accessUse{e.ID, e.Name, e.Path, e.ARN(), e.Kind, u.Action, u.Time, u.Region})
		}
		if len(seen) > 0 {
			s.Entities++
		}
	}
	slices.SortStableFunc(s.Uses, func(a, b accessUse) int { return b.Time.Compare(a.Time) })
	return s, nil
}

// accessReport is the report of a job if the caller may do action.
func (r *request) accessReport(action, job string) (accessReport, error) {
	if err := r.authorize(action, resource{arn: "*"}); err != nil {
		return accessReport{}, err
	}
	report, _, err := findItem[accessReport](r, r.caller.Account, AccessItem, job)
	if errors.Is(err, cloud.ErrNotFound) || err == nil && r.Now().Sub(report.Created) >= reportLife {
		return accessReport{}, noSuchEntity("Job %s does not exist.", job)
	}
	return report, err
}

// GetServiceLastAccessedDetails shows a report by service.
func (v *View) GetServiceLastAccessedDetails(ctx context.Context, in *iam.GetServiceLastAccessedDetailsInput) (*iam.GetServiceLastAccessedDetailsOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.GetServiceLastAccessedDetailsOutput{ServicesLastAccessed: []types.ServiceLastAccessed{}}
	return out, v.read(ctx, func(r *request) error {
		report, err := r.accessReport("iam:GetServiceLastAccessedDetails", *in.JobId)
		if err != nil {
			return err
		}
		out.JobStatus, out.JobCreationDate, out.JobCompletionDate = types.JobStatusTypeCompleted, &report.Created, &report.Created
		out.JobType = types.AccessAdvisorUsageGranularityTypeServiceLevel
		if report.Actions {
			out.JobType = types.AccessAdvisorUsageGranularityTypeActionLevel
		}
		some, next := cut(p, report.Services, func(s accessedService) string { return s.Namespace })
		for _, s := range some {
			out.ServicesLastAccessed = append(out.ServicesLastAccessed, s.details(report.Actions))
		}
		out.Marker, out.IsTruncated = next, next != nil
		return nil
	})
}

// details is s in IAM's words, with its actions if asked.
func (s accessedService) details(actions bool) types.ServiceLastAccessed {
	out := types.ServiceLastAccessed{ServiceName: new(serviceNames[s.Namespace]), ServiceNamespace: &s.Namespace, TotalAuthenticatedEntities: new(int32(s.Entities))}
	if len(s.Uses) == 0 {
		return out
	}
	out.LastAuthenticated, out.LastAuthenticatedEntity, out.LastAuthenticatedRegion = &s.Uses[0].Time, &s.Uses[0].ARN, new(string(s.Uses[0].Region))
	seen := map[string]bool{}
	for _, u := range s.Uses {
		if actions && !seen[u.Action] {
			seen[u.Action] = true
			out.TrackedActionsLastAccessed = append(out.TrackedActionsLastAccessed, types.TrackedActionLastAccessed{
				ActionName: &u.Action, LastAccessedEntity: &u.ARN, LastAccessedRegion: new(string(u.Region)), LastAccessedTime: &u.Time,
			})
		}
	}
	return out
}

// owners are the kinds as reports name them.
var owners = map[Kind]types.PolicyOwnerEntityType{
	User: types.PolicyOwnerEntityTypeUser, Role: types.PolicyOwnerEntityTypeRole, Group: types.PolicyOwnerEntityTypeGroup,
}

// GetServiceLastAccessedDetailsWithEntities shows who of a report has used a
// service, by name.
func (v *View) GetServiceLastAccessedDetailsWithEntities(ctx context.Context, in *iam.GetServiceLastAccessedDetailsWithEntitiesInput) (*iam.GetServiceLastAccessedDetailsWithEntitiesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.GetServiceLastAccessedDetailsWithEntitiesOutput{EntityDetailsList: []types.EntityDetails{}}
	return out, v.read(ctx, func(r *request) error {
		report, err := r.accessReport("iam:GetServiceLastAccessedDetailsWithEntities", *in.JobId)
		if err != nil {
			return err
		}
		out.JobStatus, out.JobCreationDate, out.JobCompletionDate = types.JobStatusTypeCompleted, &report.Created, &report.Created
		i := slices.IndexFunc(report.Services, func(s accessedService) bool { return s.Namespace == *in.ServiceNamespace })
		if i < 0 {
			return noSuchEntity("Service %s is not in the report of job %s.", *in.ServiceNamespace, *in.JobId)
		}
		some, next := cut(p, report.Services[i].lastByEntity(), accessUse.key)
		for _, u := range some {
			out.EntityDetailsList = append(out.EntityDetailsList, types.EntityDetails{
				EntityInfo:        &types.EntityInfo{Arn: &u.ARN, Id: &u.ID, Name: &u.Name, Path: &u.Path, Type: owners[u.Kind]},
				LastAuthenticated: &u.Time,
			})
		}
		out.Marker, out.IsTruncated = next, next != nil
		return nil
	})
}

func (u accessUse) key() string { return string(u.Kind) + "/" + strings.ToLower(u.Name) }

// lastByEntity is the last use by each entity, ordered by key.
func (s accessedService) lastByEntity() []accessUse {
	seen := map[string]bool{}
	all := slices.DeleteFunc(slices.Clone(s.Uses), func(u accessUse) bool {
		before := seen[u.ID]
		seen[u.ID] = true
		return before
	})
	slices.SortFunc(all, func(a, b accessUse) int { return strings.Compare(a.key(), b.key()) })
	return all
}

// ListPoliciesGrantingServiceAccess lists, for each of the services, the policies
// that allow an entity anything of it: its own and those of its groups.
func (v *View) ListPoliciesGrantingServiceAccess(ctx context.Context, in *iam.ListPoliciesGrantingServiceAccessInput) (*iam.ListPoliciesGrantingServiceAccessOutput, error) {
	p, err := newPage(in.Marker, nil)
	if err != nil {
		return nil, err
	}
	out := &iam.ListPoliciesGrantingServiceAccessOutput{PoliciesGrantingServiceAccess: []types.ListPoliciesGrantingServiceAccessEntry{}}
	return out, v.read(ctx, func(r *request) error {
		e, err := r.entityNamed("iam:ListPoliciesGrantingServiceAccess", *in.Arn)
		if err != nil {
			return err
		}
		namespaces := slices.Compact(slices.Sorted(slices.Values(in.ServiceNamespaces)))
		some, next := cut(p, namespaces, func(s string) string { return s })
		for _, namespace := range some {
			granting, err := r.granting(e, namespace)
			if err != nil {
				return err
			}
			out.PoliciesGrantingServiceAccess = append(out.PoliciesGrantingServiceAccess,
				types.ListPoliciesGrantingServiceAccessEntry{ServiceNamespace: &namespace, Policies: granting})
		}
		out.Marker, out.IsTruncated = next, next != nil
		return nil
	})
}

// granting are the policies that allow e anything of a service.
func (r *request) granting(e Entity, namespace string) ([]types.PolicyGrantingServiceAccess, error) {
	out := []types.PolicyGrantingServiceAccess{}
	for _, in := range e.Inline {
		p, err := r.known.parse(inlineName(e, in), in.Document)
		if err != nil {
			return nil, err
		}
		if p.SpeaksOf(namespace) {
			out = append(out, types.PolicyGrantingServiceAccess{PolicyName: &in.Name, PolicyType: types.PolicyTypeInline, EntityName: &e.Name, EntityType: owners[e.Kind]})
		}
	}
	attached, err := r.LinksFrom(e.ID, Attached)
	if err != nil {
		return nil, err
	}
	for _, l := range attached {
		p, err := r.managed(r, l.Target)
		if err != nil {
			return nil, err
		}
		if p.SpeaksOf(namespace) {
			out = append(out, types.PolicyGrantingServiceAccess{PolicyName: new(policyName(l.Target)), PolicyType: types.PolicyTypeManaged, PolicyArn: &l.Target})
		}
	}
	groups, err := r.LinksFrom(e.ID, Member)
	if err != nil {
		return nil, err
	}
	for _, l := range groups {
		g, err := r.EntityByID(l.Target)
		if err != nil {
			return nil, err
		}
		some, err := r.granting(g, namespace)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}
