package sigv4_test

import (
	"bufio"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"borealis/internal/sigv4"
)

// The credentials, scope and time that AWS's published Signature Version 4 test
// suite signs with.
const (
	suiteID     = "AKIDEXAMPLE"
	suiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	suiteScope  = "/20150830/us-east-1/service/aws4_request"
)

var suiteTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

const unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// suite are the requests of AWS's test suite and the signatures it gives for
// them. Of its cases only the folded header is missing: net/http joins the lines
// with a space where the suite wants a comma, and no SDK folds.
var suite = []struct {
	name, method, target string
	headers              []string
	body                 string
	signed               string // besides host and x-amz-date
	signature            string
}{
	{name: "get-vanilla", target: "/", signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{name: "get-header-key-duplicate", target: "/", headers: []string{"My-Header1:value2", "My-Header1:value2", "My-Header1:value1"}, signed: "my-header1", signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
	{name: "get-header-value-order", target: "/", headers: []string{"My-Header1:value4", "My-Header1:value1", "My-Header1:value3", "My-Header1:value2"}, signed: "my-header1", signature: "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
	{name: "get-header-value-trim", target: "/", headers: []string{"My-Header1: value1", `My-Header2: "a   b   c"`}, signed: "my-header1;my-header2", signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
	{name: "get-unreserved", target: "/" + unreserved, signature: "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
	{name: "get-utf8", target: "/ሴ", signature: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
	{name: "get-vanilla-empty-query-key", target: "/?Param1=value1", signature: "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
	{name: "get-vanilla-query-order-key-case", target: "/?Param2=value2&Param1=value1", signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
	{name: "get-vanilla-query-order-key", target: "/?Param1=value2&Param1=Value1", signature: "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
	{name: "get-vanilla-query-order-value", target: "/?Param1=value2&Param1=value1", signature: "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
	{name: "get-vanilla-query-unreserved", target: "/?" + unreserved + "=" + unreserved, signature: "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
	{name: "get-vanilla-utf8-query", target: "/?ሴ=bar", signature: "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
	{name: "get-relative-relative", target: "/example1/example2/../..", signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{name: "get-relative", target: "/example/..", signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{name: "get-slash-dot-slash", target: "/./", signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{name: "get-slash-pointless-dot", target: "/./example", signature: "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
	{name: "get-slash", target: "//", signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{name: "get-slashes", target: "//example//", signature: "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
	{name: "get-space", target: "/example space/", signature: "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
	{name: "post-vanilla", method: "POST", target: "/", signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{name: "post-header-key-sort", method: "POST", target: "/", headers: []string{"My-Header1:value1"}, signed: "my-header1", signature: "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
	{name: "post-header-value-case", method: "POST", target: "/", headers: []string{"My-Header1:VALUE1"}, signed: "my-header1", signature: "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
	{name: "post-sts-header-after", method: "POST", target: "/", headers: []string{"X-Amz-Security-Token: added-after-signing"}, signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{name: "post-sts-header-before", method: "POST", target: "/", headers: []string{"X-Amz-Security-Token:" + suiteToken}, signed: "x-amz-security-token", signature: "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
	{name: "post-vanilla-query", method: "POST", target: "/?Param1=value1", signature: "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
	{name: "post-x-www-form-urlencoded-parameters", method: "POST", target: "/", headers: []string{"Content-Type:application/x-www-form-urlencoded; charset=utf8", "Content-Length:13"}, body: "Param1=value1", signed: "content-type", signature: "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
	{name: "post-x-www-form-urlencoded", method: "POST", target: "/", headers: []string{"Content-Type:application/x-www-form-urlencoded", "Content-Length:13"}, body: "Param1=value1", signed: "content-type", signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
}

const suiteToken = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

func TestAWSTestSuite(t *testing.T) {
	v := sigv4.New(anyToken{suiteID: suiteSecret})
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) {
			r := suiteRequest(t, c.method, c.target, c.headers, c.body, c.signed, c.signature)
			got, err := v.Verify(r, []byte(c.body), suiteTime)
			if err != nil || got.Service != "service" || got.Region != "us-east-1" {
				t.Errorf("Verify: %+v, %v", got, err)
			}
			wrong := c.signature[1:] + c.signature[:1]
			r = suiteRequest(t, c.method, c.target, c.headers, c.body, c.signed, wrong)
			if _, err := v.Verify(r, []byte(c.body), suiteTime); err == nil {
				t.Error("a wrong signature was accepted")
			}
		})
	}
}

// suiteRequest parses the request as net/http's server would.
func suiteRequest(t *testing.T, method, target string, headers []string, body, signed, signature string) *http.Request {
	t.Helper()
	if method == "" {
		method = http.MethodGet
	}
	names := append(strings.FieldsFunc(signed, func(r rune) bool { return r == ';' }), "host", "x-amz-date")
	slices.Sort(names)
	text := method + " " + strings.ReplaceAll(target, " ", "_") + " HTTP/1.1\r\nHost:example.amazonaws.com\r\nX-Amz-Date:20150830T123600Z\r\n"
	for _, h := range headers {
		text += h + "\r\n"
	}
	text += "Authorization: AWS4-HMAC-SHA256 Credential=" + suiteID + suiteScope + ", SignedHeaders=" + strings.Join(names, ";") + ", Signature=" + signature + "\r\n\r\n" + body
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		t.Fatal(err)
	}
	r.RequestURI = target // net/http refuses the space that one case has
	return r
}
