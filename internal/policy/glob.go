package policy

import (
	"iter"
	"slices"
	"strings"
	"unicode/utf8"
)

// A glob is text in which two bytes that no UTF-8 text contains stand for
// wildcards. With them out of band, a literal * (written ${*}, or come from a
// variable's value) needs no escaping.
type glob string

const (
	many = 0xFF // any number of characters, none included: * in a policy
	one  = 0xFE // exactly one character: ? in a policy
)

// toGlob reads the wildcards of a text without variables.
func toGlob(text string) glob {
	if !strings.ContainsAny(text, "*?") {
		return glob(text)
	}
	b := []byte(text)
	for i, c := range b {
		switch c {
		case '*':
			b[i] = many
		case '?':
			b[i] = one
		}
	}
	return glob(b)
}

// text is the glob as a policy writes it.
func (g glob) text() string {
	r := strings.NewReplacer("*", "${*}", "?", "${?}", "\xff", "*", "\xfe", "?")
	return r.Replace(string(g))
}

// any says that the glob matches every text.
func (g glob) any() bool {
	return g != "" && strings.Count(string(g), "\xff") == len(g)
}

// match reports whether all of s fits g, with regard to case. It takes time
// proportional to len(g)+len(s), and no memory, but for what stands between two *
// and has a ? in it: that takes a pass over s for every 64 characters, or for every
// ?, whichever are fewer. So all of it is no more than len(s) * (2 + len(g)/64)
// steps, and long values of variables do not make it longer.
func (g glob) match(s string) bool {
	head, rest, found := strings.Cut(string(g), "\xff")
	n, ok := glob(head).begins(s)
	switch {
	case !ok:
		return false
	case !found:
		return n == len(s)
	case rest == "":
		return true
	case glob(rest).least() > len(s)-n:
		return false
	}
	s = s[n:]
	for {
		part, after, found := strings.Cut(rest, "\xff")
		if !found {
			return glob(part).ends(s)
		}
		// The first place is as good as any: what follows has most left to match.
		end := glob(part).find(s)
		if end < 0 {
			return false
		}
		s, rest = s[end:], after
	}
}

// least is how many bytes g takes at least: a ? takes one or more.
func (g glob) least() int { return len(g) - strings.Count(string(g), "\xff") }

// begins reports whether s begins with g, which has no *, and how much of s that is.
func (g glob) begins(s string) (n int, ok bool) {
	for i := range len(g) {
		switch {
		case n == len(s):
			return 0, false
		case g[i] == one:
			_, w := utf8.DecodeRuneInString(s[n:])
			n += w
		case g[i] == s[n]:
			n++
		default:
			return 0, false
		}
	}
	return n, true
}

// ends reports whether s ends with g, which has no *.
func (g glob) ends(s string) bool {
	if strings.IndexByte(string(g), one) < 0 {
		return strings.HasSuffix(s, string(g))
	}
	start := len(s)
	for range utf8.RuneCountInString(string(g)) { // a ? counts as one
		if start == 0 {
			return false
		}
		_, w := utf8.DecodeLastRuneInString(s[:start])
		start -= w
	}
	n, ok := g.begins(s[start:])
	return ok && n == len(s)-start
}

// find is where the first part of s ends that fits g, which has no *; -1 if
// there is none.
func (g glob) find(s string) int {
	if strings.IndexByte(string(g), one) < 0 {
		if at := strings.Index(s, string(g)); at >= 0 {
			return at + len(g)
		}
		return -1
	}
	if len(g) > len(s) {
		return -1
	}
	if strings.Count(string(g), "\xfe") < len(g)/64 {
		return g.findRuns(s)
	}
	// Of a piece of up to 64 characters, one word says at every place of s how much
	// of the piece ends there (the Shift-And algorithm). Where a piece ends, the
	// next has to begin: so that each pass takes one step for each character of s.
	var starts []bool // by characters of s; nil is anywhere
	for {
		var p piece64
		p, g = g.piece()
		if p.open(); g == "" {
			for at := range p.ends(s, starts) {
				return at
			}
			return -1
		}
		found := false
		next := make([]bool, utf8.RuneCountInString(s)+1)
		for _, i := range p.ends(s, starts) {
			next[i], found = true, true
		}
		if !found {
			return -1
		}
		starts = next
	}
}

