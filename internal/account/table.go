package account

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// The limits of the account files' parsers. What lies beyond is kept in the bytes, is not found by
// a lookup, and is listed by Malformed.
const (
	MaxLine  = 64 << 10  // bytes of one line, as container runtimes read passwd
	MaxLines = 128 << 10 // lines of one file
)

// MaxID is the highest uid or gid. 4294967295 is (uid_t)-1, which the kernel reads as "no change".
const MaxID = 1<<32 - 2

// maxMalformed bounds the list that Malformed gives.
const maxMalformed = 100

// Malformed is a line that lookups skip.
type Malformed struct {
	Line   int    // 1-based
	Reason string // such as `uid "x" is not a number from 0 to 4294967294`
}

func (m Malformed) String() string { return fmt.Sprintf("line %d: %s", m.Line, m.Reason) }

// table is a file of lines with fields between colons: its text as it came and what was read from it.
type table[E any] struct {
	text      string
	entries   []E
	malformed []Malformed
}

// parseTable reads the lines that are neither blank, nor a comment, nor a NIS line.
func parseTable[E any](b []byte, parse func(line string) (E, error)) table[E] {
	t := table[E]{text: string(b)}
	for span := range lines(t.text) {
		if span.number > MaxLines {
			t.skip(span.number, fmt.Sprintf("more than %d lines", MaxLines))
			break
		}
		line := strings.TrimSpace(span.of(t.text))
		if line == "" || line[0] == '#' || isCompat(line) {
			continue
		}
		if len(line) > MaxLine {
			t.skip(span.number, fmt.Sprintf("longer than %d bytes", MaxLine))
			continue
		}
		entry, err := parse(line)
		if err != nil {
			t.skip(span.number, err.Error())
			continue
		}
		t.entries = append(t.entries, entry)
	}
	return t
}

func (t *table[E]) skip(number int, reason string) {
	if len(t.malformed) < maxMalformed {
		t.malformed = append(t.malformed, Malformed{number, reason})
	}
}

// find gives the first entry that fits, as every libc does.
func (t table[E]) find(fits func(E) bool) (E, bool) {
	for _, entry := range t.entries {
		if fits(entry) {
			return entry, true
		}
	}
	var none E
	return none, false
}

func (t table[E]) all() iter.Seq[E] {
	return func(yield func(E) bool) {
		for _, entry := range t.entries {
			if !yield(entry) {
				return
			}
		}
	}
}

// lineSpan is where one line lies in a text, without its newline.
type lineSpan struct {
	number     int // 1-based
	start, end int
}

func (s lineSpan) of(text string) string { return text[s.start:s.end] }

func lines(text string) iter.Seq[lineSpan] {
	return func(yield func(lineSpan) bool) {
		for number, start := 1, 0; start < len(text); number++ {
			end := len(text)
			if i := strings.IndexByte(text[start:], '\n'); i >= 0 {
				end = start + i
			}
			if !yield(lineSpan{number, start, end}) {
				return
			}
			start = end + 1
		}
	}
}

// isCompat reports whether the line belongs to glibc's "compat" service: "+", "+name", "+@netgroup"
// and "-name" take in or leave out accounts of NIS (nsswitch.conf(5), "compatibility mode").
func isCompat(line string) bool { return line != "" && (line[0] == '+' || line[0] == '-') }

// withLine adds one line at the end, but before the first NIS line: glibc takes entries in file
// order, so an entry after a "+" line would lose to the network's.
func withLine(text, line string) string {
	for span := range lines(text) {
		if isCompat(strings.TrimSpace(span.of(text))) {
			return text[:span.start] + line + "\n" + text[span.start:]
		}
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + line + "\n"
}

// errTooLarge is the error for an addition that lookups would not find again.
var errTooLarge = fmt.Errorf("the file would have a line of more than %d bytes or more than %d lines", MaxLine, MaxLines)

// parseID reads an id of an account file: digits only, 0 to MaxID.
func parseID(what, s string) (uint32, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	if err != nil || id > MaxID {
		return 0, fmt.Errorf("%s %.40q is not a number from 0 to %d", what, s, uint32(MaxID))
	}
	return uint32(id), nil
}

// checkName refuses what no account file can hold as a name, and what would be read as something
// else: a NIS line, a comment, or (by every container runtime) a number.
func checkName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s name is empty", what)
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ':' || r == ',' }):
		return fmt.Errorf("%s name %q: has a space, a control character, ':' or ','", what, name)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("%s name %q: starts or ends with a space", what, name)
	case strings.ContainsRune("+-#", rune(name[0])):
		return fmt.Errorf("%s name %q: starts with %q", what, name, name[0])
	}
	if _, err := strconv.ParseInt(name, 10, 64); err == nil || strings.Trim(name, "0123456789") == "" {
		return fmt.Errorf("%s name %q: is a number", what, name)
	}
	return nil
}

// checkField refuses what would end the field or the line.
func checkField(what, value string) error {
	if strings.ContainsAny(value, ":\n\r\x00") {
		return fmt.Errorf("%s %q: has ':', a line end or a zero byte", what, value)
	}
	return nil
}

// checkID refuses the one number that is not an id.
func checkID(what string, id uint32) error {
	if id > MaxID {
		return fmt.Errorf("%s %d: is not from 0 to %d", what, id, uint32(MaxID))
	}
	return nil
}
