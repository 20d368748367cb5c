// Package s3 keeps volume objects in a bucket of any server that speaks the S3
// API. It owns their keys, what is tried again when the network or the server
// fails, and the lease that keeps two servers from writing to one place. It knows
// nothing of what is in the objects.
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"golang.org/x/sync/semaphore"

	"borealis/internal/volume"
)

// Options say how to use a Location. The zero value of every field is the one to
// use unless its comment says otherwise.
type Options struct {
	Location
	// Owner is who the store belongs to for good: a name of the data directory
	// that refers to its objects, 1 to 64 letters and digits. Required for Acquire.
	Owner string
	// Existing says that the store was used before: one that has no owner is not it.
	Existing bool
	// Place names a lock that this process holds, on this machine, as long as it
	// lives, and that no two places have: a process that had the lease and the
	// same Place is known to be dead. If it is empty, that a process is dead is
	// known only after it has been silent for Lease.
	Place string
	// Lease is for how long who holds the lease may write without renewing it.
	// One minute if 0.
	Lease time.Duration
	// Attempts is how often a request is made before it fails. 10 if 0.
	Attempts int
	// MaxBackoff is the longest pause between two attempts. 20 seconds if 0.
	MaxBackoff time.Duration
	// Stall is how long a connection may move no byte before it is given up. 30
	// seconds if 0.
	Stall time.Duration
	// PartSize is how many bytes of an object are uploaded at a time; larger
	// objects are uploaded in parts. 8 MiB if 0; S3 refuses less than 5 MiB.
	PartSize int
	// Log gets what operators should know. slog.Default() if nil.
	Log *slog.Logger
}

// maxUploads is how many parts are uploaded at a time.
const maxUploads = 16

func (o *Options) setDefaults() {
	if o.Lease == 0 {
		o.Lease = time.Minute
	}
	if o.Attempts == 0 {
		o.Attempts = 10
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = 20 * time.Second
	}
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	if o.PartSize == 0 {
		o.PartSize = 8 << 20
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// A Store is a volume.Backend in a bucket. Reading needs nothing but a Store;
// Put and Delete are refused unless Acquire has succeeded, and when the lease is
// lost. Requests that fail for a reason that may pass are made again.
type Store struct {
	opts    Options
	prefix  string // of every key; ends with a slash unless it is empty
	client  *s3.Client
	backoff retry.BackoffDelayer
	uploads *semaphore.Weighted
	lease   *lease // nil until Acquire
}

var _ volume.Backend = (*Store)(nil)

// Open makes a Store. It finds settings and credentials like every program that
// uses AWS's SDK: in the environment, in files, from the machine. It makes no
// request to S3 yet: Reach or Acquire do.
func Open(ctx context.Context, opts Options) (*Store, error) {
	opts.setDefaults()
	s := &Store{opts: opts, uploads: semaphore.NewWeighted(maxUploads), backoff: retry.NewExponentialJitterBackoff(opts.MaxBackoff)}
	if opts.Prefix != "" {
		s.prefix = opts.Prefix + "/"
	}
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(httpClient(opts.Stall)),
		config.WithRetryer(s.retryer),
		config.WithLogger(logging.Nop{}), // what matters comes as an error
	}
	if opts.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(opts.Profile))
	}
	if opts.Region != "" {
		load = append(load, config.WithRegion(opts.Region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("use %s: %w", opts.Name(), err)
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1" // S3 says it if it is another
	}
	s.connect(cfg)
	return s, nil
}

// String is the Location, for operators.
func (s *Store) String() string { return s.opts.Name() }

func (s *Store) connect(cfg aws.Config) {
	s.client = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = s.opts.PathStyle
		o.DisableLogOutputChecksumValidationSkipped = true
		if s.opts.Endpoint != "" {
			o.BaseEndpoint = &s.opts.Endpoint
		}
	})
}

