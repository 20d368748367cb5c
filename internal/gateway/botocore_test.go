package gateway_test

import (
	"os/exec"
	"strings"
	"testing"
)

// botocore signs differently from the SDK for Go: other headers, and presigned
// URLs whose parameters are in another order.
const botocoreClient = `
import sys, urllib.request
import botocore.session
from botocore.config import Config

url, cfg = sys.argv[1], Config(retries={"total_max_attempts": 1})
def client(service, token=None):
    key, secret = (sys.argv[4], sys.argv[5]) if token else (sys.argv[2], sys.argv[3])
    return botocore.session.Session().create_client(service, region_name="eu-west-1", endpoint_url=url,
        aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token, config=cfg)

print(client("kms").describe_key(KeyId="a b/ü")["KeyMetadata"]["KeyId"])
print(client("sts", sys.argv[6]).get_caller_identity()["Account"])
print(client("rds").describe_db_clusters()["DBClusters"])
print(client("iam").get_user(UserName="ann")["User"]["UserName"])
print(client("sts", sys.argv[6]).get_caller_identity()["ResponseMetadata"]["HTTPStatusCode"])
signed = client("sts", sys.argv[6]).generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
print(b"<Account>444455556666</Account>" in urllib.request.urlopen(signed).read())
try:
    client("rds").describe_db_clusters(DBClusterIdentifier="gone")
except Exception as e:
    print(e)
try:
    client("kms").replicate_key(KeyId="x", ReplicaRegion="us-east-1")
except Exception as e:
    print(e)
`

func TestBotocore(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("SKIPPED: botocore is not tried, there is no python3 on this machine")
	}
	if err := exec.Command(python, "-c", "import botocore").Run(); err != nil {
		t.Skip("SKIPPED: botocore is not tried, this machine's python3 does not have it")
	}
	w := newWorld(t)
	cmd := exec.CommandContext(t.Context(), python, "-c", botocoreClient, w.URL, annID, annSecret, sessionID, sessionSecret, sessionToken)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := strings.Join([]string{
		"a b/ü", "444455556666", "[]", "ann", "200", "True",
		"An error occurred (DBClusterNotFoundFault) when calling the DescribeDBClusters operation: DBCluster gone not found.",
		"An error occurred (NotImplemented) when calling the ReplicateKey operation: The operation kms:ReplicateKey is not implemented.",
	}, "\n") + "\n"
	if string(out) != want {
		t.Errorf("botocore says:\n%s\nwant:\n%s", out, want)
	}
}
