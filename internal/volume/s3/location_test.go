package s3_test

import (
	"testing"

	"borealis/internal/volume/s3"
)

func TestLocations(t *testing.T) {
	for text, want := range map[string]s3.Location{
		"s3://b":                                {Bucket: "b"},
		"s3://b/":                               {Bucket: "b"},
		"s3://b/p/q/":                           {Bucket: "b", Prefix: "p/q"},
		"s3://b/p?endpoint=http://h:1&region=r": {Bucket: "b", Prefix: "p", Endpoint: "http://h:1", Region: "r", PathStyle: true},
		"s3://b/p?path-style=false&endpoint=https://h":     {Bucket: "b", Prefix: "p", Endpoint: "https://h"},
		"s3://b/p?profile=me&path-style=true":              {Bucket: "b", Prefix: "p", Profile: "me", PathStyle: true},
		"s3://b/p?endpoint=http%3A%2F%2F%5B%3A%3A1%5D%3A9": {Bucket: "b", Prefix: "p", Endpoint: "http://[::1]:9", PathStyle: true},
	} {
		got, err := s3.ParseLocation(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if again, err := s3.ParseLocation(got.String()); err != nil || again != got {
			t.Errorf("%s read back: %+v, %v", got, again, err)
		}
	}
	for _, text := range []string{"", "b", "/b", "file:///b", "s3:", "s3://", "s3:///p", "s3://b:9/p", "s3://key:secret@b/p",
		"s3://b/p?endpoint=h:1", "s3://b/p?endpoint=ftp://h", "s3://b/p?path-style=maybe", "s3://b/p?colour=red",
		"s3://b/../p", "s3://b/a//b", "s3://b/.x", "s3://b/p#f", "s3://b/p?%zz", "s3://b/p q"} {
		if l, err := s3.ParseLocation(text); err == nil {
			t.Errorf("%q is taken for %+v", text, l)
		}
	}
}

func FuzzParseLocation(f *testing.F) {
	f.Add("s3://bucket/prefix?endpoint=http://127.0.0.1:7070&region=us-east-1&path-style=true&profile=me")
	f.Add("s3://b/p/q/")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := s3.ParseLocation(text)
		if err != nil {
			return
		}
		if again, err := s3.ParseLocation(l.String()); err != nil || again != l {
			t.Errorf("%q: %+v is written %q and read back as %+v, %v", text, l, l, again, err)
		}
	})
}
