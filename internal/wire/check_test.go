package wire_test

import (
	"reflect"
	"strings"
	"testing"

	"borealis/internal/wire"
)

// What is refused, and in which words.
func TestConstraints(t *testing.T) {
	long := strings.Repeat("x", 8193)
	for _, tt := range []struct {
		service    *wire.Service
		op, body   string
		code, want string
	}{
		{wire.KMS, "DescribeKey", `{}`, "ValidationException",
			"1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null"},
		{wire.KMS, "DescribeKey", `{"KeyId":""}`, "ValidationException",
			"1 validation error detected: Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{wire.KMS, "EnableKeyRotation", `{"KeyId":"k","RotationPeriodInDays":2561}`, "ValidationException",
			"1 validation error detected: Value '2561' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value less than or equal to 2560"},
		{wire.KMS, "EnableKeyRotation", `{"KeyId":"k","RotationPeriodInDays":1}`, "ValidationException",
			"1 validation error detected: Value '1' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value greater than or equal to 90"},
		{wire.KMS, "Encrypt", `{"KeyId":"k","Plaintext":""}`, "ValidationException",
			"1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{wire.KMS, "Encrypt", `{"KeyId":"k","Plaintext":"` + strings.Repeat("AAAA", 1366) + `"}`, "ValidationException",
			"1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		{wire.KMS, "Decrypt", `{"CiphertextBlob":""}`, "ValidationException",
			"1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=0 cap=0]' at 'ciphertextBlob' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{wire.KMS, "GenerateDataKey", `{"KeyId":"k","KeySpec":"AES_512"}`, "ValidationException",
			"1 validation error detected: Value 'AES_512' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]"},
		{wire.KMS, "GenerateDataKey", `{"KeyId":"k","KeySpec":""}`, "ValidationException",
			"1 validation error detected: Value '' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]"},
		{wire.KMS, "GenerateDataKey", `{"KeyId":"k","GrantTokens":["a","` + long + `"]}`, "ValidationException",
			"1 validation error detected: Value '[a, " + long + "]' at 'grantTokens' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 8192, Member must have length greater than or equal to 1]"},
		{wire.KMS, "GenerateDataKey", `{"KeyId":"k","GrantTokens":["a","a","a","a","a","a","a","a","a","a","a"]}`, "ValidationException",
			"1 validation error detected: Value '[a, a, a, a, a, a, a, a, a, a, a]' at 'grantTokens' failed to satisfy constraint: Member must have length less than or equal to 10"},
		{wire.KMS, "CreateKey", `{"Tags":[{"TagKey":"a","TagValue":"b"},{"TagKey":""}]}`, "ValidationException",
			"2 validation errors detected: Value '' at 'tags.2.member.tagKey' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
				"Value null at 'tags.2.member.tagValue' failed to satisfy constraint: Member must not be null"},
		{wire.KMS, "CreateGrant", `{"KeyId":"k","GranteePrincipal":"p","Operations":["Decrypt","Fly"]}`, "ValidationException", "enum value set: [Decrypt, Encrypt, "},
		{wire.KMS, "CreateKey", `{"Policy":"Ā"}`, "ValidationException",
			`1 validation error detected: Value 'Ā' at 'policy' failed to satisfy constraint: Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+`},
		{wire.KMS, "CreateAlias", `{"AliasName":"alias/a b","TargetKeyId":"k"}`, "ValidationException",
			`1 validation error detected: Value 'alias/a b' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$`},
		{wire.KMS, "Encapsulate", `{"KeyId":"k"}`, "ValidationException",
			"1 validation error detected: Value null at 'encapsulationAlgorithm' failed to satisfy constraint: Member must not be null"},

		{wire.RDS, "CreateDBClusterSnapshot", "DBClusterIdentifier=c", "InvalidParameterValue",
			"The parameter DBClusterSnapshotIdentifier must be provided and must not be blank."},
		{wire.RDS, "CreateDBClusterSnapshot", "DBClusterIdentifier=c&DBClusterSnapshotIdentifier=+", "InvalidParameterValue",
			"The parameter DBClusterSnapshotIdentifier must be provided and must not be blank."},
		{wire.RDS, "DescribeDBProxies", "MaxRecords=3412", "InvalidParameterValue", "Invalid value 3412 for MaxRecords. Must be between 20 and 100"},
		{wire.RDS, "DescribeBlueGreenDeployments", "BlueGreenDeploymentIdentifier=" + long[:256], "InvalidParameterValue",
			"The parameter BlueGreenDeploymentIdentifier is not valid because it is longer than 255 characters."},
		{wire.RDS, "SwitchoverBlueGreenDeployment", "BlueGreenDeploymentIdentifier=a&SwitchoverTimeout=1", "InvalidParameterValue",
			"Invalid value 1 for SwitchoverTimeout. Must be at least 30"},

		{wire.IAM, "CreateUser", "", "ValidationError",
			"1 validation error detected: Value null at 'userName' failed to satisfy constraint: Member must not be null"},
		{wire.IAM, "CreateRole", "AssumeRolePolicyDocument={}&RoleName=" + long[:65], "ValidationError",
			"1 validation error detected: Value '" + long[:65] + "' at 'roleName' failed to satisfy constraint: Member must have length less than or equal to 64"},
		{wire.IAM, "CreateUser", "UserName=a+b", "ValidationError",
			"The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"},
		{wire.IAM, "CreateUser", "UserName=a&Path=x", "ValidationError",
			"The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters."},
		{wire.IAM, "ListUsers", "MaxItems=1001", "ValidationError",
			"1 validation error detected: Value '1001' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 1000"},
		{wire.IAM, "UpdateAccessKey", "AccessKeyId=AKIAAAAAAAAAAAAAAAAA&Status=On", "ValidationError", "Member must satisfy enum value set: [Active, Inactive"},
		{wire.IAM, "CreateAccountAlias", "AccountAlias=a--b", "ValidationError",
			`1 validation error detected: Value 'a--b' at 'accountAlias' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`},

		{wire.IAM, "SimulatePrincipalPolicy", "PolicySourceArn=arn:aws:iam::111122223333:user/u&ActionNames.member.1=iam:*&PolicyExclusionList.member.1.PolicyType=x", "ValidationError",
			"Value 'x' at 'policyExclusionList.1.member.policyType' failed to satisfy constraint: Member must satisfy enum value set: ["},

		{wire.STS, "AssumeRole", "RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=a+b", "ValidationError",
			`1 validation error detected: Value 'a b' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`},
		{wire.STS, "AssumeRole", "RoleArn=r&RoleSessionName=ab&DurationSeconds=899&PolicyArns.member.1.arn=x", "ValidationError",
			"Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900"},
		{wire.STS, "AssumeRole", "RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=ab&PolicyArns.member.1.arn=x", "ValidationError",
			"1 validation error detected: Value 'x' at 'policyArns.1.member.arn' failed to satisfy constraint: Member must have length greater than or equal to 20"},

		{wire.Organizations, "DescribePolicy", `{}`, "InvalidInputException", "You must include a value for the required parameter PolicyId."},
		{wire.Organizations, "DescribePolicy", `{"PolicyId":"x"}`, "InvalidInputException", "You provided a value that does not match the required pattern."},
		{wire.Organizations, "ListChildren", `{"ParentId":"r-1a2b","ChildType":"X"}`, "InvalidInputException", "You specified an invalid value."},
		{wire.Organizations, "ListAccounts", `{"MaxResults":21}`, "InvalidInputException", "You provided a value for MaxResults that is larger than 20."},
	} {
		err := tt.service.Decode(tt.op, []byte(tt.body), input(t, tt.service, tt.op))
		if strings.HasPrefix(tt.want, "1 v") || strings.HasPrefix(tt.want, "2 v") || strings.HasPrefix(tt.want, "The ") || strings.HasPrefix(tt.want, "Invalid ") {
			expect(t, err, tt.code, tt.want, tt.op+" "+tt.body)
		} else if err == nil || !strings.Contains(err.Error(), tt.code) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want it to say %s", tt.op, err, tt.want)
		}
	}
}

