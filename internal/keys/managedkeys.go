package keys

import (
	"fmt"
	"strings"
)

// A managed key is one that AWS makes and keeps in each account and Region for
// a service, the first time that it is needed.
type managed struct {
	service     string // in whose requests naming the alias makes the key
	description string
	policyID    string
	uses        []use
	// noRevoke says that the account may look at the key and revoke no grants.
	noRevoke bool
	// direct is the Sid of the statement that lets the service itself describe the
	// key; "" if there is none.
	direct string
}

// A use is a statement that lets in whoever comes through a service.
type use struct {
	sid       string
	service   string // without its Region: "rds"
	everyArea bool   // in every Region
	actions   string
}

// What services do with their keys, as policies name it.
const (
	crypting   = `"kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"`
	reading    = crypting + `, "kms:DescribeKey"`
	granting   = crypting + `, "kms:CreateGrant", "kms:DescribeKey"`
	attaching  = crypting + `, "kms:CreateGrant", "kms:ListGrants", "kms:DescribeKey"`
	retiring   = granting + `, "kms:RetireGrant"`
	publishing = `"kms:Decrypt", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:ListGrants", "kms:DescribeKey"`
	archiving  = `"kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKey*"`
)

// through is the usual managed key of a service that AWS calls so.
func through(service, called, policyID, protects, actions string) managed {
	return managed{
		service:     service + ".amazonaws.com",
		description: "Default key that protects my " + protects + " when no other key is defined",
		policyID:    policyID,
		uses:        []use{{sid: throughSid(called), service: service, actions: actions}},
		noRevoke:    actions == reading,
	}
}

func throughSid(called string) string {
	return "Allow access through " + called + " for all principals in the account that are authorized to use " + called
}

// and is m with more uses.
func (m managed) and(more ...use) managed {
	m.uses = append(m.uses, more...)
	return m
}

// described is m, which the service itself may describe.
func (m managed) described(sid string) managed {
	m.direct = sid
	return m
}

// sid is m with another name for its use.
func (m managed) sid(s string) managed {
	m.uses[0].sid = s
	return m
}

// anywhere is m for requests in every Region.
func (m managed) anywhere() managed {
	m.uses[0].everyArea = true
	return m
}

