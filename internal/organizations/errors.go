package organizations

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"github.com/aws/smithy-go"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// accessDenied is a refusal. It is cloud.ErrDenied too.
type accessDenied struct{ types.AccessDeniedException }

func (*accessDenied) Unwrap() error { return cloud.ErrDenied }

func refused(msg string) error {
	return &accessDenied{types.AccessDeniedException{Message: &msg}}
}

// denied words decision d.
func denied(c cloud.Caller, action, resource string, d policy.Decision) error {
	return refused("User: " + c.ARN + " is not authorized to perform: " + action + " on resource: " + resource + " " + d.Because())
}

// deniedByStanding is the refusal of accounts that policies allow it.
func deniedByStanding() error { return refused("You don't have permissions to access this resource.") }

func notInUse() error {
	return &types.AWSOrganizationsNotInUseException{Message: new("Your account is not a member of an organization.")}
}

func constraint(reason types.ConstraintViolationExceptionReason, msg string) error {
	return &types.ConstraintViolationException{Reason: reason, Message: &msg}
}

func invalidInput(reason types.InvalidInputExceptionReason, msg string) error {
	return &types.InvalidInputException{Reason: reason, Message: &msg}
}

func handshakeConstraint(reason types.HandshakeConstraintViolationExceptionReason, msg string) error {
	return &types.HandshakeConstraintViolationException{Reason: reason, Message: &msg}
}

func malformed(err error) error {
	return &types.MalformedPolicyDocumentException{Message: new(err.Error())}
}

func noAccount() error {
	return &types.AccountNotFoundException{Message: new("You specified an account that doesn't exist.")}
}

func noRoot() error {
	return &types.RootNotFoundException{Message: new("You specified a root that doesn't exist.")}
}

func noUnit() error {
	return &types.OrganizationalUnitNotFoundException{Message: new("You specified an organizational unit that doesn't exist.")}
}

func noParent() error {
	return &types.ParentNotFoundException{Message: new("You specified parent that doesn't exist.")}
}

func noChild() error {
	return &types.ChildNotFoundException{Message: new("You specified a child that doesn't exist.")}
}

func noTarget() error {
	return &types.TargetNotFoundException{Message: new("You specified a target that doesn't exist.")}
}

func noPolicy() error {
	return &types.PolicyNotFoundException{Message: new("You specified a policy that doesn't exist.")}
}

func noHandshake() error {
	return &types.HandshakeNotFoundException{Message: new("You specified a handshake that doesn't exist.")}
}

func duplicateUnit() error {
	return &types.DuplicateOrganizationalUnitException{Message: new("An OU with the same name already exists.")}
}

func duplicatePolicy() error {
	return &types.DuplicatePolicyException{Message: new("A policy with the same name already exists.")}
}

func managesIt() error {
	return &types.MasterCannotLeaveOrganizationException{Message: new("You can't remove the management account from the organization.")}
}

// apiError words what is left of the errors that the store shares with all
// services: something changed while it was being looked at.
func apiError(err error) error {
	if _, worded := errors.AsType[smithy.APIError](err); worded || err == nil {
		return err
	}
	if errors.Is(err, cloud.ErrConflict) {
		return &types.ConcurrentModificationException{Message: new("The target of the operation is currently being modified by a different request. Try again later.")}
	}
	return err
}

// or is replacement for an error that is kind.
func or(err, kind, replacement error) error {
	if errors.Is(err, kind) {
		return replacement
	}
	return err
}
