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
		typ       policy.Kind
		statement string
		want      string // codes
	}{
		{policy.InlineKind, fine, ""},
		{policy.ResourceKind, fineTo, ""},
		{policy.TrustKind, fineRole, ""},
		{policy.ServiceControlKind, fine, ""},
		{policy.ResourceControlKind, fineRCP, ""},
		// Elements.
		{policy.InlineKind, fine + `,'Ressource':'*'`, "INVALID_POLICY_ELEMENT"},
		{policy.InlineKind, `'Action':'kms:Decrypt','Resource':'*'`, "MISSING_EFFECT"},
		{policy.InlineKind, `'Effect':'allow','Action':'kms:Decrypt','Resource':'*'`, "INVALID_EFFECT"},
		{policy.InlineKind, `'Effect':'Allow','Resource':'*'`, "MISSING_ACTION"},
		{policy.InlineKind, `'Effect':'Allow','Action':'kms:Decrypt'`, "MISSING_RESOURCE"},
		{policy.InlineKind, fine + `,'NotAction':'kms:Encrypt'`, "UNSUPPORTED_ELEMENT_COMBINATION"},
		{policy.InlineKind, `'Sid':'a b',` + fine, "UNSUPPORTED_SID"},
		{policy.ResourceKind, `'Sid':'a b',` + fineTo, ""},
		{policy.InlineKind, `'Sid':'',` + fine, "EMPTY_SID_VALUE"},
		{policy.InlineKind, `'Sid':1,` + fine, "DATA_TYPE_MISMATCH"},
		{policy.InlineKind, `'Sid':'a',` + fine + `},{'Sid':'a',` + allow(`'kms:Encrypt'`, `'*'`), "UNIQUE_SIDS_REQUIRED"},
		{policy.ResourceKind, `'Sid':'a',` + fineTo + `},{'Sid':'a',` + names(`'*'`), "UNIQUE_SIDS_RECOMMENDED"},
		{policy.InlineKind, `'Sid':'a',` + fine + `},{'Sid':'b',` + fine, "REDUNDANT_STATEMENT"},
		// Actions.
		{policy.InlineKind, allow(`'kms:Decypt'`, `'*'`), "INVALID_ACTION"},
		{policy.InlineKind, allow(`'made-up:Thing'`, `'*'`), ""},
		{policy.InlineKind, allow(`[]`, `'*'`), "EMPTY_ARRAY_ACTION"},
		{policy.InlineKind, allow(`3`, `'*'`), "DATA_TYPE_MISMATCH"},
		{policy.InlineKind, allow(`['kms:Decrypt','kms:D*']`, `'*'`), "REDUNDANT_ACTION"},
		{policy.InlineKind, allow(`['kms:Decrypt','KMS:decrypt']`, `'*'`), "REDUNDANT_ACTION"},
		{policy.InlineKind, allow(`'k*:Decrypt'`, `'*'`), "WILDCARD_IN_SERVICE_NAME"},
		{policy.InlineKind, allow(`'kmsx:${aws:username}'`, `'*'`), "VARIABLE_UNSUPPORTED_IN_ELEMENT"},
		// Resources.
		{policy.InlineKind, allow(`'kms:Decrypt'`, `[]`), "EMPTY_ARRAY_RESOURCE"},
		{policy.InlineKind, allow(`'kms:Decrypt'`, `'key/k'`), "INVALID_ARN_PREFIX"},
		{policy.InlineKind, allow(`'kms:Decrypt'`, `'arn:aws:kms:key/k'`), "MISSING_ARN_FIELD"},
		{policy.InlineKind, allow(`'kms:Decrypt'`, `'arn:aws:kms:*'`), ""},
		{policy.InlineKind, allow(`'kms:Decrypt'`, `'arn:aws:KMS:*:*:key/k'`), "INVALID_ARN_SERVICE_CASE"},
		{policy.InlineKind, allow(`'kms:Decrypt'`, `'arn:aws:kms:*:1234:key/k'`), "INVALID_ARN_ACCOUNT"},
		{policy.InlineKind, allow(`'iam:GetUser'`, `'arn:aws:iam:eu-west-1:111122223333:user/ann'`), "ARN_REGION_NOT_ALLOWED"},
		{policy.InlineKind, allow(`'s3:GetObject'`, `'arn:aws:s3::111122223333:b/*'`), "ARN_ACCOUNT_NOT_ALLOWED"},
		{policy.InlineKind, allow(`'kms:Decrypt'`, `'arn:aws:kms:*:${aws:PrincipalAccount}:key/k'`), "VARIABLE_UNSUPPORTED_IN_ELEMENT"},
		{policy.InlineKind, allow(`'kms:Decrypt'`, `['arn:aws:kms:*:*:key/k','arn:aws:kms:*:*:key/*']`), "REDUNDANT_RESOURCE"},
		// Variables.
		{policy.InlineKind, allow(`'s3:GetObject'`, `'arn:aws:s3:::b/${aws:username'`), "MISSING_BRACE_IN_VARIABLE"},
		{policy.InlineKind, allow(`'s3:GetObject'`, `'arn:aws:s3:::b/${aws:username, x}'`), "MISSING_QUOTE_IN_VARIABLE"},
		{policy.InlineKind, allow(`'s3:GetObject'`, `'arn:aws:s3:::b/${aws: username}'`), "UNSUPPORTED_SPACE_IN_VARIABLE"},
		{policy.InlineKind, allow(`'s3:GetObject'`, `'arn:aws:s3:::b/${}'`), "EMPTY_VARIABLE"},
		{policy.InlineKind, allow(`'s3:GetObject'`, `'arn:aws:s3:::b/${aws:username}${*}'`), ""},
		// Principals.
		{policy.InlineKind, names(`'*'`), "UNSUPPORTED_PRINCIPAL"},
		{policy.ServiceControlKind, names(`'*'`), "SCP_SYNTAX_ERROR_PRINCIPAL"},
		{policy.ResourceKind, fine, "MISSING_PRINCIPAL"},
		{policy.ResourceKind, names(`'ann'`), "INVALID_PRINCIPAL_FORMAT"},
		{policy.ResourceKind, names(`{}`), "EMPTY_OBJECT_PRINCIPAL"},
		{policy.ResourceKind, names(`{'AWS':[]}`), "EMPTY_ARRAY_PRINCIPAL"},
		{policy.ResourceKind, names(`{'Aws':'*'}`), "INVALID_PRINCIPAL_KEY"},
		{policy.ResourceKind, names(`{'AWS':'arn:aws:iam::111122223333:user/*'}`), "UNSUPPORTED_WILDCARD_IN_PRINCIPAL"},
		{policy.ResourceKind, names(`{'AWS':'*'}`), ""},
		{policy.ResourceKind, names(`{'Service':'*'}`), "UNSUPPORTED_WILDCARD_IN_PRINCIPAL"},
		{policy.ResourceKind, names(`{'AWS':'AROAEXAMPLE00000APP'}`), "INVALID_ROLE_REFERENCE"},
		{policy.ResourceKind, names(`{'AWS':'AIDAEXAMPLE00000ANN'}`), "INVALID_USER_REFERENCE"},
		{policy.ResourceKind, names(`{'Service':'backup'}`), "INVALID_SERVICE_PRINCIPAL_FORMAT"},
		{policy.ResourceKind, names(`{'Service':'backup.amazonaws.com'}`), "RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL"},
		{policy.ResourceKind, `'Principal':{'Service':'backup.amazonaws.com'},` + when(`{'StringEquals':{'aws:SourceAccount':'111122223333'}}`), ""},
		{policy.ResourceKind, `'NotPrincipal':{'AWS':'111122223333'},` + fine, "ALLOW_WITH_NOT_PRINCIPAL"},
		{policy.TrustKind, `'Effect':'Deny','NotPrincipal':{'AWS':'111122223333'},'Action':'sts:AssumeRole'`, "ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL"},
		{policy.TrustKind, assumes(`'*'`, "sts:AssumeRole", ""), "ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL"},
		{policy.TrustKind, fineRole + `,'Resource':'*'`, "ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE"},
		{policy.TrustKind, assumes(`{'AWS':['arn:aws:iam::111122223333:role/x/app','arn:aws:sts::111122223333:assumed-role/app/i-1']}`, "sts:AssumeRole", ""), "REDUNDANT_PRINCIPAL_IN_ROLE_TRUST_POLICY"},
		{policy.TrustKind, assumes(`{'Federated':'arn:aws:iam::111122223333:saml-provider/p'}`, "sts:AssumeRoleWithWebIdentity", ""), "MISMATCHED_ACTION_FOR_PRINCIPAL"},
		{policy.TrustKind, assumes(`{'Federated':'arn:aws:iam::111122223333:saml-provider/p'}`, "sts:AssumeRoleWithSAML", ""), ""},
		{policy.TrustKind, assumes(`{'Federated':'arn:aws:iam::111122223333:user/p'}`, "sts:AssumeRoleWithSAML", ""), "INVALID_FEDERATED_PRINCIPAL_SYNTAX_IN_ROLE_TRUST_POLICY"},
		{policy.TrustKind, assumes(`{'Federated':'arn:aws:iam::111122223333:oidc-provider/ci.example'}`, "sts:AssumeRoleWithWebIdentity", ""), "MISSING_CONDITION_KEY_FOR_OIDC_PRINCIPAL"},
		{policy.TrustKind, assumes(`{'Federated':'arn:aws:iam::111122223333:oidc-provider/ci.example'}`, "sts:AssumeRoleWithWebIdentity", `,'Condition':{'StringEquals':{'ci.example:aud':'x'}}`), ""},
		{policy.ResourceControlKind, `'Effect':'Allow','Principal':'*','Action':'kms:Decrypt','Resource':'*'`, "RCP_SYNTAX_ERROR_ALLOW"},
		{policy.ResourceControlKind, `'Effect':'Deny','Principal':'*','NotAction':'kms:Decrypt','Resource':'*'`, "RCP_SYNTAX_ERROR_NOTACTION"},
		{policy.ResourceControlKind, `'Effect':'Deny','Principal':{'AWS':'111122223333'},'Action':'kms:Decrypt','Resource':'*'`, "RCP_SYNTAX_ERROR_PRINCIPAL"},
		// Conditions.
		{policy.InlineKind, when(`{}`), "EMPTY_OBJECT_CONDITION"},
		{policy.InlineKind, when(`{'StringEquals':{}}`), "EMPTY_OBJECT_CONDITION"},
		{policy.InlineKind, when(`{'StringEquals':{'aws:username':[]}}`), "EMPTY_ARRAY_CONDITION"},
		{policy.InlineKind, when(`{'StringEqualsIfExists':{'aws:username':[]}}`), "EMPTY_ARRAY_CONDITION_IFEXISTS"},
		{policy.InlineKind, when(`{'ForAllValues:StringEquals':{'aws:TagKeys':[]}}`), "EMPTY_ARRAY_CONDITION_FORALLVALUES"},
		{policy.InlineKind, when(`{'ForAnyValue:StringEquals':{'aws:TagKeys':[]}}`), "EMPTY_ARRAY_CONDITION_FORANYVALUE"},
		{policy.InlineKind, when(`{'StringSame':{'aws:username':'a'}}`), "INVALID_CONDITION_OPERATOR"},
		{policy.InlineKind, when(`{'NullIfExists':{'aws:username':'true'}}`), "NULL_WITH_IF_EXISTS"},
		{policy.InlineKind, when(`{'ForAllValues:Null':{'aws:TagKeys':'true'}}`), "NULL_WITH_QUALIFIER"},
		{policy.InlineKind, when(`{'StringEquals':{'aws:TagKeys':'a'}}`), "MISSING_QUALIFIER"},
		{policy.InlineKind, when(`{'ForAllValues:StringEquals':{'aws:username':'a'}}`), "FORALLVALUES_WITH_SINGLE_VALUED_KEY"},
		{policy.InlineKind, when(`{'StringEquals':{'username':'a'}}`), "INVALID_CONDITION_KEY_FORMAT"},
		{policy.InlineKind, when(`{'StringEquals':{'aws:usrname':'a'}}`), "INVALID_GLOBAL_CONDITION_KEY"},
		{policy.InlineKind, when(`{'StringEquals':{'aws:ARN':'a'}}`), "DEPRECATED_GLOBAL_CONDITION_KEY"},
		{policy.InlineKind, when(`{'StringEquals':{'kms:ViaServices':'a'}}`), "INVALID_SERVICE_CONDITION_KEY"},
		{policy.InlineKind, when(`{'Bool':{'kms:GrantIsForAWSResource':'true'}}`), "UNSUPPORTED_ACTION_FOR_CONDITION_KEY"},
		{policy.InlineKind, when(`{'StringEquals':{'kms:ViaService':'rds.eu-west-1.amazonaws.com','kms:EncryptionContext:aws:rds:dbc-id':'x'}}`), ""},
		{policy.InlineKind, when(`{'StringEquals':{'aws:ResourceTag':'a'}}`), "MISSING_TAG_KEY_IN_CONDITION"},
		{policy.InlineKind, when(`{'StringEquals':{'aws:ResourceTag/a':'b'}}`), ""},
		{policy.InlineKind, when(`{'StringEquals':{'aws:username':'a','AWS:USERNAME':'b'}}`), "DUPLICATE_KEYS_WITH_DIFFERENT_CASE"},
		{policy.InlineKind, when(`{'StringEquals':{'aws:username':['a',1]}}`), "INVALID_CONDITION_DATA_TYPE"},
		{policy.InlineKind, when(`{'StringEquals':{'aws:username':null}}`), "DATA_TYPE_MISMATCH"},
		{policy.InlineKind, when(`{'Bool':{'aws:SecureTransport':['true','false']}}`), "INVALID_CONDITION_MULTIPLE_BOOLEAN"},
		{policy.InlineKind, when(`{'Bool':{'aws:SecureTransport':'yes'}}`), "TYPE_MISMATCH_BOOLEAN"},
		{policy.InlineKind, when(`{'DateLessThan':{'aws:CurrentTime':'tomorrow'}}`), "TYPE_MISMATCH_DATE"},
		{policy.InlineKind, when(`{'IpAddress':{'aws:SourceIp':'here'}}`), "TYPE_MISMATCH_IP_RANGE"},
		{policy.InlineKind, when(`{'NumericLessThan':{'aws:MultiFactorAuthAge':'young'}}`), "TYPE_MISMATCH_NUMBER"},
		{policy.InlineKind, when(`{'BinaryEquals':{'x:y':'!'}}`), "TYPE_MISMATCH_STRING"},
		{policy.InlineKind, when(`{'NumericLessThan':{'aws:MultiFactorAuthAge':['1','2']}}`), "REDUNDANT_CONDITION_VALUE_NUM"},
		{policy.InlineKind, when(`{'Bool':{'aws:SecureTransport':'${aws:username}'}}`), "INVALID_VARIABLE_FOR_OPERATOR"},
		{policy.InlineKind, when(`{'StringEquals':{'aws:username':'a*'}}`), "WILDCARD_WITHOUT_LIKE_OPERATOR"},
		{policy.InlineKind, when(`{'StringLike':{'aws:username':'a*'},'StringEquals':{'aws:userid':'${*}'}}`), ""},
		{policy.InlineKind, when(`{'IpAddress':{'aws:SourceIp':'203.0.113.7/24'}}`), "IMPROVE_IP_RANGE"},
		{policy.InlineKind, when(`{'IpAddress':{'aws:SourceIp':'10.0.0.0/8'}}`), "PRIVATE_IP_ADDRESS"},
		{policy.InlineKind, when(`{'IpAddress':{'aws:SourceIp':['10.0.0.0/8','203.0.113.0/24']}}`), "PRIVATE_IP_ADDRESS_SUBSET"},
		{policy.InlineKind, when(`{'NotIpAddress':{'aws:SourceIp':'192.168.1.1'}}`), "PRIVATE_NOT_IP_ADDRESS"},
		{policy.InlineKind, when(`{'NotIpAddress':{'aws:SourceIp':['192.168.1.1','203.0.113.0/24']}}`), "PRIVATE_NOT_IP_ADDRESS_SUBSET"},
		// Roles passed on, and made for services.
		{policy.InlineKind, allow(`'iam:PassRole'`, `'*'`), "PASS_ROLE_WITH_STAR_IN_RESOURCE"},
		{policy.InlineKind, allow(`'iam:PassRole'`, `'*'`) + `,'Condition':{'StringEquals':{'iam:PassedToService':'rds.amazonaws.com'}}`, ""},
		{policy.InlineKind, allow(`'iam:PassRole'`, `'arn:aws:iam::111122223333:role/r'`), ""},
		{policy.InlineKind, allow(`'iam:Pass*'`, `'*'`), "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE"},
		{policy.InlineKind, `'Effect':'Allow','Action':'iam:PassRole','NotResource':'arn:aws:iam::111122223333:role/r'`, "PASS_ROLE_WITH_NOT_RESOURCE"},
		{policy.InlineKind, `'Effect':'Allow','Action':'iam:Pass*','NotResource':'arn:aws:iam::111122223333:role/r'`, "PASS_ROLE_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE"},
		{policy.InlineKind, `'Effect':'Allow','NotAction':'iam:Create*','NotResource':'arn:aws:iam::111122223333:role/r'`, "PASS_ROLE_WITH_NOT_ACTION_AND_NOT_RESOURCE"},
		{policy.InlineKind, `'Effect':'Allow','NotAction':'iam:Create*','Resource':'*'`, "PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION"},
		{policy.InlineKind, `'Effect':'Allow','NotAction':'iam:PassRole','Resource':'*'`, "CREATE_SLR_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION"},
		{policy.InlineKind, allow(`'iam:CreateServiceLinkedRole'`, `'*'`), "CREATE_SLR_WITH_STAR_IN_RESOURCE"},
		{policy.InlineKind, allow(`'*'`, `'*'`), "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE"},
		{policy.InlineKind, `'Effect':'Deny','Action':'*','Resource':'*'`, ""},
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
		checkCodes(t, policy.InlineKind, strings.ReplaceAll(text, "'", `"`), want)
	}
}

func checkCodes(t *testing.T, typ policy.Kind, text, want string) {
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
