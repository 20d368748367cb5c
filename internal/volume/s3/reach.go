package s3

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Reach makes sure that the bucket is there and can be read, and learns its
// Region if the Location does not name one.
func (s *Store) Reach(ctx context.Context) error {
	err := s.reach(ctx)
	if region := regionOf(err); region != "" && s.opts.Region == "" {
		options := s.client.Options()
		options.Region = region
		s.client = s3.New(options)
		err = s.reach(ctx)
	}
	if region := regionOf(err); region != "" && region != s.client.Options().Region {
		return fmt.Errorf("use %s: the bucket is in Region %s, not %s; say region=%s in --volumes: %w",
			s.opts.Name(), region, s.client.Options().Region, region, err)
	}
	return s.explain(ctx, "use", "", err)
}

func (s *Store) reach(ctx context.Context) error {
	_, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &s.opts.Bucket, Prefix: &s.prefix, MaxKeys: aws.Int32(1)})
	return err
}

// regionOf is the Region that S3 names when it is asked in another.
func regionOf(err error) string {
	switch codeOf(err) {
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
	default:
		return ""
	}
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return r.Response.Header.Get("X-Amz-Bucket-Region")
	}
	return ""
}
