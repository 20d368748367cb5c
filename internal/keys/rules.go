package keys

import (
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// A need says in which states of its key an operation works.
type need int

const (
	anyState    need = iota
	notDeleting      // Enabled or Disabled
	onlyEnabled
	onlyDeleting
)

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
	"CancelKeyDeletion":               {needs: onlyDeleting},
	"CreateAlias":                     {needs: notDeleting},
	"CreateGrant":                     {foreign: true, grant: true, needs: onlyEnabled},
	"Decrypt":                         {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"DeleteAlias":                     {},
	"DescribeKey":                     {alias: true, foreign: true, grant: true},
	"DisableKey":                      {needs: notDeleting},
	"EnableKey":                       {needs: notDeleting},
	"Encrypt":                         {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"GenerateDataKey":                 {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"GenerateDataKeyWithoutPlaintext": {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"GetKeyPolicy":                    {},
	"GetKeyRotationStatus":            {foreign: true},
	"ListGrants":                      {foreign: true},
	"ListKeyPolicies":                 {},
	"ListResourceTags":                {},
	"PutKeyPolicy":                    {},
	"ReEncryptFrom":                   {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"ReEncryptTo":                     {alias: true, foreign: true, grant: true, context: true, needs: onlyEnabled},
	"RetireGrant":                     {foreign: true, grant: true},
	"RevokeGrant":                     {foreign: true},
	"ScheduleKeyDeletion":             {needs: notDeleting},
	"TagResource":                     {needs: notDeleting},
	"UntagResource":                   {needs: notDeleting},
	"UpdateAlias":                     {needs: notDeleting},
	"UpdateKeyDescription":            {needs: notDeleting},
}

// usable refuses an action that the key's state does not permit.
func usable(k *Key, action string) error {
	switch needs := rules[action].needs; {
	case needs == onlyDeleting && k.State != PendingDeletion:
		return &types.KMSInvalidStateException{Message: new(k.ARN() + " is not pending deletion.")}
	case needs == onlyEnabled && k.State == Disabled:
		return &types.DisabledException{Message: new(k.ARN() + " is disabled.")}
	case (needs == onlyEnabled || needs == notDeleting) && k.State == PendingDeletion:
		return &types.KMSInvalidStateException{Message: new(k.ARN() + " is pending deletion.")}
	}
	return nil
}