// retryer is the SDK's, more patient, and for answers that were cut off too.
func (s *Store) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = s.opts.Attempts
		o.MaxBackoff = s.opts.MaxBackoff
		o.Backoff = s.backoff
		// A server that is down for a while is no reason to fail what comes after.
		o.RateLimiter = ratelimit.None
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if isCutOff(err) {
				return aws.TrueTernary
			}
			return aws.UnknownTernary
		}))
	})
}

// isCutOff reports whether an answer broke off or made no sense.
func isCutOff(err error) bool {
	_, garbled := errors.AsType[*smithy.DeserializationError](err)
	return garbled || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// httpClient is the SDK's, but gives connections up that have stalled.
func httpClient(stall time.Duration) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		dialer := &net.Dialer{Timeout: stall, KeepAlive: stall}
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &watched{Conn: c, stall: stall}, nil
		}
		t.MaxIdleConnsPerHost = 2 * maxUploads
		t.MaxConnsPerHost = 0
	})
}

// A watched connection fails once it has moved no byte, in either direction, for
// a time: an upload keeps the answer from being waited for in vain.
type watched struct {
	net.Conn
	stall time.Duration
}

func (c *watched) moved() error { return c.SetDeadline(time.Now().Add(c.stall)) }

func (c *watched) Read(p []byte) (int, error) {
	if err := c.moved(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *watched) Write(p []byte) (n int, err error) {
	for err == nil && n < len(p) {
		if err := c.moved(); err != nil {
			return n, err
		}
		var m int
		m, err = c.Conn.Write(p[n:min(n+64<<10, len(p))])
		n += m
	}
	return n, err
}

var element = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

func validName(name string) bool {
	for e := range strings.SplitSeq(name, "/") {
		if !element.MatchString(e) {
			return false
		}
	}
	return true
}

// key is where the object name is kept.
func (s *Store) key(name string) (*string, error) {
	if !validName(name) {
		return nil, fmt.Errorf("%q is not the name of an object", name)
	}
	return new(s.prefix + name), nil
}

// begin is the beginning of every method.
func (s *Store) begin(ctx context.Context, name string) (*string, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return s.key(name)
}

// Put implements volume.Backend.
func (s *Store) Put(ctx context.Context, name string, data []byte) error {
	key, err := s.begin(ctx, name)
	if err != nil {
		return err
	}
	guarded, release, err := s.guard(ctx)
	if err != nil {
		return err
	}
	defer release()
	if len(data) > s.opts.PartSize {
		err = s.putParts(guarded, key, data)
	} else {
		_, err = s.client.PutObject(guarded, &s3.PutObjectInput{Bucket: &s.opts.Bucket, Key: key, Body: bytes.NewReader(data)})
	}
	return s.explain(guarded, "put", name, err)
}

// Delete implements volume.Backend.
func (s *Store) Delete(ctx context.Context, name string) error {
	key, err := s.begin(ctx, name)
	if err != nil {
		return err
	}
	guarded, release, err := s.guard(ctx)
	if err != nil {
		return err
	}
	defer release()
	_, err = s.client.DeleteObject(guarded, &s3.DeleteObjectInput{Bucket: &s.opts.Bucket, Key: key})
	if codeOf(err) == "NoSuchKey" { // S3 itself does not mind
		err = nil
	}
	return s.explain(guarded, "delete", name, err)
}

// List implements volume.Backend.
func (s *Store) List(ctx context.Context, prefix string) ([]volume.Object, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var out []volume.Object
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.opts.Bucket, Prefix: new(s.prefix + prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.explain(ctx, "list", prefix, err)
		}
		for _, o := range page.Contents {
			// What a Backend's objects cannot be called is the lease, or another program's.
			if name := strings.TrimPrefix(aws.ToString(o.Key), s.prefix); validName(name) {
				out = append(out, volume.Object{Name: name, Size: aws.ToInt64(o.Size)})
			}
		}
	}
	slices.SortFunc(out, func(a, b volume.Object) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
