package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/aws/smithy-go"

	"borealis/internal/cloud"
)

// codeOf is S3's code of an error, "" if S3 did not say one.
func codeOf(err error) string {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return ""
	}
	if code := api.ErrorCode(); code != "" && code != "UnknownError" {
		return code
	}
	return headCodes[statusOf(err)]
}

// headCodes are the codes of answers to HEAD, which have no body to say them in.
var headCodes = map[int]string{
	http.StatusMovedPermanently: "PermanentRedirect", http.StatusForbidden: "AccessDenied", http.StatusNotFound: "NoSuchKey",
	http.StatusPreconditionFailed: "PreconditionFailed", http.StatusRequestedRangeNotSatisfiable: "InvalidRange",
}

func statusOf(err error) int {
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return r.HTTPStatusCode()
	}
	return 0
}

// advice is what an operator can do about what S3 says.
var advice = map[string]string{
	"NoSuchBucket":                       "there is no such bucket; make it, or name another with --volumes",
	"AccessDenied":                       "the credentials may not do that; they need s3:ListBucket and s3:ListBucketMultipartUploads on the bucket, and s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on its objects",
	"AllAccessDisabled":                  "the bucket is closed to everybody",
	"InvalidAccessKeyId":                 "S3 does not know the access key; is it that of another server or account?",
	"SignatureDoesNotMatch":              "the secret access key is not that of the access key",
	"ExpiredToken":                       "the credentials have expired",
	"RequestTimeTooSkewed":               "this machine's clock is wrong",
	"PermanentRedirect":                  "the bucket is in another Region; name it with region= in --volumes",
	"AuthorizationHeaderMalformed":       "the bucket is in another Region; name it with region= in --volumes",
	"IllegalLocationConstraintException": "the bucket is in another Region; name it with region= in --volumes",
	"InvalidBucketName":                  "no bucket can have that name",
	"NotImplemented":                     "the server cannot do all that snapshots need of S3",
	"QuotaExceeded":                      "the bucket is full",
	"XMinioStorageFull":                  "the server's disks are full",
}

// explain puts an error into words for operators: what was to be done with what,
// and what can be done about it. ctx is the one that the call was made with.
func (s *Store) explain(ctx context.Context, verb, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	place := s.opts.Name()
	if name != "" {
		place += "/" + name
	}
	code := codeOf(err)
	switch code {
	case "NoSuchKey", "NotFound":
		return fmt.Errorf("%s: %w", place, cloud.ErrNotFound)
	case "":
		if s.opts.Endpoint != "" {
			return fmt.Errorf("%s %s at %s: %w", verb, place, s.opts.Endpoint, err)
		}
		return fmt.Errorf("%s %s: %w", verb, place, err)
	}
	if what := advice[code]; what != "" {
		return fmt.Errorf("%s %s: %s: %w", verb, place, what, err)
	}
	return fmt.Errorf("%s %s: %w", verb, place, err)
}
