package keys_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/keys"
)

// actionKeys are the condition keys of requests for each action, beside those of
// keyKeys: which AWS says in the Service Authorization Reference for KMS and in
// "Permissions reference" of its Developer Guide (September 2026). A request may
// have them; it has those after "!" whenever it is made as in this test.
var actionKeys = map[string]string{
	"CancelKeyDeletion":                   "",
	"ConnectCustomKeyStore":               "",
	"CreateAlias":                         "",
	"CreateCustomKeyStore":                "",
	"CreateGrant":                         "! " + contextKeys + " " + grantKeys,
	"CreateKey":                           "! kms:BypassPolicyLockoutSafetyCheck aws:RequestTag/k aws:TagKeys",
	"Decapsulate":                         "! kms:RequestAlias kms:EncapsulationAlgorithm",
	"Decrypt":                             "! kms:EncryptionAlgorithm " + contextKeys + " kms:RequestAlias",
	"DeleteAlias":                         "",
	"DeleteCustomKeyStore":                "",
	"DeleteImportedKeyMaterial":           "",
	"DeriveSharedSecret":                  "! kms:KeyAgreementAlgorithm kms:RequestAlias",
	"DescribeCustomKeyStores":             "",
	"DescribeKey":                         "! kms:RequestAlias",
	"DisableKey":                          "! kms:TrailingDaysWithoutKeyUsage",
	"DisableKeyRotation":                  "",
	"DisconnectCustomKeyStore":            "",
	"EnableKey":                           "",
	"EnableKeyRotation":                   "! kms:RotationPeriodInDays",
	"Encapsulate":                         "! kms:RequestAlias kms:EncapsulationAlgorithm",
	"Encrypt":                             "! kms:EncryptionAlgorithm " + contextKeys + " kms:RequestAlias",
	"GenerateDataKey":                     "! kms:EncryptionAlgorithm " + contextKeys + " kms:RequestAlias",
	"GenerateDataKeyPair":                 "! kms:DataKeyPairSpec kms:EncryptionAlgorithm " + contextKeys + " kms:RequestAlias",
	"GenerateDataKeyPairWithoutPlaintext": "! kms:DataKeyPairSpec kms:EncryptionAlgorithm " + contextKeys + " kms:RequestAlias",
	"GenerateDataKeyWithoutPlaintext":     "! kms:EncryptionAlgorithm " + contextKeys + " kms:RequestAlias",
	"GenerateMac":                         "! kms:MacAlgorithm kms:RequestAlias",
	"GenerateRandom":                      "",
	"GetKeyLastUsage":                     "",
	"GetKeyPolicy":                        "",
	"GetKeyRotationStatus":                "",
	"GetParametersForImport":              "! kms:WrappingAlgorithm kms:WrappingKeySpec",
	"GetPublicKey":                        "! kms:RequestAlias",
	"ImportKeyMaterial":                   "! kms:ExpirationModel kms:ValidTo",
	"ListAliases":                         "",
	"ListGrants":                          "! kms:GrantIsForAWSResource",
	"ListKeyPolicies":                     "",
	"ListKeyRotations":                    "",
	"ListKeys":                            "",
	"ListResourceTags":                    "",
	"ListRetirableGrants":                 "",
	"PutKeyPolicy":                        "! kms:BypassPolicyLockoutSafetyCheck",
	"ReEncryptFrom":                       "! kms:ReEncryptOnSameKey kms:EncryptionAlgorithm " + contextKeys + " kms:RequestAlias",
	"ReEncryptTo":                         "! kms:ReEncryptOnSameKey kms:EncryptionAlgorithm " + contextKeys + " kms:RequestAlias",
	"ReplicateKey":                        "! kms:ReplicaRegion",
	"RetireGrant":                         "! kms:GrantConstraintType " + contextKeys,
	"RevokeGrant":                         "! kms:GrantIsForAWSResource",
	"RotateKeyOnDemand":                   "",
	"ScheduleKeyDeletion":                 "! kms:ScheduleKeyDeletionPendingWindowInDays kms:TrailingDaysWithoutKeyUsage",
	"Sign":                                "! kms:MessageType kms:RequestAlias kms:SigningAlgorithm",
	"TagResource":                         "! aws:RequestTag/k aws:TagKeys",
	"UntagResource":                       "! aws:TagKeys",
	"UpdateAlias":                         "",
	"UpdateCustomKeyStore":                "",
	"UpdateKeyDescription":                "",
	"UpdatePrimaryRegion":                 "! kms:PrimaryRegion",
	"Verify":                              "! kms:MessageType kms:RequestAlias kms:SigningAlgorithm",
	"VerifyMac":                           "! kms:MacAlgorithm kms:RequestAlias",
}

