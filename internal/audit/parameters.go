package audit

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// maxParameters is how many bytes of a request's parameters an event has at
// most, as with CloudTrail. Of larger ones it says that they were left out.
const maxParameters = 100 << 10

// parameters are the members of inputs that go on record, by service. What is
// not here does not: plaintext, ciphertext, key material, messages, signatures,
// passwords, tokens and codes. Blobs do not, whatever they are called.
var parameters = lists(map[string]string{
	"kms": `KeyId EncryptionContext EncryptionAlgorithm SourceKeyId SourceEncryptionContext SourceEncryptionAlgorithm
		DestinationKeyId DestinationEncryptionContext DestinationEncryptionAlgorithm KeySpec NumberOfBytes KeyPairSpec
		SigningAlgorithm MessageType MacAlgorithm KeyAgreementAlgorithm KemAlgorithm KeyEncapsulationAlgorithm DryRun
		DryRunModifiers Description Policy PolicyName KeyUsage CustomerMasterKeySpec Origin CustomKeyStoreId
		BypassPolicyLockoutSafetyCheck Tags TagKey TagValue TagKeys MultiRegion XksKeyId AliasName TargetKeyId GranteePrincipal
		RetiringPrincipal GranteeServicePrincipal RetiringServicePrincipal Operations Constraints EncryptionContextSubset
		EncryptionContextEquals SourceArn Name GrantId PendingWindowInDays RotationPeriodInDays Limit Marker ReplicaRegion
		PrimaryRegion WrappingAlgorithm WrappingKeySpec ValidTo ExpirationModel ImportType KeyMaterialDescription
		KeyMaterialId IncludeKeyMaterial CustomKeyStoreName NewCustomKeyStoreName CustomKeyStoreType CloudHsmClusterId
		XksProxyConnectivity XksProxyUriEndpoint XksProxyUriPath XksProxyVpcEndpointServiceName`,
	"rds": `DBClusterIdentifier NewDBClusterIdentifier DBInstanceIdentifier DBClusterSnapshotIdentifier SnapshotIdentifier
		SourceDBClusterSnapshotIdentifier TargetDBClusterSnapshotIdentifier FinalDBSnapshotIdentifier SkipFinalSnapshot
		KmsKeyId SourceRegion CopyTags Engine EngineVersion EngineMode MasterUsername DatabaseName StorageEncrypted Port
		Tags Key Value TagKeys AttributeName ValuesToAdd ValuesToRemove ResourceName DBInstanceClass SnapshotType
		IncludeShared IncludePublic DeletionProtection BackupRetentionPeriod ApplyImmediately MaxRecords Marker`,
	"iam": `UserName NewUserName RoleName GroupName NewGroupName PolicyName PolicyArn PolicyDocument
		AssumeRolePolicyDocument Path NewPath PathPrefix Description MaxSessionDuration PermissionsBoundary Tags Key Value
		TagKeys VersionId SetAsDefault AccessKeyId Status AccountAlias Scope OnlyAttached Marker MaxItems
		PasswordResetRequired MinimumPasswordLength RequireSymbols RequireNumbers RequireUppercaseCharacters
		RequireLowercaseCharacters AllowUsersToChangePassword MaxPasswordAge PasswordReusePrevention HardExpiry SerialNumber
		VirtualMFADeviceName InstanceProfileName AWSServiceName CustomSuffix DeletionTaskId OpenIDConnectProviderArn Url
		ClientIDList ClientID ThumbprintList SAMLProviderArn Name AssertionEncryptionMode Arn JobId Granularity
		ServiceNamespace ServiceNamespaces PolicySourceArn ActionNames ResourceArns`,
	"sts": `RoleArn RoleSessionName DurationSeconds ExternalId SourceIdentity Tags Key Value TransitiveTagKeys PolicyArns
		Arn AccessKeyId SerialNumber Name PrincipalArn ProviderId Audience SigningAlgorithm`,
	// Names and addresses of accounts, and what invitations say, are AWS's to hide too.
	"organizations": `FeatureSet RootId ParentId ChildId ChildType SourceParentId DestinationParentId OrganizationalUnitId
		AccountId PolicyId PolicyType TargetId ResourceId HandshakeId CreateAccountRequestId ServicePrincipal Name Description
		Content Type Filter ActionType Tags Key Value TagKeys RoleName IamUserAccessToBilling States MaxResults`,
	"cloudtrail": `StartTime EndTime LookupAttributes AttributeKey AttributeValue MaxResults EventCategory`,
})

