package wire_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"borealis/internal/wire"
)

// The forms in which clients write lists, and what arrives.
func TestDecodeLists(t *testing.T) {
	two := []string{"111122223333", "all"}
	const ids = "DBClusterSnapshotIdentifier=s&AttributeName=restore&"
	for _, tt := range []struct {
		body string
		want []string
	}{
		{"ValuesToAdd.AttributeValue.1=111122223333&ValuesToAdd.AttributeValue.2=all", two},
		{"ValuesToAdd.member.1=111122223333&ValuesToAdd.member.2=all", two},
		{"ValuesToAdd.Whatever.2=all&ValuesToAdd.Whatever.1=111122223333", two},
		{"ValuesToAdd.1=111122223333&ValuesToAdd.2=all", two},
		{"ValuesToAdd.member.7=111122223333&ValuesToAdd.member.4294967295=all", two},
		{"ValuesToAdd.member.10=all&ValuesToAdd.member.9=111122223333", two},
		{"ValuesToAdd.member.1=111122223333&ValuesToAdd.member.2=all&ValuesToAdd.member.1=444455556666", two},
		{"ValuesToAdd.member.1=a.b%2Bc+d%C3%A4", []string{"a.b+c dä"}},
		{"ValuesToAdd.member.1=111122223333" + strings.Repeat("&ValuesToAdd.member.1=x", 30) + "&ValuesToAdd.member.2=all", two},
		{"ValuesToAdd=&ValuesToAdd-x=1&ValuesToAdd.member.1=111122223333&ValuesToAdd.member.2=all", two},
		{"ValuesToAdd=", []string{}},
		{"", nil},
		{"ValuesToAdd-x.1=a&ValuesToAddx=1&Unknown.member.1.Key=b&valuesToAdd.1=c", nil},
	} {
		var in rds.ModifyDBClusterSnapshotAttributeInput
		if err := wire.RDS.Decode("ModifyDBClusterSnapshotAttribute", []byte(ids+tt.body), &in); err != nil {
			t.Errorf("%s: %v", tt.body, err)
		} else if d := cmp.Diff(tt.want, in.ValuesToAdd); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.body, d)
		}
	}
}

