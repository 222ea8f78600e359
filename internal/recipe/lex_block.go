package recipe

import (
	"bytes"
	"path"
	"strings"
)

// blockLexer reads words that end with ";" or open a nested block with "{": the syntax of nginx,
// and with other comments that of BIND.
type blockLexer struct {
	*document
	at      int
	stack   []int // statements that opened the blocks that are open, innermost last
	current int   // section
	words   []word
}

func lexBlock(d *document) {
	l := blockLexer{document: d}
	for l.skipSpace(); l.at < len(l.content); l.skipSpace() {
		switch l.content[l.at] {
		case ';':
			l.at++
			l.finish(l.at)
		case '{':
			l.at++
			if !l.enter() {
				return
			}
		case '}':
			l.at++
			l.leave()
		default:
			l.word()
		}
	}
	if len(l.words) > 0 || len(l.stack) > 0 {
		d.misfits++
	}
}

// skipSpace goes to the next thing that is neither blank nor comment.
func (l *blockLexer) skipSpace() {
	for l.at < len(l.content) {
		switch {
		case isSpace(l.content[l.at]):
			l.at++
		case l.grammar.BlockComments && hasAt(l.content, l.at, "/*"):
			end := bytes.Index(l.content[l.at+2:], []byte("*/"))
			if end < 0 {
				l.at = len(l.content)
				return
			}
			l.at += 2 + end + 2
		case signAt(l.content, l.at, l.grammar.Comments) != "":
			l.at = lineEnd(l.content, l.at)
		default:
			return
		}
	}
}

func (l *blockLexer) finish(end int) {
	if len(l.words) > 0 {
		l.add(statement{words: l.words, start: l.words[0].rawStart, end: end, section: l.current})
	}
	l.words = nil
}

// enter opens a block. A block without words is BIND's nested list; it is a misfit elsewhere, and
// harmless. It says no where the nesting is too deep to go on.
func (l *blockLexer) enter() bool {
	if len(l.words) == 0 {
		l.misfits++
		l.words = []word{{start: l.at - 1, end: l.at - 1, rawStart: l.at - 1, rawEnd: l.at}}
	}
	st := statement{words: l.words, start: l.words[0].rawStart, end: l.at}
	l.words = nil
	index := len(l.statements)
	next, ok := l.open(st, l.current, len(l.stack), l.at)
	if !ok {
		return false
	}
	l.stack, l.current = append(l.stack, index), next
	if l.raw(l.sections[next].name) {
		l.skipRaw()
	}
	return true
}

func (l *blockLexer) leave() {
	if len(l.words) > 0 || len(l.stack) == 0 {
		l.misfits++
		l.words = nil
	}
	if len(l.stack) == 0 {
		return
	}
	opener := &l.statements[l.stack[len(l.stack)-1]]
	l.stack = l.stack[:len(l.stack)-1]
	l.current = opener.section
	opener.end = l.at
	if l.grammar.BlockSemicolon {
		for i := l.at; i < len(l.content) && (isSpace(l.content[i]) || l.content[i] == ';'); i++ {
			if l.content[i] == ';' {
				l.at, opener.end = i+1, i+1
				break
			}
		}
	}
}

// raw tells whether a block's body is another language.
func (l *blockLexer) raw(name string) bool {
	for _, glob := range l.grammar.Raw {
		if ok, _ := path.Match(glob, name); ok {
			return true
		}
	}
	return false
}

// skipRaw goes to the brace that closes the block that was just entered.
func (l *blockLexer) skipRaw() {
	for depth := 1; l.at < len(l.content); l.at++ {
		switch l.content[l.at] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return
			}
		}
	}
}

// word reads one word. nginx opens a quote only at the start of a word, and "${" belongs to it.
func (l *blockLexer) word() {
	start := l.at
	w := word{start: start, rawStart: start}
	if strings.IndexByte(l.grammar.Quotes, l.content[start]) >= 0 {
		end := quoteEnd(l.content, start, true)
		if end < 0 {
			l.misfits++
			end = len(l.content) - 1
		}
		l.at = end + 1
		w.start, w.end, w.quoted = start+1, max(end, start+1), true
	} else {
		l.plain()
		w.end = l.at
	}
	w.rawEnd = l.at
	if len(l.words) < maxWords {
		l.words = append(l.words, w)
	}
}

func (l *blockLexer) plain() {
	for ; l.at < len(l.content); l.at++ {
		switch c := l.content[l.at]; {
		case isSpace(c) || c == ';' || c == '{' || c == '}':
			return
		case c == '\\' && l.at+1 < len(l.content):
			l.at++
		case c == '$' && hasAt(l.content, l.at+1, "{"):
			l.at += variableLength(l.content[l.at:]) - 1
		}
	}
}
