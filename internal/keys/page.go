package keys

import (
	"encoding/base64"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// A page says which part of a list is asked for.
type page struct {
	list  string // what is listed, of which key, so that a marker fits one list only
	after string // where the page before ended
	limit int
}

// newPage reads the parameters of a list operation. A limit above most is taken
// for most.
func newPage(list string, limit *int32, marker *string, usual, most int) (page, error) {
	p := page{list: list, limit: usual}
	if limit != nil {
		if *limit < 1 {
			return page{}, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1", *limit)
		}
		p.limit = min(int(*limit), most)
	}
	if marker == nil {
		return p, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(*marker)
	after, ok := strings.CutPrefix(string(text), list+"\x00")
	if err != nil || !ok {
		return page{}, &types.InvalidMarkerException{}
	}
	p.after = after
	return p, nil
}

// cut takes the page off a list that starts where it starts, and that goes on
// for one element more if there is another page. The marker is nil if there is
// none.
func cut[T any](p page, list []T, id func(T) string) ([]T, *string) {
	if len(list) <= p.limit {
		return list, nil
	}
	list = list[:p.limit]
	return list, new(base64.RawURLEncoding.EncodeToString([]byte(p.list + "\x00" + id(list[len(list)-1]))))
}

// from skips what is not after the page's start, in a list sorted by id.
func from[T any](p page, list []T, id func(T) string) []T {
	for i, e := range list {
		if id(e) > p.after {
			return list[i:]
		}
	}
	return nil
}
