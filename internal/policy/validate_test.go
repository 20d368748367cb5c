package policy_test

import (
	"slices"
	"strings"
	"testing"

	"borealis/internal/policy"
)

// IAM user guide, "IAM policy validation check reference": each check that a document
// and the reference table decide.
func TestValidate(t *testing.T) {
	const (
		fine     = `'Effect':'Allow','Action':'kms:Decrypt','Resource':'arn:aws:kms:eu-west-1:111122223333:key/k'`
		fineTo   = `'Principal':{'AWS':'111122223333'},` + fine
		fineRole = `'Effect':'Allow','Principal':{'AWS':'111122223333'},'Action':'sts:AssumeRole'`
		fineRCP  = `'Effect':'Deny','Principal':'*','Action':'kms:Decrypt','Resource':'*'`
	)
	when := func(condition string) string { return fine + `,'Condition':` + condition }
	allow := func(action, resource string) string {
		return `'Effect':'Allow','Action':` + action + `,'Resource':` + resource
	}
	names := func(principal string) string { return `'Principal':` + principal + `,` + fine }
	assumes := func(principal, action, condition string) string {
		return `'Effect':'Allow','Principal':` + principal + `,'Action':'` + action + `'` + condition
	}
	for _, c := range []struct {
		typ       policy.Type
		statement string
		want      string // codes
	}{
		{policy.IdentityType, fine, ""},
		{policy.ResourceType, fineTo, ""},
		{policy.TrustType, fineRole, ""},
		{policy.ServiceControlType, fine, ""},
		{policy.ResourceControlType, fineRCP, ""},
		// Elements.
		{policy.IdentityType, fine + `,'Ressource':'*'`, "INVALID_POLICY_ELEMENT"},
		{policy.IdentityType, `'Action':'kms:Decrypt','Resource':'*'`, "MISSING_EFFECT"},
		{policy.IdentityType, `'Effect':'allow','Action':'kms:Decrypt','Resource':'*'`, "INVALID_EFFECT"},
		{policy.IdentityType, `'Effect':'Allow','Resource':'*'`, "MISSING_ACTION"},
		{policy.IdentityType, `'Effect':'Allow','Action':'kms:Decrypt'`, "MISSING_RESOURCE"},
		{policy.IdentityType, fine + `,'NotAction':'kms:Encrypt'`, "UNSUPPORTED_ELEMENT_COMBINATION"},
		{policy.IdentityType, `'Sid':'a b',` + fine, "UNSUPPORTED_SID"},
		{policy.ResourceType, `'Sid':'a b',` + fineTo, ""},
		{policy.IdentityType, `'Sid':'',` + fine, "EMPTY_SID_VALUE"},
		{policy.IdentityType, `'Sid':1,` + fine, "DATA_TYPE_MISMATCH"},
		{policy.IdentityType, `'Sid':'a',` + fine + `},{'Sid':'a',` + allow(`'kms:Encrypt'`, `'*'`), "UNIQUE_SIDS_REQUIRED"},
		{policy.ResourceType, `'Sid':'a',` + fineTo + `},{'Sid':'a',` + names(`'*'`), "UNIQUE_SIDS_RECOMMENDED"},
		{policy.IdentityType, `'Sid':'a',` + fine + `},{'Sid':'b',` + fine, "REDUNDANT_STATEMENT"},
		// Actions.
		{policy.IdentityType, allow(`'kms:Decypt'`, `'*'`), "INVALID_ACTION"},
		{policy.IdentityType, allow(`'made-up:Thing'`, `'*'`), ""},
		{policy.IdentityType, allow(`[]`, `'*'`), "EMPTY_ARRAY_ACTION"},
		{policy.IdentityType, allow(`3`, `'*'`), "DATA_TYPE_MISMATCH"},
		{policy.IdentityType, allow(`['kms:Decrypt','kms:D*']`, `'*'`), "REDUNDANT_ACTION"},
		{policy.IdentityType, allow(`['kms:Decrypt','KMS:decrypt']`, `'*'`), "REDUNDANT_ACTION"},
		{policy.IdentityType, allow(`'k*:Decrypt'`, `'*'`), "WILDCARD_IN_SERVICE_NAME"},
		{policy.IdentityType, allow(`'kmsx:${aws:username}'`, `'*'`), "VARIABLE_UNSUPPORTED_IN_ELEMENT"},
		// Resources.
		{policy.IdentityType, allow(`'kms:Decrypt'`, `[]`), "EMPTY_ARRAY_RESOURCE"},
		{policy.IdentityType, allow(`'kms:Decrypt'`, `'key/k'`), "INVALID_ARN_PREFIX"},
		{policy.IdentityType, allow(`'kms:Decrypt'`, `'arn:aws:kms:key/k'`), "MISSING_ARN_FIELD"},
		{policy.IdentityType, allow(`'kms:Decrypt'`, `'arn:aws:kms:*'`), ""},
		{policy.IdentityType, allow(`'kms:Decrypt'`, `'arn:aws:KMS:*:*:key/k'`), "INVALID_ARN_SERVICE_CASE"},
		{policy.IdentityType, allow(`'kms:Decrypt'`, `'arn:aws:kms:*:1234:key/k'`), "INVALID_ARN_ACCOUNT"},
		{policy.IdentityType, allow(`'iam:GetUser'`, `'arn:aws:iam:eu-west-1:111122223333:user/ann'`), "ARN_REGION_NOT_ALLOWED"},
		{policy.IdentityType, allow(`'s3:GetObject'`, `'arn:aws:s3::111122223333:b/*'`), "ARN_ACCOUNT_NOT_ALLOWED"},
		{policy.IdentityType, allow(`'kms:Decrypt'`, `'arn:aws:kms:*:${aws:PrincipalAccount}:key/k'`), "VARIABLE_UNSUPPORTED_IN_ELEMENT"},
		{policy.IdentityType, allow(`'kms:Decrypt'`, `['arn:aws:kms:*:*:key/k','arn:aws:kms:*:*:key/*']`), "REDUNDANT_RESOURCE"},
		// Variables.
		{policy.IdentityType, allow(`'s3:GetObject'`, `'arn:aws:s3:::b/${aws:username'`), "MISSING_BRACE_IN_VARIABLE"},
		{policy.IdentityType, allow(`'s3:GetObject'`, `'arn:aws:s3:::b/${aws:username, x}'`), "MISSING_QUOTE_IN_VARIABLE"},
		{policy.IdentityType, allow(`'s3:GetObject'`, `'arn:aws:s3:::b/${aws: username}'`), "UNSUPPORTED_SPACE_IN_VARIABLE"},
		{policy.IdentityType, allow(`'s3:GetObject'`, `'arn:aws:s3:::b/${}'`), "EMPTY_VARIABLE"},
		{policy.IdentityType, allow(`'s3:GetObject'`, `'arn:aws:s3:::b/${aws:username}${*}'`), ""},
		// Principals.
		{policy.IdentityType, names(`'*'`), "UNSUPPORTED_PRINCIPAL"},
		{policy.ServiceControlType, names(`'*'`), "SCP_SYNTAX_ERROR_PRINCIPAL"},
		{policy.ResourceType, fine, "MISSING_PRINCIPAL"},
		{policy.ResourceType, names(`'ann'`), "INVALID_PRINCIPAL_FORMAT"},
		{policy.ResourceType, names(`{}`), "EMPTY_OBJECT_PRINCIPAL"},
		{policy.ResourceType, names(`{'AWS':[]}`), "EMPTY_ARRAY_PRINCIPAL"},
		{policy.ResourceType, names(`{'Aws':'*'}`), "INVALID_PRINCIPAL_KEY"},
		{policy.ResourceType, names(`{'AWS':'arn:aws:iam::111122223333:user/*'}`), "UNSUPPORTED_WILDCARD_IN_PRINCIPAL"},
		{policy.ResourceType, names(`{'AWS':'*'}`), ""},
		{policy.ResourceType, names(`{'Service':'*'}`), "UNSUPPORTED_WILDCARD_IN_PRINCIPAL"},
		{policy.ResourceType, names(`{'AWS':'AROAEXAMPLE00000APP'}`), "INVALID_ROLE_REFERENCE"},
		{policy.ResourceType, names(`{'AWS':'AIDAEXAMPLE00000ANN'}`), "INVALID_USER_REFERENCE"},
		{policy.ResourceType, names(`{'Service':'backup'}`), "INVALID_SERVICE_PRINCIPAL_FORMAT"},
		{policy.ResourceType, names(`{'Service':'backup.amazonaws.com'}`), "RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL"},
		{policy.ResourceType, `'Principal':{'Service':'backup.amazonaws.com'},` + when(`{'StringEquals':{'aws:SourceAccount':'111122223333'}}`), ""},
		{policy.ResourceType, `'NotPrincipal':{'AWS':'111122223333'},` + fine, "ALLOW_WITH_NOTPRINCIPAL"},
		{policy.TrustType, `'Effect':'Deny','NotPrincipal':{'AWS':'111122223333'},'Action':'sts:AssumeRole'`, "ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL"},
		{policy.TrustType, assumes(`'*'`, "sts:AssumeRole", ""), "ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL"},
		{policy.TrustType, fineRole + `,'Resource':'*'`, "ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE"},
		{policy.TrustType, assumes(`{'AWS':['arn:aws:iam::111122223333:role/x/app','arn:aws:sts::111122223333:assumed-role/app/i-1']}`, "sts:AssumeRole", ""), "REDUNDANT_PRINCIPAL_IN_ROLE_TRUST_POLICY"},
		{policy.TrustType, assumes(`{'Federated':'arn:aws:iam::111122223333:saml-provider/p'}`, "sts:AssumeRoleWithWebIdentity", ""), "MISMATCHED_ACTION_FOR_PRINCIPAL"},
		{policy.TrustType, assumes(`{'Federated':'arn:aws:iam::111122223333:saml-provider/p'}`, "sts:AssumeRoleWithSAML", ""), ""},
		{policy.TrustType, assumes(`{'Federated':'arn:aws:iam::111122223333:user/p'}`, "sts:AssumeRoleWithSAML", ""), "INVALID_FEDERATED_PRINCIPAL_SYNTAX_IN_ROLE_TRUST_POLICY"},
		{policy.TrustType, assumes(`{'Federated':'arn:aws:iam::111122223333:oidc-provider/ci.example'}`, "sts:AssumeRoleWithWebIdentity", ""), "MISSING_CONDITION_KEY_FOR_OIDC_PRINCIPAL"},
		{policy.TrustType, assumes(`{'Federated':'arn:aws:iam::111122223333:oidc-provider/ci.example'}`, "sts:AssumeRoleWithWebIdentity", `,'Condition':{'StringEquals':{'ci.example:aud':'x'}}`), ""},
		{policy.ResourceControlType, `'Effect':'Allow','Principal':'*','Action':'kms:Decrypt','Resource':'*'`, "RCP_SYNTAX_ERROR_ALLOW"},
		{policy.ResourceControlType, `'Effect':'Deny','Principal':'*','NotAction':'kms:Decrypt','Resource':'*'`, "RCP_SYNTAX_ERROR_NOTACTION"},
		{policy.ResourceControlType, `'Effect':'Deny','Principal':{'AWS':'111122223333'},'Action':'kms:Decrypt','Resource':'*'`, "RCP_SYNTAX_ERROR_PRINCIPAL"},
		// Conditions.
		{policy.IdentityType, when(`{}`), "EMPTY_OBJECT_CONDITION"},
		{policy.IdentityType, when(`{'StringEquals':{}}`), "EMPTY_OBJECT_CONDITION"},
		{policy.IdentityType, when(`{'StringEquals':{'aws:username':[]}}`), "EMPTY_ARRAY_CONDITION"},
		{policy.IdentityType, when(`{'StringEqualsIfExists':{'aws:username':[]}}`), "EMPTY_ARRAY_CONDITION_IFEXISTS"},
		{policy.IdentityType, when(`{'ForAllValues:StringEquals':{'aws:TagKeys':[]}}`), "EMPTY_ARRAY_CONDITION_FORALLVALUES"},
		{policy.IdentityType, when(`{'ForAnyValue:StringEquals':{'aws:TagKeys':[]}}`), "EMPTY_ARRAY_CONDITION_FORANYVALUE"},
		{policy.IdentityType, when(`{'StringSame':{'aws:username':'a'}}`), "INVALID_CONDITION_OPERATOR"},
		{policy.IdentityType, when(`{'NullIfExists':{'aws:username':'true'}}`), "NULL_WITH_IF_EXISTS"},
		{policy.IdentityType, when(`{'ForAllValues:Null':{'aws:TagKeys':'true'}}`), "NULL_WITH_QUALIFIER"},
		{policy.IdentityType, when(`{'StringEquals':{'aws:TagKeys':'a'}}`), "MISSING_QUALIFIER"},
		{policy.IdentityType, when(`{'ForAllValues:StringEquals':{'aws:username':'a'}}`), "FORALLVALUES_WITH_SINGLE_VALUED_KEY"},
		{policy.IdentityType, when(`{'StringEquals':{'username':'a'}}`), "INVALID_CONDITION_KEY_FORMAT"},
		{policy.IdentityType, when(`{'StringEquals':{'aws:usrname':'a'}}`), "INVALID_GLOBAL_CONDITION_KEY"},
		{policy.IdentityType, when(`{'StringEquals':{'aws:ARN':'a'}}`), "DEPRECATED_GLOBAL_CONDITION_KEY"},
		{policy.IdentityType, when(`{'StringEquals':{'kms:ViaServices':'a'}}`), "INVALID_SERVICE_CONDITION_KEY"},
		{policy.IdentityType, when(`{'Bool':{'kms:GrantIsForAWSResource':'true'}}`), "UNSUPPORTED_ACTION_FOR_CONDITION_KEY"},
		{policy.IdentityType, when(`{'StringEquals':{'kms:ViaService':'rds.eu-west-1.amazonaws.com','kms:EncryptionContext:aws:rds:dbc-id':'x'}}`), ""},
		{policy.IdentityType, when(`{'StringEquals':{'aws:ResourceTag':'a'}}`), "MISSING_TAG_KEY_IN_CONDITION"},
		{policy.IdentityType, when(`{'StringEquals':{'aws:ResourceTag/a':'b'}}`), ""},
		{policy.IdentityType, when(`{'StringEquals':{'aws:username':'a','AWS:USERNAME':'b'}}`), "DUPLICATE_KEYS_WITH_DIFFERENT_CASE"},
		{policy.IdentityType, when(`{'StringEquals':{'aws:username':['a',1]}}`), "INVALID_CONDITION_DATA_TYPE"},
		{policy.IdentityType, when(`{'StringEquals':{'aws:username':null}}`), "DATA_TYPE_MISMATCH"},
		{policy.IdentityType, when(`{'Bool':{'aws:SecureTransport':['true','false']}}`), "INVALID_CONDITION_MULTIPLE_BOOLEAN"},
		{policy.IdentityType, when(`{'Bool':{'aws:SecureTransport':'yes'}}`), "TYPE_MISMATCH_BOOLEAN"},
		{policy.IdentityType, when(`{'DateLessThan':{'aws:CurrentTime':'tomorrow'}}`), "TYPE_MISMATCH_DATE"},
		{policy.IdentityType, when(`{'IpAddress':{'aws:SourceIp':'here'}}`), "TYPE_MISMATCH_IP_RANGE"},
		{policy.IdentityType, when(`{'NumericLessThan':{'aws:MultiFactorAuthAge':'young'}}`), "TYPE_MISMATCH_NUMBER"},
		{policy.IdentityType, when(`{'BinaryEquals':{'x:y':'!'}}`), "TYPE_MISMATCH_STRING"},
		{policy.IdentityType, when(`{'NumericLessThan':{'aws:MultiFactorAuthAge':['1','2']}}`), "REDUNDANT_CONDITION_VALUE_NUM"},
		{policy.IdentityType, when(`{'Bool':{'aws:SecureTransport':'${aws:username}'}}`), "INVALID_VARIABLE_FOR_OPERATOR"},
		{policy.IdentityType, when(`{'StringEquals':{'aws:username':'a*'}}`), "WILDCARD_WITHOUT_LIKE_OPERATOR"},
		{policy.IdentityType, when(`{'StringLike':{'aws:username':'a*'},'StringEquals':{'aws:userid':'${*}'}}`), ""},
		{policy.IdentityType, when(`{'IpAddress':{'aws:SourceIp':'203.0.113.7/24'}}`), "IMPROVE_IP_RANGE"},
		{policy.IdentityType, when(`{'IpAddress':{'aws:SourceIp':'10.0.0.0/8'}}`), "PRIVATE_IP_ADDRESS"},
		{policy.IdentityType, when(`{'IpAddress':{'aws:SourceIp':['10.0.0.0/8','203.0.113.0/24']}}`), "PRIVATE_IP_ADDRESS_SUBSET"},
		{policy.IdentityType, when(`{'NotIpAddress':{'aws:SourceIp':'192.168.1.1'}}`), "PRIVATE_NOTIPADDRESS"},
		{policy.IdentityType, when(`{'NotIpAddress':{'aws:SourceIp':['192.168.1.1','203.0.113.0/24']}}`), "PRIVATE_NOTIPADDRESS_SUBSET"},
		// Roles passed on, and made for services.
		{policy.IdentityType, allow(`'iam:PassRole'`, `'*'`), "PASS_ROLE_WITH_STAR_IN_RESOURCE"},
		{policy.IdentityType, allow(`'iam:PassRole'`, `'*'`) + `,'Condition':{'StringEquals':{'iam:PassedToService':'rds.amazonaws.com'}}`, ""},
		{policy.IdentityType, allow(`'iam:PassRole'`, `'arn:aws:iam::111122223333:role/r'`), ""},
		{policy.IdentityType, allow(`'iam:Pass*'`, `'*'`), "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE"},
		{policy.IdentityType, `'Effect':'Allow','Action':'iam:PassRole','NotResource':'arn:aws:iam::111122223333:role/r'`, "PASS_ROLE_WITH_NOTRESOURCE"},
		{policy.IdentityType, `'Effect':'Allow','Action':'iam:Pass*','NotResource':'arn:aws:iam::111122223333:role/r'`, "PASS_ROLE_WITH_STAR_IN_ACTION_AND_NOTRESOURCE"},
		{policy.IdentityType, `'Effect':'Allow','NotAction':'iam:Create*','NotResource':'arn:aws:iam::111122223333:role/r'`, "PASS_ROLE_WITH_NOTACTION_AND_NOTRESOURCE"},
		{policy.IdentityType, `'Effect':'Allow','NotAction':'iam:Create*','Resource':'*'`, "PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOTACTION"},
		{policy.IdentityType, `'Effect':'Allow','NotAction':'iam:PassRole','Resource':'*'`, "CREATE_SLR_WITH_STAR_IN_RESOURCE_AND_NOTACTION"},
		{policy.IdentityType, allow(`'iam:CreateServiceLinkedRole'`, `'*'`), "CREATE_SLR_WITH_STAR_IN_RESOURCE"},
		{policy.IdentityType, allow(`'*'`, `'*'`), "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE"},
		{policy.IdentityType, `'Effect':'Deny','Action':'*','Resource':'*'`, ""},
	} {
		checkCodes(t, c.typ, document(`{`+c.statement+`}`), c.want)
	}
}