// findRuns is find for long text with few ? in it: each run of text goes once over
// s, with every place where what came before it can end.
func (g glob) findRuns(s string) int {
	at := make([]bool, len(s)+1) // by bytes of s, true where a character begins
	for i := range s {
		at[i] = true
	}
	at[len(s)] = true
	for wild := true; wild; {
		var run, rest string
		run, rest, wild = strings.Cut(string(g), "\xfe")
		at = after(at, run, s)
		if g = glob(rest); wild {
			at = afterOne(at, s)
		}
	}
	return slices.Index(at, true)
}

// after are the places of s where run ends that begins at one of at (the algorithm
// of Knuth, Morris and Pratt).
func after(at []bool, run, s string) []bool {
	if run == "" {
		return at
	}
	border := make([]int, len(run)+1) // of each beginning of run, how much of its end begins run
	for i, n := 1, 0; i < len(run); i++ {
		for n > 0 && run[i] != run[n] {
			n = border[n]
		}
		if run[i] == run[n] {
			n++
		}
		border[i+1] = n
	}
	next := make([]bool, len(at))
	for i, n := 0, 0; i < len(s); i++ {
		for n > 0 && s[i] != run[n] {
			n = border[n]
		}
		if s[i] == run[n] {
			n++
		}
		if n == len(run) {
			next[i+1] = at[i+1-n]
			n = border[n]
		}
	}
	return next
}

// afterOne are the places of s one character after at.
func afterOne(at []bool, s string) []bool {
	next := make([]bool, len(at))
	for i, from := range at[:len(s)] {
		if from {
			_, w := utf8.DecodeRuneInString(s[i:])
			next[i+w] = true
		}
	}
	return next
}

// A piece64 is up to 64 characters of a glob without *, as bits: those characters,
// the first the lowest, that a given one fits.
type piece64 struct {
	ascii [utf8.RuneSelf]uint64
	other map[rune]uint64
	any   uint64 // all that are ?
	last  uint64
}

// piece takes a piece off g, which is not empty.
func (g glob) piece() (p piece64, rest glob) {
	for p.last = 1; g != ""; p.last <<= 1 {
		r, w := utf8.DecodeRuneInString(string(g))
		switch {
		case g[0] == one:
			p.any |= p.last
		case r < utf8.RuneSelf:
			p.ascii[r] |= p.last
		default:
			if p.other == nil {
				p.other = map[rune]uint64{}
			}
			p.other[r] |= p.last
		}
		if g = g[w:]; p.last == 1<<63 {
			return p, g
		}
	}
	p.last >>= 1
	return p, ""
}

// fit is which characters of the piece r fits, which takes w bytes and is not ASCII. A
// byte that is no UTF-8 is a character of its own, and fits ? only.
func (p *piece64) fit(r rune, w int) uint64 {
	if r == utf8.RuneError && w == 1 || p.other == nil {
		return p.any
	}
	return p.any | p.other[r]
}

// open adds what every character fits to what the ASCII ones do.
func (p *piece64) open() {
	for i := range p.ascii {
		p.ascii[i] |= p.any
	}
}

// ends are the places of s, in bytes and in characters, where a part ends that
// fits the piece and begins at one of starts.
func (p *piece64) ends(s string, starts []bool) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		var state uint64
		for i, at := 0, 0; at < len(s); i++ {
			fit, w := p.ascii[s[at]%utf8.RuneSelf], 1 // most text is ASCII
			if s[at] >= utf8.RuneSelf {
				var r rune
				r, w = utf8.DecodeRuneInString(s[at:])
				fit = p.fit(r, w)
			}
			state <<= 1
			if starts == nil || starts[i] {
				state |= 1
			}
			at += w
			if state &= fit; state&p.last != 0 && !yield(at, i+1) {
				return
			}
		}
	}
}