const (
	contextKeys = "kms:EncryptionContext:a kms:EncryptionContextKeys"
	grantKeys   = "kms:GrantConstraintSourceArn kms:GrantConstraintType kms:GrantIsForAWSResource kms:GrantOperations kms:GranteePrincipal kms:GranteeServicePrincipal kms:RetiringPrincipal kms:RetiringServicePrincipal"
	// keyKeys say what a key is; requests about one have them all, and CreateKey
	// those of sortKeys.
	keyKeys  = sortKeys + " kms:KeyManager kms:ResourceAliases aws:ResourceTag/team"
	sortKeys = "kms:KeySpec kms:KeyUsage kms:KeyOrigin kms:CustomerMasterKeySpec kms:CustomerMasterKeyUsage kms:MultiRegion"
	// everyKeys are in every request that somebody makes through a service.
	everyKeys = "kms:CallerAccount kms:ViaService aws:PrincipalArn aws:PrincipalAccount"
)

// keyless are the actions that are not about a key.
var keyless = strings.Fields("ConnectCustomKeyStore CreateCustomKeyStore CreateKey DeleteCustomKeyStore DescribeCustomKeyStores DisconnectCustomKeyStore GenerateRandom ListAliases ListKeys ListRetirableGrants UpdateCustomKeyStore")

