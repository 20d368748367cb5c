package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/uuid"

	"borealis/internal/cloud"
)

// linkedServices are the services that roles can be linked to, with the names of
// those roles, and whether these may have a suffix.
var linkedServices = map[string]struct {
	role   string
	suffix bool
}{
	"autoscaling.amazonaws.com":          {"AWSServiceRoleForAutoScaling", true},
	"cks.kms.amazonaws.com":              {"AWSServiceRoleForKeyManagementServiceCustomKeyStores", false},
	"cloudtrail.amazonaws.com":           {"AWSServiceRoleForCloudTrail", false},
	"ecs.amazonaws.com":                  {"AWSServiceRoleForECS", false},
	"eks.amazonaws.com":                  {"AWSServiceRoleForAmazonEKS", false},
	"elasticache.amazonaws.com":          {"AWSServiceRoleForElastiCache", false},
	"elasticloadbalancing.amazonaws.com": {"AWSServiceRoleForElasticLoadBalancing", false},
	"es.amazonaws.com":                   {"AWSServiceRoleForAmazonElasticsearchService", false},
	"mrk.kms.amazonaws.com":              {"AWSServiceRoleForKeyManagementServiceMultiRegionKeys", false},
	"opensearchservice.amazonaws.com":    {"AWSServiceRoleForAmazonOpenSearchService", false},
	"organizations.amazonaws.com":        {"AWSServiceRoleForOrganizations", false},
	"rds.amazonaws.com":                  {"AWSServiceRoleForRDS", false},
	"spot.amazonaws.com":                 {"AWSServiceRoleForEC2Spot", false},
}

// linkedPrefix is where service-linked roles are, and no others.
const linkedPrefix = "/aws-service-role/"

// linkedPath is where the roles of a service are.
func linkedPath(service string) string { return linkedPrefix + service + "/" }

// linkedTrust lets a service, and nobody else, assume its role.
const linkedTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":[%q]},"Action":["sts:AssumeRole"]}]}`

// protected are the actions that nobody may do to a service-linked role.
var protected = map[string]bool{
	"iam:AttachRolePolicy": true, "iam:DetachRolePolicy": true, "iam:PutRolePolicy": true, "iam:DeleteRolePolicy": true,
	"iam:UpdateAssumeRolePolicy": true, "iam:DeleteRole": true, "iam:PutRolePermissionsBoundary": true, "iam:DeleteRolePermissionsBoundary": true,
}

func unmodifiable(e Entity) error {
	return &types.UnmodifiableEntityException{Message: new(fmt.Sprintf("Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", e.Name))}
}

// A deletion is the task of deleting a service-linked role. It is stored, so its
// fields change only with a migration.
type deletion struct{ Created time.Time }

// CreateServiceLinkedRole makes the role that a service uses in the account.
func (v *View) CreateServiceLinkedRole(ctx context.Context, in *iam.CreateServiceLinkedRoleInput) (*iam.CreateServiceLinkedRoleOutput, error) {
	out := &iam.CreateServiceLinkedRoleOutput{}
	return out, v.change(ctx, func(r *request) error {
		service := *in.AWSServiceName
		linked, known := linkedServices[service]
		e := Entity{
			Account: r.caller.Account, Kind: Role, ID: newID(rolePrefix), Name: linked.role, Path: linkedPath(service), Created: r.Now().UTC(),
			Service: service, Description: text(in.Description), MaxSession: defaultMaxSession, Trust: fmt.Sprintf(linkedTrust, service),
		}
		if in.CustomSuffix != nil {
			e.Name += "_" + *in.CustomSuffix
		}
		err := r.authorize("iam:CreateServiceLinkedRole", resource{arn: e.ARN(), context: with("iam:AWSServiceName", service)(asked(nil, nil))})
		switch {
		case err != nil:
			return err
		case !known:
			return invalidInput("%s is not a service that roles can be linked to here.", service)
		case in.CustomSuffix != nil && !linked.suffix:
			return invalidInput("Custom suffix is not allowed for %s", service)
		}
		if err := r.room(Role); err != nil {
			return err
		}
		err = r.AddEntity(e)
		if errors.Is(err, cloud.ErrExists) {
			return invalidInput("Service role name %s has been taken in this account, please try a different suffix.", e.Name)
		}
		if err != nil {
			return err
		}
		out.Role, err = r.role(e)
		return err
	})
}

// DeleteServiceLinkedRole deletes a service-linked role, at once.
func (v *View) DeleteServiceLinkedRole(ctx context.Context, in *iam.DeleteServiceLinkedRoleInput) (*iam.DeleteServiceLinkedRoleOutput, error) {
	out := &iam.DeleteServiceLinkedRoleOutput{}
	return out, v.change(ctx, func(r *request) error {
		e, err := r.entity("iam:DeleteServiceLinkedRole", Role, *in.RoleName, nil)
		if err != nil {
			return err
		}
		if e.Service == "" {
			return noSuchEntity("The service-linked role with name %s cannot be found.", e.Name)
		}
		if err := r.forgetOld(DeletionItem); err != nil {
			return err
		}
		out.DeletionTaskId = new("task" + e.Path + e.Name + "/" + uuid.NewString())
		if err := addItem(r, Item{Account: e.Account, Kind: DeletionItem, ID: *out.DeletionTaskId}, deletion{r.Now().UTC()}); err != nil {
			return err
		}
		return r.DeleteEntity(e.ID)
	})
}

// GetServiceLinkedRoleDeletionStatus says that a service-linked role was deleted,
// for some hours.
func (v *View) GetServiceLinkedRoleDeletionStatus(ctx context.Context, in *iam.GetServiceLinkedRoleDeletionStatusInput) (*iam.GetServiceLinkedRoleDeletionStatusOutput, error) {
	return &iam.GetServiceLinkedRoleDeletionStatusOutput{Status: types.DeletionTaskStatusTypeSucceeded}, v.read(ctx, func(r *request) error {
		task, named := strings.CutPrefix(*in.DeletionTaskId, "task/")
		on := resource{arn: "*"}
		if end := strings.LastIndex(task, "/"); named && end > 0 {
			on.arn = cloud.NewARN("iam", "", r.caller.Account, "role/"+task[:end]).String()
		}
		_, err := r.item("iam:GetServiceLinkedRoleDeletionStatus", DeletionItem, *in.DeletionTaskId, on.arn,
			noSuchEntity("Deletion task %s cannot be found.", *in.DeletionTaskId), nil)
		return err
	})
}