func TestValidateDocuments(t *testing.T) {
	const fine = `'Statement':{'Effect':'Allow','Action':'kms:Decrypt','Resource':'*'}`
	for text, want := range map[string]string{
		`{`: "JSON_SYNTAX_ERROR", `[]`: "DATA_TYPE_MISMATCH", `{'Version':'2012-10-17'}`: "MISSING_STATEMENT",
		`{'Version':'2012-10-17','Statement':[]}`:             "MISSING_STATEMENT",
		`{'Version':'2012-10-17','Statement':'x'}`:            "DATA_TYPE_MISMATCH",
		`{'Version':'2012-10-17','Statement':['x']}`:          "DATA_TYPE_MISMATCH",
		`{'Version':'2012-10-17','Statment':[],` + fine + `}`: "INVALID_POLICY_ELEMENT",
		`{'Version':'2012-10-18',` + fine + `}`:               "INVALID_VERSION",
		`{` + fine + `}`:                                      "MISSING_VERSION",
		`{'Version':'2008-10-17','Id':'a',` + fine + `}`:      "",
		`{'Version':'2012-10-17','Version':'x',` + fine + `}`: "JSON_SYNTAX_ERROR",
		`{'Version':'2008-10-17','Statement':{'Effect':'Allow','Action':'s3:GetObject','Resource':'arn:aws:s3:::${aws:username}'}}`: "VARIABLE_UNSUPPORTED_IN_VERSION",
	} {
		checkCodes(t, policy.IdentityType, strings.ReplaceAll(text, "'", `"`), want)
	}
}

func checkCodes(t *testing.T, typ policy.Type, text, want string) {
	t.Helper()
	var codes []string
	for _, f := range typ.Validate("p", text) {
		codes = append(codes, f.Code)
		if f.Message == "" || strings.Contains(f.Message, "%!") || !strings.HasPrefix(f.String(), "statement ") && f.Statement >= 0 {
			t.Errorf("%s: %s", f.Code, f)
		}
		if !slices.Contains([]string{policy.FindingError, policy.FindingSecurityWarning, policy.FindingWarning, policy.FindingSuggestion}, f.Type) {
			t.Errorf("%s has the type %q", f.Code, f.Type)
		}
	}
	if got := strings.Join(codes, " "); got != want {
		t.Errorf("type %d: %s\n got %s\nwant %s", typ, text, got, want)
	}
}
