package s3

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// A Location says where a store is. Its text form is a URL:
//
//	s3://BUCKET/PREFIX?endpoint=URL&region=REGION&path-style=true&profile=NAME
type Location struct {
	Bucket string
	Prefix string // of every key, without slashes at its ends; may be empty
	// Endpoint is the URL of the S3 server; where it is empty, AWS's SDK finds it.
	Endpoint string
	// Region is the bucket's. If it is empty the SDK finds it, or S3 says it.
	Region string
	// PathStyle has the bucket in URLs' paths instead of their host names. It is
	// the default where there is an Endpoint.
	PathStyle bool
	// Profile is the AWS profile of the credentials, the SDK's default if empty.
	Profile string
}

// ParseLocation reads the text form of a Location.
func ParseLocation(text string) (Location, error) {
	l, err := parseLocation(text)
	if err != nil {
		return Location{}, fmt.Errorf("%q is no place for snapshots: %w; give s3://BUCKET/PREFIX, with ?endpoint=URL&region=REGION&path-style=true&profile=NAME as needed", text, err)
	}
	return l, nil
}

func parseLocation(text string) (l Location, err error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return l, fmt.Errorf("it is not a URL")
	case u.Scheme != "s3":
		return l, fmt.Errorf("it does not begin with s3://")
	case u.User != nil:
		return l, fmt.Errorf("credentials do not belong there, but in the environment or a profile")
	case u.Host == "" || u.Port() != "" || u.Fragment != "":
		return l, fmt.Errorf("it does not name a bucket")
	}
	l = Location{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	if l.Prefix != "" && !validName(l.Prefix) {
		return l, fmt.Errorf("a prefix is made of letters, digits, '-', '_', '.' and '/', and no part of it starts with '.'")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return l, fmt.Errorf("what follows '?' cannot be read")
	}
	l.PathStyle = query.Get("endpoint") != ""
	for key, values := range query {
		if err := l.set(key, values[len(values)-1]); err != nil {
			return l, err
		}
	}
	return l, nil
}

// set sets one option of the URL.
func (l *Location) set(key, value string) (err error) {
	switch key {
	case "endpoint":
		e, err := url.Parse(value)
		if err != nil || e.Host == "" || (e.Scheme != "http" && e.Scheme != "https") {
			return fmt.Errorf("its endpoint %q is not an http or https URL", value)
		}
		l.Endpoint = value
	case "region":
		l.Region = value
	case "profile":
		l.Profile = value
	case "path-style":
		if l.PathStyle, err = strconv.ParseBool(value); err != nil {
			return fmt.Errorf("path-style is true or false")
		}
	default:
		return fmt.Errorf("there is no option %q", key)
	}
	return nil
}

// Name is the Location without its options: what it is called in messages.
func (l Location) Name() string {
	name := "s3://" + l.Bucket
	if l.Prefix != "" {
		name += "/" + l.Prefix
	}
	return name
}

// String is the text form, which ParseLocation reads back.
func (l Location) String() string {
	query := url.Values{}
	for key, value := range map[string]string{"endpoint": l.Endpoint, "region": l.Region, "profile": l.Profile} {
		if value != "" {
			query.Set(key, value)
		}
	}
	if l.PathStyle != (l.Endpoint != "") {
		query.Set("path-style", strconv.FormatBool(l.PathStyle))
	}
	if len(query) == 0 {
		return l.Name()
	}
	return l.Name() + "?" + query.Encode()
}
