package s3_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"borealis/internal/volume/s3/s3test"
)

// rawClient is a client beside the store, which sees what the store hides.
func rawClient(t *testing.T, url string) *awss3.Client {
	t.Helper()
	return awss3.New(awss3.Options{
		BaseEndpoint: &url, UsePathStyle: true, Region: s3test.Region,
		Credentials: credentials.NewStaticCredentialsProvider(s3test.AccessKeyID, s3test.SecretAccessKey, ""),
	})
}

// uploads counts the unfinished uploads of a bucket.
func uploads(t *testing.T, c *awss3.Client, bucket string) int {
	t.Helper()
	out, err := c.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Uploads)
}
