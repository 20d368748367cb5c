package organizations

import (
	"encoding/base64"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
)

// pageSize is how many items a list answers with at most, also if nobody says.
const pageSize = 20

// A page is what a caller wants to see of a list.
type page struct {
	list  string // what is listed: a token is good for no other list
	after string // the id of the last item of the page before
	limit int
}

// newPage reads the NextToken and MaxResults of a request.
func newPage(list string, token *string, limit *int32) (page, error) {
	p := page{list: list, limit: pageSize}
	if limit != nil {
		p.limit = min(int(*limit), pageSize)
	}
	if token == nil {
		return p, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(*token)
	l, after, ok := strings.Cut(string(text), "\x00")
	if err != nil || !ok || l != list || after == "" {
		return p, invalidInput(types.InvalidInputExceptionReasonInvalidPaginationToken, "You specified a value for NextToken that is not of this list.")
	}
	p.after = after
	return p, nil
}

// cut is what the page shows of items, of which one more was asked for than it
// has room for, and the token of the next page; nil if this is the last one.
func cut[T any](p page, items []T, id func(T) string) ([]T, *string) {
	if len(items) <= p.limit {
		return items, nil
	}
	items = items[:p.limit]
	return items, new(base64.RawURLEncoding.EncodeToString([]byte(p.list + "\x00" + id(items[p.limit-1]))))
}