// What is within bounds passes.
func TestConstraintsPass(t *testing.T) {
	for _, tt := range []struct {
		service  *wire.Service
		op, body string
	}{
		{wire.KMS, "CreateKey", `{"Policy":"{\n\t\"Version\": \"2012-10-17\"\r}","Tags":[{"TagKey":"a","TagValue":""}],"Description":""}`},
		{wire.KMS, "Encrypt", `{"KeyId":"k","Plaintext":"` + strings.Repeat("AAAA", 1365) + `AA=="}`},
		{wire.KMS, "CreateGrant", `{"KeyId":"k","GranteePrincipal":"arn:aws:iam::111122223333:role/a+b","Operations":["Decrypt","CreateGrant"],"Constraints":{"EncryptionContextSubset":{"":""}}}`},
		{wire.RDS, "CreateDBCluster", "DBClusterIdentifier=c&Engine=aurora-postgresql&DatabaseInsightsMode=whatever"},
		{wire.RDS, "DescribeDBClusters", "MaxRecords=5"},
		{wire.IAM, "CreateUser", "UserName=A.b_c%2B%3D%2C%40-&Path=%2Fx%2Fy%2F"},
		{wire.IAM, "CreateUser", "UserName=a&Path=/"},
		{wire.IAM, "CreateAccountAlias", "AccountAlias=a-b-c"},
		{wire.IAM, "TagUser", "UserName=a&Tags.member.1.Key=K%C3%B6nig&Tags.member.1.Value="},
		{wire.STS, "AssumeRole", "RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=ab&DurationSeconds=900&Policy=%7B%7D"},
	} {
		if err := tt.service.Decode(tt.op, []byte(tt.body), input(t, tt.service, tt.op)); err != nil {
			t.Errorf("%s %s: %v", tt.op, tt.body, err)
		}
	}
}