// managedKeys are the AWS managed keys, by their aliases. Their policies are those
// that GetKeyPolicy answers, as published for us-east-1 in
// github.com/FogSecurity/aws-managed-kms-keys and in the services' user guides.
var managedKeys = map[string]managed{
	"alias/aws/backup":       through("backup", "Backup", "auto-backup-1", "Backup data", archiving).sid("Allow access through Backup for all principals in the account that are authorized to use Backup Storage"),
	"alias/aws/cloud9":       through("cloud9", "Cloud9", "auto-cloud9-1", "Cloud9 data", reading),
	"alias/aws/codeartifact": through("codeartifact", "Amazon CodeArtifact", "auto-codeartifact-1", "CodeArtifact data", granting).described("Allow CodeArtifact Service with service principal name codeartifact.amazonaws.com to describe the key directly"),
	"alias/aws/codecommit":   through("codecommit", "CodeCommit", "auto-codecommit-2", "CodeCommit repositories", reading),
	"alias/aws/dax":          through("dax", "DAX", "auto-dax-1", "DAX data", attaching),
	"alias/aws/dms":          through("dms", "DMS", "auto-dms-1", "DMS replication instance volumes", attaching),
	"alias/aws/dynamodb":     through("dynamodb", "Amazon DynamoDB", "auto-dynamodb-3", "DynamoDB data", granting).anywhere().described("Allow DynamoDB to directly describe the key"),
	"alias/aws/ebs":          through("ec2", "EBS", "auto-ebs-2", "EBS volumes", granting),
	"alias/aws/ecr":          through("ecr", "Amazon ECR", "auto-ecr-1", "ECR data", retiring),
	"alias/aws/eks":          through("eks", "Amazon EKS", "auto-eks-1", "EKS data", granting).described("Allow the EKS Service to describe the key directly"),
	"alias/aws/elasticache":  through("elasticache", "ElastiCache Service", "auto-elasticache-1", "ElastiCache data", attaching).described("Allow ElastiCache service principals to describe the key directly"),
	"alias/aws/elasticfilesystem": through("elasticfilesystem", "EFS", "auto-elasticfilesystem-1", "EFS filesystems", granting).
		sid("Allow access to EFS for all principals in the account that are authorized to use EFS"),
	"alias/aws/es":           through("es", "OpenSearch Service", "auto-es-2", "OpenSearch data", granting).described("Allow OpenSearch service principals to describe the key directly"),
	"alias/aws/fsx":          through("fsx", "FSx", "auto-fsx-1", "FSx data", attaching),
	"alias/aws/glue":         through("glue", "Glue", "auto-glue-1", "Glue data", granting),
	"alias/aws/imagebuilder": through("imagebuilder", "Amazon EC2 Image Builder", "auto-imagebuilder-1", "EC2 Image Builder data", granting).described("Allow the EC2 Image Builder Service to describe the key directly"),
	"alias/aws/kafka":        through("kafka", "Kafka", "auto-kafka-1", "Kafka data", attaching),
	"alias/aws/kendra":       through("kendra", "Amazon Kendra", "auto-kendra-1", "Kendra data", granting).described("Allow Kendra Service to describe the key directly"),
	"alias/aws/kinesis":      through("kinesis", "Amazon Kinesis", "auto-kinesis-1", "Kinesis data", reading),
	"alias/aws/kinesisvideo": through("kinesisvideo", "Kinesis Video Streams", "auto-kinesisvideo-1", "Kinesis Video Streams data", granting),
	"alias/aws/lambda":       through("lambda", "AWS Lambda", "auto-awslambda", "Lambda functions", granting),
	"alias/aws/lex":          through("lex", "lex", "auto-lex-1", "Lex data", granting),
	"alias/aws/lightsail":    through("lightsail", "Lightsail", "auto-lightsail-1", "Lightsail data", reading).described("Allow Lightsail with service principal name lightsail.amazonaws.com to describe the key directly"),
	"alias/aws/rds":          through("rds", "RDS", "auto-rds-2", "RDS database volumes", attaching),
	"alias/aws/redshift":     through("redshift", "RedShift", "auto-redshift-3", "Redshift clusters", granting).and(use{sid: throughSid("RedShift-Serverless"), service: "redshift-serverless", actions: granting}),
	"alias/aws/s3":           through("s3", "S3", "auto-s3-2", "S3 objects", reading),
	"alias/aws/secretsmanager": through("secretsmanager", "AWS Secrets Manager", "auto-secretsmanager-2", "Secrets Manager data",
		`"kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:CreateGrant", "kms:DescribeKey"`).
		and(use{sid: throughSid("AWS Secrets Manager"), service: "secretsmanager", everyArea: true, actions: `"kms:GenerateDataKey*"`}),
	"alias/aws/sns":        through("sns", "SNS", "auto-sns-1", "SNS data", publishing),
	"alias/aws/sqs":        through("sqs", "SQS", "auto-sqs-1", "SQS messages", granting).sid("Allow access through Simple Queue Service (SQS) for all principals in the account that are authorized to use SQS"),
	"alias/aws/ssm":        through("ssm", "SSM", "auto-ssm-1", "SSM parameters", reading),
	"alias/aws/timestream": through("timestream", "Amazon Timestream", "auto-timestream-1", "Timestream data", granting).described("Allow the Timestream Service to describe the key directly"),
	"alias/aws/translate":  through("translate", "Amazon Translate", "auto-translate-1", "Translate data", granting).described("Allow Translate Service with service principal name translate.amazonaws.com to describe the key directly"),
	"alias/aws/workspaces": through("workspaces", "Workspaces", "auto-workspaces-1", "WorkSpaces data", attaching),
	"alias/aws/xray":       through("xray", "X-Ray", "auto-xray-1", "X-Ray data", granting).described("Allow X-Ray Service with service principal name xray.amazonaws.com to describe the key directly"),
}

// policyText is the policy of the managed key at p. It lets in whoever comes
// through the service from the key's own account, and so nobody of another; and
// it lets nobody change it.
func (m managed) policyText(p Place) string {
	var statements []string
	for _, u := range m.uses {
		statements = append(statements, statementText(u.sid, "AWS", "*", u.actions, u.condition(p)))
	}
	look := `"kms:Describe*", "kms:Get*", "kms:List*"`
	account := look
	if !m.noRevoke {
		account += `, "kms:RevokeGrant"`
	}
	statements = append(statements, statementText("Allow direct access to key metadata to the account", "AWS", p.Account.Root().String(), account, ""))
	if m.direct != "" {
		statements = append(statements, statementText(m.direct, "Service", m.service, look, ""))
	}
	return fmt.Sprintf(`{
  "Version" : "2012-10-17",
  "Id" : "%s",
  "Statement" : [ %s ]
}`, m.policyID, strings.Join(statements, ", "))
}

// condition is that somebody of the account comes through u's service.
func (u use) condition(p Place) string {
	if u.everyArea {
		return fmt.Sprintf(`,
    "Condition" : {
      "StringEquals" : {
        "kms:CallerAccount" : "%s"
      },
      "StringLike" : {
        "kms:ViaService" : "%s.*.amazonaws.com"
      }
    }`, p.Account, u.service)
	}
	return fmt.Sprintf(`,
    "Condition" : {
      "StringEquals" : {
        "kms:ViaService" : "%s.%s.amazonaws.com",
        "kms:CallerAccount" : "%s"
      }
    }`, u.service, p.Region, p.Account)
}

func statementText(sid, kind, who, actions, condition string) string {
	if strings.Contains(actions, ",") {
		actions = "[ " + actions + " ]"
	}
	return fmt.Sprintf(`{
    "Sid" : %q,
    "Effect" : "Allow",
    "Principal" : {
      "%s" : "%s"
    },
    "Action" : %s,
    "Resource" : "*"%s
  }`, sid, kind, who, actions, condition)
}
