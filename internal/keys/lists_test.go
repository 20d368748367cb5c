package keys_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/keys"
)

// A listing is a list operation with more elements than its largest page has, if
// there can be so many.
type listing struct {
	in, other   any // other asks for another list of the same operation, or is nil
	total       int
	usual, most int // elements on a page without Limit, and with the greatest
}

// listings makes what every list operation lists.
func (w *world) listings(ann *person) map[string]listing {
	w.t.Helper()
	ctx := w.t.Context()
	app, sue := w.person(home, "role/app").caller.Principal, w.person(home, "user/sue").caller.ARN
	var tags []types.Tag
	for i := range 50 {
		tags = append(tags, types.Tag{TagKey: new(fmt.Sprint("tag ", i)), TagValue: new("")})
	}
	key := must(ann.CreateKey(ctx, &kms.CreateKeyInput{Tags: tags}))(w.t).KeyMetadata.Arn
	other := must(ann.CreateKey(ctx, &kms.CreateKeyInput{Tags: tags[:2]}))(w.t).KeyMetadata.Arn
	for _, k := range []*string{key, other} {
		for i := range 2 {
			ann.may("rotate", ann.rotate(k))
			for _, retiring := range []*string{&app, &sue} {
				in := grantTo(k, app, "Decrypt")
				in.RetiringPrincipal = retiring
				ann.grant(in)
			}
			ann.may("name", ann.alias(fmt.Sprintf("alias/%s-%d", (*k)[len(*k)-12:], i), k))
		}
	}
	for i := range 10 {
		ann.create(externalStore(fmt.Sprint("store ", i), fmt.Sprintf("https://s%d.example.com", i)))
	}
	id := strings.Split(*key, "/")[1]
	w.fill(`INSERT INTO kms_keys (account, region, id, version, body) `+numbers+
		`SELECT account, region, printf('00000000-0000-4000-8000-%012d', n), version, body FROM kms_keys, numbers WHERE id = $2`, 999, id)
	w.fill(`INSERT INTO kms_aliases (account, region, name, key_id, created, updated) `+numbers+
		`SELECT account, region, printf('alias/more-%d', n), key_id, created, updated FROM (SELECT * FROM kms_aliases LIMIT 1), numbers`, 97)
	w.fill(`INSERT INTO kms_grants (account, region, key_id, id, name, retiring, body) `+numbers+
		`SELECT account, region, key_id, printf('%064x', n), name, retiring, body
		FROM (SELECT * FROM kms_grants WHERE key_id = $2 AND body LIKE '%' || retiring || '%' || retiring || '%' LIMIT 1), numbers`, 97, id)
	w.fill(`INSERT INTO kms_materials (account, region, key_id, id, place, created, body) `+numbers+
		`SELECT account, region, key_id, printf('%064x', n), 2 + n, created, body FROM (SELECT * FROM kms_materials WHERE key_id = $2 AND place = 2), numbers`, 999, id)
	return map[string]listing{
		"ListKeys":                {&kms.ListKeysInput{}, nil, 1001, 100, 1000},
		"ListAliases":             {&kms.ListAliasesInput{}, &kms.ListAliasesInput{KeyId: other}, 101, 50, 100},
		"ListGrants":              {&kms.ListGrantsInput{KeyId: key}, &kms.ListGrantsInput{KeyId: other}, 101, 50, 100},
		"ListRetirableGrants":     {&kms.ListRetirableGrantsInput{RetiringPrincipal: &app}, &kms.ListRetirableGrantsInput{RetiringPrincipal: &sue}, 101, 50, 100},
		"ListKeyPolicies":         {&kms.ListKeyPoliciesInput{KeyId: key}, &kms.ListKeyPoliciesInput{KeyId: other}, 1, 100, 1000},
		"ListResourceTags":        {&kms.ListResourceTagsInput{KeyId: key}, &kms.ListResourceTagsInput{KeyId: other}, 50, 50, 50},
		"ListKeyRotations":        {&kms.ListKeyRotationsInput{KeyId: key}, &kms.ListKeyRotationsInput{KeyId: other}, 1001, 100, 1000},
		"DescribeCustomKeyStores": {&kms.DescribeCustomKeyStoresInput{}, nil, 10, 100, 1000},
	}
}

