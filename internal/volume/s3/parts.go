package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

const (
	maxParts = 10_000 // that an object may have
	// uploadMark is metadata that says which upload made an object.
	uploadMark = "borealis-upload"
	// abortGrace is how long giving an upload up may take.
	abortGrace = 10 * time.Second
)

// putParts uploads an object in parts, several at a time. Nothing is seen of it
// before the last step.
func (s *Store) putParts(ctx context.Context, key *string, data []byte) error {
	mark := rand.Text()
	up, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &s.opts.Bucket, Key: key, Metadata: map[string]string{uploadMark: mark}})
	if err != nil {
		return err
	}
	parts, err := s.uploadParts(ctx, key, up.UploadId, data)
	if err == nil {
		_, err = s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &s.opts.Bucket, Key: key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
		if codeOf(err) == "NoSuchUpload" && s.isFrom(ctx, key, mark) {
			return nil // an earlier attempt completed it, and its answer was lost
		}
	}
	if err != nil {
		s.abort(ctx, key, up.UploadId)
	}
	return err
}

func (s *Store) uploadParts(ctx context.Context, key, upload *string, data []byte) ([]types.CompletedPart, error) {
	size := max(s.opts.PartSize, (len(data)+maxParts-1)/maxParts)
	parts := make([]types.CompletedPart, (len(data)+size-1)/size)
	g, own := errgroup.WithContext(ctx)
	for i := range parts {
		if err := s.uploads.Acquire(own, 1); err != nil {
			break // for the reason that Wait gives, or that of ctx
		}
		g.Go(func() error {
			defer s.uploads.Release(1)
			number := int32(i + 1)
			out, err := s.client.UploadPart(own, &s3.UploadPartInput{
				Bucket: &s.opts.Bucket, Key: key, UploadId: upload, PartNumber: &number,
				Body: bytes.NewReader(data[i*size : min((i+1)*size, len(data))]),
			})
			if err != nil {
				return err
			}
			// S3 has verified the part's checksum; what it wants back is this.
			parts[i] = types.CompletedPart{PartNumber: &number, ETag: out.ETag}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return parts, ctx.Err()
}

// isFrom reports whether the object was made by the upload with that mark.
func (s *Store) isFrom(ctx context.Context, key *string, mark string) bool {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.opts.Bucket, Key: key})
	return err == nil && out.Metadata[uploadMark] == mark
}

// abort gives an upload up, also when ctx has ended. What is left over if that
// fails is removed when the store is next acquired.
func (s *Store) abort(ctx context.Context, key, upload *string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortGrace)
	defer cancel()
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.opts.Bucket, Key: key, UploadId: upload})
	if err != nil && codeOf(err) != "NoSuchUpload" {
		s.opts.Log.DebugContext(ctx, "an upload is left over until the next start", "key", *key, "err", err)
	}
}

// abortAll gives up what uploads those who had the store before have left. S3
// would keep their parts for ever, and nobody would see them.
func (s *Store) abortAll(ctx context.Context) error {
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{Bucket: &s.opts.Bucket, Prefix: &s.prefix})
	n := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list unfinished uploads: %w", err)
		}
		for _, u := range page.Uploads {
			if !validName(strings.TrimPrefix(aws.ToString(u.Key), s.prefix)) {
				continue // another program's
			}
			s.abort(ctx, u.Key, u.UploadId)
			n++
		}
	}
	if n > 0 {
		s.opts.Log.InfoContext(ctx, "gave up uploads that a server had left unfinished", "uploads", n, "store", s.opts.Name())
	}
	return nil
}
