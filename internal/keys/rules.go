package keys

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// A need says in which states of its key an action works.
type need int

const (
	anyState     need = iota
	notDeleting       // it changes what belongs to the key
	onlyEnabled       // it uses the material
	readable          // it reads the material's public half, which a disabled key still shows
	delegable         // it lets others use the key, once it can be used
	switchable        // it turns the key on or off
	schedulable       // it schedules the key's deletion
	onlyDeleting      // it takes that back
	rotatable         // it sets when the key gets new material
	replenished       // it gives the key new material
	askable           // it asks how material is to be imported
	importable        // it takes the key's material from outside
	removable         // it takes imported material away
	replicable        // it makes a copy in another Region
	movable           // it makes another Region the primary
)

// refused are the states in which what an action needs is not given. AWS's table
// of key states and operations is this one; where keys of an origin or of a
// Region never do an action, the action says so itself.
var refused = [...][]State{
	anyState:     nil,
	notDeleting:  {PendingDeletion, PendingReplicaDeletion},
	onlyEnabled:  {Disabled, PendingDeletion, PendingReplicaDeletion, PendingImport, Unavailable, Creating},
	readable:     {PendingDeletion, PendingReplicaDeletion, PendingImport, Unavailable, Creating},
	delegable:    {Disabled, PendingDeletion, PendingReplicaDeletion, PendingImport, Creating},
	switchable:   {PendingDeletion, PendingReplicaDeletion, PendingImport, Creating, Updating},
	schedulable:  {PendingDeletion, PendingReplicaDeletion, Updating},
	onlyDeleting: {Enabled, Disabled, PendingImport, Unavailable, Creating, Updating},
	rotatable:    {Disabled, PendingDeletion, PendingReplicaDeletion, Creating},
	replenished:  {Disabled, PendingDeletion, PendingReplicaDeletion, PendingImport, Creating},
	askable:      {PendingDeletion, PendingReplicaDeletion, Creating, Updating},
	importable:   {PendingDeletion, PendingReplicaDeletion, Creating},
	removable:    {Creating, Updating},
	replicable:   {Disabled, PendingDeletion, PendingReplicaDeletion, PendingImport, Creating, Updating},
	movable:      {Disabled, PendingDeletion, PendingReplicaDeletion, PendingImport, Creating},
}

// A rule is what is particular about an action on a key. An action without a
// rule is not an action on a key.
type rule struct {
	// alias: the key may be named by an alias.
	alias bool
	// foreign: the key may be another account's. For other actions what policies
	// and grants say to foreign principals has no effect.
	foreign bool
	// grant: a grant may allow it.
	grant bool
	// context: it has an encryption context, which grants may constrain.
	context bool
	needs   need
}

// rules are the actions on keys, by their names without "kms:".
var rules = map[string]rule{
	"CancelKeyDeletion":                   {needs: onlyDeleting},
	"CreateAlias":                         {needs: notDeleting},
	"CreateGrant":                         {foreign: true, grant: true, needs: delegable},
	"Decapsulate":                         {alias: true, foreign: true, grant: true, needs: onlyEnabled},
	"Decrypt":                             {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"DeleteAlias":                         {},
	"DeriveSharedSecret":                  {alias: true, foreign: true, grant: true, needs: onlyEnabled},
	"DescribeKey":                         {alias: true, foreign: true, grant: true},
	"DisableKey":                          {needs: switchable},
	"EnableKey":                           {needs: switchable},
	"Encapsulate":                         {alias: true, foreign: true, grant: true, needs: onlyEnabled},
	"Encrypt":                             {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"GenerateDataKey":                     {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"GenerateDataKeyPair":                 {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"GenerateDataKeyPairWithoutPlaintext": {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"GenerateDataKeyWithoutPlaintext":     {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"GenerateMac":                         {alias: true, foreign: true, grant: true, needs: onlyEnabled},
	"GetKeyLastUsage":                     {},
	"GetKeyPolicy":                        {},
	"GetKeyRotationStatus":                {foreign: true},
	"GetPublicKey":                        {alias: true, foreign: true, grant: true, needs: readable},
	"ListGrants":                          {foreign: true},
	"ListKeyPolicies":                     {},
	"ListResourceTags":                    {},
	"PutKeyPolicy":                        {},
	"ReEncryptFrom":                       {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"ReEncryptTo":                         {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"RetireGrant":                         {foreign: true, grant: true},
	"RevokeGrant":                         {foreign: true},
	"ScheduleKeyDeletion":                 {needs: schedulable},
	"Sign":                                {alias: true, foreign: true, grant: true, needs: onlyEnabled},
	"TagResource":                         {needs: notDeleting},
	"UntagResource":                       {needs: notDeleting},
	"UpdateAlias":                         {needs: notDeleting},
	"UpdateKeyDescription":                {needs: notDeleting},
	"Verify":                              {alias: true, foreign: true, grant: true, needs: onlyEnabled},
	"VerifyMac":                           {alias: true, foreign: true, grant: true, needs: onlyEnabled},

	// Rotation, import and multi-Region keys.
	"DeleteImportedKeyMaterial": {needs: removable},
	"DisableKeyRotation":        {needs: rotatable},
	"EnableKeyRotation":         {needs: rotatable},
	"GetParametersForImport":    {needs: askable},
	"ImportKeyMaterial":         {needs: importable},
	"ListKeyRotations":          {},
	"ReplicateKey":              {needs: replicable},
	"RotateKeyOnDemand":         {needs: replenished},
	"UpdatePrimaryRegion":       {needs: movable},
}

// said is what a key in each of these states is said to be.
var said = map[State]string{
	PendingDeletion:        "pending deletion",
	PendingReplicaDeletion: "pending replica deletion",
	PendingImport:          "pending import",
	Unavailable:            "unavailable",
	Creating:               "creating",
	Updating:               "updating",
}

// usable refuses an action that the key's state does not permit.
func usable(k *Key, action string) error {
	needs, state := rules[action].needs, k.shownState()
	if !slices.Contains(refused[needs], state) {
		return nil
	}
	switch arn := k.ARN(); {
	case needs == onlyDeleting:
		return &types.KMSInvalidStateException{Message: new(arn + " is not pending deletion.")}
	case state == Disabled:
		return &types.DisabledException{Message: new(arn + " is disabled.")}
	default:
		return &types.KMSInvalidStateException{Message: new(arn + " is " + said[state] + ".")}
	}
}
