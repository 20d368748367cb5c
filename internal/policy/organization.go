package policy

import (
	"strings"

	"borealis/internal/cloud"
)

// organizations looks through what the organizations of both accounts say. It
// reports whether that is an explicit deny.
func (v *verdict) organizations(r *request) bool {
	// Of resource control policies only a Deny counts: AWS's policy that allows
	// everything, RCPFullAWSAccess, is attached everywhere and cannot be detached.
	for _, l := range r.resourceControl() {
		var allow finding
		if v.scanAll(r, l.Policies, ResourceControl, &allow) {
			return true
		}
	}
	for _, l := range r.serviceControl() {
		var allow finding
		if v.scanAll(r, l.Policies, ServiceControl, &allow) {
			return true
		}
		v.closed = v.closed || !allow.found()
	}
	return false
}

func (v *verdict) scanAll(r *request, all []*Policy, side Side, allow *finding) bool {
	for _, p := range all {
		if v.scan(r, p, side, allow) {
			return true
		}
	}
	return false
}

// serviceControl are the levels whose service control policies bind the caller:
// all principals of a member account, its root user too, but service-linked
// roles. Services, and those whom an identity provider vouches for, are not
// principals of an account.
func (q *Question) serviceControl() []Level {
	if q.ServiceControl.Management || q.Caller.Kind.Outside() || q.serviceLinked() {
		return nil
	}
	return q.ServiceControl.Levels
}

// resourceControl are the levels whose resource control policies guard the resource.
func (q *Question) resourceControl() []Level {
	if len(q.ResourceControl.Levels) == 0 {
		return nil
	}
	if q.ResourceControl.Management || q.Fixed || q.serviceLinked() || !controlled[lowered(serviceOf(q.Action))] || EqualFold(q.Action, "kms:RetireGrant") {
		return nil
	}
	return q.ResourceControl.Levels
}

// controlled are the services whose resources obey resource control policies, as
// the Organizations user guide lists them ("List of AWS services that support RCPs").
var controlled = func() map[string]bool {
	all := map[string]bool{}
	for _, name := range strings.Fields(`
		aoss appconfig appstream autoscaling autoscaling-plans budgets clouddirectory cloudfront
		cloudsearch cloudtrail-data codeartifact codebuild codecommit codepipeline cognito-identity
		cognito-idp comprehend comprehendmedical compute-optimizer cost-optimization-hub dax dsql
		dynamodb ecr ecr-public events firehose fis fms gamelift health inspector-scan kendra
		kinesisvideo kms logs memorydb networkmonitor notifications opensearch pca-connector-ad
		personalize polly pricing resource-groups rolesanywhere s3 secretsmanager servicediscovery
		signin sqs sts support swf textract timestream-influxdb transcribe transfer translate wafv2
		workspaces xray`) {
		all[name] = true
	}
	return all
}()

// serviceLinked says that the caller is a role that a service made for itself.
func (q *Question) serviceLinked() bool {
	return q.Caller.Kind == cloud.AssumedRole && strings.Contains(q.Caller.Principal, ":role/aws-service-role/")
}

// serviceOf is the service of an action: "kms" of "kms:Decrypt".
func serviceOf(action string) string {
	service, _, _ := strings.Cut(action, ":")
	return service
}
