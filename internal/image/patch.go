package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A Change is one edit of a JSON document at a named place. It is carried out on the bytes: what
// it does not name stays as it is, to the byte. Tools that parse a config into a struct of their
// own and print the struct again lose what the struct does not know, such as
// Healthcheck.StartInterval, vendor keys or the platform's variant.
type Change struct {
	Path  []string // keys from the top; an element of an array is its decimal index
	Op    Op
	Value any // for Set and Append: marshalled with encoding/json; for Rename: the new key, a string
}

// Op is what a Change does.
type Op uint8

// The closed set of operations on a document.
const (
	Set    Op = iota // replaces the value at Path, or adds it; missing objects on the way are made
	Append           // adds an element at the end of the array at Path, or makes the array
	Rename           // gives the member at Path another key and keeps its value's bytes
	Delete           // takes the member at Path out; nothing happens where there is none
)

// ErrAmbiguous is returned for a document in which a named place stands twice, also in another
// case: readers disagree on which one counts.
var ErrAmbiguous = errors.New("stands twice")

// Patch returns doc with the changes made, one after the other.
func Patch(doc []byte, changes ...Change) ([]byte, error) {
	if !json.Valid(doc) {
		return nil, errors.New("not a JSON document")
	}
	for _, c := range changes {
		var err error
		if doc, err = c.apply(doc); err != nil {
			return nil, fmt.Errorf("patching %s: %w", strings.Join(c.Path, "."), err)
		}
	}
	return doc, nil
}

func (c Change) apply(doc []byte) ([]byte, error) {
	var value []byte
	if c.Op != Delete {
		var err error
		if value, err = marshal(c.Value); err != nil {
			return nil, err
		}
	}
	at := skipSpace(doc, 0)
	for i, key := range c.Path {
		last := i == len(c.Path)-1
		if isNull(doc, at) && c.Op != Delete && c.Op != Rename {
			return splice(doc, at, at+len("null"), wrap(c.Path[i:], c.Op, value)), nil
		}
		m, err := find(doc, at, key)
		if err != nil {
			return nil, err
		}
		switch {
		case !m.ok && (c.Op == Delete || c.Op == Rename):
			return doc, nil
		case !m.ok && doc[at] != '{':
			return nil, fmt.Errorf("%q is not in an array of that length", key)
		case !m.ok:
			return insertMember(doc, at, key, wrap(c.Path[i+1:], c.Op, value)), nil
		case last:
			return c.applyAt(doc, at, m, value)
		}
		at = m.start
	}
	return nil, errors.New("[internal error] a change names no place")
}

func (c Change) applyAt(doc []byte, container int, m member, value []byte) ([]byte, error) {
	switch c.Op {
	case Set:
		return splice(doc, m.start, m.end, value), nil
	case Rename:
		return splice(doc, m.keyStart, m.keyEnd, value), nil
	case Delete:
		return deleteMember(doc, container, m), nil
	}
	switch {
	case isNull(doc, m.start):
		return splice(doc, m.start, m.end, bracket(value)), nil
	case doc[m.start] != '[':
		return nil, errors.New("not an array")
	}
	last := m.end - 2 // the byte before the closing bracket
	for strings.IndexByte(" \t\r\n", doc[last]) >= 0 {
		last--
	}
	if doc[last] == '[' {
		return splice(doc, last+1, last+1, value), nil
	}
	return splice(doc, last+1, last+1, append([]byte{','}, value...)), nil
}

// A member is one member of an object or element of an array, by its places in the document.
type member struct {
	keyStart, keyEnd int // with quotes; equal for an element of an array
	start, end       int // the value
	ok               bool
}

// find locates key in the object or array that starts at.
func find(doc []byte, at int, key string) (member, error) {
	switch doc[at] {
	case '{':
		return findKey(doc, at, key)
	case '[':
		return findElement(doc, at, key)
	}
	return member{}, fmt.Errorf("neither an object nor an array holds %q", key)
}

// findKey matches as encoding/json does, which every engine reads configs with: exactly, else
// without regard to case.
func findKey(doc []byte, at int, key string) (member, error) {
	var exact, folded member
	for m, name := range membersOf(doc, at) {
		switch {
		case name == key && exact.ok, name != key && strings.EqualFold(name, key) && folded.ok:
			return member{}, fmt.Errorf("%q %w", key, ErrAmbiguous)
		case name == key:
			exact = m
		case strings.EqualFold(name, key):
			folded = m
		}
	}
	switch {
	case exact.ok && folded.ok:
		return member{}, fmt.Errorf("%q %w", key, ErrAmbiguous)
	case exact.ok:
		return exact, nil
	}
	return folded, nil
}