func TestDecodeQuery(t *testing.T) {
	body := "Action=DescribeDBClusters&Version=2014-10-31&X-Amz-Signature=x&&IncludeShared=TRUE&MaxRecords=20" +
		"&Filters.Filter.2.Name=b&Filters.Filter.1.Name=a&Filters.Filter.1.Values.Value.1=x&Filters.Filter.1.Values.Value.2=&Filters.Filter.2.Values=&DBClusterIdentifier="
	var in rds.DescribeDBClustersInput
	if err := wire.RDS.Decode("DescribeDBClusters", []byte(body), &in); err != nil {
		t.Fatal(err)
	}
	want := rds.DescribeDBClustersInput{
		IncludeShared:       new(true),
		MaxRecords:          new(int32(20)),
		DBClusterIdentifier: new(""),
		Filters:             []types.Filter{{Name: new("a"), Values: []string{"x", ""}}, {Name: new("b"), Values: []string{}}},
	}
	if d := cmp.Diff(want, in, exactly); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestDecodeTimes(t *testing.T) {
	want := time.Date(2026, 1, 5, 3, 10, 0, 0, time.UTC)
	for _, s := range []string{"2026-01-05T03:10:00Z", "2026-01-05T03:10:00.000Z", "2026-01-05T03:10:00", "2026-01-05T03:10Z", "2026-01-05T03:10", "2026-01-05T04:10:00%2B01:00"} {
		var in rds.RestoreDBClusterToPointInTimeInput
		if err := wire.RDS.Decode("RestoreDBClusterToPointInTime", []byte("DBClusterIdentifier=a&RestoreToTime="+s), &in); err != nil || !in.RestoreToTime.Equal(want) {
			t.Errorf("%s: %v, %v", s, in.RestoreToTime, err)
		}
	}
}

func TestRefuseQuery(t *testing.T) {
	const malformed = "MalformedQueryString"
	for _, tt := range []struct{ body, code, want string }{
		{"DBClusterIdentifier=%", malformed, "The query string contains a syntax error"},
		{"DBClusterIdentifier=%zz", malformed, "The query string contains a syntax error"},
		{"DBClusterIdentifier=%ff", malformed, "The query string contains a syntax error"},
		{"%f=1", malformed, "The query string contains a syntax error"},
		{strings.Repeat("a=1&", 10000), malformed, "The request has more than 10000 parameters."},
		{"MaxRecords=many", "InvalidParameterValue", "Invalid value many for MaxRecords. The value is not an integer."},
		{"MaxRecords=99999999999", "InvalidParameterValue", "Invalid value 99999999999 for MaxRecords. The value is not an integer."},
		{"IncludeShared=1", "InvalidParameterValue", "Invalid value 1 for IncludeShared. The value is not a boolean."},
		{"Filters=x", "MalformedInput", "The parameter Filters is not a list."},
		{"Filters.Filter=x", "MalformedInput", "The parameter Filters.Filter is not numbered like the element of a list."},
		{"Filters.Filter.x.Name=x", "MalformedInput", "The parameter Filters.Filter.x.Name is not numbered like the element of a list."},
		{"Filters.Filter.-1.Name=x", "MalformedInput", "The parameter Filters.Filter.-1.Name is not numbered like the element of a list."},
		{"Filters.Filter.99999999999999999999.Name=x", "MalformedInput", "The parameter Filters.Filter.99999999999999999999.Name is not numbered like the element of a list."},
		{"Filters.=x", "MalformedInput", "The parameter Filters. is not numbered like the element of a list."},
	} {
		err := wire.RDS.Decode("DescribeDBClusters", []byte(tt.body), new(rds.DescribeDBClustersInput))
		expect(t, err, tt.code, tt.want, tt.body)
	}
	err := wire.IAM.Decode("SimulatePrincipalPolicy", []byte("PolicyExclusionList.member.1.PolicyType=inline&PolicyExclusionList.member.1.PolicyArn=x"), new(iam.SimulatePrincipalPolicyInput))
	expect(t, err, "MalformedInput", "The parameter PolicyExclusionList.member.1.PolicyType is one too many: exactly one may be given.", "two members of a union")
}

// The number of an element says its place among the others and nothing about
// how much memory the list takes.
func TestHugeIndexIsCheap(t *testing.T) {
	body := []byte("Filters.Filter.4000000000.Name=a&Filters.Filter.4000000000.Values.Value.4000000000=b")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var in rds.DescribeDBClustersInput
	if err := wire.RDS.Decode("DescribeDBClusters", body, &in); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

func TestAction(t *testing.T) {
	for body, want := range map[string]string{
		"Action=CreateDBCluster&Version=2014-10-31": "CreateDBCluster",
		"Version=2014-10-31&Action=A%42&Action=C":   "AB",
		"XAction=B": "", "": "", "Action=": "", "Action": "", "Action=%": "",
	} {
		if got := wire.Action([]byte(body)); got != want {
			t.Errorf("Action(%q) = %q, want %q", body, got, want)
		}
	}
}

func TestEncodeXML(t *testing.T) {
	at := time.Date(2026, 1, 5, 3, 10, 0, 0, time.FixedZone("", 3600))
	for _, tt := range []struct {
		service  *wire.Service
		op, want string
		out      any
	}{
		{wire.RDS, "AddTagsToResource", `<AddTagsToResourceResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><ResponseMetadata><RequestId>r&lt;1</RequestId></ResponseMetadata></AddTagsToResourceResponse>`,
			&rds.AddTagsToResourceOutput{}},
		{wire.RDS, "DescribeDBClusterSnapshots", `<DescribeDBClusterSnapshotsResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeDBClusterSnapshotsResult>` +
			`<DBClusterSnapshots><DBClusterSnapshot><AvailabilityZones></AvailabilityZones><PercentProgress>0</PercentProgress><SnapshotCreateTime>2026-01-05T02:10:00.000Z</SnapshotCreateTime></DBClusterSnapshot></DBClusterSnapshots>` +
			`</DescribeDBClusterSnapshotsResult><ResponseMetadata><RequestId>r&lt;1</RequestId></ResponseMetadata></DescribeDBClusterSnapshotsResponse>`,
			&rds.DescribeDBClusterSnapshotsOutput{DBClusterSnapshots: []types.DBClusterSnapshot{{AvailabilityZones: []string{}, PercentProgress: new(int32(0)), SnapshotCreateTime: &at}}}},
		{wire.IAM, "CreateAccessKey", `<CreateAccessKeyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><CreateAccessKeyResult>` +
			`<AccessKey><AccessKeyId>AKIA</AccessKeyId><CreateDate>2026-01-05T02:10:00Z</CreateDate></AccessKey></CreateAccessKeyResult><ResponseMetadata><RequestId>r&lt;1</RequestId></ResponseMetadata></CreateAccessKeyResponse>`,
			&iam.CreateAccessKeyOutput{AccessKey: &iamtypes.AccessKey{AccessKeyId: new("AKIA"), CreateDate: &at}}},
		{wire.IAM, "GetAccountSummary", `<GetAccountSummaryResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetAccountSummaryResult>` +
			`<SummaryMap><entry><key>Roles</key><value>2</value></entry><entry><key>Users</key><value>1</value></entry></SummaryMap></GetAccountSummaryResult><ResponseMetadata><RequestId>r&lt;1</RequestId></ResponseMetadata></GetAccountSummaryResponse>`,
			&iam.GetAccountSummaryOutput{SummaryMap: map[string]int32{"Users": 1, "Roles": 2}}},
		{wire.STS, "GetCallerIdentity", `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Account>1&amp;2` + "\uFFFD&#xD;\uFFFD" + `</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>r&lt;1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`,
			&sts.GetCallerIdentityOutput{Account: new("1&2\x00\r\xff")}},
	} {
		contentType, body, err := tt.service.Encode(tt.op, "r<1", tt.out)
		if err != nil || contentType != "text/xml" {
			t.Errorf("%s: %s, %v", tt.op, contentType, err)
		}
		if d := cmp.Diff(tt.want, string(body)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.op, d)
		}
	}
}

func BenchmarkDescribeSnapshots(b *testing.B) {
	var body strings.Builder
	body.WriteString("Action=DescribeDBClusterSnapshots&Version=2014-10-31&SnapshotType=shared&MaxRecords=100")
	for i := range 5 {
		fmt.Fprintf(&body, "&Filters.Filter.%d.Name=engine&Filters.Filter.%[1]d.Values.Value.1=aurora", i+1)
	}
	snap := types.DBClusterSnapshot{DBClusterSnapshotIdentifier: new("nightly"), Engine: new("aurora-postgresql"), SnapshotCreateTime: new(time.Now()), StorageEncrypted: new(true)}
	out := &rds.DescribeDBClusterSnapshotsOutput{DBClusterSnapshots: make([]types.DBClusterSnapshot, 50)}
	for i := range out.DBClusterSnapshots {
		out.DBClusterSnapshots[i] = snap
	}
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := wire.RDS.Decode("DescribeDBClusterSnapshots", []byte(body.String()), new(rds.DescribeDBClusterSnapshotsInput)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := wire.RDS.Encode("DescribeDBClusterSnapshots", "r", out); err != nil {
				b.Fatal(err)
			}
		}
	})
}
