// Package gateway is the server's front door: an http.Handler that gives every
// request an id, holds it to its limits, authenticates it, finds its service
// and operation, decodes it, runs it as its caller, encodes the answer and logs
// failures once. It never authorizes, keeps nothing, and knows no operation by
// name.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/sigv4"
	"borealis/internal/wire"
)

const (
	// MaxBody is the largest request body, in bytes. No operation that is offered
	// has a larger valid request.
	MaxBody = 1 << 20
	// maxHeader bounds the request line and the headers.
	maxHeader = 64 << 10
	// slowest is how long a client may take to send a request, and the server to
	// answer it.
	slowest = time.Minute

	// HealthPath answers GET with 200 and "ok", to anybody.
	HealthPath = "/_borealis/health"
)

// Config is what a Gateway needs.
type Config struct {
	// Credentials finds the secrets that requests are signed with. Required.
	Credentials sigv4.Source
	// Services are served under the names that their wire.Service has. Required.
	Services []Service
	// Audit gets every call to an operation that is served. Required.
	Audit Audit
	// Encode is what a denial says beside its message, for who may read more of it:
	// an encoded authorization message. Denials have none if it is nil.
	Encode func(*audit.Call) (string, error)
	// Now is the clock. time.Now if nil.
	Now func() time.Time
	// Log gets one line for every request: at level Error for what the server did
	// wrong, Info for a request that was not authenticated, else Debug.
	// slog.Default() if nil. It never gets what is secret, nor any parameter.
	Log *slog.Logger
}

// Audit is the log of calls.
type Audit interface {
	// Finish puts a call on record that has ended. A call that cannot be recorded
	// is not answered.
	Finish(*audit.Call, audit.Outcome) error
}

// A Gateway is the http.Handler. It may be used by many goroutines at once.
type Gateway struct {
	verifier *sigv4.Verifier
	services map[string]Service
	audit    Audit
	encode   func(*audit.Call) (string, error)
	now      func() time.Time
	log      *slog.Logger
}

// New returns a Gateway. It panics if two services have one name.
func New(cfg Config) *Gateway {
	g := &Gateway{verifier: sigv4.New(cfg.Credentials), services: map[string]Service{}, audit: cfg.Audit, encode: cfg.Encode, now: cfg.Now, log: cfg.Log}
	for _, s := range cfg.Services {
		if _, twice := g.services[s.wire.Name]; twice {
			panic("gateway: two services are called " + s.wire.Name)
		}
		g.services[s.wire.Name] = s
	}
	if g.now == nil {
		g.now = time.Now
	}
	if g.log == nil {
		g.log = slog.Default()
	}
	return g
}

// NewServer is an http.Server for h, a Gateway or a mux with one in it, with
// limits on what a client may send and how long it may take. What net/http has
// to say goes to log at level Debug: it is clients' misbehaviour.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       slowest,
		WriteTimeout:      slowest + 10*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		// Even "OPTIONS *" gets a Gateway's answer.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// ServeHTTP answers a request. It implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{id: audit.NewID(), start: time.Now(), wire: g.speaks(r)}
	h := w.Header()
	h["X-Amzn-Requestid"] = []string{x.id}
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	if r.URL.Path == HealthPath && r.Method == http.MethodGet {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
		return
	}
	buf := buffers.Get().(*[small]byte)
	x.buffer = buf[:]
	a := g.finish(x, g.answer(w, r, x))
	clear(buf[:min(max(r.ContentLength, 0), small)]) // it may hold a plaintext
	buffers.Put(buf)
	g.record(r, x, a)
	if a.allow != "" {
		h.Set("Allow", a.allow)
	}
	h["Content-Type"] = []string{a.contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(a.body))} // else a long body comes in chunks
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // who hangs up now does not want it
}

// Values of headers that every answer has. Nobody changes them.
var (
	noStore = []string{"no-store"}
	noSniff = []string{"nosniff"}
)

// An exchange is what becomes known of a request on its way through.
type exchange struct {
	id     string
	start  time.Time
	wire   *wire.Service // whose protocol and words errors are in
	op     string
	call   audit.Call // its Caller is known first
	called bool       // an operation that is served: call is complete
	out    any        // that the operation has returned
	buffer []byte     // for the body of a small request
}

// An answer is what goes back.
type answer struct {
	status      int
	contentType string
	body        []byte
	code        string // of an error
	says        string // an error's message
	err         error  // what went wrong, nil for a success
	allow       string // the methods that there are, for 405
}

