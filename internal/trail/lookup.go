package trail

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"borealis/internal/audit"
)

const (
	// history is how far back events are looked up.
	history = 90 * 24 * time.Hour
	// pageSize is how many events a page has at most.
	pageSize = 50
	// budget is how many bytes of the log a request reads. What is not found in
	// them is looked for by the next one: the page has a token then, and may be
	// empty.
	budget = 256 << 20
)

// LookupEvents finds events of the caller's account and Region, newest first.
func (v *View) LookupEvents(ctx context.Context, in *cloudtrail.LookupEventsInput) (*cloudtrail.LookupEventsOutput, error) {
	if err := v.authorize(ctx, "cloudtrail:LookupEvents"); err != nil {
		return nil, err
	}
	q, err := v.query(in)
	if err != nil {
		return nil, err
	}
	if in.EventCategory == types.EventCategoryInsight { // of which there are none
		return &cloudtrail.LookupEventsOutput{Events: []types.Event{}}, nil
	}
	done, err := v.turn(ctx, v.caller.Account)
	if err != nil {
		return nil, err
	}
	defer done()
	return v.page(ctx, q)
}

// A query is what a request looks for.
type query struct {
	key, value string // an attribute; key "" for none
	filter     audit.Filter
	from       audit.Position // of the last event of the page before
	about      string         // stands for what is asked
	size       int
}

func (v *View) query(in *cloudtrail.LookupEventsInput) (query, error) {
	now := v.Now()
	q := query{size: pageSize, filter: audit.Filter{Account: v.caller.Account, Since: now.Add(-history)}}
	if in.MaxResults != nil {
		q.size = int(*in.MaxResults)
	}
	if q.size < 1 || q.size > pageSize {
		return q, &types.InvalidMaxResultsException{Message: new(fmt.Sprintf("MaxResults is between 1 and %d.", pageSize))}
	}
	switch len(in.LookupAttributes) {
	case 0:
	case 1:
		a := in.LookupAttributes[0]
		q.key, q.value = string(a.AttributeKey), *a.AttributeValue
	default:
		return q, &types.InvalidLookupAttributesException{Message: new("A request looks for one attribute at most.")}
	}
	if in.StartTime != nil && in.StartTime.After(q.filter.Since) {
		q.filter.Since = *in.StartTime
	}
	if in.EndTime != nil {
		q.filter.Until = *in.EndTime
		if in.StartTime != nil && in.EndTime.Before(*in.StartTime) {
			return q, &types.InvalidTimeRangeException{Message: new("The end time is before the start time.")}
		}
	}
	q.narrow()
	q.about = q.sum(in)
	if in.NextToken != nil {
		from, ok := readToken(*in.NextToken, q.about)
		if !ok {
			return q, &types.InvalidNextTokenException{Message: new("The token is not one of this server's, or was given for other parameters.")}
		}
		q.from = from
	}
	return q, nil
}

// narrow lets the log skip what cannot match.
func (q *query) narrow() {
	switch q.key {
	case "EventId":
		q.filter.EventID = q.value
	case "EventName", "AccessKeyId", "EventSource", "ResourceName":
		q.filter.Texts = []string{q.value}
	}
}

// sum stands for what a token is good for: requests that ask the same.
func (q *query) sum(in *cloudtrail.LookupEventsInput) string {
	at := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{string(q.filter.Account), q.key, q.value, at(in.StartTime), at(in.EndTime)}, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// page reads the events of one page.
func (v *View) page(ctx context.Context, q query) (*cloudtrail.LookupEventsOutput, error) {
	r, err := v.Log.Read()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	r.Budget = budget
	out := &cloudtrail.LookupEventsOutput{Events: []types.Event{}}
	if q.from != (audit.Position{}) {
		if err := r.Before(q.from); errors.Is(err, audit.ErrGone) {
			return out, nil // and so is everything older
		} else if err != nil {
			return nil, err
		}
	}
	var last audit.Position
	for ctx.Err() == nil {
		e, at, err := r.Next(&q.filter)
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case errors.Is(err, audit.ErrPaused):
			return out, q.more(out, at)
		case err != nil:
			return nil, err
		case e.Region != string(v.caller.Region):
			continue
		}
		event, err := v.event(e)
		if err != nil {
			return nil, err
		}
		if !q.matches(event) {
			continue
		}
		if len(out.Events) == q.size {
			return out, q.more(out, last)
		}
		out.Events, last = append(out.Events, event), at
	}
	return nil, context.Cause(ctx)
}

// more gives out the token of the page that goes on before at.
func (q *query) more(out *cloudtrail.LookupEventsOutput, at audit.Position) error {
	b, err := json.Marshal(token{File: at.File, Offset: at.Offset, About: q.about})
	out.NextToken = new(base64.RawURLEncoding.EncodeToString(b))
	return err
}

// matches says whether an event has the attribute that q looks for.
func (q *query) matches(e types.Event) bool {
	is := func(s *string) bool { return s != nil && *s == q.value }
	switch q.key {
	case "EventId":
		return is(e.EventId)
	case "EventName":
		return is(e.EventName)
	case "ReadOnly":
		return is(e.ReadOnly)
	case "Username":
		return is(e.Username)
	case "EventSource":
		return is(e.EventSource)
	case "AccessKeyId":
		return is(e.AccessKeyId)
	case "ResourceType", "ResourceName":
		for _, r := range e.Resources {
			if q.key == "ResourceType" && is(r.ResourceType) || q.key == "ResourceName" && is(r.ResourceName) {
				return true
			}
		}
		return false
	}
	return true
}

// A token says where the next page begins.
type token struct {
	File   string `json:"f"`
	Offset int64  `json:"o"`
	About  string `json:"a"`
}

func readToken(s, about string) (audit.Position, bool) {
	var t token
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || json.Unmarshal(b, &t) != nil || t.About != about || t.File == "" || t.Offset < 0 {
		return audit.Position{}, false
	}
	return audit.Position{File: t.File, Offset: t.Offset}, true
}