// A secret that is refused is not repeated.
func TestSensitiveValuesAreLeftOut(t *testing.T) {
	const secret = "hunter2 is too short"
	for _, tt := range []struct {
		service  *wire.Service
		op, body string
	}{
		{wire.KMS, "CreateCustomKeyStore", `{"CustomKeyStoreName":"n","KeyStorePassword":"` + strings.Repeat(secret, 3) + `"}`},
		{wire.IAM, "CreateLoginProfile", "UserName=a&Password=" + strings.Repeat(secret, 100)},
		{wire.IAM, "ChangePassword", "OldPassword=" + strings.Repeat(secret, 100) + "&NewPassword=Ā" + secret},
	} {
		err := tt.service.Decode(tt.op, []byte(tt.body), input(t, tt.service, tt.op))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", tt.op, err)
		}
	}
}

// input is a new input of op, as the SDK's client names its type.
func input(t *testing.T, s *wire.Service, op string) any {
	t.Helper()
	for _, l := range loops() {
		if l.service == s {
			in, _ := l.types(op)
			return reflect.New(in.Elem()).Interface()
		}
	}
	t.Fatalf("no client of %s", s.Name)
	return nil
}

// Everything the tables speak of exists in the SDK's types: they are of the
// same time, and no pattern of a model stops a plan from being made.
func TestTablesFitTheTypes(t *testing.T) {
	for _, l := range loops() {
		types := map[string]reflect.Type{}
		for _, op := range l.operations() {
			in, out := l.types(op)
			collect(types, in)
			collect(types, out)
			_ = l.service.Decode(op, nil, reflect.New(in.Elem()).Interface())
		}
		l.service.Told(func(structure, field, shape string) {
			st, ok := types[structure]
			if !ok {
				t.Errorf("%s: the SDK has no %s", l.service.Name, structure)
				return
			}
			if _, ok := st.FieldByName(field); !ok {
				t.Errorf("%s: the SDK's %s has no %s", l.service.Name, structure, field)
			}
		})
	}
}

// collect notes the structures that a type leads to, by name.
func collect(types map[string]reflect.Type, t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		collect(types, t.Elem())
	case reflect.Interface:
		for _, m := range unionMembers[t] {
			collect(types, m)
		}
	case reflect.Struct:
		if old, ok := types[t.Name()]; ok && old == t {
			return
		}
		types[t.Name()] = t
		for i := range t.NumField() {
			if t.Field(i).IsExported() && t.Field(i).Name != "ResultMetadata" {
				collect(types, t.Field(i).Type)
			}
		}
	}
}
