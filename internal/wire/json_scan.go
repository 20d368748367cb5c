package wire

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxJSONDepth is how deep values may nest, known or not.
const maxJSONDepth = 64

// A scanner reads JSON from the front, strictly by RFC 8259. What is not JSON
// is errJSON.
type scanner struct {
	text  []byte
	at    int
	depth int
	buf   []byte // of strings with escapes
}

// next skips white space and is the byte after it, 0 at the end.
func (s *scanner) next() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// take skips white space and the byte c, if that comes next.
func (s *scanner) take(c byte) bool {
	if s.next() != c || c == 0 {
		return false
	}
	s.at++
	return true
}

// word skips a literal.
func (s *scanner) word(w string) error {
	if len(s.text)-s.at < len(w) || string(s.text[s.at:s.at+len(w)]) != w {
		return errJSON
	}
	s.at += len(w)
	return nil
}

// each calls fn at every element of the list or object that comes next, whose
// opening byte has been seen but not taken. In an object the name comes as key,
// which is valid until the scanner moves.
func (s *scanner) each(fn func(key []byte) error) error {
	object := s.text[s.at] == '{'
	end := byte(']')
	if object {
		end = '}'
	}
	s.at++
	if s.depth++; s.depth > maxJSONDepth {
		return errJSON
	}
	if s.take(end) {
		s.depth--
		return nil
	}
	for {
		var key []byte
		if object {
			var err error
			if key, err = s.key(); err != nil {
				return err
			}
		}
		if err := fn(key); err != nil {
			return err
		}
		if s.take(',') {
			continue
		}
		if !s.take(end) {
			return errJSON
		}
		s.depth--
		return nil
	}
}

// key takes an object's next name and the colon behind it.
func (s *scanner) key() ([]byte, error) {
	if s.next() != '"' {
		return nil, errJSON
	}
	key, err := s.string()
	if err != nil {
		return nil, err
	}
	if !s.take(':') {
		return nil, errJSON
	}
	return key, nil
}

// string takes a string, whose opening quote comes next. The result is valid
// until the next call.
func (s *scanner) string() ([]byte, error) {
	s.at++
	start := s.at
	ascii := true
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			out := s.text[start:s.at]
			s.at++
			if !ascii && !utf8.Valid(out) {
				return nil, errJSON
			}
			return out, nil
		case c == '\\':
			s.buf = append(s.buf[:0], s.text[start:s.at]...)
			return s.escaped()
		case c < ' ':
			return nil, errJSON
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, errJSON
}

// escaped takes the rest of a string from its first backslash on.
func (s *scanner) escaped() ([]byte, error) {
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch {
		case c == '"':
			if !utf8.Valid(s.buf) {
				return nil, errJSON
			}
			return s.buf, nil
		case c < ' ':
			return nil, errJSON
		case c != '\\':
			s.buf = append(s.buf, c)
		default:
			if err := s.escape(); err != nil {
				return nil, err
			}
		}
	}
	return nil, errJSON
}

// escape takes what follows a backslash.
func (s *scanner) escape() error {
	if s.at >= len(s.text) {
		return errJSON
	}
	c := s.text[s.at]
	s.at++
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		r, err := s.hex()
		if err != nil {
			return err
		}
		if utf16.IsSurrogate(r) {
			r = s.low(r)
		}
		s.buf = utf8.AppendRune(s.buf, r)
		return nil
	default:
		return errJSON
	}
	s.buf = append(s.buf, c)
	return nil
}

// hex takes four hexadecimal digits.
func (s *scanner) hex() (rune, error) {
	if len(s.text)-s.at < 4 {
		return 0, errJSON
	}
	n, err := strconv.ParseUint(string(s.text[s.at:s.at+4]), 16, 16)
	if err != nil {
		return 0, errJSON
	}
	s.at += 4
	return rune(n), nil
}

// low is the rune that the surrogate high and the one after it make; without
// such a one, or if high is none, U+FFFD.
func (s *scanner) low(high rune) rune {
	if len(s.text)-s.at < 6 || s.text[s.at] != '\\' || s.text[s.at+1] != 'u' {
		return utf8.RuneError
	}
	at := s.at
	s.at += 2
	second, err := s.hex()
	if r := utf16.DecodeRune(high, second); err == nil && r != utf8.RuneError {
		return r
	}
	s.at = at
	return utf8.RuneError
}

// number takes a number's text.
func (s *scanner) number() ([]byte, error) {
	start := s.at
	if s.at < len(s.text) && s.text[s.at] == '-' {
		s.at++
	}
	switch {
	case s.at < len(s.text) && s.text[s.at] == '0':
		s.at++
	case !s.digits():
		return nil, errJSON
	}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		if !s.digits() {
			return nil, errJSON
		}
	}
	if s.at < len(s.text) && s.text[s.at]|0x20 == 'e' {
		s.at++
		if s.at < len(s.text) && (s.text[s.at] == '+' || s.text[s.at] == '-') {
			s.at++
		}
		if !s.digits() {
			return nil, errJSON
		}
	}
	return s.text[start:s.at], nil
}

// digits takes decimal digits and reports whether there was one.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && s.text[s.at]-'0' <= 9 {
		s.at++
	}
	return s.at > start
}

// skip takes a value of any kind.
func (s *scanner) skip() error {
	switch c := s.next(); {
	case c == '"':
		_, err := s.string()
		return err
	case c == '{' || c == '[':
		return s.each(func([]byte) error { return s.skip() })
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	default:
		_, err := s.number()
		return err
	}
}