// A listed page is what a list operation answers.
type listed struct {
	elements []string // in JSON
	next     *string
}

// list asks for a page of a list.
func (p *person) list(operation string, in any, limit int32, marker *string) (listed, error) {
	p.w.t.Helper()
	asked := reflect.New(reflect.TypeOf(in).Elem())
	asked.Elem().Set(reflect.ValueOf(in).Elem())
	if limit > 0 {
		asked.Elem().FieldByName("Limit").Set(reflect.ValueOf(&limit))
	}
	asked.Elem().FieldByName("Marker").Set(reflect.ValueOf(marker))
	answer, err := keys.Ops[operation].Run(p.w.t.Context(), p.View, asked.Interface())
	if err != nil {
		return listed{}, err
	}
	var l listed
	out := reflect.ValueOf(answer).Elem()
	l.next, _ = out.FieldByName("NextMarker").Interface().(*string)
	if out.FieldByName("Truncated").Bool() != (l.next != nil) {
		p.w.t.Errorf("%s: Truncated is %v, NextMarker %v", operation, out.FieldByName("Truncated"), l.next)
	}
	for i := range out.NumField() {
		if f := out.Field(i); f.Kind() == reflect.Slice {
			for j := range f.Len() {
				l.elements = append(l.elements, string(must(json.Marshal(f.Index(j).Interface()))(p.w.t)))
			}
		}
	}
	return l, nil
}

// walk is a whole list, by pages of this size, and how many elements each had.
func (p *person) walk(operation string, in any, limit int32) (all []string, sizes []int) {
	p.w.t.Helper()
	for marker, more := (*string)(nil), true; more; more = marker != nil {
		l := must(p.list(operation, in, limit, marker))(p.w.t)
		all, sizes, marker = append(all, l.elements...), append(sizes, len(l.elements)), l.next
	}
	return all, sizes
}

// pages are the sizes of n elements' pages of this size.
func pages(n, size int) (sizes []int) {
	for ; n > size; n -= size {
		sizes = append(sizes, size)
	}
	return append(sizes, n)
}

// Every list operation has AWS's pages, all of them together are the list, and no
// marker is good for anything but the list that it came from.
func TestLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	lists := w.listings(ann)
	ann = ann.again()
	markers := map[string]*string{"nothing": new("nothing"), "AAAA": new("AAAA"), "another encoding": new(base64.StdEncoding.EncodeToString([]byte("keys\x00")))}
	for name := range keys.Ops {
		if _, ok := reflect.TypeOf(keys.Ops[name].New()).Elem().FieldByName("Marker"); ok && lists[name].in == nil {
			t.Errorf("%s is not in this test", name)
		}
	}
	for name, l := range lists {
		t.Run(name, func(t *testing.T) {
			whole, sizes := ann.walk(name, l.in, 0)
			if want := pages(l.total, l.usual); !slices.Equal(sizes, want) {
				t.Errorf("pages of %v, want %v", sizes, want)
			}
			for _, size := range []int{1, 7, l.most} {
				all, sizes := ann.walk(name, l.in, int32(size))
				if want := pages(l.total, size); !slices.Equal(sizes, want) {
					t.Errorf("Limit %d: pages of %v, want %v", size, sizes, want)
				}
				if !slices.Equal(all, whole) {
					t.Errorf("Limit %d: another list", size)
				}
			}
			if len(slices.Compact(slices.Sorted(slices.Values(whole)))) != l.total {
				t.Error("an element is listed twice")
			}
			if first := must(ann.list(name, l.in, 1000, nil))(t); len(first.elements) != min(l.most, l.total) {
				t.Errorf("Limit 1000: %d elements", len(first.elements))
			}
			markers[name] = must(ann.list(name, l.in, 1, nil))(t).next
			if l.other != nil {
				markers["other "+name] = must(ann.list(name, l.other, 1, nil))(t).next
			}
		})
	}
	for name, l := range lists {
		for of, marker := range markers {
			if of == name || marker == nil {
				continue
			}
			_, err := ann.list(name, l.in, 0, marker)
			if got := said(err); got != "InvalidMarkerException" {
				t.Errorf("%s with the marker of %s: %s", name, of, got)
			}
		}
	}
}