// richInput is in with every parameter that shows in a condition key.
func richInput(in any, alias *string) any {
	v := reflect.New(reflect.TypeOf(in).Elem())
	v.Elem().Set(reflect.ValueOf(in).Elem())
	set := func(field string, value any) {
		if f := v.Elem().FieldByName(field); f.IsValid() {
			f.Set(reflect.ValueOf(value))
		}
	}
	encryption := map[string]string{"a": "1"}
	for _, f := range []string{"EncryptionContext", "SourceEncryptionContext", "DestinationEncryptionContext"} {
		set(f, encryption)
	}
	if alias != nil {
		for _, f := range []string{"KeyId", "SourceKeyId", "DestinationKeyId"} {
			set(f, alias)
		}
	}
	switch in := v.Interface().(type) {
	case *kms.CreateGrantInput:
		in.RetiringPrincipal, in.GranteeServicePrincipal, in.RetiringServicePrincipal = in.GranteePrincipal, new("rds.amazonaws.com"), new("rds.amazonaws.com")
		in.Constraints = &types.GrantConstraints{EncryptionContextSubset: encryption, SourceArn: new(database)}
	case *kms.ImportKeyMaterialInput:
		in.ExpirationModel, in.ValidTo = "KEY_MATERIAL_EXPIRES", new(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	}
	return v.Interface()
}

// actionsOf are the actions that an operation needs, in their order.
func actionsOf(operation string) []string {
	switch operation {
	case "ReEncrypt":
		return []string{"ReEncryptFrom", "ReEncryptTo"}
	case "CreateKey":
		return []string{"CreateKey", "TagResource"}
	case "ReplicateKey":
		return []string{"ReplicateKey", "CreateKey", "TagResource"}
	}
	return []string{operation}
}

// Requests have the condition keys that AWS says they have, and no others.
func TestConditionKeysOfEveryAction(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	inputs := w.allInputs(ann, key)
	constrained := grantTo(key, w.person(home, "role/grantee").caller.Principal, "Decrypt")
	constrained.Constraints = &types.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1"}}
	inputs["RetireGrant"].(*kms.RetireGrantInput).GrantId = ann.grant(constrained).GrantId
	universe := strings.Fields(strings.Join([]string{everyKeys, keyKeys}, " "))
	for _, list := range actionKeys {
		universe = append(universe, strings.Fields(strings.TrimPrefix(list, "!"))...)
	}
	slices.Sort(universe)
	universe = slices.Compact(universe)
	eve := w.person(home, "user/eve").through("rds.amazonaws.com")
	for operation, op := range keys.Ops {
		for _, action := range actionsOf(operation) {
			list, known := actionKeys[action]
			if !known {
				t.Errorf("%s is in no table of condition keys", action)
				continue
			}
			t.Run(operation+" "+action, func(t *testing.T) {
				in := w.dressed(ann, operation, inputs[operation], key, strings.Contains(list, "kms:RequestAlias"))
				own := strings.Fields(strings.TrimPrefix(list, "!"))
				must := slices.Concat(own, strings.Fields(everyKeys))
				switch {
				case action == "CreateKey":
					must = append(must, strings.Fields(sortKeys)...)
				case action == "TagResource" && operation != action: // there is no key yet
				case !slices.Contains(keyless, action):
					must = append(must, strings.Fields(keyKeys)...)
				}
				for _, k := range universe {
					has := w.hasCondition(eve, op.Run, in, action, k)
					if want := slices.Contains(must, k); has != want {
						t.Errorf("has %s: %t, want %t", k, has, want)
					}
				}
			})
		}
	}
}

// dressed is in, about a key that has an alias and a tag, and by that alias if
// asked. It is about key if it does not say.
func (w *world) dressed(owner *person, operation string, in any, key *string, byAlias bool) any {
	w.t.Helper()
	for _, field := range []string{"KeyId", "TargetKeyId", "DestinationKeyId"} {
		if f := reflect.ValueOf(in).Elem().FieldByName(field); f.IsValid() && !f.IsNil() {
			key = f.Interface().(*string)
		}
	}
	ctx := w.t.Context()
	must(owner.TagResource(ctx, &kms.TagResourceInput{KeyId: key, Tags: []types.Tag{{TagKey: new("team"), TagValue: new("red")}}}))(w.t)
	alias := "alias/of/" + operation
	if err := owner.alias(alias, key); err != nil && code(err) != "AlreadyExistsException" {
		w.t.Fatal(err)
	}
	if !byAlias {
		return richInput(in, nil)
	}
	return richInput(in, &alias)
}

// hasCondition says whether p's request has a condition key when it is decided
// about action. Nothing comes of the request.
func (w *world) hasCondition(p *person, run func(context.Context, *keys.View, any) (any, error), in any, action, key string) bool {
	w.t.Helper()
	w.setPolicies(p.caller.Principal, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","NotAction":"kms:`+action+`","Resource":"*"},
		{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:*:*:alias/*"},
		{"Effect":"Deny","Action":"kms:`+action+`","NotResource":"arn:aws:kms:*:*:alias/*","Condition":{"Null":{"`+key+`":"false"}}}]}`)
	_, err := run(w.t.Context(), p.View, in)
	switch got := said(err); {
	case strings.Contains(got, "kms:"+action+" on") && strings.HasSuffix(got, "with an explicit deny in an identity-based policy"):
		return true
	case strings.Contains(got, "kms:"+action+" on") && strings.HasSuffix(got, "because no identity-based policy allows the kms:"+action+" action"):
		return false
	default:
		w.t.Errorf("%s with %s: %s", action, key, got)
		return false
	}
}

// A conditioned is a request that a condition lets through, and one that it does
// not. Each is about a key of sort, with the policy's statement about action.
type conditioned struct {
	action, operator, key, value string
	sort                         sort
	yes, no                      func(p *person, key *string) error
}

// The values of condition keys that TestConditionKeys does not look at, each in a
// key policy that says yes to one of them.
func TestConditionValues(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann := w.person(home, "user/ann", allow("kms:*"))
	eve := w.person(home, "user/eve")
	app := w.person(home, "role/app").caller.Principal
	describe := func(p *person, key *string) error { return p.describe(key) }
	sign := func(a types.SigningAlgorithmSpec, kind types.MessageType) func(*person, *string) error {
		return func(p *person, key *string) error {
			_, err := p.Sign(ctx, &kms.SignInput{KeyId: key, Message: make([]byte, 32), MessageType: kind, SigningAlgorithm: a})
			return err
		}
	}
	mac := func(a types.MacAlgorithmSpec) func(*person, *string) error {
		return func(p *person, key *string) error {
			_, err := p.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: key, Message: []byte("x"), MacAlgorithm: a})
			return err
		}
	}
	encrypt := func(a types.EncryptionAlgorithmSpec) func(*person, *string) error {
		return func(p *person, key *string) error {
			_, err := p.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x"), EncryptionAlgorithm: a})
			return err
		}
	}
	pair := func(s types.DataKeyPairSpec) func(*person, *string) error {
		return func(p *person, key *string) error {
			_, err := p.GenerateDataKeyPairWithoutPlaintext(ctx, &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: key, KeyPairSpec: s})
			return err
		}
	}
	toService := func(grantee, retiring, source string) func(*person, *string) error {
		return func(p *person, key *string) error {
			in := grantTo(key, "", "Decrypt")
			in.GranteePrincipal, in.GranteeServicePrincipal, in.RetiringServicePrincipal = nil, &grantee, &retiring
			in.Constraints = &types.GrantConstraints{SourceArn: &source}
			return p.tryGrant(in)
		}
	}
	const rds, ec2 = "rds.amazonaws.com", "ec2.amazonaws.com"
	toApp := func(p *person, key *string) error { return p.tryGrant(grantTo(key, app, "Decrypt")) }
	unused := func(p *person, key *string) error {
		w.wait(3*24*time.Hour + time.Hour)
		return p.disable(key)
	}
	usedToday := func(p *person, key *string) error {
		w.wait(5 * 24 * time.Hour)
		must(ann.encrypt(key, nil))(t)
		return p.disable(key)
	}
	rotate := func(days int32) func(*person, *string) error {
		return func(p *person, key *string) error {
			_, err := p.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: key, RotationPeriodInDays: &days})
			return err
		}
	}
	usual := func(p *person, key *string) error {
		_, err := p.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: key})
		return err
	}
	contexts := func(encryption map[string]string) func(*person, *string) error {
		return func(p *person, key *string) error { _, err := p.encrypt(key, encryption); return err }
	}
	rsa := sort{"RSA_2048", "ENCRYPT_DECRYPT"}
	for _, c := range []conditioned{
		{"DescribeKey", "StringEquals", "kms:KeyManager", "CUSTOMER", encrypting, describe, nil},
		{"DescribeKey", "StringEquals", "kms:KeyManager", "AWS", encrypting, nil, describe},
		{"DescribeKey", "StringEquals", "kms:CustomerMasterKeySpec", "HMAC_256", maker, describe, nil},
		{"DescribeKey", "StringEquals", "kms:CustomerMasterKeyUsage", "GENERATE_VERIFY_MAC", maker, describe, nil},
		{"DescribeKey", "StringEquals", "kms:KeySpec", "HMAC_256", encrypting, nil, describe},
		{"DescribeKey", "StringEquals", "kms:KeyUsage", "SIGN_VERIFY", signer, describe, nil},
		{"DescribeKey", "Null", "kms:MultiRegionKeyType", "true", encrypting, describe, nil},
		{"DescribeKey", "ArnEquals", "aws:PrincipalArn", "arn:aws:iam::111122223333:user/eve", encrypting, describe, nil},
		{"DescribeKey", "ArnEquals", "aws:PrincipalArn", "arn:aws:iam::111122223333:user/ann", encrypting, nil, describe},
		{"DescribeKey", "Null", "aws:SourceArn", "true", encrypting, describe, nil},
		{"Sign", "StringEquals", "kms:SigningAlgorithm", "ECDSA_SHA_256", signer, sign("ECDSA_SHA_256", "RAW"), sign("ECDSA_SHA_384", "RAW")},
		{"Sign", "StringEquals", "kms:MessageType", "RAW", signer, sign("ECDSA_SHA_256", ""), sign("ECDSA_SHA_256", "DIGEST")},
		{"Sign", "StringEquals", "kms:MessageType", "DIGEST", signer, sign("ECDSA_SHA_256", "DIGEST"), sign("ECDSA_SHA_256", "")},
		{"GenerateMac", "StringEquals", "kms:MacAlgorithm", "HMAC_SHA_256", maker, mac("HMAC_SHA_256"), mac("HMAC_SHA_384")},
		{"Encrypt", "StringEquals", "kms:EncryptionAlgorithm", "RSAES_OAEP_SHA_256", rsa, encrypt("RSAES_OAEP_SHA_256"), encrypt("RSAES_OAEP_SHA_1")},
		{"Encrypt", "StringEquals", "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", encrypting, encrypt(""), encrypt("RSAES_OAEP_SHA_1")},
		{"GenerateDataKeyPairWithoutPlaintext", "StringLike", "kms:DataKeyPairSpec", "ECC_*", encrypting, pair("ECC_NIST_P256"), pair("RSA_2048")},
		{"GenerateDataKeyPairWithoutPlaintext", "StringEquals", "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", encrypting, pair("ECC_NIST_P256"), nil},
		{"CreateGrant", "StringEquals", "kms:GranteeServicePrincipal", rds, encrypting, toService(rds, ec2, database), toService(ec2, rds, database)},
		{"CreateGrant", "StringEquals", "kms:RetiringServicePrincipal", rds, encrypting, toService(ec2, rds, database), toService(rds, ec2, database)},
		{"CreateGrant", "ArnLike", "kms:GrantConstraintSourceArn", "arn:aws:rds:*:111122223333:cluster:b*", encrypting, toService(rds, rds, database), toService(rds, rds, otherDB)},
		{"CreateGrant", "Null", "kms:GrantConstraintSourceArn", "true", encrypting, toApp, toService(rds, rds, database)},
		{"CreateGrant", "Null", "kms:GranteePrincipal", "true", encrypting, toService(rds, rds, database), toApp},
		{"DisableKey", "NumericGreaterThanEquals", "kms:TrailingDaysWithoutKeyUsage", "3", encrypting, unused, usedToday},
		{"DisableKey", "NumericEquals", "kms:TrailingDaysWithoutKeyUsage", "3", encrypting, unused, nil},
		{"EnableKeyRotation", "NumericLessThanEquals", "kms:RotationPeriodInDays", "180", encrypting, rotate(180), rotate(181)},
		{"EnableKeyRotation", "NumericEquals", "kms:RotationPeriodInDays", "365", encrypting, usual, rotate(100)},
		{"Encrypt", "ForAllValues:StringEquals", "kms:EncryptionContextKeys", "a", encrypting, contexts(map[string]string{"a": "x"}), contexts(map[string]string{"A": "x"})},
		{"Encrypt", "Null", "kms:EncryptionContextKeys", "false", encrypting, contexts(map[string]string{"b": "x"}), contexts(nil)},
		{"Encrypt", "StringEquals", "kms:EncryptionContext:App", "x", encrypting, contexts(map[string]string{"aPP": "x"}), contexts(map[string]string{"app": "X"})},
	} {
		t.Run(c.action+" "+c.key+" "+c.operator+" "+c.value, func(t *testing.T) {
			statement := strings.Replace(letting(eve.caller.ARN, "kms:"+c.action), `"Resource"`,
				`"Condition":{"`+c.operator+`":{"`+c.key+`":"`+c.value+`"}},"Resource"`, 1)
			key := ann.sortOf(c.sort, statement)
			if c.no != nil {
				eve.mayNot("do it", "AccessDeniedException", c.no(eve, key))
			}
			if c.yes != nil {
				key = ann.sortOf(c.sort, statement)
				eve.may("do it", c.yes(eve, key))
			}
		})
	}
}

// What a service acts for shows in aws:SourceArn and aws:SourceAccount.
func TestSourceConditions(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	for _, condition := range []string{
		`"ArnLike":{"aws:SourceArn":"arn:aws:rds:*:*:cluster:blue"}`,
		`"StringEquals":{"aws:SourceAccount":"111122223333"},"StringLike":{"aws:SourceArn":"*blue"}`,
	} {
		key := ann.key(strings.Replace(strings.Replace(letting("rds.amazonaws.com", "kms:GenerateDataKey"), `"AWS"`, `"Service"`, 1),
			`"Resource"`, `"Condition":{`+condition+`},"Resource"`, 1))
		blue, red, none := w.service("rds.amazonaws.com", database), w.service("rds.amazonaws.com", otherDB), w.service("rds.amazonaws.com", "")
		blue.may("make a data key under "+condition, blue.dataKey(key))
		red.mayNot("make one under "+condition, "AccessDeniedException", red.dataKey(key))
		none.mayNot("make one under "+condition, "AccessDeniedException", none.dataKey(key))
	}
}
