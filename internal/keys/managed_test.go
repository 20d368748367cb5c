package keys_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// managedAliases are the AWS managed keys that this server makes, and the service
// through whose requests each is used.
var managedAliases = map[string]string{
	"backup": "backup", "cloud9": "cloud9", "codeartifact": "codeartifact", "codecommit": "codecommit", "dax": "dax",
	"dms": "dms", "dynamodb": "dynamodb", "ebs": "ec2", "ecr": "ecr", "eks": "eks", "elasticache": "elasticache",
	"elasticfilesystem": "elasticfilesystem", "es": "es", "fsx": "fsx", "glue": "glue", "imagebuilder": "imagebuilder",
	"kafka": "kafka", "kendra": "kendra", "kinesis": "kinesis", "kinesisvideo": "kinesisvideo", "lambda": "lambda",
	"lex": "lex", "lightsail": "lightsail", "rds": "rds", "redshift": "redshift", "s3": "s3",
	"secretsmanager": "secretsmanager", "sns": "sns", "sqs": "sqs", "ssm": "ssm", "timestream": "timestream",
	"translate": "translate", "workspaces": "workspaces", "xray": "xray",
}

// Each is made when it is first asked for, once in each account and Region; who
// comes through its service may use it, nobody else may, and nobody may change it.
func TestManagedKeys(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	bob := w.person(abroad, "user/bob", allow("kms:*"))
	ctx := t.Context()
	for name, service := range managedAliases {
		t.Run(name, func(t *testing.T) {
			alias := "alias/aws/" + name
			m := must(ann.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &alias}))(t).KeyMetadata
			again := must(ann.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &alias}))(t).KeyMetadata
			others := must(bob.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &alias}))(t).KeyMetadata
			if m.KeyManager != "AWS" || *again.Arn != *m.Arn || *others.Arn == *m.Arn || !strings.HasPrefix(*m.Description, "Default key that protects my ") {
				t.Errorf("%s: %+v, again %s, another account's %s", alias, m, *again.Arn, *others.Arn)
			}
			key := m.Arn
			text := must(ann.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: key}))(t).Policy
			var document struct{ ID, Version string }
			if err := json.Unmarshal([]byte(*text), &document); err != nil || !strings.HasPrefix(document.ID, "auto-") || document.Version != "2012-10-17" {
				t.Errorf("policy: %v\n%s", err, *text)
			}
			through := ann.through(service + ".amazonaws.com")
			through.may("use it through its service", through.dataKey(key))
			ann.mayNot("use it directly", "AccessDeniedException: User: "+ann.caller.ARN+" is not authorized to perform: kms:GenerateDataKey on resource: "+*key+" because no resource-based policy allows the kms:GenerateDataKey action", ann.dataKey(key))
			elsewhere := ann.through("cloudformation.amazonaws.com")
			elsewhere.mayNot("use it through another", "AccessDeniedException", elsewhere.dataKey(key))
			stranger := bob.through(service + ".amazonaws.com")
			stranger.mayNot("use another account's", "AccessDeniedException", stranger.dataKey(key))
			for what, err := range map[string]error{
				"PutKeyPolicy": ann.putPolicy(key, delegating(home, "kms:*")),
				"DisableKey":   ann.disable(key),
				"CreateAlias":  ann.alias("alias/mine", key),
				"ScheduleKeyDeletion": func() error {
					_, err := ann.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: key})
					return err
				}(),
				"EnableKeyRotation": func() error {
					_, err := ann.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: key})
					return err
				}(),
				"UpdateKeyDescription": func() error {
					_, err := ann.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionInput{KeyId: key, Description: new("x")})
					return err
				}(),
			} {
				ann.mayNot(what, "AccessDeniedException: User: "+ann.caller.ARN+" is not authorized to perform: kms:"+what+" on resource: "+*key+" because no resource-based policy allows the kms:"+what+" action", err)
			}
		})
	}
	_, err := ann.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: new("alias/aws/nothing")})
	ann.mayNot("find one of no service", "NotFoundException", err)
}