// answer runs the request and encodes what comes of it. A panic below is one
// failed request.
func (g *Gateway) answer(w http.ResponseWriter, r *http.Request, x *exchange) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			a = x.fail(&panicError{p, debug.Stack()})
		}
	}()
	out, err := g.run(w, r, x)
	if err != nil {
		return x.fail(g.encoded(x, err))
	}
	x.out = out
	contentType, body, err := x.wire.Encode(x.op, x.id, out)
	if err != nil {
		return x.fail(err)
	}
	return answer{status: http.StatusOK, contentType: contentType, body: body}
}

// run authenticates, routes and runs the request, filling in x as it goes.
func (g *Gateway) run(w http.ResponseWriter, r *http.Request, x *exchange) (any, error) {
	body, err := read(w, r, x.buffer)
	if err != nil {
		return nil, err
	}
	proof, err := g.verifier.Verify(r, body, g.now())
	if errors.Is(err, sigv4.ErrMissing) && g.unsigned(r, body) {
		proof, err = sigv4.Verified{Region: unsignedRegion, Service: "sts"}, nil
	}
	if err != nil {
		return nil, err
	}
	x.call.Caller = callerOf(r, x.id, proof)
	s, op, body, err := g.route(r, proof.Service, body)
	if err != nil {
		return nil, err
	}
	x.wire, x.op = s.wire, op
	if !s.serves(op) {
		return nil, s.wire.NotImplemented(op)
	}
	if s.wire.Name == "iam" {
		if unknownToIAM(&x.call.Caller) {
			return nil, &sigv4.Error{Kind: sigv4.ErrUnknown}
		}
		// IAM is one for all Regions, and is at home in this one, however a client
		// with an endpoint of its own was told to sign.
		x.call.Caller.Region = "us-east-1"
	}
	x.called, x.call.Service, x.call.Operation, x.call.Time = true, s.wire.Name, op, g.now()
	return s.run(r.Context(), &x.call, body)
}

// unknownToIAM says of whose sessions IAM takes none: those of GetFederationToken, and
// those of GetSessionToken that were made without a second factor.
func unknownToIAM(c *cloud.Caller) bool {
	own := (c.Kind == cloud.User || c.Kind == cloud.Root) && !c.TokenIssued.IsZero()
	return c.Kind == cloud.FederatedUser || own && !c.MFA
}

// finish puts the call on record before it is answered with a. If that cannot be
// done, nothing is told but that it failed.
func (g *Gateway) finish(x *exchange, a answer) answer {
	if !x.called {
		return a
	}
	o := audit.Outcome{ErrorCode: a.code, ErrorMessage: a.says}
	if a.err == nil {
		o.Output = x.out
	}
	if err := g.audit.Finish(&x.call, o); err != nil {
		return x.fail(err)
	}
	return a
}

// callerOf is who proof shows, with what else the request tells of its sender.
func callerOf(r *http.Request, id string, proof sigv4.Verified) cloud.Caller {
	c := proof.Caller
	c.Region, c.RequestID, c.UserAgent, c.SecureTransport = proof.Region, id, r.UserAgent(), r.TLS != nil
	c.SourceIP = r.RemoteAddr
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		c.SourceIP = host
	}
	return c
}

// record writes the request's line in the log.
func (g *Gateway) record(r *http.Request, x *exchange, a answer) {
	level, message := slog.LevelDebug, "request"
	switch {
	case r.Context().Err() != nil:
		message = "client went away"
	case a.status == http.StatusInternalServerError:
		level, message = slog.LevelError, "request failed"
	case a.err != nil && x.call.Caller.AccessKeyID == "":
		level, message = slog.LevelInfo, "request refused"
	}
	if !g.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("id", x.id), slog.String("service", x.wire.Name), slog.String("operation", x.op),
		slog.String("region", string(x.call.Caller.Region)), slog.String("caller", x.call.Caller.ARN),
		slog.String("from", r.RemoteAddr), slog.Int("status", a.status), slog.Duration("took", time.Since(x.start)),
	}
	if a.err != nil {
		attrs = append(attrs, slog.String("code", a.code))
	}
	if level != slog.LevelDebug {
		// A service's own words may quote parameters; these causes do not.
		attrs = append(attrs, slog.Any("err", a.err))
	}
	g.log.LogAttrs(context.WithoutCancel(r.Context()), level, message, attrs...)
}
