package account

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

// Locked is the password field of an account that no password opens, as useradd(8) writes it.
const Locked = "!"

// ShadowEntry is one account of a shadow file, shadow(5).
type ShadowEntry struct {
	Name     string
	Password string // hash, or something that is none: Locked, "*"
	Aging    string // the seven fields after the password as they are written, with their colons
}

// noAging is seven empty fields: the password never expires. The first one, the day of the last
// change, is empty too, so that the line is the same on every day.
const noAging = "::::::"

// NewShadowEntry gives an entry without aging. It fails on a field that the file cannot hold.
func NewShadowEntry(name, password string) (ShadowEntry, error) {
	e := ShadowEntry{Name: name, Password: password, Aging: noAging}
	return e, e.check()
}

func (e ShadowEntry) check() error {
	var aging error
	if strings.ContainsAny(e.Aging, "\n\r\x00") || strings.Count(e.Aging, ":") != 6 {
		aging = fmt.Errorf("aging %q: want seven fields", e.Aging)
	}
	return errors.Join(checkName("user", e.Name), checkField("password", e.Password), aging)
}

// String is the entry as a line of the file, without the newline.
func (e ShadowEntry) String() string { return e.Name + ":" + e.Password + ":" + e.Aging }

// Shadow is a shadow file: its bytes as they came and the accounts in them. The zero value is an
// empty (or missing) file. Values do not change; With gives a new one.
type Shadow struct{ t table[ShadowEntry] }

// ParseShadow reads a shadow file, as leniently as ParsePasswd; the aging fields may be missing.
func ParseShadow(b []byte) Shadow { return Shadow{parseTable(b, parseShadowLine)} }

func parseShadowLine(line string) (ShadowEntry, error) {
	fields := strings.SplitN(line, ":", 3)
	if len(fields) < 2 {
		return ShadowEntry{}, fmt.Errorf("%d fields, want 9", len(fields))
	}
	if fields[0] == "" {
		return ShadowEntry{}, errors.New("user name is empty")
	}
	fields = append(fields, "")
	return ShadowEntry{fields[0], fields[1], fields[2]}, nil
}

// Bytes is the file: exactly the bytes that were parsed, and what With added. The caller owns it.
func (s Shadow) Bytes() []byte { return []byte(s.t.text) }

// All gives the accounts in file order.
func (s Shadow) All() iter.Seq[ShadowEntry] { return s.t.all() }

// Malformed gives the lines that lookups skip although they are no comment; at most 100.
func (s Shadow) Malformed() []Malformed { return s.t.malformed }

// ByName gives the first account of that name, as getspnam(3) does.
func (s Shadow) ByName(name string) (ShadowEntry, bool) {
	return s.t.find(func(e ShadowEntry) bool { return e.Name == name })
}

// With gives the file with one more line: at the end, but before NIS lines. A file that has an
// account of that name already is given back as it is. It fails on an entry that the file cannot
// hold.
func (s Shadow) With(e ShadowEntry) (Shadow, error) {
	if err := e.check(); err != nil {
		return s, fmt.Errorf("adding shadow entry %q: %w", e.Name, err)
	}
	if _, ok := s.ByName(e.Name); ok {
		return s, nil
	}
	with := ParseShadow([]byte(withLine(s.t.text, e.String())))
	if _, ok := with.ByName(e.Name); !ok {
		return s, fmt.Errorf("adding shadow entry %q: %w", e.Name, errTooLarge)
	}
	return with, nil
}
