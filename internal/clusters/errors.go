package clusters

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/smithy-go"
)

// A refusal is an error in RDS's words, with a cause that the caller is not told.
type refusal struct {
	smithy.APIError
	cause error
}

func (r refusal) Unwrap() []error { return []error{r.APIError, r.cause} }

// general makes the errors that RDS answers without declaring them.
func general(code, format string, args ...any) error {
	return &smithy.GenericAPIError{Code: code, Message: fmt.Sprintf(format, args...), Fault: smithy.FaultClient}
}

func invalidValue(format string, args ...any) error {
	return general("InvalidParameterValue", format, args...)
}

func invalidCombination(format string, args ...any) error {
	return general("InvalidParameterCombination", format, args...)
}

func missing(parameter string) error {
	return invalidValue("The parameter %s must be provided and must not be blank.", parameter)
}

func noCluster(name string) error {
	return &types.DBClusterNotFoundFault{Message: new("DBCluster " + name + " not found.")}
}

func noInstance(name string) error {
	return &types.DBInstanceNotFoundFault{Message: new("DBInstance " + name + " not found.")}
}

func noSnapshot(id string) error {
	return &types.DBClusterSnapshotNotFoundFault{Message: new("DBClusterSnapshot not found: " + id)}
}

func clusterExists() error {
	return &types.DBClusterAlreadyExistsFault{Message: new("DB Cluster already exists")}
}

func instanceExists() error {
	return &types.DBInstanceAlreadyExistsFault{Message: new("DB instance already exists")}
}

func snapshotExists(name string) error {
	return &types.DBClusterSnapshotAlreadyExistsFault{Message: new("Cannot create the snapshot because a snapshot with the identifier " + name + " already exists.")}
}

func clusterState(format string, args ...any) error {
	return &types.InvalidDBClusterStateFault{Message: new(fmt.Sprintf(format, args...))}
}

func snapshotState(format string, args ...any) error {
	return &types.InvalidDBClusterSnapshotStateFault{Message: new(fmt.Sprintf(format, args...))}
}

func snapshotQuota() error {
	return &types.SnapshotQuotaExceededFault{Message: new(fmt.Sprintf("Cannot create more than %d manual snapshots", maxSnapshots))}
}

// denied words a refusal by policy. because is policy.Decision.Because.
func denied(caller, action, resource, because string) error {
	return general("AccessDenied", "User: %s is not authorized to perform: %s on resource: %s %s", caller, action, resource, because)
}

// keyFault words what RDS says when KMS refuses: which key, and never why.
func keyFault(subject, key string, cause error) error {
	text := fmt.Sprintf("%s [%s] does not exist, is not enabled or you do not have permissions to access it.", subject, key)
	return refusal{&types.KMSKeyNotAccessibleFault{Message: &text}, cause}
}

// The two ways in which keyFault names a key.
const (
	givenKey  = "Specified KMS key"
	sourceKey = "The source snapshot KMS key"
)

// refused reports whether err is KMS saying no, as opposed to failing.
func refused(err error) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && e.ErrorFault() != smithy.FaultServer
}

// notOffered refuses a parameter that would change what is made in a way that
// this server cannot.
func notOffered(parameter string) error {
	return invalidCombination("The parameter %s is not offered by this server.", parameter)
}