func findElement(doc []byte, at int, key string) (member, error) {
	want, err := strconv.Atoi(key)
	if err != nil {
		return member{}, fmt.Errorf("%q is not an index of an array", key)
	}
	i := 0
	for m := range membersOf(doc, at) {
		if i == want {
			return m, nil
		}
		i++
	}
	return member{}, nil
}

// membersOf goes over the members of the object, or the elements of the array, that starts at. The
// document is valid JSON, so the scan only has to know strings and brackets.
func membersOf(doc []byte, at int) func(yield func(member, string) bool) {
	return func(yield func(member, string) bool) {
		object := doc[at] == '{'
		i := skipSpace(doc, at+1)
		for doc[i] != '}' && doc[i] != ']' {
			m := member{ok: true}
			var name string
			if object {
				m.keyStart, m.keyEnd = i, valueEnd(doc, i)
				_ = json.Unmarshal(doc[m.keyStart:m.keyEnd], &name) // a string of a valid document
				i = skipSpace(doc, m.keyEnd)
				i = skipSpace(doc, i+1) // the colon
			}
			m.start, m.end = i, valueEnd(doc, i)
			if !yield(m, name) {
				return
			}
			i = skipSpace(doc, m.end)
			if doc[i] == ',' {
				i = skipSpace(doc, i+1)
			}
		}
	}
}

// valueEnd is the offset behind the value that starts at i of a valid document.
func valueEnd(doc []byte, i int) int {
	depth := 0
	for ; i < len(doc); i++ {
		switch c := doc[i]; {
		case c == '"':
			i = stringEnd(doc, i) - 1
			if depth == 0 {
				return i + 1
			}
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 {
				return i // the end of a number or literal that is last in its container
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case depth == 0 && strings.IndexByte(", \t\r\n", c) >= 0:
			return i
		}
	}
	return len(doc)
}

func stringEnd(doc []byte, i int) int {
	for i++; doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func skipSpace(doc []byte, i int) int {
	for i < len(doc) && strings.IndexByte(" \t\r\n", doc[i]) >= 0 {
		i++
	}
	return i
}

func isNull(doc []byte, at int) bool { return bytes.HasPrefix(doc[at:], []byte("null")) }

// insertMember adds a member at the end of the object that starts at.
func insertMember(doc []byte, at int, key string, value []byte) []byte {
	name, _ := marshal(key) // a string always marshals
	text := append(append(name, ':'), value...)
	last := member{}
	for m := range membersOf(doc, at) {
		last = m
	}
	if !last.ok {
		return splice(doc, at+1, at+1, text)
	}
	return splice(doc, last.end, last.end, append([]byte{','}, text...))
}

// deleteMember takes a member out together with one comma.
func deleteMember(doc []byte, container int, gone member) []byte {
	start := gone.keyStart
	if gone.keyStart == gone.keyEnd {
		start = gone.start
	}
	if next := skipSpace(doc, gone.end); doc[next] == ',' {
		return splice(doc, start, skipSpace(doc, next+1), nil)
	}
	before := container + 1
	for m := range membersOf(doc, container) {
		if m.end < start {
			before = m.end
		}
	}
	return splice(doc, before, gone.end, nil)
}

// wrap puts value into the objects that the rest of the path names.
func wrap(path []string, op Op, value []byte) []byte {
	if op == Append {
		value = bracket(value)
	}
	for i := len(path) - 1; i >= 0; i-- {
		name, _ := marshal(path[i])
		value = append(append(append(append([]byte{'{'}, name...), ':'), value...), '}')
	}
	return value
}

func bracket(value []byte) []byte { return append(append([]byte{'['}, value...), ']') }

// marshal is json.Marshal without the escaping of <, > and & that is meant for HTML pages.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

func splice(doc []byte, start, end int, value []byte) []byte {
	out := make([]byte, 0, len(doc)-(end-start)+len(value))
	return append(append(append(out, doc[:start]...), value...), doc[end:]...)
}
