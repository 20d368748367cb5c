package identity

import (
	"encoding/base64"
	"sort"
)

// defaultPage is how many items a list answers with unless told otherwise.
const defaultPage = 100

// A page is what a caller wants to see of a list.
type page struct {
	after string // the key of the last item of the page before
	limit int
}

// newPage reads the Marker and MaxItems of a request.
func newPage(marker *string, items *int32) (page, error) {
	p := page{limit: defaultPage}
	if items != nil {
		p.limit = int(*items)
	}
	if p.limit < 1 || p.limit > 1000 {
		return page{}, validationError("1 validation error detected: Value '%d' at 'maxItems' failed to satisfy constraint: Member must have value between 1 and 1000", p.limit)
	}
	if marker != nil {
		after, err := base64.URLEncoding.DecodeString(*marker)
		if err != nil || len(after) == 0 {
			return page{}, validationError("Invalid Marker.")
		}
		p.after = string(after)
	}
	return p, nil
}

// cut is the page's part of items, which are ordered by key, and where the next
// page begins; nil if this is the last one. Items up to p.after may be there or
// may have been left out.
func cut[T any](p page, items []T, key func(T) string) ([]T, *string) {
	items = items[sort.Search(len(items), func(i int) bool { return p.after == "" || key(items[i]) > p.after }):]
	if len(items) <= p.limit {
		return items, nil
	}
	return items[:p.limit], new(base64.URLEncoding.EncodeToString([]byte(key(items[p.limit-1]))))
}