// elements are the members of outputs of operations that change something which
// go on record, by service. A new access key's id does, its secret does not.
var elements = lists(map[string]string{
	"kms": `KeyId GrantId KeyMetadata Arn AWSAccountId CreationDate Enabled Description KeyUsage KeyState Origin KeyManager
		KeySpec CustomerMasterKeySpec MultiRegion MultiRegionConfiguration MultiRegionKeyType PrimaryKey ReplicaKeys Region
		EncryptionAlgorithms SigningAlgorithms MacAlgorithms KeyAgreementAlgorithms ReplicaKeyMetadata DeletionDate
		PendingWindowInDays KeyMaterialId CurrentKeyMaterialId CustomKeyStoreId ExpirationModel ValidTo XksKeyConfiguration Id`,
	"rds": `DBCluster DBClusterSnapshot DBInstance DBClusterIdentifier DBClusterArn DBClusterSnapshotIdentifier
		DBClusterSnapshotArn DBInstanceIdentifier DBInstanceArn DbClusterResourceId Status DBInstanceStatus KmsKeyId
		SourceDBClusterSnapshotArn`,
	"iam": `AccessKey AccessKeyId User UserName UserId Role RoleName RoleId Group GroupName GroupId Policy PolicyName
		PolicyId Arn Status LoginProfile PasswordResetRequired InstanceProfile InstanceProfileName InstanceProfileId
		VirtualMFADevice SerialNumber OpenIDConnectProviderArn SAMLProviderArn DeletionTaskId`,
	"organizations": `Organization OrganizationalUnit Root Policy PolicySummary Handshake CreateAccountStatus Id Arn
		FeatureSet MasterAccountId MasterAccountArn PolicyTypes Type Status State Action AccountId FailureReason`,
	"sts": `AssumedRoleUser AssumedRoleId Arn FederatedUser FederatedUserId SubjectFromWebIdentityToken Audience Provider
		Issuer NameQualifier Subject SubjectType SourceIdentity`,
})

func lists(text map[string]string) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for service, names := range text {
		out[service] = map[string]bool{}
		for _, n := range strings.Fields(names) {
			out[service][n] = true
		}
	}
	return out
}

// readOnly says whether an operation changes nothing, by CloudTrail's reckoning:
// cryptography does not.
func readOnly(service, name string) bool {
	for _, verb := range [...]string{"Get", "List", "Describe", "Generate", "Lookup", "Decode"} {
		if strings.HasPrefix(name, verb) {
			return true
		}
	}
	switch service {
	case "kms":
		switch name {
		case "Decrypt", "Encrypt", "ReEncrypt", "ReEncryptFrom", "ReEncryptTo", "Sign", "Verify", "VerifyMac",
			"DeriveSharedSecret", "Encapsulate", "Decapsulate":
			return true
		}
	case "sts":
		return name == "AssumeRole"
	}
	return false
}

// A field is a member of a struct that goes on record.
type field struct {
	index int
	name  string // CloudTrail's: "keyId"
}

// plans are the fields of struct types, by type and list.
var plans sync.Map

type planKey struct {
	typ      reflect.Type
	elements bool
}

func planOf(t reflect.Type, allowed map[string]bool, isElements bool) []field {
	key := planKey{t, isElements}
	if p, ok := plans.Load(key); ok {
		return p.([]field)
	}
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		if allowed[f.Name] && f.IsExported() && !isBlob(f.Type) {
			out = append(out, field{i, lowerFirst(f.Name)})
		}
	}
	plans.Store(key, out)
	return out
}

func isBlob(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

// lowerFirst is a name as CloudTrail writes it: "KeyId" is keyId, "DBCluster"
// dBCluster.
func lowerFirst(s string) string {
	return string(unicode.ToLower(rune(s[0]))) + s[1:]
}

// appendStruct appends, as a further member called name, what allowed lets
// through of in, a pointer to a struct of the service.
func appendStruct(b []byte, name, service string, in any, allowed map[string]map[string]bool) []byte {
	v := reflect.ValueOf(in)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return b
	}
	w := walker{allowed: allowed[service], elements: name == "responseElements"}
	start := len(b)
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	at := len(b)
	b = w.fields(b, v.Elem())
	switch n := len(b) - at; {
	case n == len("{}"):
		return b[:start]
	case n > maxParameters:
		b = append(b[:at], `{"omitted":true,"originalSize":`...)
		b = strconv.AppendInt(b, int64(n), 10)
		return append(b, `,"reason":"too large"}`...)
	}
	return b
}

// A walker appends values as JSON.
type walker struct {
	allowed  map[string]bool
	elements bool
}

func (w walker) fields(b []byte, v reflect.Value) []byte {
	b = append(b, '{')
	first := true
	for _, f := range planOf(v.Type(), w.allowed, w.elements) {
		fv := v.Field(f.index)
		if fv.IsZero() {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, '"')
		b = append(b, f.name...)
		b = append(b, '"', ':')
		b = w.value(b, fv)
	}
	return append(b, '}')
}

func (w walker) value(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, "null"...)
		}
		return w.value(b, v.Elem())
	case reflect.String:
		return appendString(b, v.String())
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool())
	case reflect.Int, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(b, v.Int(), 10)
	case reflect.Slice:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = w.value(b, v.Index(i))
		}
		return append(b, ']')
	case reflect.Map:
		if m, ok := v.Interface().(map[string]string); ok {
			return appendStrings(b, m)
		}
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			b = append(b, '"')
			b = t.UTC().AppendFormat(b, timeForm)
			return append(b, '"')
		}
		return w.fields(b, v)
	}
	return append(b, "null"...) // nothing that goes on record is of another kind
}

// Members of an object of JSON that go on record under another guise.
func keyOf(raw json.RawMessage) string {
	if !bytes.Contains(raw, []byte(`eyMetadata"`)) {
		return ""
	}
	type metadata struct {
		ARN string `json:"arn"`
	}
	var r struct{ KeyMetadata, ReplicaKeyMetadata metadata }
	if json.Unmarshal(raw, &r) != nil {
		return ""
	}
	if r.ReplicaKeyMetadata.ARN != "" {
		return r.ReplicaKeyMetadata.ARN
	}
	return r.KeyMetadata.ARN
}
