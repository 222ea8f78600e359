package recipe

import (
	"bytes"
	"strings"
)

// flowLexer reads JSON, JSON with comments, and YAML's flow style, without recursion.
type flowLexer struct {
	*document
	at    int
	stack []flowLevel
}

// flowLevel is an open collection; key is the one that the next value belongs to.
type flowLevel struct {
	section int
	key     word
	object  bool
}

func lexJSON(d *document) {
	l := flowLexer{document: d, stack: []flowLevel{{}}}
	for l.skip(); l.at < len(l.content); l.skip() {
		before := l.at
		if c := l.content[l.at]; c != '{' && c != '[' {
			d.misfits++
			return
		}
		if l.value(); l.at <= before {
			return
		}
	}
}

// skip goes over blanks and comments.
func (l *flowLexer) skip() {
	for l.at < len(l.content) {
		switch {
		case isSpace(l.content[l.at]):
			l.at++
		case hasAt(l.content, l.at, "//"), l.content[l.at] == '#':
			l.at = lineEnd(l.content, l.at)
		case hasAt(l.content, l.at, "/*"):
			end := bytes.Index(l.content[l.at:], []byte("*/"))
			if end < 0 {
				l.at = len(l.content)
				return
			}
			l.at += end + 2
		default:
			return
		}
	}
}

// value reads one value with everything in it.
func (l *flowLexer) value() {
	base := len(l.stack)
	for l.skip(); l.at < len(l.content); l.skip() {
		switch c := l.content[l.at]; c {
		case '{', '[':
			if !l.enter(c == '{') {
				l.at = len(l.content)
				return
			}
		case '}', ']':
			l.at++
			if len(l.stack) > base {
				l.stack = l.stack[:len(l.stack)-1]
			}
		case ',', ':':
			l.at++
		default:
			l.scalar()
		}
		if len(l.stack) <= base {
			return
		}
	}
	l.misfits++
}

// enter opens a collection. An array keeps the key that it stands under.
func (l *flowLexer) enter(object bool) bool {
	if len(l.stack) > maxDepth {
		l.misfits++
		return false
	}
	top := l.stack[len(l.stack)-1]
	level := flowLevel{section: top.section, object: object}
	switch {
	case !object:
		level.key = top.key
	case top.key.rawEnd > 0:
		st := statement{words: []word{top.key}, start: top.key.rawStart, end: top.key.rawEnd}
		level.section, _ = l.open(st, top.section, len(l.stack), l.at)
	}
	l.stack = append(l.stack, level)
	l.at++
	return true
}

// scalar reads a key with its colon, or a value.
func (l *flowLexer) scalar() {
	w := l.token()
	top := &l.stack[len(l.stack)-1]
	after := l.at
	l.skip()
	if top.object && l.at < len(l.content) && l.content[l.at] == ':' {
		l.at++
		top.key = w
		return
	}
	l.at = after
	if top.key.rawEnd == 0 {
		return
	}
	start := w.rawStart
	if top.object {
		start = top.key.rawStart
	}
	l.add(statement{words: []word{top.key, w}, start: start, end: w.rawEnd, section: top.section, operator: true})
}

// token reads a quoted or a plain scalar.
func (l *flowLexer) token() word {
	start := l.at
	w := word{start: start, rawStart: start}
	if c := l.content[start]; c == '"' || c == '\'' {
		end := literalEnd(l.content, start, true)
		if end < 0 {
			l.misfits++
			l.at = len(l.content)
			return word{start: start, end: l.at, rawStart: start, rawEnd: l.at}
		}
		l.at = end + 1
		return word{start: start + 1, end: end, rawStart: start, rawEnd: l.at, quoted: true}
	}
	for l.at < len(l.content) {
		c := l.content[l.at]
		ends := c == ':' && (l.at+1 >= len(l.content) || isSpace(l.content[l.at+1]))
		if isSpace(c) || strings.IndexByte(",{}[]", c) >= 0 || ends {
			break
		}
		l.at++
	}
	if l.at == start {
		l.at++
	}
	w.end, w.rawEnd = l.at, l.at
	return w
}
