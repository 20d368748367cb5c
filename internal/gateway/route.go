package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"borealis/internal/sigv4"
	"borealis/internal/wire"
)

// small is the size of bodies that are read into memory used again. Nothing of
// an input shares memory with them.
const small = 8 << 10

var buffers = sync.Pool{New: func() any { return new([small]byte) }}

// read reads the request's body, into buf if there is room, or refuses its
// method or size.
func read(w http.ResponseWriter, r *http.Request, buf []byte) ([]byte, error) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return nil, errMethod
	}
	switch n := r.ContentLength; {
	case n > MaxBody:
		return nil, errTooLarge
	case n >= 0 && n <= int64(len(buf)):
		if _, err := io.ReadFull(r.Body, buf[:n]); err != nil {
			return nil, errTruncated
		}
		return buf[:n], nil
	}
	var b bytes.Buffer
	if r.ContentLength > 0 { // of which little is believed before it is there
		b.Grow(min(int(r.ContentLength), 16<<10) + bytes.MinRead)
	}
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, MaxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, errTruncated
	}
	return b.Bytes(), nil
}

// speaks guesses from the request's looks, before anything of it is proved, in
// which service's words to turn it away.
func (g *Gateway) speaks(r *http.Request) *wire.Service {
	claimed, known := g.services[sigv4.Claimed(r)]
	json := r.Header.Get("X-Amz-Target") != ""
	switch {
	case known && (!json || claimed.wire.Protocol == wire.JSON):
		return claimed.wire
	case json, strings.Contains(r.Header.Get("Content-Type"), "x-amz-json"):
		return wire.KMS
	}
	return wire.STS
}

// route finds the service that the request is signed for and the operation that
// it names, and the parameters to decode.
func (g *Gateway) route(r *http.Request, name string, body []byte) (Service, string, []byte, error) {
	s, ok := g.services[name]
	if !ok {
		return Service{}, "", nil, wrongService("")
	}
	target := r.Header.Get("X-Amz-Target")
	if prefix, op := cutTarget(target); target != "" {
		if s.wire.Protocol == wire.JSON && isTarget(prefix, s.wire) {
			op, err := jsonOperation(r, s.wire, op)
			return s, op, body, err
		}
		for _, other := range g.services {
			if other.wire.Protocol == wire.JSON && isTarget(prefix, other.wire) {
				return Service{}, "", nil, wrongService(other.wire.Name)
			}
		}
		return Service{}, "", nil, errUnknownOperation
	}
	if s.wire.Protocol == wire.JSON {
		return Service{}, "", nil, errUnknownOperation
	}
	form := parameters(r.URL.RawQuery, body)
	op, err := queryOperation(s.wire, form)
	return s, op, form, err
}

// cutTarget is an X-Amz-Target: what stands for the service, and the operation.
func cutTarget(target string) (prefix, op string) {
	i := strings.LastIndexByte(target, '.')
	if i < 0 {
		return target, ""
	}
	return target[:i], target[i+1:]
}

// isTarget says whether prefix stands for w. Of a name with dots some clients
// send the last part alone.
func isTarget(prefix string, w *wire.Service) bool {
	return prefix == w.Target || prefix != "" && strings.HasSuffix(w.Target, "."+prefix)
}

func jsonOperation(r *http.Request, w *wire.Service, op string) (string, error) {
	if r.Method != http.MethodPost {
		return "", errOnlyPost
	}
	if _, ok := w.Operation(op); !ok {
		return "", w.UnknownOperation(op)
	}
	return op, nil
}

// queryOperation is the Action of a request to a query service, which must be of
// the Version that the service has.
func queryOperation(w *wire.Service, form []byte) (string, error) {
	action, version := wire.Action(form), versionOf(form)
	if action == "" {
		return "", errMissingAction
	}
	if _, ok := w.Operation(action); !ok || version != w.Version {
		return "", unknownAction(action, version)
	}
	return action, nil
}

// parameters are the request's parameters: those of the query string and those
// of the body.
func parameters(query string, body []byte) []byte {
	switch {
	case query == "":
		return body
	case len(body) == 0:
		return []byte(query)
	}
	return slices.Concat([]byte(query), []byte{'&'}, body)
}

// versionOf is the API version that a form names.
func versionOf(form []byte) string {
	for part := range bytes.SplitSeq(form, []byte{'&'}) {
		if value, ok := bytes.CutPrefix(part, []byte("Version=")); ok {
			return string(value)
		}
	}
	return ""
}

// unsignedRegion is where requests are made that no signature names a Region of:
// AWS's global endpoint of STS is there.
const unsignedRegion = "us-east-1"

// unsigned says whether a request without a signature asks for an operation that
// needs none. All of those are STS's.
func (g *Gateway) unsigned(r *http.Request, body []byte) bool {
	s, ok := g.services["sts"]
	return ok && r.Header.Get("X-Amz-Target") == "" && s.unsigned(wire.Action(parameters(r.URL.RawQuery, body)))
}
