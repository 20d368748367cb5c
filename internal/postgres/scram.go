package postgres

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
)

// scramIterations is PostgreSQL's own count.
const scramIterations = 4096

var verifierText = regexp.MustCompile(`^SCRAM-SHA-256\$[1-9][0-9]*:[A-Za-z0-9+/]+=*\$[A-Za-z0-9+/]+=*:[A-Za-z0-9+/]+=*$`)

// ScramVerifier makes what a PostgreSQL server keeps in place of a password: it
// lets the server check the password, and nobody log in. A new salt makes it
// another one at every call. The password must not be empty.
func ScramVerifier(password string) (string, error) {
	if password == "" {
		return "", errors.New("the password is empty")
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	salted, err := pbkdf2.Key(sha256.New, normalize(password), salt, scramIterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive verifier: %w", err)
	}
	stored := sha256.Sum256(sign(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramIterations, b64(salt), b64(stored[:]), b64(sign(salted, "Server Key"))), nil
}

func sign(key []byte, message string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(message))
	return m.Sum(nil)
}

// normalize prepares a password as PostgreSQL does on both ends: SASLprep (RFC
// 4013), or unchanged where that refuses it. Code points that Unicode 3.2 did
// not know are taken as they are.
func normalize(password string) string {
	if !utf8.ValidString(password) {
		return password
	}
	mapped := strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(mappedToNothing, r):
			return -1
		case r == 0x200B, r != ' ' && unicode.Is(unicode.Zs, r):
			return ' '
		}
		return r
	}, password)
	s := norm.NFKC.String(mapped)
	if s == "" || strings.ContainsFunc(s, prohibited) || !directed(s) {
		return password
	}
	return s
}

// mappedToNothing is table B.1 of RFC 3454.
var mappedToNothing = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: 0x00AD, Hi: 0x00AD, Stride: 1}, {Lo: 0x034F, Hi: 0x034F, Stride: 1},
	{Lo: 0x1806, Hi: 0x1806, Stride: 1}, {Lo: 0x180B, Hi: 0x180D, Stride: 1},
	{Lo: 0x200C, Hi: 0x200D, Stride: 1}, {Lo: 0x2060, Hi: 0x2060, Stride: 1},
	{Lo: 0xFE00, Hi: 0xFE0F, Stride: 1}, {Lo: 0xFEFF, Hi: 0xFEFF, Stride: 1},
}}

// prohibited reports whether SASLprep refuses r: tables C.2 to C.9 of RFC 3454.
func prohibited(r rune) bool {
	switch {
	case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Co, r), unicode.Is(unicode.Noncharacter_Code_Point, r):
		return true
	case r == 0x06DD, r == 0x070F, r == 0x180E, r == 0x2028, r == 0x2029:
		return true
	case r >= 0x2061 && r <= 0x2063, r >= 0x206A && r <= 0x206F, r >= 0x1D173 && r <= 0x1D17A:
		return true
	case r >= 0xFFF9 && r <= 0xFFFD, r >= 0x2FF0 && r <= 0x2FFB:
		return true
	case r == 0x0340, r == 0x0341, r == 0x200E, r == 0x200F, r >= 0x202A && r <= 0x202E:
		return true
	}
	return r == 0xE0001 || r >= 0xE0020 && r <= 0xE007F
}

// directed reports whether s keeps the rule of RFC 3454, section 6: text with a
// right-to-left letter has no left-to-right one, and begins and ends with one.
func directed(s string) bool {
	first, last, left := false, false, false
	anyRight := false
	for i, r := range s {
		p, _ := bidi.LookupRune(r)
		right := p.Class() == bidi.R || p.Class() == bidi.AL
		left = left || p.Class() == bidi.L
		anyRight = anyRight || right
		if i == 0 {
			first = right
		}
		last = right
	}
	return !anyRight || first && last && !left
}
