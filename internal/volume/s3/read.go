package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Get implements volume.Backend.
func (s *Store) Get(ctx context.Context, name string) ([]byte, error) {
	return s.read(ctx, &download{name: name, whole: true})
}

// GetRange implements volume.Backend.
func (s *Store) GetRange(ctx context.Context, name string, off int64, p []byte) error {
	n, err := s.ReadAt(ctx, name, off, p)
	if err == nil && n < len(p) {
		err = fmt.Errorf("%s/%s at %d: %w", s.opts.Name(), name, off, io.ErrUnexpectedEOF)
	}
	return err
}

// ReadAt is GetRange of an object that may end before p is full: it returns how
// many bytes there were.
func (s *Store) ReadAt(ctx context.Context, name string, off int64, p []byte) (int, error) {
	data, err := s.read(ctx, &download{name: name, off: off, room: p, data: p})
	return len(data), err
}

// A download is the reading of an object, or of a part of it, in as many
// requests as it takes: one that breaks off is gone on with where it broke off.
type download struct {
	name  string
	whole bool
	off   int64
	room  []byte // to fill; nil with whole, for then it is made when the size is known

	data []byte  // of room, what the object fills
	n    int     // bytes that are there
	etag *string // of the object that they are of
}

// missing is the range to ask for, nil for everything.
func (d *download) missing() *string {
	if d.whole && d.n == 0 {
		return nil
	}
	return new(fmt.Sprintf("bytes=%d-%d", d.off+int64(d.n), d.off+int64(len(d.data))-1))
}

// restart forgets what is there.
func (d *download) restart() { d.n, d.etag, d.data = 0, nil, d.room }

func (s *Store) read(ctx context.Context, d *download) ([]byte, error) {
	key, err := s.begin(ctx, d.name)
	if err != nil {
		return nil, err
	}
	if !d.whole && len(d.data) == 0 {
		_, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.opts.Bucket, Key: key})
		return nil, s.explain(ctx, "read", d.name, err)
	}
	for failed := 0; ; failed++ {
		before := d.n
		err := s.readOnce(ctx, key, d)
		switch {
		case err == nil:
			return d.data[:d.n], nil
		case codeOf(err) == "InvalidRange" && d.n == 0 && !d.whole:
			return nil, nil // the object ends before the range begins
		case codeOf(err) == "PreconditionFailed" || codeOf(err) == "InvalidRange":
			d.restart() // it was replaced meanwhile
		case !isBroken(err):
			return nil, s.explain(ctx, "read", d.name, err)
		case d.n > before:
			failed = 0
		}
		if failed+1 >= s.opts.Attempts {
			return nil, s.explain(ctx, "read", d.name, err)
		}
		if err := s.pause(ctx, failed); err != nil {
			return nil, err
		}
	}
}

// brokenError is an answer whose body broke off.
type brokenError struct{ error }

func (e brokenError) Unwrap() error { return e.error }

func isBroken(err error) bool {
	_, is := errors.AsType[brokenError](err)
	return is
}

// readOnce makes one request for what is missing.
func (s *Store) readOnce(ctx context.Context, key *string, d *download) error {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.opts.Bucket, Key: key, Range: d.missing(), IfMatch: d.etag})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	length := aws.ToInt64(out.ContentLength)
	if err := d.accept(out, length); err != nil {
		return err
	}
	n, err := io.ReadFull(out.Body, d.data[d.n:])
	if err == nil && d.whole { // the end is where the SDK has verified its checksum
		_, err = io.Copy(io.Discard, out.Body)
	}
	d.n += n
	if err != nil && d.n == len(d.data) {
		d.restart()
	}
	if err != nil {
		return brokenError{fmt.Errorf("the answer broke off: %w", err)}
	}
	return nil
}

// accept makes room for the body of an answer, and makes sure that it is what
// was asked for.
func (d *download) accept(out *s3.GetObjectOutput, length int64) error {
	if length < 0 {
		return errors.New("S3 does not say how long the object is")
	}
	first := int64(0)
	if out.ContentRange != nil {
		text, _, _ := strings.Cut(strings.TrimPrefix(*out.ContentRange, "bytes "), "-")
		var err error
		if first, err = strconv.ParseInt(text, 10, 64); err != nil {
			return fmt.Errorf("S3 says that it sends the range %q", *out.ContentRange)
		}
	}
	if first != d.off+int64(d.n) {
		return fmt.Errorf("S3 sends the object from byte %d on, and was asked for %d", first, d.off+int64(d.n))
	}
	switch {
	case d.whole && d.n == 0:
		d.data = make([]byte, length)
	case length < int64(len(d.data)-d.n):
		d.data = d.data[:d.n+int(length)] // the object ends here
	}
	d.etag = out.ETag
	return nil
}

// pause waits before an attempt is made again.
func (s *Store) pause(ctx context.Context, failed int) error {
	wait, err := s.backoff.BackoffDelay(failed, nil)
	if err != nil {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