// lowered is s with its ASCII letters in lower case. Unicode would go further,
// and take a Kelvin sign for a k.
func lowered(s string) string {
	for i := range len(s) {
		if lower(s[i]) == s[i] {
			continue
		}
		b := []byte(s)
		for ; i < len(b); i++ {
			b[i] = lower(b[i])
		}
		return string(b)
	}
	return s
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// EqualFold compares as AWS compares names: ASCII letters in either case.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// A template is a glob with variables in it, as a Resource or a condition value
// of a 2012-10-17 policy may be. Without variables, pieces is nil.
type template struct {
	glob   glob
	pieces []piece
}

// A piece is literal text, or a variable.
type piece struct {
	glob     glob
	variable *variable
}

type variable struct {
	key      key
	fallback glob // used where the key has no value; never a wildcard
	has      bool // whether there is a fallback
}

// parseTemplate reads ${key}, ${key, 'default'}, ${*}, ${?} and ${$}, if vars
// is set; else these are plain text, as 2008-10-17 has it.
func parseTemplate(text string, vars bool) (template, bool) {
	if !vars || !strings.Contains(text, "${") {
		return template{glob: toGlob(text)}, true
	}
	var t template
	var literal []byte
	for {
		before, rest, found := strings.Cut(text, "${")
		literal = append(literal, toGlob(before)...)
		if !found {
			break
		}
		body, after, closed := strings.Cut(rest, "}")
		if !closed {
			return template{}, false
		}
		text = after
		switch body {
		case "*", "?", "$":
			literal = append(literal, body...)
			continue
		}
		v, ok := parseVariable(body)
		if !ok {
			return template{}, false
		}
		t.pieces = append(t.pieces, piece{glob: glob(literal)}, piece{variable: v})
		literal = nil
	}
	if t.pieces == nil {
		return template{glob: glob(literal)}, true
	}
	t.pieces = append(t.pieces, piece{glob: glob(literal)})
	return t, true
}

func parseVariable(body string) (*variable, bool) {
	name, fallback, has := strings.Cut(body, ",")
	v := &variable{key: newKey(strings.TrimSpace(name)), has: has}
	if strings.ContainsAny(v.key.name, "${'\" ") || v.key.name == "" {
		return nil, false
	}
	if has {
		q := strings.TrimSpace(fallback)
		if len(q) < 2 || q[0] != '\'' || q[len(q)-1] != '\'' {
			return nil, false
		}
		v.fallback = glob(q[1 : len(q)-1])
	}
	return v, true
}

// expand puts values in place of variables. ok is false if one has no value, or
// several, or if what comes out fits no text of most bytes: such a text matches
// nothing. Wildcards in values are plain text.
func (t *template) expand(r *request, most int) (g glob, ok bool) {
	if t.pieces == nil {
		return t.glob, true
	}
	// Find out whether all have values before building anything: in a statement
	// about other principals they often have none.
	least := 0
	for i := range t.pieces {
		if v := t.pieces[i].variable; v != nil {
			text, ok := v.value(r)
			if !ok {
				return "", false
			}
			least += len(text)
		}
		least += t.pieces[i].glob.least()
	}
	if least > most {
		return "", false
	}
	var b strings.Builder
	for i := range t.pieces {
		text := string(t.pieces[i].glob)
		if v := t.pieces[i].variable; v != nil {
			text, _ = v.value(r)
		}
		b.WriteString(text)
	}
	return glob(b.String()), true
}

// value is what stands in the variable's place, if there is one such value.
func (v *variable) value(r *request) (string, bool) {
	values, _ := r.values(&v.key)
	switch {
	case len(values) == 1 && utf8.ValidString(values[0]):
		return values[0], true
	case len(values) == 0:
		return string(v.fallback), v.has
	}
	return "", false
}

// match reports whether s fits the template as request r fills it.
func (t *template) match(r *request, s string) bool {
	if t.pieces == nil {
		return string(t.glob) == s || t.glob.match(s)
	}
	g, ok := t.expand(r, len(s))
	return ok && g.match(s)
}

// cut splits a template at the first n-1 colons that are literal text of it:
// a colon in a variable's value never moves a field of an ARN.
func (t *template) cut(n int) []template {
	pieces := t.pieces
	if pieces == nil {
		pieces = []piece{{glob: t.glob}}
	}
	fields := []template{{}}
	for _, p := range pieces {
		for p.variable == nil && len(fields) < n {
			before, after, found := strings.Cut(string(p.glob), ":")
			if !found {
				break
			}
			fields[len(fields)-1].add(piece{glob: glob(before)})
			fields = append(fields, template{})
			p.glob = glob(after)
		}
		fields[len(fields)-1].add(p)
	}
	return fields
}

func (t *template) add(p piece) {
	if p.variable == nil && t.pieces == nil {
		t.glob += p.glob
		return
	}
	if t.pieces == nil {
		t.pieces = []piece{{glob: t.glob}}
		t.glob = ""
	}
	t.pieces = append(t.pieces, p)
}
