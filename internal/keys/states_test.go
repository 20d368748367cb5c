package keys_test

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"borealis/internal/cloud"
	"borealis/internal/keys"
)

// stateTable is AWS's table of key states and operations, as its developer guide
// has it, with the corrections that answers recorded from AWS make:
// GetPublicKey works on a disabled key, cryptographic operations on one that is
// to be deleted are refused as an invalid state, tagging in PendingReplicaDeletion
// too. "." works, "d" is DisabledException, "s" is KMSInvalidStateException with
// the state's name, "n" is KMSInvalidStateException, not pending deletion.
const stateTable = `
                                    Enabled Disabled PendingDeletion PendingReplicaDeletion PendingImport Unavailable Creating Updating
CancelKeyDeletion                   n       n        .               .                      n             n           n        n
CreateAlias                         .       .        s               s                      .             .           .        .
CreateGrant                         .       d        s               s                      s             .           s        .
CreateKey                           .       .        .               .                      .             .           .        .
Decapsulate                         .       d        s               s                      s             s           s        .
Decrypt                             .       d        s               s                      s             s           s        .
DeleteAlias                         .       .        .               .                      .             .           .        .
DeleteImportedKeyMaterial           .       .        .               .                      .             .           s        s
DeriveSharedSecret                  .       d        s               s                      s             s           s        .
DescribeKey                         .       .        .               .                      .             .           .        .
DisableKey                          .       .        s               s                      s             .           s        s
DisableKeyRotation                  .       d        s               s                      .             .           s        .
EnableKey                           .       .        s               s                      s             .           s        s
EnableKeyRotation                   .       d        s               s                      .             .           s        .
Encapsulate                         .       d        s               s                      s             s           s        .
Encrypt                             .       d        s               s                      s             s           s        .
GenerateDataKey                     .       d        s               s                      s             s           s        .
GenerateDataKeyPair                 .       d        s               s                      s             s           s        .
GenerateDataKeyPairWithoutPlaintext .       d        s               s                      s             s           s        .
GenerateDataKeyWithoutPlaintext     .       d        s               s                      s             s           s        .
GenerateMac                         .       d        s               s                      s             s           s        .
GenerateRandom                      .       .        .               .                      .             .           .        .
GetKeyLastUsage                     .       .        .               .                      .             .           .        .
GetKeyPolicy                        .       .        .               .                      .             .           .        .
GetKeyRotationStatus                .       .        .               .                      .             .           .        .
GetParametersForImport              .       .        s               s                      .             .           s        s
GetPublicKey                        .       .        s               s                      s             s           s        .
ImportKeyMaterial                   .       .        s               s                      .             .           s        .
ListAliases                         .       .        .               .                      .             .           .        .
ListGrants                          .       .        .               .                      .             .           .        .
ListKeyPolicies                     .       .        .               .                      .             .           .        .
ListKeyRotations                    .       .        .               .                      .             .           .        .
ListKeys                            .       .        .               .                      .             .           .        .
ListResourceTags                    .       .        .               .                      .             .           .        .
ListRetirableGrants                 .       .        .               .                      .             .           .        .
PutKeyPolicy                        .       .        .               .                      .             .           .        .
ReEncrypt                           .       d        s               s                      s             s           s        .
ReplicateKey                        .       d        s               s                      s             .           s        s
RetireGrant                         .       .        .               .                      .             .           .        .
RevokeGrant                         .       .        .               .                      .             .           .        .
RotateKeyOnDemand                   .       d        s               s                      s             .           s        .
ScheduleKeyDeletion                 .       .        s               s                      .             .           .        s
Sign                                .       d        s               s                      s             s           s        .
TagResource                         .       .        s               s                      .             .           .        .
UntagResource                       .       .        s               s                      .             .           .        .
UpdateAlias                         .       .        s               s                      .             .           .        .
UpdateKeyDescription                .       .        s               s                      .             .           .        .
UpdatePrimaryRegion                 .       d        s               s                      s             .           s        .
Verify                              .       d        s               s                      s             s           s        .
VerifyMac                           .       d        s               s                      s             s           s        .
`

// reads are the operations that leave a key as it is.
var reads = regexp.MustCompile("^(Get|List|Describe|Generate|Encrypt|Decrypt|ReEncrypt|Sign|Verify|Derive|Encapsulate|Decapsulate)")

// Every operation is tried in every state that a key can be in.
func TestStates(t *testing.T) {
	t.Parallel()
	words := map[keys.State]string{
		keys.PendingDeletion: "pending deletion", keys.PendingReplicaDeletion: "pending replica deletion", keys.PendingImport: "pending import",
		keys.Unavailable: "unavailable", keys.Creating: "creating", keys.Updating: "updating",
	}
	lines := strings.Split(strings.TrimSpace(stateTable), "\n")
	states, left := strings.Fields(lines[0]), make(map[string]bool)
	for name := range keys.Ops {
		left[name] = !strings.Contains(name, "CustomKeyStore") // those have states of their own
	}
	w := newWorld(t)
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		name := f[0]
		delete(left, name)
		var key *string
		var in any
		for i, want := range f[1:] {
			state := keys.State(states[i])
			ann := w.person(home, "user/ann", allow("kms:*"))
			if key == nil {
				ann.dropAliases()
				key, w.theirs = ann.keyFor(name), nil
				in = w.inputs(ann, key)[name]
				if named := keyOf(in); named != nil {
					key = named
				}
			}
			if in == nil {
				t.Fatalf("%s has no input in this test", name)
			}
			w.force(key, state)
			_, err := keys.Ops[name].Run(t.Context(), ann.again().View, in)
			message := map[string]string{
				".": "",
				"d": "DisabledException: " + *key + " is disabled.",
				"s": "KMSInvalidStateException: " + *key + " is " + words[state] + ".",
				"n": "KMSInvalidStateException: " + *key + " is not pending deletion.",
			}[want]
			if got := said(err); got != message {
				t.Errorf("%s in state %s:\n got %q\nwant %q", name, state, got, message)
			}
			if err == nil && !reads.MatchString(name) {
				key = nil // what is done is done; the next state takes another
			}
		}
	}
	for name, is := range left {
		if !is {
			continue
		}
		t.Errorf("%s has no row in the table of states", name)
	}
}

// keyOf is the ARN of the key that an input names, or nil.
func keyOf(in any) *string {
	f := reflect.Indirect(reflect.ValueOf(in)).FieldByName("KeyId")
	if !f.IsValid() || f.IsNil() {
		return nil
	}
	return f.Interface().(*string)
}

// force puts a key into a state that no operation here puts it into, and starts
// another service, as after a crash.
func (w *world) force(key *string, state keys.State) {
	w.t.Helper()
	arn, err := cloud.ParseARN(*key)
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.db.Keys().Update(w.t.Context(), func(tx keys.Tx) error {
		k, err := tx.Key(keys.Ref{Place: keys.Place{Account: arn.Account, Region: arn.Region}, ID: strings.TrimPrefix(arn.Resource, "key/")})
		if err != nil {
			return err
		}
		k.State = state
		if state == keys.PendingDeletion {
			k.Deletion = w.clock().AddDate(0, 0, 7)
		}
		return tx.PutKey(k)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.restart()
}
