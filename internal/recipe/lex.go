package recipe

import (
	"sort"
	"strings"
)

// The limits of one document: a hostile file may nest or repeat without end.
const (
	maxDepth      = 64
	maxWords      = 512
	maxStatements = 200_000
)

// word is one token: [start, end) without its quotes, [rawStart, rawEnd) with them.
type word struct {
	start, end       int
	rawStart, rawEnd int
	quoted           bool
	partial          bool // goes on with something that is only known at run time
}

// statement is one directive: words[0] is its key. One that opens a section is a statement too.
type statement struct {
	words      []word
	start, end int
	section    int // index into document.sections of the section that it stands in
	opens      int // index of the section that it opens, 0 for none
	operator   bool
}

// section is a place that directives stand in; sections[0] is the file itself.
type section struct {
	parent int
	name   string // first word of its header, "" for the file
	label  string // header as written, for people
	known  int    // nearest section, itself included, that the grammar does not call transparent
	bodyAt int    // where its body starts
	header int    // index of the statement that opened it
}

// document is a file under one grammar.
type document struct {
	grammar    *Grammar
	content    []byte
	statements []statement
	sections   []section
	misfits    int // places that the grammar could not read
	lines      []int
}

// lex reads content under a grammar. It never fails: what does not fit is counted as a misfit.
func lex(g *Grammar, content []byte) *document {
	d := &document{grammar: g, content: content, sections: []section{{}}}
	for i, c := range content {
		if c == '\n' {
			d.lines = append(d.lines, i)
		}
	}
	switch g.Form {
	case "block":
		lexBlock(d)
	case "lines":
		lexLines(d)
	case "yaml":
		lexYAML(d)
	case "json":
		lexJSON(d)
	case "shell":
		lexShell(d)
	}
	return d
}

// lineAt gives the 1-based line of an offset.
func (d *document) lineAt(offset int) int {
	return sort.SearchInts(d.lines, offset) + 1
}

func (d *document) text(w word) string { return string(d.content[w.start:w.end]) }

// key gives a statement's name, folded where the grammar says that case or dashes do not count.
func (d *document) key(st *statement) string {
	return d.grammar.fold(d.text(st.words[0]))
}

// add takes a finished statement and gives its index, or -1 where the document is full.
func (d *document) add(st statement) int {
	if len(st.words) == 0 || len(d.statements) >= maxStatements {
		return -1
	}
	d.statements = append(d.statements, st)
	return len(d.statements) - 1
}

// open adds a section below parent with the statement st as its header, and gives its index.
// Where the document is full or nests too deep it gives the parent, and says no.
func (d *document) open(st statement, parent, depth, bodyAt int) (int, bool) {
	if depth >= maxDepth || len(st.words) == 0 || len(d.statements) >= maxStatements {
		d.misfits++
		return parent, false
	}
	first, last := st.words[0], st.words[len(st.words)-1]
	s := section{
		parent: parent, name: d.grammar.fold(d.text(first)),
		label: d.label(first, last), known: len(d.sections), bodyAt: bodyAt, header: len(d.statements),
	}
	if d.grammar.transparent[s.name] {
		s.known = d.sections[parent].known
	}
	d.sections = append(d.sections, s)
	st.section, st.opens = parent, len(d.sections)-1
	d.add(st)
	return st.opens, true
}

// label gives a header as people know it, on one line and at most 80 bytes of it.
func (d *document) label(first, last word) string {
	start, end := first.rawStart, last.rawEnd
	if d.grammar.Form == "json" || d.grammar.Form == "yaml" {
		start, end = first.start, first.end
	}
	text := strings.Join(strings.Fields(string(d.content[start:min(end, start+80)])), " ")
	switch {
	case d.grammar.Brackets:
		return "[" + text + "]"
	case d.grammar.Angles:
		return "<" + text + ">"
	}
	return text
}

// path gives the names of the sections around a statement and its key, joined by dots.
func (d *document) path(st *statement) string {
	out := d.key(st)
	for i := st.section; i != 0; i = d.sections[i].parent {
		if name := d.sections[i].name; name != "" {
			out = name + "." + out
		}
	}
	return out
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v' }

func isSpace(c byte) bool { return c == '\n' || isBlank(c) }

// hasAt tells whether content has s at offset i.
func hasAt(content []byte, i int, s string) bool {
	return i+len(s) <= len(content) && string(content[i:i+len(s)]) == s
}

// signAt gives the first of the signs that stands at offset i, or "".
func signAt(content []byte, i int, signs []string) string {
	for _, s := range signs {
		if hasAt(content, i, s) {
			return s
		}
	}
	return ""
}

// lineEnd gives the offset of the newline at or after i, or the content's end.
func lineEnd(content []byte, i int) int {
	for i < len(content) && content[i] != '\n' {
		i++
	}
	return i
}

// quoteEnd gives the offset of the quote that closes the one at i, or -1. A backslash escapes in
// both kinds of quotes; no language here needs a lone backslash before a closing quote.
func quoteEnd(content []byte, i int, multiline bool) int {
	quote := content[i]
	for i++; i < len(content); i++ {
		switch c := content[i]; {
		case c == '\\':
			i++
		case c == quote:
			return i
		case c == '\n' && !multiline:
			return -1
		}
	}
	return -1
}

// literalEnd is quoteEnd for YAML, where a single-quoted scalar has no escapes (YAML 1.2, 7.3.2).
func literalEnd(content []byte, i int, multiline bool) int {
	if content[i] != '\'' {
		return quoteEnd(content, i, multiline)
	}
	for i++; i < len(content); i++ {
		switch {
		case content[i] == '\'':
			return i
		case content[i] == '\n' && !multiline:
			return -1
		}
	}
	return -1
}

// variableLength gives the length of the "${…}" that text starts with, or 2 where it does not
// close soon on its line: a name and a default are short, and the limit keeps reading linear.
func variableLength(text []byte) int {
	for i := 2; i < min(len(text), 256) && text[i] != '\n'; i++ {
		if text[i] == '}' {
			return i + 1
		}
	}
	return 2
}
